"""Text of the integer product of a few rows: B is read once, where it lies.

A strip of B's columns is read row by row; words of four rows are made in registers and
multiplied with every row of A. So few sums stay in the first cache. B's 4-bit elements
are split there too, half a byte at a time: of eight rows first the even ones, then the
odd ones, and A's elements are arranged in that order beforehand.

Halves of bytes stay unsigned; signed ones are 8 too large, which the sum of A's row
corrects. Where both operands are signed bytes, A is biased to be unsigned and a row of
ones finds B's sums, which correct that.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from attrs import frozen

from rxcore_kernels.integer_matmul_pack import BIAS, HELD, elements
from rxcore_kernels.integer_matmul_tile import DotTile
from rxcore_kernels.matmul_tile import word_names
from rxcore_kernels.source import Source
from rxcore_kernels.text import I8, I16, I32, Type, Value, Writer, kernel

__all__ = ["GROUP", "LINE", "SUMS", "arrange_source", "needs_ones", "strip_source"]

GROUP = 8
"""Elements of k of one step: two words of bytes, or four of 16-bit numbers."""

LINE = 64
"""Columns that a strip is a multiple of."""

SUMS = 8192
"""Sums of a strip at most, over all rows: what fits the first cache."""

_AHEAD = 4
_ODD_LAST = (0, 2, 4, 6, 1, 3, 5, 7)


def needs_ones(a_dtype: str, format: str) -> bool:
    """Whether a row of ones is put behind A's rows."""
    return a_dtype == "int8" and format == "int8"


@functools.cache
def arrange_source(a_dtype: str, format: str) -> Source:
    """Return the step that arranges A by groups; a unit is a row of a matrix.

    Words: A, its groups, one number for each row to start its sums from, rows of a
    matrix, rows of an arranged one (one more for ones), k.
    """
    symbol = f"integer_matmul_arrange_{a_dtype}_{format}"
    packed, biased = HELD[format] == 2, needs_ones(a_dtype, format)
    extend = "zext" if a_dtype == "uint8" else "sext"
    order = _ODD_LAST if packed else tuple(range(GROUP))
    with kernel(symbol, wide=False, direct=True) as w:
        source, target, starts = (w.address(i) for i in range(3))
        d = word_names(w, 3, "m rows k")
        groups = (d["k"] + (GROUP - 1)) // GROUP
        whole = d["k"] // GROUP
        flip = -128 if biased else 0
        with w.loop(w.lo, w.hi) as unit:
            matrix, row = unit // d["rows"], unit % d["rows"]
            real = row < d["m"]
            at = matrix * d["m"] + w.minimum(row, d["m"] - 1)
            line = w.at(source, at * d["k"], I8)
            goal = w.at(target, (matrix * groups * d["rows"] + row) * GROUP, I8)
            step = d["rows"] * GROUP
            total = w.slot(I32.by(GROUP), 0)
            with w.loop(0, whole) as g:
                value = w.load(I8.by(GROUP), line, g * GROUP)
                total.set(total.get() + w.cast(extend, value, I32.by(GROUP)))
                value = w.shuffle(value, value, order) ^ flip
                if biased:
                    value = w.select(real, value, 1)
                w.store(value, goal, g * step)
            rest = w.slot(I32, 0)
            with w.when(whole < groups), w.loop(0, GROUP) as r:
                there = whole * GROUP + r < d["k"]
                place = w.select(there, whole * GROUP + r, 0)
                value = w.select(there, w.load(I8, line, place), 0)
                rest.set(rest.get() + w.cast(extend, value, I32))
                value = value ^ flip
                if biased:
                    value = w.select(real, value, 1)
                to = r if not packed else (r & 1) * 4 + r.unsigned_shift(1)
                w.store(w.select(there, value, 0), w.at(goal, whole * step, I8), to)
            start = w.reduce("add", total.get()) + rest.get()
            w.store(start * (-8 if format == "int4" else 0), starts, unit)
    return Source(w.text, symbol)


STRIP_WORDS = "m rows n k a_batch a_step a_row b_batch strip strips"


@functools.cache
def strip_source(tile: DotTile, a_dtype: str, format: str) -> Source:
    """Return the step C = A B; a unit is a strip of columns of one matrix.

    Words of addresses: A's words, B, C, what sums start from (where words are bytes).
    Words of A for a row and a step of `GROUP` elements lie `a_row` and `a_step` bytes
    apart; `a_batch` and `b_batch` are bytes between matrices.
    """
    symbol = f"integer_matmul_strip_{tile.path}_{a_dtype}_{format}"
    with kernel(symbol, wide=tile.wide, direct=True) as w:
        a, b, c, starts = (w.address(i) for i in range(4))
        d = word_names(w, 4, STRIP_WORDS)
        sums, spare = w.stack(I32, SUMS), w.stack(I8, GROUP * LINE)
        with w.loop(w.lo, w.hi) as unit:
            matrix = unit // d["strips"]
            column = unit % d["strips"] * d["strip"]
            strip = _Strip(
                *(w, tile, a_dtype, format),
                w.at(a, matrix * d["a_batch"], I8),
                w.at(b, matrix * d["b_batch"] + column, I8),
                w.at(c, matrix * d["m"] * d["n"] + column, I32),
                w.at(starts, matrix * d["rows"], I32),
                *(sums, spare),
                w.minimum(d["n"] - column, d["strip"]),
                d,
            )
            strip.multiply()
            strip.finish()
    return Source(w.text, symbol)


@frozen
class _Strip:
    """The product of all rows of A with a strip of columns of B."""

    w: Writer
    tile: DotTile
    a_dtype: str
    format: str
    a: Value
    b: Value
    c: Value
    starts: Value
    sums: Value
    spare: Value
    width: Value
    d: dict[str, Value]

    @property
    def line(self) -> int:
        """Columns that are multiplied together."""
        return LINE if self.tile.group == 4 else 2 * self.tile.lanes

    def multiply(self) -> None:
        """Print the sums, each step for all columns and rows."""
        w, d = self.w, self.d
        w.zero(self.sums, d["rows"] * d["strip"] * 4)
        held, line = HELD[self.format], self.line
        last = (d["k"] + (held - 1)) // held - 1
        count = GROUP // held
        whole = self.width // line * line
        rest = self.width - whole
        with w.loop(0, (d["k"] + (GROUP - 1)) // GROUP) as g:
            ids = [w.minimum(g * count + r, last) for r in range(count)]
            rows = [w.at(self.b, i * d["n"], I8) for i in ids]
            words = w.at(self.a, g * d["a_step"], I8)
            with w.loop(0, whole, line) as j:
                for row in rows:
                    w.prefetch(row, d["n"] * (_AHEAD * count) + j, I8)
                loaded = [w.load(I8.by(line), row, j) for row in rows]
                self.add(loaded, words, j)
            with w.when(rest > 0):
                self.add(self.part(rows, whole, rest), words, whole)

    def part(self, rows: Sequence[Value], start: Value, count: Value) -> list[Value]:
        """Return the last columns of rows, fewer than a line."""
        w, line = self.w, self.line
        if self.tile.wide:
            mask = w.first_lanes(count, line)
            return [w.load(I8.by(line), row, start, mask=mask) for row in rows]
        for r, row in enumerate(rows):
            w.copy(w.at(self.spare, r * line, I8), w.at(row, start, I8), count)
        return [w.load(I8.by(line), self.spare, r * line) for r in range(len(rows))]

    def add(self, loaded: list[Value], words: Value, j: Value) -> None:
        """Print one step for a line of columns."""
        w, lanes = self.w, self.tile.lanes
        sets = self.words(loaded)
        with w.loop(0, self.d["rows"]) as m:
            place = w.at(self.sums, m * self.d["strip"] + j, I32)
            row = w.at(words, m * self.d["a_row"], I8)
            values = [w.broadcast(w.load(I32, row, i), lanes) for i in range(len(sets))]
            for q in range(len(sets[0])):
                total = w.load(self.tile.vector, place, q * lanes)
                for value, vectors in zip(values, sets, strict=True):
                    total = self.dot(total, value, vectors[q])
                w.store(total, place, q * lanes)

    def words(self, rows: list[Value]) -> list[list[Value]]:
        """Return the words of a step: a list of vectors for each word of A."""
        if self.tile.group == 2:
            parts = [part for row in rows for part in elements(self.format, row)]
            return [self.pairs(*parts[i : i + 2]) for i in range(0, GROUP, 2)]
        if HELD[self.format] == 1:
            return [_interleaved(self.w, rows[:4]), _interleaved(self.w, rows[4:])]
        bytes_ = _interleaved(self.w, rows)
        if self.format == "int4":
            bytes_ = [v ^ -0x77777778 for v in bytes_]
        low = [v & 0x0F0F0F0F for v in bytes_]
        return [low, [v.unsigned_shift(4) & 0x0F0F0F0F for v in bytes_]]

    def pairs(self, first: Value, second: Value) -> list[Value]:
        """Return words of 16-bit numbers of two rows."""
        w, line = self.w, self.line
        a, b = (w.cast("sext", row, I16.by(line)) for row in (first, second))
        made = []
        for start in range(0, line, self.tile.lanes):
            columns = range(start, start + self.tile.lanes)
            both = w.shuffle(a, b, [x for c in columns for x in (c, line + c)])
            made.append(w.cast("bitcast", both, self.tile.vector))
        return made

    def dot(self, total: Value, a: Value, b: Value) -> Value:
        """Print total + a . b; signed A is multiplied with unsigned halves of bytes."""
        swap = self.tile.group == 4 and HELD[self.format] == 2
        if swap and self.a_dtype == "int8":
            a, b = b, a
        return self.tile.dot(self.w, total, a, b)

    def finish(self) -> None:
        """Print the stores of the sums, in the order of columns."""
        w, d, line = self.w, self.d, self.line
        whole = self.width // line * line
        rest = self.width - whole
        with w.loop(0, d["m"]) as m:
            goal = w.at(self.c, m * d["n"], I32)
            place = w.at(self.sums, m * d["strip"], I32)
            with w.loop(0, whole, line) as j:
                for q, value in enumerate(self.found(m, place, j)):
                    w.store(value, goal, j + q * self.tile.lanes)
            with w.when(rest > 0):
                # Sums of columns past the last are in the room of the first cache.
                for q, value in enumerate(self.found(m, place, whole)):
                    w.store(value, place, whole + q * self.tile.lanes)
                w.copy(w.at(goal, whole, I32), w.at(place, whole, I32), rest * 4)

    def found(self, m: Value, place: Value, j: Value) -> list[Value]:
        """Return the sums of a line of columns."""
        w, lanes = self.w, self.tile.lanes
        count = self.line // lanes
        values = [w.load(self.tile.vector, place, j + q * lanes) for q in range(count)]
        if self.tile.group == 2:
            return values
        start = w.broadcast(w.load(I32, self.starts, m), lanes)
        values = [value + start for value in values]
        if needs_ones(self.a_dtype, self.format):
            ones = w.at(self.sums, self.d["m"] * self.d["strip"] + j, I32)
            values = [
                value - w.load(self.tile.vector, ones, q * lanes) * BIAS
                for q, value in enumerate(values)
            ]
        return _ordered(w, values)


def _interleaved(w: Writer, rows: Sequence[Value]) -> list[Value]:
    """Return the words of four rows of bytes: one shuffle for each of two levels.

    Word vector q holds in its 128-bit lane l columns 16 l + 4 q and on.
    """
    a, b = (_unpacked(w, rows[i], rows[i + 1], I8, 16) for i in (0, 2))
    made: list[Value] = []
    for x, y in zip(a, b, strict=True):
        halves = [w.cast("bitcast", v, I16.by(LINE // 2)) for v in (x, y)]
        made += _unpacked(w, halves[0], halves[1], I16, 8)
    return [w.cast("bitcast", v, I32.by(LINE // 4)) for v in made]


def _unpacked(w: Writer, a: Value, b: Value, kind: Type, inner: int) -> list[Value]:
    """Interleave the low, and the high halves of each 128-bit lane."""
    lanes = LINE // kind.bytes
    return [
        w.shuffle(
            a,
            b,
            [
                part + side
                for lane in range(0, lanes, inner)
                for part in range(lane + half, lane + half + inner // 2)
                for side in (0, lanes)
            ],
        )
        for half in (0, inner // 2)
    ]


def _ordered(w: Writer, parts: Sequence[Value]) -> list[Value]:
    """Undo the order of `_interleaved`: transpose four vectors of four lanes."""
    pairs = [
        w.shuffle(
            parts[i],
            parts[i + 1],
            [x for lane in (k, k + 1) for s in (0, 16) for x in _four(4 * lane + s)],
        )
        for k in (0, 2)
        for i in (0, 2)
    ]
    made = []
    for first, second in (pairs[:2], pairs[2:]):
        for half in (0, 8):
            lanes = [*range(half, half + 8), *range(16 + half, 24 + half)]
            made.append(w.shuffle(first, second, lanes))
    return made


def _four(start: int) -> range:
    return range(start, start + 4)
