"""Laws of the largest elements on an OpenCL device: the first of the stable order."""

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels.sort_opencl import tile_size
from rxcore_kernels.sort_opencl_text import Order
from rxcore_kernels.top_k_opencl import SHARE, launch_top_k
from tests.kernels.opencl_devices import DEVICE, SMALL, run
from tests.kernels.sort_samples import DTYPES, PATTERNS, SIZES, bits, order, rows_of


def top_k(facts, x, k):
    rows, n = x.shape
    values, places = np.ones(rows * k + 8, x.dtype), np.full(rows * k + 8, 7, np.int32)
    run(facts, launch_top_k(facts, x.dtype.name, rows, n, k), [x], [values, places])
    assert (places[rows * k :] == 7).all()
    assert (values[rows * k :] == np.ones(1, x.dtype)).all()
    return values[: rows * k].reshape(rows, k), places[: rows * k].reshape(rows, k)


def check(facts, x, k):
    values, places = top_k(facts, x, k)
    want = order(x, descending=True)[:, :k]
    assert np.array_equal(places, want)
    assert np.array_equal(bits(values), bits(np.take_along_axis(x, want, axis=-1)))


@settings(deadline=None, max_examples=60)
@given(
    dtype=st.sampled_from(DTYPES),
    rows=st.sampled_from([0, 1, 2, 37]),
    n=SIZES,
    share=st.floats(0, 1),
    pattern=st.sampled_from(PATTERNS),
    seed=st.integers(0, 99),
)
def test_equals_the_first_of_the_order(dtype, rows, n, share, pattern, seed):
    x = rows_of(np.random.default_rng(seed), dtype, (rows, n), pattern)
    check(SMALL, x, int(share * n))


FULL = tile_size(SMALL, Order("float32", placed=True))


@pytest.mark.parametrize("k", [1, 7, FULL // SHARE, FULL // SHARE + 1, 3000])
@pytest.mark.parametrize(
    ("facts", "dtype"),
    [*((SMALL, d) for d in ("float32", "uint8", "float64")), (DEVICE.facts, "int32")],
)
def test_long_rows(facts, dtype, k):
    # The last tile of a row has fewer than k elements.
    x = rows_of(np.random.default_rng(k), dtype, (2, 20 * FULL + 3), "random")
    x[1] = rows_of(np.random.default_rng(k), dtype, x.shape[1:], "ties")
    check(facts, x, k)


def test_few_of_many_pass_less_on_at_each_launch():
    plan = launch_top_k(SMALL, "float32", 1, 1 << 20, 4)
    moved = [each.nbytes for each in plan.launches]
    assert moved == sorted(moved, reverse=True)
    assert moved[1] * 32 < moved[0]


def test_no_plan_beyond_the_device():
    assert launch_top_k(SMALL, "complex64", 1, 4, 2) is None
    assert launch_top_k(evolve(SMALL, max_alloc=4000), "int32", 1, 1001, 1) is None
    with pytest.raises(ValueError, match="expected 0 <= k <= n = 3, got k=4"):
        launch_top_k(SMALL, "int32", 1, 3, 4)
