"""Products, sums and scalings of sparse matrices."""

from __future__ import annotations

from typing import Any

from rxcore import numpy as rnp
from rxcore.base import errors
from rxcore.ops import bsr as block_ops
from rxcore.ops import csr as ops
from rxcore.ops.families import promote
from rxcore.sparse.bsr import BSR
from rxcore.sparse.compiled import run
from rxcore.sparse.convert import to_csc, to_csr
from rxcore.sparse.coo import COO
from rxcore.sparse.csr import CSC, CSR
from rxcore.sparse.dense import line_of_each, near
from rxcore.sparse.joined import added
from rxcore.trace.bind import as_numeric

__all__ = [
    "add",
    "column_sum",
    "csr_matmul",
    "row_sum",
    "scale",
    "scale_columns",
    "scale_rows",
    "sddmm",
]

FORMATS = (CSR, CSC, COO, BSR)


def csr_matmul(a: Any, x: Any) -> Any:
    """Multiply a sparse matrix with a dense vector or matrix.

    **Meaning**: `a.to_dense() @ x`, where only stored elements are multiplied: a NaN
    in `x` beside a zero that is not stored does not show.

    The gradient in the values keeps the pattern, and is `sddmm`; the gradient in `x`
    is the product with the transposed matrix, whose order is computed once for a fixed
    pattern. On concrete arrays it runs compiled.

    Args:
        a: CSR; CSC, COO and BSR are taken too.
        x: array of shape (columns,) or (columns, n). Dtypes are promoted together;
            float32 and float64 have kernels, others run on the host.

    Returns:
        Array of shape (rows,) or (rows, n).

    Raises:
        TreeError: when `a` is no sparse matrix.
        ShapeError: when the shapes do not fit.

    Example:
        >>> import rxcore as rx
        >>> a = rx.sparse.CSR([1.0, 2.0, 3.0], [0, 2, 1], [0, 2, 3], (2, 3))
        >>> rx.sparse.csr_matmul(a, rx.asarray([1.0, 10.0, 100.0]))
        Array([201.,  30.], dtype=float32)
        >>> rx.grad(
        ...     lambda a: rx.sparse.csr_matmul(a, rx.asarray([1.0, 2.0, 3.0])).sum()
        ... )(a).data
        Array([1., 3., 2.], dtype=float32)

    Paper: Merrill and Garland, "Merge-based parallel sparse matrix-vector
    multiplication", 2016.
    """
    check_format("csr_matmul", a)
    return a @ x


def sddmm(x: Any, y: Any, a: Any) -> Any:
    """Multiply two dense matrices at the places of a sparse pattern only.

    **Meaning**, for each stored element p of a:

        out.data[p] = x[row[p]] @ y[column[p]]

    The dense product is never made. The gradients are sparse products.

    Args:
        x: array of shape (rows, k), or (rows,) for an outer product.
        y: array of shape (columns, k), or (columns,).
        a: CSR, CSC, COO or BSR whose pattern is taken; its values are not read.

    Returns:
        A sparse matrix of the format and the pattern of `a`; padding has value 0.

    Raises:
        TreeError: when `a` is no sparse matrix.
        ShapeError: when the shapes do not fit.

    Example:
        >>> import rxcore as rx
        >>> a = rx.sparse.CSR([0.0, 0.0], [1, 0], [0, 1, 2], (2, 2))
        >>> rx.sparse.sddmm(rx.asarray([1.0, 2.0]), rx.asarray([3.0, 4.0]), a).data
        Array([4., 6.], dtype=float32)
    """
    check_format("sddmm", a)
    x, y = promote([as_numeric(x, "sddmm"), as_numeric(y, "sddmm")], call="sddmm")
    rows, columns = a.shape
    fits = x.ndim in (1, 2) and x.ndim == y.ndim and x.shape[1:] == y.shape[1:]
    if not fits or x.shape[0] != rows or y.shape[0] != columns:
        raise errors.ShapeError(
            f"sddmm: operands of shapes {x.shape} and {y.shape} do not fit a pattern of"
            f" shape {a.shape}: expected ({rows}, k) and ({columns}, k)"
        )
    return run(_sampled, x, y, a)


def _sampled(x: Any, y: Any, a: Any) -> Any:
    match a:
        case CSR():
            names = a.product_indices()
            return a.with_data(ops.csr_sddmm.bind(x, y, names, a.indptr))
        case CSC():
            names = a.product_indices()
            return a.with_data(ops.csr_sddmm.bind(y, x, names, a.indptr))
        case BSR():
            x, y = _whole_blocks(x, a.blocks[0], a), _whole_blocks(y, a.blocks[1], a)
            made = block_ops.bsr_sddmm.bind(x, y, a.indices, a.indptr, block=a.block)
            return a.with_data(made)
    left = rnp.take(x, a.row, 0, mode="fill", fill_value=0)
    right = rnp.take(y, a.column, 0, mode="fill", fill_value=0)
    product = left * right
    return a.with_data(product.sum(1) if product.ndim == 2 else product)


def _whole_blocks(x: Any, lines: int, a: BSR) -> Any:
    room = lines * a.block - x.shape[0]
    return rnp.pad(x, ((0, room), *[(0, 0)] * (x.ndim - 1))) if room else x


def add(a: Any, b: Any) -> Any:
    """Add two sparse matrices.

    **Meaning**: `a.to_dense() + b.to_dense()`

    Args:
        a: CSR or CSC, or another format, which is converted to CSR.
        b: matrix of the same shape; it is converted to the format of `a`.

    Returns:
        A matrix of the format of `a`. Of fixed patterns the union is stored; with a
        padded pattern all elements of both are, and `canonical` joins them.

    Raises:
        TreeError: when one is no sparse matrix.
        ShapeError: when the shapes differ.
        UserError: when a fixed pattern is not canonical.

    Example:
        >>> import rxcore as rx
        >>> a = rx.sparse.CSR([1.0, 2.0], [0, 1], [0, 2], (1, 3))
        >>> b = rx.sparse.CSR([10.0, 20.0], [1, 2], [0, 2], (1, 3))
        >>> rx.sparse.add(a, b).data
        Array([ 1., 12., 20.], dtype=float32)
    """
    check_format("add", a)
    check_format("add", b)
    if isinstance(a, CSC):
        return added(a, to_csc(b), "add")
    return added(to_csr(a), to_csr(b), "add")


def scale(a: Any, factor: Any) -> Any:
    """Multiply all elements with one number, or each with its own.

    Args:
        a: sparse matrix.
        factor: a number; or an array of the shape of `a.data`.

    Returns:
        A matrix of the same pattern.

    Raises:
        TreeError: when `a` is no sparse matrix.
        ShapeError: when the shapes do not fit.
    """
    check_format("scale", a)
    factor = as_numeric(factor, "scale")
    if factor.ndim and factor.shape != a.data.shape:
        raise errors.ShapeError(
            f"scale: expected a number or an array of shape {a.data.shape}, got shape"
            f" {factor.shape}; see scale_rows and scale_columns"
        )
    return a.with_data(a.data * factor)


def scale_rows(a: Any, factors: Any) -> Any:
    """Multiply each row with a number.

    **Meaning**: `np.diag(factors) @ a.to_dense()`

    Args:
        a: CSR, CSC or COO.
        factors: array of shape (rows,).

    Returns:
        A matrix of the same pattern.

    Raises:
        TreeError: when `a` is none of these.
        ShapeError: when the shapes do not fit.
    """
    return _scaled_lines(a, factors, 0, "scale_rows")


def scale_columns(a: Any, factors: Any) -> Any:
    """Multiply each column with a number: see `scale_rows`.

    **Meaning**: `a.to_dense() @ np.diag(factors)`
    """
    return _scaled_lines(a, factors, 1, "scale_columns")


def _scaled_lines(a: Any, factors: Any, axis: int, call: str) -> Any:
    check_format(call, a)
    if isinstance(a, BSR):
        raise errors.TreeError(f"{call}: expected a CSR, CSC or COO, got BSR")
    factors = as_numeric(factors, call)
    if factors.shape != (a.shape[axis],):
        raise errors.ShapeError(
            f"{call}: a matrix of shape {a.shape} needs factors of shape"
            f" ({a.shape[axis]},), got {factors.shape}"
        )
    place = near(_names(a)[axis], factors)
    return a.with_data(a.data * rnp.take(factors, place, 0, mode="fill", fill_value=0))


def _names(a: Any) -> tuple[Any, Any]:
    """Return the row and the column of each element."""
    if isinstance(a, COO):
        return a.row, a.column
    line = line_of_each(a.indptr, a.nse)
    return (line, a.indices) if isinstance(a, CSR) else (a.indices, line)


def row_sum(a: Any) -> Any:
    """Add up the elements of each row.

    **Meaning**: `a.to_dense().sum(1)`

    Args:
        a: sparse matrix.

    Returns:
        Array of shape (rows,).

    Raises:
        TreeError: when `a` is no sparse matrix.
    """
    check_format("row_sum", a)
    return a @ rnp.ones(a.shape[1], a.dtype)


def column_sum(a: Any) -> Any:
    """Add up the elements of each column.

    **Meaning**: `a.to_dense().sum(0)`

    Args:
        a: sparse matrix.

    Returns:
        Array of shape (columns,).

    Raises:
        TreeError: when `a` is no sparse matrix.
    """
    check_format("column_sum", a)
    return a.T @ rnp.ones(a.shape[0], a.dtype)


def check_format(call: str, a: Any) -> None:
    """Check that something is a sparse matrix.

    Raises:
        TreeError: when it is none.
    """
    if not isinstance(a, FORMATS):
        raise errors.TreeError(
            f"{call}: expected a CSR, CSC, COO or BSR, got {type(a).__name__}; make one"
            " with sparse.CSR.from_dense"
        )
