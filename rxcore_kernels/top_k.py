"""The largest elements of rows, in order.

A few are kept in a small buffer while the row passes by. For more, a sample of the row
gives a threshold that little more than k elements pass; they are gathered in one pass
and sorted. Where the sample misled, NumPy finds the exact threshold.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from attrs import frozen

from rxcore_kernels.host import Features
from rxcore_kernels.plan import HostStep, In, Out, Plan, Step, Word
from rxcore_kernels.sort import Steps, begin_steps, order_steps
from rxcore_kernels.sort_host import array_at, sample_places, words_at
from rxcore_kernels.sort_items import KINDS, Items, keys
from rxcore_kernels.sort_text import BLOCK
from rxcore_kernels.top_k_text import (
    FEW,
    few_source,
    front_source,
    rename_source,
    select_source,
)

__all__ = ["plan_top_k"]

Array = np.ndarray[Any, np.dtype[Any]]

SAMPLE = 1 << 15
"""Elements of a row that are sampled at most."""

SPAN = 1 << 16
"""Elements of a row that one unit looks through for a few of the largest."""

_DEVIATIONS = 4.0


def plan_top_k(
    dtype: str, rows: int, n: int, k: int, *, features: Features | None = None
) -> Plan:
    """Plan the k largest elements of each row, largest first.

    **Meaning** (input (rows, n); outputs values (rows, k), indices (rows, k) int32)::

        indices = np.argsort(-x, axis=-1, stable=True)[:, :k]
        values = np.take_along_axis(x, indices, axis=-1)

    Of equal elements those with the lowest indices come first; NaN is the largest.

    Args:
        dtype: NumPy's name of a real dtype, "bool", or "bfloat16".
        rows: number of rows.
        n: elements of a row, below 2**31.
        k: how many, at most n.
        features: the processor to plan for; the host by default.

    Returns:
        The plan.

    Raises:
        TypeError: the dtype has no kernel.
        ValueError: a size is negative or too large.

    Example:
        >>> import numpy as np
        >>> from rxcore_kernels.plan import run_plan
        >>> x = np.array([3, 1, 4, 1, 5], np.float32)
        >>> values, indices = np.empty(2, np.float32), np.empty(2, np.int32)
        >>> run_plan(plan_top_k("float32", 1, 5, 2), [x], [values, indices])
        >>> values.tolist(), indices.tolist()
        ([5.0, 4.0], [4, 2])
    """
    made = begin_steps("plan_top_k", dtype, rows, n, features)
    if not 0 <= k <= n:
        raise ValueError(f"plan_top_k: expected 0 <= k <= n = {n}, got k={k}")
    if rows * k == 0:
        return made.plan
    rank, room = _ranks(n, k)
    if k <= FEW and KINDS[dtype].width <= 32:
        _plan_few(made, dtype, k)
    elif 2 * room > n:
        order_steps(made, dtype, In(0), k, (Out(0), Out(1)), descending=True)
    else:
        _plan_selection(made, dtype, k, rank, room)
    return made.plan


def _plan_few(made: Steps, dtype: str, k: int) -> None:
    """Plan the few largest of each span of a row, then of the few of all spans."""
    rows, n = made.rows, made.n
    spans = -(-n // SPAN)
    items = Items(dtype, "wide", True, made.lanes(64))
    found = made.memory(rows * spans * k * 8)
    units = rows * spans
    chunk = 0 if rows * n <= BLOCK else max(1, BLOCK // min(n, SPAN))
    words: tuple[Word, ...] = (In(0), found, n, spans, SPAN, k)
    made.steps.append(Step(few_source(items), words, 0, units, chunk))
    if spans > 1:
        firsts = made.memory(rows * k * 8)
        again = Items("uint64", "plain", False, items.lanes)
        words = (found, firsts, spans * k, 1, spans * k, k)
        chunk = 0 if rows * spans * k <= BLOCK else max(1, BLOCK // (spans * k))
        made.steps.append(Step(few_source(again), words, 0, rows, chunk))
        found = firsts
    made.unpack(items, (found, k), In(0), None, (Out(0), Out(1)), k)


def _sample_size(n: int) -> int:
    return min(SAMPLE, max(256, n // 32), n)


def _ranks(n: int, k: int) -> tuple[int, int]:
    """Return the sample's rank of the threshold, and room for what passes it."""
    size = _sample_size(n)
    share = k / n
    rank = share * size + _DEVIATIONS * math.sqrt(share * (1 - share) * size) + 4
    most = (rank + _DEVIATIONS * math.sqrt(rank) + 4) / size
    return int(rank), -(-max(k, math.ceil(most * n)) // 16) * 16


def _plan_selection(made: Steps, dtype: str, k: int, rank: int, room: int) -> None:
    rows, n, blocks = made.rows, made.n, made.blocks
    wide = KINDS[dtype].width == 64
    items = Items(dtype, "low" if wide else "wide", True, made.lanes(64))
    units = rows * blocks
    levels, counts = made.memory(rows * 8), made.memory(units * 16)
    starts, takes = made.memory(units * 8), made.memory(units * 8)
    chosen = made.memory(rows * room * (4 if wide else 8))
    elements: Word = made.memory(rows * room * 8) if wide else chosen
    chunk, row_chunk = made.block_chunk(n), made.row_chunk
    front = (In(0), levels, counts, n, blocks)
    quotas = (In(0), levels, counts, starts, takes, elements)
    select = (In(0), levels, starts, takes, chosen, elements, n, blocks)
    made.steps += [
        HostStep(Levels(dtype, rows, n, rank), (In(0), levels), 0, rows, row_chunk),
        Step(front_source(items), front, 0, units, chunk),
        HostStep(Quotas(dtype, rows, n, k, room), quotas, 0, rows, row_chunk),
        Step(select_source(items), select, 0, units, chunk),
    ]
    few = Steps(rows, room, made.features, made.steps, made.scratch)
    if wide:
        order_steps(few, dtype, elements, k, (Out(0), Out(1)), descending=True)
        words = (Out(1), chosen, k, room)
        made.steps.append(Step(rename_source(), words, 0, rows, row_chunk))
        return
    ordered = made.memory(rows * room * 8) if few.parted else chosen
    few.sort(Items("uint64", "plain", False, items.lanes), chosen, ordered)
    made.unpack(items, (ordered, room), In(0), None, (Out(0), Out(1)), k)


@frozen
class Levels:
    """Choose a threshold for each row from a sample.

    Words: x, thresholds. Units: rows.
    """

    dtype: str
    rows: int
    n: int
    rank: int

    def __call__(self, words: int, lo: int, hi: int) -> None:
        """Do it for the rows lo..hi."""
        x_at, levels_at = words_at(words, 2)
        x = _bits_at(self.dtype, x_at, self.rows, self.n)[lo:hi]
        places = sample_places(self.n, _sample_size(self.n))
        sample = ~keys(self.dtype, np.take(x, places, axis=1))
        sample.partition(self.rank, axis=1)
        levels = array_at(levels_at, np.uint64, self.rows)
        levels[lo:hi] = sample[:, self.rank]


@frozen
class Quotas:
    """Decide what each block gives, and make room for exactly that.

    Words: x, thresholds, counts, starts, takes, elements. Units: rows.

    What is behind the given ones in a row's room sorts last: it is the largest item, or
    the smallest element, which loses against an equal one before it.
    """

    dtype: str
    rows: int
    n: int
    k: int
    room: int

    def __call__(self, words: int, lo: int, hi: int) -> None:
        """Do it for the rows lo..hi."""
        x_at, levels_at, counts_at, *made_at, elements_at = words_at(words, 6)
        blocks = -(-self.n // BLOCK)
        counts = array_at(counts_at, np.int64, self.rows, blocks, 2)[lo:hi]
        levels = array_at(levels_at, np.uint64, self.rows)[lo:hi]
        totals = counts.sum(axis=1)
        wrong = (totals[:, 0] > self.room) | (totals.sum(axis=1) < self.k)
        for row in np.flatnonzero(wrong):
            x = _bits_at(self.dtype, x_at, self.rows, self.n)[lo + row]
            levels[row] = self._exact(x, counts[row])
        before, there = counts[..., 0], counts[..., 1]
        spare = self.room - before.sum(axis=1, keepdims=True)
        earlier = np.cumsum(there, axis=1) - there
        given = np.clip(spare - earlier, 0, there)
        ends = np.cumsum(before + given, axis=1)
        starts, takes = (
            array_at(at, np.int64, self.rows, blocks)[lo:hi] for at in made_at
        )
        offset = np.arange(lo, hi)[:, None] * self.room
        starts[...] = ends - before - given + offset
        takes[...] = np.where(given == there, -1, given)
        last, kind = np.uint64(2**64 - 1), np.uint64
        if KINDS[self.dtype].width == 64:
            last = _lowest(self.dtype)
        elements = array_at(elements_at, kind, self.rows, self.room)[lo:hi]
        # The room is filled from where the least begins.
        least = int(ends[:, -1].min())
        behind = np.arange(least, self.room) >= ends[:, -1:]
        np.copyto(elements[:, least:], last, where=behind)

    def _exact(self, x: Array, counts: Array) -> int:
        """Return the k-th key of a row, and count what is before it and at it."""
        key = ~keys(self.dtype, x)
        level = np.partition(key, self.k - 1)[self.k - 1]
        edges = np.arange(0, self.n, BLOCK)
        counts[:, 0] = np.add.reduceat(key < level, edges, dtype=np.int64)
        counts[:, 1] = np.add.reduceat(key == level, edges, dtype=np.int64)
        return int(level)


def _lowest(dtype: str) -> np.uint64:
    """Return the bits of a 64-bit dtype's smallest value."""
    lowest: Any = -np.inf if dtype == "float64" else np.iinfo(dtype).min
    return np.uint64(np.array([lowest], dtype).view(np.uint64)[0])


def _bits_at(dtype: str, address: int, rows: int, n: int) -> Array:
    return array_at(address, f"u{KINDS[dtype].bits.bytes}", rows, n)
