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

from rxcore_kernels.integer_matmul_pack import BIAS, HELD
from rxcore_kernels.integer_matmul_tile import DotTile
from rxcore_kernels.matmul_tile import word_names
from rxcore_kernels.source import Source
from rxcore_kernels.text import I8, I16, I32, Type, Value, Writer, kernel

__all__ = ["GROUP", "LINE", "SUMS", "arrange_source", "needs_ones", "strip_source"]

GROUP = 8
"""Elements of k of one step: two words."""

LINE = 64
"""Columns of one step."""

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


STRIP_WORDS = "m rows n k a_batch b_batch strip strips"


@functools.cache
def strip_source(tile: DotTile, a_dtype: str, format: str) -> Source:
    """Return the step C = A B; a unit is a strip of columns of one matrix.

    Words of addresses: arranged A, B, C, what sums start from. `a_batch` and `b_batch`
    are bytes between matrices.
    """
    symbol = f"integer_matmul_strip_{tile.path}_{a_dtype}_{format}"
    with kernel(symbol, wide=True, direct=True) as w:
        a, b, c, starts = (w.address(i) for i in range(4))
        d = word_names(w, 4, STRIP_WORDS)
        sums = w.stack(I32, SUMS)
        with w.loop(w.lo, w.hi) as unit:
            matrix = unit // d["strips"]
            column = unit % d["strips"] * d["strip"]
            strip = _Strip(
                w,
                tile,
                a_dtype,
                format,
                w.at(a, matrix * d["a_batch"], I8),
                w.at(b, matrix * d["b_batch"] + column, I8),
                w.at(c, matrix * d["m"] * d["n"] + column, I32),
                w.at(starts, matrix * d["rows"], I32),
                sums,
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
    width: Value
    d: dict[str, Value]

    def lines(self, body: functools.partial[None]) -> None:
        """Print `body(j, mask)` for lines of columns, the last of them masked."""
        w = self.w
        whole = self.width // LINE * LINE
        with w.loop(0, whole, LINE) as j:
            body(j, None)
        with w.when(whole < self.width):
            body(whole, w.first_lanes(self.width - whole, LINE))

    def multiply(self) -> None:
        """Print the sums, each step for all columns and rows."""
        w, d = self.w, self.d
        w.zero(self.sums, d["rows"] * d["strip"] * 4)
        held = HELD[self.format]
        last = (d["k"] + (held - 1)) // held - 1
        count = GROUP // held
        with w.loop(0, (d["k"] + (GROUP - 1)) // GROUP) as g:
            ids = [w.minimum(g * count + r, last) for r in range(count)]
            rows = [w.at(self.b, i * d["n"], I8) for i in ids]
            words = w.at(self.a, g * d["rows"] * GROUP, I8)
            self.lines(functools.partial(self.add, rows, words))

    def add(
        self, rows: Sequence[Value], words: Value, j: Value, mask: Value | None
    ) -> None:
        """Print one step for a line of columns."""
        w = self.w
        if mask is None:
            for row in rows:
                w.prefetch(row, self.d["n"] * (_AHEAD * len(rows)) + j, I8)
        loaded = [w.load(I8.by(LINE), row, j, mask=mask) for row in rows]
        first, second = self.words(loaded)
        with w.loop(0, self.d["rows"]) as m:
            place = w.at(self.sums, m * self.d["strip"] + j, I32)
            pair = [
                w.broadcast(w.load(I32, words, m * 2 + i), self.tile.lanes)
                for i in range(2)
            ]
            for q in range(4):
                total = w.load(self.tile.vector, place, q * self.tile.lanes)
                total = self.dot(total, pair[0], first[q])
                total = self.dot(total, pair[1], second[q])
                w.store(total, place, q * self.tile.lanes)

    def words(self, rows: list[Value]) -> tuple[list[Value], list[Value]]:
        """Return the words of a step, of its first and second half of k."""
        if HELD[self.format] == 1:
            return _interleaved(self.w, rows[:4]), _interleaved(self.w, rows[4:])
        bytes_ = _interleaved(self.w, rows)
        if self.format == "int4":
            bytes_ = [v ^ -0x77777778 for v in bytes_]
        low = [v & 0x0F0F0F0F for v in bytes_]
        return low, [v.unsigned_shift(4) & 0x0F0F0F0F for v in bytes_]

    def dot(self, total: Value, a: Value, b: Value) -> Value:
        """Print total + a . b; signed A is multiplied with unsigned halves of bytes."""
        if self.a_dtype == "int8" and HELD[self.format] == 2:
            a, b = b, a
        return self.tile.dot(self.w, total, a, b)

    def finish(self) -> None:
        """Print the stores of the sums, in the order of columns."""
        w, d = self.w, self.d
        with w.loop(0, d["m"]) as m:
            start = w.load(I32, self.starts, m)
            value = w.broadcast(start, self.tile.lanes)
            line = w.at(self.c, m * d["n"], I32)
            place = w.at(self.sums, m * d["strip"], I32)
            self.lines(functools.partial(self.store, line, place, value))

    def store(
        self, line: Value, place: Value, start: Value, j: Value, mask: Value | None
    ) -> None:
        """Print the stores of a line of columns."""
        w, lanes = self.w, self.tile.lanes
        ones = w.at(self.sums, self.d["m"] * self.d["strip"], I32)
        found = []
        for q in range(4):
            value = w.load(self.tile.vector, place, j + q * lanes) + start
            if needs_ones(self.a_dtype, self.format):
                value = value - w.load(self.tile.vector, ones, j + q * lanes) * BIAS
            found.append(value)
        for q, value in enumerate(_ordered(w, found)):
            kept = None
            if mask is not None:
                kept = w.first_lanes(self.width - j - q * lanes, lanes)
            w.store(value, line, j + q * lanes, mask=kept)


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
