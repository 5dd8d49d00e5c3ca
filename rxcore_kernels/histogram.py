"""Histograms of magnitudes, one for each row."""

from __future__ import annotations

from rxcore_kernels import host
from rxcore_kernels.histogram_text import TABLES, count_source, sum_source
from rxcore_kernels.host import Features
from rxcore_kernels.plan import In, Out, Plan, Scratch, Step

__all__ = ["MOST_BINS", "plan_histogram"]

MOST_BINS = 1 << 16
"""Bins of a histogram at most: more do not fit a second-level cache."""

PIECE = 1 << 15
"""Elements that are counted into tables of their own at least."""

MOST_PIECES = 16
"""Pieces of a row at most: what is counted apart has to be added."""

_BLOCK = 1 << 10
"""Bins that a unit adds up."""


def plan_histogram(
    rows: int, n: int, bins: int, *, signed: bool, features: Features | None = None
) -> Plan:
    """Plan the histograms of magnitudes of each row of float32.

    **Meaning** (inputs x (rows, n) and limits (rows,); output counts (rows, bins), or
    (rows, 2, bins) where signed: numbers below zero, then the others; int32)::

        steps = np.abs(x) * (np.float32(bins) / limits[:, None])
        place = np.where(steps < bins - 1, steps, bins - 1).astype(np.int32)
        counts = [np.bincount(row, minlength=bins) for row in place]

    Numbers beyond the limit and NaN are counted in the last bin. Numbers at the edge of
    two bins may lie elsewhere than `np.histogram` says, unless bins and limit are
    powers of two.

    Args:
        rows: number of rows.
        n: elements of a row, below 2**31.
        bins: bins of a histogram, at most 65,536.
        signed: whether numbers below zero are counted apart.
        features: the processor to plan for; the host by default.

    Returns:
        The plan.

    Raises:
        ValueError: a size is negative or too large.

    Example:
        >>> import numpy as np
        >>> from rxcore_kernels.plan import run_plan
        >>> x, counts = np.float32([0.1, -0.6, 0.9, 5.0]), np.empty(4, np.int32)
        >>> plan = plan_histogram(1, 4, 4, signed=False)
        >>> run_plan(plan, [x, np.ones(1, np.float32)], [counts])
        >>> counts.tolist()
        [1, 0, 1, 2]
    """
    if min(rows, n) < 0 or n >= 1 << 31 or not 1 <= bins <= MOST_BINS:
        raise ValueError(
            f"plan_histogram: expected rows >= 0, 0 <= n < 2**31 and 1 <= bins <="
            f" {MOST_BINS}, got rows={rows} n={n} bins={bins}"
        )
    if not rows:
        return Plan(())
    lanes = (features or host.features()).vector_bits // 32
    width = bins * (1 + signed)
    # Rows that are not much longer than their histogram are counted in place.
    tables = TABLES if n >= 4 * TABLES * width else 1
    pieces = min(MOST_PIECES, max(1, n // max(PIECE, 4 * tables * width)))
    apart = pieces * tables > 1
    target: Out | Scratch = Scratch(0) if apart else Out(0)
    words = (In(0), In(1), target, n, bins, pieces)
    units = rows * pieces
    chunk = 0 if rows * n <= PIECE else max(1, units * PIECE // (rows * max(n, 1)))
    source = count_source(lanes, signed, tables)
    count = Step(source, words, 0, units, chunk)
    if not apart:
        return Plan((count,))
    blocks = -(-width // _BLOCK)
    copies = pieces * tables
    total = (Scratch(0), Out(0), width, copies, blocks)
    units = rows * blocks
    chunk = 0 if rows * width * copies <= PIECE else max(1, PIECE // (_BLOCK * copies))
    add = Step(sum_source(lanes, _BLOCK), total, 0, units, chunk)
    return Plan((count, add), (rows * copies * width * 4,))
