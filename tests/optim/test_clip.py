"""Limits on gradients hold, and leave alone what is within them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxcore as rx
from rxcore import optim
from rxcore.base import errors
from rxcore.testing import laws

GRADS = {"w": np.array([[3.0, -4.0], [0.5, 0.0]]), "b": (np.array(12.0), None)}
NORM = np.sqrt(9 + 16 + 0.25 + 144)


def test_global_norm():
    for norm in (optim.global_norm, rx.jit(optim.global_norm)):
        assert abs(float(norm(GRADS)) - NORM) < 1e-12
    large = np.full(4, 300, np.float16)
    assert float(optim.global_norm(large)) == 600


@settings(deadline=None)
@given(limit=st.floats(0.01, 100))
def test_clip_by_global_norm(limit):
    clipped = optim.clip_by_global_norm(GRADS, limit)
    assert rx.tree.structure(clipped) == rx.tree.structure(GRADS)
    factor = min(1, limit / NORM)
    for found, g in zip(rx.tree.leaves(clipped), rx.tree.leaves(GRADS), strict=True):
        np.testing.assert_allclose(found, g * factor, 1e-12)


def test_small_gradients_are_left_alone():
    for limit in (NORM * 1.01, 1e6):
        clipped = optim.clip_by_global_norm(GRADS, limit)
        assert np.array_equal(clipped["w"], GRADS["w"])
    zeros = optim.clip_by_global_norm({"w": np.zeros(3, np.float32)}, 1.0)
    assert np.array_equal(zeros["w"], np.zeros(3))


def test_no_gradient_has_a_derivative_without_nan():
    slope = rx.grad(lambda g: optim.clip_by_global_norm(g, 1.0).sum())(np.zeros(3))
    assert np.asarray(slope).tolist() == [1, 1, 1]
    assert float(optim.global_norm({"w": np.float32([np.nan, 1])})) != 0


def test_clip_by_value():
    clipped = rx.jit(lambda g: optim.clip_by_value(g, -1.0, 2.0))(GRADS)
    assert np.asarray(clipped["w"]).tolist() == [[2, -1], [0.5, 0]]
    assert float(clipped["b"][0]) == 2


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes_stay(dtype):
    grads = {"w": rx.asarray([3.0, 4.0], dtype), "b": rx.asarray([0.0], "float64")}
    for clipped in (
        optim.clip_by_global_norm(grads, 1.0),
        optim.clip_by_value(grads, -1.0, 1.0),
    ):
        assert (clipped["w"].dtype.name, clipped["b"].dtype.name) == (dtype, "float64")


def test_derivatives_and_lanes():
    g = np.array([3.0, -4.0, 1.0])
    for limit in (1.0, 100.0):
        laws.check_jvp(lambda g, n=limit: optim.clip_by_global_norm(g, n), (g,))
        laws.check_batch(
            lambda g, n=limit: optim.clip_by_global_norm(g, n), [(g,), (2 * g,)], ulps=4
        )


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: optim.clip_by_global_norm(GRADS, 0.0),
            errors.UserError,
            "optim.clip_by_global_norm: max_norm=0.0; expected max_norm > 0",
        ),
        (
            lambda: optim.clip_by_value(GRADS, 1.0, -1.0),
            errors.UserError,
            "optim.clip_by_value: low=1.0 is above high=-1.0; swap them",
        ),
        (
            lambda: optim.global_norm(np.int32([1])),
            errors.DTypeError,
            r"optim.global_norm: a leaf is int32 \(shape \(1,\)\); expected a real",
        ),
        (
            lambda: optim.clip_by_value({"w": object()}, -1.0, 1.0),
            errors.TreeError,
            "optim.clip_by_value: the leaf at",
        ),
    ],
)
def test_message(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
