"""Placement: where a call runs, for the whole program at once: step 7."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from rxcore.base import config
from rxcore.base.lazy import LazyModule
from rxcore.ir.graph import Equation, Graph, Value
from rxcore.ir.primitive import Calls, Primitive
from rxcore.ir.types import Type
from rxcore.runtime.array import Array
from rxcore.runtime.devices import (
    Target,
    candidates,
    known,
    look,
    looked,
    recalled,
)
from rxcore.runtime.variants import Variants, run_on, variants_of
from rxcore_kernels.opencl_fault import DeviceFault

__all__ = [
    "Placed",
    "asked",
    "graph_of",
    "place",
    "run_at",
    "run_graph",
    "run_primitive",
    "waits",
]

# Loaded when there is something to decide.
decide = LazyModule("rxcore.runtime.decide")
pricing = LazyModule("rxcore.runtime.pricing")


@frozen
class Placed:
    """Where a call runs.

    Args:
        target: a device; None is the CPU.
        chosen: whether rxcore chose it, and not the user.
        settled: whether equal calls will be placed alike, so that they need not ask.
        reason: why it runs there.
        alone: whether nobody has looked for devices yet, and it takes long enough to
            be worth that.
    """

    target: Target | None
    chosen: bool = True
    settled: bool = True
    reason: str = "no device was asked for"
    alone: bool = False


_CPU = Placed(None)
_ALONE = Placed(None, settled=False, alone=True)


def place(variants: Variants, args: Sequence[Array], device: str | None) -> Placed:
    """Decide where a call runs.

    What the user asked for comes first: the function's device, the default device,
    then the device of arguments that the user put on an OpenCL CPU device. Else the
    cost model decides between the CPU and the GPUs that are known.
    """
    found = asked(args, device)
    if found is not None:
        return found
    targets = candidates() if known() or config.current().allow_opencl_cpu else []
    if not targets:
        return _ALONE if waits(variants) else _CPU
    choice, target, settled = decide.decide(variants, args, targets)
    return Placed(target, settled=settled, reason=choice.reason)


def waits(variants: Variants) -> bool:
    """Say whether calls take long, and nobody has looked for devices yet."""
    return variants.long and not looked()


def asked(args: Sequence[Array], device: str | None) -> Placed | None:
    """Return where the user wants a call to run, None where it is ours to decide."""
    name = device if device is not None else config.current().default_device
    if name is not None:
        which = "default" if device is None else "function's"
        return Placed(recalled(name), False, reason=f"it is the {which} device")
    homes = {a.home for a in args if a.home is not None and not a.home.fault}
    for home in homes:
        if home.is_cpu and not config.current().allow_opencl_cpu:
            return Placed(home, False, reason="the user put an argument there")
    return None


def run_at(
    variants: Variants,
    placed: Placed,
    args: Sequence[Array],
    tried: DeviceFault | None = None,
) -> tuple[list[Array], Target | None]:
    """Run a call where it was placed; return the results and where they are.

    `tried` is what went wrong when the caller launched it there itself.
    """
    if not placed.settled and not placed.alone:
        outs, where = _observed(variants, placed, args)
    elif placed.target is None:
        outs, where = _on_cpu(variants, args), None
    else:
        outs, where = run_on(variants, placed.target, args, tried)
    if any(a.home is not None for a in args) or placed.target is not None:
        _loosen(outs, placed, where)
    return outs, where


# A program that takes so long may be worth a search for devices, once such programs
# have taken so long together.
_LONG, _ENOUGH = 1e-3, 0.1
_spent = [0.0]


def _on_cpu(variants: Variants, args: Sequence[Array]) -> list[Array]:
    """Launch on the CPU; after long runs, look whether there is something faster."""
    variants.cpu  # noqa: B018 - compiled before the clock starts
    begin = time.perf_counter()
    outs = variants.run_cpu(args)
    seconds = time.perf_counter() - begin
    if seconds > _LONG:
        variants.long = True
        _spent[0] += seconds
        if _spent[0] > _ENOUGH:
            look()
    return outs


def _observed(
    variants: Variants, placed: Placed, args: Sequence[Array]
) -> tuple[list[Array], Target | None]:
    """Run a call and learn from how long it takes, where nothing but it is timed."""
    target = placed.target
    resident = all(a.on_host if target is None else a.is_on(target) for a in args)
    if target is None:
        variants.cpu  # noqa: B018 - compiled before the clock starts
        begin = time.perf_counter()
        outs, where = variants.run_cpu(args), None
    else:
        try:
            if resident:
                target.wait()
            begin = time.perf_counter()
            outs, where = run_on(variants, target, args)
            if where is not None:
                where.wait()
        except DeviceFault as fault:  # of a wait: `run_on` raises none
            return run_on(variants, target, args, fault)
    seconds = time.perf_counter() - begin
    price = decide.price_of(variants, where)
    if resident and not isinstance(price, str):
        pricing.MARKET.observe(price, where, seconds)
    return outs, where


def _loosen(outs: Sequence[Array], placed: Placed, where: Any) -> None:
    """Let results move in eager ops where the user did not say where they are."""
    if placed.chosen or where is not placed.target:
        for a in outs:
            a._free = True


def run_graph(
    graph: Graph, args: Sequence[Array], device: str | None = None
) -> list[Array]:
    """Run a Graph eagerly, on concrete arrays: where its first operand on a device is.

    What such a call makes is as free to move as its operands were.

    Args:
        graph: what to run.
        args: the arguments, which are moved as need be.
        device: where the user wants it to run.
    """
    target = next((a.home for a in args if a.home is not None), None)
    name = device
    if device is not None:
        target = recalled(device)
    elif target is None:
        name = config.current().default_device
        target = None if name is None else recalled(name)
    variants = variants_of(graph)
    if target is None:
        return variants.run_cpu(args)
    made, _ = run_on(variants, target, args)
    if all(hasattr(a, "_free") for a in args if a.home is not None) and name is None:
        for a in made:
            a._free = True
    return made


def run_primitive(
    primitive: Primitive, args: Sequence[Array], params: dict[str, Any]
) -> list[Array]:
    """Run one op compiled, on concrete arrays: an eager scan, cond, or call."""
    held = isinstance(primitive.lower, Calls)
    device = params.get("device") if held else None
    graph = graph_of(primitive, [a.type for a in args], params)
    return run_graph(graph, args, device)


def graph_of(
    primitive: Primitive, types: Sequence[Type], params: dict[str, Any]
) -> Graph:
    """Return the Graph of one op."""
    inputs = tuple(map(Value, types))
    outs = tuple(map(Value, primitive.infer_all(types, params)))
    return Graph(inputs, outs, (Equation(primitive, inputs, outs, params),))
