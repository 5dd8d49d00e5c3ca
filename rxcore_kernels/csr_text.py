"""What the texts of sparse kernels share: patterns, the merge path, panels of rows.

Units are equal chunks of the merge path: the ends of the rows and the elements, merged
in order (Merrill and Garland, "Merge-based parallel sparse matrix-vector
multiplication", 2016). So no row is too long and no number of empty rows too large.
A row that ends in a later chunk than it began in leaves its sum behind.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from rxcore_kernels.host import Features
from rxcore_kernels.source import Source
from rxcore_kernels.text import (
    F32,
    F64,
    I1,
    I16,
    I32,
    I64,
    POINTER,
    Type,
    Value,
    Writer,
    kernel,
)

__all__ = [
    "FEW",
    "PANEL",
    "Blocks",
    "Kind",
    "Panel",
    "Rows",
    "choose_kind",
    "path_units",
]

ELEMENTS = {"float32": F32, "float64": F64}
INDICES = {"int32": I32, "uint16": I16, "int64": I64}

LINE = 64
"""Bytes of a cache line."""

PANEL = 512
"""Rows that share a block of columns while it is in cache."""

FEW = 12
"""Elements that a row should have in a block, so that the visit pays."""

SOON = 4
"""How many rows ahead elements are asked for."""

UNIT = 8192
"""Row ends and elements of a unit, at least."""

UNITS = 32
"""Units at most: enough that threads which finish early find more."""


@frozen
class Kind:
    """Types of a sparse kernel.

    Args:
        dtype: "float32" or "float64", of all numbers.
        index: "int32", "uint16" or "int64", of the columns' names; row bounds are
            int32.
        lanes: elements of a vector.
        registers: vector registers of the machine.
    """

    dtype: str
    index: str
    lanes: int
    registers: int = 32

    @property
    def element(self) -> Type:
        """The type of the numbers."""
        return ELEMENTS[self.dtype]

    @property
    def vector(self) -> Type:
        """The type of a vector of numbers."""
        return self.element.by(self.lanes)

    @property
    def wide(self) -> bool:
        """Whether 512-bit vectors are asked for."""
        return self.lanes * self.element.bytes == 64

    @property
    def name(self) -> str:
        """What tells the kernels of this kind apart."""
        short = {"int32": "i32", "uint16": "u16", "int64": "i64"}[self.index]
        return f"f{8 * self.element.bytes}_{short}_x{self.lanes}"

    def columns(
        self, w: Writer, indices: Value, place: Value, mask: Value | None = None
    ) -> Value:
        """Load a vector of columns' names as integers of at least 32 bits."""
        stored = INDICES[self.index].by(self.lanes)
        found = w.load(stored, indices, place, mask=mask)
        return w.cast("zext", found, I32.by(self.lanes)) if stored.bytes == 2 else found

    def column(self, w: Writer, indices: Value, place: Value) -> Value:
        """Load one column's name as an unsigned i64."""
        found = w.load(INDICES[self.index], indices, place)
        return found if found.type == I64 else w.cast("zext", found, I64)

    def below(self, w: Writer, names: Value, bound: Value) -> Value:
        """Say which names, as unsigned numbers, are below an i64 bound."""
        kind = names.type.element
        limit = bound if kind == I64 else w.cast("trunc", bound, kind)
        return w.compare("ult", names, w.broadcast(limit, self.lanes))


def choose_kind(dtype: str, index: str, features: Features) -> Kind:
    """Return the types for a processor."""
    lanes = features.vector_bits // 8 // ELEMENTS[dtype].bytes
    wide = features.avx512 or "neon" in features
    return Kind(dtype, index, lanes, 32 if wide else 16)


def path_units(rows: int, nnz: int) -> int:
    """Return into how many units the merge path is cut."""
    return max(1, min(UNITS, (rows + nnz) // UNIT))


@frozen
class Rows:
    """A pattern's row bounds, read safely whatever they hold.

    Args:
        w: the kernel being printed.
        indptr: rows + 1 int32.
        rows: i64.
        nnz: elements that may be read, i64.
    """

    w: Writer
    indptr: Value
    rows: Value
    nnz: Value

    def bound(self, row: Value) -> Value:
        """Return indptr[row], kept inside [0, nnz]."""
        w = self.w
        found = w.cast("sext", w.load(I32, self.indptr, row), I64)
        return w.minimum(w.maximum(found, 0), self.nnz)

    def place(self, unit: Value, size: Value) -> tuple[Value, Value]:
        """Return the row and the element at which a unit of the path begins."""
        w = self.w
        held = self.bound(self.rows)
        step = w.minimum(unit * size, self.rows + held)
        low = w.slot(I64, w.maximum(step - held, 0))
        high = w.slot(I64, w.minimum(step, self.rows))
        with w.repeat(lambda: low.get() < high.get()):
            middle = (low.get() + high.get()).unsigned_shift(1)
            before = self.bound(middle + 1) < step - middle
            low.set(w.select(before, middle + 1, low.get()))
            high.set(w.select(before, high.get(), middle))
        return low.get(), step - low.get()


@frozen
class Blocks:
    """The blocks of columns that a panel goes through, to keep them in cache.

    Args:
        w: the kernel being printed.
        columns: all columns.
        begin: the first column of a block.
        stop: one past its last column.
        limit: a row with fewer elements left is too sparse for blocks.
    """

    w: Writer
    columns: Value
    begin: Value
    stop: Value
    limit: Value

    @classmethod
    @contextmanager
    def each(cls, w: Writer, columns: Value, size: Value) -> Iterator[Blocks]:
        """Print a loop over the blocks; a matrix without columns has one."""
        with w.loop(0, w.maximum(columns, 1), size) as begin:
            stop = w.minimum(begin + size, columns)
            limit = (columns - begin) * FEW // size
            yield cls(w, columns, begin, stop, limit)

    def bound(self, left: Value) -> Value:
        """Return up to which column a row with `left` elements goes."""
        return self.w.select(left < self.limit, self.columns, self.stop)


@frozen
class Panel:
    """Rows of a unit, a few hundred at a time, each with where it is being read.

    Args:
        w: the kernel being printed.
        cursors: the next element of each row, i64 on the stack.
        ends: one past the last element of each row, i64 on the stack.
        first: the first row.
        count: how many rows.
    """

    w: Writer
    cursors: Value
    ends: Value
    first: Value
    count: Value

    def cursor_ahead(self, r: Value) -> Value:
        """Return the next element of a row that is read soon."""
        later = self.w.minimum(r + SOON, self.count - 1)
        return self.w.load(I64, self.cursors, later)

    @contextmanager
    def rows(self) -> Iterator[tuple[Value, Value]]:
        """Print a loop over (row, its place on the stack)."""
        with self.w.loop(0, self.count) as r:
            yield self.first + r, r


@contextmanager
def panels(
    w: Writer, rows: Rows, start: tuple[Value, Value], stop: tuple[Value, Value]
) -> Iterator[Panel]:
    """Print a loop over the panels of a unit, the row that it leaves open included."""
    (i0, p0), (i1, p1) = start, stop
    cursors, ends = w.stack(I64, PANEL), w.stack(I64, PANEL)
    with w.loop(i0, i1 + 1, PANEL) as first:
        count = w.minimum(i1 + 1 - first, PANEL)
        with w.loop(0, count) as r:
            row = first + r
            low = w.minimum(w.maximum(rows.bound(row), p0), p1)
            last = w.select(row < i1, row + 1, rows.rows)
            high = w.minimum(w.maximum(rows.bound(last), low), p1)
            w.store(low, cursors, r)
            w.store(w.select(row < i1, high, p1), ends, r)
        yield Panel(w, cursors, ends, first, count)


COPY_UNIT = 1 << 14
"""Elements of a unit of a copy."""


@functools.cache
def align_source(k: Kind) -> Source:
    """Return the step that copies a matrix whose rows do not begin on cache lines.

    Vectors that lie in two lines take two loads: sums of many rows at 64 columns took
    1.4 times as long. Words: the matrix, the copy, elements.
    """
    symbol = f"csr_align_{k.name}"
    with kernel(symbol, wide=k.wide) as w:
        source, target, size = w.address(0), w.address(1), w.word(2)
        with w.when((w.word(0) & (LINE - 1)).differs(0)):
            begin = w.lo * COPY_UNIT
            count = w.minimum(w.hi * COPY_UNIT, size) - begin
            goal = w.at(target, begin, k.element)
            w.copy(goal, w.at(source, begin, k.element), count * k.element.bytes)
    return Source(w.text, symbol)


def on_lines(w: Writer, place: int, copy: int) -> Value:
    """Return the address of a matrix, or of its copy if that was made."""
    apart = (w.word(place) & (LINE - 1)).differs(0)
    return w.select(apart, w.address(copy), w.address(place))


def leading(w: Writer, mask: Value, lanes: int) -> Value:
    """Return how many lanes of a mask hold before the first that does not, as i64."""
    bits = w.cast("zext", w.cast("bitcast", mask, Type(f"i{lanes}")), I64)
    stop = w.value(I64, 1 << lanes)
    open_ = w.binary("or", ~bits, stop)
    never = w.value(I1, 1)
    return w.intrinsic("llvm.cttz", I64, open_, never, overloads=[I64])


def gather(w: Writer, type: Type, pointer: Value, indices: Value, mask: Value) -> Value:
    """Load one element per lane in `mask` at `indices`; others are zero."""
    offsets = f"{indices.type} {indices.name}"
    text = f"getelementptr inbounds {type.element}, ptr {pointer.name}, {offsets}"
    places = w.emit(POINTER.by(type.lanes), text)
    return w.intrinsic(
        "llvm.masked.gather",
        type,
        places,
        mask,
        w.value(type, 0.0),
        overloads=[type, places.type],
    )


def sum_each(w: Writer, vectors: list[Value]) -> Value:
    """Return the sums of as many vectors as they have lanes, one in each lane."""
    lanes = len(vectors)
    group = lanes
    while group > 1:
        half = group // 2
        starts = range(0, lanes, group)
        low = [k + j + o for k in starts for o in (0, lanes) for j in range(half)]
        high = [place + half for place in low]
        middle = len(vectors) // 2
        pairs = zip(vectors[:middle], vectors[middle:], strict=True)
        vectors = [w.shuffle(a, b, low) + w.shuffle(a, b, high) for a, b in pairs]
        group = half
    return vectors[0]
