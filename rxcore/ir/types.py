"""Types of values: a dtype and a concrete shape, interned."""

from __future__ import annotations

import math
from typing import Any, final

from rxcore.base import dtypes
from rxcore.base.dtypes import DType

_interned: dict[tuple[DType, tuple[int, ...], bool], Type] = {}


@final
class Type:
    """A dtype, a shape, and whether the dtype is weak (came from a Python scalar).

    The same content is the same object, so `==` and `hash` are identity.

    >>> from rxcore.base import dtypes
    >>> Type(dtypes.float32, (8, 3))
    f32[8,3]
    >>> Type(dtypes.float32, (8, 3)) is Type(dtypes.float32, (8, 3))
    True
    """

    __slots__ = ("dtype", "nbytes", "ndim", "shape", "size", "weak")

    dtype: DType
    shape: tuple[int, ...]
    weak: bool
    size: int
    ndim: int
    nbytes: int

    def __new__(cls, dtype: DType, shape: tuple[int, ...], weak: bool = False) -> Type:
        """Return the one Type of this content."""
        key = (dtype, shape, weak)
        found = _interned.get(key)
        if found is None:
            made = super().__new__(cls)
            made.dtype, made.shape, made.weak = key
            made.size = math.prod(shape)
            made.ndim = len(shape)
            made.nbytes = made.size * dtype.itemsize
            # setdefault is atomic: two threads get the same object.
            found = _interned.setdefault(key, made)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return (Type, (self.dtype, self.shape, self.weak))

    def with_shape(self, shape: tuple[int, ...]) -> Type:
        """Return this Type with another shape."""
        return Type(self.dtype, shape, self.weak)

    def strong(self) -> Type:
        """Return this Type with a dtype that is not weak."""
        return Type(self.dtype, self.shape) if self.weak else self

    def __repr__(self) -> str:
        sizes = ",".join(map(str, self.shape))
        return f"{dtypes.short(self.dtype)}[{sizes}]{'*' if self.weak else ''}"
