"""Text of packing for integer products: B into panels of words, A into 16-bit words.

A panel holds, for each step of k, one word of each of its columns. Elements past the
last k or the last column are zero, so that nothing beside them counts.
"""

from __future__ import annotations

import functools

from rxcore_kernels.integer_matmul_tile import DotTile
from rxcore_kernels.matmul_tile import word_names
from rxcore_kernels.source import Source
from rxcore_kernels.text import I8, I16, Value, Writer, kernel

__all__ = ["BIAS", "HELD", "pack_source", "sums_source", "widen_source"]

BIAS = 128
"""What is added to signed elements of A where only unsigned ones can be multiplied."""

HELD = {"int8": 1, "int4": 2, "uint4": 2}
"""Elements of B in a byte, by the format."""

PACK_WORDS = "n k b_batch b_row panels steps blocks block"


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

    The format is "int8", or "int4" or "uint4" with two elements along k to a byte.
    A unit is a block of steps of one panel of one matrix: (matrix * panels + panel) *
    blocks + block.
    """
    symbol = f"integer_matmul_pack_{format}_{tile.path}"
    held = HELD[format]
    with kernel(symbol, wide=tile.wide, direct=True) as w:
        source, target = w.address(0), w.address(1)
        d = word_names(w, 2, PACK_WORDS)
        with w.loop(w.lo, w.hi) as unit:
            flat, block = unit // d["blocks"], unit % d["blocks"]
            matrix, panel = flat // d["panels"], flat % d["panels"]
            first = block * d["block"]
            last = w.minimum(d["steps"], first + d["block"])
            column = panel * tile.columns
            corner = w.at(source, matrix * d["b_batch"] + column, I8)
            goal = w.at(target, flat * d["steps"] * tile.panel_step, I8)
            width = w.minimum(d["n"] - column, tile.columns)
            full = width.equals(tile.columns)
            whole = w.select(full, w.minimum(d["k"] // tile.group, last), first)
            with w.loop(first, whole) as step:
                line = w.at(corner, step * (tile.group // held) * d["b_row"], I8)
                rows = [
                    element
                    for r in range(tile.group // held)
                    for element in elements(
                        format,
                        w.load(I8.by(tile.columns), w.at(line, d["b_row"] * r, I8)),
                    )
                ]
                _store_words(w, tile, rows, w.at(goal, step * tile.panel_step, I8))
            with w.loop(w.maximum(whole, first), last) as step:
                _pack_edge(w, tile, format, corner, goal, step, width, d)
    return Source(w.text, symbol)


def _store_words(w: Writer, tile: DotTile, rows: list[Value], goal: Value) -> None:
    """Print the interleaving of `group` rows of bytes."""
    columns = tile.columns
    if tile.group == 2:
        wide = [w.cast("sext", row, I16.by(columns)) for row in rows]
        w.store(_interleave(w, *wide), goal)
        return
    pairs = [_interleave(w, *rows[:2]), _interleave(w, *rows[2:])]
    halves = [w.cast("bitcast", pair, I16.by(columns)) for pair in pairs]
    w.store(_interleave(w, *halves), goal)


def _interleave(w: Writer, a: Value, b: Value) -> Value:
    count = a.type.lanes
    order = [lane for i in range(count) for lane in (i, count + i)]
    return w.shuffle(a, b, order)


def _pack_edge(
    w: Writer,
    tile: DotTile,
    format: str,
    corner: Value,
    goal: Value,
    step: Value,
    width: Value,
    d: dict[str, Value],
) -> None:
    """Print one step of a panel element by element, with zeros past the edges."""
    with w.loop(0, tile.columns) as j, w.loop(0, tile.group) as r:
        row = step * tile.group + r
        there = (row < d["k"]) & (j < width)
        place = w.select(there, row // HELD[format] * d["b_row"] + j, 0)
        parts = elements(format, w.load(I8, corner, place))
        value = parts[0]
        if len(parts) == 2:
            value = w.select((row & 1).equals(0), *parts)
        if tile.element != I8:
            value = w.cast("sext", value, tile.element)
        value = w.select(there, value, 0)
        w.store(value, goal, (step * tile.columns + j) * tile.group + r)


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
def widen_source(dtype: str, lanes: int) -> Source:
    """Return the step that makes 16-bit numbers of rows of bytes; a unit is a row.

    Words: source, target, rows of a matrix, k, elements between matrices and between
    rows of the source, elements of a row of the target (a zero is put behind odd k).
    """
    symbol = f"integer_matmul_widen_{dtype}_{lanes}"
    op = "zext" if dtype == "uint8" else "sext"
    with kernel(symbol, wide=False, direct=True) as w:
        source, target = w.address(0), w.address(1)
        d = word_names(w, 2, "m k a_batch a_row length")
        with w.loop(w.lo, w.hi) as unit:
            offset = unit // d["m"] * d["a_batch"] + unit % d["m"] * d["a_row"]
            line = w.at(source, offset, I8)
            goal = w.at(target, unit * d["length"], I16)

            def move(
                count: int, i: Value, line: Value = line, goal: Value = goal
            ) -> None:
                given = I8.by(count) if count > 1 else I8
                made = I16.by(count) if count > 1 else I16
                w.store(w.cast(op, w.load(given, line, i), made), goal, i)

            size = 2 * lanes
            whole = d["k"] // size * size
            with w.loop(0, whole, size) as i:
                move(size, i)
            with w.loop(whole, d["k"]) as i:
                move(1, i)
            with w.loop(d["k"], d["length"]) as i:
                w.store(w.value(I16, 0), goal, i)
    return Source(w.text, symbol)
