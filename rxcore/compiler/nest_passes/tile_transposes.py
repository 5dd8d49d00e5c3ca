"""Tile transposes: operands read across the grain go through a scratch tile."""

from __future__ import annotations

from attrs import evolve

from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.anatomy import (
    Band,
    Body,
    band,
    stores,
)
from rxcore.compiler.nest_passes.names import (
    Fresh,
    define_index,
)
from rxcore.loops.nest import (
    Block,
    If,
    Index,
    Load,
    Loop,
    Nest,
    Scratch,
    Statement,
    Store,
)

__all__ = ["tile_transposes"]

# Tiles are square; an odd pitch spreads their columns over all sets of a cache, or all
# banks of local memory. On a GPU two tiles of doubles still fit the local memory.
_TILE, _GPU_TILE = 64, 32
# Loops shorter than this are not worth a tile.
_SHORT = 8


def tile_transposes(nest: Nest, capabilities: Capabilities) -> tuple[Nest, ...]:
    """Cut two loops into tiles where loads run across the innermost one.

    Each tile of such an operand is copied row by row into scratch, then read from
    there column by column.
    """
    parts = band(nest)
    outer, loads = _crossed(parts)
    tile = _GPU_TILE if capabilities.kind == "gpu" else _TILE
    taken = sum(x.dtype.itemsize for x in loads) * tile * (tile + 1)
    if outer is None or (
        capabilities.kind == "gpu" and taken > capabilities.local_bytes
    ):
        return (nest,)
    return (_tiled(nest, parts, outer, loads, tile),)


def _crossed(parts: Band) -> tuple[Loop | None, list[Load]]:
    """Find the loop that some loads walk in order while the innermost one jumps."""
    body = parts.body
    nested = any(isinstance(s, (If, Loop)) for s in body)
    if len(parts.loops) < 2 or nested or _length(parts.loops[-1]) < _SHORT:
        return None, []
    inner = parts.loops[-1].index
    stored = {s.buffer for s in stores(body)}
    names = {x.index for x in parts.loops}
    for outer in reversed(parts.loops[:-1]):
        found = [
            s
            for s in body
            if isinstance(s, Load)
            and abs(s.index.coefficient(outer.index)) == 1
            and abs(s.index.coefficient(inner)) > 1
            and s.buffer not in stored
            and set(s.index.names()) <= names
        ]
        if found and _length(outer) >= _SHORT:
            return outer, found
    return None, []


def _length(loop: Loop) -> int:
    assert isinstance(loop.extent, int)
    return loop.extent


def _tiled(nest: Nest, parts: Band, outer: Loop, loads: list[Load], size: int) -> Nest:
    fresh = Fresh(nest)
    inner = parts.loops[-1]
    blocks = {x.index: fresh(f"{x.index}_tile") for x in (outer, inner)}
    scratch: list[Scratch] = []
    body: list[Statement] = []
    for load in loads:
        tile = Scratch(fresh(f"{load.buffer}_tile"), load.dtype, size * (size + 1))
        scratch.append(tile)
        down, across = fresh("down"), fresh("across")
        value = evolve(load, name=fresh(load.name))
        put = Store(tile.name, _in_tile(down, across, size), value.name)
        items = {outer.index: across, inner.index: down}
        moved = (value, put)
        body.append(_over_tile((inner, outer), items, blocks, moved, fresh, size))
    down, across = fresh("row"), fresh("item")
    items = {outer.index: down, inner.index: across}
    homes = {s.name: tile for s, tile in zip(loads, scratch, strict=True)}
    used: Body = tuple(
        evolve(s, buffer=homes[s.name].name, index=_in_tile(across, down, size))
        if isinstance(s, Load) and s.name in homes
        else s
        for s in parts.body
    )
    body.append(_over_tile((outer, inner), items, blocks, used, fresh, size))
    rest = [x for x in parts.loops if x is not outer and x is not inner]
    tiles = [
        Loop(blocks[x.index], -(-_length(x) // size), "parallel", ())
        for x in (outer, inner)
    ]
    whole = Band(parts.prefix, (*rest, *tiles), tuple(body)).rebuild(nest)
    return evolve(whole, scratch=(*nest.scratch, *scratch))


def _in_tile(row: str, column: str, size: int) -> Index:
    return Index.of(row, size + 1) + Index.of(column)


def _over_tile(
    loops: tuple[Loop, Loop],
    items: dict[str, str],
    blocks: dict[str, str],
    body: Body,
    fresh: Fresh,
    size: int,
) -> Loop:
    """Run a body over one tile, the first loop outside."""
    for loop in reversed(loops):
        block, item = blocks[loop.index], items[loop.index]
        place = Index.of(block, size) + Index.of(item)
        lets, body = define_index(body, loop.index, place, fresh)
        extent = Block(block, size, _length(loop))
        body = (Loop(item, extent, "parallel", (*lets, *body)),)
    made = body[0]
    assert isinstance(made, Loop)
    return made
