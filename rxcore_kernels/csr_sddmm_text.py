"""Texts of products of rows of two matrices at the places of a pattern."""

from __future__ import annotations

import functools

from rxcore_kernels.csr_matmul_text import Columns, load_row
from rxcore_kernels.csr_text import (
    INDICES,
    Blocks,
    Kind,
    Panel,
    Rows,
    gather,
    leading,
    on_lines,
    panels,
    sum_each,
)
from rxcore_kernels.matmul_tile import word_names
from rxcore_kernels.source import Source
from rxcore_kernels.text import I1, I64, Value, Writer, kernel

__all__ = ["outer_source", "sddmm_source"]

OUTER_WORDS = "rows columns nnz size units"
SDDMM_WORDS = "rows columns nnz size units width block"


def _clear(
    w: Writer,
    k: Kind,
    out: Value,
    unit: Value,
    p0: Value,
    p1: Value,
    d: dict[str, Value],
) -> None:
    """Print zeros for a unit's elements; the last unit has those behind the rows."""
    final = (unit + 1).equals(d["units"])
    stop = w.select(final, d["nnz"], p1)
    w.zero(w.at(out, p0, k.element), (stop - p0) * k.element.bytes)


@functools.cache
def outer_source(k: Kind) -> Source:
    """Return the step S[p] = x[row of p] * y[indices[p]]; a unit is a path's chunk.

    Words: x, y, indices, indptr, S, then `OUTER_WORDS`.
    """
    symbol = f"csr_outer_{k.name}"
    with kernel(symbol, wide=k.wide) as w:
        x, y, indices, indptr, out = (w.address(i) for i in range(5))
        d = word_names(w, 5, OUTER_WORDS)
        rows = Rows(w, indptr, d["rows"], d["nnz"])
        with w.loop(w.lo, w.hi) as unit:
            i0, p0 = rows.place(unit, d["size"])
            i1, p1 = rows.place(unit + 1, d["size"])
            _clear(w, k, out, unit, p0, p1, d)
            with w.loop(i0, w.minimum(i1 + 1, d["rows"])) as row:
                low = w.maximum(rows.bound(row), p0)
                high = w.minimum(rows.bound(row + 1), p1)
                factor = w.broadcast(w.load(k.element, x, row), k.lanes)
                with w.loop(low, high, k.lanes) as p:
                    mask = w.first_lanes(high - p, k.lanes)
                    names = k.columns(w, indices, p, mask)
                    there = k.below(w, names, d["columns"]) & mask
                    product = gather(w, k.vector, y, names, there) * factor
                    w.store(product, out, p, mask=there)
    return Source(w.text, symbol)


@functools.cache
def sddmm_source(k: Kind, c: Columns, *, adds: bool) -> Source:
    """Return the step S[p] = X[row of p] · Y[indices[p]]; a unit is a path's chunk.

    As many products as a vector has lanes are added up together. Rows go through Y
    block by block, as in `csr_matmul_text.matrix_source`. With `adds` the rows of X
    and Y are longer than `c`, and parts of the products are added in S.

    Words: X, Y, indices, indptr, S, a copy of Y on cache lines (or Y), then
    `SDDMM_WORDS`.
    """
    symbol = f"csr_sddmm_{k.name}_{c.name}" + ("a" if adds else "")
    with kernel(symbol, wide=k.wide) as w:
        x, _, indices, indptr, out = (w.address(i) for i in range(5))
        y = on_lines(w, 1, 5)
        d = word_names(w, 6, SDDMM_WORDS)
        rows = Rows(w, indptr, d["rows"], d["nnz"])
        names = w.stack(I64, k.lanes)
        with w.loop(w.lo, w.hi) as unit:
            start = rows.place(unit, d["size"])
            stop = rows.place(unit + 1, d["size"])
            _clear(w, k, out, unit, start[1], stop[1], d)
            with w.loop(0, d["width"], c.vectors * k.lanes) as j:
                masks = c.masks(w, k, d["width"] - j)
                with panels(w, rows, start, stop) as panel:
                    sampled = _Sampled(
                        w, k, masks, (x, y, indices, out), names, j, d, adds
                    )
                    sampled.print_blocks(panel)
                    sampled.print_rest(panel)
    return Source(w.text, symbol)


class _Sampled:
    """The products of a panel's elements."""

    def __init__(
        self,
        w: Writer,
        k: Kind,
        masks: list[Value | None],
        places: tuple[Value, Value, Value, Value],
        names: Value,
        j: Value,
        d: dict[str, Value],
        adds: bool,
    ) -> None:
        self.w, self.k, self.masks, self.d = w, k, masks, d
        self.x, self.y, self.indices, self.out = places
        self.names, self.j, self.adds = names, j, adds

    def _row(self, base: Value, row: Value) -> list[Value]:
        w, k = self.w, self.k
        line = w.at(base, row * self.d["width"] + self.j, k.element)
        return load_row(w, k, line, self.masks)

    def print_blocks(self, panel: Panel) -> None:
        """Print the loop over the blocks of Y's rows."""
        w, k, d = self.w, self.k, self.d
        with (
            Blocks.each(w, d["columns"], d["block"]) as blocks,
            panel.rows() as (row, r),
        ):
            at = w.slot(I64, w.load(I64, panel.cursors, r))
            end = w.load(I64, panel.ends, r)
            with w.when(at.get() < end):
                later = panel.cursor_ahead(r)
                w.prefetch(self.indices, later, INDICES[k.index])
                bound = blocks.bound(end - at.get())
                factors = self._row(self.x, row)
                go = w.slot(I1, 1)
                with w.repeat(go.get):
                    first = at.get()
                    inside = w.first_lanes(end - first, k.lanes)
                    names = k.columns(w, self.indices, first, inside)
                    there = k.below(w, names, bound) & inside
                    count = leading(w, there, k.lanes)
                    with w.when(count > 0):
                        self._print_group(names, first, count, factors)
                    at.set(first + count)
                    go.set(count.equals(k.lanes))
                w.store(at.get(), panel.cursors, r)

    def _print_group(
        self, names: Value, first: Value, count: Value, factors: list[Value]
    ) -> None:
        """Print the first `count` products of a group."""
        w, k = self.w, self.k
        kept = w.first_lanes(count, k.lanes)
        safe = w.select(kept, names, w.value(names.type, 0))
        wide = (
            safe if safe.type.element == I64 else w.cast("zext", safe, I64.by(k.lanes))
        )
        w.store(wide, self.names)
        vectors = []
        for lane in range(k.lanes):
            parts = self._row(self.y, w.load(I64, self.names, lane))
            total = parts[0] * factors[0]
            for part, factor in zip(parts[1:], factors[1:], strict=True):
                total = w.muladd(part, factor, total)
            vectors.append(total)
        sums = sum_each(w, vectors)
        if self.adds:
            sums = sums + w.load(k.vector, self.out, first, mask=kept)
        w.store(sums, self.out, first, mask=kept)

    def print_rest(self, panel: Panel) -> None:
        """Print the products of elements that no block took, one by one."""
        w, k, d = self.w, self.k, self.d
        with panel.rows() as (row, r):
            place, end = w.load(I64, panel.cursors, r), w.load(I64, panel.ends, r)
            with w.loop(place, end) as p:
                name = k.column(w, self.indices, p)
                with w.when(w.compare("ult", name, d["columns"])):
                    pairs = zip(
                        self._row(self.x, row), self._row(self.y, name), strict=True
                    )
                    total = w.value(k.vector, 0.0)
                    for a, b in pairs:
                        total = w.muladd(a, b, total)
                    found = w.reduce("fadd", total)
                    if self.adds:
                        found = found + w.load(k.element, self.out, p)
                    w.store(found, self.out, p)
