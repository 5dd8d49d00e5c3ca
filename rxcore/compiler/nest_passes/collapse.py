"""Collapse: two adjacent loops that walk memory as one become one."""

from __future__ import annotations

from operator import is_not

from attrs import evolve

from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.anatomy import (
    accesses,
    block_loops,
    operand_names,
    reads,
)
from rxcore.loops.nest import If, Index, Loop, Nest, Statement, substitute

__all__ = ["collapse"]


def collapse(nest: Nest, _capabilities: Capabilities) -> tuple[Nest, ...]:
    """Join perfectly nested loops where every access allows it.

    That is where `coefficient(outer) == coefficient(inner) * extent(inner)`.
    """
    body = tuple(map(_collapsed, nest.body))
    return (evolve(nest, body=body) if any(map(is_not, body, nest.body)) else nest,)


def _collapsed(s: Statement) -> Statement:
    if isinstance(s, If):
        return evolve(s, body=tuple(map(_collapsed, s.body)))
    if not isinstance(s, Loop):
        return s
    body = tuple(map(_collapsed, s.body))
    outer = evolve(s, body=body) if any(map(is_not, body, s.body)) else s
    if len(outer.body) == 1 and isinstance(outer.body[0], Loop):
        inner = outer.body[0]
        if _fit(outer, inner):
            return _joined(outer, inner)
    return outer


def _fit(outer: Loop, inner: Loop) -> bool:
    if outer.kind != inner.kind or inner.accumulators:
        return False
    if not isinstance(outer.extent, int) or not isinstance(inner.extent, int):
        return False
    indices = {outer.index, inner.index}
    if indices & (operand_names(inner.body) | block_loops(inner.body)):
        return False
    # Inside, an accumulator reads as it was when its loop's iteration started.
    if {a.name for a in outer.accumulators} & reads(inner.body):
        return False
    return all(
        s.index.coefficient(outer.index)
        == s.index.coefficient(inner.index) * inner.extent
        for s in accesses(inner.body)
    )


def _joined(outer: Loop, inner: Loop) -> Loop:
    assert isinstance(outer.extent, int)
    assert isinstance(inner.extent, int)
    return Loop(
        inner.index,
        outer.extent * inner.extent,
        inner.kind,
        substitute(inner.body, {outer.index: Index()}),
        outer.accumulators,
    )
