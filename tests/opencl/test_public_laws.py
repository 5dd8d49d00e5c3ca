"""The laws that users run on their devices, and a device that is told to be small."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.ir.primitive import REGISTRY
from rxcore.testing import (
    assert_same,
    check_devices,
    check_lowering,
    run_compiled,
)
from tests.golden.test_golden import softmax
from tests.ops.cases import draw_cases

X = rx.asarray(np.linspace(-3, 3, 40, dtype=np.float32).reshape(4, 10))


def test_functions_on_every_device() -> None:
    check_devices(lambda x: rnp.exp(x) * x + 1, [X])
    check_devices(softmax, [X], ulps=4, whole=True)
    check_devices(lambda t: {"a": t["b"] * 2}, [{"b": X}], ["opencl:1"])
    assert_same(softmax, X, ulps=16, whole=True, device="opencl")


def test_a_function_that_differs_is_found() -> None:
    count = itertools.count()

    def impure(x: Any) -> Any:
        like = rx.ShapeDtypeStruct((), "float32")
        return rx.pure_callback(lambda _: np.float32(next(count)), like, x) + x

    with pytest.raises(AssertionError, match="on 'opencl'"):
        check_devices(impure, [X], ["opencl"])
    with pytest.raises(AssertionError, match="jit on 'opencl:1'"):
        assert_same(impure, X, device="opencl:1")


def test_ops_on_a_device() -> None:
    add = REGISTRY["add"]
    for operands, params in draw_cases(add, np.dtype(np.float32)):
        run = partial(run_compiled, device="opencl")
        check_lowering(add, operands, params, run)
        assert run(add, operands, params)[0].dtype == np.float32
    with pytest.raises(rx.DeviceError):
        run_compiled(add, operands, params, "gpu")


SCRIPT = """
import warnings
import numpy as np
import rxcore as rx
import rxcore.numpy as rnp
from rxcore.runtime.devices import find

facts = find("opencl").facts
print(facts.fp64, facts.max_group, facts.max_item, facts.local_bytes, facts.max_alloc)

@rx.jit(device="opencl")
def f(x, y):
    rows = rnp.exp(x - x.max(1, keepdims=True))
    return rnp.sort(rows / rows.sum(1, keepdims=True), 1) @ y, rnp.cumsum(x, 0)

rng = np.random.default_rng(0)
args = rng.normal(size=(70, 90)), rng.normal(size=(90, 33))
for dtype in ("float32", "float64", "float64"):
    given = [a.astype(dtype) for a in args]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = f(*given)
    expected = rx.jit(f.__wrapped__)(*given)
    close = all(np.allclose(a, b, 1e-4, 1e-4) for a, b in zip(found, expected))
    print(dtype, found[0].device, close, *[str(w.message)[-76:] for w in caught])
"""


def test_the_environment_makes_a_device_small() -> None:
    limits = "fp64=0,local_bytes=32768,max_group=64,max_alloc=268435456"
    made = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "RXCORE_OPENCL_LIMITS": limits},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.splitlines() == [
        "False 64 (64, 64, 64) 32768 268435456",
        "float32 opencl True",
        "float64 cpu True "
        "it does not compute with float64; the CPU runs this call instead (said once)",
        "float64 cpu True",
    ]
    assert made.stderr == ""
