"""Sparse products on an OpenCL device are those of the CPU."""

from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore import sparse
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


CHANGES = {
    "to_csc": sparse.to_csc,
    "to_coo": sparse.to_coo,
    "to_bsr": lambda m: sparse.to_bsr(m, 16),
    "blocks and back": lambda m: sparse.to_csr(sparse.to_bsr(m, 16)),
    "canonical": sparse.canonical,
    "sort_indices": sparse.sort_indices,
    "fixed": lambda m: m.fixed(),
    "transposed": lambda m: m.transpose().T,
    "sum": lambda m: sparse.scale(sparse.add(m, m), 0.5),
    "rows": lambda m: sparse.scale_rows(m, rx.device_put(np.ones(40, "f4"), "opencl")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_values_on_a_device_stay_there(name: str) -> None:
    rng = np.random.default_rng(1)
    full = (rng.integers(-3, 4, (40, 30)) * (rng.random((40, 30)) < 0.2)).astype("f4")
    a = CSR.from_dense(full)
    for m in (a, a.padded(a.nse + 7)):
        moved = rx.device_put(m, "opencl")
        made = CHANGES[name](moved)
        assert made.data.device == "opencl"
        found = made.to_dense()
        assert found.device == "opencl"
        np.testing.assert_array_equal(np.asarray(found), full)
