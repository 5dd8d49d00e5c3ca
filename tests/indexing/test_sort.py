"""Sorting and selecting: stable, NaN last, NumPy's order."""

from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore.base import errors
from rxcore.ops.sort import argsort, sort
from rxcore.ops.top_k import top_k

RNG = np.random.default_rng(9)
SPECIAL = np.float32([3, np.nan, 1, -0.0, 0, np.inf, -np.inf, 3, np.nan])
TIES = RNG.integers(0, 3, (5, 40)).astype(np.int8)


@pytest.mark.parametrize("x", [SPECIAL, TIES], ids=["special", "ties"])
@pytest.mark.parametrize("axis", [0, -1, None])
def test_order_is_numpys(x: Any, axis: int | None) -> None:
    for run in (lambda f: f, rx.jit):
        found = run(lambda v: (sort(v, axis), argsort(v, axis)))(x)
        assert np.array_equal(found[0], np.sort(x, axis), equal_nan=x.dtype.kind == "f")
        assert np.array_equal(found[1], np.argsort(x, axis, kind="stable"))


def test_descending_is_stable() -> None:
    order = np.asarray(argsort(TIES, descending=True))
    expected = np.argsort(-TIES.astype(int), -1, kind="stable")
    assert np.array_equal(order, expected)
    falling = np.asarray(sort(SPECIAL, descending=True))
    assert np.isnan(falling[:2]).all()
    assert np.array_equal(falling[2:], np.sort(SPECIAL)[:7][::-1])


@pytest.mark.parametrize("keys", [1, 2, 3])
def test_several_arrays_move_together(keys: int) -> None:
    arrays = [RNG.integers(0, 3, 50) for _ in range(3)]
    order = np.lexsort(arrays[:keys][::-1])
    for run in (lambda f: f, rx.jit):
        found = run(lambda *v: sort(v, num_keys=keys))(*arrays)
        for a, b in zip(found, arrays, strict=True):
            assert np.array_equal(a, b[order])


@pytest.mark.parametrize("axis", [0, 1])
def test_top_k_takes_the_first_of_equals(axis: int) -> None:
    values, places = top_k(TIES, 4, axis)
    order = np.argsort(-TIES.astype(int), axis, kind="stable")
    expected = np.take(order, range(4), axis)
    assert np.array_equal(places, expected)
    assert np.array_equal(values, np.take_along_axis(TIES, expected, axis))


def test_nan_is_the_largest() -> None:
    values, places = top_k(SPECIAL, 4)
    assert np.array_equal(values, [np.nan, np.nan, np.inf, 3], equal_nan=True)
    assert np.array_equal(places, [1, 8, 5, 0])


def test_derivatives_follow_the_order() -> None:
    x = rx.asarray([3.0, 1.0, 2.0])
    weights = np.float32([1, 10, 100])
    assert np.array_equal(rx.grad(lambda v: sort(v) @ weights)(x), [100, 1, 10])
    best = rx.grad(lambda v: top_k(v, 2)[0] @ weights[:2])(x)
    assert np.array_equal(best, [1, 0, 10])


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(errors.ShapeError, match="k=9 does not fit the last axis"):
        top_k(np.ones(3), 9)
    with pytest.raises(errors.DTypeError, match=r"complex numbers .* have no order"):
        top_k(np.ones(3, complex), 1)
    with pytest.raises(errors.ShapeError, match="arrays must have one shape"):
        sort((np.ones(3), np.ones(4)))
    with pytest.raises(errors.ShapeError, match="num_keys=3 of 2 arrays"):
        sort((np.ones(3), np.ones(3)), num_keys=3)
