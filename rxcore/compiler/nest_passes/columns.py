"""Columns or rows: which loop of a nest of reductions or scans goes inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rxcore.compiler.count import scalar_cost
from rxcore.compiler.nest_passes.anatomy import (
    Band,
    Body,
    accesses,
    all_loops,
    reorderable,
    stride_cost,
)
from rxcore.loops.nest import If, Loop, Nest

__all__ = ["walks_columns"]

# What an operation costs that must wait for the one before, against a vector's.
_IN_ORDER = 8


def walks_columns(nest: Nest, parts: Band) -> bool:
    """Say whether lanes walk memory in order better than the loops inside them do."""
    lanes = parts.loops[-1]
    by_lanes = by_rows = 0.0
    for loop, combines in _innermost(parts.body, {}):
        found = accesses(loop.body)
        work = scalar_cost(loop.body)
        free = reorderable(loop, combines)
        by_rows += stride_cost(nest, found, loop) + work * (1 if free else _IN_ORDER)
        by_lanes += stride_cost(nest, found, lanes) + work
    return by_lanes < by_rows


def _innermost(
    body: Body, combines: Mapping[str, str]
) -> Iterator[tuple[Loop, Mapping[str, str]]]:
    """Yield the innermost loops, each with the accumulators around it."""
    for s in body:
        if isinstance(s, If):
            yield from _innermost(s.body, combines)
        elif isinstance(s, Loop):
            if any(all_loops(s.body)):
                own = {a.name: a.combine for a in s.accumulators}
                yield from _innermost(s.body, {**combines, **own})
            else:
                yield s, combines
