"""The op behind scan: its derivative, transpose and batching rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve, frozen

from rxcore.control.bodies import (
    evaluate,
    read,
)
from rxcore.control.hoist import Loop, hoist
from rxcore.control.residuals import choose
from rxcore.control.widen import widen
from rxcore.ir.graph import Equation, Graph, Operand, Value
from rxcore.ir.primitive import REGISTRY, Iterates, NoRule, Primitive
from rxcore.ir.types import Type
from rxcore.ops.families import Linear, zeros
from rxcore.ops.shape import move_axis
from rxcore.trace.capture import Captured, apply, capture
from rxcore.trace.tracer import current
from rxcore.transforms.graphs import LinearizedGraph, batched, linearized
from rxcore.transforms.jvp import instantiate, jvp_flat
from rxcore.transforms.linearize import Partial, tangent_type
from rxcore.transforms.transpose import transpose_graph
from rxcore.transforms.vmap import axis_name, place_axis, vmap_flat

__all__ = ["bind_loop", "sliced"]

Flags = tuple[bool, ...]


def bind_loop(loop: Loop) -> list[Any]:
    """Apply a scan in the current trace, rid of what need not be in it."""
    smaller, finish = hoist(loop, _scan)
    return finish(smaller.bind(_scan))


def _infer(*types: Type, graph: Graph, length: int, carries: int, **_: Any) -> Any:
    del types
    outs = graph.out_types
    stacked = (t.with_shape((length, *t.shape)) for t in outs[carries:])
    return (*outs[:carries], *stacked)


def _parts(given: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any, Any]:
    a = p["constants"]
    b = a + p["carries"]
    return tuple(given[:a]), tuple(given[a:b]), tuple(given[b:])


def _marked(given: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    return [x for x, flag in zip(given, flags, strict=True) if flag]


# Derivative -------------------------------------------------------------------------


def _jvp(primals: Any, tangents: Any, **p: Any) -> Any:
    graph: Graph = p["graph"]
    count = p["carries"]
    fixed, moved, stepping = (
        tuple(t is not None for t in part) for part in _parts(tangents, p)
    )
    while True:
        made = linearized(graph, (*fixed, *moved, *stepping))
        grown = tuple(a or b for a, b in zip(moved, made.moving[:count], strict=True))
        if grown == moved:
            break
        moved = grown
    flags = (fixed, moved, stepping)
    dots = [
        instantiate(t, x) if flag else None
        for t, x, flag in zip(tangents, primals, sum(flags, ()), strict=True)
    ]
    moving = made.moving[count:]
    # While a derivative is recorded, its part must be a scan of its own.
    if isinstance(current(), Partial):
        constants, carried, _ = _parts(primals, p)
        marked = zip((*fixed, *moved), (*constants, *carried), strict=True)
        if any(flag and not x.ndim for flag, x in marked):
            wide = _widened(primals, fixed, moved, p)
            if wide is not None:
                outs, found = jvp_flat(wide, primals, tangents)
                return tuple(outs), tuple(found)
        outs, found = _split(made, primals, dots, flags, p)
    else:
        outs, found = _joint(graph, moving, primals, dots, flags, p)
    rest = iter(found)
    return tuple(outs), tuple(next(rest) if m else None for m in (*moved, *moving))


def _widened(
    primals: Sequence[Any], fixed: Flags, moved: Flags, p: dict[str, Any]
) -> Callable[..., list[Any]] | None:
    """Return a lane scan as a function that has its scalars in every lane."""
    loop = Loop(p["graph"], *_parts(primals, p), *_tail(p))
    if not loop.is_lane(_scan):
        return None
    made = widen(p["graph"], fixed, moved)
    if made is None:
        return None

    def run(*args: Any) -> list[Any]:
        constants, carries, steps = _parts(args, p)
        body = _ordered(made.captured, p["constants"])
        given = (*made.fix(constants), *made.captured.constants)
        start = tuple(made.start(carries))
        return made.finish(bind_loop(Loop(body, given, start, steps, *_tail(p))))

    return run


def _joint(
    graph: Graph,
    moving: Flags,
    primals: Sequence[Any],
    dots: Sequence[Any],
    flags: tuple[Flags, Flags, Flags],
    p: dict[str, Any],
) -> tuple[list[Any], list[Any]]:
    """Carry values and tangents through one scan."""
    count = p["carries"]
    wanted = sum(flags, ())
    values, changes = _parts(primals, p), _parts(dots, p)
    marked = [_marked(c, f) for c, f in zip(changes, flags, strict=True)]
    operands = [[*v, *m] for v, m in zip(values, marked, strict=True)]
    cuts = [len(v) for v in values]

    def run(*args: Any) -> list[Any]:
        rest = iter(args)
        given: list[Any] = []
        pushed: list[Any] = []
        for ops, cut in zip(operands, cuts, strict=True):
            part = [next(rest) for _ in ops]
            given += part[:cut]
            pushed += part[cut:]
        waiting = iter(pushed)
        directions = [next(waiting) if w else None for w in wanted]
        outs, found = jvp_flat(lambda *a: apply(graph, a), given, directions)
        ends = [
            instantiate(f, o)
            for o, f, m in zip(outs, found, flags[1], strict=False)
            if m
        ]
        extra = [
            instantiate(f, o)
            for o, f, m in zip(outs[count:], found[count:], moving, strict=True)
            if m
        ]
        return [*outs[:count], *ends, *outs[count:], *extra]

    loop = _captured(run, operands[0], operands[1], operands[2], p)
    outs = bind_loop(loop)
    first = len(operands[1])
    ys = len(graph.outputs) - count
    ends, steps = outs[:first], outs[first:]
    return [*ends[:count], *steps[:ys]], [*ends[count:], *steps[ys:]]


def _captured(
    run: Callable[..., list[Any]],
    constants: Sequence[Any],
    carries: Sequence[Any],
    steps: Sequence[Any],
    p: dict[str, Any],
    reverse: bool | None = None,
) -> Loop:
    """Capture a body that takes these operands; return the scan."""
    types = [
        *(o.type for o in constants),
        *(o.type for o in carries),
        *(sliced(o.type) for o in steps),
    ]
    made = capture(run, types)
    return Loop(
        _ordered(made, len(constants)),
        (*constants, *made.constants),
        tuple(carries),
        tuple(steps),
        p["length"],
        p["reverse"] if reverse is None else reverse,
    )


def _ordered(made: Captured, constants: int) -> Graph:
    """Put what a Graph captured behind its constants, before its carries."""
    inputs = made.graph.inputs
    end = len(inputs) - len(made.constants)
    moved = (*inputs[:constants], *inputs[end:], *inputs[constants:end])
    return Graph(moved, made.graph.outputs, made.graph.equations)


def sliced(type: Type) -> Type:
    """Return the Type of one step of a stacked value."""
    return type.with_shape(type.shape[1:])


@frozen(eq=False)
class Stored:
    """A scan that has run, and what its derivative can read of it.

    Args:
        outs: its results.
        once: body values that do not change, with their arrays.
        each: body values of each step, stacked.
        again: equations that compute from these what else is needed.
        needed: what the derivative reads.
    """

    outs: list[Any]
    once: dict[Value, Any]
    each: dict[Value, Any]
    again: tuple[Equation, ...]
    needed: tuple[Operand, ...]


def _store(made: LinearizedGraph, primals: Sequence[Any], p: dict[str, Any]) -> Stored:
    """Run a scan for its values, storing what its derivative needs."""
    constants, carries, steps = _parts(primals, p)
    captured = Captured(made.primal, made.primal_constants)
    whole = _ordered(captured, p["constants"])
    constants = (*constants, *captured.constants)
    count = len(whole.outputs) - made.residuals
    outputs, needed = whole.outputs[:count], whole.outputs[count:]
    body = Graph(whole.inputs, outputs, whole.equations)
    loop = Loop(body, constants, carries, steps, p["length"], p["reverse"])
    fixed, _, stepping = loop.inputs()
    rows = {o: k for k, o in enumerate(outputs) if k >= p["carries"]}
    lanes = loop.is_lane(_scan)
    shapes = {o.type.shape for o in outputs} | {()}
    cost = {v: 1.0 for v in (*rows, *stepping) if isinstance(v, Value)}
    cost |= dict.fromkeys(fixed, 0.0)
    saved = choose(body, needed, cost, lambda v: not lanes or v.type.shape in shapes)
    fresh = [v for v in saved.values if v not in cost]
    full = Graph(whole.inputs, (*outputs, *fresh), whole.equations)
    outs = bind_loop(evolve(loop, graph=full))
    values = dict(zip(fixed, constants, strict=True))
    streams: dict[Any, Any] = {o: outs[k] for o, k in rows.items()}
    streams |= zip(stepping, steps, strict=True)
    streams |= zip(fresh, outs[count:], strict=True)
    return Stored(
        outs[:count],
        {v: values[v] for v in saved.values if v in values},
        {v: streams[v] for v in saved.values if v not in values},
        saved.equations,
        needed,
    )


def _split(
    made: LinearizedGraph,
    primals: Sequence[Any],
    dots: Sequence[Any],
    flags: tuple[Flags, Flags, Flags],
    p: dict[str, Any],
) -> tuple[list[Any], list[Any]]:
    """Run a scan for the values that stores residuals, then a linear one."""
    stored = _store(made, primals, p)
    outputs = made.primal.outputs
    first, second, third = (
        _marked(c, f) for c, f in zip(_parts(dots, p), flags, strict=True)
    )

    def run(*args: Any) -> list[Any]:
        rest = iter(args)
        tangents = [next(rest) for _ in first]
        memory = {v: next(rest) for v in stored.once}
        tangents += [next(rest) for _ in (*second, *third)]
        memory |= {v: next(rest) for v in stored.each}
        evaluate(stored.again, memory)
        residuals = [read(o, memory) for o in stored.needed]
        found = iter(apply(made.linear, [*tangents, *residuals]))
        moved = [next(found) if m else None for m in made.moving]
        ends = [
            instantiate(t, o)
            for t, o, w in zip(moved, outputs, flags[1], strict=False)
            if w
        ]
        return [*ends, *(t for t in moved[p["carries"] :] if t is not None)]

    constants = [*first, *stored.once.values()]
    steps = [*third, *stored.each.values()]
    return stored.outs, bind_loop(_captured(run, constants, second, steps, p))


def _tail(p: dict[str, Any]) -> tuple[int, bool]:
    return p["length"], p["reverse"]


# Transpose --------------------------------------------------------------------------


def _transpose(cts: Any, *operands: Any, **p: Any) -> Any:
    graph: Graph = p["graph"]
    count = p["carries"]
    linear = tuple(
        tuple(isinstance(o, Linear) for o in part) for part in _parts(operands, p)
    )
    constants, carries, steps = _parts(operands, p)
    flags = (*linear[0], *(True for _ in carries), *linear[2])
    fixed = [o for o in constants if not isinstance(o, Linear)]
    streams = [o for o in steps if not isinstance(o, Linear)]
    sums = [o.type.strong() for o in constants if isinstance(o, Linear)]
    ends, ys = cts[:count], cts[count:]
    types = [tangent_type(o.type) for o in graph.inputs[len(constants) :][:count]]
    live = tuple(ct is not None for ct in ends)
    held = (True,) * len(sums)
    while True:
        starts = [zeros(t) for t, h in zip(sums, held, strict=True) if h]
        starts += [
            zeros(t) if ct is None else ct
            for ct, t, m in zip(ends, types, live, strict=True)
            if m
        ]
        found: list[Flags] = []

        def run(*args: Any) -> list[Any]:
            rest = iter(args)
            known = [next(rest) for _ in fixed]
            totals = [next(rest) if h else None for h in held]  # noqa: B023
            given = [next(rest) if m else None for m in live]  # noqa: B023
            known += [next(rest) for _ in streams]
            given += [None if ct is None else next(rest) for ct in ys]
            pulled = transpose_graph(graph, flags, known, given)
            parts = _pulled(pulled, len(sums), count)
            found[:] = [tuple(x is not None for x in part) for part in parts]  # noqa: B023
            added = [
                t if x is None else REGISTRY["add"].bind(t, x)
                for t, x in zip(totals, parts[0], strict=True)
                if t is not None
            ]
            back = [
                zeros(t) if x is None else x
                for x, t, m in zip(parts[1], types, live, strict=True)  # noqa: B023
                if m
            ]
            return [*added, *back, *(x for x in parts[2] if x is not None)]

        moving = [ct for ct in ys if ct is not None]
        loop = _captured(run, fixed, starts, [*streams, *moving], p, not p["reverse"])
        grown = tuple(a or b for a, b in zip(live, found[1], strict=True))
        if grown == live and found[0] == held:
            break
        held = found[0] if grown == live else held
        live = grown
    outs = iter(bind_loop(loop))
    totals = [next(outs) if h else None for h in held]
    back = [next(outs) if m else None for m in live]
    pulled = [next(outs) if m else None for m in found[2]]
    return _placed(totals, linear[0]) + back + _placed(pulled, linear[2])


def _pulled(found: list[Any], sums: int, carries: int) -> tuple[Any, Any, Any]:
    return found[:sums], found[sums : sums + carries], found[sums + carries :]


def _placed(found: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    rest = iter(found)
    return [next(rest) if flag else None for flag in flags]


# Batch ------------------------------------------------------------------------------


def _batch(args: Any, dims: Any, **p: Any) -> Any:
    graph: Graph = p["graph"]
    count = p["carries"]
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    fixed, moved, stepping = (
        tuple(None if d is None else 0 for d in part) for part in _parts(dims, p)
    )
    while True:
        made = batched(graph, (*fixed, *moved, *stepping), size)
        grown = tuple(
            None if a is None and b is None else 0
            for a, b in zip(moved, made.dims[:count], strict=True)
        )
        if grown == moved:
            break
        moved = grown
    constants, carries, steps = _parts(args, p)
    places = _parts(dims, p)
    first = [
        x if d is None else move_axis(x, d, 0)
        for x, d in zip(constants, places[0], strict=True)
    ]
    second = [
        x if m is None else place_axis(x, d, 0, size)
        for x, d, m in zip(carries, places[1], moved, strict=True)
    ]
    third = [
        x if d is None else move_axis(x, d, 1)
        for x, d in zip(steps, places[2], strict=True)
    ]

    def run(*lanes: Any) -> list[Any]:
        axes = (*fixed, *moved, *stepping)
        wholes, found = vmap_flat(
            lambda *a: apply(graph, a), lanes, axes, size, axis_name()
        )
        wanted = (*moved, *(None if d is None else 0 for d in found[count:]))
        return [
            w if t is None else place_axis(w, a, 0, size)
            for w, a, t in zip(wholes, found, wanted, strict=True)
        ]

    outs = bind_loop(_captured(run, first, second, third, p))
    ys = (None if d is None else 1 for d in made.dims[count:])
    return outs, (*moved, *ys)


_scan: Primitive = Primitive(
    name="scan",
    family="control",
    infer=_infer,
    lower=Iterates(),
    reference=NoRule("a scan runs compiled"),
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    samples=NoRule("drawn by the tests of control"),
    multiple=True,
    document="Apply a Graph step by step, carrying a state.",
)
