"""Laws of the mask of the largest elements: the front of the descending order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels import largest_mask, workers
from rxcore_kernels.host import Features
from rxcore_kernels.largest_mask import plan_largest_mask
from rxcore_kernels.plan import run_plan
from tests.kernels.plan_programs import run_program
from tests.kernels.sort_samples import DTYPES, PATTERNS, SIZES, order, rows_of

PLAIN = Features("plain", frozenset())


def marked(x, k):
    """The meaning: the first k of the stable descending order."""
    mask = np.zeros(x.shape, bool)
    front = np.arange(x.shape[1]) < np.asarray(k)[:, None]
    np.put_along_axis(mask, order(x, descending=True), front, axis=1)
    return mask


def check(x, k, **options):
    """Run a plan; the margin of the result must not change."""
    rows, n = x.shape
    k = np.full(rows, k, np.int32) if np.ndim(k) == 0 else np.asarray(k, np.int32)
    out = np.full(rows * n + 8, 7, np.uint8)
    plan = plan_largest_mask(x.dtype.name, rows, n, **options)
    run_plan(plan, [x, k], [out], backwards=True)
    assert (out[rows * n :] == 7).all()
    found = out[: rows * n].reshape(rows, n)
    assert found.max(initial=0) <= 1
    assert (found.sum(1) == k).all()
    assert np.array_equal(found.astype(bool), marked(x, k))


@settings(deadline=None, max_examples=100)
@given(
    rows=st.integers(0, 4),
    n=SIZES,
    shares=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    alike=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    pattern=st.sampled_from(PATTERNS),
    seed=st.integers(0, 99),
)
def test_front_of_the_order(rows, n, shares, alike, dtype, pattern, seed):
    x = rows_of(np.random.default_rng(seed), dtype, (rows, n), pattern)
    check(x, [round(shares[0 if alike else r] * n) for r in range(rows)])


@settings(deadline=None, max_examples=80)
@given(
    rows=st.integers(1, 3),
    n=st.sampled_from([largest_mask.SMALL + 1, 32768, 40000, 70001]),
    shares=st.lists(
        st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0])), min_size=3, max_size=3
    ),
    dtype=st.sampled_from(DTYPES),
    pattern=st.sampled_from(PATTERNS),
    seed=st.integers(0, 9),
)
def test_long_rows(rows, n, shares, dtype, pattern, seed):
    x = rows_of(np.random.default_rng(seed), dtype, (rows, n), pattern)
    check(x, [round(s * n) for s in shares[:rows]])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
@pytest.mark.parametrize("ones", [0, 10, 3000, 30000])
def test_ties_at_the_threshold(dtype, ones):
    # What is marked is decided by indices alone, over several blocks.
    x = np.zeros((2, 100_000), dtype)
    x[:, np.random.default_rng(0).permutation(100_000)[:ones]] = 1
    for k in (1, 3000, 65536, 99_999):
        check(x, k)


@pytest.mark.parametrize("dtype", ["float32", "uint64", "int8"])
@pytest.mark.parametrize("ends", [(0, 0), (5, 5), (0, 9), (2**40, 2**41)])
def test_a_sample_that_misleads_costs_time_only(dtype, ends, monkeypatch):
    monkeypatch.setattr(largest_mask, "bracket", lambda *_: ends)
    for pattern in ("random", "ties", "special"):
        x = rows_of(np.random.default_rng(0), dtype, (2, 70_000), pattern)
        check(x, 600)
        check(x, 69_000)


@pytest.mark.parametrize("dtype", DTYPES)
def test_narrow_vectors_agree(dtype):
    x = rows_of(np.random.default_rng(0), dtype, (2, 20_000), "special")
    for k in (40, 9000):
        check(x, k, features=PLAIN)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_number_of_threads_does_not_change_the_result(dtype):
    x = rows_of(np.random.default_rng(0), dtype, (1, 1_000_001), "random")
    k = np.int32([150_000])
    want = marked(x, k)
    plan = plan_largest_mask(dtype, *x.shape)
    try:
        for threads in (1, 2, 3):
            workers.set_count(threads)
            (found,) = run_program(plan, [x, k], [(x.shape, "bool")])
            assert np.array_equal(found, want)
    finally:
        workers.set_count(None)


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="plan_largest_mask: expected dtype to be one"):
        plan_largest_mask("complex64", 1, 2)
    with pytest.raises(ValueError, match="expected rows >= 0 and 0 <= n"):
        plan_largest_mask("float32", -1, 4)
