"""Interchange: the loop that walks most bytes in order goes inside."""

from __future__ import annotations

from attrs import evolve

from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.anatomy import (
    Body,
    accesses,
    band,
    block_loops,
    reorderable,
    stride_cost,
)
from rxcore.loops.nest import If, Loop, Nest, Statement

__all__ = ["interchange"]


def interchange(nest: Nest, _capabilities: Capabilities) -> tuple[Nest, ...]:
    """Make the loop of least traffic the innermost of its perfect nest.

    The parallel band at the top is one such nest; chains of serial loops that only
    reduce are the others. Loops keep their order but for the one moved.
    """
    parts = band(nest)
    loops = _ordered(nest, parts.loops, parts.body)
    body = tuple(_reductions(nest, s) for s in parts.body)
    return (evolve(parts, loops=loops, body=body).rebuild(nest),)


def _ordered(nest: Nest, loops: tuple[Loop, ...], body: Body) -> tuple[Loop, ...]:
    free = not any(loop.index in block_loops(body) for loop in loops)
    if len(loops) < 2 or not free:
        return loops
    found = accesses(body)
    costs = [stride_cost(nest, found, loop) for loop in loops]
    # At equal cost the last one wins: it is innermost already.
    best = min(range(len(loops)), key=lambda i: (costs[i], -i))
    return (*loops[:best], *loops[best + 1 :], loops[best])


def _reductions(nest: Nest, s: Statement) -> Statement:
    if isinstance(s, If):
        return evolve(s, body=tuple(_reductions(nest, x) for x in s.body))
    if not isinstance(s, Loop):
        return s
    chain = _chain(s)
    body = chain[-1].body
    if len(chain) > 1 and reorderable(s):
        order = _ordered(nest, chain, body)
        for i, loop in enumerate(reversed(order)):
            owns = s.accumulators if i == len(order) - 1 else ()
            body = (evolve(loop, body=body, accumulators=owns),)
        assert isinstance(body[0], Loop)
        return body[0]
    return evolve(s, body=tuple(_reductions(nest, x) for x in s.body))


def _chain(loop: Loop) -> tuple[Loop, ...]:
    """Return the perfectly nested loops of one kind that begin with a loop."""
    found = [loop]
    while len(found[-1].body) == 1:
        inner = found[-1].body[0]
        if not isinstance(inner, Loop) or inner.accumulators or inner.kind != loop.kind:
            break
        found.append(inner)
    return tuple(found)
