"""The steps of sorting that NumPy does: samples, offsets, and the sorting of parts.

``ndarray.sort`` is a vectorised quicksort that releases the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
from attrs import frozen

from rxcore_kernels.sort_items import Items
from rxcore_kernels.sort_text import BLOCK

__all__ = ["Offsets", "Pivots", "SortParts", "SortRows", "array_at", "sample_places"]

Array = np.ndarray[Any, np.dtype[Any]]


def array_at(address: int, dtype: Any, *shape: int) -> Array:
    """Return an array over memory that somebody else keeps."""
    kind = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    if count == 0:
        return np.empty(shape, kind)
    memory = (ctypes.c_char * (count * kind.itemsize)).from_address(address)
    return np.frombuffer(memory, kind).reshape(shape)


def words_at(address: int, count: int) -> list[int]:
    """Return the words of a step."""
    return list((ctypes.c_int64 * count).from_address(address))


@functools.lru_cache(maxsize=16)
def sample_places(n: int, size: int) -> Array:
    """Return indices spread over n, jittered so that no pattern of the data fits."""
    jitter = np.random.default_rng(n).random(size)
    return ((np.arange(size) + jitter) * (n / size)).astype(np.int64)


@frozen
class Pivots:
    """Choose the pivots of each row from a sample.

    Words: x, pivots.
    """

    items: Items
    rows: int
    n: int
    parts: int

    def __call__(self, words: int, lo: int, hi: int) -> None:
        """Do it for the rows lo..hi."""
        x, pivots = words_at(words, 2)
        places = sample_places(self.n, 256 * self.parts)
        source = array_at(x, bits_dtype(self.items), self.rows, self.n)
        sample = self.items.sample(source[lo:hi], places)
        sample.sort(axis=1)
        made = array_at(pivots, self.items.sorted_dtype, self.rows, self.parts - 1)
        made[lo:hi] = sample[:, 256::256]


def bits_dtype(items: Items) -> str:
    """Return NumPy's name for the elements, or for their bits where items are made."""
    if items.form == "plain":
        return items.dtype
    return f"u{items.bytes}"


@frozen
class Offsets:
    """From counts below pivots to where each part of each block begins.

    Words: counts, starts (of the parts of each block), bounds (of the parts of each
    row, and the row's end).
    """

    rows: int
    n: int
    parts: int

    def __call__(self, words: int, lo: int, hi: int) -> None:
        """Do it for the rows lo..hi."""
        counts_at, starts_at, bounds_at = words_at(words, 3)
        blocks = -(-self.n // BLOCK)
        shape = (self.rows, blocks, self.parts - 1)
        counts = array_at(counts_at, np.int32, *shape)[lo:hi]
        sizes = np.full((hi - lo, blocks, 1), BLOCK, np.int64)
        sizes[:, -1] = self.n - (blocks - 1) * BLOCK
        below = np.concatenate([np.zeros_like(sizes), counts, sizes], axis=2)
        held = np.diff(below, axis=2).swapaxes(1, 2).reshape(hi - lo, -1)
        before = np.cumsum(held, axis=1) - held + np.arange(lo, hi)[:, None] * self.n
        by_part = before.reshape(hi - lo, self.parts, blocks)
        starts = array_at(starts_at, np.int64, self.rows, blocks, self.parts)[lo:hi]
        starts[...] = by_part.swapaxes(1, 2)
        bounds = array_at(bounds_at, np.int64, self.rows, self.parts + 1)[lo:hi]
        bounds[:, :-1] = by_part[:, :, 0]
        bounds[:, -1] = np.arange(lo + 1, hi + 1) * self.n


@frozen
class SortParts:
    """Sort parts in place.

    Words: items, bounds. Units: the parts of all rows.
    """

    dtype: str
    rows: int
    n: int
    parts: int

    def __call__(self, words: int, lo: int, hi: int) -> None:
        """Do it for the parts lo..hi."""
        items_at, bounds_at = words_at(words, 2)
        items = array_at(items_at, self.dtype, self.rows * self.n)
        bounds = array_at(bounds_at, np.int64, self.rows, self.parts + 1)
        for unit in range(lo, hi):
            row, part = divmod(unit, self.parts)
            items[bounds[row, part] : bounds[row, part + 1]].sort()


@frozen
class SortRows:
    """Sort rows into another place, or in place.

    Words: source, target. Units: rows.
    """

    dtype: str
    rows: int
    n: int

    def __call__(self, words: int, lo: int, hi: int) -> None:
        """Do it for the rows lo..hi."""
        source_at, target_at = words_at(words, 2)
        target = array_at(target_at, self.dtype, self.rows, self.n)[lo:hi]
        if source_at != target_at:
            target[...] = array_at(source_at, self.dtype, self.rows, self.n)[lo:hi]
        target.sort(axis=1)
