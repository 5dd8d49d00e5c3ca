"""Text of packing for integer products: B into panels of words, A into lines of them.

A panel holds, for each step of k, one word of each of its columns. Elements past the
last k or the last column are zero, so that nothing beside them counts.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from attrs import frozen

from rxcore_kernels.integer_matmul_tile import DotTile
from rxcore_kernels.matmul_tile import word_names
from rxcore_kernels.source import Source
from rxcore_kernels.text import I8, I16, Value, Writer, kernel

__all__ = [
    "BIAS",
    "HELD",
    "RUN",
    "Block",
    "line_source",
    "pack_block",
    "pack_source",
    "sums_source",
]

BIAS = 128
"""What is added to signed elements of A where only unsigned ones can be multiplied."""

HELD = {"int8": 1, "int4": 2, "uint4": 2}
"""Elements of B in a byte, by the format."""

RUN = 16
"""Panels that are packed together: rows of B are read some lines at a time."""

PACK_WORDS = "n k b_batch b_row panels runs steps blocks block"


@frozen
class Block:
    """Rows and columns of B to be packed.

    Args:
        format: "int8", or "int4" or "uint4" with two elements along k to a byte.
        corner: its first byte.
        row: bytes between rows.
        columns: columns that there are, from the first.
        depth: elements of k that there are, from the first.
    """

    format: str
    corner: Value
    row: Value
    columns: Value
    depth: Value


def elements(format: str, byte: Value) -> list[Value]:
    """Return the elements that bytes hold, as bytes."""
    if format == "int8":
        return [byte]
    if format == "uint4":
        return [byte & 15, byte.unsigned_shift(4)]
    return [(byte << 4) >> 4, byte >> 4]


@functools.cache
def pack_source(tile: DotTile, format: str) -> Source:
    """Return the step that packs B, its columns side by side.

    A unit is a block of steps of a run of panels of one matrix: (matrix * runs + run) *
    blocks + block.
    """
    symbol = f"integer_matmul_pack_{format}_{tile.path}"
    with kernel(symbol, wide=tile.wide, direct=True) as w:
        source, target = w.address(0), w.address(1)
        d = word_names(w, 2, PACK_WORDS)
        pitch = d["steps"] * tile.panel_step
        with w.loop(w.lo, w.hi) as unit:
            flat, first = unit // d["blocks"], unit % d["blocks"] * d["block"]
            matrix, panel = flat // d["runs"], flat % d["runs"] * RUN
            row = first * tile.group // HELD[format] * d["b_row"]
            corner = matrix * d["b_batch"] + panel * tile.columns + row
            block = Block(
                format,
                w.at(source, corner, I8),
                d["b_row"],
                d["n"] - panel * tile.columns,
                w.maximum(d["k"] - first * tile.group, 0),
            )
            goal = w.at(target, (matrix * d["panels"] + panel) * pitch, I8)
            goal = w.at(goal, first * tile.panel_step, I8)
            steps = w.minimum(d["steps"] - first, d["block"])
            panels = w.minimum(d["panels"] - panel, RUN)
            pack_block(w, tile, block, goal, pitch, steps, panels)
    return Source(w.text, symbol)


def pack_block(
    w: Writer,
    tile: DotTile,
    block: Block,
    goal: Value,
    pitch: Value | int,
    steps: Value,
    panels: Value,
) -> None:
    """Print the packing of some panels, whose starts are `pitch` bytes apart."""
    size, group = tile.columns, tile.group
    whole = w.minimum(block.depth // group, steps)
    full = w.minimum(block.columns // size, panels)
    rest = block.columns - full * size
    masks = w.first_lanes(rest, size) if tile.wide else None
    rows = group // HELD[block.format]
    with w.loop(0, whole) as step:
        line = w.at(block.corner, step * (rows * block.row), I8)
        place = w.at(goal, step * tile.panel_step, I8)
        lines = [w.at(line, block.row * r, I8) for r in range(rows)]
        with w.loop(0, full) as p:
            _pack_step(w, tile, block.format, lines, p, place, pitch)
        with w.when(full < panels):
            if masks is not None:
                _pack_step(w, tile, block.format, lines, full, place, pitch, masks)
            else:
                _pack_edge(w, tile, block, step, full, w.at(place, full * pitch, I8))
    with w.loop(0, panels) as p:
        place = w.at(goal, p * pitch, I8)
        after = w.at(place, whole * tile.panel_step, I8)
        w.zero(after, (steps - whole) * tile.panel_step)
        with w.when((whole < steps) & (whole * group < block.depth)):
            _pack_edge(w, tile, block, whole, p, after)


def _pack_step(
    w: Writer,
    tile: DotTile,
    format: str,
    lines: Sequence[Value],
    panel: Value,
    place: Value,
    pitch: Value | int,
    mask: Value | None = None,
) -> None:
    """Print one step of one panel."""
    kind, column = I8.by(tile.columns), panel * tile.columns
    rows = [
        element
        for line in lines
        for element in elements(format, w.load(kind, line, column, mask=mask))
    ]
    goal = w.at(place, panel * pitch, I8)
    if tile.group == 2:
        wide = [w.cast("sext", row, I16.by(tile.columns)) for row in rows]
        w.store(_interleave(w, *wide), goal)
        return
    pairs = [_interleave(w, *rows[:2]), _interleave(w, *rows[2:])]
    halves = [w.cast("bitcast", pair, I16.by(tile.columns)) for pair in pairs]
    w.store(_interleave(w, *halves), goal)


def _interleave(w: Writer, a: Value, b: Value) -> Value:
    count = a.type.lanes
    order = [lane for i in range(count) for lane in (i, count + i)]
    return w.shuffle(a, b, order)


def _pack_edge(
    w: Writer, tile: DotTile, block: Block, step: Value, panel: Value, goal: Value
) -> None:
    """Print one step of a panel element by element, with zeros past the edges."""
    with w.loop(0, tile.columns) as j, w.loop(0, tile.group) as r:
        row, column = step * tile.group + r, panel * tile.columns + j
        there = (row < block.depth) & (column < block.columns)
        place = w.select(there, row // HELD[block.format] * block.row + column, 0)
        parts = elements(block.format, w.load(I8, block.corner, place))
        value = parts[0]
        if len(parts) == 2:
            value = w.select((row & 1).equals(0), *parts)
        if tile.element != I8:
            value = w.cast("sext", value, tile.element)
        w.store(w.select(there, value, 0), goal, j * tile.group + r)


@functools.cache
def sums_source(tile: DotTile) -> Source:
    """Return the step that sums the columns of packed bytes, times -`BIAS`.

    A unit is a panel of a matrix. Words: panels, sums, steps.
    """
    symbol = f"integer_matmul_sums_{tile.path}"
    with kernel(symbol, wide=tile.wide, direct=True) as w:
        panels, target, steps = w.address(0), w.address(1), w.word(2)
        ones = w.value(tile.vector, 0x01010101)
        with w.loop(w.lo, w.hi) as unit:
            panel = w.at(panels, unit * steps * tile.panel_step, I8)
            sums = [w.slot(tile.vector, 0) for _ in range(tile.vectors)]
            with w.loop(0, steps) as step:
                for v, slot in enumerate(sums):
                    place = step * tile.columns + v * tile.lanes
                    words = w.load(tile.vector, panel, place)
                    slot.set(tile.dot(w, slot.get(), ones, words))
            for v, slot in enumerate(sums):
                place = unit * tile.columns + v * tile.lanes
                w.store(slot.get() * -BIAS, target, place)
    return Source(w.text, symbol)


@functools.cache
def line_source(tile: DotTile, dtype: str) -> Source:
    """Return the step that makes whole words of rows of A; a unit is a row.

    Words hold 16-bit numbers, or bytes, to which `BIAS` is added where they are signed.
    Words: source, target, k, elements of a row of the target.
    """
    symbol = f"integer_matmul_line_{tile.path}_{dtype}"
    op = "zext" if dtype == "uint8" else "sext"
    element = tile.element

    def convert(value: Value) -> Value:
        if element != I8:
            return w.cast(op, value, element.by(value.type.lanes))
        return value ^ -BIAS if dtype == "int8" else value

    with kernel(symbol, wide=tile.wide, direct=True) as w:
        source, target = w.address(0), w.address(1)
        k, length = w.word(2), w.word(3)
        with w.loop(w.lo, w.hi) as unit:
            line, goal = (
                w.at(source, unit * k, I8),
                w.at(target, unit * length, element),
            )
            size = tile.lanes * tile.group
            whole = k // size * size
            with w.loop(0, whole, size) as i:
                w.store(convert(w.load(I8.by(size), line, i)), goal, i)
            with w.loop(whole, k) as i:
                w.store(convert(w.load(I8, line, i)), goal, i)
            with w.loop(k, length) as i:
                w.store(w.value(element, 0), goal, i)
    return Source(w.text, symbol)
