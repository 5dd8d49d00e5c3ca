"""LLVM IR of one pass over weights, gradients and mask that changes connections.

Keys are the bits of a float without its sign, NaNs as one value above infinity. Units
are blocks of `BLOCK` elements of a row, as in sorting.
"""

from __future__ import annotations

import functools

from attrs import define

from rxcore_kernels.largest_mask_text import key_type, level_of, store_marks
from rxcore_kernels.sort_items import KINDS
from rxcore_kernels.sort_text import BLOCK, append, counted, each_block, each_vector
from rxcore_kernels.source import Source
from rxcore_kernels.text import I1, I8, I32, I64, Slot, Value, Writer, kernel

__all__ = ["ROOM", "change_source", "redo_source", "settle_source"]

ROOM = BLOCK // 4
"""Elements of a block that can be put aside for each threshold."""


def size_keys(w: Writer, dtype: str, bits: Value) -> Value:
    """Return the keys of the magnitudes of elements given as bits."""
    kind, wide = KINDS[dtype], key_type(dtype)
    wide = wide.by(bits.type.lanes) if bits.type.lanes else wide
    size = bits & ~kind.sign
    nan = w.value(bits.type, kind.infinity + 1)
    size = w.intrinsic("llvm.umin", bits.type, size, nan)
    return size if size.type == wide else w.cast("zext", size, wide)


@define
class _Room:
    """What is near a threshold: index, weight and gradient's key of a block's lanes."""

    places: list[Value]
    count: Slot

    def put(self, inside: Value, at: Value, parts: tuple[Value, Value]) -> None:
        """Append some lanes, where there are any; too many are only counted."""
        w, lanes = at.writer, inside.type.lanes
        with w.when(w.reduce("or", inside)):
            start = self.count.get()
            index = w.broadcast(w.cast("trunc", at, I32), lanes)
            index = index + w.lanes(I32.by(lanes))
            with w.when(start <= ROOM - lanes):
                for part, place in zip((index, *parts), self.places, strict=True):
                    append(part, inside, place, w.slot(I64, start))
            self.count.set(start + counted(w, inside))


@functools.cache
def change_source(dtype: str, lanes: int) -> Source:
    """Print the step that keeps and grows what is sure, and puts the rest aside.

    Words: w, g, mask, new mask, new w, brackets (four i64 for each row: of kept
    magnitudes and of grown gradients, both ends inside), counts (four i64 for each
    block: kept, perhaps kept, grown, perhaps grown), rooms (`ROOM` indices, weights
    and keys of gradients for each block of what is perhaps kept, and as much of what
    perhaps grows), n, blocks.
    """
    symbol = f"rigl_change_{dtype}x{lanes}"
    bits, kind = KINDS[dtype].bits, key_type(dtype)
    zero = bits.by(lanes)
    with kernel(symbol) as w:
        weights, grads, mask, marks, out, brackets, counts, *places = (
            w.address(i) for i in range(13)
        )
        n, blocks = w.word(13), w.word(14)
        for u, row, first, last in each_block(w, n, blocks):
            ends = [
                level_of(w, brackets, u // blocks * 4 + k, kind, lanes)
                for k in range(4)
            ]
            kept, grown, aside, near = (w.slot(I64, 0) for _ in range(4))
            rooms = [
                w.at(p, u * ROOM, t)
                for p, t in zip(places, (I32, bits, kind) * 2, strict=True)
            ]
            perhaps, might = _Room(rooms[:3], aside), _Room(rooms[3:], near)
            for at, there in each_vector(w, lanes, first, last):
                place = row + at
                value = w.load(zero, weights, place, mask=there)
                slope = w.load(zero, grads, place, mask=there)
                old = w.load(I8.by(lanes), mask, place, mask=there)
                active = w.cast("trunc", old, I1.by(lanes))
                live = w.select(active, value, w.value(zero, 0))
                size, steep = (size_keys(w, dtype, x) for x in (value, slope))
                above = active & w.compare("ugt", size, ends[1])
                inside = (active & w.compare("uge", size, ends[0])) & ~above
                rest = ~(above | inside)
                rest = rest if there is None else rest & there
                risen = rest & w.compare("ugt", steep, ends[3])
                maybe = (rest & w.compare("uge", steep, ends[2])) & ~risen
                perhaps.put(inside, at, (live, steep))
                might.put(maybe, at, (live, steep))
                new = above | risen
                store_marks(w, new, marks, place, there)
                w.store(w.select(new, live, w.value(zero, 0)), out, place, mask=there)
                kept.set(kept.get() + counted(w, above))
                grown.set(grown.get() + counted(w, risen))
            for k, slot in enumerate((kept, aside, grown, near)):
                w.store(slot.get(), counts, u * 4 + k)
    return Source(w.text, symbol)


@functools.cache
def redo_source(dtype: str, lanes: int) -> Source:
    """Print the step that decides a block anew where its brackets held no threshold.

    Words: w, g, mask, new mask, new w, levels, counts (-1 of what is perhaps kept: do
    it), n, blocks.
    """
    symbol = f"rigl_redo_{dtype}x{lanes}"
    kind, whole = KINDS[dtype].bits.by(lanes), I32.by(lanes)
    with kernel(symbol) as w:
        weights, grads, mask, marks, out, levels, counts = (
            w.address(i) for i in range(7)
        )
        n, blocks = w.word(7), w.word(8)
        for u, row, first, last in each_block(w, n, blocks):
            with w.when(w.load(I64, counts, u * 4 + 1).equals(-1)):
                types = (key_type(dtype), I32) * 2
                ends = [
                    level_of(w, levels, u // blocks * 4 + k, t, lanes)
                    for k, t in enumerate(types)
                ]
                for at, there in each_vector(w, lanes, first, last):
                    place = row + at
                    value = w.load(kind, weights, place, mask=there)
                    slope = w.load(kind, grads, place, mask=there)
                    old = w.load(I8.by(lanes), mask, place, mask=there)
                    active = w.cast("trunc", old, I1.by(lanes))
                    index = w.broadcast(w.cast("trunc", at, I32), lanes)
                    index = index + w.lanes(whole)
                    reached = []
                    for k, part in ((0, value), (2, slope)):
                        key = size_keys(w, dtype, part)
                        tie = key.equals(ends[k]) & (index <= ends[k + 1])
                        reached.append(w.compare("ugt", key, ends[k]) | tie)
                    new = (active & reached[0]) | reached[1]
                    store_marks(w, new, marks, place, there)
                    stays = w.select(new & active, value, w.value(kind, 0))
                    w.store(stays, out, place, mask=there)
    return Source(w.text, symbol)


@functools.cache
def settle_source(dtype: str) -> Source:
    """Print the step that writes what was put aside, once the thresholds are known.

    Words: new mask, new w, levels (four i64 for each row: the key of the least that is
    kept and the last index kept at it; the same of what grows), counts (not above 0:
    nothing was put aside), rooms, n, blocks.
    """
    symbol = f"rigl_settle_{dtype}"
    bits, kind = KINDS[dtype].bits, key_type(dtype)
    with kernel(symbol) as w:
        marks, out, levels, counts, *places = (w.address(i) for i in range(10))
        n, blocks = w.word(10), w.word(11)
        with w.loop(w.lo, w.hi) as u:
            row = u // blocks * n
            ends = [w.load(I64, levels, u // blocks * 4 + k) for k in range(4)]

            def reached(key: Value, index: Value, k: int) -> Value:
                wide = key if kind == I64 else w.cast("zext", key, I64)
                at_level = wide.equals(ends[k]) & (index <= ends[k + 1])
                return w.compare("ugt", wide, ends[k]) | at_level

            for first, count in ((0, 1), (3, 3)):
                with w.loop(0, w.load(I64, counts, u * 4 + count)) as i:
                    at = u * ROOM + i
                    found = w.load(I32, places[first], at)
                    index = w.cast("sext", found, I64)
                    value = w.load(bits, places[first + 1], at)
                    new = reached(w.load(kind, places[first + 2], at), index, 2)
                    if first == 0:
                        new = new | reached(size_keys(w, dtype, value), index, 0)
                    w.store(w.cast("zext", new, I8), marks, row + index)
                    # Zeros are there already; of what grows, almost all are.
                    with w.when(value.differs(0)):
                        w.store(w.select(new, value, 0), out, row + index)
    return Source(w.text, symbol)
