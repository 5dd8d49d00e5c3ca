"""The CPU's machine code gives the bits that the expressions mean."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from rxcore.base.dtypes import DType
from rxcore.loops.nest import (
    Buffer,
    Constant,
    Index,
    Let,
    Load,
    Loop,
    Nest,
    Statement,
    Store,
)
from rxcore.loops.scalar import Term
from rxcore.targets import cpu
from rxcore_kernels import builder, host
from tests.math.reference import CASES, Case, compute
from tests.math.sweep import points

_COUNT = 1_000


class _Lets:
    """A Builder that keeps operations as statements of a Nest."""

    def __init__(self) -> None:
        self.made: list[Let] = []

    def emit(self, op: str, dtype: DType, operands: tuple[Any, ...]) -> str:
        self.made.append(Let(f"t{len(self.made)}", dtype, op, operands))
        return self.made[-1].name

    def constant(self, value: float, dtype: DType) -> Constant:
        return Constant(value, dtype)


def _emission(case: Case, dtype: DType) -> cpu.Emission:
    lets, at = _Lets(), Index.of("i")
    names = [f"x{k}" for k in range(case.arity)]
    loads = [Load(f"v{name}", dtype, name, at) for name in names]
    result = case.function(*(Term(lets, load.name, dtype) for load in loads)).operand
    body: tuple[Statement, ...] = (*loads, *lets.made, Store("y", at, result))
    buffers = [Buffer(name, dtype, _COUNT) for name in names]
    out = Buffer("y", dtype, _COUNT, "out")
    nest = Nest(case.name, (*buffers, out), (Loop("i", _COUNT, "lane", body),))
    return cpu.emit(nest)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_machine_code_agrees_with_the_evaluator(case: Case, dtype: Any) -> None:
    rng = np.random.default_rng(8)
    special = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan], dtype)
    arguments = []
    for values in points(dtype, case):
        drawn = rng.choice(values, _COUNT)
        drawn[: special.size] = rng.permutation(special)
        arguments.append(drawn)
    found = np.zeros(_COUNT, dtype)
    emission = _emission(case, np.dtype(dtype))
    addresses = [a.ctypes.data for a in (*arguments, found)]
    sizes = [word for word in emission.words if isinstance(word, int)]
    assert cpu.build([emission])[0]([*addresses, *sizes], 0, _COUNT) == 0
    meant = compute(case.function, host.features().fma, *arguments)
    # The Evaluator's fused float64 is itself rounded twice now and then.
    close = 0 if dtype == np.float32 else 4 * np.finfo(dtype).eps
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found, meant, rtol=close, atol=0)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_no_operation_keeps_a_loop_from_becoming_vectors(case: Case) -> None:
    register = {512: "zmm", 256: "ymm"}.get(host.features().vector_bits)
    if register is None:
        pytest.skip("this processor has no wide vectors")
    code = builder.assembly(_emission(case, np.dtype(np.float32)).source)
    assert re.search(rf"v(mul|add|div|sub|fmadd)\w*ps.*%{register}", code)
    # The step calls its body; a library function would be a second call.
    assert len(re.findall(r"\tcall", code)) <= 1
