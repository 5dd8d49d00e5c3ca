"""Laws of sorting on an OpenCL device: NumPy's stable order, bit for bit."""

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels.sort_opencl import launch_argsort, launch_sort
from rxcore_kernels.sort_opencl_text import Order
from tests.kernels.opencl_devices import DEVICE, FACTS, SMALL, run
from tests.kernels.sort_samples import (
    DTYPES,
    PATTERNS,
    bits,
    dtype_of,
    order,
    rows_of,
    same_values,
)

SIZES = st.one_of(
    st.integers(0, 40),
    st.integers(6, 12).flatmap(lambda b: st.integers(2**b - 1, 2**b + 1)),
    st.integers(1000, 5000),
)


def sorted_rows(facts, x):
    out = np.full(x.size + 8, 1, x.dtype)
    run(facts, launch_sort(facts, x.dtype.name, *x.shape), [x], [out])
    assert (out[x.size :] == np.ones(1, x.dtype)).all()
    return out[: x.size].reshape(x.shape)


def orders(facts, x, *, descending=False):
    values, places = np.ones(x.size + 8, x.dtype), np.full(x.size + 8, 7, np.int32)
    ways = {"descending": descending, "with_values": True}
    plan = launch_argsort(facts, x.dtype.name, *x.shape, **ways)
    run(facts, plan, [x], [values, places])
    assert (places[x.size :] == 7).all()
    assert (values[x.size :] == np.ones(1, x.dtype)).all()
    return values[: x.size].reshape(x.shape), places[: x.size].reshape(x.shape)


cases = given(
    dtype=st.sampled_from(DTYPES),
    rows=st.sampled_from([0, 1, 1, 2, 3, 37, 150]),
    n=SIZES,
    pattern=st.sampled_from(PATTERNS),
    seed=st.integers(0, 99),
)


@settings(deadline=None, max_examples=60)
@cases
def test_equals_numpy(dtype, rows, n, pattern, seed):
    rows = min(rows, 1 + 20000 // max(n, 1))
    x = rows_of(np.random.default_rng(seed), dtype, (rows, n), pattern)
    want = order(x)
    values, places = orders(SMALL, x)
    assert np.array_equal(places, want)
    taken = np.take_along_axis(x, want, axis=-1)
    assert np.array_equal(bits(values), bits(taken))
    assert same_values(sorted_rows(SMALL, x), np.take_along_axis(x, order(x), -1))


@pytest.mark.parametrize("facts", FACTS, ids=["device", "small"])
@pytest.mark.parametrize("dtype", ["uint8", "bfloat16", "float32", "int64", "float64"])
def test_long_rows(facts, dtype):
    x = rows_of(np.random.default_rng(3), dtype, (2, 70001), "random")
    x[1] = rows_of(np.random.default_rng(4), dtype, (70001,), "ties")
    values, places = orders(facts, x)
    assert np.array_equal(places, order(x))
    assert np.array_equal(bits(values), bits(np.take_along_axis(x, places, -1)))
    assert same_values(sorted_rows(facts, x), values)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_negative_zero_comes_first_and_nan_last(dtype):
    x = np.array([[np.nan, 0.0, -0.0, 0.0, -0.0, -np.nan, -1.0, np.inf]], dtype)
    out = sorted_rows(SMALL, x)[0]
    assert np.signbit(out[:5]).tolist() == [True, True, True, False, False]
    assert out[5] == np.inf
    assert np.isnan(out[6:]).all()


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
@pytest.mark.parametrize("n", [20, 1500])
def test_descending_orders_are_stable_too(dtype, n):
    x = rows_of(np.random.default_rng(n), dtype, (3, n), "ties")
    values, places = orders(SMALL, x, descending=True)
    assert np.array_equal(places, order(x, descending=True))
    assert np.array_equal(bits(values), bits(np.take_along_axis(x, places, -1)))


def test_places_alone_and_values_with_them_agree():
    x = rows_of(np.random.default_rng(0), "float32", (3, 1500), "ties")
    places = np.empty(x.shape, np.int32)
    run(SMALL, launch_argsort(SMALL, "float32", *x.shape), [x], [places])
    assert np.array_equal(places, order(x))


def test_text_depends_on_no_size():
    def sources(n, dtype="float32"):
        plan = launch_sort(SMALL, dtype, 3, n)
        return {each.source.text for each in plan.launches}

    assert sources(5) == sources(500)
    assert sources(3000) == sources(100_000)
    # All that differs between dtypes is how elements come in and go out.
    assert len(sources(100_000) & sources(100_000, "int16")) == 1


def test_no_plan_beyond_the_device():
    tight = evolve(SMALL, max_alloc=1 << 16)
    assert launch_sort(tight, "uint8", 1, 1 << 16) is None
    assert launch_sort(tight, "int32", 16, 1000) is not None
    assert launch_argsort(SMALL, "float32", 1, (1 << 30) + 1) is None
    assert launch_sort(DEVICE.facts, "complex64", 1, 4) is None


def test_groups_shrink_to_local_memory():
    tight = evolve(SMALL, local_bytes=3000)
    assert Order("int64", True).group(tight) == 16
    x = rows_of(np.random.default_rng(1), "int64", (2, 1000), "ties")
    values, places = orders(tight, x)
    assert np.array_equal(places, order(x))
    assert dtype_of("int64") == values.dtype
