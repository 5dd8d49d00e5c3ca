"""Every public function of `rxcore.nn` jits, differentiates and vectorizes."""

from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore import nn
from rxcore.base import dtypes
from rxcore.testing import laws
from tests.nn.cases import CASES, Case

every_case = pytest.mark.parametrize("case", CASES, ids=str)


def narrowed(case: Case, dtype: Any) -> list[Any]:
    return [
        a.astype(dtype) if a.dtype == np.float64 else a
        for a in map(np.asarray, case.arguments)
    ]


@every_case
def test_types_are_what_runs(case: Case) -> None:
    laws.check_types(case.function, case.arguments)


@every_case
def test_jit_is_eager(case: Case) -> None:
    for dtype in (dtypes.float32, dtypes.float64):
        arguments = narrowed(case, dtype)
        eager = rx.tree.leaves(case.function(*arguments))
        jitted = rx.tree.leaves(rx.jit(case.function)(*arguments))
        for found, expected in zip(jitted, eager, strict=True):
            laws.assert_close(found, expected, 16, case.name, whole=True)


@every_case
def test_jvp_is_a_difference(case: Case) -> None:
    laws.check_jvp(case.function, case.arguments)


@every_case
def test_transpose_keeps_inner_products(case: Case) -> None:
    laws.check_transpose(case.function, case.arguments)


@every_case
def test_jitted_gradient_is_the_gradient(case: Case) -> None:
    wanted = [
        k for k, a in enumerate(case.arguments) if np.asarray(a).dtype.kind == "f"
    ]
    if not wanted:
        pytest.skip("a function of integers")

    def total(*arguments: Any) -> Any:
        outs = rx.tree.leaves(case.function(*arguments))
        return sum((rx.nn.mse(o, 0 * o + 1, reduction="sum") for o in outs), 0.0)

    gradient = rx.grad(total, argnums=wanted)
    eager, jitted = gradient(*case.arguments), rx.jit(gradient)(*case.arguments)
    for found, expected in zip(jitted, eager, strict=True):
        # Terms of about 1 may cancel.
        np.testing.assert_allclose(found, expected, 1e-10, 1e-10)


@every_case
def test_batch_is_a_loop(case: Case) -> None:
    rng = np.random.default_rng(0)
    lanes = [
        [
            a * rng.uniform(0.5, 1.0) if np.asarray(a).dtype.kind == "f" else a
            for a in case.arguments
        ]
        for _ in range(2)
    ]
    if len(lanes[0]) <= 3:
        laws.check_batch(case.function, lanes, ulps=64, whole=True)
        return
    arguments = [np.stack(column) for column in zip(*lanes, strict=True)]
    batched = rx.tree.leaves(rx.vmap(case.function)(*arguments))
    for k, lane in enumerate(lanes):
        outs = rx.tree.leaves(case.function(*lane))
        for found, expected in zip(batched, outs, strict=True):
            laws.assert_close(found[k], expected, 64, case.name, whole=True)


@every_case
@pytest.mark.parametrize("dtype", dtypes.HALVES, ids=str)
def test_halves_stay_halves(case: Case, dtype: Any) -> None:
    outs = rx.tree.leaves(case.function(*narrowed(case, dtype)))
    wide = rx.tree.leaves(case.function(*narrowed(case, dtypes.float32)))
    for found, expected in zip(outs, wide, strict=True):
        if case.name.startswith("one_hot"):
            assert found.dtype == dtypes.float32
        else:
            assert found.dtype == dtype
        scale = 1 + np.abs(np.asarray(expected)).max()
        error = np.abs(np.asarray(found, np.float32) - np.asarray(expected)).max()
        epsilon = 2.0**-10 if dtype == dtypes.float16 else 2.0**-7
        assert error <= 16 * epsilon * scale


def test_no_public_function_is_missed() -> None:
    told = " ".join(case.name for case in CASES).replace("binary cross", "sigmoid")
    missing = [
        name
        for name in nn.__all__
        if name[0].islower() and name.split("_")[0] not in told
    ]
    assert missing == ["initializers"]
