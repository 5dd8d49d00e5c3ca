"""Merge the outer parallel loops into the one loop that threads share."""

from __future__ import annotations

from attrs import evolve

from rxcore.base import dtypes
from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.anatomy import (
    Body,
    all_loops,
    band,
    block_loops,
    iterations,
)
from rxcore.compiler.nest_passes.names import (
    Fresh,
)
from rxcore.loops.nest import Let, Loop, Nest, Size, Statement

__all__ = ["merge_outer", "merged"]

# Below this many iterations the loop over blocks is the better one to share.
_ENOUGH = 32


def merge_outer(nest: Nest, _capabilities: Capabilities) -> tuple[Nest, ...]:
    """Make one `group` or `lane` loop of the parallel loops at the top.

    A flat elementwise loop becomes `lane`. Otherwise the innermost loop of an
    elementwise nest becomes `item`, and the loops around it one `group`, whose parts
    are recovered by division. Loops that Blocks count stay as they are: where the
    others are few, one of them is the group.
    """
    parts = band(nest)
    if not parts.loops:
        return (nest,)
    loops, body = list(parts.loops), parts.body
    if not any(True for _ in all_loops(body)):
        last = loops.pop()
        if not loops:
            flat = evolve(last, kind="lane", body=body)
            return (evolve(nest, body=(*parts.prefix, flat)),)
        body = (evolve(last, kind="item", body=body),)
    counted = block_loops(body)
    free = [x for x in loops if x.index not in counted]
    blocked = [x for x in loops if x.index in counted]
    lets, together = merged(free, Fresh(nest))
    body = (*lets, *body)
    # Longest first: its range is what the threads share.
    blocked.sort(key=lambda x: -iterations((x,)))
    many = iterations(free) >= _ENOUGH or not blocked
    order = [*together, *blocked] if many else [blocked[0], *together, *blocked[1:]]
    for loop in reversed(order):
        shared = loop is order[0]
        body = (evolve(loop, kind="group" if shared else "serial", body=body),)
    return (evolve(nest, body=(*parts.prefix, *body)),)


def merged(loops: list[Loop], fresh: Fresh) -> tuple[Body, list[Loop]]:
    """Join loops into one, and say their indices by quotients and remainders."""
    if len(loops) < 2:
        return (), loops
    lets: list[Statement] = []
    rest = together = fresh("row")
    for loop in reversed(loops[1:]):
        assert isinstance(loop.extent, int)
        size = Size(loop.extent)
        lets.append(Let(loop.index, dtypes.int64, "rem", (rest, size)))
        left = loops[0].index if loop is loops[1] else fresh("rows")
        lets.append(Let(left, dtypes.int64, "quo", (rest, size)))
        rest = left
    return tuple(lets), [Loop(together, iterations(loops), "parallel", ())]
