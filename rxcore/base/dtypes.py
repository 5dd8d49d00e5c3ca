"""Dtypes, their short names, and the promotion lattice.

NumPy's dtype objects are used as they are; `bfloat16` comes from `ml_dtypes`.
Promotion is JAX's lattice with 64-bit types always on: Python scalars are weak,
and `int32` with `float32` is `float32`.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import ml_dtypes
import numpy as np

from rxcore.base import errors

DType = np.dtype[Any]

bool_: DType = np.dtype(np.bool_)
int8: DType = np.dtype(np.int8)
int16: DType = np.dtype(np.int16)
int32: DType = np.dtype(np.int32)
int64: DType = np.dtype(np.int64)
uint8: DType = np.dtype(np.uint8)
uint16: DType = np.dtype(np.uint16)
uint32: DType = np.dtype(np.uint32)
uint64: DType = np.dtype(np.uint64)
float16: DType = np.dtype(np.float16)
bfloat16: DType = np.dtype(ml_dtypes.bfloat16)
float32: DType = np.dtype(np.float32)
float64: DType = np.dtype(np.float64)
complex64: DType = np.dtype(np.complex64)
complex128: DType = np.dtype(np.complex128)

SIGNED = (int8, int16, int32, int64)
UNSIGNED = (uint8, uint16, uint32, uint64)
INTEGERS = SIGNED + UNSIGNED
HALVES = (float16, bfloat16)
FLOATS = (float16, bfloat16, float32, float64)
COMPLEX = (complex64, complex128)
REAL = (*INTEGERS, *FLOATS)
NUMBERS = (*REAL, *COMPLEX)
ALL = (bool_, *NUMBERS)

_SHORT: dict[DType, str] = {
    bool_: "bool",
    **{d: f"i{d.itemsize * 8}" for d in SIGNED},
    **{d: f"u{d.itemsize * 8}" for d in UNSIGNED},
    float16: "f16",
    bfloat16: "bf16",
    float32: "f32",
    float64: "f64",
    complex64: "c64",
    complex128: "c128",
}
_KNOWN = frozenset(ALL)


def short(dtype: DType) -> str:
    """Return the short name of a dtype: `f32`, `i8`, `bf16`, ..."""
    return _SHORT[dtype]


def as_dtype(dtype: Any) -> DType:
    """Return the NumPy dtype object of anything that names a supported dtype.

    Raises:
        DTypeError: when the dtype is not one that rxcore computes with.
    """
    if isinstance(dtype, np.dtype) and dtype in _KNOWN:
        return dtype
    if dtype is float:
        return default_float()
    if dtype is int:
        return default_int()
    if dtype is complex:
        return result_complex(default_float())
    if isinstance(dtype, str) and dtype == "bfloat16":
        return bfloat16
    try:
        found: DType = np.dtype(dtype)
    except TypeError as error:
        raise DTypeError_(dtype) from error
    found = found.newbyteorder("=") if found.byteorder not in "=|" else found
    if found not in _KNOWN:
        raise DTypeError_(dtype)
    return found


def DTypeError_(dtype: Any) -> errors.DTypeError:  # noqa: N802 - builds that error
    """Build the error for an unsupported dtype."""
    names = ", ".join(d.name for d in ALL)
    return errors.DTypeError(f"dtype {dtype!r} is not supported; use one of {names}")


_base_defaults = [(float32, int32)]
_scoped_defaults: ContextVar[tuple[DType, DType] | None] = ContextVar(
    "rxcore_default_dtypes", default=None
)


def default_float() -> DType:
    """Return the dtype of a float whose dtype nobody named."""
    return (_scoped_defaults.get() or _base_defaults[0])[0]


def default_int() -> DType:
    """Return the dtype of an integer whose dtype nobody named."""
    return (_scoped_defaults.get() or _base_defaults[0])[1]


def set_defaults(float_: DType, int_: DType, scoped: bool) -> None:
    """Set the default dtypes, of this context or of the process (see `rx.config`)."""
    if scoped:
        _scoped_defaults.set((float_, int_))
    else:
        _base_defaults[0] = (float_, int_)


def is_bool(dtype: DType) -> bool:
    """Say whether a dtype is bool."""
    return dtype.kind == "b"


def is_integer(dtype: DType) -> bool:
    """Say whether a dtype is a signed or unsigned integer."""
    return dtype.kind in "iu"


def is_signed(dtype: DType) -> bool:
    """Say whether a dtype is a signed integer."""
    return dtype.kind == "i"


def is_float(dtype: DType) -> bool:
    """Say whether a dtype is a real floating type (`bfloat16` too)."""
    return dtype.kind == "f" or dtype == bfloat16


def is_complex(dtype: DType) -> bool:
    """Say whether a dtype is complex."""
    return dtype.kind == "c"


def is_inexact(dtype: DType) -> bool:
    """Say whether a dtype is real or complex floating: what `grad` can handle."""
    return dtype.kind in "fc" or dtype == bfloat16


def real_part(dtype: DType) -> DType:
    """Return the dtype of the real part."""
    if dtype == complex64:
        return float32
    return float64 if dtype == complex128 else dtype


def result_complex(dtype: DType) -> DType:
    """Return the complex dtype that holds a real dtype."""
    if is_complex(dtype):
        return dtype
    return complex128 if dtype in (float64, int64, uint64) else complex64


def to_inexact(dtype: DType) -> DType:
    """Return the floating dtype in which a function like `sin` answers.

    Integers of 64 bits give float64, narrower ones and bool the default float.
    """
    if is_inexact(dtype):
        return dtype
    return float64 if dtype in (int64, uint64) else default_float()


# The lattice: each dtype lists what lies directly above it. Weak Python scalars
# are the three nodes i*, f*, c*.
_ABOVE: dict[Any, tuple[Any, ...]] = {
    bool_: ("i*",),
    "i*": (uint8, int8),
    uint8: (int16, uint16),
    uint16: (int32, uint32),
    uint32: (int64, uint64),
    uint64: ("f*",),
    int8: (int16,),
    int16: (int32,),
    int32: (int64,),
    int64: ("f*",),
    "f*": (bfloat16, float16, "c*"),
    bfloat16: (float32,),
    float16: (float32,),
    float32: (float64, complex64),
    float64: (complex128,),
    "c*": (complex64,),
    complex64: (complex128,),
    complex128: (),
}


def _upward(node: Any) -> frozenset[Any]:
    seen = {node}
    todo = [node]
    while todo:
        for above in _ABOVE[todo.pop()]:
            if above not in seen:
                seen.add(above)
                todo.append(above)
    return frozenset(seen)


_UP = {node: _upward(node) for node in _ABOVE}
_JOINS: dict[tuple[Any, Any], Any] = {}


def _join(a: Any, b: Any) -> Any:
    if a == b:
        return a
    found = _JOINS.get((a, b))
    if found is None:
        common = _UP[a] & _UP[b]
        found = next(n for n in common if common <= _UP[n])
        _JOINS[a, b] = found
    return found


def _weak_node(dtype: DType) -> Any:
    if is_bool(dtype):
        return bool_
    if is_integer(dtype):
        return "i*"
    return "c*" if is_complex(dtype) else "f*"


def promote(*operands: tuple[DType, bool]) -> tuple[DType, bool]:
    """Join (dtype, weak) pairs in the lattice.

    Returns:
        The common dtype, and whether it is still weak (all operands were).
    """
    node: Any = None
    for dtype, weak in operands:
        this = _weak_node(dtype) if weak else dtype
        node = this if node is None else _join(node, this)
    if isinstance(node, np.dtype):
        return node, all(weak for _, weak in operands)
    weak_dtypes = [d for d, w in operands if w]
    if node == "i*":
        ints = [d for d in weak_dtypes if is_integer(d)]
        return _widest(ints, default_int()), True
    if node == "f*":
        floats = [d for d in weak_dtypes if is_float(d)]
        strong = [d for d, w in operands if not w]
        weak = not strong
        return _widest(floats, default_float()), weak
    both = [d for d in weak_dtypes if is_complex(d)]
    return _widest(both, result_complex(default_float())), all(w for _, w in operands)


def _widest(found: list[DType], default: DType) -> DType:
    return max(found, key=lambda d: d.itemsize) if found else default
