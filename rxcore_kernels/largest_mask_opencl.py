"""Masks of the largest elements of rows on an OpenCL device, and changes by them."""

from __future__ import annotations

from rxcore_kernels.largest_mask_opencl_text import (
    DIGITS,
    Keyed,
    change_source,
    choose_source,
    count_source,
    mark_source,
)
from rxcore_kernels.launch import In, LaunchPlan, Out, Scratch
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_writer import Launches
from rxcore_kernels.sort_items import KINDS
from rxcore_kernels.sort_opencl import sortable

__all__ = ["launch_largest_mask", "launch_rigl"]

Place = In | Out | Scratch


def launch_largest_mask(
    facts: Facts, dtype: str, rows: int, n: int
) -> LaunchPlan | None:
    """Plan the marking of the k largest elements of each row.

    **Meaning** (inputs x (rows, n) and k (rows,) int32; output (rows, n) bool)::

        order = np.argsort(-x, axis=-1, stable=True)
        for row in range(rows):
            out[row, order[row]] = np.arange(n) < k[row]

    Args:
        facts: the device.
        dtype: NumPy's name of a real dtype, "bool", or "bfloat16".
        rows: number of rows.
        n: elements of a row.

    Returns:
        The plan, or None where the device has no room or the dtype no kernel.
    """
    if not sortable(dtype, rows, n):
        return None
    made = Launches(facts)
    if rows * n:
        _mark(made, Keyed(dtype), (In(0),), In(1), Out(0), rows, n)
    return made.plan(rows * n * KINDS[dtype].bits.bytes)


def launch_rigl(facts: Facts, dtype: str, rows: int, n: int) -> LaunchPlan | None:
    """Plan a change of connections.

    **Meaning**, of each row, with `largest(x, k)` the mask of the k largest, the first
    among equals (inputs w, g (rows, n), mask (rows, n) bool, counts (rows, 2) int32;
    outputs new mask (rows, n) bool, new w (rows, n))::

        active, changed = counts
        kept = largest(np.where(mask, abs(w), -1), active - changed)
        new = kept | largest(np.where(kept, -1, abs(g)), changed)
        new_w = np.where(new & mask, w, 0)

    Args:
        facts: the device.
        dtype: NumPy's name of a real floating dtype, or "bfloat16".
        rows: number of rows.
        n: elements of a row.

    Returns:
        The plan, or None where the device has no room or the dtype no kernel.
    """
    if not sortable(dtype, rows, n) or not KINDS[dtype].infinity:
        return None
    made, size = Launches(facts), rows * n
    if size:
        kept = made.memory(size)
        _mark(made, Keyed(dtype, "active"), (In(0), In(2)), In(3), kept, rows, n)
        _mark(made, Keyed(dtype, "free"), (In(1), kept), In(3), Out(0), rows, n)
        typed = change_source(facts, dtype)
        made.add(
            typed,
            (In(0), In(2), kept, Out(0), Out(1)),
            (size,),
            -(-size // typed.source.group[0]),
            shape="elementwise",
            flops=size,
            nbytes=size * (2 * KINDS[dtype].bits.bytes + 4),
        )
    return made.plan(size * KINDS[dtype].bits.bytes)


def _mark(
    made: Launches,
    keyed: Keyed,
    elements: tuple[Place, ...],
    counts: Place,
    marks: Place,
    rows: int,
    n: int,
) -> None:
    """Append the launches that mark the largest keys of each row."""
    facts = made.facts
    tiles = -(-n // keyed.tile(facts))
    units = rows * tiles
    histograms = made.memory(units * DIGITS * 4)
    levels, wants = made.memory(rows * 8), made.memory(rows * 4)
    nbytes = rows * n * (KINDS[keyed.dtype].bits.bytes + len(elements) - 1)
    state = (histograms, levels, wants)
    for shift in range(keyed.width - 8, -8, -8):
        first = shift == keyed.width - 8
        made.add(
            count_source(facts, keyed, first=first),
            (*elements, histograms) if first else (*elements, levels, histograms),
            (n, tiles, shift),
            units,
            shape="row",
            flops=rows * n * 4,
            nbytes=nbytes + units * DIGITS * 4,
        )
        made.add(
            choose_source(facts, keyed, first=first),
            (counts, *state) if first else state,
            (n, tiles, shift),
            rows,
            shape="row",
            flops=units * DIGITS,
            nbytes=units * DIGITS * 4,
        )
    made.add(
        mark_source(facts, keyed),
        (*elements, *state, marks),
        (n, tiles),
        units,
        shape="row",
        flops=rows * n * 4,
        nbytes=2 * nbytes + rows * n,
    )
