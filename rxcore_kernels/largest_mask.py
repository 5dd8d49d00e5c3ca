"""The mask of the largest elements of rows: exact counts, ties to the lower index.

A sample of a row gives a bracket around the threshold. One pass marks what is above it
and puts what is inside aside; the few that are missing are found there. Where the
bracket is one value, as in discrete data, counts decide; where the sample misled, NumPy
finds the exact threshold.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from attrs import frozen

from rxcore_kernels.host import Features
from rxcore_kernels.largest_mask_text import bracket_source, finish_source, key_type
from rxcore_kernels.plan import HostStep, In, Out, Plan, Step
from rxcore_kernels.sort import begin_steps
from rxcore_kernels.sort_host import array_at, sample_places, words_at
from rxcore_kernels.sort_items import KINDS, keys
from rxcore_kernels.sort_text import BLOCK

__all__ = ["plan_largest_mask"]

Array = np.ndarray[Any, np.dtype[Any]]

SMALL = 1 << 14
"""Elements of a row up to which NumPy partitions it whole."""

SAMPLE = 1 << 14
"""Elements of a row that are sampled at most."""

_DEVIATIONS = 4.0


def plan_largest_mask(
    dtype: str, rows: int, n: int, *, features: Features | None = None
) -> Plan:
    """Plan the marking of the k largest elements of each row.

    **Meaning** (inputs x (rows, n) and k (rows,) int32; output (rows, n) bool)::

        order = np.argsort(-x, axis=-1, stable=True)
        for row in range(rows):
            out[row, order[row]] = np.arange(n) < k[row]

    Of equal elements those with the lowest indices are marked; NaN is the largest.

    Args:
        dtype: NumPy's name of a real dtype, "bool", or "bfloat16".
        rows: number of rows.
        n: elements of a row, below 2**31.
        features: the processor to plan for; the host by default.

    Returns:
        The plan.

    Raises:
        TypeError: the dtype has no kernel.
        ValueError: a size is negative or too large.

    Example:
        >>> import numpy as np
        >>> from rxcore_kernels.plan import run_plan
        >>> x, k = np.array([3, 1, 4, 1, 5], np.float32), np.array([2], np.int32)
        >>> out = np.empty(5, bool)
        >>> run_plan(plan_largest_mask("float32", 1, 5), [x, k], [out])
        >>> out.tolist()
        [False, False, True, False, True]
    """
    made = begin_steps("plan_largest_mask", dtype, rows, n, features)
    if rows * n == 0:
        return made.plan
    if n <= SMALL:
        step = Small(dtype, rows, n)
        made.steps.append(
            HostStep(step, (In(0), In(1), Out(0)), 0, rows, made.row_chunk)
        )
        return made.plan
    blocks, units = made.blocks, rows * made.blocks
    kind = key_type(dtype)
    lanes = made.lanes(kind.bytes * 8)
    brackets, counts = made.memory(rows * 16), made.memory(units * 16)
    found = made.memory(rows * n * kind.bytes), made.memory(rows * n * 4)
    takes = made.memory(units * 8)
    chunk = made.block_chunk(n)
    part = (In(0), Out(0), brackets, counts, *found, n, blocks)
    settle = (In(0), In(1), Out(0), brackets, counts, *found, takes)
    finish = (In(0), Out(0), brackets, takes, n, blocks)
    made.steps += [
        HostStep(Brackets(dtype, rows, n), (In(0), In(1), brackets), 0, rows, 1),
        Step(bracket_source(dtype, lanes), part, 0, units, chunk),
        HostStep(Settle(dtype, rows, n), settle, 0, rows, 1),
        Step(finish_source(dtype, lanes), finish, 0, units, chunk),
    ]
    return made.plan


def elements_at(dtype: str, address: int, rows: int, n: int) -> Array:
    """Return rows of elements, as unsigned integers, over memory of somebody else."""
    return array_at(address, f"u{KINDS[dtype].bits.bytes}", rows, n)


def bracket(sample: Array, share: float, largest: int) -> tuple[int, int]:
    """Return keys between which the threshold almost surely is.

    Args:
        sample: sorted keys, the smallest first.
        share: the part of the whole that is above the threshold.
        largest: the largest key of the dtype.
    """
    size = sample.size
    spread = _DEVIATIONS * math.sqrt(max(size * share * (1 - share), 0.0)) + 2
    low = size - 1 - math.ceil(share * size + spread)
    high = size - math.floor(share * size - spread)
    return (
        int(sample[low]) if low >= 0 else 0,
        int(sample[high]) if high < size else largest,
    )


@frozen
class Small:
    """Mark the largest elements of short rows.

    Words: x, k, out. Units: rows.
    """

    dtype: str
    rows: int
    n: int

    def __call__(self, words: int, lo: int, hi: int) -> None:
        """Do it for the rows lo..hi."""
        x_at, k_at, out_at = words_at(words, 3)
        key = keys(self.dtype, elements_at(self.dtype, x_at, self.rows, self.n)[lo:hi])
        k = np.clip(array_at(k_at, np.int32, self.rows)[lo:hi], 0, self.n)
        out = array_at(out_at, bool, self.rows, self.n)[lo:hi]
        mark_rows(key, k, out)


def mark_rows(key: Array, k: Array, out: Array) -> None:
    """Mark the k largest keys of each row, the first ones among equals."""
    rows, n = key.shape
    place = np.clip(n - k, 0, n - 1)
    if (place == place[0]).all():
        level = np.partition(key, place[0], axis=1)[:, place[0]][:, None]
    else:
        level = np.sort(key, axis=1)[np.arange(rows), place][:, None]
    np.greater(key, level, out=out)
    there = key == level
    # A threshold of no element is one of its largest, of which none is taken.
    need = k - out.sum(axis=1)
    tied = there.sum(axis=1) != need
    out |= there & ~tied[:, None]
    for row in np.flatnonzero(tied):
        out[row, np.flatnonzero(there[row])[: need[row]]] = True


@frozen
class Brackets:
    """Choose a bracket for each row from a sample.

    Words: x, k, brackets. Units: rows.
    """

    dtype: str
    rows: int
    n: int

    def __call__(self, words: int, lo: int, hi: int) -> None:
        """Do it for the rows lo..hi."""
        x_at, k_at, brackets_at = words_at(words, 3)
        x = elements_at(self.dtype, x_at, self.rows, self.n)
        k = array_at(k_at, np.int32, self.rows)
        brackets = array_at(brackets_at, np.uint64, self.rows, 2)
        places = sample_places(self.n, min(SAMPLE, self.n // 4))
        largest = (1 << KINDS[self.dtype].width) - 1
        for row in range(lo, hi):
            sample = keys(self.dtype, x[row][places])
            sample.sort()
            share = min(max(int(k[row]) / self.n, 0.0), 1.0)
            brackets[row] = bracket(sample, share, largest)


@frozen
class Settle:
    """Mark what is missing, or say how many elements at the level each block gives.

    Words: x, k, out, brackets, counts, keys, indices, takes. Units: rows.
    """

    dtype: str
    rows: int
    n: int

    def __call__(self, words: int, lo: int, hi: int) -> None:
        """Do it for the rows lo..hi."""
        x_at, k_at, out_at, brackets_at, counts_at, *found_at, takes_at = words_at(
            words, 8
        )
        blocks = -(-self.n // BLOCK)
        wanted = array_at(k_at, np.int32, self.rows)
        out = array_at(out_at, bool, self.rows, self.n)
        brackets = array_at(brackets_at, np.uint64, self.rows, 2)
        counts = array_at(counts_at, np.int64, self.rows, blocks, 2)
        takes = array_at(takes_at, np.int64, self.rows, blocks)
        wide = np.uint64 if KINDS[self.dtype].width == 64 else np.uint32
        key = array_at(found_at[0], wide, self.rows, self.n)
        index = array_at(found_at[1], np.int32, self.rows, self.n)
        for row in range(lo, hi):
            k = min(max(int(wanted[row]), 0), self.n)
            above, inside = counts[row].T
            need = k - int(above.sum())
            missed = not 0 <= need <= int(inside.sum())
            takes[row] = -1
            if missed:
                x = elements_at(self.dtype, x_at, self.rows, self.n)[row]
                brackets[row], above, inside = exact(keys(self.dtype, x), k)
                need = k - int(above.sum())
            if missed or brackets[row, 0] == brackets[row, 1]:
                earlier = np.cumsum(inside) - inside
                takes[row] = np.clip(need - earlier, 0, inside)
            elif need:
                aside = gathered(key[row], inside), gathered(index[row], inside)
                out[row][first_largest(*aside, need)] = True


def exact(key: Array, k: int) -> tuple[Any, Array, Array]:
    """Return the k-th largest key, and counts in blocks of what is above and at it."""
    place = min(key.size - k, key.size - 1)
    level = np.partition(key, place)[place]
    edges = np.arange(0, key.size, BLOCK)
    above, there = (
        np.add.reduceat(found, edges, dtype=np.int64)
        for found in (key > level, key == level)
    )
    return level, above, there


def gathered(room: Array, counts: Array) -> Array:
    """Return what the blocks put aside, in order."""
    starts = range(0, room.size, BLOCK)
    return np.concatenate(
        [room[s : s + c] for s, c in zip(starts, counts.tolist(), strict=True)]
    )


def first_largest(key: Array, index: Array, k: int) -> Array:
    """Return the indices of the k largest keys (k > 0), the first ones among equals."""
    level = np.partition(key, key.size - k)[key.size - k]
    above = key > level
    need = k - np.count_nonzero(above)
    there = np.flatnonzero(key == level)[:need]
    above[there] = True
    found: Array = index[above]
    return found
