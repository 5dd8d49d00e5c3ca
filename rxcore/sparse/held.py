"""Index arrays of sparse matrices: part of the structure, or leaves.

A pattern of concrete arrays is fixed: it belongs to the structure of the pytree, as a
shape does. So `grad`, `vmap` and optimizers see the values alone, `jit` compiles for
the pattern, and what is computed from the pattern (its transposed order, say) is
computed once. A padded pattern consists of leaves: it may change from call to call.
"""

from __future__ import annotations

from typing import Any, TypeVar

import attrs
import numpy as np
import optree
from attrs import define, field

from rxcore.base import dtypes, errors, tree
from rxcore.ir.types import Type
from rxcore.runtime.array import Array, asarray, from_host

__all__ = [
    "Fixed",
    "assembled",
    "fix",
    "index_array",
    "read",
    "register",
    "shared",
    "shared_index",
]

T = TypeVar("T")

_SAMPLED = 64


# Not frozen: it remembers what was computed of the array.
@define(eq=False)
class Fixed:
    """An index array that is part of a structure; equal elements, equal structure."""

    array: Array
    _hash: int | None = field(default=None, init=False)
    _narrow: Array | None = field(default=None, init=False)

    def __hash__(self) -> int:
        """Hash the length and a few elements: comparison decides."""
        if self._hash is None:
            host = self.array.host
            step = max(1, host.size // _SAMPLED)
            self._hash = hash((host.dtype.str, host.shape, host[::step].tobytes()))
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Say whether the elements are equal."""
        if self is other:
            return True
        if not isinstance(other, Fixed) or hash(self) != hash(other):
            return False
        same = self.array is other.array
        return same or np.array_equal(self.array.host, other.array.host)

    def narrow(self, bound: int) -> Array:
        """Return the array in 16 bits where all numbers below a bound fit.

        Half of what a product reads besides values are indices.
        """
        if bound > 1 << 16 or self.array.dtype != dtypes.int32:
            return self.array
        if self._narrow is None:
            host = self.array.host.astype(np.uint16)
            self._narrow = from_host(host, Type(host.dtype, host.shape))
        return self._narrow


def register(cls: type[T]) -> type[T]:
    """Register a class of (data, two index fields, shape) as a pytree.

    Index arrays that are fixed belong to the structure, others are leaves.
    """
    _, first, second, _ = (f.name for f in attrs.fields(cls))  # type: ignore[arg-type]

    def take_apart(x: Any) -> Any:
        a, b = getattr(x, first), getattr(x, second)
        if type(a) is Fixed and type(b) is Fixed:
            return (x.data,), (a, b, x.shape), ("data",)
        parts = [("data", x.data), (first, a), (second, b)]
        loose = [part for part in parts if type(part[1]) is not Fixed]
        held = tuple(v if type(v) is Fixed else None for v in (a, b))
        names, children = zip(*loose, strict=True)
        return children, (*held, x.shape), names

    def put_together(fixed: Any, children: Any) -> Any:
        rest = iter(children)
        made = object.__new__(cls)
        object.__setattr__(made, "data", next(rest))
        for name, held in zip((first, second), fixed, strict=False):
            object.__setattr__(made, name, next(rest) if held is None else held)
        object.__setattr__(made, "shape", fixed[2])
        return made

    optree.register_pytree_node(
        cls,  # type: ignore[arg-type]
        take_apart,
        put_together,
        namespace=tree.NAMESPACE,
    )
    return cls


def fix(x: Any) -> Any:
    """Make a concrete index array part of the structure; leave others alone."""
    if isinstance(x, np.ndarray | list | tuple | Array):
        x = index_array(x)
    return Fixed(x) if isinstance(x, Array) else x


def read(x: Any) -> Any:
    """Return the index array of a field."""
    return x.array if isinstance(x, Fixed) else x


def index_array(x: Any) -> Any:
    """Return an int32 Array of concrete indices; a traced one keeps its dtype.

    Raises:
        DTypeError: when they are no integers, or do not fit int32.
    """
    if not isinstance(x, Array | np.ndarray | list | tuple):
        return x
    if isinstance(x, Array) and x.dtype == dtypes.int32:
        return x
    host = x.host if isinstance(x, Array) else np.asarray(x)
    if host.dtype == np.int32:
        return asarray(x)
    if host.size == 0:
        host = host.astype(np.int32)
    if host.dtype.kind not in "iu":
        raise errors.DTypeError(
            f"sparse: indices must be integers, got {host.dtype.name}"
        )
    if host.size and not -(2**31) <= host.min() <= host.max() < 2**31:
        raise errors.DTypeError(
            f"sparse: indices must fit int32, got numbers up to {host.max()}"
        )
    return asarray(host.astype(np.int32))


def shared(x: Any) -> Any:
    """Wrap an ndarray without a copy; who writes to it changes the Array too."""
    if not isinstance(x, np.ndarray) or not x.flags.c_contiguous:
        return asarray(x)
    if x.dtype not in dtypes.ALL:
        return asarray(x)
    view = x.view()
    view.flags.writeable = False
    return Array.of_host(Type(np.dtype(x.dtype), x.shape), view)


def shared_index(x: Any) -> Any:
    """Wrap int32 indices without a copy; others are converted."""
    return shared(x) if np.asarray(x).dtype == np.int32 else index_array(x)


def assembled(cls: type[Any], **fields: Any) -> Any:
    """Return an instance of an attrs class with these fields, as they are."""
    made = object.__new__(cls)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made
