"""Drop the loops that run once."""

from __future__ import annotations

from attrs import evolve

from rxcore.base import dtypes
from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.anatomy import (
    Body,
    block_loops,
    reads,
)
from rxcore.compiler.nest_passes.names import (
    Fresh,
    rename,
)
from rxcore.loops.nest import (
    Accumulate,
    Accumulator,
    Constant,
    If,
    Index,
    Let,
    Loop,
    Nest,
    Operand,
    Statement,
    substitute,
    walk,
)

__all__ = ["drop_unit_loops"]

_ZERO = Constant(0, dtypes.int64)


def drop_unit_loops(nest: Nest, _capabilities: Capabilities) -> tuple[Nest, ...]:
    """Replace each loop of extent 1 by its body.

    An accumulator becomes a Let where the body itself joins to it, and moves to the
    inner loop where that one does.
    """
    return (evolve(nest, body=_dropped(nest.body, Fresh(nest))),)


def _dropped(body: Body, fresh: Fresh) -> Body:
    out: list[Statement] = []
    rest = body
    while rest:
        s, rest = rest[0], rest[1:]
        if isinstance(s, (Loop, If)):
            s = evolve(s, body=_dropped(s.body, fresh))
        if not isinstance(s, Loop) or s.extent != 1 or not _can_drop(s):
            out.append(s)
            continue
        unrolled, finals = _unrolled(s, fresh)
        out += unrolled
        rest = rename(rest, finals)
    return tuple(out)


def _homes(loop: Loop, a: Accumulator) -> list[Statement]:
    """Return the statements of a loop's body that join to an accumulator."""
    return [
        s
        for s in loop.body
        if any(isinstance(x, Accumulate) and x.name == a.name for x in walk((s,)))
    ]


def _can_drop(loop: Loop) -> bool:
    if loop.index in block_loops(loop.body):
        return False
    for a in loop.accumulators:
        homes = _homes(loop, a)
        if all(isinstance(s, Accumulate) for s in homes):
            continue
        one_loop = len(homes) == 1 and isinstance(homes[0], Loop)
        if not one_loop or a.name in reads(loop.body):
            return False
    return True


def _unrolled(loop: Loop, fresh: Fresh) -> tuple[Body, dict[str, Operand]]:
    """Return the one iteration, and what accumulators without a Let end as."""
    body = substitute(loop.body, {loop.index: Index()}, {loop.index: _ZERO})
    once = evolve(loop, body=body)
    finals: dict[str, Operand] = {}
    for a in loop.accumulators:
        homes = _homes(once, a)
        if len(homes) == 1 and isinstance(homes[0], Loop):
            once = _moved(once, homes[0], a)
        else:
            once, final = _joined(once, a, fresh)
            if final != a.name:
                finals[a.name] = final
    return once.body, finals


def _moved(once: Loop, home: Loop, a: Accumulator) -> Loop:
    new = evolve(home, accumulators=(*home.accumulators, a))
    return evolve(once, body=tuple(new if s is home else s for s in once.body))


def _joined(once: Loop, a: Accumulator, fresh: Fresh) -> tuple[Loop, Operand]:
    """Turn Accumulates of the loop's own body into Lets."""
    # Inside the loop the accumulator's name reads as the value it starts from.
    body = rename(once.body, {a.name: a.initial})
    count = sum(isinstance(s, Accumulate) and s.name == a.name for s in body)
    current = a.initial
    out: list[Statement] = []
    for s in body:
        if not isinstance(s, Accumulate) or s.name != a.name:
            out.append(s)
        elif a.combine == "replace":
            current = s.operand
        else:
            count -= 1
            name = fresh(a.name + "_part") if count else a.name
            out.append(Let(name, a.dtype, a.combine, (current, s.operand)))
            current = name
    return evolve(once, body=tuple(out)), current
