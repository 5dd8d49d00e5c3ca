"""Zeros, infinities, NaN, poles and domain ends, as C99's annex F has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

from rxcore.loops import math as functions
from tests.math.reference import compute

inf, nan = np.inf, np.nan

# NumPy calls the C library for these, so it is the table.
_ONE = {
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "cbrt": np.cbrt,
}
_TWO = {
    "atan2": np.arctan2,
    "pow": np.power,
    "hypot": np.hypot,
    "nextafter": np.nextafter,
}

# What has no C99 entry: (argument, result).
_OWN = {
    "rsqrt": [(0.0, inf), (-0.0, -inf), (inf, 0.0), (-1.0, nan), (4.0, 0.5)],
    "logistic": [(0.0, 0.5), (-0.0, 0.5), (inf, 1.0), (-inf, 0.0), (nan, nan)],
    "erfinv": [
        (0.0, 0.0),
        (-0.0, -0.0),
        (1.0, inf),
        (-1.0, -inf),
        (1.5, nan),
        (-inf, nan),
        (nan, nan),
    ],
    "lgamma": [
        (0.0, inf),
        (-0.0, inf),
        (1.0, 0.0),
        (2.0, 0.0),
        (-1.0, inf),
        (-1e30, inf),
        (inf, inf),
        (-inf, inf),
        (nan, nan),
    ],
    "digamma": [
        (0.0, -inf),
        (-0.0, inf),
        (-1.0, nan),
        (-1e30, nan),
        (inf, inf),
        (-inf, nan),
        (nan, nan),
    ],
}

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
FUSED = pytest.mark.parametrize("fused", [False, True], ids=["two roundings", "fused"])


def _special(dtype: Any) -> Any:
    info = np.finfo(dtype)
    few = [0, info.smallest_subnormal, info.tiny, 0.5, 1, 1.5, 2, 3, info.max, inf]
    whole = 2.0 ** np.array([info.nmant - 1, info.nmant, info.nmant + 1])
    sizes = np.concatenate([few, whole + 1, whole - 0.5, whole + 0.5])
    return np.concatenate([sizes, -sizes, [nan]]).astype(dtype)


def _kind(x: Any) -> Any:
    """Classify: NaN, zeros and infinities with their signs, ones, other by sign."""
    x = np.asarray(x)
    kind = np.where(x == 0, 1, np.where(np.isinf(x), 2, np.where(x == 1, 3, 4)))
    return np.where(np.isnan(x), 0, np.copysign(kind, x))


def _assert_same_kind(got: Any, want: Any, *arguments: Any) -> None:
    wrong = _kind(got) != _kind(want)
    shown = [(*(a[wrong] for a in arguments), got[wrong], want[wrong])]
    assert not wrong.any(), shown


@FUSED
@DTYPES
@pytest.mark.parametrize("name", _ONE)
def test_one_argument(name: str, dtype: Any, fused: bool) -> None:
    x = _special(dtype)
    with np.errstate(all="ignore"):
        # float64 and one rounding: the C library's own floats may be a step off.
        want = np.asarray(_ONE[name](x.astype(np.float64))).astype(dtype)
    got = compute(getattr(functions, name), fused, x)
    assert got.dtype == dtype
    _assert_same_kind(got, want, x)


@FUSED
@DTYPES
@pytest.mark.parametrize("name", _TWO)
def test_two_arguments(name: str, dtype: Any, fused: bool) -> None:
    special = _special(dtype)
    x, y = (a.ravel() for a in np.meshgrid(special, special))
    with np.errstate(all="ignore"):
        want = np.asarray(_TWO[name](x, y))
    got = compute(getattr(functions, name), fused, x, y)
    assert got.dtype == dtype
    _assert_same_kind(got, want, x, y)


@DTYPES
@pytest.mark.parametrize("name", _OWN)
def test_own_table(name: str, dtype: Any) -> None:
    x, want = (np.array(column, dtype) for column in zip(*_OWN[name], strict=True))
    got = compute(getattr(functions, name), False, x)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(
        np.signbit(got)[got == got], np.signbit(want)[got == got]
    )


@DTYPES
def test_nextafter_is_exact(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2 ** (8 * np.dtype(dtype).itemsize), 2000, np.uint64)
    x = bits.astype(f"u{np.dtype(dtype).itemsize}").view(dtype)
    y = rng.permutation(x)
    got = compute(functions.nextafter, False, x, y)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(got, np.nextafter(x, y))


@pytest.mark.parametrize("function", [functions.exp, functions.sin, functions.pow])
def test_halves_and_integers_are_refused(function: Callable[..., Any]) -> None:
    arguments = [np.ones(2, np.int32)] * (2 if function is functions.pow else 1)
    with pytest.raises(TypeError, match="expected float32 or float64, got int32"):
        compute(function, False, *arguments)
