"""Every op on an OpenCL device gives what its reference and the CPU give."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.control.jit import jit
from rxcore.ir.primitive import Accumulating, Native, Primitive, Scalar
from rxcore.runtime.devices import find
from rxcore.testing import laws
from tests.opencl.together import graph_of, prepare
from tests.ops.cases import EVERYTHING, cases
from tests.ops.test_compiled import COMPILED, SCALAR, run_compiled
from tests.ops.test_laws import special_values

# On the small device texts differ by what it lacks and by sizes, hardly by dtype.
FEW = (dtypes.float32, dtypes.int64, dtypes.float64)
# Hand-made kernels are long, and one for each dtype: `tests/kernels` has them all.
SOME = (dtypes.bool_, dtypes.int8, dtypes.uint32, dtypes.float16, *FEW)
DEVICES: dict[str, tuple[DType, ...]] = {
    "opencl": (),
    "opencl:1": () if EVERYTHING else FEW,
}


def lacks(name: str, primitive: Primitive, operands: Any, params: Any) -> bool:
    """Say whether a device does not compute with a dtype that an op needs."""
    target = find(name)
    assert target is not None
    graph = graph_of(partial(primitive.bind, **params), operands)
    types = (*(v.type for v in graph.inputs), *graph.out_types)
    return not target.facts.fp64 and any(t.dtype == dtypes.float64 for t in types)


def run_on_device(
    primitive: Primitive, operands: Any, params: dict[str, Any], name: str = "opencl"
) -> tuple[Any, ...]:
    """Run an op by itself on a device, or on the CPU with one warning."""
    target = find(name)
    assert target is not None
    target.warned.clear()
    call = jit(partial(primitive.bind, **params), device=name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = call(*operands)
    outs = out if primitive.multiple else (out,)
    lacking = lacks(name, primitive, operands, params)
    assert {o.device for o in outs} == {"cpu" if lacking else name}
    said = [str(w.message) for w in caught if w.category is RuntimeWarning]
    assert len(said) == len(caught) == lacking
    assert all("it does not compute with float64; the CPU" in text for text in said)
    return tuple(map(np.asarray, outs))


def prepare_cases(name: str, primitive: Primitive, found: list[Any]) -> None:
    """Build the kernels of an op's cases for a device."""
    prepare(name, [graph_of(partial(primitive.bind, **p), xs) for xs, p in found])


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("primitive", COMPILED, ids=str)
def test_device_is_reference(primitive: Primitive, name: str) -> None:
    only = DEVICES[name]
    if isinstance(primitive.lower, Native | Accumulating) and not EVERYTHING:
        only = only or SOME
    found = list(cases(primitive, only=only)) or list(cases(primitive))
    prepare_cases(name, primitive, found)
    for operands, params in found:
        run = partial(run_on_device, name=name)
        laws.check_lowering(primitive, operands, params, run)


@pytest.mark.parametrize("primitive", SCALAR, ids=str)
def test_device_is_exact_at_special_values(primitive: Primitive) -> None:
    types = primitive.slots["types"]
    operands, params = next(iter(cases(primitive, only=types)))
    found = []
    for dtype in types:
        if dtypes.is_complex(dtype):
            continue
        grid = np.meshgrid(*[special_values(dtype)] * len(operands), indexing="ij")
        found.append(([g.reshape(-1) for g in grid], params))
    prepare_cases("opencl", primitive, found)
    for flat, params in found:
        laws.check_lowering(primitive, flat, params, run_on_device)


ELEMENTWISE = tuple(p for p in COMPILED if isinstance(p.lower, Scalar))


@pytest.mark.parametrize("primitive", ELEMENTWISE, ids=str)
def test_elementwise_bits_are_those_of_the_cpu(primitive: Primitive) -> None:
    drawn = list(cases(primitive))
    prepare_cases("opencl", primitive, drawn)
    for operands, params in drawn:
        found = run_on_device(primitive, operands, params)
        expected = run_compiled(primitive, operands, params)
        for a, b in zip(found, expected, strict=True):
            if not dtypes.is_complex(a.dtype):
                same = (a == b) | ((a != a) & (b != b))
                assert np.all(same), (operands, params)
