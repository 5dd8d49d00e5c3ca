"""Laws of running combinations on an OpenCL device: NumPy's accumulate."""

import ml_dtypes
import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels.cumulative_opencl import (
    LEAST_PART,
    MANY_COLUMNS,
    SHORT_ROW,
    launch_cumsum,
    launch_cumulative,
)
from tests.kernels.opencl_devices import DEVICE, FACTS, SMALL, run

INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float16", "bfloat16", "float32", "float64")
UFUNCS = {
    "add": np.add,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}
SIZES = st.one_of(
    st.integers(0, SHORT_ROW + 2),
    st.sampled_from([511, 512, 513, 1023, 1024, 1025, 2000]),
)


def drawn(rng, shape, name, combine):
    """Values whose products stay in range."""
    dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    if dtype.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(
            dtype
        )
    if combine == "mul":
        return np.exp(rng.uniform(-0.01, 0.01, shape)).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def cumulate(facts, x, combine, **ways):
    outer, n, inner = x.shape
    full = np.full(x.size + 16, 1, x.dtype)
    plan = launch_cumulative(
        facts, combine, x.dtype.name, outer, n, inner=inner, **ways
    )
    run(facts, plan, [x], [full])
    assert (full[x.size :] == np.ones(1, x.dtype)).all()
    return full[: x.size].reshape(x.shape)


def expected(x, combine, *, reverse=False, exclusive=False):
    """NumPy's result, floats in double precision."""
    wide = x
    if x.dtype.kind in "fV":
        wide = x.astype("f8")
    if x.dtype.kind == "c":
        wide = x.astype("c16")
    wide = wide[:, ::-1] if reverse else wide
    sums = UFUNCS[combine].accumulate(wide, axis=1, dtype=wide.dtype)
    if exclusive:
        ends = {"b": (False, True)}.get(x.dtype.kind, (-np.inf, np.inf))
        if x.dtype.kind in "iu":
            ends = (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
        first = {"add": 0, "mul": 1, "min": ends[1], "max": ends[0]}[combine]
        sums = np.concatenate([np.full_like(sums[:, :1], first), sums[:, :-1]], axis=1)
    return sums[:, ::-1] if reverse else sums


def check(x, got, combine, **ways):
    want = expected(x, combine, **ways)
    if x.dtype.kind in "biu" or combine in ("min", "max"):
        assert np.array_equal(got, want.astype(x.dtype))
        return
    half = x.dtype.itemsize == 2
    eps = 2.0**-24 if half else np.finfo(x.dtype).eps
    n, wide = x.shape[1], got.astype(want.dtype)
    scale = np.abs(x.astype(want.dtype)).sum(axis=1, keepdims=True)
    bound = (n + 1) * eps * (scale if combine == "add" else np.abs(want))
    if half:
        bound = bound + np.abs(want) * float(ml_dtypes.finfo(x.dtype).eps)
    assert (np.abs(wide - want) <= bound).all()


def has_kernel(facts, dtype, combine):
    if dtype == "complex64":
        return combine == "add"
    return dtype != "float64" or facts.fp64


@settings(deadline=None, max_examples=80)
@given(
    outer=st.integers(0, 4),
    n=SIZES,
    inner=st.sampled_from([1, 1, 1, 2, 5, 33]),
    dtype=st.sampled_from(["bool", *INTS, *FLOATS, "complex64"]),
    combine=st.sampled_from(list(UFUNCS)),
    reverse=st.booleans(),
    exclusive=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_accumulate(outer, n, inner, dtype, combine, reverse, exclusive, seed):
    ways = {"reverse": reverse, "exclusive": exclusive}
    facts = DEVICE.facts if dtype == "float64" else SMALL
    if not has_kernel(facts, dtype, combine):
        assert launch_cumulative(facts, combine, dtype, outer, n, **ways) is None
        combine, dtype = "add", "float32"
    x = drawn(np.random.default_rng(seed), (outer, n, inner), dtype, combine)
    got = cumulate(facts, x, combine, **ways)
    if x.size:
        check(x, got, combine, **ways)


@pytest.mark.parametrize("facts", FACTS, ids=["device", "small"])
@pytest.mark.parametrize("inner", [1, 3])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_long_axes(facts, inner, reverse, dtype):
    # More parts than work-items of a group.
    n = 200_003 // inner
    x = drawn(np.random.default_rng(n), (2, n, inner), dtype, "add")
    for combine in ("add", "max"):
        check(x, cumulate(facts, x, combine, reverse=reverse), combine, reverse=reverse)


def test_many_columns_take_one_launch():
    x = drawn(np.random.default_rng(0), (2, 3 * LEAST_PART, MANY_COLUMNS), "int16", "")
    plan = launch_cumsum(SMALL, "int16", *x.shape[:2], inner=x.shape[2])
    assert len(plan.launches) == 1
    check(x, cumulate(SMALL, x, "add"), "add")


@pytest.mark.parametrize("n", [1, 5, 40, 5000])
@pytest.mark.parametrize("inner", [1, 2])
def test_special_values_pass(n, inner):
    x = np.full((1, n, inner), -0.0, np.float32)
    assert np.signbit(cumulate(SMALL, x, "add")).all()
    assert not np.signbit(cumulate(SMALL, x, "add", exclusive=True)).any()
    x[0, n // 2] = np.nan
    for combine in UFUNCS:
        found = np.isnan(cumulate(SMALL, x, combine)[0])
        assert not found[: n // 2].any()
        assert found[n // 2 :].all()


@pytest.mark.parametrize("n", [100, 3000])
def test_float_sums_are_the_same_in_every_run(n):
    x = drawn(np.random.default_rng(n), (3, n, 1), "float32", "add")
    first = cumulate(SMALL, x, "add")
    assert np.array_equal(first, cumulate(SMALL, x, "add"))


def test_text_depends_on_no_size():
    def sources(n, inner):
        plan = launch_cumsum(SMALL, "float32", 3, n, inner=inner)
        return {each.source.text for each in plan.launches}

    assert sources(100, 1) == sources(300, 1)
    assert sources(3000, 1) == sources(100_000, 1)
    assert sources(3000, 2) == sources(100_000, 5)


def test_no_plan_beyond_the_device():
    assert launch_cumsum(SMALL, "float64", 1, 8) is None
    assert launch_cumsum(DEVICE.facts, "complex256", 1, 8) is None
    assert launch_cumulative(SMALL, "mul", "complex64", 1, 8) is None
    assert launch_cumsum(evolve(SMALL, max_alloc=100), "int32", 1, 26) is None
    with pytest.raises(ValueError, match=r"expected combine to be one of add, mul"):
        launch_cumulative(SMALL, "xor", "int32", 1, 8)
