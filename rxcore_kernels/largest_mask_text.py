"""LLVM IR of marking the largest elements: what is above a bracket, and what is inside.

Keys are unsigned integers in the order of the elements, of 32 bits at least. Units are
blocks of `BLOCK` elements of a row, as in sorting.
"""

from __future__ import annotations

import functools

from rxcore_kernels.sort_items import KINDS, key_bits
from rxcore_kernels.sort_text import append, counted, each_block, each_vector
from rxcore_kernels.source import Source
from rxcore_kernels.text import I8, I32, I64, Slot, Type, Value, Writer, kernel

__all__ = ["bracket_source", "finish_source", "key_type", "store_marks"]


def key_type(dtype: str) -> Type:
    """Return the type of a key: halves and bytes are widened."""
    return I64 if KINDS[dtype].width == 64 else I32


def load_keys(
    w: Writer, dtype: str, x: Value, at: Value, lanes: int, mask: Value | None
) -> Value:
    """Load elements and return their keys."""
    kind, wide = KINDS[dtype], key_type(dtype)
    key = key_bits(w, dtype, w.load(kind.bits.by(lanes), x, at, mask=mask))
    return key if kind.bits == wide else w.cast("zext", key, wide.by(lanes))


def level_of(w: Writer, levels: Value, at: Value, key: Type, lanes: int) -> Value:
    """Return a level (an i64 in memory) in each lane."""
    level = w.load(I64, levels, at)
    narrow = level if key == I64 else w.cast("trunc", level, key)
    return w.broadcast(narrow, lanes)


def store_marks(
    w: Writer, marks: Value, out: Value, at: Value, mask: Value | None
) -> None:
    """Store the lanes of a mask as bytes."""
    w.store(w.cast("zext", marks, I8.by(marks.type.lanes)), out, at, mask=mask)


def keep(
    inside: Value, key: Value, at: Value, places: tuple[Value, Value], start: Value
) -> None:
    """Store the keys and the indices of some lanes from a place on."""
    w, lanes = key.writer, key.type.lanes
    index = w.broadcast(w.cast("trunc", at, I32), lanes) + w.lanes(I32.by(lanes))
    for part, place in zip((key, index), places, strict=True):
        append(part, inside, place, w.slot(I64, start))


@functools.cache
def bracket_source(dtype: str, lanes: int) -> Source:
    """Print the step that marks what is above a bracket and keeps what is inside.

    Words: x, out (bytes), brackets (two i64 for each row, both inside), counts (two
    i64 for each block: above, inside), keys and indices (room for each element), n,
    blocks. Where both ends of a bracket are equal, what is inside is only counted.
    """
    symbol = f"largest_bracket_{dtype}x{lanes}"
    kind = key_type(dtype)
    with kernel(symbol) as w:
        x, out, brackets, counts, keys, indices = (w.address(i) for i in range(6))
        n, blocks = w.word(6), w.word(7)
        for u, row, first, last in each_block(w, n, blocks):
            end = u // blocks * 2
            low = level_of(w, brackets, end, kind, lanes)
            high = level_of(w, brackets, end + 1, kind, lanes)
            alike = w.load(I64, brackets, end).equals(w.load(I64, brackets, end + 1))
            places = (w.at(keys, row + first, kind), w.at(indices, row + first, I32))
            total, cursor = w.slot(I64, 0), w.slot(I64, 0)
            for at, mask in each_vector(w, lanes, first, last):
                key = load_keys(w, dtype, x, row + at, lanes, mask)
                above = w.compare("ugt", key, high)
                inside = w.compare("uge", key, low) & ~above
                if mask is not None:
                    above, inside = above & mask, inside & mask
                store_marks(w, above, out, row + at, mask)
                total.set(total.get() + counted(w, above))
                with w.when(w.reduce("or", inside)):
                    start = cursor.get()
                    with w.when(~alike):
                        keep(inside, key, at, places, start)
                    cursor.set(start + counted(w, inside))
            w.store(total.get(), counts, u * 2)
            w.store(cursor.get(), counts, u * 2 + 1)
    return Source(w.text, symbol)


@functools.cache
def finish_source(dtype: str, lanes: int) -> Source:
    """Print the step that marks blocks again, where a row's level is known exactly.

    Words: x, out, levels (two i64 for each row, of which the first counts), takes (i64,
    how many elements at the level a block gives: the first ones; -1: the block is done
    already), n, blocks.
    """
    symbol = f"largest_finish_{dtype}x{lanes}"
    with kernel(symbol) as w:
        x, out, levels, takes = (w.address(i) for i in range(4))
        n, blocks = w.word(4), w.word(5)
        for u, row, first, last in each_block(w, n, blocks):
            left = w.slot(I64, w.load(I64, takes, u))
            with w.when(left.get() >= 0):
                level = level_of(w, levels, u // blocks * 2, key_type(dtype), lanes)
                for at, mask in each_vector(w, lanes, first, last):
                    key = load_keys(w, dtype, x, row + at, lanes, mask)
                    above, there = w.compare("ugt", key, level), key.equals(level)
                    if mask is not None:
                        there = there & mask
                    there = first_of(w, there, left)
                    store_marks(w, above | there, out, row + at, mask)
    return Source(w.text, symbol)


def first_of(w: Writer, lanes: Value, left: Slot) -> Value:
    """Return as many of the lanes as are left to give, and count them off."""
    some = w.slot(lanes.type, lanes)
    count = counted(w, lanes)
    with w.when(count > left.get()):
        # Rare: once in a row a vector gives a part. Its lanes go one by one.
        for lane in range(lanes.type.lanes):
            one = w.extract(lanes, lane)
            given = one & (left.get() > 0)
            some.set(w.insert(some.get(), given, lane))
            left.set(left.get() - w.cast("zext", given, I64))
    left.set(w.maximum(left.get() - count, 0))
    return some.get()
