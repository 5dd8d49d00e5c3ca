"""What sparse matrices of all formats share: values, two index fields, a shape."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from rxcore import numpy as rnp
from rxcore.base import errors
from rxcore.runtime.array import Array, asarray
from rxcore.sparse.checks import check_shape
from rxcore.sparse.held import Fixed, assembled, read
from rxcore.trace.bind import as_numeric

__all__ = ["Matrix", "scaled"]


class Matrix:
    """The base of CSR, CSC, COO and BSR, whose fields are data, two indices, shape."""

    __slots__ = ()

    # The names of the index fields, and what the values are called.
    _INDICES: ClassVar[tuple[str, str]] = ("_indices", "_indptr")
    _VALUES: ClassVar[str] = "values"

    data: Any
    shape: tuple[int, int]

    def _settle(self) -> None:
        """Make an Array of the values, and integers of the shape."""
        call = type(self).__name__
        object.__setattr__(self, "shape", check_shape(call, self.shape))
        if not hasattr(self.data, "dtype") or isinstance(self.data, np.ndarray):
            object.__setattr__(self, "data", asarray(self.data))

    @property
    def _held(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._INDICES)

    @property
    def dtype(self) -> Any:
        """The dtype of the values."""
        return self.data.dtype

    @property
    def nse(self) -> int:
        """Number of stored elements (blocks of a BSR), padding included."""
        return int(self.data.shape[0])

    @property
    def is_fixed(self) -> bool:
        """Whether the pattern is part of the structure."""
        return all(isinstance(part, Fixed) for part in self._held)

    @property
    def nbytes(self) -> int:
        """Bytes of values and indices together."""
        parts = (self.data, *map(read, self._held))
        return sum(x.size * x.dtype.itemsize for x in parts)

    def __repr__(self) -> str:
        kind = "fixed" if self.is_fixed else "padded"
        what = f"{self.dtype.name}{list(self.shape)}, nse={self.nse}"
        return f"{type(self).__name__}({what}{self._detail()}, {kind} pattern)"

    def _detail(self) -> str:
        return ""

    def _made(self, **changes: Any) -> Any:
        """Return a copy with other fields, as they are."""
        names = ("data", *self._INDICES, "shape")
        fields = {name: getattr(self, name) for name in names}
        return assembled(type(self), **{**fields, **changes})

    def _concrete_pattern(self) -> tuple[Any, ...]:
        """Return the index arrays as ndarrays.

        Raises:
            TraceError: when the pattern is traced.
        """
        parts = tuple(map(read, self._held))
        if not all(isinstance(part, Array) for part in parts):
            raise errors.TraceError(
                "fixed: the pattern is traced; call it outside of jit, on concrete"
                " arrays"
            )
        return tuple(part.host for part in parts)

    def with_data(self, data: Any) -> Any:
        """Return the matrix of the same pattern with other values.

        Args:
            data: of the shape of `self.data`, in any dtype.

        Returns:
            A matrix that shares the pattern.

        Raises:
            ShapeError: when the shapes differ.
        """
        data = rnp.asarray(data)
        if data.shape != self.data.shape:
            raise errors.ShapeError(
                f"with_data: expected {self._VALUES} of shape {self.data.shape}, got"
                f" {data.shape}"
            )
        return self._made(data=data)

    def astype(self, dtype: Any) -> Any:
        """Return the matrix with its values in another dtype."""
        return self._made(data=self.data.astype(dtype))

    # NumPy's arrays leave `x @ A` and `x * A` to the matrix.
    __array_ufunc__ = None

    def __neg__(self) -> Any:
        return self.with_data(-self.data)

    def __mul__(self, factor: Any) -> Any:
        return self.with_data(scaled(self.data, factor, f"{type(self).__name__} * s"))

    __rmul__ = __mul__


def scaled(data: Any, factor: Any, call: str) -> Any:
    """Return values times a number.

    Raises:
        ShapeError: when the factor is no number.
    """
    factor = as_numeric(factor, call)
    if factor.ndim:
        raise errors.ShapeError(
            f"{call}: expected a number, got shape {factor.shape}; see"
            " sparse.scale_rows and sparse.scale_columns"
        )
    return data * factor
