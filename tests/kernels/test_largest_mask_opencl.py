"""Laws of masks of the largest on an OpenCL device: what they mean on the host."""

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels.largest_mask_opencl import launch_largest_mask, launch_rigl
from rxcore_kernels.largest_mask_opencl_text import Keyed
from tests.kernels.opencl_devices import DEVICE, SMALL, run
from tests.kernels.sort_samples import DTYPES, FLOATS, PATTERNS, SIZES, bits, rows_of
from tests.kernels.test_largest_mask import marked
from tests.kernels.test_rigl import meaning, operands

TILE = Keyed("float32").tile(SMALL)


def check(facts, x, k):
    rows, n = x.shape
    out = np.full(rows * n + 8, 7, np.uint8)
    plan = launch_largest_mask(facts, x.dtype.name, rows, n)
    run(facts, plan, [x, np.asarray(k, np.int32)], [out])
    assert (out[rows * n :] == 7).all()
    assert np.array_equal(out[: rows * n].reshape(rows, n), marked(x, k))


@settings(deadline=None, max_examples=60)
@given(
    dtype=st.sampled_from(DTYPES),
    rows=st.sampled_from([0, 1, 2, 17]),
    n=SIZES,
    shares=st.lists(st.floats(0, 1), min_size=17, max_size=17),
    pattern=st.sampled_from(PATTERNS),
    seed=st.integers(0, 99),
)
def test_equals_the_front_of_the_order(dtype, rows, n, shares, pattern, seed):
    x = rows_of(np.random.default_rng(seed), dtype, (rows, n), pattern)
    check(SMALL, x, [round(s * n) for s in shares[:rows]])


@pytest.mark.parametrize("pattern", ["random", "ties", "special"])
@pytest.mark.parametrize(
    ("facts", "dtype"),
    [*((SMALL, d) for d in ("float32", "uint8", "float64")), (DEVICE.facts, "int32")],
)
def test_long_rows(facts, dtype, pattern):
    x = rows_of(np.random.default_rng(0), dtype, (2, 5 * TILE + 3), pattern)
    for k in ([0, 1], [TILE, 5 * TILE + 3], [4 * TILE, 99]):
        check(facts, x, k)


@settings(deadline=None, max_examples=40)
@given(
    dtype=st.sampled_from(FLOATS),
    shape=st.sampled_from([(0, 3), (1, 40), (3, 50), (2, 2 * TILE + 5)]),
    patterns=st.tuples(st.sampled_from(PATTERNS), st.sampled_from(PATTERNS)),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_a_change_of_connections(dtype, shape, patterns, density, share, seed):
    rng = np.random.default_rng(seed)
    w, g, mask, counts = operands(rng, dtype, shape, patterns, density, share)
    new, out = np.full(w.size + 8, 7, np.uint8), np.full(w.size + 8, 3, w.dtype)
    run(SMALL, launch_rigl(SMALL, dtype, *shape), [w, g, mask, counts], [new, out])
    wanted = meaning(w, g, mask, counts)
    assert (new[w.size :] == 7).all()
    assert (out[w.size :] == 3).all()
    assert np.array_equal(new[: w.size].reshape(shape), wanted[0])
    assert np.array_equal(bits(out[: w.size].reshape(shape)), bits(wanted[1]))


def test_no_plan_beyond_the_device():
    assert launch_largest_mask(SMALL, "complex64", 1, 4) is None
    assert launch_largest_mask(evolve(SMALL, max_alloc=4000), "int32", 1, 1001) is None
    assert launch_rigl(SMALL, "int32", 1, 4) is None
