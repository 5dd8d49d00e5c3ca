"""Rows to sort: every dtype, with ties, NaN, infinities and zeros of both signs."""

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *INTS, *FLOATS)
PATTERNS = ("random", "ties", "constant", "sorted", "backwards", "special", "waves")
SIZES = st.one_of(
    st.integers(0, 40),
    st.integers(4, 10).flatmap(lambda b: st.integers(2**b - 1, 2**b + 1)),
)


def dtype_of(name):
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def rows_of(rng, name, shape, pattern):
    """Values of a dtype in some pattern."""
    dtype = dtype_of(name)
    if name == "bool":
        return rng.random(shape) < (1.0 if pattern == "constant" else 0.5)
    if pattern == "constant":
        return np.full(shape, 3, dtype)
    if name in INTS:
        info = np.iinfo(dtype)
        x = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
        if pattern == "ties":
            x = (rng.integers(0, 5, shape) + info.max // 2).astype(dtype)
        if pattern == "special":
            values = [info.min, 0, 1, info.max // 2, info.max]
            x = rng.choice(np.array(values, dtype), shape)
    else:
        x = rng.standard_normal(shape).astype(dtype)
        if pattern == "ties":
            x = rng.integers(-2, 3, shape).astype(dtype)
        if pattern == "special":
            values = [np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, 6e-8, -6e-8]
            x = rng.choice(np.array(values, dtype), shape)
    if pattern == "waves":
        x[..., ::2] = x[..., :1]
    if pattern in ("sorted", "backwards"):
        x = np.take_along_axis(x, order(x), axis=-1)
    return x[..., ::-1].copy() if pattern == "backwards" else x


def comparable(x):
    """The values in a dtype that NumPy sorts as it should."""
    return x.astype("f4") if x.dtype == ml_dtypes.bfloat16 else x


def order(x, *, descending=False):
    """The stable order along the last axis, NaN as the largest."""
    x = comparable(x)
    if not descending:
        return np.argsort(x, axis=-1, kind="stable")
    backwards = np.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    return x.shape[-1] - 1 - backwards


def bits(x):
    return x.view(f"u{x.dtype.itemsize}")


def same_values(a, b):
    """Whether two arrays are equal, all NaNs being the same."""
    return np.array_equal(comparable(a), comparable(b), equal_nan=a.dtype.kind != "b")
