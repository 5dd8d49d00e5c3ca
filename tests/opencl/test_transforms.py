"""Transforms of functions of device arrays: nothing in them mixes devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp

HOST = rnp.arange(4.0)


def made_inside(a: Any) -> Any:
    return (a * rnp.ones(4)).sum()


def kept_outside(a: Any) -> Any:
    return (rnp.tanh(a * HOST) @ rnp.ones((4, 3))).sum()


def from_a_list(a: Any) -> Any:
    return rnp.sum(a * rx.asarray([1.0, 2.0, 3.0, 4.0]) ** 2)


FUNCTIONS = (made_inside, kept_outside, from_a_list)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_constants_go_where_the_arguments_are(function: Callable[..., Any]) -> None:
    x = np.linspace(-1, 1, 4, dtype=np.float32)
    there = rx.device_put(x, "opencl")
    for transform in (rx.grad, lambda f: lambda v: rx.jvp(f, (v,), (v,))[1]):
        found, expected = transform(function)(there), transform(function)(rx.asarray(x))
        pair = np.asarray(found), np.asarray(expected)
        np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_gradient_lies_where_its_argument_does(function: Callable[..., Any]) -> None:
    there = rx.device_put(np.ones(4, np.float32), "opencl")
    found = rx.grad(function)(there)
    assert found.device == "opencl"
    assert (there - 0.1 * found).device == "opencl"


def test_a_told_device_holds_under_transforms() -> None:
    f = rx.jit(lambda a: (a**3).sum(), device="opencl")
    x = rnp.arange(4.0)
    found = (rx.vmap(f)(rnp.ones((3, 4))), rx.jvp(f, (x,), (x,))[1], rx.grad(f)(x))
    assert [y.device for y in found[:2]] == ["opencl"] * 2
    np.testing.assert_allclose(np.asarray(found[2]), 3 * np.arange(4.0) ** 2)


def test_plain_ops_still_refuse_to_mix() -> None:
    there = rx.device_put(np.ones(4, np.float32), "opencl")
    with pytest.raises(rx.DeviceError, match="different devices"):
        _ = there + HOST
