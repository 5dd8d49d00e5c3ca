"""Laws of the matrix product: NumPy's sum over any strides, in any order of pieces."""

import ml_dtypes
import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels.host import Features, features
from rxcore_kernels.matmul import plan_matmul
from rxcore_kernels.plan import Plan, run_plan

AVX2 = Features("haswell", frozenset({"avx", "avx2", "fma"}))
PLAIN = Features("plain", frozenset())
DTYPES = ("float32", "float64")
SIZES = st.one_of(st.integers(0, 20), st.sampled_from([31, 32, 33, 48, 65, 97, 130]))
DEPTHS = st.one_of(st.integers(0, 9), st.sampled_from([16, 31, 64, 100, 257, 300]))


def matrix(rng, batch, rows, columns, order, dtype):
    """An array of the shape (batch, rows, columns) with some layout."""
    if order == "transposed":
        return rng.standard_normal((batch, columns, rows)).astype(dtype).mT
    if order == "strided":
        wide = rng.standard_normal((batch, 2 * rows, 3 * columns)).astype(dtype)
        return wide[:, ::2, ::3]
    if order == "shared":
        one = rng.standard_normal((1, rows, columns)).astype(dtype)
        return np.broadcast_to(one, (batch, rows, columns))
    if order == "repeated":
        one = rng.standard_normal((batch, 1, columns)).astype(dtype)
        return np.broadcast_to(one, (batch, rows, columns))
    if order == "outermost":
        return rng.standard_normal((rows, batch, columns)).astype(dtype).swapaxes(0, 1)
    return rng.standard_normal((batch, rows, columns)).astype(dtype)


ORDERS = st.sampled_from(
    ["plain", "transposed", "strided", "shared", "repeated", "outermost"]
)


def strides(array):
    """Strides in elements."""
    return tuple(s // array.itemsize for s in array.strides)


def multiply(a, b, *, host=None, chunk=None, backwards=False):
    """Run a plan on two stacks of matrices; C has a margin that must not change."""
    batch, m, k = a.shape
    n = b.shape[2]
    full = np.full((batch, m + 1, n + 3), 7, a.dtype)
    c = full[:, :m, :n]
    sizes = (batch, m, n, k, strides(a), strides(b), strides(c)[:2])
    plan = plan_matmul(a.dtype.name, *sizes, features=host)
    if chunk is not None:
        steps = tuple(evolve(step, chunk=chunk) for step in plan.steps)
        plan = Plan(steps, plan.scratch, plan.by_rows)
    run_plan(plan, [a, b], [full], backwards=backwards)
    assert (full[:, m:] == 7).all()
    assert (full[:, :, n:] == 7).all()
    return c, plan


def tolerance(a, b):
    """The bound of Higham for a sum of k products, per element."""
    k = a.shape[2]
    size = np.abs(a).astype("f8") @ np.abs(b).astype("f8")
    return (k + 1) * np.finfo(a.dtype).eps * size


@settings(deadline=None, max_examples=150)
@given(
    batch=st.integers(1, 3),
    m=SIZES,
    n=SIZES,
    k=DEPTHS,
    a_order=ORDERS,
    b_order=ORDERS,
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 99),
)
def test_equals_the_sum_of_products(batch, m, n, k, a_order, b_order, dtype, seed):
    rng = np.random.default_rng(seed)
    a = matrix(rng, batch, m, k, a_order, dtype)
    b = matrix(rng, batch, k, n, b_order, dtype)
    c, plan = multiply(a, b)
    error = np.abs(c - a.astype("f8") @ b.astype("f8"))
    assert (error <= tolerance(a, b)).all()
    if plan.by_rows and plan.steps:
        assert (plan.steps[-1].lo, plan.steps[-1].hi) == (0, batch * m) or m * n == 0


@pytest.mark.parametrize("host", [AVX2, PLAIN], ids=["avx2", "plain"])
@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=25)
@given(
    m=SIZES, n=SIZES, k=DEPTHS, a_order=ORDERS, b_order=ORDERS, seed=st.integers(0, 9)
)
def test_narrow_vectors_agree(host, dtype, m, n, k, a_order, b_order, seed):
    rng = np.random.default_rng(seed)
    a = matrix(rng, 2, m, k, a_order, dtype)
    b = matrix(rng, 2, k, n, b_order, dtype)
    c, _ = multiply(a, b, host=host)
    error = np.abs(c - a.astype("f8") @ b.astype("f8"))
    assert (error <= tolerance(a, b)).all()


@settings(deadline=None, max_examples=60)
@given(
    batch=st.integers(1, 3),
    m=st.sampled_from([1, 2, 13, 50, 130]),
    n=st.sampled_from([1, 10, 33, 300]),
    k=st.sampled_from([1, 40, 300]),
    a_order=ORDERS,
    b_order=ORDERS,
    chunk=st.integers(1, 40),
    dtype=st.sampled_from(DTYPES),
)
def test_pieces_do_not_change_bits(batch, m, n, k, a_order, b_order, chunk, dtype):
    rng = np.random.default_rng(0)
    a = matrix(rng, batch, m, k, a_order, dtype)
    b = matrix(rng, batch, k, n, b_order, dtype)
    whole, _ = multiply(a, b, chunk=0)
    pieces, _ = multiply(a, b, chunk=chunk, backwards=True)
    planned, _ = multiply(a, b, backwards=True)
    assert np.array_equal(whole, pieces)
    assert np.array_equal(whole, planned)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "sizes", [(300, 90, 310), (1, 700, 900), (5, 900, 900), (900, 1, 900)]
)
@pytest.mark.parametrize("a_order", ["plain", "transposed"])
@pytest.mark.parametrize("b_order", ["plain", "transposed"])
def test_large_shapes(dtype, sizes, a_order, b_order):
    m, n, k = sizes
    rng = np.random.default_rng(1)
    a = matrix(rng, 1, m, k, a_order, dtype)
    b = matrix(rng, 1, k, n, b_order, dtype)
    c, _ = multiply(a, b)
    error = np.abs(c - a.astype("f8") @ b.astype("f8"))
    assert (error <= tolerance(a, b)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "n", "k"), [(14, 35, 20), (1, 40, 9), (40, 1, 9)])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_values_stay_in_their_row_and_column(dtype, m, n, k, bad):
    rng = np.random.default_rng(2)
    a = matrix(rng, 1, m, k, "plain", dtype)
    b = matrix(rng, 1, k, n, "plain", dtype)
    a[0, m - 1, k // 2] = bad
    c, _ = multiply(a, b)
    assert not np.isfinite(c[0, m - 1]).any()
    assert np.isfinite(c[0, : m - 1]).all()
    a[0, m - 1, k // 2] = 1
    b[0, k - 1, n - 1] = bad
    c, _ = multiply(a, b)
    assert not np.isfinite(c[0, :, n - 1]).any()
    assert np.isfinite(c[0, :, : n - 1]).all()


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
@settings(deadline=None, max_examples=40)
@given(
    batch=st.integers(1, 3), m=SIZES, n=SIZES, k=DEPTHS, a_order=ORDERS, b_order=ORDERS
)
def test_narrow_floats_round_once(dtype, batch, m, n, k, a_order, b_order):
    rng = np.random.default_rng(3)
    a = matrix(rng, batch, m, k, a_order, dtype)
    b = matrix(rng, batch, k, n, b_order, dtype)
    c, plan = multiply(a, b, backwards=True)
    wide, _ = multiply(a.astype("f4"), b.astype("f4"))
    exact = a.astype("f8") @ b.astype("f8")
    error = np.abs(c.astype("f8") - exact)
    bound = tolerance(a.astype("f4"), b.astype("f4"))
    unit = float(ml_dtypes.finfo(dtype).eps) / 2
    tiny = float(ml_dtypes.finfo(dtype).smallest_subnormal)
    assert (error <= 1.01 * unit * np.abs(exact) + 2 * bound + tiny).all()
    assert wide.shape == c.shape
    assert plan.by_rows


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_narrow_floats_convert_as_numpy_does(dtype):
    patterns = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    one = np.ones((1, 1, 1), dtype)
    c, _ = multiply(patterns.reshape(1, -1, 1), one)
    # The sum begins with 0, so that -0 becomes 0.
    with np.errstate(invalid="ignore"):
        expected = patterns + np.zeros((), dtype)
    same = c.ravel().view(np.uint16) == expected.view(np.uint16)
    assert (same | np.isnan(expected.astype("f4"))).all()
    assert np.isnan(c.ravel().astype("f4"))[np.isnan(expected.astype("f4"))].all()


def test_a_new_size_needs_no_new_text():
    names = set()
    for m in (64, 100, 256):
        plan = plan_matmul("float32", 1, m, 64, 64, (0, 64, 1), (0, 64, 1), (0, 64))
        names |= {step.source.key for step in plan.steps}
    assert len(names) == 1


def test_one_text_serves_all_layouts():
    names = set()
    for m, n, k in [(256, 784, 512), (512, 10, 256), (3, 900, 70), (300, 300, 300)]:
        for a in [(0, k, 1), (0, 1, m), (0, 3 * k, 3)]:
            for b in [(0, n, 1), (0, 1, k), (0, 2 * n, 2)]:
                plan = plan_matmul("float32", 1, m, n, k, a, b, (0, n))
                names |= {step.source.symbol for step in plan.steps}
    assert len(names) == 2


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match=r"expected dtype float32, .*, got int8"):
        plan_matmul("int8", 1, 2, 2, 2, (0, 2, 1), (0, 2, 1), (0, 2))
    with pytest.raises(ValueError, match="expected sizes >= 0, got batch=1 m=-2"):
        plan_matmul("float32", 1, -2, 2, 2, (0, 2, 1), (0, 2, 1), (0, 2))


def test_the_host_has_a_tile():
    assert plan_matmul(
        "float32", 1, 2, 2, 2, (0, 2, 1), (0, 2, 1), (0, 2), features=features()
    ).steps
