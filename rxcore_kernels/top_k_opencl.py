"""The largest elements of rows, in order, on an OpenCL device.

Tiles are sorted in local memory and send their largest on, until one tile holds what is
left. For more than a share of a tile, rows are sorted; the last merge stops early.
"""

from __future__ import annotations

from rxcore_kernels.launch import In, LaunchPlan, Out, Scratch
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_writer import Launches
from rxcore_kernels.sort_items import KINDS
from rxcore_kernels.sort_opencl import sort_rows, sort_tiles, sortable, tile_size
from rxcore_kernels.sort_opencl_text import Order

__all__ = ["launch_top_k"]

SHARE = 4
"""Tiles send on at most one in so many elements."""


def launch_top_k(
    facts: Facts, dtype: str, rows: int, n: int, k: int
) -> LaunchPlan | None:
    """Plan the k largest elements of each row, largest first.

    **Meaning** (input (rows, n); outputs values (rows, k), indices (rows, k) int32)::

        indices = np.argsort(-x, axis=-1, stable=True)[:, :k]
        values = np.take_along_axis(x, indices, axis=-1)

    Of equal elements those with the lowest indices come first; NaN is the largest.

    Args:
        facts: the device.
        dtype: NumPy's name of a real dtype, "bool", or "bfloat16".
        rows: number of rows.
        n: elements of a row.
        k: how many, at most n.

    Returns:
        The plan, or None where the device has no room or the dtype no kernel.

    Raises:
        ValueError: k is negative or larger than n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"launch_top_k: expected 0 <= k <= n = {n}, got k={k}")
    if not sortable(dtype, rows, n):
        return None
    made, order = Launches(facts), Order(dtype, placed=True, descending=True)
    if rows * k:
        if n > tile_size(facts, order) and k * SHARE <= tile_size(facts, order):
            _select(made, order, rows, n, k)
        else:
            sort_rows(made, order, In(0), (Out(0), Out(1)), rows, n, k, finished=True)
    element = KINDS[dtype].bits.bytes
    return made.plan(rows * n * element, rows * k * max(4, element))


def _select(made: Launches, order: Order, rows: int, n: int, k: int) -> None:
    """Append launches that keep the first k of each tile, until there is one tile.

    What is kept stays in the order of tiles, so equal keys stay in order too.
    """
    size, length = tile_size(made.facts, order), n
    given: tuple[Scratch, Scratch] | None = None
    while n > size:
        tiles = -(-n // size)
        left = (tiles - 1) * k + min(k, n - (tiles - 1) * size)
        count = rows * left
        kept = made.memory(count * order.key_bytes), made.memory(count * 4)
        sizes = (rows, n, k, length)
        sort_tiles(made, order, In(0), given, kept, sizes, left, finished=False)
        given, n = kept, left
    results = (Out(0), Out(1))
    sizes = (rows, n, k, length)
    sort_tiles(made, order, In(0), given, results, sizes, k, finished=True)
