"""Dtypes of the face: scalar types, promotion, defaults."""

from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.base import dtypes

NAMES = tuple(d.name for d in dtypes.ALL if d != dtypes.bool_)


@pytest.mark.parametrize("name", NAMES)
def test_dtypes_are_numpys_scalar_types(name: str) -> None:
    if name == "bfloat16":
        assert rnp.bfloat16 is ml_dtypes.bfloat16
    else:
        assert getattr(rnp, name) is getattr(np, name)
    assert rnp.zeros(2, getattr(rnp, name)).dtype.name == name


def test_constants() -> None:
    assert (rnp.pi, rnp.e, rnp.inf, rnp.newaxis) == (np.pi, np.e, np.inf, None)
    assert np.isnan(rnp.nan)
    assert rnp.bool_ is np.bool_


@pytest.mark.parametrize(("one", "other"), [*product(dtypes.ALL, repeat=2)], ids=str)
def test_promotion_is_what_addition_does(one: Any, other: Any) -> None:
    joined = rnp.promote_types(one, other)
    assert joined == rnp.promote_types(other, one)
    assert joined == rnp.result_type(one, other)
    assert (rnp.zeros(2, one) + rnp.zeros(2, other)).dtype == joined


def test_python_numbers_give_way() -> None:
    half = rnp.zeros(2, rnp.float16)
    assert rnp.result_type(half, 2.0) == rnp.float16
    assert (half + 2.0).dtype == rnp.float16
    assert rnp.result_type(rnp.int8, 3) == rnp.int8
    assert rnp.result_type(rnp.int8, 3.0) == rnp.float32
    assert rnp.result_type(rnp.float32, 1j) == rnp.complex64
    assert rnp.result_type(1, True) == rnp.int32
    assert rnp.result_type(np.float64(1), np.float32(1)) == rnp.float64
    assert rnp.result_type(rnp.float32, float) == rnp.float32


@pytest.mark.parametrize(
    ("dtype", "sum_", "mean", "sine"),
    [
        ("bool", "int32", "float32", "float32"),
        ("int8", "int32", "float32", "float32"),
        ("uint16", "uint32", "float32", "float32"),
        ("int32", "int32", "float32", "float32"),
        ("uint32", "uint32", "float32", "float32"),
        ("int64", "int64", "float64", "float64"),
        ("uint64", "uint64", "float64", "float64"),
        ("float16", "float16", "float16", "float16"),
        ("bfloat16", "bfloat16", "bfloat16", "bfloat16"),
        ("float32", "float32", "float32", "float32"),
        ("float64", "float64", "float64", "float64"),
        ("complex64", "complex64", "complex64", "complex64"),
    ],
)
def test_dtypes_of_results(dtype: str, sum_: str, mean: str, sine: str) -> None:
    x = rnp.ones((2, 3), dtype)
    for name in ("sum", "prod", "cumsum", "cumprod"):
        assert getattr(rnp, name)(x).dtype.name == sum_
    assert rnp.mean(x).dtype.name == mean
    assert rnp.mean(x, dtype=rnp.float64).dtype == rnp.float64
    if dtype != "bool":
        assert (x / x).dtype.name == mean
    real = {"complex64": "float32"}.get(mean, mean)
    assert rnp.var(x).dtype.name == rnp.std(x).dtype.name == real
    if dtype != "bool":
        assert rnp.sin(x).dtype.name == sine


def test_ndarrays_keep_their_dtype_and_lists_take_the_defaults() -> None:
    assert rnp.asarray(np.zeros(2)).dtype == rnp.float64
    assert rnp.sin(np.zeros(2)).dtype == rnp.float64
    assert rnp.asarray([1.0]).dtype == rnp.float32
    assert rnp.asarray([1]).dtype == rnp.int32
    assert rnp.arange(3).dtype == rnp.int32
    assert rnp.arange(3.0).dtype == rnp.float32
    assert rnp.argmax(np.zeros(3)).dtype == rnp.int32
    assert rnp.sum(np.float16([60000, 60000, -60000])).dtype == rnp.float16


def test_averages_of_halves_do_not_overflow() -> None:
    assert float(rnp.mean(np.full(8, 60000, np.float16))) == 60000
    assert float(rnp.std(np.float16([-400, 400]))) == 400


def test_integers_of_64_bits_are_exact() -> None:
    big = 2**62 + 1
    x = np.int64([big, -big, 3])
    assert rnp.sum(x).item() == 3
    assert rnp.arange(big, big + 2).tolist() == [big, big + 1]
    assert rnp.max(x).item() == big


def test_limits_of_dtypes() -> None:
    assert float(rnp.finfo(rnp.float32).eps) == np.finfo(np.float32).eps
    assert float(rnp.finfo(rnp.complex64).max) == np.finfo(np.float32).max
    assert float(rnp.finfo(rnp.bfloat16).max) == float(ml_dtypes.finfo("bfloat16").max)
    assert rnp.iinfo(rnp.uint8).max == 255
    with pytest.raises(rx.DTypeError, match="finfo: dtype int32 is not floating"):
        rnp.finfo(rnp.int32)
    with pytest.raises(rx.DTypeError, match="iinfo: dtype float32 is no integer"):
        rnp.iinfo(rnp.float32)


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_kinds_of_dtypes(dtype: Any) -> None:
    floating = dtypes.is_float(dtype)
    assert rnp.issubdtype(dtype, rnp.floating) == floating
    assert rnp.issubdtype(dtype, rnp.integer) == dtypes.is_integer(dtype)
    assert rnp.issubdtype(dtype, rnp.inexact) == dtypes.is_inexact(dtype)
    assert rnp.issubdtype(dtype, dtype)
    assert not rnp.issubdtype(rnp.bfloat16, rnp.float32)
    assert rnp.isdtype(dtype, "real floating") == floating
    assert rnp.isdtype(dtype, "integral") == dtypes.is_integer(dtype)
    assert rnp.isdtype(dtype, ("bool", "numeric"))
    assert rnp.isdtype(dtype, dtype)
