"""Conversions between dtypes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import Primitive, Scalar
from rxcore.ir.types import Type
from rxcore.loops import scalar
from rxcore.loops.scalar import Term
from rxcore.ops.samples import Case, Samples, draw
from rxcore.runtime.array import Array
from rxcore.trace.bind import as_numeric

__all__ = ["bitcast", "convert"]


def _convert_scalar(x: Term, *, dtype: DType) -> Term:
    if x.dtype in dtypes.HALVES and dtype != x.dtype:
        x = scalar.cast(x, dtypes.float32)
    if dtype in dtypes.HALVES and x.dtype != dtype:
        return scalar.cast(scalar.cast(x, dtypes.float32), dtype)
    return scalar.cast(x, dtype)


def _convert_reference(x: Any, *, dtype: DType) -> Any:
    if dtypes.is_complex(x.dtype) and not dtypes.is_complex(dtype):
        x = x != 0 if dtypes.is_bool(dtype) else x.real
    if x.dtype in dtypes.HALVES:
        x = x.astype(np.float32)
    with np.errstate(all="ignore"):
        if dtypes.is_complex(dtype):
            return x.astype(dtype)
        if dtype in dtypes.HALVES:
            return x.astype(np.float32).astype(dtype)
        return scalar.OPERATIONS["cast"].meaning(x, dtype)


def _convert_jvp(primals: Any, tangents: Any, *, dtype: DType) -> Any:
    (x,), (t,) = primals, tangents
    out = _convert.bind(x, dtype=dtype)
    if t is None or not dtypes.is_inexact(dtype):
        return out, None
    return out, convert(t, dtype)


def _widens(small: DType, wide: DType) -> bool:
    """Say whether every number of one dtype is a number of the other."""
    if small in dtypes.HALVES:
        return wide in (dtypes.float32, dtypes.float64)
    return small == dtypes.float32 and wide == dtypes.float64


def _convert_simplify(e: Any, made_by: Any) -> Any:
    (x,) = e.inputs
    target = e.params["dtype"]
    if x.type.dtype == target:
        return x
    maker = made_by(x)
    if maker is None or maker.primitive is not _convert:
        return None
    # There and back through a wider dtype.
    first = maker.inputs[0]
    back = first.type.dtype == target and _widens(target, x.type.dtype)
    return first if back else None


def _conversions(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for target in dtypes.ALL:
        low = 0 if target in dtypes.UNSIGNED else -100
        yield (draw(rng, dtype, (3, 4), low, 100),), {"dtype": target}


_convert: Primitive = Primitive(
    name="convert",
    family="elementwise",
    infer=lambda x, *, dtype: Type(dtype, x.shape),
    lower=Scalar(_convert_scalar),
    reference=_convert_reference,
    jvp=_convert_jvp,
    transpose=lambda ct, x, *, dtype: [convert(ct, x.type.dtype)],
    batch=lambda args, dims, *, dtype: (_convert.bind(args[0], dtype=dtype), dims[0]),
    samples=Samples(dtypes.ALL, _conversions, 0),
    simplify=_convert_simplify,
    document="Convert to another dtype; float to integer saturates, NaN gives 0.",
)


def convert(x: Any, dtype: Any) -> Any:
    """Convert to another dtype.

    **Meaning**: `x.astype(dtype)`, but floats outside an integer dtype's range give
    its nearest end, NaN gives 0, and complex to real keeps the real part.

    Args:
        x: array of any shape and dtype.
        dtype: what the elements become.

    Returns:
        Array of the shape of `x`.

    Raises:
        DTypeError: when the dtype is not one that rxcore computes with.

    Example:
        >>> import rxcore as rx
        >>> rx.convert(rx.asarray([1.7, -300.0]), "int8")
        Array([   1, -128], dtype=int8)
    """
    x = as_numeric(x, "convert")
    target = dtypes.as_dtype(dtype)
    if x.dtype == target:
        return x if not x.type.weak else _strong(x)
    if isinstance(x, Array) and x.type.weak and not x.ndim and x.home is None:
        return Array.scalar(_convert_reference(x.host, dtype=target), Type(target, ()))
    return _convert.bind(x, dtype=target)


def _strong(x: Any) -> Any:
    if isinstance(x, Array):
        return x.strong()
    return _convert.bind(x, dtype=x.dtype)


def _bitcast_infer(x: Type, *, dtype: DType) -> Type:
    if x.dtype.itemsize != dtype.itemsize or dtypes.is_bool(dtype):
        raise errors.DTypeError(
            f"bitcast: {x.dtype.name} has {x.dtype.itemsize} bytes,"
            f" {dtype.name} has {dtype.itemsize}; they must be equal, and not bool"
        )
    return Type(dtype, x.shape)


def _bitcasts(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for target in dtypes.REAL:
        if target.itemsize == dtype.itemsize:
            yield (draw(rng, dtype, (2, 3)),), {"dtype": target}


_bitcast: Primitive = Primitive(
    name="bitcast",
    family="elementwise",
    infer=_bitcast_infer,
    lower=Scalar(lambda x, *, dtype: scalar.bitcast(x, dtype)),
    reference=lambda x, *, dtype: np.asarray(x).view(dtype),
    jvp=lambda primals, _, *, dtype: (_bitcast.bind(*primals, dtype=dtype), None),
    transpose=lambda ct, x, *, dtype: [None],
    batch=lambda args, dims, *, dtype: (_bitcast.bind(args[0], dtype=dtype), dims[0]),
    samples=Samples(dtypes.REAL, _bitcasts, 0),
    document="Reinterpret the bits as another dtype of the same size.",
    slots={"halves": True, "stops": True},
)


def bitcast(x: Any, dtype: Any) -> Any:
    """Reinterpret the bits of each element as another dtype of the same size.

    **Meaning**: `x.view(dtype)`

    Args:
        x: array of any shape.
        dtype: a dtype of the same number of bytes, not bool.

    Returns:
        Array of the shape of `x`.

    Raises:
        DTypeError: when the sizes differ.

    Example:
        >>> import rxcore as rx
        >>> rx.bitcast(rx.asarray([1.0]), "int32")
        Array([1065353216], dtype=int32)
    """
    return _bitcast.bind(as_numeric(x, "bitcast"), dtype=dtypes.as_dtype(dtype))
