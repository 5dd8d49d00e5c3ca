"""Texts of Y = A X for a matrix A in compressed rows."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from attrs import frozen

from rxcore_kernels.csr_text import (
    INDICES,
    LINE,
    Blocks,
    Kind,
    Panel,
    Rows,
    gather,
    leading,
    on_lines,
    panels,
)
from rxcore_kernels.matmul_tile import word_names
from rxcore_kernels.source import Source
from rxcore_kernels.text import I1, I64, Slot, Value, Writer, kernel

__all__ = ["Columns", "finish_source", "matrix_source", "vector_source"]

VECTOR_WORDS = "rows columns nnz size"
MATRIX_WORDS = "rows columns nnz size width block"

AHEAD = 1024
"""How many elements ahead lines of values and indices are asked for."""

PARTS = 4
"""Sums of a long row that are added side by side, to hide the latency."""


@functools.cache
def vector_source(k: Kind) -> Source:
    """Return the step y = A x; a unit is a chunk of the merge path.

    Words: data, indices, indptr, x, y, carry, open rows, then `VECTOR_WORDS`.
    """
    symbol = f"csr_vector_{k.name}"
    with kernel(symbol, wide=k.wide) as w:
        data, indices, indptr, x, y, carry, opened = (w.address(i) for i in range(7))
        d = word_names(w, 7, VECTOR_WORDS)
        rows = Rows(w, indptr, d["rows"], d["nnz"])

        def dot(low: Value, high: Value) -> Value:
            return _dot(w, k, (data, indices, x), low, high, d["columns"])

        with w.loop(w.lo, w.hi) as unit:
            i0, p0 = rows.place(unit, d["size"])
            i1, p1 = rows.place(unit + 1, d["size"])
            next_ = w.slot(I64, w.maximum(rows.bound(i0), p0))
            with w.loop(i0, i1) as row:
                low = next_.get()
                high = w.maximum(rows.bound(row + 1), low)
                w.store(dot(low, high), y, row)
                next_.set(high)
            low = w.minimum(next_.get(), p1)
            w.store(dot(low, p1), carry, unit)
            w.store(w.select(low < p1, i1, d["rows"]), opened, unit)
    return Source(w.text, symbol)


def _dot(
    w: Writer,
    k: Kind,
    places: tuple[Value, Value, Value],
    low: Value,
    high: Value,
    columns: Value,
) -> Value:
    """Print the sum of data[p] * x[indices[p]] over p in [low, high)."""
    data, indices, x = places
    sums = [w.slot(k.vector, 0.0) for _ in range(PARTS)]

    def add(place: Value, part: int, mask: Value | None) -> None:
        names = k.columns(w, indices, place, mask)
        there = k.below(w, names, columns)
        if mask is not None:
            there = there & mask
        values = w.load(k.vector, data, place, mask=there)
        factors = gather(w, k.vector, x, names, there)
        sums[part].set(w.muladd(values, factors, sums[part].get()))

    together = PARTS * k.lanes
    whole = low + (high - low) // together * together
    with w.loop(low, whole, together) as p:
        _ask_ahead(w, k, data, indices, p, together)
        for part in range(PARTS):
            add(p + part * k.lanes, part, None)
    with w.loop(whole, high, k.lanes) as p:
        _ask_ahead(w, k, data, indices, p, k.lanes)
        add(p, 0, w.first_lanes(high - p, k.lanes))
    first, second, third, fourth = (s.get() for s in sums)
    return w.reduce("fadd", (first + second) + (third + fourth))


def _ask_ahead(
    w: Writer, k: Kind, data: Value, indices: Value, place: Value, count: int
) -> None:
    """Ask for the lines of values and indices that a later turn reads."""
    for pointer, element in ((data, k.element), (indices, INDICES[k.index])):
        for line in range(0, count * element.bytes, LINE):
            w.prefetch(pointer, place + (AHEAD + line // element.bytes), element)


@functools.cache
def finish_source(k: Kind) -> Source:
    """Return the step that adds what open rows left behind; there is one unit.

    Words: carry, open rows, y, rows, width, units.
    """
    symbol = f"csr_finish_{k.name}"
    with kernel(symbol, wide=k.wide) as w:
        carry, opened, y = (w.address(i) for i in range(3))
        d = word_names(w, 3, "rows width units")
        with w.loop(0, d["units"]) as unit:
            row = w.load(I64, opened, unit)
            with w.when(row < d["rows"]), w.loop(0, d["width"]) as j:
                place = row * d["width"] + j
                left = w.load(k.element, carry, unit * d["width"] + j)
                w.store(w.load(k.element, y, place) + left, y, place)
    return Source(w.text, symbol)


@frozen
class Columns:
    """The columns of X that are worked on together.

    Args:
        vectors: how many vectors hold them.
        masked: whether the last of them may be beyond the end of a row.
    """

    vectors: int
    masked: bool

    @property
    def name(self) -> str:
        """What tells the kernels apart."""
        return f"{self.vectors}" + ("m" if self.masked else "")

    def masks(self, w: Writer, k: Kind, left: Value) -> list[Value | None]:
        """Return the mask of each vector where `left` columns are left."""
        if not self.masked:
            return [None] * self.vectors
        return [w.first_lanes(left - v * k.lanes, k.lanes) for v in range(self.vectors)]


def load_row(
    w: Writer, k: Kind, line: Value, masks: Sequence[Value | None]
) -> list[Value]:
    """Load the vectors that begin at `line`."""
    return [
        w.load(k.vector, line, v * k.lanes, mask=mask) for v, mask in enumerate(masks)
    ]


@functools.cache
def matrix_source(k: Kind, c: Columns) -> Source:
    """Return the step Y = A X; a unit is a chunk of the merge path.

    Rows go through X block by block of its rows, so that a block stays in cache; a
    row's elements in a block are those up to the first that names a later column.
    Elements that stand out of order, or name no column, come last, one by one.

    Words: data, indices, indptr, X, Y, carry, open rows, a copy of X on cache lines
    (or X), then `MATRIX_WORDS`.
    """
    symbol = f"csr_matrix_{k.name}_{c.name}"
    with kernel(symbol, wide=k.wide) as w:
        data, indices, indptr, _, y, carry, opened = (w.address(i) for i in range(7))
        x = on_lines(w, 3, 7)
        d = word_names(w, 8, MATRIX_WORDS)
        rows = Rows(w, indptr, d["rows"], d["nnz"])
        with w.loop(w.lo, w.hi) as unit:
            start = rows.place(unit, d["size"])
            stop = rows.place(unit + 1, d["size"])
            left = w.at(carry, unit * d["width"], k.element)
            last = w.maximum(rows.bound(stop[0]), start[1])
            w.store(w.select(last < stop[1], stop[0], d["rows"]), opened, unit)
            with w.loop(0, d["width"], c.vectors * k.lanes) as j:
                masks = c.masks(w, k, d["width"] - j)
                with panels(w, rows, start, stop) as panel:
                    lines = _Lines(y, left, stop[0], j, d["width"])
                    product = _Product(w, k, masks, data, indices, x, j, d["width"])
                    product.print_blocks(panel, lines, d["columns"], d["block"])
                    product.print_rest(panel, lines, d["columns"])
    return Source(w.text, symbol)


@frozen
class _Lines:
    """Where the sums of a row go: to Y, or to what an open row leaves behind."""

    y: Value
    left: Value
    open: Value
    j: Value
    width: Value

    def at(self, w: Writer, k: Kind, row: Value) -> Value:
        """Return the place of a row's first sum."""
        line = w.at(self.y, row * self.width, k.element)
        return w.at(w.select(row < self.open, line, self.left), self.j, k.element)


@frozen
class _Product:
    """The sums over elements of panels."""

    w: Writer
    k: Kind
    masks: list[Value | None]
    data: Value
    indices: Value
    x: Value
    j: Value
    width: Value

    def print_blocks(
        self, panel: Panel, lines: _Lines, columns: Value, block: Value
    ) -> None:
        """Print the loop over the blocks of X's rows."""
        w, k = self.w, self.k
        with Blocks.each(w, columns, block) as blocks, panel.rows() as (row, r):
            fresh = blocks.begin.equals(0)
            place, end = w.load(I64, panel.cursors, r), w.load(I64, panel.ends, r)
            with w.when((place < end) | fresh):
                later = panel.cursor_ahead(r)
                for pointer, element in (
                    (self.data, k.element),
                    (self.indices, INDICES[k.index]),
                ):
                    w.prefetch(pointer, later, element)
                    w.prefetch(pointer, later + LINE // element.bytes, element)
                line = lines.at(w, k, row)
                held = load_row(w, k, line, self.masks)
                sums = [w.select(fresh, w.value(k.vector, 0.0), h) for h in held]
                bound = blocks.bound(end - place)
                found, stop = self._add_block(sums, place, end, bound)
                w.store(stop, panel.cursors, r)
                for v, (value, mask) in enumerate(zip(found, self.masks, strict=True)):
                    w.store(value, line, v * k.lanes, mask=mask)

    def _add_block(
        self, sums: list[Value], place: Value, end: Value, bound: Value
    ) -> tuple[list[Value], Value]:
        """Print the sums over a row's elements up to a bound; return where it stops."""
        w, k = self.w, self.k
        turns = max(1, 8 // len(sums) if k.registers == 32 else 4 // len(sums))
        chains = [[w.slot(k.vector, s) for s in sums]]
        chains += [[w.slot(k.vector, 0.0) for _ in sums] for _ in range(turns - 1)]
        at, go = w.slot(I64, place), w.slot(I1, 1)
        with w.repeat(go.get):
            first = at.get()
            inside = w.first_lanes(end - first, k.lanes)
            names = k.columns(w, self.indices, first, inside)
            there = k.below(w, names, bound) & inside
            count = leading(w, there, k.lanes)
            whole = first + count // turns * turns
            with w.loop(first, whole, turns) as p:
                for turn, chain in enumerate(chains):
                    self._add(chain, p + turn)
            with w.loop(whole, first + count) as p:
                self._add(chains[0], p)
            at.set(first + count)
            go.set(count.equals(k.lanes))
        totals = [slot.get() for slot in chains[0]]
        for chain in chains[1:]:
            totals = [t + s.get() for t, s in zip(totals, chain, strict=True)]
        return totals, at.get()

    def _add(self, chain: list[Slot], place: Value) -> None:
        w, k = self.w, self.k
        value = w.broadcast(w.load(k.element, self.data, place), k.lanes)
        name = k.column(w, self.indices, place)
        line = w.at(self.x, name * self.width + self.j, k.element)
        factors = load_row(w, k, line, self.masks)
        for slot, factor in zip(chain, factors, strict=True):
            slot.set(w.muladd(value, factor, slot.get()))

    def print_rest(self, panel: Panel, lines: _Lines, columns: Value) -> None:
        """Print the sums over elements that no block took."""
        w, k = self.w, self.k
        with panel.rows() as (row, r):
            place, end = w.load(I64, panel.cursors, r), w.load(I64, panel.ends, r)
            with w.loop(place, end) as p:
                name = k.column(w, self.indices, p)
                with w.when(w.compare("ult", name, columns)):
                    line = lines.at(w, k, row)
                    chain = [
                        w.slot(k.vector, v) for v in load_row(w, k, line, self.masks)
                    ]
                    self._add(chain, p)
                    for v, (s, mask) in enumerate(zip(chain, self.masks, strict=True)):
                        w.store(s.get(), line, v * k.lanes, mask=mask)
