"""Sink: move plain statements into the loop behind them: nests become perfect."""

from __future__ import annotations

from operator import is_not

from attrs import evolve

from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.anatomy import Body, is_plain, reads, stores
from rxcore.loops.nest import If, Load, Loop, Nest, Statement

__all__ = ["sink"]


def sink(nest: Nest, _capabilities: Capabilities) -> tuple[Nest, ...]:
    """Move Lets and Loads between two loops into the inner one.

    Perfect nests are what other passes can interchange and tile; `hoist` moves the
    statements out again.
    """
    body = tuple(map(_sunk, nest.body))
    return (evolve(nest, body=body) if any(map(is_not, body, nest.body)) else nest,)


def _sunk(s: Statement) -> Statement:
    if isinstance(s, If):
        inside = tuple(map(_sunk, s.body))
        return If(s.condition, inside) if any(map(is_not, inside, s.body)) else s
    if not isinstance(s, Loop):
        return s
    body = s.body
    if _only_last_loops(body):
        inner = body[-1]
        assert isinstance(inner, Loop)
        stay, go = _parted(body[:-1], inner)
        body = (*stay, evolve(inner, body=(*go, *inner.body)))
    body = tuple(map(_sunk, body))
    changed = len(body) != len(s.body) or any(map(is_not, body, s.body))
    return evolve(s, body=body) if changed else s


def _only_last_loops(body: Body) -> bool:
    return (
        len(body) > 1 and isinstance(body[-1], Loop) and all(map(is_plain, body[:-1]))
    )


def _parted(plain: Body, inner: Loop) -> tuple[Body, Body]:
    """Tell what must stay (the inner accumulators start from it) from what may go."""
    stored = {s.buffer for s in stores(inner.body)}
    needed = {a.initial for a in inner.accumulators if isinstance(a.initial, str)}
    stay: list[Statement] = []
    go: list[Statement] = []
    for s in reversed(plain):
        assert is_plain(s)
        if s.name in needed or (isinstance(s, Load) and s.buffer in stored):
            stay.append(s)
            needed |= reads((s,))
        else:
            go.append(s)
    return tuple(reversed(stay)), tuple(reversed(go))
