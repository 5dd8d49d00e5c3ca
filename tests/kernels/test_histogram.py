"""Laws of histograms: NumPy's counts of places, in any order of pieces."""

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels import host
from rxcore_kernels.histogram import plan_histogram
from rxcore_kernels.histogram_opencl import launch_histogram
from rxcore_kernels.host import Features
from rxcore_kernels.plan import run_plan
from tests.kernels.opencl_devices import FACTS, run

PLAIN = Features("plain", frozenset())


def expected(x, limits, bins, *, signed):
    """Return the counts by NumPy."""
    with np.errstate(all="ignore"):
        steps = np.abs(x) * (np.float32(bins) / limits[:, None])
        place = np.where(steps < bins - 1, steps, np.float32(bins - 1)).astype(int)
    sides = [x < 0, ~(x < 0)] if signed else [np.ones(x.shape, bool)]
    rows = [
        [np.bincount(p[s], minlength=bins) for s in chosen]
        for p, *chosen in zip(place, *sides, strict=True)
    ]
    return np.array(rows, np.int32).reshape(len(x), bins * len(sides))


def drawn(seed, rows, n, kind):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, n)).astype(np.float32)
    if kind == "constant":
        x[...] = 0.25
    elif kind == "odd" and n:
        odd = np.float32([np.nan, np.inf, -np.inf, -0.0, 1e-42, -1e38])
        x[:, rng.integers(0, n, 6)] = odd
    return x, rng.uniform(0.5, 4, rows).astype(np.float32)


cases = given(
    rows=st.sampled_from([0, 1, 3, 20]),
    n=st.one_of(st.integers(0, 70), st.sampled_from([1000, 70_001])),
    bins=st.sampled_from([1, 2, 7, 256, 2048]),
    signed=st.booleans(),
    kind=st.sampled_from(["normal", "constant", "odd"]),
    seed=st.integers(0, 99),
)


@cases
@settings(max_examples=80)
def test_counts_are_numpys(rows, n, bins, signed, kind, seed):
    x, limits = drawn(seed, rows, n, kind)
    want = expected(x, limits, bins, signed=signed)
    for features in (host.features(), PLAIN):
        plan = plan_histogram(rows, n, bins, signed=signed, features=features)
        for backwards in (False, True):
            full = np.full(want.size + 16, 7, np.int32)
            run_plan(plan, [x, limits], [full], backwards=backwards)
            assert (full[want.size :] == 7).all()
            assert np.array_equal(full[: want.size].reshape(want.shape), want)


@cases
@settings(max_examples=25)
def test_a_device_counts_the_same(rows, n, bins, signed, kind, seed):
    x, limits = drawn(seed, rows, n, kind)
    want = expected(x, limits, bins, signed=signed)
    for facts in FACTS:
        full = np.full(want.size + 16, 7, np.int32)
        plan = launch_histogram(facts, rows, n, bins, signed=signed)
        run(facts, plan, [x, limits], [full])
        assert (full[want.size :] == 7).all()
        assert np.array_equal(full[: want.size].reshape(want.shape), want)


def test_sizes_out_of_range_are_refused():
    for rows, n, bins in ((-1, 1, 1), (1, 1 << 31, 1), (1, 1, 0), (1, 1, 1 << 17)):
        with pytest.raises(ValueError, match="plan_histogram: expected"):
            plan_histogram(rows, n, bins, signed=False)
    small = evolve(FACTS[0], max_alloc=1 << 10)
    assert launch_histogram(small, 10, 1000, 16, signed=False) is None
