"""Running sums, products, minima and maxima along one axis."""

from __future__ import annotations

from rxcore_kernels import host
from rxcore_kernels.cumsum_text import (
    BLOCK_BYTES,
    CHUNK,
    TYPES,
    Scan,
    bases_source,
    columns_source,
    scan_source,
    totals_source,
)
from rxcore_kernels.host import Features
from rxcore_kernels.plan import In, Out, Plan, Scratch, Step, Word

__all__ = ["plan_cumsum", "plan_cumulative"]

COMBINES = ("add", "mul", "min", "max")

STREAMING_BYTES = 32 << 20
"""Results from this size on do not fit the caches, so stores bypass them."""


def plan_cumsum(
    dtype: str,
    outer: int,
    n: int,
    *,
    inner: int = 1,
    reverse: bool = False,
    exclusive: bool = False,
    features: Features | None = None,
) -> Plan | None:
    """Plan the running sum along the middle axis of a contiguous array.

    **Meaning** (input and output of shape (outer, n, inner))::

        out = np.cumsum(x, axis=1)

    Rows with more than 65,536 elements are summed in chunks of that size, so float
    errors grow with the number of chunks instead of n, and do not depend on the number
    of threads. Integers wrap around.

    Args:
        dtype: "float32", "float64", "int32", "int64", "uint32" or "uint64".
        outer: product of the sizes before the axis.
        n: size of the axis.
        inner: product of the sizes behind the axis.
        reverse: sum from the last element to the first.
        exclusive: leave an element's own value out; the first result is 0.
        features: the processor to plan for; the host by default.

    Returns:
        The plan, or None where the dtype has no kernel.

    Raises:
        ValueError: a size is negative.

    Example:
        >>> import numpy as np
        >>> from rxcore_kernels.plan import run_plan
        >>> x, out = np.arange(1, 5, dtype=np.int32), np.empty(4, np.int32)
        >>> plan = plan_cumsum("int32", 1, 4)
        >>> run_plan(plan, [x], [out])
        >>> out.tolist()
        [1, 3, 6, 10]
    """
    return plan_cumulative(
        "add",
        dtype,
        outer,
        n,
        inner=inner,
        reverse=reverse,
        exclusive=exclusive,
        features=features,
    )


def plan_cumulative(
    combine: str,
    dtype: str,
    outer: int,
    n: int,
    *,
    inner: int = 1,
    reverse: bool = False,
    exclusive: bool = False,
    features: Features | None = None,
) -> Plan | None:
    """Plan a running combination along the middle axis of a contiguous array.

    **Meaning** (input and output of shape (outer, n, inner))::

        out = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}[
            combine
        ].accumulate(x, axis=1)

    Args:
        combine: "add", "mul", "min" or "max"; the last two keep NaN.
        dtype: "float32", "float64", "int32", "int64", "uint32" or "uint64".
        outer: product of the sizes before the axis.
        n: size of the axis.
        inner: product of the sizes behind the axis.
        reverse: go from the last element to the first.
        exclusive: leave an element's own value out; the first result is the value that
            changes no other (0, 1, the largest, the smallest).
        features: the processor to plan for; the host by default.

    Returns:
        The plan, or None where the dtype has no kernel.

    Raises:
        ValueError: a size is negative, or the combination is unknown.

    Example:
        >>> import numpy as np
        >>> from rxcore_kernels.plan import run_plan
        >>> x, out = np.array([1, 3, 2, 4], np.float32), np.empty(4, np.float32)
        >>> plan = plan_cumulative("max", "float32", 1, 4)
        >>> run_plan(plan, [x], [out])
        >>> out.tolist()
        [1.0, 3.0, 3.0, 4.0]
    """
    if combine not in COMBINES:
        known = ", ".join(COMBINES)
        raise ValueError(
            f"plan_cumulative: expected combine to be one of {known}, got {combine!r}"
        )
    if min(outer, n, inner) < 0:
        raise ValueError(
            "plan_cumulative: expected sizes >= 0, "
            f"got outer={outer} n={n} inner={inner}"
        )
    if dtype not in TYPES:
        return None
    if outer * n * inner == 0:
        return Plan(())
    bits = (features or host.features()).vector_bits
    lanes = bits // 8 // TYPES[dtype].bytes
    scan = Scan(combine, dtype, lanes, reverse, exclusive)
    if inner > 1:
        return _plan_columns(scan, outer, n, inner)
    return _plan_rows(scan, outer, n)


def _plan_columns(s: Scan, outer: int, n: int, inner: int) -> Plan:
    blocks = -(-inner // (BLOCK_BYTES // s.element.bytes))
    words: tuple[Word, ...] = (In(0), Out(0), n, inner, blocks)
    units = outer * blocks
    chunk = _piece(units, outer * n * inner)
    return Plan((Step(columns_source(s), words, 0, units, chunk),))


def _plan_rows(s: Scan, outer: int, n: int) -> Plan:
    """Plan one step for short rows; for long ones the chunks' totals come first."""
    chunks = -(-n // CHUNK)
    units = outer * chunks
    piece = _piece(units, outer * n)
    streaming = outer * n * s.element.bytes >= STREAMING_BYTES and n >= s.lanes
    if chunks == 1:
        words: tuple[Word, ...] = (In(0), Out(0), Out(0), n, 1)
        source = scan_source(s, based=False, streaming=streaming)
        return Plan((Step(source, words, 0, units, piece),))
    totals = totals_source(s)
    source = scan_source(s, based=True, streaming=streaming)
    words = (In(0), Out(0), Scratch(0), n, chunks)
    steps = (
        Step(totals, (In(0), Scratch(0), n, chunks), 0, units, piece),
        Step(bases_source(s), (Scratch(0), chunks), 0, outer, 0),
        Step(source, words, 0, units, piece),
    )
    return Plan(steps, (units * s.element.bytes,))


def _piece(units: int, elements: int) -> int:
    """Return the units of a piece: about one chunk of elements."""
    if elements <= CHUNK // 2 or units == 1:
        return 0
    return max(1, units * (CHUNK // 2) // elements)
