"""Laws that hold exactly or to a few units in the last place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from rxcore.loops import math as functions
from tests.math.reference import compute

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])

_ODD = ["sin", "tan", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "erf", "erfinv"]
_EVEN = ["cos", "cosh"]
_RISING = {
    "exp": (-110.0, 88.0),
    "expm1": (-20.0, 88.0),
    "log": (0.0, 100.0),
    "log1p": (-1.0, 100.0),
    "atan": (-50.0, 50.0),
    "sinh": (-80.0, 80.0),
    "asinh": (-1e5, 1e5),
    "cbrt": (-30.0, 30.0),
    "logistic": (-100.0, 20.0),
}


def _units_apart(a: Any, b: Any) -> Any:
    """Return the distance in representable numbers."""
    word = f"i{a.dtype.itemsize}"
    low = np.iinfo(word).min

    def order(x: Any) -> Any:
        bits = x.view(word).astype(object)
        return np.where(bits < 0, low - bits, bits)

    return np.abs(order(a) - order(b))


def _sample(dtype: Any, low: float, high: float, count: int = 20_000) -> Any:
    return np.random.default_rng(5).uniform(low, high, count).astype(dtype)


@DTYPES
@pytest.mark.parametrize("name", _ODD)
def test_odd_functions_are_odd_to_the_bit(name: str, dtype: Any) -> None:
    x = np.concatenate([_sample(dtype, 0, 1), _sample(dtype, 0, 1e4)])
    function = getattr(functions, name)
    np.testing.assert_array_equal(
        compute(function, False, -x), -compute(function, False, x)
    )


@DTYPES
@pytest.mark.parametrize("name", _EVEN)
def test_even_functions_are_even_to_the_bit(name: str, dtype: Any) -> None:
    x = _sample(dtype, 0, 80)
    function = getattr(functions, name)
    np.testing.assert_array_equal(
        compute(function, False, -x), compute(function, False, x)
    )


@DTYPES
@pytest.mark.parametrize("name", _RISING)
def test_rising_functions_never_fall_by_more_than_rounding(
    name: str, dtype: Any
) -> None:
    x = np.sort(_sample(dtype, *_RISING[name]))
    y = compute(getattr(functions, name), False, x)
    falls = np.diff(y) < 0
    assert (_units_apart(y[1:], y[:-1])[falls] <= 2).all()


@DTYPES
def test_bounded_functions_stay_in_their_bounds(dtype: Any) -> None:
    x = np.concatenate([_sample(dtype, -10, 10), _sample(dtype, -1e30, 1e30)])
    for name in ("tanh", "erf", "sin", "cos"):
        for fused in (False, True):
            got = compute(getattr(functions, name), fused, x)
            assert (np.abs(got) <= 1).all(), name


@DTYPES
def test_powers_of_two_are_exact(dtype: Any) -> None:
    info = np.finfo(dtype)
    n = np.arange(info.minexp - info.nmant, info.maxexp)
    x = n.astype(dtype)
    powers = np.ldexp(dtype(1), n)
    np.testing.assert_array_equal(compute(functions.exp2, False, x), powers)
    np.testing.assert_array_equal(compute(functions.log2, False, powers), x)
    two = np.full_like(x, 2)
    np.testing.assert_array_equal(compute(functions.pow, False, two, x), powers)


@DTYPES
def test_lgamma_is_zero_at_one_and_two_and_log_factorial_between(dtype: Any) -> None:
    n = np.arange(1, 30)
    got = compute(functions.lgamma, False, n.astype(dtype))
    assert (got[:2] == 0).all()
    want = scipy.special.gammaln(n.astype(np.float64)).astype(dtype)
    assert (_units_apart(got, want) <= 4).all()


@DTYPES
def test_sine_near_multiples_of_pi_keeps_its_digits(dtype: Any) -> None:
    # sin(round(n pi)) is the rounding error of n pi: a reduction with too few bits
    # of pi loses it.
    n = np.unique(np.logspace(0, 6, 400).astype(np.int64))
    x = (n * np.longdouble(np.pi)).astype(dtype)
    rest = (
        (n * np.float64(np.pi) - x.astype(np.float64)) if dtype == np.float32 else None
    )
    got = compute(functions.sin, False, x)
    want = np.sin(x.astype(np.float64))
    assert (np.abs(got - want) <= 4 * np.spacing(np.abs(want).astype(dtype))).all()
    if rest is not None:
        assert (np.sign(got) == np.sign(rest) * np.where(n % 2 == 0, -1, 1)).all()


def test_cosine_of_the_number_nearest_to_a_multiple_of_half_pi() -> None:
    # J.-M. Muller, "Elementary Functions", chapter 11: no float64 comes closer.
    x = np.array([np.ldexp(6381956970095103.0, 797)])
    got = compute(functions.cos, False, x)
    np.testing.assert_allclose(got, -4.68716592425462761112e-19, rtol=4e-16)


@given(st.integers(-40, 40), st.floats(0.5, 2, width=32))
def test_int_pow_agrees_with_repeated_products(n: int, x: float) -> None:
    got = compute(lambda t: functions.int_pow(t, n), False, np.array([x]))
    np.testing.assert_allclose(got, [x**n], rtol=40 * 2.0**-53)


@given(st.integers(0, 20), st.integers(-(2**31), 2**31 - 1))
def test_int_pow_wraps_on_integers(n: int, x: int) -> None:
    got = compute(lambda t: functions.int_pow(t, n), False, np.array([x], np.int32))
    want = (x**n + 2**31) % 2**32 - 2**31
    assert (got == want).all()


def test_erfinv_undoes_erf() -> None:
    x = _sample(np.float64, -0.999, 0.999)
    back = compute(functions.erf, False, compute(functions.erfinv, False, x))
    np.testing.assert_allclose(back, x, rtol=1e-15, atol=1e-300)


def test_single_erfinv_is_giles_formula() -> None:
    # Random normals come from it; the definition in words: the rounded x * x, an
    # exact log1p, then the paper's polynomials.
    x = _sample(np.float32, -1, 1)
    w = -np.log1p(-(x * x).astype(np.float64))
    centre = (
        2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06,
        0.00021858087, -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
    )  # fmt: skip
    tail = (
        -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844,
        0.00573950773, -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
    )  # fmt: skip
    near, far = np.polyval(centre, w - 2.5), np.polyval(tail, np.sqrt(w) - 3)
    want = np.where(w < 5, near, far) * x
    got = compute(functions.erfinv_rounded, False, x)
    assert (np.abs(got - want) <= 4 * np.spacing(np.abs(want).astype(np.float32))).all()
