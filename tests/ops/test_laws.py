"""The laws over the registry: every op, every rule."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from rxcore.base import dtypes
from rxcore.ir.primitive import REGISTRY, NoRule, Primitive, Scalar
from rxcore.ir.types import Type
from rxcore.testing import laws
from rxcore.testing.lowering import interprets, run_lowering
from tests.ops.cases import (
    EVERYTHING,
    PRIMITIVES,
    cases,
    doubles,
    draw_cases,
    lanes,
)

SAMPLED = tuple(p for p in PRIMITIVES if not isinstance(p.samples, NoRule))

every_op = pytest.mark.parametrize("primitive", PRIMITIVES, ids=str)
sampled_op = pytest.mark.parametrize("primitive", SAMPLED, ids=str)


def applied(primitive: Primitive, params: dict[str, Any]) -> Any:
    return partial(primitive.bind, **params)


@every_op
def test_no_slot_is_empty(primitive: Primitive) -> None:
    slots = ("infer", "lower", "reference", "jvp", "transpose", "batch", "samples")
    for slot in slots:
        rule = getattr(primitive, slot)
        assert rule is not None, slot
        if isinstance(rule, NoRule):
            assert len(rule.reason) > 10, slot
            assert rule.reason != "set below", slot
    assert primitive.document.endswith("."), "a document is a sentence"
    assert REGISTRY[primitive.name] is primitive


@sampled_op
def test_types_are_what_runs(primitive: Primitive) -> None:
    count = 0
    for operands, params in cases(primitive):
        count += 1
        if not isinstance(primitive.reference, NoRule):
            laws.check_reference(primitive, operands, params)
        laws.check_types(applied(primitive, params), operands)
    assert count or not primitive.samples.dtypes


@sampled_op
def test_lowering_means_reference(primitive: Primitive) -> None:
    for operands, params in cases(primitive):
        types = [Type(np.asarray(a).dtype, np.shape(a)) for a in operands]
        if interprets(primitive, types):
            laws.check_lowering(primitive, operands, params, run_lowering)


@sampled_op
def test_halves_compute_in_float32(primitive: Primitive) -> None:
    if primitive.slots.get("halves"):
        pytest.skip("this op looks at the bits of halves")
    for operands, params in cases(primitive, only=dtypes.HALVES):
        ulps = 0 if isinstance(primitive.lower, Scalar) else 1
        laws.check_halves(primitive, operands, params, ulps)


@sampled_op
def test_jvp_is_a_difference(primitive: Primitive) -> None:
    if isinstance(primitive.jvp, NoRule):
        pytest.skip(primitive.jvp.reason)
    for operands, params in cases(primitive, only=doubles(primitive) or (None,)):
        if primitive.slots.get("stops"):
            laws.check_no_derivative(applied(primitive, params), operands)
        else:
            laws.check_jvp(applied(primitive, params), operands)


@sampled_op
def test_derivatives_have_the_types_of_values(primitive: Primitive) -> None:
    if isinstance(primitive.jvp, NoRule):
        pytest.skip(primitive.jvp.reason)
    for operands, params in cases(primitive):
        laws.check_tangent_types(applied(primitive, params), operands)


@sampled_op
def test_transpose_keeps_inner_products(primitive: Primitive) -> None:
    if isinstance(primitive.jvp, NoRule):
        pytest.skip(primitive.jvp.reason)
    for operands, params in cases(primitive, only=doubles(primitive) or (None,)):
        laws.check_transpose(applied(primitive, params), operands)


@sampled_op
def test_second_derivative_is_a_difference(primitive: Primitive) -> None:
    if isinstance(primitive.jvp, NoRule):
        pytest.skip(primitive.jvp.reason)
    for operands, params in cases(primitive, only=doubles(primitive) or (None,)):
        laws.check_second_order(applied(primitive, params), operands)


@sampled_op
def test_batch_is_a_loop(primitive: Primitive) -> None:
    if isinstance(primitive.batch, NoRule):
        pytest.skip(primitive.batch.reason)
    types = primitive.samples.dtypes
    wanted = types if EVERYTHING else batch_dtypes(types)
    for dtype in wanted:
        for rows in lanes(primitive, dtype):
            operands = [operands for operands, _ in rows]
            call = applied(primitive, rows[0][1])
            samples = primitive.samples
            laws.check_batch(
                call,
                operands,
                ulps=samples.tolerance,
                whole=samples.cancels,
                every_axis=EVERYTHING,
            )


def batch_dtypes(types: tuple[Any, ...]) -> list[Any]:
    """Return float32 or what comes nearest: moving axes does not ask for dtypes."""
    order = (dtypes.float32, dtypes.int32, dtypes.bool_, *types)
    return [d for d in order if d in types][:1]


def special_values(dtype: Any) -> Any:
    if dtypes.is_bool(dtype):
        return np.array([False, True])
    if dtypes.is_integer(dtype):
        info = np.iinfo(dtype)
        small = [0, 1, 2, 3, 7] + ([-1, -2, -3, -7] if info.min else [])
        return np.array([*small, info.min, info.max, info.max - 1], dtype)
    tiny = {dtypes.float64: 2.0**-1074, dtypes.float32: 2.0**-149}.get(dtype, 2.0**-24)
    large = 60000.0 if dtype in dtypes.HALVES else float(np.finfo(dtype).max)
    some = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 1e-3, tiny, 1000.0, large, np.inf]
    return np.array([*some, *(-s for s in some), np.nan]).astype(dtype)


EXACT = tuple(
    p
    for p in SAMPLED
    if isinstance(p.lower, Scalar) and "types" in p.slots and not p.samples.tolerance
)


@pytest.mark.parametrize("primitive", EXACT, ids=str)
def test_exact_ops_are_exact_at_special_values(primitive: Primitive) -> None:
    operands, params = draw_cases(primitive, primitive.slots["types"][0])[0]
    for dtype in primitive.slots["types"]:
        if dtypes.is_complex(dtype):
            continue
        line = special_values(dtype)
        grid = np.meshgrid(*[line] * len(operands), indexing="ij")
        flat = [g.reshape(-1) for g in grid]
        laws.check_lowering(primitive, flat, params)
        found = run_lowering(primitive, flat, params)[0]
        expected = primitive.reference(*flat, **params)
        if dtypes.is_float(found.dtype):
            ordered = found == expected
            signs = np.signbit(found) == np.signbit(expected)
            assert np.all(signs[ordered & same_zero_matters(primitive)])


def same_zero_matters(primitive: Primitive) -> bool:
    """Say whether the sign of zero is part of an op's meaning (not of extremes')."""
    return primitive.name not in ("maximum", "minimum", "clamp", "nextafter")
