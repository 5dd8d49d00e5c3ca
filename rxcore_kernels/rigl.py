"""Change connections: drop the smallest weights, grow by gradient, keep the count.

One pass over weights, gradients and mask decides all but what is near two thresholds,
which a sample gives. What is near is settled afterwards; where the sample misled, NumPy
finds the thresholds. The pass writes the new mask and the new weights.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen

from rxcore_kernels.host import Features
from rxcore_kernels.largest_mask import SMALL, bracket, mark_rows
from rxcore_kernels.largest_mask_text import key_type
from rxcore_kernels.plan import HostStep, In, Out, Plan, Step, Word
from rxcore_kernels.rigl_text import ROOM, change_source, redo_source, settle_source
from rxcore_kernels.sort import begin_steps
from rxcore_kernels.sort_host import array_at, sample_places, words_at
from rxcore_kernels.sort_items import KINDS
from rxcore_kernels.sort_text import BLOCK

__all__ = ["plan_rigl"]

Array = np.ndarray[Any, np.dtype[Any]]

SAMPLE = 1 << 14
"""Elements of a row that are sampled at most."""


def plan_rigl(
    dtype: str, rows: int, n: int, *, features: Features | None = None
) -> Plan:
    """Plan a change of connections.

    **Meaning**, of each row, with `largest(x, k)` the mask of the k largest, the first
    among equals (inputs w, g (rows, n), mask (rows, n) bool, counts (rows, 2) int32;
    outputs new mask (rows, n) bool, new w (rows, n))::

        active, changed = counts
        kept = largest(np.where(mask, abs(w), -1), active - changed)
        new = kept | largest(np.where(kept, -1, abs(g)), changed)
        new_w = np.where(new & mask, w, 0)

    NaN is the largest.

    Args:
        dtype: NumPy's name of a real floating dtype, or "bfloat16".
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
        >>> w, g = np.float32([[4, 3, 0, 0]]), np.float32([[0, 0, 1, 2]])
        >>> mask, new, out = w != 0, np.empty((1, 4), bool), np.empty_like(w)
        >>> counts = np.int32([[2, 1]])
        >>> run_plan(plan_rigl("float32", 1, 4), [w, g, mask, counts], [new, out])
        >>> new.tolist(), out.tolist()
        ([[True, False, False, True]], [[4.0, 0.0, 0.0, 0.0]])
    """
    made = begin_steps("plan_rigl", dtype, rows, n, features)
    if not KINDS[dtype].infinity:
        raise TypeError(f"plan_rigl: expected a floating dtype, got {dtype!r}")
    if rows * n == 0:
        return made.plan
    operands = (In(0), In(1), In(2), In(3))
    results = (Out(0), Out(1))
    if n <= SMALL:
        small = Small(dtype, rows, n)
        made.steps.append(
            HostStep(small, (*operands, *results), 0, rows, made.row_chunk)
        )
        return made.plan
    blocks, units = made.blocks, rows * made.blocks
    element = KINDS[dtype].bits.bytes
    lanes = made.lanes(key_type(dtype).bytes * 8)
    brackets, counts = made.memory(rows * 32), made.memory(units * 32)
    key = key_type(dtype).bytes
    rooms = [made.memory(units * ROOM * b) for b in (4, element, key) * 2]
    chunk = made.block_chunk(n)
    part: tuple[Word, ...] = (
        In(0),
        In(1),
        In(2),
        *results,
        brackets,
        counts,
        *rooms,
        n,
        blocks,
    )
    choose = Thresholds(dtype, rows, n, lanes)
    words: tuple[Word, ...] = (*operands, *results, brackets, counts, *rooms)
    redo: tuple[Word, ...] = (*operands[:3], *results, brackets, counts, n, blocks)
    settle: tuple[Word, ...] = (*results, brackets, counts, *rooms, n, blocks)
    made.steps += [
        HostStep(Brackets(dtype, rows, n), (*operands, brackets), 0, rows, 1),
        Step(change_source(dtype, lanes), part, 0, units, chunk),
        HostStep(choose, words, 0, rows, 1),
        Step(settle_source(dtype), settle, 0, units, chunk),
        Step(redo_source(dtype, lanes), redo, 0, units, chunk),
    ]
    return made.plan


def sizes(dtype: str, bits: Array) -> Array:
    """Return the keys of magnitudes: bits without a sign, NaNs as one."""
    kind = KINDS[dtype]
    size = bits & bits.dtype.type((1 << (kind.width - 1)) - 1)
    made: Array = np.minimum(size, bits.dtype.type(kind.infinity + 1))
    return made


@frozen
class _Step:
    """What the steps on the host share."""

    dtype: str
    rows: int
    n: int

    def _operands(self, addresses: list[int]) -> tuple[Array, Array, Array, Array]:
        """Return w and g as unsigned integers, the mask, and the counts."""
        w_at, g_at, mask_at, counts_at = addresses
        kind = f"u{KINDS[self.dtype].bits.bytes}"
        return (
            array_at(w_at, kind, self.rows, self.n),
            array_at(g_at, kind, self.rows, self.n),
            array_at(mask_at, bool, self.rows, self.n),
            array_at(counts_at, np.int32, self.rows, 2),
        )

    def _results(self, addresses: list[int]) -> tuple[Array, Array]:
        """Return the new mask, and the new weights as unsigned integers."""
        kind = f"u{KINDS[self.dtype].bits.bytes}"
        return (
            array_at(addresses[0], bool, self.rows, self.n),
            array_at(addresses[1], kind, self.rows, self.n),
        )

    def _decide(self, given: tuple[Array, ...], new: Array, out: Array) -> None:
        """Decide everything about some rows at once."""
        w, g, mask, counts = given
        active, changed = np.clip(counts.T, 0, self.n)
        size = sizes(self.dtype, w)
        kept = np.empty(mask.shape, bool)
        keep = np.maximum(active - changed, 0)
        mark_rows(np.where(mask, size + size.dtype.type(1), 0), keep, kept)
        steep = sizes(self.dtype, g)
        rest = np.where(kept, 0, steep + steep.dtype.type(1))
        mark_rows(rest, np.minimum(changed, self.n - keep), new)
        new |= kept
        out[...] = np.where(new & mask, w, 0)


@frozen
class Small(_Step):
    """Decide everything about short rows.

    Words: w, g, mask, counts, new mask, new w. Units: rows.
    """

    def __call__(self, words: int, lo: int, hi: int) -> None:
        """Do it for the rows lo..hi."""
        at = words_at(words, 6)
        new, out = self._results(at[4:])
        given = tuple(x[lo:hi] for x in self._operands(at[:4]))
        self._decide(given, new[lo:hi], out[lo:hi])


@frozen
class Brackets(_Step):
    """Choose brackets around both thresholds of each row from a sample.

    Words: w, g, mask, counts, brackets. Units: rows.
    """

    def __call__(self, words: int, lo: int, hi: int) -> None:
        """Do it for the rows lo..hi."""
        *at, brackets_at = words_at(words, 5)
        w, g, mask, counts = self._operands(at)
        brackets = array_at(brackets_at, np.uint64, self.rows, 4)
        places = sample_places(self.n, min(SAMPLE, self.n // 4))
        largest = KINDS[self.dtype].infinity + 1
        for row in range(lo, hi):
            active, changed = (int(c) for c in counts[row])
            keep = max(active - changed, 0)
            there = mask[row].take(places)
            size = sizes(self.dtype, w[row].take(places))
            live = np.sort(size[there])
            share = min(keep / max(active, 1), 1.0)
            low, high, rest = 0, largest, ~there
            if live.size:
                low, high = bracket(live, share, largest)
                # What can grow is what is not kept.
                middle = live[min(int((1 - share) * live.size), live.size - 1)]
                rest = ~(there & (size >= middle))
            steep = np.sort(sizes(self.dtype, g[row].take(places[rest])))
            share = min(changed / max(self.n - keep, 1), 1.0)
            near = bracket(steep, share, largest) if steep.size else (0, largest)
            brackets[row] = (low, high, *near)


@frozen
class Thresholds(_Step):
    """Find both thresholds of each row among what was put aside.

    Words: w, g, mask, counts, new mask, new w, brackets (which become thresholds),
    counts of the blocks, rooms. Units: rows.
    """

    lanes: int

    @property
    def key_bytes(self) -> int:
        """Bytes of a key."""
        return key_type(self.dtype).bytes

    def __call__(self, words: int, lo: int, hi: int) -> None:
        """Do it for the rows lo..hi."""
        at = words_at(words, 14)
        blocks = -(-self.n // BLOCK)
        levels = array_at(at[6], np.int64, self.rows, 4)
        found = array_at(at[7], np.int64, self.rows, blocks, 4)
        given = self._operands(at[:4])
        kinds = ("i4", f"u{KINDS[self.dtype].bits.bytes}", f"u{self.key_bytes}")
        rooms = [
            array_at(a, k, self.rows, blocks, ROOM)
            for a, k in zip(at[8:], kinds * 2, strict=True)
        ]
        for row in range(lo, hi):
            block = found[row]
            # Lanes that found no room were only counted.
            fits = int(block[:, 1::2].max()) <= ROOM - self.lanes
            aside = [room[row] for room in rooms]
            made = (
                self._find(given[3][row], block, aside, levels[row]) if fits else None
            )
            if made is None:
                made = self._exact(tuple(x[row] for x in given))
                block[:, 1::2] = (-1, 0)
            if made is None:
                # The counts are not those of the mask: they are taken at their word.
                new, out = (x[row : row + 1] for x in self._results(at[4:6]))
                self._decide(tuple(x[row : row + 1] for x in given), new, out)
                block[:, 1::2] = 0
            else:
                levels[row] = made

    def _exact(self, given: tuple[Array, ...]) -> tuple[int, int, int, int] | None:
        """Return the thresholds of a row from all of it."""
        w, g, mask, counts = given
        active, changed = (int(c) for c in counts)
        index = np.flatnonzero(mask)
        need = active - changed
        if not 0 <= need <= index.size:
            return None
        size = sizes(self.dtype, w[index])
        least, last = threshold(size, lambda: index, need)
        free = np.ones(self.n, bool)
        free[index[(size > least) | ((size == least) & (index <= last))]] = False
        if not 0 <= changed <= np.count_nonzero(free):
            return None
        steep = sizes(self.dtype, g[free])
        level, end = threshold(steep, lambda: np.flatnonzero(free), changed)
        return least, last, level, end

    def _find(
        self, counts: Array, block: Array, rooms: list[Array], ends: Array
    ) -> tuple[int, int, int, int] | None:
        """Return the thresholds of a row, or None where a bracket held none."""
        active, changed = (int(c) for c in counts)
        kept, _, grown, _ = (int(c) for c in block.sum(axis=0))
        size = sizes(self.dtype, gathered(rooms[1], block[:, 1]))
        need = active - changed - kept
        if not 0 <= need <= size.size:
            return None
        first = functools.partial(gathered, rooms[0], block[:, 1])
        least, last = threshold(size, first, need)
        dropped = size < least
        if last < self.n - 1:
            dropped |= (size == least) & (first() > last)
        # What is dropped here may grow again, like all that the pass saw dropped.
        steep = np.concatenate(
            [
                gathered(rooms[2], block[:, 1])[dropped],
                gathered(rooms[5], block[:, 3]),
            ]
        )
        need = changed - grown
        if not 0 <= need <= steep.size:
            return None

        def places() -> Array:
            return np.concatenate([first()[dropped], gathered(rooms[3], block[:, 3])])

        level, end = threshold(steep, places, need)
        # Below the bracket are some that were not put aside.
        return (least, last, level, end) if level >= int(ends[2]) else None


def threshold(key: Array, index: Callable[[], Array], k: int) -> tuple[int, int]:
    """Return the k-th largest key, and the last index of those at it that count."""
    if k == 0:
        return np.iinfo(np.int64).max, -1
    level = np.partition(key, key.size - k)[key.size - k]
    need = k - np.count_nonzero(key > level)
    there = key == level
    if need == np.count_nonzero(there):
        return int(level), np.iinfo(np.int32).max
    return int(level), int(np.partition(index()[there], need - 1)[need - 1])


def gathered(rooms: Array, counts: Array) -> Array:
    """Return what the blocks put aside, in order."""
    parts = zip(rooms, counts.tolist(), strict=True)
    return np.concatenate([room[:count] for room, count in parts])
