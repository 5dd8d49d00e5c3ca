"""Products of a matrix in compressed rows with a vector or a matrix."""

from __future__ import annotations

from rxcore_kernels import host
from rxcore_kernels.csr_matmul_text import (
    Columns,
    finish_source,
    matrix_source,
    vector_source,
)
from rxcore_kernels.csr_text import (
    COPY_UNIT,
    ELEMENTS,
    FEW,
    INDICES,
    LINE,
    Kind,
    align_source,
    choose_kind,
    path_units,
)
from rxcore_kernels.host import Features
from rxcore_kernels.plan import In, Out, Plan, Scratch, Step, Word

__all__ = [
    "align_step",
    "columns_together",
    "plan_matmul",
    "rows_in_block",
    "worth_aligning",
]

BLOCK_BYTES = 256 << 10
"""Bytes of the rows of X that stay in the second-level cache."""


OFTEN = 8
"""How often a row should be read, so that a copy of it pays."""


def plan_matmul(
    dtype: str,
    index: str,
    rows: int,
    columns: int,
    nnz: int,
    width: int = 1,
    *,
    features: Features | None = None,
) -> Plan | None:
    """Plan Y = A @ X for a matrix A in compressed rows.

    **Meaning** (inputs data, indices, indptr, X; output Y)::

        Y[i, j] = sum(
            data[p] * X[indices[p], j]
            for p in range(indptr[i], indptr[i + 1])
            if 0 <= indices[p] < columns
        )

    The order of a sum depends on the sizes alone, not on the number of threads.
    Whatever `indices` and `indptr` hold, no memory but the operands' is touched.

    Args:
        dtype: "float32" or "float64", of data, X and Y.
        index: "int32", "uint16" or "int64", of indices; indptr is int32. It is fastest
            where the indices of a row increase.
        rows: rows of A and Y; indptr holds one more.
        columns: columns of A, rows of X.
        nnz: elements of data and of indices.
        width: columns of X and Y, both dense and row-major; 1 is a vector.
        features: the processor to plan for; the host by default.

    Returns:
        The plan, or None where a dtype has no kernel or a size is too large.

    Raises:
        ValueError: a size is negative.

    Example:
        >>> import numpy as np
        >>> from rxcore_kernels.plan import run_plan
        >>> data, indices = np.float32([1, 2, 3]), np.int32([0, 2, 1])
        >>> indptr, x, y = (
        ...     np.int32([0, 2, 3]),
        ...     np.float32([1, 10, 100]),
        ...     np.empty(2, "f"),
        ... )
        >>> run_plan(
        ...     plan_matmul("float32", "int32", 2, 3, 3),
        ...     [data, indices, indptr, x],
        ...     [y],
        ... )
        >>> y.tolist()
        [201.0, 30.0]
    """
    if min(rows, columns, nnz, width) < 0:
        raise ValueError(
            f"plan_matmul: expected sizes >= 0, got rows={rows} columns={columns} "
            f"nnz={nnz} width={width}"
        )
    fits = max(rows + nnz, columns) < 1 << 31
    if dtype not in ELEMENTS or index not in INDICES or not fits:
        return None
    if rows * width == 0:
        return Plan(())
    k = choose_kind(dtype, index, features or host.features())
    units = path_units(rows, nnz * (1 + width // 16))
    size = -(-(rows + nnz) // units)
    words: tuple[Word, ...] = (In(0), In(1), In(2), In(3), Out(0))
    words += (Scratch(0), Scratch(1))
    scratch = [units * width * k.element.bytes, units * 8]
    steps = []
    if width == 1:
        source = vector_source(k)
        words += (rows, columns, nnz, size)
    else:
        c = columns_together(k, width)
        block = rows_in_block(k, c, rows, columns, nnz)
        copy: Word = In(3)
        if worth_aligning(k, columns, nnz, width):
            copy = Scratch(2)
            steps.append(align_step(k, In(3), copy, columns * width))
            scratch.append(columns * width * k.element.bytes)
        words += (copy, rows, columns, nnz, size, width, block)
        source = matrix_source(k, c)
    steps.append(Step(source, words, 0, units, 1))
    if units > 1:
        words = (Scratch(0), Scratch(1), Out(0), rows, width, units)
        steps.append(Step(finish_source(k), words, 0, 1, 0))
    return Plan(tuple(steps), tuple(scratch))


def worth_aligning(k: Kind, columns: int, nnz: int, width: int) -> bool:
    """Say whether rows could begin on cache lines, and are read often enough."""
    return not width * k.element.bytes % LINE and nnz >= OFTEN * columns


def align_step(k: Kind, source: Word, copy: Word, size: int) -> Step:
    """Return the step that copies a matrix of `size` elements if it needs to."""
    units = -(-size // COPY_UNIT)
    return Step(align_source(k), (source, copy, size), 0, units, max(1, units // 16))


def columns_together(k: Kind, width: int, most: int = 8) -> Columns:
    """Return how many vectors of columns are worked on together, `most` at most."""
    most = min(most, k.registers // 4)
    needed = -(-width // k.lanes)
    passes = -(-needed // most)
    vectors = -(-needed // passes)
    vectors = next(v for v in (1, 2, 4, 8) if v >= vectors)
    return Columns(vectors, bool(width % (vectors * k.lanes)))


def rows_in_block(k: Kind, c: Columns, rows: int, columns: int, nnz: int) -> int:
    """Return how many rows of X make a block: all, where they fit the cache."""
    bytes_each = c.vectors * k.lanes * k.element.bytes
    most = max(1, BLOCK_BYTES // bytes_each)
    if columns <= 2 * most:
        return max(columns, 1)
    # Rows that are too sparse for it are not cut.
    wanted = FEW * rows * columns // max(nnz, 1)
    return most if 4 * wanted > most else most // 4
