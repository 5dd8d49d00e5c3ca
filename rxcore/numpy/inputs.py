"""What functions of the face accept as arrays: nested lists, too, of anything."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.ir.operators import Numeric
from rxcore.ir.types import Type
from rxcore.ops import join
from rxcore.ops import shape as maps
from rxcore.ops.compare import ne
from rxcore.ops.families import number
from rxcore.runtime.array import Array, as_value, asarray
from rxcore.trace.bind import as_numeric
from rxcore.trace.tracer import Tracer

__all__ = ["as_bool", "counts", "line", "numeric", "operand", "pieces"]


def operand(x: Any, call: str) -> Any:
    """Return an operand: lists become arrays, numbers and arrays stay as they are."""
    return numeric(x, call) if isinstance(x, list | tuple) else x


def numeric(x: Any, call: str) -> Any:
    """Return an Array or tracer of anything that is accepted as an array."""
    if isinstance(x, Numeric):
        return x
    if not isinstance(x, list | tuple):
        return as_numeric(x, call)
    kinds: set[Any] = set()
    _collect(x, kinds)
    if Tracer in kinds:
        # A traced value must not be taken for its number.
        return _stacked(x, call)
    if kinds <= _PYTHON:
        return as_numeric(x, call)
    found = (as_value(k()) if k in _PYTHON else k for k in kinds)
    pairs = [
        (k, False) if isinstance(k, np.dtype) else (k.dtype, k.type.weak) for k in found
    ]
    made = asarray(x, dtypes.promote(*pairs)[0])
    # A list's numbers go where they are needed, as numbers alone do.
    return made if made.home is not None else as_numeric(made.host, call)


_PYTHON = frozenset((bool, int, float, complex))


def _collect(x: Any, kinds: set[Any]) -> None:
    """Collect what lists hold: types of Python's numbers, dtypes, or tracers."""
    for part in x:
        if isinstance(part, list | tuple):
            _collect(part, kinds)
        elif type(part) in _PYTHON:
            kinds.add(type(part))
        elif isinstance(part, Tracer):
            kinds.add(Tracer)
        else:
            kinds.add(as_numeric(part, "asarray").dtype)


def _stacked(x: Any, call: str) -> Any:
    rows = [numeric(part, call) for part in x]
    shapes = {row.shape for row in rows}
    if len(shapes) > 1:
        shown = ", ".join(str(row.shape) for row in rows)
        raise errors.ShapeError(f"{call}: the nested lists are ragged: shapes {shown}")
    return join.concatenate([maps.expand_dims(row, 0) for row in rows])


def as_bool(x: Any, call: str) -> Any:
    """Return whether the elements are true (not 0)."""
    found = numeric(x, call)
    return found if dtypes.is_bool(found.dtype) else ne(found, 0)


def pieces(arrays: Any, call: str) -> list[Any]:
    """Return the arrays of a sequence, or the rows of one array."""
    if isinstance(arrays, Numeric):
        if not arrays.ndim:
            raise errors.ShapeError(
                f"{call}: expected a sequence of arrays, got an array of rank 0"
            )
        rest = arrays.shape[1:]
        rows = join.split(arrays, (1,) * arrays.shape[0]) if arrays.shape[0] else []
        found = [maps.reshape(row, rest) for row in rows]
    else:
        found = [numeric(a, call) for a in arrays]
    if not found:
        raise errors.ShapeError(f"{call}: expected at least one array, got none")
    return found


def line(x: Any, call: str) -> Any:
    """Return all elements in one axis."""
    found = numeric(x, call)
    return maps.reshape(found, (found.size,))


def counts(value: Any, call: str) -> tuple[int, ...]:
    """Return a shape given as an int or ints.

    Raises:
        ShapeError: when a size is negative or no integer.
    """
    given = value.tolist() if isinstance(value, np.ndarray) else value
    given = given if isinstance(given, tuple | list) else (given,)
    try:
        found = tuple(operator.index(n) for n in given)
    except errors.TraceError:
        raise
    except TypeError as error:
        raise errors.ShapeError(
            f"{call}: a shape is an int or a tuple of ints, got {value!r}"
        ) from error
    if any(n < 0 for n in found):
        raise errors.ShapeError(f"{call}: shape {found} has negative sizes")
    return found


def literal(value: Any, dtype: dtypes.DType) -> Any:
    """Return a number of a dtype that stays a literal in Graphs."""
    if dtypes.is_bool(dtype):
        return Array.scalar(value, Type(dtype, ()))
    return number(value, dtype)
