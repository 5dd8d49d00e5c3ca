"""Products of a matrix of dense square blocks with a vector or a matrix."""

from __future__ import annotations

from rxcore_kernels import host
from rxcore_kernels.bsr_text import matrix_source, vector_source
from rxcore_kernels.csr import columns_together
from rxcore_kernels.csr_text import ELEMENTS, UNITS, choose_kind
from rxcore_kernels.host import Features
from rxcore_kernels.plan import In, Out, Plan, Step, Word

__all__ = ["BLOCKS", "plan_bsr_matmul"]

BLOCKS = (16, 32, 64)
"""Sizes of blocks that have a kernel."""

SMALL = 1 << 16
"""Multiplications below which a product is not cut into pieces."""


def plan_bsr_matmul(
    dtype: str,
    block: int,
    rows: int,
    columns: int,
    nse: int,
    width: int = 1,
    *,
    features: Features | None = None,
) -> Plan | None:
    """Plan Y = A @ X for a matrix A of blocks in compressed rows.

    **Meaning** (inputs data, indices, indptr, X; output Y)::

        Y[i] = sum(
            data[p] @ X[indices[p]]
            for p in range(indptr[i], indptr[i + 1])
            if 0 <= indices[p] < columns
        )

    with Y of shape (rows, block, width) and X of shape (columns, block, width).
    Whatever `indices` and `indptr` hold, no memory but the operands' is touched.

    Args:
        dtype: "float32" or "float64", of data, X and Y.
        block: rows and columns of a block, one of `BLOCKS`.
        rows: rows of blocks; indptr holds one more, int32.
        columns: columns of blocks.
        nse: blocks of data, of shape (nse, block, block), and of indices, int32.
        width: columns of X and Y; 1 is a vector.
        features: the processor to plan for; the host by default.

    Returns:
        The plan, or None where a dtype or a block has no kernel, or a size is too
        large.

    Raises:
        ValueError: a size is negative.

    Example:
        >>> import numpy as np
        >>> from rxcore_kernels.plan import run_plan
        >>> data, x = np.ones((1, 16, 16), np.float32), np.ones(32, np.float32)
        >>> indices, indptr, y = np.int32([1]), np.int32([0, 1]), np.empty(16, "f")
        >>> run_plan(
        ...     plan_bsr_matmul("float32", 16, 1, 2, 1), [data, indices, indptr, x], [y]
        ... )
        >>> float(y[0])
        16.0
    """
    if min(rows, columns, nse, width) < 0:
        raise ValueError(
            f"plan_bsr_matmul: expected sizes >= 0, got rows={rows} columns={columns} "
            f"nse={nse} width={width}"
        )
    fits = max(rows, columns, nse) * block < 1 << 31
    if dtype not in ELEMENTS or block not in BLOCKS or not fits:
        return None
    if rows * width == 0:
        return Plan(())
    k = choose_kind(dtype, "int32", features or host.features())
    words: tuple[Word, ...] = (In(0), In(1), In(2), In(3), Out(0))
    words += (rows, columns, nse, block)
    chunk = 0 if nse * block * block * width < SMALL else max(1, rows // UNITS)
    if width == 1:
        return Plan((Step(vector_source(k), words, 0, rows, chunk),))
    c = columns_together(k, width, 4)
    return Plan((Step(matrix_source(k, c), (*words, width), 0, rows, chunk),))
