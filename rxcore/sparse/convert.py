"""From one format to another, and into canonical order."""

from __future__ import annotations

from typing import Any

import numpy as np

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.runtime.array import Array, asarray
from rxcore.sparse.bsr import BSR, block_pattern, check_block
from rxcore.sparse.coo import COO, rows_of_coo
from rxcore.sparse.csr import CSC, CSR
from rxcore.sparse.dense import line_of_each, near, picked
from rxcore.sparse.held import assembled, fix

__all__ = ["canonical", "sort_indices", "to_bsr", "to_coo", "to_csc", "to_csr"]

Sparse = CSR | CSC | COO | BSR


def to_csr(a: Sparse) -> CSR:
    """Return a sparse matrix in compressed rows.

    **Meaning**: `to_csr(a).to_dense() == a.to_dense()`

    Args:
        a: CSR, CSC, COO or BSR. A BSR needs a fixed pattern; all elements of its blocks
            are stored, zeros too.

    Returns:
        A CSR; a fixed pattern stays fixed. Elements of a row keep their order.

    Raises:
        TreeError: when `a` is no sparse matrix.
        TraceError: when the pattern of a BSR is traced.

    Example:
        >>> import rxcore as rx
        >>> a = rx.sparse.COO([1.0, 2.0], [1, 0], [0, 1], (2, 2))
        >>> rx.sparse.to_csr(a).indptr
        Array([0, 1, 2], dtype=int32)
    """
    match a:
        case CSR():
            return a
        case CSC():
            made: CSR = a.by_other_axis(CSR)
            return made
        case COO():
            return rows_of_coo(a)
        case BSR():
            return _rows_of_blocks(a)
    raise _no_matrix("to_csr", a)


def to_csc(a: Sparse) -> CSC:
    """Return a sparse matrix in compressed columns: see `to_csr`."""
    if isinstance(a, CSC):
        return a
    made: CSC = to_csr(a).by_other_axis(CSC)
    return made


def to_coo(a: Sparse) -> COO:
    """Return a sparse matrix as a list of elements: see `to_csr`."""
    if isinstance(a, COO):
        return a
    if isinstance(a, CSC):
        return to_coo(a.T).T
    rows = to_csr(a)
    row, column = line_of_each(rows.indptr, rows.nse), rows.indices
    if rows.is_fixed:
        row, column = fix(row), fix(column)
    made: COO = assembled(
        COO, data=rows.data, _row=row, _column=column, shape=rows.shape
    )
    return made


def to_bsr(a: Sparse, block: int = 32) -> BSR:
    """Return a sparse matrix in dense square blocks.

    **Meaning**: `to_bsr(a).to_dense() == a.to_dense()`

    Args:
        a: sparse matrix with a fixed pattern; its values may be traced.
        block: rows and columns of a block: 16, 32 or 64.

    Returns:
        A BSR that stores each block with an element in it.

    Raises:
        TreeError: when `a` is no sparse matrix.
        ShapeError: when the block has another size.
        TraceError: when the pattern is traced.
    """
    check_block("to_bsr", block)
    if isinstance(a, BSR) and a.block == block:
        return a
    coo = to_coo(a)
    _need_concrete("to_bsr", coo.row, coo.column)
    row, column = coo.row.host, coo.column.host
    inside = (row < coo.shape[0]) & (column < coo.shape[1])
    pattern, place = block_pattern(row[inside], column[inside], coo.shape, block)
    data = coo.data
    if not inside.all():
        kept = np.flatnonzero(inside).astype(np.int32)
        data = picked(data, asarray(kept))
    flat = rnp.zeros(pattern[0].size * block * block, data.dtype)
    flat = flat.at[near(asarray(place.astype(np.int32)), data)].add(data)
    blocks = flat.reshape((pattern[0].size, block, block))
    return BSR(blocks, *pattern, coo.shape)


def _rows_of_blocks(a: BSR) -> CSR:
    _need_concrete("to_csr", a.indices, a.indptr)
    b, (rows, columns) = a.block, a.shape
    line = line_of_each(a.indptr, a.nse).host.astype(np.int64)
    inner = np.arange(b)
    shape = (a.nse, b, b)
    row = np.broadcast_to(line[:, None, None] * b + inner[:, None], shape).reshape(-1)
    column = a.indices.host.astype(np.int64)[:, None, None] * b + inner
    column = np.broadcast_to(column, shape).reshape(-1)
    kept = np.flatnonzero((row < rows) & (column < columns))
    order = kept[np.argsort(row[kept], kind="stable")]
    starts = np.searchsorted(row[order], np.arange(rows + 1))
    place = asarray(order.astype(np.int32))
    data = picked(a.data.reshape(-1), place)
    return CSR(data, column[order], starts, a.shape)


def sort_indices(a: Any) -> Any:
    """Return a CSR or CSC with the indices of each line in order.

    Elements at equal places stay apart, in their order: see `canonical`.

    Raises:
        TreeError: when `a` is neither.
    """
    return _ordered(a, "sort_indices")[0]


def canonical(a: Any) -> Any:
    """Return a CSR or CSC whose indices increase strictly: equal places add up.

    **Meaning**: `a.sum_duplicates()` of SciPy. Zeros stay.

    Args:
        a: CSR or CSC. A padded pattern keeps its size: what is left over becomes
            padding.

    Returns:
        A matrix of the same format.

    Raises:
        TreeError: when `a` is neither.

    Example:
        >>> import rxcore as rx
        >>> a = rx.sparse.CSR([1.0, 2.0, 3.0], [1, 0, 1], [0, 3], (1, 2))
        >>> rx.sparse.canonical(a).data
        Array([2., 4.], dtype=float32)
    """
    if isinstance(a, CSR | CSC) and a.is_fixed and a.is_canonical:
        return a
    made, line = _ordered(a, "canonical")
    names, lines = made.indices, made.indptr.shape[0] - 1
    if made.is_fixed:
        line, names = line.host, names.host
        new = np.ones(made.nse, bool)
        new[1:] = (line[1:] != line[:-1]) | (names[1:] != names[:-1])
        if new.all():
            return made
        which = asarray((np.cumsum(new) - 1).astype(np.int32))
        data = (
            rnp.zeros(int(new.sum()), made.dtype)
            .at[near(which, made.data)]
            .add(made.data)
        )
        starts = np.searchsorted(line[new], np.arange(lines + 1))
        return made.remade(data, fix(names[new]), fix(starts.astype(np.int32)))
    first = rnp.ones(min(made.nse, 1), dtypes.bool_)
    steps = (line[1:] != line[:-1]) | (names[1:] != names[:-1])
    new = rnp.concatenate([first, steps])
    which = rnp.cumsum(new.astype(dtypes.int32)) - 1
    data = rnp.zeros(made.nse, made.dtype).at[near(which, made.data)].add(made.data)
    beyond = rnp.full(made.nse, made.other_size, dtypes.int32)
    kept = beyond.at[which].set(names)
    kept_line = rnp.full(made.nse, lines, dtypes.int32).at[which].set(line)
    counted = rnp.arange(lines + 1, dtype=dtypes.int32)
    return made.remade(data, kept, rnp.searchsorted(kept_line, counted))


def _ordered(a: Any, call: str) -> tuple[Any, Any]:
    """Return a matrix with ordered indices, and the line of each element."""
    if not isinstance(a, CSR | CSC):
        raise _no_matrix(call, a, "a CSR or CSC")
    line = line_of_each(a.indptr, a.nse)
    if a.is_fixed:
        order = np.lexsort((a.indices.host, line.host)).astype(np.int32)
        if (order[1:] > order[:-1]).all():
            return a, line
        names = fix(a.indices.host[order])
        data = picked(a.data, asarray(order))
        return a.remade(data, names, a._indptr), line
    line = near(line, a.indices)
    by_name = rnp.argsort(a.indices)
    line = picked(line, by_name)
    by_line = rnp.argsort(line)
    order = picked(by_name, by_line)
    data, names = picked(a.data, order), picked(a.indices, order)
    line = picked(line, by_line)
    return a.remade(data, names, a.indptr), line


def _need_concrete(call: str, *indices: Any) -> None:
    if not all(isinstance(x, Array) for x in indices):
        raise errors.TraceError(
            f"{call}: how many elements or blocks there are depends on the pattern,"
            " which is traced; convert outside of jit, or use a fixed pattern"
        )


def _no_matrix(
    call: str, a: Any, wanted: str = "a CSR, CSC, COO or BSR"
) -> errors.TreeError:
    return errors.TreeError(f"{call}: expected {wanted}, got {type(a).__name__}")
