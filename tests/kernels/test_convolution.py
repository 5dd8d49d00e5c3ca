"""Laws of the convolutions: NumPy's sum over padded images, and transposes of it."""

import itertools

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels.convolution import (
    plan_convolution,
    plan_convolution_dw,
    plan_convolution_dx,
)
from rxcore_kernels.host import Features
from rxcore_kernels.plan import Plan, run_plan

AVX2 = Features("haswell", frozenset({"avx", "avx2", "fma"}))
DTYPES = ("float32", "float64")


def padded(x, low, high, dilation):
    """X in float64 with zeros between and around its elements; negative cuts."""
    for axis, (a, b, d) in enumerate(zip(low, high, dilation, strict=True), 2):
        size = (x.shape[axis] - 1) * d + 1
        shape = [*x.shape[:axis], size, *x.shape[axis + 1 :]]
        spread = np.zeros(shape)
        index = [slice(None)] * x.ndim
        index[axis] = slice(None, None, d)
        spread[tuple(index)] = x
        width = [(0, 0)] * x.ndim
        width[axis] = (max(a, 0), max(b, 0))
        spread = np.pad(spread, width)
        index[axis] = slice(max(-a, 0), spread.shape[axis] - max(-b, 0))
        x = spread[tuple(index)]
    return x


def windows(x, taps, stride, dilation):
    """The views (tap, x at that tap for all outputs)."""
    sizes = [
        (n - (k - 1) * d - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], taps, stride, dilation, strict=True)
    ]
    for tap in itertools.product(*(range(k) for k in taps)):
        index = [slice(None), slice(None)]
        index += [
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, n, s, d in zip(tap, sizes, stride, dilation, strict=True)
        ]
        yield tap, x[tuple(index)]


def reference(x, w, case):
    """The convolution as a sum over taps."""
    low, high = zip(*case["padding"], strict=True)
    x = padded(x.astype("f8"), low, high, case["lhs_dilation"])
    groups, taps = case["groups"], w.shape[2:]
    w = w.astype("f8").reshape(groups, -1, *w.shape[1:])
    total = 0.0
    for tap, view in windows(x, taps, case["stride"], case["rhs_dilation"]):
        if case["flip"]:
            tap = tuple(k - 1 - t for k, t in zip(taps, tap, strict=True))
        parts = view.reshape(view.shape[0], groups, -1, *view.shape[2:])
        weights = w[(..., *tap)]
        total = total + np.einsum("ngc...,goc->ngo...", parts, weights)
    return total.reshape(total.shape[0], -1, *total.shape[3:])


@st.composite
def cases(draw, most=12):
    """A convolution with at least one output."""
    rank = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, outputs = draw(st.integers(1, 5)), draw(st.integers(1, 15))
    each = st.tuples(
        st.integers(1, most if rank < 3 else 6),
        st.integers(1, 4 if rank < 3 else 2),
        st.integers(1, 3),
        st.integers(0, 3),
        st.integers(0, 3),
        st.sampled_from([1, 1, 2, 3]),
        st.sampled_from([1, 1, 2]),
    )
    dims = draw(st.lists(each, min_size=rank, max_size=rank))
    space, taps, stride, low, high, lhs, rhs = zip(*dims, strict=True)
    short = [
        max(0, (k - 1) * dk + 1 - ((x - 1) * dx + 1 + a + b))
        for x, k, a, b, dx, dk in zip(space, taps, low, high, lhs, rhs, strict=True)
    ]
    case = {
        "stride": stride,
        "padding": [(a, b + c) for a, b, c in zip(low, high, short, strict=True)],
        "lhs_dilation": lhs,
        "rhs_dilation": rhs,
        "groups": groups,
        "flip": draw(st.booleans()),
    }
    x_shape = (draw(st.integers(1, 3)), channels * groups, *space)
    return x_shape, (outputs * groups, channels, *taps), case


def draw_arrays(x_shape, w_shape, case, dtype):
    """Random x and w, and the exact y."""
    rng = np.random.default_rng(sum(x_shape))
    x = rng.standard_normal(x_shape).astype(dtype)
    w = rng.standard_normal(w_shape).astype(dtype)
    return x, w, reference(x, w, case), rng


def close(found, exact, dtype, terms):
    """Whether values agree to a modest multiple of the rounding unit."""
    size = np.abs(exact).max() + 3 * np.sqrt(terms)
    return (np.abs(found - exact) <= 8 * np.finfo(dtype).eps * size).all()


def recut(plan, chunk):
    """The same plan in pieces of another size."""
    steps = tuple(evolve(step, chunk=chunk) for step in plan.steps)
    return Plan(steps, plan.scratch)


@settings(deadline=None, max_examples=200)
@given(cases(), st.sampled_from(DTYPES))
def test_forward_is_the_sum_over_taps(given_case, dtype):
    x_shape, w_shape, case = given_case
    x, w, exact, _ = draw_arrays(x_shape, w_shape, case, dtype)
    y = np.full(exact.shape, 7, dtype)
    run_plan(plan_convolution(dtype, x_shape, w_shape, **case), [x, w], [y])
    assert close(y, exact, dtype, np.prod(w_shape[1:]))


@settings(deadline=None, max_examples=40)
@given(cases())
def test_narrow_vectors_agree(given_case):
    x_shape, w_shape, case = given_case
    x, w, exact, rng = draw_arrays(x_shape, w_shape, case, "float32")
    y = np.full(exact.shape, 7, "f4")
    plan = plan_convolution("float32", x_shape, w_shape, **case, features=AVX2)
    run_plan(plan, [x, w], [y])
    assert close(y, exact, "float32", np.prod(w_shape[1:]))
    dy = rng.standard_normal(exact.shape).astype("f4")
    dw = np.full(w_shape, 7, "f4")
    plan = plan_convolution_dw("float32", x_shape, w_shape, **case, features=AVX2)
    run_plan(plan, [x, dy], [dw])
    pairing = (exact * dy).sum()
    assert np.isclose((dw.astype("f8") * w).sum(), pairing, rtol=1e-4, atol=1e-2)


@settings(deadline=None, max_examples=120)
@given(cases(), st.sampled_from(DTYPES))
def test_gradients_are_the_transposes(given_case, dtype):
    x_shape, w_shape, case = given_case
    x, w, exact, rng = draw_arrays(x_shape, w_shape, case, dtype)
    dy = rng.standard_normal(exact.shape).astype(dtype)
    dx, dw = np.full(x_shape, 7, dtype), np.full(w_shape, 7, dtype)
    run_plan(plan_convolution_dx(dtype, x_shape, w_shape, **case), [dy, w], [dx])
    run_plan(plan_convolution_dw(dtype, x_shape, w_shape, **case), [x, dy], [dw])
    # <y(x', w), dy> = <x', dx> and <y(x, w'), dy> = <w', dw> for other x', w'.
    for _ in range(2):
        x2, w2 = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
        left, right = reference(x2, w, case), reference(x, w2, case)
        scale = 30 * np.finfo(dtype).eps * np.sqrt(1 + exact.size * w[0].size)
        assert abs((left * dy).sum() - (x2 * dx).sum()) <= 10 * scale
        assert abs((right * dy).sum() - (w2 * dw).sum()) <= 10 * scale


@settings(deadline=None, max_examples=40)
@given(cases(), st.sampled_from(DTYPES), st.integers(1, 9))
def test_pieces_do_not_change_bits(given_case, dtype, chunk):
    x_shape, w_shape, case = given_case
    x, w, exact, rng = draw_arrays(x_shape, w_shape, case, dtype)
    dy = rng.standard_normal(exact.shape).astype(dtype)
    for make, inputs, shape in (
        (plan_convolution, [x, w], exact.shape),
        (plan_convolution_dx, [dy, w], x_shape),
        (plan_convolution_dw, [x, dy], w_shape),
    ):
        plan = make(dtype, x_shape, w_shape, **case)
        whole, pieces = np.empty(shape, dtype), np.empty(shape, dtype)
        run_plan(recut(plan, 0), inputs, [whole])
        run_plan(recut(plan, chunk), inputs, [pieces], backwards=True)
        assert np.array_equal(whole, pieces)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("space", [(1,), (7,), (9, 11), (2, 3, 17)])
def test_one_tap(dtype, batch, space):
    rank = len(space)
    x_shape, w_shape = (batch, 20, *space), (35, 20, *(1,) * rank)
    case = {
        "stride": (1,) * rank,
        "padding": [(0, 0)] * rank,
        "lhs_dilation": (1,) * rank,
        "rhs_dilation": (2,) * rank,
        "groups": 1,
        "flip": False,
    }
    x, w, exact, rng = draw_arrays(x_shape, w_shape, case, dtype)
    dy = rng.standard_normal(exact.shape).astype(dtype)
    y, dx, dw = np.empty(exact.shape, dtype), np.empty_like(x), np.empty_like(w)
    run_plan(plan_convolution(dtype, x_shape, w_shape, **case), [x, w], [y])
    run_plan(plan_convolution_dx(dtype, x_shape, w_shape, **case), [dy, w], [dx])
    plan = plan_convolution_dw(dtype, x_shape, w_shape, **case)
    run_plan(plan, [x, dy], [dw], backwards=True)
    flat, dy_flat = (a.astype("f8").reshape(batch, len(a[0]), -1) for a in (x, dy))
    table = w.astype("f8").reshape(35, 20)
    assert close(y, exact, dtype, 20)
    assert close(dx.reshape(flat.shape), table.T @ dy_flat, dtype, 35)
    expected = (dy_flat @ flat.mT).sum(0)
    assert close(dw.reshape(35, 20), expected, dtype, flat[0, 0].size * batch)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("channels", [2, 20])
def test_bad_values_stay_near(bad, channels):
    x = np.ones((2, channels, 20, 20), "f4")
    w = np.ones((channels, channels, 3, 3), "f4")
    x[1, 1, 10, 10] = bad
    y = np.empty_like(x)
    plan = plan_convolution(
        "float32", x.shape, w.shape, stride=(1, 1), padding=[(1, 1)] * 2
    )
    run_plan(plan, [x, w], [y])
    assert not np.isfinite(y[1, :, 9:12, 9:12]).any()
    # Minimal filtering mixes the values of a tile of two by two outputs.
    y[1, :, 8:13, 8:13] = 0
    assert np.isfinite(y).all()


@pytest.mark.parametrize("outputs", [24, 37, 130])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("host", [None, AVX2])
def test_many_outputs_and_long_sums(outputs, dtype, host):
    x_shape, w_shape = (2, 33, 9, 10), (outputs, 33, 3, 3)
    case = {
        "stride": (2, 2),
        "padding": [(1, 1), (1, 1)],
        "lhs_dilation": (1, 1),
        "rhs_dilation": (1, 1),
        "groups": 1,
        "flip": False,
    }
    x, w, exact, rng = draw_arrays(x_shape, w_shape, case, dtype)
    y, dx = np.full(exact.shape, 7, dtype), np.full(x_shape, 7, dtype)
    plan = plan_convolution(dtype, x_shape, w_shape, **case, features=host)
    run_plan(plan, [x, w], [y], backwards=True)
    assert close(y, exact, dtype, 300)
    dy = rng.standard_normal(exact.shape).astype(dtype)
    plan = plan_convolution_dx(dtype, x_shape, w_shape, **case, features=host)
    run_plan(plan, [dy, w], [dx], backwards=True)
    x2 = rng.standard_normal(x_shape)
    left, right = (reference(x2, w, case) * dy).sum(), (x2 * dx).sum()
    assert abs(left - right) < 100 * np.finfo(dtype).eps * np.sqrt(dy.size * 300)


@settings(deadline=None, max_examples=40)
@given(
    batch=st.integers(1, 10),
    channels=st.sampled_from([16, 17, 32, 40]),
    outputs=st.sampled_from([16, 19, 32, 50]),
    space=st.tuples(st.integers(4, 20), st.integers(4, 37)),
    pads=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=2
    ),
    flip=st.booleans(),
)
def test_many_channels(batch, channels, outputs, space, pads, flip):
    x_shape, w_shape = (batch, channels, *space), (outputs, channels, 3, 3)
    short = [max(0, 3 - n - a - b) for n, (a, b) in zip(space, pads, strict=True)]
    case = {
        "stride": (1, 1),
        "padding": [(a, b + c) for (a, b), c in zip(pads, short, strict=True)],
        "lhs_dilation": (1, 1),
        "rhs_dilation": (1, 1),
        "groups": 1,
        "flip": flip,
    }
    x, w, exact, rng = draw_arrays(x_shape, w_shape, case, "float32")
    dy = rng.standard_normal(exact.shape).astype("f4")
    for make, inputs, shape in (
        (plan_convolution, [x, w], exact.shape),
        (plan_convolution_dx, [dy, w], x_shape),
        (plan_convolution_dw, [x, dy], w_shape),
    ):
        plan = make("float32", x_shape, w_shape, **case)
        found, whole = np.full(shape, 7, "f4"), np.full(shape, 7, "f4")
        run_plan(plan, inputs, [found], backwards=True)
        run_plan(recut(plan, 0), inputs, [whole])
        assert np.array_equal(found, whole)
        other = [a.astype("f8") for a in inputs]
        if make is plan_convolution:
            assert close(found, exact, "float32", 40 * channels)
        elif make is plan_convolution_dx:
            x2 = rng.standard_normal(x_shape)
            left, right = (reference(x2, w, case) * dy).sum(), (x2 * found).sum()
            assert abs(left - right) < 1e-5 * np.sqrt(dy.size * 9 * channels) * 10
        else:
            w2 = rng.standard_normal(w_shape)
            left, right = (reference(other[0], w2, case) * dy).sum(), (w2 * found).sum()
            assert abs(left - right) < 1e-5 * np.sqrt(dy.size * 9 * channels) * 10


def test_wrong_arguments_are_named():
    plain = {"stride": (1,), "padding": [(0, 0)]}
    with pytest.raises(TypeError, match="plan_convolution: expected dtype float32"):
        plan_convolution("int8", (1, 1, 4), (1, 1, 2), **plain)
    with pytest.raises(ValueError, match="need 2 channels, got x"):
        plan_convolution("float32", (1, 3, 4), (1, 2, 2), **plain)
    with pytest.raises(ValueError, match="expected 1 entries of stride"):
        plan_convolution(
            "float32", (1, 1, 4), (1, 1, 2), stride=(1, 1), padding=[(0, 0)]
        )


def test_no_outputs_is_no_work():
    plan = plan_convolution(
        "float32", (0, 1, 4), (1, 1, 2), stride=(1,), padding=[(0, 0)]
    )
    assert plan.steps == ()
    dw = np.full((1, 1, 2), 7, "f4")
    plan = plan_convolution_dw(
        "float32", (0, 1, 4), (1, 1, 2), stride=(1,), padding=[(0, 0)]
    )
    run_plan(plan, [np.empty((0, 1, 4), "f4"), np.empty((0, 1, 3), "f4")], [dw])
    assert (dw == 0).all()
