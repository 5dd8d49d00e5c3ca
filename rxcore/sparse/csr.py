"""Matrices in compressed rows and in compressed columns."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from attrs import field, frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.base.lazy import LazyModule
from rxcore.control.jit import jit
from rxcore.ops import csr as products
from rxcore.ops.csr_pattern import transposed
from rxcore.ops.families import promote
from rxcore.runtime.array import Array, asarray
from rxcore.sparse.checks import (
    check_compressed,
    check_dense,
    check_index,
    check_lengths,
    check_room,
    check_scipy,
    is_increasing,
)
from rxcore.sparse.dense import (
    dense_elements,
    line_of_each,
    picked,
    places_of,
    scattered,
)
from rxcore.sparse.held import (
    Fixed,
    assembled,
    fix,
    read,
    register,
    shared,
    shared_index,
)
from rxcore.sparse.joined import added
from rxcore.sparse.matrix import Matrix
from rxcore.trace.bind import as_numeric

__all__ = ["CSC", "CSR", "Compressed", "left_product", "times"]

scipy_sparse = LazyModule("scipy.sparse", extra="scipy")

_STATIC = {"static": True}


@frozen(eq=False, repr=False)
class Compressed(Matrix):
    """What CSR and CSC share: `indptr` cuts the elements into lines.

    Lines are rows of a CSR, columns of a CSC; `indices` names the other axis.
    """

    data: Any
    _indices: Any = field(converter=fix)
    _indptr: Any = field(converter=fix)
    shape: tuple[int, int] = field(metadata=_STATIC)

    def __attrs_post_init__(self) -> None:
        call = type(self).__name__
        self._settle()
        check_lengths(call, self.data, 1, indices=self.indices)
        lines, others = self._lines
        check_compressed(call, self._indptr, lines, self.data.shape[0])
        check_index(call, "indices", self._indices, others)

    @property
    def _lines(self) -> tuple[int, int]:
        return self.shape

    @property
    def indices(self) -> Any:
        """Where the elements stand in their lines, int32."""
        return read(self._indices)

    @property
    def indptr(self) -> Any:
        """Where the lines begin among the elements, int32."""
        return read(self._indptr)

    def remade(self, data: Any, indices: Any, indptr: Any) -> Any:
        """Return a matrix of the same shape with these fields, as they are."""
        return self._made(data=data, _indices=indices, _indptr=indptr)

    def has_pattern_of(self, other: Any) -> bool:
        """Say whether two matrices with fixed patterns have one pattern."""
        return bool(self.shape == other.shape and self._held == other._held)

    @property
    def other_size(self) -> int:
        """How many different indices there are: the size of the axis not cut."""
        return self._lines[1]

    def fixed(self) -> Any:
        """Return the matrix with its pattern as part of the structure.

        Padding is dropped.

        Raises:
            TraceError: when the pattern is traced.
        """
        if self.is_fixed:
            return self
        indices, indptr = self._concrete_pattern()
        line, place = places_of(indices, indptr, self._lines[1])
        ends = np.searchsorted(line, np.arange(self._lines[0] + 1))
        whole = place.size == self.nse
        data = self.data if whole else picked(self.data, asarray(place))
        return type(self)(data, indices[place], ends, self.shape)

    def padded(self, nse: int | None = None) -> Any:
        """Return the matrix with its pattern as leaves, and room for `nse` elements.

        Padding has value 0 and an index out of range; it counts nowhere. A jitted
        function takes any padded pattern of equal `nse` without compiling again.

        Args:
            nse: elements that are stored, at least `self.nse`; default: as many.

        Returns:
            A matrix with `data`, `indices` and `indptr` as leaves.

        Raises:
            ShapeError: when `nse` is too small.
        """
        _, room = check_room(nse, self.nse, "elements")
        data, indices = self.data, self.indices
        if room:
            data = rnp.concatenate([data, rnp.zeros(room, data.dtype)])
            beyond = rnp.full(room, self._lines[1], dtypes.int32)
            indices = rnp.concatenate([indices, beyond])
        return self._made(data=data, _indices=indices, _indptr=self.indptr)

    @classmethod
    def from_scipy(cls, a: Any) -> Any:
        """Return a SciPy matrix or array in any of its formats.

        One of the same format with int32 indices shares its memory: do not write to it
        afterwards.
        """
        check_scipy(f"{cls.__name__}.from_scipy", a)
        a = a.asformat(cls.__name__.lower())
        names, ends = shared_index(a.indices), shared_index(a.indptr)
        return cls(shared(a.data), names, ends, a.shape)

    def to_scipy(self) -> Any:
        """Return a SciPy array of this format, which shares memory and is read-only."""
        a = self.fixed()
        parts = (a.data.host, a.indices.host, a.indptr.host)
        made = getattr(scipy_sparse, f"{type(self).__name__.lower()}_array")
        return made(parts, shape=a.shape, copy=False)

    def product_indices(self) -> Any:
        """Return the indices as products read them: in 16 bits where they fit."""
        if isinstance(self._indices, Fixed):
            return self._indices.narrow(self._lines[1])
        return self._indices

    def by_other_axis(self, cls: type[Any]) -> Any:
        """Return the elements in the order of the other axis, as a `cls`.

        The order of a fixed pattern is computed once.
        """
        plan = transposed(self.product_indices(), self.indptr, self._lines[1])
        settle = fix if self.is_fixed else _as_it_is
        return assembled(
            cls,
            data=picked(self.data, plan.places),
            _indices=settle(plan.indices.astype(dtypes.int32)),
            _indptr=settle(plan.indptr),
            shape=self.shape,
        )

    def relabelled(self, cls: type[Any]) -> Any:
        """Return the transposed matrix as a `cls`: rows are columns, nothing moves."""
        return assembled(
            cls,
            data=self.data,
            _indices=self._indices,
            _indptr=self._indptr,
            shape=self.shape[::-1],
        )

    def __rmatmul__(self, x: Any) -> Any:
        return left_product(x, self)

    def __add__(self, other: Any) -> Any:
        return added(self, other, f"{type(self).__name__} + B")

    def __sub__(self, other: Any) -> Any:
        if not isinstance(other, Compressed):
            return NotImplemented
        return added(self, -other, f"{type(self).__name__} - B")

    @property
    def is_canonical(self) -> bool:
        """Whether the indices of each line increase strictly.

        Raises:
            TraceError: when the pattern is traced.
        """
        indices, indptr = self.indices, self.indptr
        if not (isinstance(indices, Array) and isinstance(indptr, Array)):
            raise errors.TraceError(
                "is_canonical: the pattern is traced; ask outside of jit"
            )
        return is_increasing(indices.host, indptr.host)


@register
@frozen(eq=False, repr=False)
class CSR(Compressed):
    """A sparse matrix in compressed rows.

    **Meaning**:

        for i in range(rows):
            for p in range(indptr[i], indptr[i + 1]):
                dense[i, indices[p]] += data[p]

    The pattern of concrete arrays is fixed: part of the pytree's structure, so that
    only `data` is a leaf. That of traced arrays, and of `.padded()`, consists of
    leaves. Values and concrete indices are checked; traced ones cannot be.

    Args:
        data: values, of shape (nse,).
        indices: column of each value, of shape (nse,).
        indptr: where the rows begin among the values, of shape (rows + 1,).
        shape: (rows, columns).

    Raises:
        ShapeError: when shapes do not fit each other.
        DTypeError: when indices are no integers, or do not fit int32.
        OutOfRangeError: when a concrete index is outside [0, columns).
        UserError: when a concrete `indptr` decreases, or ends elsewhere.

    Example:
        >>> import rxcore as rx
        >>> A = rx.sparse.CSR([1.0, 2.0, 3.0], [0, 2, 1], [0, 2, 3], (2, 3))
        >>> A @ rx.asarray([1.0, 10.0, 100.0])
        Array([201.,  30.], dtype=float32)
    """

    @classmethod
    def from_dense(cls, x: Any, nse: int | None = None) -> CSR:
        """Return the elements of a matrix that are not zero.

        Args:
            x: matrix.
            nse: elements to store; needed where `x` is traced, and gives a padded
                pattern. Elements beyond it are dropped.

        Returns:
            A canonical CSR.

        Raises:
            ShapeError: when `x` is no matrix.
            TraceError: when `x` is traced and `nse` is missing.
        """
        data, row, column = dense_elements(x, nse, "CSR.from_dense")
        shape = rnp.shape(x)
        starts = rnp.searchsorted(row, rnp.arange(shape[0] + 1, dtype=dtypes.int32))
        settle = fix if nse is None else _as_it_is
        parts = {"_indices": settle(column), "_indptr": settle(starts)}
        made: CSR = assembled(cls, data=data, **parts, shape=shape)
        return made

    def to_dense(self) -> Any:
        """Return the dense matrix; elements at equal places add up."""
        row = line_of_each(self.indptr, self.nse)
        return scattered(self.data, row, self.indices, self.shape)

    @property
    def T(self) -> CSC:  # noqa: N802 - NumPy's name
        """The transposed matrix, in compressed columns: nothing moves."""
        made: CSC = self.relabelled(CSC)
        return made

    def transpose(self) -> CSR:
        """Return the transposed matrix in compressed rows.

        The order of a fixed pattern is computed once; after that only values move.
        """
        made: CSR = self.by_other_axis(CSC).relabelled(CSR)
        return made

    def __matmul__(self, x: Any) -> Any:
        return times(self, x, "CSR @ x")


@register
@frozen(eq=False, repr=False)
class CSC(Compressed):
    """A sparse matrix in compressed columns.

    **Meaning**:

        for j in range(columns):
            for p in range(indptr[j], indptr[j + 1]):
                dense[indices[p], j] += data[p]

    See `CSR` for what the pattern is to transforms.

    Args:
        data: values, of shape (nse,).
        indices: row of each value, of shape (nse,).
        indptr: where the columns begin among the values, of shape (columns + 1,).
        shape: (rows, columns).

    Raises:
        ShapeError: when shapes do not fit each other.
        DTypeError: when indices are no integers, or do not fit int32.
        OutOfRangeError: when a concrete index is outside [0, rows).
        UserError: when a concrete `indptr` decreases, or ends elsewhere.

    Example:
        >>> import rxcore as rx
        >>> A = rx.sparse.CSC([1.0, 2.0], [1, 0], [0, 1, 2], (2, 2))
        >>> A.to_dense()
        Array([[0., 2.],
               [1., 0.]], dtype=float32)
    """

    @property
    def _lines(self) -> tuple[int, int]:
        return self.shape[::-1]

    @classmethod
    def from_dense(cls, x: Any, nse: int | None = None) -> CSC:
        """Return the elements of a matrix that are not zero: see `CSR.from_dense`."""
        made: CSC = CSR.from_dense(rnp.asarray(x).T, nse).relabelled(cls)
        return made

    def to_dense(self) -> Any:
        """Return the dense matrix; elements at equal places add up."""
        column = line_of_each(self.indptr, self.nse)
        return scattered(self.data, self.indices, column, self.shape)

    @property
    def T(self) -> CSR:  # noqa: N802 - NumPy's name
        """The transposed matrix, in compressed rows: nothing moves."""
        made: CSR = self.relabelled(CSR)
        return made

    def __matmul__(self, x: Any) -> Any:
        return times(self.by_other_axis(CSR), x, "CSC @ x")


def times(a: CSR, x: Any, call: str) -> Any:
    """Return the product of a CSR with a dense vector or matrix.

    Raises:
        ShapeError: when the shapes do not fit.
        TreeError: when `x` is no array.
    """
    if not isinstance(x, Array):
        check_dense(call, x)
        x = as_numeric(x, call)
    shape = x.type.shape
    if len(shape) not in (1, 2) or shape[0] != a.shape[1]:
        raise errors.ShapeError(
            f"{call}: a matrix of shape {a.shape} does not fit an operand of shape"
            f" {x.shape}: expected ({a.shape[1]},) or ({a.shape[1]}, n)"
        )
    data = a.data
    if data.type.dtype != x.type.dtype:
        data, x = promote([data, x], call=call)
    parts = (data, a.product_indices(), a.indptr, x)
    if all(isinstance(part, Array) for part in parts):
        return _compiled(a.shape)(*parts)
    return products.csr_matmul.bind(*parts, shape=a.shape)


def left_product(x: Any, a: Any) -> Any:
    """Return `x @ a` of a dense vector or matrix: the transposed matrix's product.

    Raises:
        ShapeError: when the shapes do not fit.
    """
    call = f"x @ {type(a).__name__}"
    check_dense(call, x)
    x = as_numeric(x, call)
    if x.ndim not in (1, 2) or x.shape[-1] != a.shape[0]:
        raise errors.ShapeError(
            f"{call}: an operand of shape {x.shape} does not fit a matrix of shape"
            f" {a.shape}: expected ({a.shape[0]},) or (n, {a.shape[0]})"
        )
    return (a.T @ x.T).T


@functools.cache
def _compiled(shape: tuple[int, int]) -> Any:
    """Return the product as a jitted function of plain arrays: the shortest way."""

    def csr_matmul(data: Any, indices: Any, indptr: Any, x: Any) -> Any:
        return products.csr_matmul.bind(data, indices, indptr, x, shape=shape)

    return jit(csr_matmul)


def _as_it_is(x: Any) -> Any:
    return x
