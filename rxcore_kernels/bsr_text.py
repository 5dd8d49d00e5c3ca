"""Texts of Y = A X for a matrix A of dense square blocks; a unit is a row of blocks."""

from __future__ import annotations

import functools

from rxcore_kernels.csr_matmul_text import Columns, load_row
from rxcore_kernels.csr_text import Kind, Rows, sum_each
from rxcore_kernels.matmul_tile import word_names
from rxcore_kernels.source import Source
from rxcore_kernels.text import I64, Value, Writer, kernel

__all__ = ["matrix_source", "vector_source"]

WORDS = "rows columns nse block"

TOGETHER = 4
"""Rows of a block that share what is read of X."""


def _bounds(w: Writer, indptr: Value, unit: Value, d: dict[str, Value]) -> list[Value]:
    rows = Rows(w, indptr, d["rows"], d["nse"])
    low = rows.bound(unit)
    return [low, w.maximum(rows.bound(unit + 1), low)]


@functools.cache
def vector_source(k: Kind) -> Source:
    """Return the step y = A x: as many rows together as a vector has lanes.

    Words: data, indices, indptr, x, y, then `WORDS`.
    """
    symbol = f"bsr_vector_{k.name}"
    with kernel(symbol, wide=k.wide) as w:
        data, indices, indptr, x, y = (w.address(i) for i in range(5))
        d = word_names(w, 5, WORDS)
        block = d["block"]
        with w.loop(w.lo, w.hi) as unit:
            low, high = _bounds(w, indptr, unit, d)
            with w.loop(0, block, k.lanes) as row:
                sums = [w.slot(k.vector, 0.0) for _ in range(k.lanes)]
                with w.loop(low, high) as p:
                    name = k.column(w, indices, p)
                    with w.when(w.compare("ult", name, d["columns"])):
                        part = w.at(x, name * block, k.element)
                        first = (p * block + row) * block
                        lines = [
                            w.at(data, first + block * r, k.element)
                            for r in range(k.lanes)
                        ]
                        with w.loop(0, block, k.lanes) as j:
                            factors = w.load(k.vector, part, j)
                            for line, total in zip(lines, sums, strict=True):
                                values = w.load(k.vector, line, j)
                                total.set(w.muladd(values, factors, total.get()))
                found = sum_each(w, [s.get() for s in sums])
                w.store(found, y, unit * block + row)
    return Source(w.text, symbol)


@functools.cache
def matrix_source(k: Kind, c: Columns) -> Source:
    """Return the step Y = A X: a few rows together, whose sums stay in registers.

    Words: data, indices, indptr, X, Y, then `WORDS` and width.
    """
    symbol = f"bsr_matrix_{k.name}_{c.name}"
    with kernel(symbol, wide=k.wide) as w:
        data, indices, indptr, x, y = (w.address(i) for i in range(5))
        d = word_names(w, 5, f"{WORDS} width")
        block, width = d["block"], d["width"]
        with w.loop(w.lo, w.hi) as unit:
            low, high = _bounds(w, indptr, unit, d)
            with (
                w.loop(0, width, c.vectors * k.lanes) as j,
                w.loop(0, block, TOGETHER) as row,
            ):
                masks = c.masks(w, k, width - j)
                sums = [[w.slot(k.vector, 0.0) for _ in masks] for _ in range(TOGETHER)]
                with w.loop(low, high) as p:
                    name = k.column(w, indices, p)
                    with w.when(w.compare("ult", name, d["columns"])):
                        first = (p * block + row) * block
                        lines = [
                            w.at(data, first + block * r, k.element)
                            for r in range(TOGETHER)
                        ]
                        place = w.slot(I64, name * block * width + j)
                        with w.loop(0, block) as kk:
                            line = w.at(x, place.get(), k.element)
                            factors = load_row(w, k, line, masks)
                            for values, totals in zip(lines, sums, strict=True):
                                one = w.load(k.element, values, kk)
                                value = w.broadcast(one, k.lanes)
                                for total, factor in zip(totals, factors, strict=True):
                                    total.set(w.muladd(value, factor, total.get()))
                            place.set(place.get() + width)
                for r, totals in enumerate(sums):
                    line = w.at(y, (unit * block + row + r) * width + j, k.element)
                    for v, (total, mask) in enumerate(zip(totals, masks, strict=True)):
                        w.store(total.get(), line, v * k.lanes, mask=mask)
    return Source(w.text, symbol)
