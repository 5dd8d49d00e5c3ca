"""Laws of the largest elements: the front of the stable descending order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels import top_k, workers
from rxcore_kernels.host import Features
from rxcore_kernels.plan import run_plan
from rxcore_kernels.top_k import plan_top_k
from tests.kernels.plan_programs import run_program
from tests.kernels.sort_samples import DTYPES, PATTERNS, SIZES, bits, order, rows_of

PLAIN = Features("plain", frozenset())


def check(x, k, **options):
    """Run a plan; the margins of the results must not change."""
    rows, n = x.shape
    values = np.zeros(rows * k + 8, x.dtype)
    indices = np.full(rows * k + 8, -7, np.int32)
    backwards = options.pop("backwards", True)
    plan = plan_top_k(x.dtype.name, rows, n, k, **options)
    run_plan(plan, [x], [values, indices], backwards=backwards)
    want = order(x, descending=True)[:, :k]
    assert np.array_equal(indices[: rows * k].reshape(rows, k), want)
    front = np.take_along_axis(x, want, axis=-1)
    assert np.array_equal(bits(values[: rows * k].reshape(rows, k)), bits(front))
    assert (indices[rows * k :] == -7).all()
    assert not bits(values[rows * k :]).any()
    return plan


def selects(plan):
    return any(
        getattr(s, "function", None).__class__ is top_k.Levels for s in plan.steps
    )


@settings(deadline=None, max_examples=150)
@given(
    rows=st.integers(0, 4),
    n=SIZES,
    share=st.floats(0, 1),
    dtype=st.sampled_from(DTYPES),
    pattern=st.sampled_from(PATTERNS),
    seed=st.integers(0, 99),
)
def test_front_of_the_order(rows, n, share, dtype, pattern, seed):
    x = rows_of(np.random.default_rng(seed), dtype, (rows, n), pattern)
    check(x, round(share * n))


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 3),
    n=st.sampled_from([4095, 4096, 5001, 40000, 70001]),
    share=st.floats(0, 0.2),
    dtype=st.sampled_from(DTYPES),
    pattern=st.sampled_from(PATTERNS),
    seed=st.integers(0, 9),
)
def test_selection_from_long_rows(rows, n, share, dtype, pattern, seed):
    x = rows_of(np.random.default_rng(seed), dtype, (rows, n), pattern)
    k = max(1, round(share * n))
    plan = check(x, k)
    assert selects(plan) or share > 0.05 or k <= top_k.FEW


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 3),
    n=st.sampled_from([1000, 5000, top_k.SPAN, top_k.SPAN + 3, 3 * top_k.SPAN - 1]),
    k=st.integers(1, top_k.FEW),
    dtype=st.sampled_from(DTYPES),
    pattern=st.sampled_from(PATTERNS),
    seed=st.integers(0, 9),
)
def test_a_few_of_long_rows(rows, n, k, dtype, pattern, seed):
    x = rows_of(np.random.default_rng(seed), dtype, (rows, n), pattern)
    check(x, k)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
@pytest.mark.parametrize("ones", [0, 10, 3000, 30000])
def test_ties_at_the_threshold(dtype, ones):
    # What passes is decided by indices alone, over several blocks.
    x = np.zeros((2, 100_000), dtype)
    x[:, np.random.default_rng(0).permutation(100_000)[:ones]] = 1
    assert selects(check(x, 3000))


@pytest.mark.parametrize("dtype", ["float32", "uint64"])
@pytest.mark.parametrize("rank", [0, 200, -1])
def test_a_sample_that_misleads_costs_time_only(dtype, rank, monkeypatch):
    ranks = top_k._ranks

    def wrong(n, k):
        size = top_k._sample_size(n)
        return rank % size, ranks(n, k)[1]

    monkeypatch.setattr(top_k, "_ranks", wrong)
    rng = np.random.default_rng(0)
    for pattern in ("random", "ties", "special"):
        assert selects(check(rows_of(rng, dtype, (2, 70_000), pattern), 600))


@pytest.mark.parametrize("dtype", DTYPES)
def test_narrow_vectors_agree(dtype):
    x = rows_of(np.random.default_rng(0), dtype, (2, 9000), "special")
    for k in (40, 100):
        check(x, k, features=PLAIN)


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_many_rows(dtype):
    x = rows_of(np.random.default_rng(0), dtype, (700, 2000), "random")
    for k in (5, 70):
        check(x, k)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_number_of_threads_does_not_change_the_result(dtype):
    x = rows_of(np.random.default_rng(0), dtype, (1, 3_000_001), "random")
    k = 150_000
    want = order(x, descending=True)[:, :k]
    plan = plan_top_k(dtype, *x.shape, k)
    try:
        for threads in (1, 2, 3):
            workers.set_count(threads)
            outs = [((1, k), dtype), ((1, k), "i4")]
            values, indices = run_program(plan, [x], outs)
            assert np.array_equal(indices, want)
            assert np.array_equal(values, np.take_along_axis(x, want, axis=-1))
    finally:
        workers.set_count(None)


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="plan_top_k: expected dtype to be one of bool"):
        plan_top_k("complex64", 1, 2, 1)
    with pytest.raises(ValueError, match="expected 0 <= k <= n = 4, got k=5"):
        plan_top_k("float32", 1, 4, 5)
