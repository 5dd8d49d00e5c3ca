"""Matrices as lists of elements with their rows and columns."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from attrs import field, frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes
from rxcore.base.lazy import LazyModule
from rxcore.runtime.array import Array, asarray
from rxcore.sparse.checks import (
    check_index,
    check_lengths,
    check_room,
    check_scipy,
)
from rxcore.sparse.csr import CSR, left_product, times
from rxcore.sparse.dense import dense_elements, picked, scattered
from rxcore.sparse.held import (
    assembled,
    fix,
    read,
    register,
    shared,
    shared_index,
)
from rxcore.sparse.matrix import Matrix

__all__ = ["COO", "rows_of_coo"]

scipy_sparse = LazyModule("scipy.sparse", extra="scipy")


@register
@frozen(eq=False, repr=False)
class COO(Matrix):
    """A sparse matrix as a list of elements in any order: for interchange.

    **Meaning**: `np.add.at(dense, (row, column), data)`

    See `CSR` for what the pattern is to transforms. Products go through `CSR`.

    Args:
        data: values, of shape (nse,).
        row: row of each value, of shape (nse,).
        column: column of each value, of shape (nse,).
        shape: (rows, columns).

    Raises:
        ShapeError: when shapes do not fit each other.
        DTypeError: when indices are no integers, or do not fit int32.
        OutOfRangeError: when a concrete index is out of range.

    Example:
        >>> import rxcore as rx
        >>> rx.sparse.COO([1.0, 2.0, 3.0], [0, 1, 1], [1, 0, 0], (2, 2)).to_dense()
        Array([[0., 1.],
               [5., 0.]], dtype=float32)
    """

    _INDICES: ClassVar[tuple[str, str]] = ("_row", "_column")

    data: Any
    _row: Any = field(converter=fix)
    _column: Any = field(converter=fix)
    shape: tuple[int, int] = field(metadata={"static": True})

    def __attrs_post_init__(self) -> None:
        self._settle()
        check_lengths("COO", self.data, 1, row=self.row, column=self.column)
        check_index("COO", "row", self._row, self.shape[0])
        check_index("COO", "column", self._column, self.shape[1])

    @property
    def row(self) -> Any:
        """The rows of the elements, int32."""
        return read(self._row)

    @property
    def column(self) -> Any:
        """The columns of the elements, int32."""
        return read(self._column)

    @classmethod
    def from_dense(cls, x: Any, nse: int | None = None) -> COO:
        """Return the elements of a matrix that are not zero: see `CSR.from_dense`."""
        data, row, column = dense_elements(x, nse, "COO.from_dense")
        if nse is None:
            row, column = fix(row), fix(column)
        shape = rnp.shape(x)
        made: COO = assembled(cls, data=data, _row=row, _column=column, shape=shape)
        return made

    def to_dense(self) -> Any:
        """Return the dense matrix; elements at equal places add up."""
        return scattered(self.data, self.row, self.column, self.shape)

    @classmethod
    def from_scipy(cls, a: Any) -> COO:
        """Return a SciPy matrix or array: see `CSR.from_scipy`."""
        check_scipy("COO.from_scipy", a)
        a = a.tocoo()
        row, column = shared_index(a.row), shared_index(a.col)
        return cls(shared(a.data), row, column, a.shape)

    def to_scipy(self) -> Any:
        """Return a SciPy COO array, which shares memory and is read-only."""
        a = self.fixed()
        places = (a.row.host, a.column.host)
        return scipy_sparse.coo_array((a.data.host, places), a.shape, copy=False)

    def fixed(self) -> COO:
        """Return the matrix with its pattern as part of the structure.

        Padding is dropped.

        Raises:
            TraceError: when the pattern is traced.
        """
        if self.is_fixed:
            return self
        row, column = self._concrete_pattern()
        inside = (row >= 0) & (row < self.shape[0])
        inside &= (column >= 0) & (column < self.shape[1])
        data = self.data
        if not inside.all():
            place = asarray(np.flatnonzero(inside).astype(np.int32))
            data, row, column = picked(data, place), row[inside], column[inside]
        return COO(data, row, column, self.shape)

    def padded(self, nse: int | None = None) -> COO:
        """Return the matrix with its pattern as leaves: see `CSR.padded`."""
        _, room = check_room(nse, self.nse, "elements")
        data, parts = self.data, [self.row, self.column]
        if room:
            data = rnp.concatenate([data, rnp.zeros(room, data.dtype)])
            parts = [
                rnp.concatenate([part, rnp.full(room, size, dtypes.int32)])
                for part, size in zip(parts, self.shape, strict=True)
            ]
        made: COO = self._made(data=data, _row=parts[0], _column=parts[1])
        return made

    @property
    def T(self) -> COO:  # noqa: N802 - NumPy's name
        """The transposed matrix: nothing moves."""
        turned = {"_row": self._column, "_column": self._row}
        made: COO = self._made(**turned, shape=self.shape[::-1])
        return made

    def __rmatmul__(self, x: Any) -> Any:
        return left_product(x, self)

    def __matmul__(self, x: Any) -> Any:
        return times(rows_of_coo(self), x, "COO @ x")


def rows_of_coo(a: COO) -> CSR:
    """Return a COO in compressed rows; elements of a row keep their order."""
    rows = a.shape[0]
    if isinstance(a.row, Array) and isinstance(a.column, Array):
        row = a.row.host
        order = np.argsort(row, kind="stable")
        starts = np.searchsorted(row[order], np.arange(rows + 1)).astype(np.int32)
        if (order[1:] > order[:-1]).all():
            data, names = a.data, a.column
        else:
            data = picked(a.data, asarray(order.astype(np.int32)))
            names = asarray(a.column.host[order])
        ends: Any = asarray(starts)
    else:
        order = rnp.argsort(a.row)
        data = picked(a.data, order)
        names = picked(a.column, order)
        counted = rnp.arange(rows + 1, dtype=dtypes.int32)
        ends = rnp.searchsorted(picked(a.row, order), counted)
    if a.is_fixed:
        names, ends = fix(names), fix(ends)
    made: CSR = assembled(CSR, data=data, _indices=names, _indptr=ends, shape=a.shape)
    return made
