"""Laws of a change of connections: its meaning, for rows of every kind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels import largest_mask, rigl, workers
from rxcore_kernels.host import Features
from rxcore_kernels.plan import run_plan
from rxcore_kernels.rigl import plan_rigl
from tests.kernels.plan_programs import run_program
from tests.kernels.sort_samples import FLOATS, PATTERNS, bits, order, rows_of

PLAIN = Features("plain", frozenset())


def largest(x, k):
    mask = np.zeros(x.size, bool)
    mask[order(x[None], descending=True)[0, :k]] = True
    return mask


def meaning(w, g, mask, counts):
    """The rule of each row, in NumPy."""
    news = []
    for a, b, m, (active, changed) in zip(w, g, mask, counts, strict=True):
        size, steep = (np.abs(x.astype(np.float64)) for x in (a, b))
        kept = largest(np.where(m, size, -1), active - changed)
        news.append(kept | largest(np.where(kept, -1, steep), changed))
    new = np.array(news, bool).reshape(w.shape)
    return new, np.where(new & mask, w, np.zeros((), w.dtype))


def operands(rng, dtype, shape, patterns, density, share):
    w, g = (rows_of(rng, dtype, shape, p) for p in patterns)
    mask = rng.random(shape) < density
    active = mask.sum(1)
    changed = np.minimum((share * active).astype(int), active)
    return w, g, mask, np.stack([active, changed], 1).astype(np.int32)


def check(w, g, mask, counts, **options):
    """Run a plan; the margins of the results must not change."""
    size = w.size
    new, out = np.full(size + 8, 7, np.uint8), np.full(size + 8, 3, w.dtype)
    plan = plan_rigl(w.dtype.name, *w.shape, **options)
    run_plan(plan, [w, g, mask, counts], [new, out], backwards=True)
    wanted = meaning(w, g, mask, counts)
    assert (new[size:] == 7).all()
    assert (out[size:] == 3).all()
    assert np.array_equal(new[:size].reshape(w.shape).view(bool), wanted[0])
    assert np.array_equal(bits(out[:size].reshape(w.shape)), bits(wanted[1]))
    # The number of active weights is the same.
    assert (wanted[0].sum(1) == counts[:, 0]).all()


@settings(deadline=None, max_examples=80)
@given(
    rows=st.integers(0, 3),
    n=st.one_of(st.integers(0, 60), st.sampled_from([largest_mask.SMALL + 1, 70_001])),
    dtype=st.sampled_from(FLOATS),
    patterns=st.tuples(st.sampled_from(PATTERNS), st.sampled_from(PATTERNS)),
    density=st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]),
    share=st.sampled_from([0.0, 0.1, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_a_change_means_the_rule(rows, n, dtype, patterns, density, share, seed):
    rng = np.random.default_rng(seed)
    check(*operands(rng, dtype, (rows, n), patterns, density, share))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("ends", [(0, 0), (5, 5), (0, 30_000), (2**30, 2**31)])
def test_a_sample_that_misleads_costs_time_only(dtype, ends, monkeypatch):
    monkeypatch.setattr(rigl, "bracket", lambda *_: ends)
    rng = np.random.default_rng(0)
    for pattern in ("random", "ties", "special"):
        check(*operands(rng, dtype, (2, 50_000), (pattern, pattern), 0.2, 0.3))


@pytest.mark.parametrize("dtype", FLOATS)
def test_narrow_vectors_agree(dtype):
    rng = np.random.default_rng(0)
    given = operands(rng, dtype, (2, 20_000), ("special", "random"), 0.3, 0.3)
    check(*given, features=PLAIN)


def test_gradients_that_are_mostly_zero():
    rng = np.random.default_rng(0)
    w, g, mask, counts = operands(
        rng, "float32", (1, 100_000), ("random", "random"), 0.1, 0.3
    )
    g[rng.random(g.shape) < 0.99] = 0
    check(w, g, mask, counts)


@pytest.mark.parametrize("error", [-500, 500])
def test_a_count_that_is_not_the_masks_is_taken_at_its_word(error):
    rng = np.random.default_rng(0)
    w, g, mask, counts = operands(
        rng, "float32", (1, 40_000), ("random", "random"), 0.1, 0.3
    )
    counts[:, 0] += error
    check(w, g, mask, counts)


def test_number_of_threads_does_not_change_the_result():
    rng = np.random.default_rng(0)
    given = operands(rng, "float32", (1, 700_001), ("random", "random"), 0.1, 0.3)
    want = meaning(*given)
    plan = plan_rigl("float32", 1, 700_001)
    outs = [(given[0].shape, "bool"), (given[0].shape, "float32")]
    try:
        for threads in (1, 2, 3):
            workers.set_count(threads)
            for got, wanted in zip(
                run_program(plan, list(given), outs), want, strict=True
            ):
                assert np.array_equal(got, wanted)
    finally:
        workers.set_count(None)


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="plan_rigl: expected a floating dtype"):
        plan_rigl("int32", 1, 2)
    with pytest.raises(TypeError, match="plan_rigl: expected dtype to be one"):
        plan_rigl("complex64", 1, 2)
