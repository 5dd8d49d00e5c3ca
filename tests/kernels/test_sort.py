"""Laws of sorting: NumPy's order, for every dtype, in any order of pieces."""

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels import workers
from rxcore_kernels.host import Features
from rxcore_kernels.plan import Plan, run_plan
from rxcore_kernels.sort import MANY_ROWS, PARTED, plan_argsort, plan_sort
from tests.kernels.plan_programs import run_program
from tests.kernels.sort_samples import (
    DTYPES,
    PATTERNS,
    SIZES,
    bits,
    comparable,
    order,
    rows_of,
    same_values,
)

AVX2 = Features("haswell", frozenset({"avx", "avx2", "fma"}))
PLAIN = Features("plain", frozenset())
LARGE = (PARTED - 1, PARTED, PARTED + 1, 3 * PARTED + 77)


def run_sort(x, **options):
    """Sort rows; the margin of the result must not change."""
    out = np.zeros(x.size + 8, x.dtype)
    plan = plan_sort(x.dtype.name, *x.shape)
    run_plan(plan, [x], [out], **options)
    assert not bits(out[x.size :]).any()
    return out[: x.size].reshape(x.shape)


def run_argsort(x, *, chunk=None, backwards=False, with_values=False, **options):
    """Order rows; the margins of the results must not change."""
    indices = np.full(x.size + 8, -7, np.int32)
    values = np.zeros(x.size + 8, x.dtype)
    outs = [values, indices] if with_values else [indices]
    plan = plan_argsort(x.dtype.name, *x.shape, with_values=with_values, **options)
    if chunk is not None:
        steps = tuple(evolve(step, chunk=chunk) for step in plan.steps)
        plan = Plan(steps, plan.scratch)
    run_plan(plan, [x], outs, backwards=backwards)
    assert (indices[x.size :] == -7).all()
    assert not bits(values[x.size :]).any()
    indices, values = (a[: x.size].reshape(x.shape) for a in (indices, values))
    return (values, indices) if with_values else indices


def check_sorted(x, got):
    want = np.take_along_axis(x, order(x), axis=-1)
    assert same_values(got, want)
    if x.dtype.kind in "fV":
        # What comes out is what went in: signs of zeros too.
        signs = [np.signbit(comparable(a)) & (a == 0) for a in (x, got)]
        assert np.array_equal(signs[0].sum(axis=-1), signs[1].sum(axis=-1))
        for row, sign in zip(got, signs[1], strict=True):
            assert (np.diff(sign[row == 0].astype(int)) <= 0).all()


@settings(deadline=None, max_examples=150)
@given(
    rows=st.integers(0, 5),
    n=SIZES,
    dtype=st.sampled_from(DTYPES),
    pattern=st.sampled_from(PATTERNS),
    seed=st.integers(0, 99),
)
def test_values_in_order(rows, n, dtype, pattern, seed):
    x = rows_of(np.random.default_rng(seed), dtype, (rows, n), pattern)
    check_sorted(x, run_sort(x))


@settings(deadline=None, max_examples=200)
@given(
    rows=st.integers(0, 5),
    n=SIZES,
    dtype=st.sampled_from(DTYPES),
    pattern=st.sampled_from(PATTERNS),
    descending=st.booleans(),
    with_values=st.booleans(),
    seed=st.integers(0, 99),
)
def test_stable_order(rows, n, dtype, pattern, descending, with_values, seed):
    x = rows_of(np.random.default_rng(seed), dtype, (rows, n), pattern)
    got = run_argsort(x, descending=descending, with_values=with_values)
    want = order(x, descending=descending)
    if with_values:
        values, got = got
        assert np.array_equal(bits(values), bits(np.take_along_axis(x, want, axis=-1)))
    assert np.array_equal(got, want)


@pytest.mark.parametrize("host", [AVX2, PLAIN], ids=["avx2", "plain"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_narrow_vectors_agree(host, dtype):
    for n, pattern in ((70, "special"), (PARTED + 5, "random")):
        x = rows_of(np.random.default_rng(0), dtype, (2, n), pattern)
        assert np.array_equal(run_argsort(x, features=host), order(x))


@pytest.mark.parametrize("n", LARGE)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint64", "int8"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_rows_that_are_shared(n, dtype, pattern):
    rng = np.random.default_rng(n)
    rows = 1 if pattern == "random" else 2
    x = rows_of(rng, dtype, (rows, n), pattern)
    want = order(x)
    assert same_values(run_sort(x, backwards=True), np.take_along_axis(x, want, -1))
    assert np.array_equal(run_argsort(x, backwards=True), want)


@pytest.mark.parametrize("dtype", ["float32", "int64", "bfloat16"])
def test_many_rows(dtype):
    rng = np.random.default_rng(0)
    for shape in ((MANY_ROWS + 1, 9000), (3000, 33)):
        x = rows_of(rng, dtype, shape, "random")
        want = order(x)
        assert same_values(run_sort(x, backwards=True), np.take_along_axis(x, want, -1))
        assert np.array_equal(run_argsort(x, backwards=True), want)


@settings(deadline=None, max_examples=30)
@given(
    shape=st.sampled_from([(1, 50), (7, 300), (40, 3), (2, PARTED + 3)]),
    dtype=st.sampled_from(["float32", "float64", "int8"]),
    chunk=st.integers(1, 5),
)
def test_pieces_do_not_change_the_order(shape, dtype, chunk):
    x = rows_of(np.random.default_rng(0), dtype, shape, "ties")
    if max(shape) > PARTED:
        chunk = None
    assert np.array_equal(run_argsort(x, chunk=chunk, backwards=True), order(x))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_number_of_threads_does_not_change_bits(dtype):
    x = rows_of(np.random.default_rng(3), dtype, (2, 2 * PARTED + 9), "special")
    made = []
    try:
        for threads in (1, 2, 3):
            workers.set_count(threads)
            args = (dtype, *x.shape)
            (values,) = run_program(plan_sort(*args), [x], [(x.shape, x.dtype)])
            (indices,) = run_program(plan_argsort(*args), [x], [(x.shape, "i4")])
            made.append((bits(values), indices))
    finally:
        workers.set_count(None)
    for values, indices in made:
        assert np.array_equal(values, made[0][0])
        assert np.array_equal(indices, order(x))


def test_a_new_size_needs_no_new_text():
    for plan in (plan_sort, plan_argsort):
        names = {
            step.source.key
            for n in (PARTED, 2 * PARTED, 3 * PARTED)
            for step in plan("float32", 1, n).steps
            if hasattr(step, "source")
        }
        assert len(names) == 3


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="plan_sort: expected dtype to be one of bool"):
        plan_sort("complex64", 1, 2)
    with pytest.raises(ValueError, match="plan_argsort: expected rows >= 0 and 0 <="):
        plan_argsort("float32", 1, -2)
