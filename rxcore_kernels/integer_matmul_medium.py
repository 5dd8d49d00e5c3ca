"""Text of the integer product of some dozens of rows by AMX.

So few rows use each element of B only some times: packing all of B would cost more than
multiplying. Each run of panels is packed block by block of k into the second cache and
multiplied at once.
"""

from __future__ import annotations

import functools

from rxcore_kernels.integer_matmul_amx import (
    COLUMNS,
    DEPTH,
    ROWS,
    TILE_BYTES,
    TileBlock,
    configure,
    pack_rows,
    tile_do,
)
from rxcore_kernels.integer_matmul_pack import HELD, Block, pack_block
from rxcore_kernels.integer_matmul_tile import DotTile
from rxcore_kernels.matmul_tile import word_names
from rxcore_kernels.source import Source
from rxcore_kernels.text import I8, I32, I64, kernel

__all__ = ["BLOCK_K", "MOST_ROWS", "RUN", "rows_source", "run_source"]

MOST_ROWS = 128
"""Rows up to which B is packed as it is used."""

RUN = 8
BLOCK_K = 512
"""Panels and elements of k that are packed at a time."""

_STEP = 4 * COLUMNS


@functools.cache
def rows_source() -> Source:
    """Return the step that packs A; a unit is 16 rows of one matrix.

    Words: A, its tiles, m, k, groups of 16 rows of a matrix.
    """
    symbol = "integer_matmul_rows_amx"
    with kernel(symbol, wide=True, direct=True) as w:
        source, target = w.address(0), w.address(1)
        d = word_names(w, 2, "m k groups")
        tiles = (d["k"] + (DEPTH - 1)) // DEPTH
        with w.loop(w.lo, w.hi) as unit:
            matrix, row = unit // d["groups"], unit % d["groups"] * 16
            corner = w.at(source, (matrix * d["m"] + row) * d["k"], I8)
            goal = w.at(target, unit * tiles * TILE_BYTES, I8)
            height = w.minimum(d["m"] - row, 16)
            pack_rows(w, corner, goal, height, d["k"], d["k"])
    return Source(w.text, symbol)


RUN_WORDS = "m n k a_batch b_batch panels runs run"


@functools.cache
def run_source(tile: DotTile, a_dtype: str, format: str) -> Source:
    """Return the step C = A B; a unit is a run of panels of one matrix.

    Words of addresses: packed A, B, C. `a_batch` and `b_batch` are bytes.
    """
    symbol = f"integer_matmul_run_amx_{a_dtype}_{format}"
    with kernel(symbol, wide=True, direct=True) as w:
        places = [w.address(i) for i in range(3)]
        d = word_names(w, 3, RUN_WORDS)
        buffer = w.stack(I8, RUN * COLUMNS * BLOCK_K)
        spare = w.stack(I32, ROWS * COLUMNS)
        configure(w)
        a_tiles = (d["k"] + (DEPTH - 1)) // DEPTH
        pitch = BLOCK_K * COLUMNS
        with w.loop(w.lo, w.hi) as unit:
            matrix, panel = unit // d["runs"], unit % d["runs"] * d["run"]
            column = panel * COLUMNS
            panels = w.minimum(d["panels"] - panel, d["run"])
            a = w.at(places[0], matrix * d["a_batch"], I8)
            b = w.at(places[1], matrix * d["b_batch"] + column, I8)
            c = w.at(places[2], matrix * d["m"] * d["n"] + column, I32)
            columns = d["n"] - column
            with w.loop(0, w.maximum(d["k"], 1), BLOCK_K) as k0:
                depth = w.minimum(d["k"] - k0, BLOCK_K)
                tiles = (depth + (DEPTH - 1)) // DEPTH
                corner = w.at(b, k0 // HELD[format] * d["n"], I8)
                block = Block(format, corner, d["n"], columns, depth)
                pack_block(w, tile, block, buffer, pitch, tiles * 16, panels)
                first = k0.equals(0)
                product = TileBlock(
                    *(w, a_dtype, w.at(a, k0 // DEPTH * TILE_BYTES, I8), a_tiles),
                    *(d["m"], tiles, first, spare, d["n"], w.value(I64, pitch)),
                )
                with w.loop(0, panels) as p:
                    line, goal = w.at(buffer, p * pitch, I8), w.at(c, p * COLUMNS, I32)
                    width = w.minimum(columns - p * COLUMNS, COLUMNS)
                    product.panel(line, goal, width)
        tile_do(w, "tilerelease")
    return Source(w.text, symbol)
