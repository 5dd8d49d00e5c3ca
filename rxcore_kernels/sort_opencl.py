"""Sorting along the last axis on an OpenCL device: values, and stable orders."""

from __future__ import annotations

import math

from rxcore_kernels.launch import In, LaunchPlan, Out, Scratch
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_writer import LIMIT, Launches
from rxcore_kernels.sort_items import KINDS
from rxcore_kernels.sort_opencl_text import EACH, Order, block_source, merge_source

__all__ = ["launch_argsort", "launch_sort", "sort_rows", "sort_tiles", "tile_size"]

Place = In | Out | Scratch


def launch_sort(facts: Facts, dtype: str, rows: int, n: int) -> LaunchPlan | None:
    """Plan the sorting of rows.

    **Meaning** (input and output of shape (rows, n))::

        out = np.sort(x, axis=-1)

    NaN comes last and loses its payload; -0.0 comes before 0.0.

    Args:
        facts: the device.
        dtype: NumPy's name of a real dtype, "bool", or "bfloat16".
        rows: number of rows.
        n: elements of a row.

    Returns:
        The plan, or None where the device has no room or the dtype no kernel.
    """
    order = Order(dtype, placed=False)
    if not sortable(dtype, rows, n):
        return None
    made = Launches(facts)
    if rows * n:
        sort_rows(made, order, In(0), (Out(0),), rows, n, n, finished=True)
    return made.plan(rows * n * KINDS[dtype].bits.bytes)


def launch_argsort(
    facts: Facts,
    dtype: str,
    rows: int,
    n: int,
    *,
    stable: bool = True,
    descending: bool = False,
    with_values: bool = False,
) -> LaunchPlan | None:
    """Plan the order of the elements of rows.

    **Meaning** (input (rows, n), int32 output (rows, n))::

        indices = np.argsort(x, axis=-1, stable=True)

    NaN is the largest value and -0.0 equals 0.0. With `descending` the largest comes
    first; equal elements keep their order all the same.

    Args:
        facts: the device.
        dtype: NumPy's name of a real dtype, "bool", or "bfloat16".
        rows: number of rows.
        n: elements of a row.
        stable: whether equal elements keep their order; they always do.
        descending: largest first.
        with_values: whether output 0 is the sorted elements and output 1 the indices;
            else the indices are output 0.

    Returns:
        The plan, or None where the device has no room or the dtype no kernel.
    """
    del stable
    if not sortable(dtype, rows, n):
        return None
    made = Launches(facts)
    order = Order(dtype, True, descending, with_values)
    results: tuple[Place, ...] = (Out(0), Out(1)) if with_values else (Out(0),)
    if rows * n:
        sort_rows(made, order, In(0), results, rows, n, n, finished=True)
    return made.plan(rows * n * max(4, KINDS[dtype].bits.bytes))


def sortable(dtype: str, rows: int, n: int) -> bool:
    """Say whether there is a kernel for rows of a dtype."""
    # Two runs of the longest rows must not overflow an int.
    return dtype in KINDS and n <= 1 << 30 and rows * n <= LIMIT


def tile_size(facts: Facts, order: Order) -> int:
    """Return the elements that a work-group sorts in local memory."""
    return order.group(facts) * EACH


def sort_rows(
    made: Launches,
    order: Order,
    x: Place,
    results: tuple[Place, ...],
    rows: int,
    n: int,
    k: int,
    *,
    finished: bool,
) -> None:
    """Append the launches that write the first k of each sorted row.

    Args:
        made: the plan being written.
        order: what is sorted.
        x: the elements.
        results: where sorted elements and places go; or keys and places.
        rows: number of rows.
        n: elements of a row, at least 1.
        k: how many of each row.
        finished: whether elements and places go out; else keys and places.
    """
    size = tile_size(made.facts, order)
    if n <= size:
        sort_tiles(made, order, x, None, results, (rows, n, k, n), k, finished=finished)
        return
    count = rows * n
    given: tuple[Place, ...] = _buffers(made, order, count)
    sort_tiles(made, order, x, None, given, (rows, n, size, n), n, finished=False)
    width, spare = size, None
    while 2 * width < n:
        target = _buffers(made, order, count) if spare is None else spare
        _merge_runs(made, order, x, given, target, (rows, n, width, n), finished=False)
        given, spare, width = target, given, 2 * width
    _merge_runs(made, order, x, given, results, (rows, n, width, k), finished=finished)


def _buffers(made: Launches, order: Order, count: int) -> tuple[Place, ...]:
    keys = made.memory(count * order.key_bytes)
    return (keys, made.memory(count * 4)) if order.placed else (keys,)


def sort_tiles(
    made: Launches,
    order: Order,
    x: Place,
    given: tuple[Place, ...] | None,
    results: tuple[Place, ...],
    sizes: tuple[int, int, int, int],
    result: int,
    *,
    finished: bool,
) -> None:
    """Append the launch that sorts tiles and keeps the first of each.

    Args:
        made: the plan being written.
        order: what is sorted.
        x: the elements.
        given: keys and places to sort instead of the elements.
        results: where sorted elements and places go; or keys and places.
        sizes: rows, what a row has to sort, how many of each tile are kept, and the
            elements of a row of `x`.
        result: how many a row of the result has.
        finished: whether elements and places go out; else keys and places.
    """
    rows, n, kept, length = sizes
    full = tile_size(made.facts, order)
    bits = full.bit_length() - 1
    if n < full:
        bits = max(EACH.bit_length() - 1, (n - 1).bit_length())
    tiles = -(-n // (1 << bits))
    units = rows * tiles
    alike = order if given is None or finished else order.bare
    source = block_source(made.facts, alike, fresh=given is None, finished=finished)
    through = finished and order.placed and order.values
    elements = (x,) if given is None or through else ()
    element = order.kind.bits.bytes
    read = element if given is None else order.item_bytes
    wrote = _written(order, element) if finished else order.item_bytes
    made.add(
        source,
        (*elements, *(given or ()), *results),
        (units, tiles, n, bits, kept, result, length),
        -(-units // (full >> bits)),
        shape="sort",
        flops=rows * n * bits,
        nbytes=rows * (n * read + result * wrote),
    )


def _written(order: Order, element: int) -> int:
    """Return the bytes moved for one item of a result: elements are read again."""
    if not order.placed:
        return element
    return 4 + (2 * element if order.values else 0)


def _merge_runs(
    made: Launches,
    order: Order,
    x: Place,
    given: tuple[Place, ...],
    results: tuple[Place, ...],
    sizes: tuple[int, int, int, int],
    *,
    finished: bool,
) -> None:
    rows, n, width, k = sizes
    size = tile_size(made.facts, order)
    tiles = -(-k // size)
    through = finished and order.placed and order.values
    element = order.kind.bits.bytes
    wrote = _written(order, element) if finished else order.item_bytes
    made.add(
        merge_source(made.facts, order if finished else order.bare, finished=finished),
        (*((x,) if through else ()), *given, *results),
        (n, width, tiles, k),
        rows * tiles,
        shape="merge",
        flops=rows * k * math.log2(2 * EACH),
        nbytes=rows * k * (order.item_bytes + wrote),
    )
