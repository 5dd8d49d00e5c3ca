"""On a device, codes, numbers, gradients and statistics are those of the CPU."""

from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore import quant
from rxcore.quant import QuantSpec, dequantize, fake_quant, quantize
from tests.quant.cases import PROFILE_NAMES, numbers

SPECS = [
    QuantSpec(profile=name, bits=bits, symmetric=symmetric, axis=1)
    for name in PROFILE_NAMES
    for bits, symmetric in ((8, True), (4, False))
] + [
    QuantSpec(signed=False, symmetric=False, zero_point="float", profile="torch"),
    QuantSpec(bits=2, block_size=(5, 1)),
]


def same(call: Any, *args: Any) -> None:
    there = rx.jit(call, device="opencl")(*args)
    here = rx.jit(call, device="cpu")(*args)
    assert rx.tree.structure(there) == rx.tree.structure(here)
    for a, b in zip(rx.tree.leaves(there), rx.tree.leaves(here), strict=True):
        assert a.device == "opencl"
        assert np.array_equal(a, b)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_codes_and_gradients(spec: QuantSpec) -> None:
    x = numbers(5, (12, 7))
    same(lambda x: quantize(x, spec), x)
    same(dequantize, quantize(x, spec))

    def loss(x: Any) -> Any:
        return (fake_quant(x, spec) * x).sum()

    same(lambda x: fake_quant(x, spec), x)
    same(lambda x: rx.jvp(loss, (x,), (x,))[1] * 0 + rx.grad(loss)(x), x)


@pytest.mark.parametrize("name", ["minmax", "percentile", "kl"])
def test_statistics(name: str) -> None:
    x = numbers(5, (400, 3))
    options = {} if name == "minmax" else {"bins": 64}
    calibrator = getattr(quant, name)(QuantSpec(axis=1, symmetric=False), **options)
    same(lambda x: calibrator.update(calibrator.init(x), x), x)
    stats = calibrator.update(calibrator.init(x), x)
    there = rx.jit(calibrator.range, device="opencl")(stats)
    for a, b in zip(there, calibrator.range(stats), strict=True):
        assert np.allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("bits", [4, 8])
def test_products(bits: int) -> None:
    x, w = numbers(5, (6, 40)), numbers(6, (40, 9))
    q = quantize(w, QuantSpec(bits=bits, axis=1))
    same(lambda x, q: quant.matmul(x, q), x, q)
    q = quantize(w, QuantSpec(bits=bits, block_size=(8, 1)))
    there = rx.jit(lambda x, q: quant.matmul(x, q), device="opencl")(x, q)
    # Groups are added in another order.
    assert np.allclose(there, quant.matmul(x, q), rtol=1e-5, atol=1e-5)
