"""LLVM IR of running sums, products, minima and maxima."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from rxcore_kernels.source import Source
from rxcore_kernels.text import F32, F64, I32, I64, Slot, Type, Value, Writer, kernel

__all__ = [
    "BLOCK_BYTES",
    "CHUNK",
    "TYPES",
    "Scan",
    "bases_source",
    "columns_source",
    "scan_source",
    "totals_source",
]

CHUNK = 1 << 16
"""Elements that one piece scans. Sums are rounded in this order, whatever the number of
threads; 256 KB of float32 stay in a second-level cache."""

BLOCK_BYTES = 1024
"""Bytes of neighbouring columns that one piece scans together."""

TYPES = {
    "float32": F32,
    "float64": F64,
    "int32": I32,
    "int64": I64,
    "uint32": I32,
    "uint64": I64,
}

_FLOAT_OPS = {"add": "fadd", "mul": "fmul", "min": "minimum", "max": "maximum"}
_SIGNED_OPS = {"add": "add", "mul": "mul", "min": "smin", "max": "smax"}
_UNSIGNED_OPS = {"add": "add", "mul": "mul", "min": "umin", "max": "umax"}


@frozen
class Scan:
    """What is scanned, and how.

    Args:
        combine: "add", "mul", "min" or "max"; the last two keep NaN.
        dtype: NumPy's name of the dtype.
        lanes: elements of a vector.
        reverse: whether it goes from the last element to the first.
        exclusive: whether an element's own value is left out.
    """

    combine: str
    dtype: str
    lanes: int
    reverse: bool = False
    exclusive: bool = False

    @property
    def element(self) -> Type:
        """The type of an element."""
        return TYPES[self.dtype]

    @property
    def vector(self) -> Type:
        """The type of a vector of elements."""
        return self.element.by(self.lanes)

    def symbol(self, stem: str) -> str:
        """Return a name for a kernel of this scan."""
        ways = ["reverse"] * self.reverse + ["exclusive"] * self.exclusive
        return "_".join(
            ["cumulative", stem, self.combine, f"{self.dtype}x{self.lanes}", *ways]
        )

    @property
    def identity(self) -> int | float:
        """The value that changes no other."""
        infinity, bits = float("inf"), self.element.bytes * 8
        if self.element.floating:
            # -0.0 keeps the sign of a zero; an exclusive scan begins with +0.0.
            zero = 0.0 if self.exclusive else -0.0
            values = {"add": zero, "mul": 1.0, "min": infinity, "max": -infinity}
            return values[self.combine]
        lowest, highest = -1 << (bits - 1), (1 << (bits - 1)) - 1
        if self.dtype.startswith("u"):
            lowest, highest = 0, -1
        return {"add": 0, "mul": 1, "min": highest, "max": lowest}[self.combine]

    def join(self, a: Value, b: Value) -> Value:
        """Combine two values lane by lane."""
        w = a.writer
        if self.element.floating:
            op = _FLOAT_OPS[self.combine]
        else:
            unsigned = self.dtype.startswith("u")
            op = (_UNSIGNED_OPS if unsigned else _SIGNED_OPS)[self.combine]
        if self.combine in ("add", "mul"):
            return w.binary(op, a, b)
        return w.intrinsic(f"llvm.{op}", a.type, a, b)

    def shifted(self, vector: Value, count: int) -> Value:
        """Move lanes `count` places on; the identity comes in."""
        w, lanes = vector.writer, range(self.lanes)
        empty = w.value(self.vector, self.identity)
        if self.reverse:
            return w.shuffle(vector, empty, [i + count for i in lanes])
        return w.shuffle(empty, vector, [self.lanes - count + i for i in lanes])

    def prefixes(self, vector: Value) -> Value:
        """Scan the lanes of one vector."""
        count = 1
        while count < self.lanes:
            vector = self.join(vector, self.shifted(vector, count))
            count *= 2
        return vector

    def total(self, prefixes: Value) -> Value:
        """Return the last lane of a scanned vector in every lane."""
        last = 0 if self.reverse else self.lanes - 1
        return prefixes.writer.shuffle(prefixes, prefixes, [last] * self.lanes)


@contextmanager
def _vectors(
    w: Writer, s: Scan, start: Value, stop: Value
) -> Iterator[tuple[Value, Value]]:
    """Loop over the whole vectors of a range in the scan's direction."""
    whole = (stop - start) // s.lanes
    with w.loop(0, whole, unroll=True) as i:
        at = stop - (i + 1) * s.lanes if s.reverse else start + i * s.lanes
        yield i, at


def _tail(s: Scan, start: Value, stop: Value) -> tuple[Value, Value]:
    """Return the number of elements behind the whole vectors, and where they are."""
    count = (stop - start) % s.lanes
    return count, start if s.reverse else stop - count


def _range(s: Scan, u: Value, n: Value, chunks: Value) -> tuple[Value, Value, Value]:
    """Return the row, and the range of elements, of one chunk."""
    w = u.writer
    row, chunk = u // chunks, u % chunks
    first = chunk * CHUNK
    last = w.minimum(first + CHUNK, n)
    if s.reverse:
        return row, row * n + n - last, row * n + n - first
    return row, row * n + first, row * n + last


@functools.cache
def scan_source(s: Scan, *, based: bool, streaming: bool) -> Source:
    """Print the scan of chunks of rows.

    Words: x, out, bases (one per chunk), n, chunks of a row. Units: chunks.

    Args:
        s: the scan.
        based: whether rows have several chunks, so that bases are read.
        streaming: whether stores bypass the caches where the result is aligned.
    """
    ways = ["based"] * based + ["streaming"] * streaming
    symbol = s.symbol("_".join(["rows", *ways]))
    with kernel(symbol, wide=s.lanes * s.element.bytes == 64) as w:
        x, out, bases = (w.address(i) for i in range(3))
        n, chunks = w.word(3), w.word(4)
        with w.loop(w.lo, w.hi) as u:
            _, start, stop = _range(s, u, n, chunks)
            base = None
            if based:
                base = w.broadcast(w.load(s.element, bases, u), s.lanes)
            args = (w, s, (x, out), (start, stop), base)
            plain = functools.partial(_scan_range, *args, streaming=False)
            if streaming:
                first = w.at(out, stop if s.reverse else start, s.element)
                aligned = (w.cast("ptrtoint", first, I64) & 63).equals(0)
                past = functools.partial(_scan_range, *args, streaming=True)
                w.choose(aligned, past, plain)
            else:
                plain()
    return Source(w.text, symbol)


def _scan_range(
    w: Writer,
    s: Scan,
    places: tuple[Value, Value],
    bounds: tuple[Value, Value],
    base: Value | None,
    *,
    streaming: bool,
) -> None:
    x, out = places
    start, stop = bounds
    carry = w.slot(s.vector, s.identity)

    def results(vector: Value) -> Value:
        prefixes, before = s.prefixes(vector), carry.get()
        carry.set(s.join(before, s.total(prefixes)))
        inner = s.shifted(prefixes, 1) if s.exclusive else prefixes
        local = s.join(before, inner)
        # The sum of a whole chunk is the next chunk's base to the last bit.
        return local if base is None else s.join(base, local)

    with _vectors(w, s, start, stop) as (_, at):
        vector = w.load(s.vector, x, at)
        w.store(results(vector), out, at, streaming=streaming)
    count, at = _tail(s, start, stop)
    with w.when(count > 0):
        mask = w.first_lanes(count, s.lanes)
        vector = w.load(s.vector, x, at, mask=mask)
        vector = w.select(mask, vector, s.identity)
        w.store(results(vector), out, at, mask=mask)


@functools.cache
def totals_source(s: Scan) -> Source:
    """Print the totals of chunks, combined as `scan_source` combines them.

    Words: x, totals, n, chunks of a row. Units: chunks. A row's last chunk may lack its
    tail: nobody reads its total.
    """
    symbol = s.symbol("totals")
    with kernel(symbol, wide=s.lanes * s.element.bytes == 64) as w:
        x, totals = w.address(0), w.address(1)
        n, chunks = w.word(2), w.word(3)
        with w.loop(w.lo, w.hi) as u:
            _, start, stop = _range(s, u, n, chunks)
            carry: Slot = w.slot(s.vector, s.identity)
            with _vectors(w, s, start, stop) as (_, at):
                prefixes = s.prefixes(w.load(s.vector, x, at))
                carry.set(s.join(carry.get(), s.total(prefixes)))
            w.store(w.extract(carry.get(), 0), totals, u)
    return Source(w.text, symbol)


@functools.cache
def bases_source(s: Scan) -> Source:
    """Print the step from totals of chunks to what comes before them, in place.

    Words: totals, chunks of a row. Units: rows.
    """
    symbol = s.symbol("bases")
    with kernel(symbol) as w:
        totals, chunks = w.address(0), w.word(1)
        with w.loop(w.lo, w.hi) as row:
            sum_ = w.slot(s.element, s.identity)
            with w.loop(row * chunks, (row + 1) * chunks) as u:
                total, before = w.load(s.element, totals, u), sum_.get()
                w.store(before, totals, u)
                sum_.set(s.join(before, total))
    return Source(w.text, symbol)


@functools.cache
def columns_source(s: Scan) -> Source:
    """Print the scan along an axis that is not the last.

    Words: x, out, n, inner (elements between neighbours along the axis), blocks of
    columns. Units: blocks of every outer index.
    """
    symbol = s.symbol("columns")
    width = BLOCK_BYTES // s.element.bytes
    with kernel(symbol, wide=s.lanes * s.element.bytes == 64) as w:
        x, out = w.address(0), w.address(1)
        n, inner, blocks = (w.word(i) for i in range(2, 5))
        with w.loop(w.lo, w.hi) as u:
            first = u % blocks * width
            count = w.minimum(inner - first, width)
            begin = u // blocks * n * inner + first
            far = begin + (n - 1) * inner
            step = 0 - inner if s.reverse else inner
            edge = far if s.reverse else begin
            for at, mask in _lanes_of(w, s, count):
                value = w.load(s.vector, x, edge + at, mask=mask)
                if s.exclusive:
                    value = w.value(s.vector, s.identity)
                w.store(value, out, edge + at, mask=mask)
            with w.loop(1, n) as i:
                here = edge + i * step
                before = here - step
                taken = before if s.exclusive else here
                for at, mask in _lanes_of(w, s, count):
                    sums = w.load(s.vector, out, before + at, mask=mask)
                    value = w.load(s.vector, x, taken + at, mask=mask)
                    w.store(s.join(sums, value), out, here + at, mask=mask)
    return Source(w.text, symbol)


def _lanes_of(w: Writer, s: Scan, count: Value) -> Iterator[tuple[Value, Value | None]]:
    """Yield the place of each vector of `count` columns: a loop, then the rest."""
    with w.loop(0, count // s.lanes) as i:
        yield i * s.lanes, None
    rest = count % s.lanes
    with w.when(rest > 0):
        yield count - rest, w.first_lanes(rest, s.lanes)
