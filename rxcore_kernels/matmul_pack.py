"""Text of packing: rows of a matrix with any strides, side by side for each step of k.

The matrix is A, or B turned; its rows become the lanes of a panel.
"""

from __future__ import annotations

import functools

from attrs import frozen

from rxcore_kernels.matmul_tile import Tile, turn, wide, word_names
from rxcore_kernels.source import Source
from rxcore_kernels.text import I64, Value, Writer, kernel

PACK_WORDS = "n k b_batch b_step b_column panels blocks block_k"


@frozen
class Panel:
    """Rows to be packed: element (r, kk) lies at r * row + kk * step.

    Args:
        corner: the first element of row 0.
        row: elements between rows.
        step: elements between steps of k.
        first: the first row of the panel.
        last: the last row that exists; the panel repeats it.
        depth: steps of k.
    """

    corner: Value
    row: Value
    step: Value
    first: Value
    last: Value
    depth: Value


def pack(w: Writer, tile: Tile, panel: Panel, target: Value, size: int) -> None:
    """Print target[kk * size + r] = row (first + r)[kk] for r in [0, size).

    Some lanes spill over into what the next step of kk writes, so the target needs a
    vector of slack.
    """
    done = w.slot(I64, 0)
    with w.when(panel.step.equals(1)):
        done.set(_pack_turned(w, tile, panel, target, size))
    whole = panel.last - panel.first >= size - 1
    # Masks that cost nothing serve partial panels too.
    plain = panel.row.equals(1)
    with w.when(plain if tile.masks else plain & whole):
        _pack_whole(w, tile, panel, target, size)
        done.set(panel.depth)
    with (
        w.loop(done.get(), panel.depth) as kk,
        w.loop(0, size) as r,
    ):
        row = w.minimum(panel.first + r, panel.last)
        value = w.load(tile.element, panel.corner, row * panel.row + kk * panel.step)
        w.store(value, target, kk * size + r)


def _pack_whole(w: Writer, tile: Tile, panel: Panel, target: Value, size: int) -> None:
    """Print the copy of rows that lie side by side already."""
    element, lanes = tile.element, tile.lanes
    count = panel.last - panel.first + 1
    starts = range(0, size, lanes) if tile.masks else ()
    masks = [w.first_lanes(count - j, lanes) for j in starts]
    with w.loop(0, panel.depth) as kk:
        line = w.at(panel.corner, kk * panel.step + panel.first, element)
        place = w.at(target, kk * size, element)
        for j, mask in zip(starts, masks, strict=True):
            w.store(w.load(tile.vector, line, j, mask=mask), place, j)
        if not tile.masks:
            w.copy(place, line, size * element.bytes)


def _pack_turned(
    w: Writer, tile: Tile, panel: Panel, target: Value, size: int
) -> Value:
    """Print the copy of rows with unit k stride; return the steps of k that it does.

    Groups of `lanes` rows, the last first: what it spills over is written again.
    """
    element, lanes = tile.element, tile.lanes
    block = 16 // element.bytes
    whole = panel.depth // block * block
    groups = -(-size // lanes)
    with w.loop(0, groups) as back:
        first = (groups - 1 - back) * lanes
        ids = [w.minimum(panel.first + first + r, panel.last) for r in range(lanes)]
        rows = [w.at(panel.corner, r * panel.row, element) for r in ids]
        with w.loop(0, whole, block) as kk:
            parts = [w.load(element.by(block), row, kk) for row in rows]
            place = w.at(target, kk * size + first, element)
            for step, column in enumerate(turn(w, parts)):
                w.store(column, place, step * size)
    return whole


@functools.cache
def pack_source(tile: Tile) -> Source:
    """Return the step that packs B into panels of `tile.columns` columns.

    A unit is a block of k of one panel of one matrix: unit (batch * panels + panel) *
    blocks + block. Columns past the last repeat it or are zero: their products are
    never stored.
    """
    symbol = f"matmul_pack_{tile.name}"
    with kernel(symbol, wide=wide(tile), direct=True) as w:
        source, target = w.address(0), w.address(1)
        d = word_names(w, 2, PACK_WORDS)
        with w.loop(w.lo, w.hi) as unit:
            flat, block = unit // d["blocks"], unit % d["blocks"]
            batch, panel = flat // d["panels"], flat % d["panels"]
            k0 = block * d["block_k"]
            offset = batch * d["b_batch"] + k0 * d["b_step"]
            columns = Panel(
                corner=w.at(source, offset, tile.element),
                row=d["b_column"],
                step=d["b_step"],
                first=panel * tile.columns,
                last=d["n"] - 1,
                depth=w.minimum(d["k"] - k0, d["block_k"]),
            )
            packed = (flat * d["k"] + k0) * tile.columns
            goal = w.at(target, packed, tile.element)
            pack(w, tile, columns, goal, tile.columns)
    return Source(w.text, symbol)
