"""LLVM IR of histograms: places by vectors, counts one by one."""

from __future__ import annotations

import functools

from rxcore_kernels.source import Source
from rxcore_kernels.text import F32, I32, I64, Value, Writer, kernel

__all__ = ["TABLES", "count_source", "sum_source"]

TABLES = 4
"""Tables that neighbours are counted in by turns, so that equal ones do not wait for
each other."""


@functools.cache
def count_source(lanes: int, signed: bool, tables: int) -> Source:
    """Print the counting of pieces of rows.

    Words: x, limits, tables (`tables` for each piece), n, bins, pieces of a row. Units:
    pieces.

    Args:
        lanes: elements of a vector.
        signed: whether numbers below zero have a table of their own, the first.
        tables: how many tables a piece counts in.
    """
    kind = "signed" if signed else "plain"
    symbol = f"histogram_{kind}_{tables}x{lanes}"
    with kernel(symbol, wide=lanes == 16) as w:
        x, limits, out = (w.address(i) for i in range(3))
        n, bins, pieces = (w.word(i) for i in range(3, 6))
        places = w.stack(I32, lanes)
        width = bins * (1 + signed)
        with w.loop(w.lo, w.hi) as unit:
            row, piece = unit // pieces, unit % pieces
            start = row * n + piece * n // pieces
            stop = row * n + (piece + 1) * n // pieces
            table = w.at(out, unit * width * tables, I32)
            w.zero(table, width * (4 * tables))
            last = w.cast("sitofp", bins - 1, F32)
            factor = w.cast("sitofp", bins, F32) / w.load(F32, limits, row)
            count = _Counter(w, lanes, signed, (bins, width))
            count.factor, count.last = (w.broadcast(v, lanes) for v in (factor, last))
            whole = (stop - start) // lanes
            with w.loop(0, whole) as i:
                vector = w.load(F32.by(lanes), x, start + i * lanes)
                w.store(count.places(vector), places, align=lanes * 4)
                for lane in range(lanes):
                    place = w.cast("sext", w.load(I32, places, lane), I64)
                    if lane % tables:
                        place = place + width * (lane % tables)
                    count.add(table, place)
            left = (stop - start) % lanes
            with w.when(left > 0):
                mask = w.first_lanes(left, lanes)
                vector = w.load(F32.by(lanes), x, stop - left, mask=mask)
                w.store(count.places(vector), places, align=lanes * 4)
                with w.loop(0, left) as k:
                    place = w.cast("sext", w.load(I32, places, k), I64)
                    count.add(table, place)
    return Source(w.text, symbol)


class _Counter:
    """What finds the place of elements, and counts them."""

    def __init__(
        self, w: Writer, lanes: int, signed: bool, sizes: tuple[Value, Value]
    ) -> None:
        self.w, self.lanes, self.signed = w, lanes, signed
        self.bins = w.broadcast(w.cast("trunc", sizes[0], I32), lanes)
        self.factor = self.last = self.bins

    def places(self, vector: Value) -> Value:
        """Return the bins of elements."""
        w = self.w
        size = w.intrinsic("llvm.fabs", vector.type, vector)
        steps = size * self.factor
        # False of NaN.
        steps = w.select(steps < self.last, steps, self.last)
        place = w.cast("fptosi", steps, I32.by(self.lanes))
        if not self.signed:
            return place
        return w.select(vector < 0.0, place, place + self.bins)

    def add(self, table: Value, place: Value) -> None:
        """Count one element."""
        w = self.w
        w.store(w.load(I32, table, place) + 1, table, place)


@functools.cache
def sum_source(lanes: int, block: int) -> Source:
    """Print the sums of the tables of each row.

    Words: tables (copies of a row one after the other), out, width of a table, copies,
    blocks of a table. Units: blocks of `block` bins.
    """
    symbol = f"histogram_sum_{block}x{lanes}"
    with kernel(symbol, wide=lanes == 16) as w:
        tables, out = w.address(0), w.address(1)
        width, copies, blocks = (w.word(i) for i in range(2, 5))
        with w.loop(w.lo, w.hi) as unit:
            row, part = unit // blocks, unit % blocks
            first = part * block
            many = w.minimum(first + block, width) - first
            source = w.at(tables, row * copies * width + first, I32)
            target = w.at(out, row * width + first, I32)
            w.copy(target, source, many * 4)
            with w.loop(1, copies) as k:
                other = w.at(source, k * width, I32)
                with w.loop(0, many, vectorize=True) as i:
                    both = w.load(I32, target, i) + w.load(I32, other, i)
                    w.store(both, target, i)
    return Source(w.text, symbol)
