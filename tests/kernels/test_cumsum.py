"""Laws of running combinations: NumPy's accumulate, in any order of pieces."""

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels import workers
from rxcore_kernels.cumsum import plan_cumsum, plan_cumulative
from rxcore_kernels.cumsum_text import CHUNK
from rxcore_kernels.host import Features
from rxcore_kernels.plan import Plan, run_plan
from tests.kernels.plan_programs import run_program

AVX2 = Features("haswell", frozenset({"avx", "avx2", "fma"}))
PLAIN = Features("plain", frozenset())
INTS = ("int32", "int64", "uint32", "uint64")
DTYPES = ("float32", "float64", *INTS)
UFUNCS = {
    "add": np.add,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}
COMBINES = tuple(UFUNCS)
SIZES = st.one_of(
    st.integers(0, 40), st.sampled_from([63, 64, 65, 127, 128, 129, 255, 257, 1000])
)


def numbers(rng, shape, dtype, combine="add"):
    """Values whose products stay in range."""
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 1 << 31, shape).astype(dtype)
    if combine == "mul":
        return np.exp(rng.uniform(-0.01, 0.01, shape)).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def cumulate(x, *, combine="add", backwards=False, **options):
    """Run a plan along the middle axis; the margin of the result must not change."""
    outer, n, inner = x.shape
    full = np.full(x.size + 16, 7, x.dtype)
    plan = plan_cumulative(combine, x.dtype.name, outer, n, inner=inner, **options)
    assert plan is not None
    run_plan(plan, [np.ascontiguousarray(x)], [full], backwards=backwards)
    assert (full[x.size :] == 7).all()
    return full[: x.size].reshape(x.shape)


def expected(x, combine="add", *, reverse=False, exclusive=False):
    """NumPy's result, floats in double precision."""
    ufunc = UFUNCS[combine]
    wide = x.astype("f8") if x.dtype.kind == "f" else x
    if reverse:
        wide = wide[:, ::-1]
    sums = ufunc.accumulate(wide, axis=1, dtype=wide.dtype)
    if exclusive:
        info = np.finfo("f8") if wide.dtype.kind == "f" else np.iinfo(wide.dtype)
        low = -np.inf if wide.dtype.kind == "f" else info.min
        high = np.inf if wide.dtype.kind == "f" else info.max
        first = {"add": 0, "mul": 1, "min": high, "max": low}[combine]
        sums = np.concatenate([np.full_like(sums[:, :1], first), sums[:, :-1]], axis=1)
    return sums[:, ::-1] if reverse else sums


def check(x, got, combine, **ways):
    want = expected(x, combine, **ways)
    if x.dtype.kind in "iu" or combine in ("min", "max"):
        assert np.array_equal(got, want.astype(x.dtype), equal_nan=x.dtype.kind == "f")
        return
    eps, n = np.finfo(x.dtype).eps, x.shape[1]
    scale = np.abs(x).astype("f8").sum(axis=1, keepdims=True)
    bound = (n + 1) * eps * (scale if combine == "add" else np.abs(want))
    assert (np.abs(got - want) <= bound).all()


@settings(deadline=None, max_examples=150)
@given(
    outer=st.integers(0, 4),
    n=SIZES,
    inner=st.sampled_from([1, 1, 1, 2, 5, 16, 33, 300]),
    dtype=st.sampled_from(DTYPES),
    combine=st.sampled_from(COMBINES),
    reverse=st.booleans(),
    exclusive=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_accumulate(outer, n, inner, dtype, combine, reverse, exclusive, seed):
    rng = np.random.default_rng(seed)
    x = numbers(rng, (outer, n, inner), dtype, combine)
    got = cumulate(x, combine=combine, reverse=reverse, exclusive=exclusive)
    if x.size:
        check(x, got, combine, reverse=reverse, exclusive=exclusive)


@pytest.mark.parametrize("host", [AVX2, PLAIN], ids=["avx2", "plain"])
@settings(deadline=None, max_examples=25)
@given(
    n=SIZES.filter(bool),
    inner=st.sampled_from([1, 1, 7, 40]),
    dtype=st.sampled_from(["float32", "int64"]),
    reverse=st.booleans(),
    exclusive=st.booleans(),
)
def test_narrow_vectors_agree(host, n, inner, dtype, reverse, exclusive):
    x = numbers(np.random.default_rng(0), (2, n, inner), dtype)
    got = cumulate(x, features=host, reverse=reverse, exclusive=exclusive)
    check(x, got, "add", reverse=reverse, exclusive=exclusive)


LONG = (CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 37, 5 * CHUNK)


@pytest.mark.parametrize("n", LONG)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint64"])
@pytest.mark.parametrize("combine", ["add", "max"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("exclusive", [False, True])
def test_long_rows_in_chunks(n, dtype, combine, reverse, exclusive):
    x = numbers(np.random.default_rng(n), (2, n, 1), dtype)
    ways = {"reverse": reverse, "exclusive": exclusive}
    got = cumulate(x, combine=combine, backwards=True, **ways)
    check(x, got, combine, **ways)


@pytest.mark.parametrize("sign", [1, -1])
def test_sums_of_one_sign_never_turn_between_chunks(sign):
    x = sign * np.random.default_rng(0).random((1, 4 * CHUNK, 1)).astype("f4")
    got = cumulate(x).ravel()
    steps = sign * np.diff(got)[CHUNK - 1 :: CHUNK]
    assert (steps >= 0).all()


def test_float_errors_are_smaller_than_those_of_one_long_sum():
    x = np.random.default_rng(1).standard_normal((1, 1 << 20, 1)).astype("f4")
    want = expected(x)
    plain = np.abs(np.cumsum(x, axis=1) - want).max()
    assert np.abs(cumulate(x) - want).max() <= plain


@pytest.mark.parametrize("n", [1, 5, 16, 40, CHUNK + 20])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values_pass(n, dtype):
    x = np.full((1, n, 1), -0.0, dtype)
    assert np.signbit(cumulate(x)).all()
    assert not np.signbit(cumulate(x, exclusive=True)).any()
    x[0, n // 2] = np.nan
    for combine in COMBINES:
        got = cumulate(x, combine=combine)
        assert np.isnan(got[0, n // 2 :]).all()
        assert not np.isnan(got[0, : n // 2]).any()
    x[0, n // 2] = np.inf
    got = cumulate(x)
    assert np.isposinf(got[0, n // 2 :]).all()
    assert np.isfinite(got[0, : n // 2]).all()


@settings(deadline=None, max_examples=40)
@given(
    outer=st.sampled_from([1, 3, 200]),
    n=st.sampled_from([10, 700, CHUNK + 9]),
    inner=st.sampled_from([1, 1, 20]),
    dtype=st.sampled_from(["float32", "int64"]),
    chunk=st.integers(1, 5),
)
def test_pieces_do_not_change_bits(outer, n, inner, dtype, chunk):
    outer = min(outer, 2 * CHUNK // n + 1)
    x = numbers(np.random.default_rng(0), (outer, n, inner), dtype)
    plan = plan_cumsum(dtype, outer, n, inner=inner)
    other = Plan(tuple(evolve(s, chunk=chunk) for s in plan.steps), plan.scratch)
    first, second = np.empty_like(x), np.empty_like(x)
    run_plan(plan, [x], [first])
    run_plan(other, [x], [second], backwards=True)
    assert np.array_equal(first, second)


def test_number_of_threads_does_not_change_bits():
    # Large enough for streaming stores.
    x = numbers(np.random.default_rng(0), (1, (8 << 20) + 64), "float32")
    plan = plan_cumsum("float32", 1, x.size)
    results = []
    try:
        for threads in (1, 2, 3):
            workers.set_count(threads)
            results.append(run_program(plan, [x], [(x.shape, x.dtype)])[0])
    finally:
        workers.set_count(None)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])
    check(x[..., None], results[0][..., None], "add")
    back = np.empty(x.size + 1, x.dtype)[1:]  # not aligned for streaming stores
    run_plan(plan, [x], [back])
    assert np.array_equal(back, results[0].ravel())


def test_no_kernel_and_wrong_arguments():
    assert plan_cumsum("float16", 1, 4) is None
    with pytest.raises(ValueError, match="expected sizes >= 0, got outer=1 n=-2"):
        plan_cumsum("float32", 1, -2)
    with pytest.raises(ValueError, match="expected combine to be one of add, mul"):
        plan_cumulative("sub", "float32", 1, 2)


def test_a_new_size_needs_no_new_text():
    names = {
        step.source.key
        for n in (100, 200, 5000)
        for step in plan_cumsum("float32", 3, n).steps
    }
    assert len(names) == 1
