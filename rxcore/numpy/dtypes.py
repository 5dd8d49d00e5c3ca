"""Dtypes, as NumPy's scalar types, constants, and questions about dtypes."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.numpy.inputs import numeric
from rxcore.ops.convert import convert
from rxcore.runtime.array import as_value

__all__ = [
    "astype",
    "bfloat16",
    "bool_",
    "complex64",
    "complex128",
    "complexfloating",
    "dtype",
    "e",
    "euler_gamma",
    "finfo",
    "float16",
    "float32",
    "float64",
    "floating",
    "iinfo",
    "inexact",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "integer",
    "isdtype",
    "issubdtype",
    "nan",
    "newaxis",
    "number",
    "pi",
    "promote_types",
    "result_type",
    "signedinteger",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "unsignedinteger",
]

bool_ = np.bool_
int8 = np.int8
int16 = np.int16
int32 = np.int32
int64 = np.int64
uint8 = np.uint8
uint16 = np.uint16
uint32 = np.uint32
uint64 = np.uint64
float16 = np.float16
bfloat16 = ml_dtypes.bfloat16
float32 = np.float32
float64 = np.float64
complex64 = np.complex64
complex128 = np.complex128
number = np.number
integer = np.integer
signedinteger = np.signedinteger
unsignedinteger = np.unsignedinteger
inexact = np.inexact
floating = np.floating
complexfloating = np.complexfloating
dtype = np.dtype

e = math.e
euler_gamma = 0.57721566490153286
inf = math.inf
nan = math.nan
newaxis = None
pi = math.pi


def astype(x: Any, dtype: Any) -> Any:
    """Convert to another dtype.

    **Meaning**: `np.asarray(x).astype(dtype)`, but floats outside an integer dtype's
    range give its nearest end, NaN gives 0, and complex to real keeps the real part.

    Args:
        x: array.
        dtype: anything that names a dtype.

    Returns:
        Array of that dtype.

    Raises:
        DTypeError: when the dtype is not one that rxcore computes with.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.astype([1.7, -300.0], rnp.int8)
        Array([   1, -128], dtype=int8)
    """
    return convert(numeric(x, "astype"), dtype)


_PYTHON: dict[Any, Any] = {bool: True, int: 0, float: 0.0, complex: 0j}


def _kind(x: Any) -> tuple[DType, bool]:
    """Return the dtype of an array, number or dtype, and whether it is weak."""
    if isinstance(x, type) and x in _PYTHON:
        x = _PYTHON[x]
    elif isinstance(x, type | str | np.dtype):
        return dtypes.as_dtype(x), False
    if isinstance(x, bool | int | float | complex) and not isinstance(x, np.generic):
        x = as_value(x)
    else:
        x = numeric(x, "result_type")
    return x.dtype, x.type.weak


def result_type(*operands: Any) -> DType:
    """Return the dtype in which operands meet.

    **Meaning**: the join of their dtypes in the lattice, in which Python numbers give
    way: `int32` with `float32` is `float32`, `float32` with `2.0` is `float32`.

    Args:
        *operands: arrays, numbers and dtypes.

    Returns:
        A dtype.

    Raises:
        UserError: when there is no operand.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.result_type(rnp.int32, rnp.float16, 1.0)
        dtype('float16')
    """
    if not operands:
        raise errors.UserError("result_type: expected at least one operand, got none")
    return dtypes.promote(*(_kind(x) for x in operands))[0]


def promote_types(a: Any, b: Any) -> DType:
    """Return the dtype in which two dtypes meet.

    **Meaning**: their join in the lattice (see `result_type`).

    Args:
        a: anything that names a dtype.
        b: another.

    Returns:
        A dtype.

    Raises:
        DTypeError: when one is not a dtype that rxcore computes with.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.promote_types("int32", "uint32")
        dtype('int64')
    """
    pair = ((dtypes.as_dtype(a), False), (dtypes.as_dtype(b), False))
    return dtypes.promote(*pair)[0]


def finfo(dtype: Any) -> Any:
    """Return the limits of a floating dtype, `bfloat16` too.

    **Meaning**: `np.finfo(dtype)`

    Args:
        dtype: a floating or complex dtype, or an array of one.

    Returns:
        An object with `eps`, `max`, `min`, `tiny`, `bits`, `nmant`, ...

    Raises:
        DTypeError: when the dtype is not floating.

    Example:
        >>> import rxcore.numpy as rnp
        >>> float(rnp.finfo(rnp.bfloat16).eps)
        0.0078125
    """
    found = _kind(dtype)[0]
    if not dtypes.is_inexact(found):
        raise errors.DTypeError(
            f"finfo: dtype {found.name} is not floating; iinfo is for integers"
        )
    limits: Any = ml_dtypes.finfo
    return limits(dtypes.real_part(found))


def iinfo(dtype: Any) -> Any:
    """Return the limits of an integer dtype.

    **Meaning**: `np.iinfo(dtype)`

    Args:
        dtype: an integer dtype, or an array of one.

    Returns:
        An object with `min`, `max` and `bits`.

    Raises:
        DTypeError: when the dtype is not an integer.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.iinfo(rnp.int8).max
        127
    """
    found = _kind(dtype)[0]
    if not dtypes.is_integer(found):
        raise errors.DTypeError(
            f"iinfo: dtype {found.name} is no integer; finfo is for floating dtypes"
        )
    return np.iinfo(found)


def issubdtype(dtype: Any, kind: Any) -> bool:
    """Say whether a dtype is of a kind.

    **Meaning**: `np.issubdtype(dtype, kind)`, with `bfloat16` a floating dtype.

    Args:
        dtype: anything that names a dtype.
        kind: a dtype, or a kind such as `floating`, `integer` or `number`.

    Returns:
        A bool.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.issubdtype(rnp.bfloat16, rnp.floating)
        True
    """
    found = dtypes.as_dtype(dtype)
    if found == dtypes.bfloat16:
        kinds: tuple[Any, ...] = (np.floating, np.inexact, np.number, np.generic)
        return kind in kinds or (
            kind not in (np.complexfloating, np.integer) and _same(kind, found)
        )
    return bool(np.issubdtype(found, kind))


def _same(kind: Any, dtype: DType) -> bool:
    return isinstance(kind, type | str | np.dtype) and kind in (
        dtype,
        dtype.type,
        dtype.name,
    )


_KINDS: dict[str, tuple[DType, ...]] = {
    "bool": (dtypes.bool_,),
    "signed integer": dtypes.SIGNED,
    "unsigned integer": dtypes.UNSIGNED,
    "integral": dtypes.INTEGERS,
    "real floating": dtypes.FLOATS,
    "complex floating": dtypes.COMPLEX,
    "numeric": dtypes.NUMBERS,
}


def isdtype(dtype: Any, kind: Any) -> bool:
    """Say whether a dtype is of a named kind.

    **Meaning**: `np.isdtype(dtype, kind)`

    Args:
        dtype: anything that names a dtype.
        kind: a dtype, one of "bool", "signed integer", "unsigned integer",
            "integral", "real floating", "complex floating" and "numeric", or a tuple
            of such.

    Returns:
        A bool.

    Raises:
        DTypeError: when the kind does not exist.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.isdtype(rnp.uint8, "integral")
        True
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    found = dtypes.as_dtype(dtype)
    if isinstance(kind, str) and kind in _KINDS:
        return found in _KINDS[kind]
    return found == dtypes.as_dtype(kind)
