"""Hoist: move plain statements out of the loops that they do not depend on."""

from __future__ import annotations

from attrs import evolve

from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.anatomy import (
    Body,
    definitions,
    is_plain,
    reads,
    stores,
)
from rxcore.loops.nest import If, Load, Loop, Nest, Statement

__all__ = ["hoist"]


def hoist(nest: Nest, _capabilities: Capabilities) -> tuple[Nest, ...]:
    """Move each Let and Load to the outermost scope that has its operands."""
    return (evolve(nest, body=_hoisted(nest.body)),)


def _hoisted(body: Body) -> Body:
    out: list[Statement] = []
    for s in body:
        if isinstance(s, If):
            out.append(evolve(s, body=_hoisted(s.body)))
        elif isinstance(s, Loop):
            free, loop = _parted(s, _hoisted(s.body))
            out += [*free, loop]
        else:
            out.append(s)
    return tuple(out)


def _parted(loop: Loop, body: Body) -> tuple[Body, Loop]:
    """Part what does not depend on a loop, with a new body, from the loop."""
    stored = {s.buffer for s in stores(body)}
    bound = definitions(body)
    bound.add(loop.index)
    bound.update(a.name for a in loop.accumulators)
    free: list[Statement] = []
    stay: list[Statement] = []
    for s in body:
        # Loads must not move out of a loop that may not run: the memory may be empty.
        pinned = isinstance(s, Load) and (s.buffer in stored or loop.extent == 0)
        if is_plain(s) and not pinned and bound.isdisjoint(reads((s,))):
            free.append(s)
            bound.discard(s.name)
        else:
            stay.append(s)
    return tuple(free), evolve(loop, body=tuple(stay))
