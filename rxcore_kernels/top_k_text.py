"""LLVM IR of selecting the elements in front of a threshold.

Keys here are inverted, so that the largest element has the smallest key. Units are
blocks of `BLOCK` elements of a row, as in sorting.
"""

from __future__ import annotations

import functools

from attrs import define

from rxcore_kernels.sort_items import KINDS, Items
from rxcore_kernels.sort_text import (
    append,
    counted,
    each_block,
    each_vector,
    writing,
)
from rxcore_kernels.source import Source
from rxcore_kernels.text import I32, I64, Slot, Value, Writer

__all__ = ["FEW", "few_source", "front_source", "rename_source", "select_source"]


FEW = 64
"""The most that `few_source` keeps: its work grows with the square."""

_BUFFER = 512


@define
class _Few:
    """The smallest items so far, and those that came since they were last picked."""

    w: Writer
    items: Items
    k: Value
    buffer: Value
    picked: Value
    count: Slot
    bound: Slot

    @property
    def most(self) -> Value:
        """What no item is above, in every lane."""
        return self.w.value(self.items.vector, -1)

    def offer(self, item: Value, mask: Value | None) -> None:
        """Take the items up to the bound into the buffer."""
        w, lanes = self.w, self.items.lanes
        kept = w.compare("ule", item, self.bound.get())
        kept = kept if mask is None else kept & mask
        with w.when(w.reduce("or", kept)):
            append(item, kept, self.buffer, self.count)
            with w.when(self.count.get() > _BUFFER - lanes):
                self.pick()

    def pick(self) -> None:
        """Keep the k smallest, in order; an item must beat the last from here on."""
        w, lanes = self.w, self.items.lanes
        count, least = self.count.get(), w.slot(I64, 0)
        w.store(self.most, self.buffer, count)
        kept = w.minimum(count, self.k)
        with w.loop(0, kept) as j:
            best = w.slot(self.items.vector, -1)
            floor = w.broadcast(least.get(), lanes)
            with w.loop(0, count, lanes) as i:
                item = w.load(self.items.vector, self.buffer, i)
                above = w.compare("uge", item, floor)
                item = w.select(above, item, self.most)
                best.set(w.intrinsic("llvm.umin", item.type, best.get(), item))
            smallest = w.reduce("umin", best.get())
            w.store(smallest, self.picked, j)
            least.set(smallest + 1)
        w.copy(self.buffer, self.picked, kept * 8)
        self.count.set(kept)
        with w.when(kept.equals(self.k)):
            self.bound.set(w.broadcast(w.load(I64, self.picked, kept - 1), lanes))


@functools.cache
def few_source(items: Items) -> Source:
    """Print the step that finds the k smallest items of spans of rows, in order.

    Words: x, out (k items for each span, the largest integer where a span is shorter),
    n, spans of a row, elements of a span, k (up to `FEW`). Units: spans.
    """
    symbol = f"top_k_few_{items.name}"
    with writing(symbol) as w:
        x, out = w.address(0), w.address(1)
        n, spans, span, k = (w.word(i) for i in range(2, 6))
        buffer, picked = w.stack(I64, _BUFFER + 64), w.stack(I64, FEW)
        with w.loop(w.lo, w.hi) as u:
            first = u % spans * span
            last = w.minimum(first + span, n)
            # Items of -1 fill what is short: they are never taken.
            count, bound = w.slot(I64, 0), w.slot(items.vector, -2)
            few = _Few(w, items, k, buffer, picked, count, bound)
            shift = w.value(I64, 32)
            for at, mask in each_vector(w, items.lanes, first, last):
                few.offer(items.load(x, u // spans * n, at, shift, mask), mask)
            few.pick()
            found = count.get()
            w.copy(w.at(out, u * k, I64), picked, found * 8)
            with w.loop(found, k) as j:
                w.store(w.value(I64, -1), out, u * k + j)
    return Source(w.text, symbol)


def _compared(
    w: Writer, items: Items, places: tuple[Value, Value], mask: Value | None
) -> tuple[Value, Value, Value]:
    """Load elements; return their bits, and the lanes before and at the threshold."""
    place, level = places
    bits = w.load(KINDS[items.dtype].bits.by(items.lanes), place, mask=mask)
    key = items.keys_of(bits)
    before, level_there = w.compare("ult", key, level), key.equals(level)
    if mask is not None:
        before, level_there = before & mask, level_there & mask
    return bits, before, level_there


def _level(w: Writer, items: Items, levels: Value, row: Value) -> Value:
    bits = KINDS[items.dtype].bits
    level = w.load(I64, levels, row)
    narrow = level if bits == I64 else w.cast("trunc", level, bits)
    return w.broadcast(narrow, items.lanes)


@functools.cache
def front_source(items: Items) -> Source:
    """Print the step that counts a block's keys before and at the threshold.

    Words: x, thresholds (i64, one for each row), counts (i64, two for each block), n,
    blocks.
    """
    symbol = f"top_k_count_{items.name}"
    bits = KINDS[items.dtype].bits
    with writing(symbol) as w:
        x, levels, counts = (w.address(i) for i in range(3))
        n, blocks = w.word(3), w.word(4)
        for u, row, first, last in each_block(w, n, blocks):
            level = _level(w, items, levels, u // blocks)
            sums = [w.slot(I64, 0) for _ in range(2)]
            for at, mask in each_vector(w, items.lanes, first, last):
                place = w.at(x, row + at, bits)
                found = _compared(w, items, (place, level), mask)[1:]
                for total, lanes in zip(sums, found, strict=True):
                    total.set(total.get() + counted(w, lanes))
            for k, total in enumerate(sums):
                w.store(total.get(), counts, u * 2 + k)
    return Source(w.text, symbol)


@functools.cache
def select_source(items: Items) -> Source:
    """Print the step that gathers what is in front, in the order of the indices.

    Words: x, thresholds, starts (i64, where each block's part begins), takes (i64, how
    many keys at the threshold a block gives, -1: all), out, elements, n, blocks. For
    keys of up to 32 bits out gets items and elements is not used; for wider ones out
    gets int32 indices, and elements the elements.
    """
    symbol = f"top_k_select_{items.name}"
    bits = KINDS[items.dtype].bits
    with writing(symbol) as w:
        x, levels, starts, takes, out, elements = (w.address(i) for i in range(6))
        n, blocks = w.word(6), w.word(7)
        for u, row, first, last in each_block(w, n, blocks):
            level = _level(w, items, levels, u // blocks)
            cursor = w.slot(I64, w.load(I64, starts, u))
            left = w.slot(I64, w.load(I64, takes, u))
            for at, mask in each_vector(w, items.lanes, first, last):
                place = w.at(x, row + at, bits)
                element, before, there = _compared(w, items, (place, level), mask)
                kept = before | _some(w, there, left)
                if bits == I64:
                    at_start = w.slot(I64, cursor.get())
                    append(element, kept, elements, at_start)
                    index = w.broadcast(w.cast("trunc", at, I32), items.lanes)
                    item = index + w.lanes(index.type)
                else:
                    item = items.pack(items.keys_of(element), at)
                append(item, kept, out, cursor)
    return Source(w.text, symbol)


def _some(w: Writer, lanes: Value, left: Slot) -> Value:
    """Return the lanes that may still be given; a negative number gives all."""
    some = w.slot(lanes.type, lanes)
    with w.when(left.get() >= 0):
        # Rare: one block of a row at most gives a part. Its lanes go one by one.
        for lane in range(lanes.type.lanes):
            one = w.extract(lanes, lane)
            given = one & (left.get() > 0)
            some.set(w.insert(some.get(), given, lane))
            left.set(left.get() - w.cast("zext", given, I64))
    return some.get()


@functools.cache
def rename_source() -> Source:
    """Print the step from places among the selected to indices, in place.

    Words: indices, selected, k, stride (of the selected). Units: rows.
    """
    symbol = "top_k_rename"
    with writing(symbol) as w:
        indices, selected = w.address(0), w.address(1)
        k, stride = w.word(2), w.word(3)
        with w.loop(w.lo, w.hi) as row, w.loop(row * k, (row + 1) * k) as at:
            place = w.cast("sext", w.load(I32, indices, at), I64)
            w.store(w.load(I32, selected, row * stride + place), indices, at)
    return Source(w.text, symbol)
