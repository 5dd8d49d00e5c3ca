"""Part: loops that follow each other become nests of their own where they must.

A GPU runs one grid at a time. Loops that a work-group can run together stay in one
nest; others are parted where no scalar goes from one to the next.
"""

from __future__ import annotations

from attrs import evolve

from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.anatomy import (
    Body,
    all_loops,
    band,
    definitions,
    is_plain,
    iterations,
    live,
    reads,
    reorderable,
    stores,
    trim_buffers,
)
from rxcore.loops.nest import Load, Loop, Nest, Statement

__all__ = ["part"]

# Iterations that are worth a launch of their own.
_MUCH = 1 << 12


def part(nest: Nest, _capabilities: Capabilities) -> tuple[Nest, ...]:
    """Part a nest without a common outer loop at its loops.

    What short loops of free order compute is shared by one work-group (a sum and what
    is done with it). Long ones deserve a grid, and a loop whose order matters is
    better off alone.
    """
    loops = [s for s in nest.body if isinstance(s, Loop)]
    if band(nest).loops or len(loops) < 2:
        return (nest,)
    work = sum(iterations(all_loops((x,))) for x in loops)
    if work < _MUCH and all(map(reorderable, loops)):
        return (nest,)
    pieces: list[Body] = []
    plain: list[Statement] = []
    current: list[Statement] = []
    for s in nest.body:
        if is_plain(s):
            plain.append(s)
            current.append(s)
            continue
        if isinstance(s, Loop) and any(isinstance(x, Loop) for x in current):
            pieces.append(tuple(current))
            current = list(plain)
        current.append(s)
    pieces.append(tuple(current))
    if not all(map(_is_closed, pieces)) or _reads_late(plain, nest.body):
        return (nest,)
    return tuple(
        trim_buffers(evolve(nest, name=f"{nest.name}_{k}", body=_fit(piece)))
        for k, piece in enumerate(pieces)
    )


def _reads_late(plain: list[Statement], body: Body) -> bool:
    """Say whether a load between loops would see what an earlier piece stores."""
    stored = {s.buffer for s in stores(body)}
    return any(isinstance(s, Load) and s.buffer in stored for s in plain)


def _is_closed(piece: Body) -> bool:
    """Say whether a piece reads only what it defines."""
    return reads(piece) <= definitions(piece)


def _fit(piece: Body) -> Body:
    """Make a loop of free order a parallel one, where it carries nothing."""
    body = tuple(
        evolve(s, kind="parallel")
        if isinstance(s, Loop) and not s.accumulators and reorderable(s)
        else s
        for s in piece
    )
    return live(body)
