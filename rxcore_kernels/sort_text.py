"""LLVM IR of the parallel parts of sorting: making items, parting them, reading them.

Units are blocks of `BLOCK` elements of a row; every row has the same number of blocks.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from attrs import define, field

from rxcore_kernels.sort_items import KINDS, Items
from rxcore_kernels.source import Source
from rxcore_kernels.text import I1, I32, I64, Slot, Type, Value, Writer, kernel

__all__ = [
    "BLOCK",
    "append",
    "count_source",
    "counted",
    "each_block",
    "each_vector",
    "high_source",
    "pack_source",
    "part_source",
    "repack_source",
    "unkey_source",
    "unpack_source",
]

BLOCK = 1 << 15
"""Elements that one unit handles: few enough to share, many for each cursor."""


@contextmanager
def writing(symbol: str) -> Iterator[Writer]:
    """Print a kernel in vectors of full width."""
    with kernel(symbol) as w:
        yield w


def each_block(
    w: Writer, n: Value, blocks: Value
) -> Iterator[tuple[Value, Value, Value, Value]]:
    """Loop over this piece's blocks: unit, start of the row, bounds inside the row."""
    with w.loop(w.lo, w.hi) as u:
        first = u % blocks * BLOCK
        yield u, u // blocks * n, first, w.minimum(first + BLOCK, n)


def each_vector(
    w: Writer, lanes: int, first: Value, last: Value
) -> Iterator[tuple[Value, Value | None]]:
    """Loop over vectors, then over the rest: where each is, and its mask."""
    rest = (last - first) % lanes
    with w.loop(first, last - rest, lanes) as at:
        yield at, None
    with w.when(rest > 0):
        yield last - rest, w.first_lanes(rest, lanes)


def counted(w: Writer, mask: Value) -> Value:
    """Return the number of lanes in a mask."""
    word = Type(f"i{mask.type.lanes}")
    bits = w.cast("bitcast", mask, word)
    found = w.intrinsic("llvm.ctpop", word, bits)
    return w.cast("zext", found, I64)


def compressed(w: Writer, vector: Value, mask: Value) -> Value:
    """Return the lanes of a mask side by side."""
    empty = w.value(vector.type, 0)
    return w.intrinsic(
        "llvm.experimental.vector.compress", vector.type, vector, mask, empty
    )


@functools.cache
def pack_source(items: Items) -> Source:
    """Print the step that writes the items of rows.

    Words: x, out, n, blocks, shift.
    """
    symbol = f"sort_pack_{items.name}"
    with writing(symbol) as w:
        x, out = w.address(0), w.address(1)
        n, blocks, shift = (w.word(i) for i in range(2, 5))
        for _, row, first, last in each_block(w, n, blocks):
            for at, mask in each_vector(w, items.lanes, first, last):
                vector = items.load(x, row, at, shift, mask)
                w.store(vector, out, row + at, mask=mask)
    return Source(w.text, symbol)


@functools.cache
def count_source(items: Items, parts: int) -> Source:
    """Print the step that counts a block's items below each pivot.

    Words: x, pivots (parts - 1 for each row), counts (i32, parts - 1 for each block),
    n, blocks, shift.
    """
    symbol = f"sort_count{parts}_{items.name}"
    with writing(symbol) as w:
        x, pivots, counts = (w.address(i) for i in range(3))
        n, blocks, shift = (w.word(i) for i in range(3, 6))
        integers = I32.by(items.lanes)
        for u, row, first, last in each_block(w, n, blocks):
            levels = _pivots(w, items, pivots, u // blocks, parts)
            sums = [w.slot(integers, 0) for _ in levels]
            for at, mask in each_vector(w, items.lanes, first, last):
                vector = items.load(x, row, at, shift, mask)
                for level, total in zip(levels, sums, strict=True):
                    below = items.less(vector, level)
                    below = below if mask is None else below & mask
                    total.set(total.get() + w.cast("zext", below, integers))
            for k, total in enumerate(sums):
                w.store(w.reduce("add", total.get()), counts, u * (parts - 1) + k)
    return Source(w.text, symbol)


def _pivots(
    w: Writer, items: Items, pivots: Value, row: Value, parts: int
) -> list[Value]:
    first = row * (parts - 1)
    return [
        w.broadcast(w.load(items.element, pivots, first + k), items.lanes)
        for k in range(parts - 1)
    ]


@functools.cache
def part_source(items: Items, parts: int, *, compress: bool) -> Source:
    """Print the step that moves a block's items to their parts.

    Words: x, pivots, starts (i64, where each part of each block begins), out, n,
    blocks, shift.

    Args:
        items: what is moved.
        parts: number of parts.
        compress: whether the processor compresses vectors; else items go one by one.
    """
    symbol = f"sort_part{parts}_{items.name}{'' if compress else '_single'}"
    with writing(symbol) as w:
        x, pivots, starts, out = (w.address(i) for i in range(4))
        n, blocks, shift = (w.word(i) for i in range(4, 7))
        move = _Compressing if compress else _Single
        mover = move(w, items, parts, out)
        for u, row, first, last in each_block(w, n, blocks):
            levels = _pivots(w, items, pivots, u // blocks, parts)
            mover.begin(starts, u)
            for at, mask in each_vector(w, items.lanes, first, last):
                vector = items.load(x, row, at, shift, mask)
                mover.move(vector, levels, mask, last - at)
    return Source(w.text, symbol)


@define
class _Compressing:
    """Moves the items of a vector part by part; cursors are in registers."""

    w: Writer
    items: Items
    parts: int
    out: Value
    cursors: list[Slot] = field(factory=list)

    def begin(self, starts: Value, u: Value) -> None:
        """Set the cursors for a block."""
        first = u * self.parts
        self.cursors = [
            self.w.slot(I64, self.w.load(I64, starts, first + k))
            for k in range(self.parts)
        ]

    def move(
        self, vector: Value, levels: Sequence[Value], mask: Value | None, _: Value
    ) -> None:
        """Move the items of a vector."""
        every = self.w.value(I1.by(self.items.lanes), 1)
        left = every if mask is None else mask
        for cursor, level in zip(self.cursors, levels, strict=False):
            below = self.items.less(vector, level) & left
            append(vector, below, self.out, cursor)
            left = left & ~below
        append(vector, left, self.out, self.cursors[-1])


@define
class _Single:
    """Moves items one by one; cursors are in memory."""

    w: Writer
    items: Items
    parts: int
    out: Value
    cursors: list[Value] = field(init=False)

    def __attrs_post_init__(self) -> None:
        lanes = self.items.lanes
        shapes = ((I64, self.parts), (self.items.element, lanes), (I64, lanes))
        self.cursors = [self.w.stack(type, count) for type, count in shapes]

    def begin(self, starts: Value, u: Value) -> None:
        """Set the cursors for a block."""
        first = self.w.at(starts, u * self.parts, I64)
        self.w.copy(self.cursors[0], first, 8 * self.parts)

    def move(
        self, vector: Value, levels: Sequence[Value], mask: Value | None, left: Value
    ) -> None:
        """Move the items of a vector, of which `left` are there where it has a mask."""
        w, lanes, (cursors, items, parts) = self.w, self.items.lanes, self.cursors
        part = w.value(I64.by(lanes), 0)
        for level in levels:
            reached = ~self.items.less(vector, level)
            part = part + w.cast("zext", reached, part.type)
        w.store(vector, items)
        w.store(part, parts)
        with w.loop(0, lanes if mask is None else left, unroll=True) as lane:
            number = w.load(I64, parts, lane)
            at = w.load(I64, cursors, number)
            w.store(w.load(self.items.element, items, lane), self.out, at)
            w.store(at + 1, cursors, number)


def append(vector: Value, mask: Value, out: Value, cursor: Slot) -> None:
    """Store the lanes of a mask at a cursor, and nothing behind them."""
    w, at = vector.writer, cursor.get()
    count = counted(w, mask)
    kept = w.first_lanes(count, vector.type.lanes)
    w.store(compressed(w, vector, mask), out, at, mask=kept)
    cursor.set(at + count)


@functools.cache
def unpack_source(items: Items, *, through: bool, values: bool) -> Source:
    """Print the step from sorted items to indices and elements.

    Words: items, stride (items from row to row), order, x, n, indices, elements, k (of
    each row's items are read), blocks, low (the mask of an index). Units: blocks of k.

    Args:
        items: what was sorted.
        through: whether an item holds a place in `order` instead of an index.
        values: whether elements are written too.
    """
    ways = ["through"] * through + ["values"] * values
    symbol = "_".join(["sort_unpack", items.name, *ways])
    bits = KINDS[items.dtype].bits.by(items.lanes)
    with writing(symbol) as w:
        packed, order, x = w.address(0), w.address(2), w.address(3)
        indices, elements = w.address(5), w.address(6)
        stride, n = w.word(1), w.word(4)
        k, blocks, low = (w.word(i) for i in range(7, 10))
        kept = w.broadcast(w.cast("trunc", low, I32), items.lanes)
        for u, row, first, last in each_block(w, k, blocks):
            number = u // blocks
            for at, mask in each_vector(w, items.lanes, first, last):
                item = w.load(items.vector, packed, number * stride + at, mask=mask)
                if items.element == I64:
                    item = w.cast("trunc", item, kept.type)
                found = item & kept
                base = number * n
                if through:
                    found = w.gather(kept.type, w.at(order, base, I32), found)
                w.store(found, indices, row + at, mask=mask)
                if values:
                    taken = w.gather(bits, w.at(x, base, bits.element), found)
                    w.store(taken, elements, row + at, mask=mask)
    return Source(w.text, symbol)


@functools.cache
def high_source(items: Items) -> Source:
    """Print the step that writes the high halves of 64-bit keys.

    Words: x, out. Units: elements.
    """
    symbol = f"sort_high_{items.name}"
    with writing(symbol) as w:
        x, out = w.address(0), w.address(1)
        for at, mask in each_vector(w, items.lanes, w.lo, w.hi):
            key = items.keys_of(w.load(I64.by(items.lanes), x, at, mask=mask))
            high = w.cast("trunc", key >> 32, I32.by(items.lanes))
            w.store(high, out, at, mask=mask)
    return Source(w.text, symbol)


@functools.cache
def repack_source(lanes: int) -> Source:
    """Print the step that makes items of high halves, in the order of the low ones.

    Words: high halves, order, out, n, blocks. An item's index is its place in `order`.
    """
    symbol = f"sort_repack_x{lanes}"
    narrow, wide = I32.by(lanes), I64.by(lanes)
    with writing(symbol) as w:
        high, order, out = (w.address(i) for i in range(3))
        n, blocks = w.word(3), w.word(4)
        for _, row, first, last in each_block(w, n, blocks):
            for at, mask in each_vector(w, lanes, first, last):
                found = w.load(narrow, order, row + at, mask=mask)
                key = w.gather(narrow, w.at(high, row, I32), found)
                place = w.broadcast(at, lanes) + w.lanes(wide)
                item = w.cast("zext", key, wide) << 32 | place
                w.store(item, out, row + at, mask=mask)
    return Source(w.text, symbol)


@functools.cache
def unkey_source(items: Items) -> Source:
    """Print the step from keys back to elements.

    Words: keys, out (may be the same). Units: elements.
    """
    symbol = f"sort_unkey_{items.name}"
    kind, lanes = KINDS[items.dtype], items.lanes
    bits = kind.bits.by(lanes)
    with writing(symbol) as w:
        keys, out = w.address(0), w.address(1)
        for at, mask in each_vector(w, lanes, w.lo, w.hi):
            key = w.load(items.vector, keys, at, mask=mask)
            if bits != items.vector:
                key = w.cast("trunc", key, bits)
            value = key ^ kind.sign if kind.signed else key
            if kind.infinity:
                flip = ~(key >> (kind.width - 1)) | kind.sign
                # The key of NaN becomes the quiet NaN without a sign.
                quiet = w.value(
                    bits, kind.infinity | (kind.infinity & -kind.infinity) >> 1
                )
                value = w.select(key.equals(-1), quiet, key ^ flip)
            w.store(value, out, at, mask=mask)
    return Source(w.text, symbol)
