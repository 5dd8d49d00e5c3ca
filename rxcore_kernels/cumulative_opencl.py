"""Running sums, products, minima and maxima along one axis on an OpenCL device."""

from __future__ import annotations

from rxcore_kernels.cumulative_opencl_text import (
    EACH,
    Scan,
    column_bases_source,
    column_source,
    column_totals_source,
    row_bases_source,
    row_source,
    row_totals_source,
)
from rxcore_kernels.launch import In, LaunchPlan, Out, Scratch
from rxcore_kernels.opencl_elements import computes, whole_parts
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_writer import LIMIT, Launches, TypedSource

__all__ = ["launch_cumsum", "launch_cumulative"]

COMBINES = ("add", "mul", "min", "max")

SHORT_ROW = 32
"""Elements up to which a row is scanned by one work-item."""

MANY_COLUMNS = 4096
"""Columns from which each is scanned by one work-item, whatever its length."""

LEAST_PART = 64
"""Elements of a part of a column, at least."""


def launch_cumsum(
    facts: Facts,
    dtype: str,
    outer: int,
    n: int,
    *,
    inner: int = 1,
    reverse: bool = False,
    exclusive: bool = False,
) -> LaunchPlan | None:
    """Plan the running sum along the middle axis of a contiguous array.

    **Meaning** (input and output of shape (outer, n, inner))::

        out = np.cumsum(x, axis=1)

    Arguments and result are those of `launch_cumulative`.
    """
    return launch_cumulative(
        facts,
        "add",
        dtype,
        outer,
        n,
        inner=inner,
        reverse=reverse,
        exclusive=exclusive,
    )


def launch_cumulative(
    facts: Facts,
    combine: str,
    dtype: str,
    outer: int,
    n: int,
    *,
    inner: int = 1,
    reverse: bool = False,
    exclusive: bool = False,
) -> LaunchPlan | None:
    """Plan a running combination along the middle axis of a contiguous array.

    **Meaning** (input and output of shape (outer, n, inner))::

        out = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}[
            combine
        ].accumulate(x, axis=1)

    Integers wrap around. Long axes are scanned in parts, so float errors grow with the
    logarithm of a part and the number of parts. Halves carry float32.

    Args:
        facts: the device.
        combine: "add", "mul", "min" or "max"; the last two keep NaN.
        dtype: NumPy's name of a real dtype, "bool" or "bfloat16"; complex to "add".
        outer: product of the sizes before the axis.
        n: size of the axis.
        inner: product of the sizes behind the axis.
        reverse: go from the last element to the first.
        exclusive: leave an element's own value out; the first result is the value that
            changes no other (0, 1, the largest, the smallest).

    Returns:
        The plan, or None where the device has no room or the dtype no kernel.

    Raises:
        ValueError: the combination is unknown.
    """
    if combine not in COMBINES:
        known = ", ".join(COMBINES)
        raise ValueError(
            f"launch_cumulative: expected combine to be one of {known}, got {combine!r}"
        )
    part, parts = whole_parts(dtype)
    if not computes(facts, part) or (parts > 1 and combine != "add"):
        return None
    # The two parts of complex numbers are summed apart.
    inner *= parts
    if outer * n * inner > LIMIT:
        return None
    made = Launches(facts)
    scan = Scan(combine, part, reverse, exclusive)
    if outer * n * inner:
        if inner == 1 and n > SHORT_ROW:
            _rows(made, scan, outer, n)
        else:
            _columns(made, scan, outer, n, inner)
    return made.plan(outer * n * inner * scan.element.bytes)


def _rows(made: Launches, s: Scan, outer: int, n: int) -> None:
    parts = -(-n // (s.row_group(made.facts) * EACH))
    groups, size = outer * parts, outer * n
    moved = size * s.element.bytes
    if parts == 1:
        source = row_source(made.facts, s, based=False)
        _add(made, source, (In(0), Out(0)), (n, 1), groups, 2 * size, 2 * moved)
        return
    held = groups * s.element.value_bytes
    totals = made.memory(held)
    source = row_totals_source(made.facts, s)
    _add(made, source, (In(0), totals), (n, parts), groups, size, moved + held)
    source = row_bases_source(made.facts, s)
    _add(made, source, (totals,), (parts,), outer, groups, 2 * held)
    source = row_source(made.facts, s, based=True)
    memories = (In(0), Out(0), totals)
    _add(made, source, memories, (n, parts), groups, 2 * size, 2 * moved + held)


def _columns(made: Launches, s: Scan, outer: int, n: int, inner: int) -> None:
    columns, size = outer * inner, outer * n * inner
    each = n if columns >= MANY_COLUMNS else _part(n)
    parts = -(-n // each)
    items, moved = columns * parts, size * s.element.bytes
    scalars = (items, n, inner, parts, each)

    def groups(typed: TypedSource, count: int) -> int:
        return -(-count // typed.source.group[0])

    if parts == 1:
        source = column_source(made.facts, s, based=False)
        memories: tuple[In | Out | Scratch, ...] = (In(0), Out(0))
        _add(made, source, memories, scalars, groups(source, items), size, 2 * moved)
        return
    held = items * s.element.value_bytes
    totals = made.memory(held)
    source = column_totals_source(made.facts, s)
    memories = (In(0), totals)
    _add(made, source, memories, scalars, groups(source, items), size, moved + held)
    source = column_bases_source(made.facts, s)
    counts = (columns, inner, parts)
    _add(made, source, (totals,), counts, groups(source, columns), items, 2 * held)
    source = column_source(made.facts, s, based=True)
    memories = (In(0), Out(0), totals)
    nbytes = 2 * moved + held
    _add(made, source, memories, scalars, groups(source, items), size, nbytes)


def _part(n: int) -> int:
    """Return a power of two near the root of a length: as many parts as elements."""
    return max(LEAST_PART, 1 << ((n.bit_length() + 1) // 2))


def _add(
    made: Launches,
    source: TypedSource,
    memories: tuple[In | Out | Scratch, ...],
    scalars: tuple[int, ...],
    groups: int,
    flops: int,
    nbytes: int,
) -> None:
    made.add(
        source,
        memories,
        scalars,
        groups,
        shape="cumulative",
        flops=flops,
        nbytes=nbytes,
    )
