"""Sparse products on an OpenCL device are those of the CPU."""

from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore.sparse import CSR
from rxcore_kernels import opencl

pytestmark = pytest.mark.skipif(not opencl.devices(), reason="there is no device")


@pytest.mark.parametrize("columns", [300, 70_000])
@pytest.mark.parametrize("width", [(), (5,), (64,)])
def test_products_on_a_device(columns: int, width: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    full = rng.integers(-3, 4, (40, columns)) * (rng.random((40, columns)) < 0.05)
    a = CSR.from_dense(full.astype(np.float32))
    x = rng.integers(-3, 4, (columns, *width)).astype(np.float32)
    for m in (a, a.padded(a.nse + 7)):
        product = rx.jit(lambda m, x: m @ x, device="opencl")
        out = product(m, x)
        assert out.device == "opencl"
        np.testing.assert_array_equal(np.asarray(out), full @ x)

    def loss(data: Any, x: Any) -> Any:
        return ((a.with_data(data) @ x) ** 2).sum()

    grad = rx.grad(loss, (0, 1))
    for found, expected in zip(
        rx.jit(grad, device="opencl")(a.data, x), grad(a.data, x), strict=True
    ):
        np.testing.assert_allclose(np.asarray(found), np.asarray(expected), 1e-5)
