"""Ops under NumPy's names: documents with examples, and lists as operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rxcore.ir.operators import Numeric
from rxcore.numpy.inputs import operand

__all__ = ["Function", "binary", "function"]

Function = Callable[..., Any]

_DOCUMENT = """{sentence}

**Meaning**: `np.{name}({operands})`

Args:
    {args}

Returns:
    Array of the common shape.

Raises:
    DTypeError: when the dtype is not one of those that the function takes.
    ShapeError: when shapes do not broadcast together.

Example:
    >>> import rxcore.numpy as rnp
    >>> rnp.{name}({given})
    {result}
"""
_ARGS = {
    1: "x: array or number.",
    2: "x: array or number.\n    y: array or number; both broadcast together.",
}


def function(
    name: str, op: Any, given: str, result: str, sentence: str = "", arity: int = 1
) -> Function:
    """Give an op of one operand its NumPy name, a document, and lists as operands."""

    def one(x: Any, /) -> Any:
        return op(x if isinstance(x, Numeric) else operand(x, name))

    def two(x: Any, y: Any, /) -> Any:
        return op(operand(x, name), operand(y, name))

    made: Function = one if arity == 1 else two
    made.__name__ = made.__qualname__ = name
    made.__doc__ = _DOCUMENT.format(
        sentence=sentence or op.document,
        name=name,
        operands="x" if arity == 1 else "x, y",
        args=_ARGS[arity],
        given=given,
        result=result,
    )
    return made


def binary(name: str, op: Any, given: str, result: str, sentence: str = "") -> Function:
    """Give an op of two operands its NumPy name, a document, and lists as operands."""
    return function(name, op, given, result, sentence, 2)
