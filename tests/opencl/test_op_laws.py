"""Every op on an OpenCL device gives what its reference and the CPU give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rxcore.base import dtypes
from rxcore.control.jit import jit
from rxcore.ir.primitive import Primitive, Scalar
from rxcore.testing import laws
from tests.ops.cases import cases
from tests.ops.test_compiled import COMPILED, SCALAR, run_compiled
from tests.ops.test_laws import special_values


def run_on_device(
    primitive: Primitive, operands: Any, params: dict[str, Any]
) -> tuple[Any, ...]:
    """Run an op by itself on the best OpenCL device."""
    call = jit(lambda *xs: primitive.bind(*xs, **params), device="opencl")
    out = call(*operands)
    outs = out if primitive.multiple else (out,)
    assert all(o.device == "opencl" for o in outs)
    return tuple(map(np.asarray, outs))


@pytest.mark.parametrize("primitive", COMPILED, ids=str)
def test_device_is_reference(primitive: Primitive) -> None:
    for operands, params in cases(primitive):
        laws.check_lowering(primitive, operands, params, run_on_device)


@pytest.mark.parametrize("primitive", SCALAR, ids=str)
def test_device_is_exact_at_special_values(primitive: Primitive) -> None:
    types = primitive.slots["types"]
    operands, params = next(iter(cases(primitive, only=types)))
    for dtype in types:
        if dtypes.is_complex(dtype):
            continue
        grid = np.meshgrid(*[special_values(dtype)] * len(operands), indexing="ij")
        flat = [g.reshape(-1) for g in grid]
        laws.check_lowering(primitive, flat, params, run_on_device)


ELEMENTWISE = tuple(p for p in COMPILED if isinstance(p.lower, Scalar))


@pytest.mark.parametrize("primitive", ELEMENTWISE, ids=str)
def test_elementwise_bits_are_those_of_the_cpu(primitive: Primitive) -> None:
    for operands, params in cases(primitive):
        found = run_on_device(primitive, operands, params)
        expected = run_compiled(primitive, operands, params)
        for a, b in zip(found, expected, strict=True):
            if not dtypes.is_complex(a.dtype):
                same = (a == b) | ((a != a) & (b != b))
                assert np.all(same), (operands, params)
