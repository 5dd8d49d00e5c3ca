"""Histograms of magnitudes, one for each row, on an OpenCL device.

Counts are integers, so atomic additions give the same result in any order.
"""

from __future__ import annotations

from functools import cache

from rxcore_kernels.launch import In, LaunchPlan, Out
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_writer import (
    LIMIT,
    Launches,
    Memory,
    TypedSource,
    group_size,
    kernel,
)

__all__ = ["launch_histogram"]

_GROUP = 64

PER_ITEM = 16
"""Elements that a work-item counts."""


def launch_histogram(
    facts: Facts, rows: int, n: int, bins: int, *, signed: bool
) -> LaunchPlan | None:
    """Plan the histograms of magnitudes of each row of float32.

    **Meaning** (inputs x (rows, n) and limits (rows,); output counts (rows, bins), or
    (rows, 2, bins) where signed: numbers below zero, then the others; int32)::

        steps = np.abs(x) * (np.float32(bins) / limits[:, None])
        place = np.where(steps < bins - 1, steps, bins - 1).astype(np.int32)
        counts = [np.bincount(row, minlength=bins) for row in place]

    Args:
        facts: the device.
        rows: number of rows.
        n: elements of a row.
        bins: bins of a histogram.
        signed: whether numbers below zero are counted apart.

    Returns:
        The plan, or None where the device has no room.
    """
    width = bins * (1 + signed)
    group = group_size(facts, _GROUP)
    tile = group * PER_ITEM
    tiles = -(-n // tile)
    if max(rows * n, rows * width, rows * tiles * tile) > LIMIT:
        return None
    made = Launches(facts)
    if rows:
        made.add(
            _zero_source(group),
            (Out(0),),
            (rows * width,),
            -(-rows * width // group),
            shape="elementwise",
            flops=0,
            nbytes=4 * rows * width,
        )
    if rows * n:
        made.add(
            _count_source(group, signed),
            (In(0), In(1), Out(0)),
            (n, bins, tiles),
            rows * tiles,
            shape="scatter",
            flops=4 * rows * n,
            nbytes=12 * rows * n,
        )
    return made.plan(4 * rows * n, 4 * rows * width)


@cache
def _zero_source(group: int) -> TypedSource:
    body = f"""  const int i = group * {group} + lid;
  if (i < count) out[i] = 0;
"""
    symbol = f"histogram_zero_{group}"
    return kernel(symbol, [Memory("out", "int", True)], ["int count"], group, body)


@cache
def _count_source(group: int, signed: bool) -> TypedSource:
    body = f"""  const int row = group / tiles;
  const float last = (float)(bins - 1);
  const float factor = (float)bins / limits[row];
  const int stop = n < (group % tiles + 1) * {group * PER_ITEM}
      ? n : (group % tiles + 1) * {group * PER_ITEM};
  x += row * n;
  counts += row * bins{" * 2" if signed else ""};
  for (int i = group % tiles * {group * PER_ITEM} + lid; i < stop; i += {group}) {{
    const float a = x[i];
    const float steps = (a < 0.0f ? -a : a) * factor;
    int place = (int)(steps < last ? steps : last);
    {"place = a < 0.0f ? place : place + bins;" if signed else ""}
    atomic_add(&counts[place], 1);
  }}
"""
    memories = [
        Memory("x", "float"),
        Memory("limits", "float"),
        Memory("counts", "int", True),
    ]
    symbol = f"histogram_count_{'signed' if signed else 'plain'}_{group}"
    return kernel(symbol, memories, ["int n", "int bins", "int tiles"], group, body)
