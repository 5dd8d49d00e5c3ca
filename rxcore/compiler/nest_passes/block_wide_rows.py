"""Block wide rows: few long rows are cut, so that threads have pieces to share."""

from __future__ import annotations

from attrs import evolve

from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.anatomy import (
    all_loops,
    band,
    iterations,
)
from rxcore.compiler.nest_passes.names import (
    Fresh,
    define_index,
)
from rxcore.loops.nest import Block, Index, Loop, Nest

__all__ = ["block_wide_rows"]

_FEW_ROWS = 32
_BLOCK = 4096


def block_wide_rows(nest: Nest, _capabilities: Capabilities) -> tuple[Nest, ...]:
    """Cut the inner loop of an elementwise nest whose outer loops are short."""
    parts = band(nest)
    if len(parts.loops) < 2 or any(all_loops(parts.body)):
        return (nest,)
    *outer, wide = parts.loops
    rows = iterations(outer)
    assert isinstance(wide.extent, int)
    if rows >= _FEW_ROWS or wide.extent <= 2 * _BLOCK:
        return (nest,)
    fresh = Fresh(nest)
    block, item = fresh(f"{wide.index}_block"), fresh("item")
    place = Index.of(block, _BLOCK) + Index.of(item)
    lets, body = define_index(parts.body, wide.index, place, fresh)
    inner = Loop(item, Block(block, _BLOCK, wide.extent), "parallel", (*lets, *body))
    blocks = Loop(block, -(-wide.extent // _BLOCK), "parallel", ())
    return (evolve(parts, loops=(*outer, blocks), body=(inner,)).rebuild(nest),)
