"""Products of rows of two dense matrices at the places of a sparse pattern."""

from __future__ import annotations

from rxcore_kernels import host
from rxcore_kernels.csr import (
    align_step,
    columns_together,
    rows_in_block,
    worth_aligning,
)
from rxcore_kernels.csr_sddmm_text import outer_source, sddmm_source
from rxcore_kernels.csr_text import ELEMENTS, INDICES, choose_kind, path_units
from rxcore_kernels.host import Features
from rxcore_kernels.plan import In, Out, Plan, Scratch, Step, Word

__all__ = ["plan_sddmm"]


def plan_sddmm(
    dtype: str,
    index: str,
    rows: int,
    columns: int,
    nnz: int,
    width: int = 1,
    *,
    features: Features | None = None,
) -> Plan | None:
    """Plan the elements of X @ Y.T at the places of a pattern.

    **Meaning** (inputs X, Y, indices, indptr; output S)::

        S = np.zeros(nnz)
        for i in range(rows):
            for p in range(indptr[i], indptr[i + 1]):
                if 0 <= indices[p] < columns:
                    S[p] = X[i] @ Y[indices[p]]

    Whatever `indices` and `indptr` hold, no memory but the operands' is touched.

    Args:
        dtype: "float32" or "float64", of X, Y and S.
        index: "int32", "uint16" or "int64", of indices; indptr is int32. It is fastest
            where the indices of a row increase.
        rows: rows of X; indptr holds one more.
        columns: rows of Y.
        nnz: elements of indices and of S.
        width: columns of X and Y, both dense and row-major; 1 is a vector.
        features: the processor to plan for; the host by default.

    Returns:
        The plan, or None where a dtype has no kernel or a size is too large.

    Raises:
        ValueError: a size is negative.

    Example:
        >>> import numpy as np
        >>> from rxcore_kernels.plan import run_plan
        >>> x, y = np.float32([[1, 2], [3, 4]]), np.float32([[1, 0], [0, 1]])
        >>> indices, indptr = np.int32([1, 0, 1]), np.int32([0, 1, 3])
        >>> s = np.empty(3, np.float32)
        >>> run_plan(
        ...     plan_sddmm("float32", "int32", 2, 2, 3, 2), [x, y, indices, indptr], [s]
        ... )
        >>> s.tolist()
        [2.0, 3.0, 4.0]
    """
    if min(rows, columns, nnz, width) < 0:
        raise ValueError(
            f"plan_sddmm: expected sizes >= 0, got rows={rows} columns={columns} "
            f"nnz={nnz} width={width}"
        )
    fits = max(rows + nnz, columns) < 1 << 31
    if dtype not in ELEMENTS or index not in INDICES or not fits:
        return None
    if nnz == 0:
        return Plan(())
    k = choose_kind(dtype, index, features or host.features())
    # Without rows or columns there are no products: zeros are.
    if not rows * columns * width:
        rows = columns = 0
        width = 1
    units = path_units(rows, nnz * (1 + width // 16))
    size = -(-(rows + nnz) // units)
    words: tuple[Word, ...] = (In(0), In(1), In(2), In(3), Out(0))
    words += (rows, columns, nnz, size, units)
    if width == 1:
        return Plan((Step(outer_source(k), words, 0, units, 1),))
    c = columns_together(k, width)
    block = rows_in_block(k, c, rows, columns, nnz)
    source = sddmm_source(k, c, adds=width > c.vectors * k.lanes)
    copy: Word = In(1)
    steps = []
    if worth_aligning(k, columns, nnz, width):
        copy = Scratch(0)
        steps.append(align_step(k, In(1), copy, columns * width))
    words = (*words[:5], copy, *words[5:], width, block)
    steps.append(Step(source, words, 0, units, 1))
    return Plan(tuple(steps), (columns * width * k.element.bytes,) * (len(steps) - 1))
