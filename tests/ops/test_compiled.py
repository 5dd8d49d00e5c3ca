"""Every op compiled gives what its reference gives."""

import importlib.util
from functools import partial
from typing import Any

import numpy as np
import pytest

from rxcore.base import dtypes
from rxcore.ir.primitive import NoRule, Opaque, Primitive, Scalar
from rxcore.testing import laws
from tests.ops.cases import PRIMITIVES, cases
from tests.ops.test_laws import special_values

if importlib.util.find_spec("rxcore.control.jit") is None:
    pytest.skip("rx.jit is not there", allow_module_level=True)

jit = importlib.import_module("rxcore.control.jit").jit

COMPILED = tuple(
    p
    for p in PRIMITIVES
    if not isinstance(p.samples, NoRule) and not isinstance(p.reference, NoRule)
)


def run_compiled(
    primitive: Primitive, operands: Any, params: dict[str, Any]
) -> tuple[Any, ...]:
    """Run an op by itself through every step of the compiler."""
    out = jit(lambda *xs: primitive.bind(*xs, **params))(*operands)
    return tuple(map(np.asarray, out if primitive.multiple else (out,)))


@pytest.mark.parametrize("primitive", COMPILED, ids=str)
def test_compiled_is_reference(primitive: Primitive) -> None:
    for operands, params in cases(primitive):
        laws.check_lowering(primitive, operands, params, run_compiled)


FAMILIES = ("elementwise", "compare", "reduction", "index map", "cumulative")
WRITTEN = tuple(
    p for p in COMPILED if p.family in FAMILIES and not isinstance(p.lower, Opaque)
)


@pytest.mark.parametrize("primitive", WRITTEN, ids=str)
def test_real_dtypes_do_not_fall_back(primitive: Primitive) -> None:
    for operands, params in cases(primitive):
        call = jit(partial(primitive.bind, **params))
        types = {np.asarray(a).dtype for a in operands} | {params.get("dtype")}
        if not any(t is not None and dtypes.is_complex(t) for t in types):
            assert call.inspect(*operands).fallbacks == ()


SCALAR = tuple(
    p
    for p in COMPILED
    if isinstance(p.lower, Scalar) and p.slots.get("types") and not p.samples.tolerance
)


@pytest.mark.parametrize("primitive", SCALAR, ids=str)
def test_compiled_is_exact_at_special_values(primitive: Primitive) -> None:
    types = primitive.slots["types"]
    operands, params = next(iter(cases(primitive, only=types)))
    for dtype in types:
        if dtypes.is_complex(dtype):
            continue
        grid = np.meshgrid(*[special_values(dtype)] * len(operands), indexing="ij")
        flat = [g.reshape(-1) for g in grid]
        laws.check_lowering(primitive, flat, params, run_compiled)
