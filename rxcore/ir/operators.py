"""What arrays and tracers have in common: attributes and Python operators.

Operators are attached when a primitive that serves them is defined; methods that live
in higher layers are looked up there on first use. So operators on arrays need no
upward import.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from rxcore.base.dtypes import DType
from rxcore.ir.types import Type

__all__ = ["Numeric", "attach", "delegate"]


class Numeric:
    """Base of `Array` and of every tracer: a thing with a Type that computes."""

    __slots__ = ()
    # NumPy must leave `ndarray + Array` to us.
    __array_priority__ = 1000
    __hash__ = None  # type: ignore[assignment]

    type: Type

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self.type.shape

    @property
    def dtype(self) -> DType:
        """What an element is."""
        return self.type.dtype

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return self.type.ndim

    @property
    def size(self) -> int:
        """How many elements there are."""
        return self.type.size

    @property
    def nbytes(self) -> int:
        """How many bytes the elements take."""
        return self.type.nbytes

    @property
    def itemsize(self) -> int:
        """How many bytes one element takes."""
        return self.type.dtype.itemsize

    @property
    def weak_type(self) -> bool:
        """Whether the dtype came from a Python scalar and gives way in promotion."""
        return self.type.weak


def attach(names: tuple[str, ...], function: Callable[..., Any], arity: int) -> None:
    """Attach a function as dunder methods; `__radd__` swaps its operands."""
    for name in names:
        setattr(Numeric, name, _method(name, function, arity))


def _method(name: str, function: Callable[..., Any], arity: int) -> Callable[..., Any]:
    swapped = name.startswith("__r") and name not in ("__round__", "__rshift__")

    def unary(self: Any) -> Any:
        return function(self)

    def rounded(self: Any, digits: int | None = None) -> Any:
        return function(self) if digits is None else self.round(digits)

    def binary(self: Any, other: Any) -> Any:
        if not _operates(other):
            return NotImplemented
        return function(other, self) if swapped else function(self, other)

    chosen: Callable[..., Any] = unary if arity == 1 else binary
    chosen = rounded if name == "__round__" else chosen
    chosen.__name__ = chosen.__qualname__ = name
    return chosen


def _operates(other: Any) -> bool:
    return isinstance(other, Numeric | int | float | complex) or hasattr(
        other, "__array__"
    )


def delegate(
    methods: tuple[str, ...], module: str, properties: tuple[str, ...] = ()
) -> None:
    """Make methods of arrays out of a higher module's functions, found on first use."""
    for name in methods:
        setattr(Numeric, name, _late(name, module))
    for name in properties:
        setattr(Numeric, name, property(_late(name, module)))


def _late(name: str, module: str) -> Callable[..., Any]:
    found: list[Callable[..., Any]] = []

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not found:
            found.append(getattr(importlib.import_module(module), name))
        return found[0](self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Return `{module.rpartition('.')[2]}.{name}` of this array."
    return method
