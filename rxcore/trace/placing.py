"""Where eager ops run: where their operands are.

Mixing arrays of two devices in one eager op is an error: to move data behind the
user's back would hide what costs most. Three kinds of operands have no say: numbers,
and arrays of rank 0 on the CPU; arrays that the same call of the user made (a library
function's own indices); and what an automatically placed call returned, since the
user did not choose its device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from rxcore.base import config, errors
from rxcore.ir.primitive import Primitive
from rxcore.runtime.array import Array
from rxcore.runtime.devices import Target, recalled
from rxcore.runtime.placement import graph_of
from rxcore.runtime.variants import run_on, variants_of
from rxcore.trace.source import call_site
from rxcore.trace.tracer import transforming

__all__ = ["mark", "placed_eagerly"]


def is_free(x: Array, site: Any) -> bool:
    """Say whether an array may be moved without asking."""
    if x.home is None and not x.type.shape:
        return True
    free = getattr(x, "_free", None)
    return free is True or (free is not None and free == site)


def mark(made: Sequence[Array], operands: Sequence[Array]) -> None:
    """Note that arrays made of nothing but free ones are free in the same call.

    What nobody wished to be where it is (see `rxcore.runtime.placement`) passes that
    on: a fault in the midst of a function must not tell in what the function returns.
    """
    site = call_site()
    if all(is_free(a, site) for a in operands):
        unwished = any(getattr(a, "_free", None) is True for a in operands)
        for a in made:
            if not hasattr(a, "_free"):
                a._free = unwished or site


def placed_eagerly(
    primitive: Primitive, args: Sequence[Array], params: dict[str, Any]
) -> list[Array] | None:
    """Run an op on the device of its operands; None where that is the CPU.

    Raises:
        DeviceError: operands lie on different devices.
    """
    target, free = _target(primitive, args)
    if target is None:
        return None
    graph = graph_of(primitive, [a.type for a in args], params)
    made, _ = run_on(variants_of(graph), target, args)
    if free:
        mark(made, args)
    return made


def _target(primitive: Primitive, args: Sequence[Array]) -> tuple[Target | None, bool]:
    """Return where an op runs, and whether no operand insists on that."""
    site = call_site() if args else None
    name = config.current().default_device
    inside = transforming()
    fixed: list[Array] = []
    loose: list[Array] = []
    for a in args:
        # What lies on the CPU follows the default device, as new arrays do, and the
        # other operands inside a transform, whose inner ops no user asked for.
        follows = a.home is None and (name is not None or inside)
        (loose if follows or is_free(a, site) else fixed).append(a)
    homes = {a.home for a in fixed}
    if len(homes) > 1:
        _refuse(primitive, fixed)
    if homes:
        return homes.pop(), False
    for a in loose:
        if a.home is not None:
            return a.home, True
    return (None if name is None else recalled(name)), name is None


def _refuse(primitive: Primitive, args: Sequence[Array]) -> NoReturn:
    shown = ", ".join(f"{a.type} on {a.device!r}" for a in args)
    away = next(a.device for a in args if a.home is not None)
    raise errors.DeviceError(
        f"{primitive.name}: its operands lie on different devices: {shown}. Move one"
        f" of them first, as in rx.device_put(x, {away!r}), or call the function"
        " through rx.jit, which moves arguments by itself"
    )
