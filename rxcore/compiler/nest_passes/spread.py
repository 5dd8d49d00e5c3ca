"""Spread: give the loops of a nest to the work-items of a GPU.

Either each work-item runs a lane by itself (elementwise loops, column sums, scans),
or the items of a group run the loops of a row together (row programs, full sums).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from attrs import evolve

from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.anatomy import (
    Band,
    Body,
    all_loops,
    band,
    block_loops,
    extent_of,
    reorderable,
)
from rxcore.compiler.nest_passes.columns import walks_columns
from rxcore.compiler.nest_passes.merge_outer import merged
from rxcore.compiler.nest_passes.names import Fresh
from rxcore.compiler.nest_passes.vectorize import refined
from rxcore.loops.nest import Kind, Loop, Nest

__all__ = ["spread"]

# Rows shorter than this are run by one work-item each: most of a group would idle.
_SHORT = 32
# Lanes of the innermost loop that may idle in the last group, as a share of all.
_WASTE = 1.25


def spread(nest: Nest, capabilities: Capabilities) -> tuple[Nest, ...]:
    """Make lanes or groups of the parallel loops at the top of a nest."""
    parts = band(nest)
    if parts.loops and not _shares_rows(nest, parts):
        return (_lanes(nest, parts, capabilities.group),)
    fresh = Fresh(nest)
    if not parts.loops:
        if not _is_free(nest.body):
            return (_alone(nest),)
        whole = (Loop(fresh("whole"), 1, "parallel", ()),)
        parts = Band((), whole, nest.body)
    body = refined(parts.body, {}, fresh, items=True)
    return (_over(nest, parts, parts.loops, "group", body, capabilities.group),)


def _over(
    nest: Nest,
    parts: Band,
    loops: Iterable[Loop],
    kind: Kind,
    body: Body,
    group: int,
) -> Nest:
    """Return the nest with loops of one kind around a body."""
    changed = tuple(evolve(x, kind=kind) for x in loops)
    return evolve(Band(parts.prefix, changed, body).rebuild(nest), group=group)


def _alone(nest: Nest) -> Nest:
    """Run everything in order on one work-item."""
    fresh = Fresh(nest)
    body = refined(nest.body, {}, fresh, items=False)
    whole = Loop(fresh("once"), 1, "lane", body)
    return evolve(nest, body=(whole,), group=1)


def _is_free(body: Body) -> bool:
    """Say whether the items of a group can share the loops of a body."""
    loops = [s for s in body if isinstance(s, Loop)]
    return bool(loops) and all(map(reorderable, loops))


def _shares_rows(nest: Nest, parts: Band) -> bool:
    """Say whether groups should run the rows, rather than each item its own."""
    inner = [x for x in all_loops(parts.body) if not any(all_loops(x.body))]
    if not inner:
        return False
    tops = [s for s in parts.body if isinstance(s, Loop)]
    length = max(math.prod(map(_extent, _chain(x))) for x in tops) if tops else 0
    free = bool(tops) and all(map(reorderable, tops))
    return free and length >= _SHORT and not walks_columns(nest, parts)


def _chain(loop: Loop) -> list[Loop]:
    """Return the loops nested in a loop, it included."""
    return list(all_loops((loop,)))


def _extent(loop: Loop) -> int:
    return extent_of(loop.extent)


def _lanes(nest: Nest, parts: Band, group: int) -> Nest:
    """Give each work-item one iteration of all outer loops."""
    fresh = Fresh(nest)
    loops, body = list(parts.loops), refined(parts.body, {}, fresh, items=False)
    last = _extent(loops[-1])
    idle = -(-last // group) * group > _WASTE * last
    if idle and len(loops) > 1 and not block_loops(body):
        # A number for each lane, parted by division, leaves no item idle.
        lets, loops = merged(loops, fresh)
        body = (*lets, *body)
    return _over(nest, parts, loops, "lane", body, group)
