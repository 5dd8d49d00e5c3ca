"""Laws of the convolutions on OpenCL: the sum over taps, and transposes of it."""

import math

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels.convolution_opencl import (
    plan_opencl,
    plan_opencl_dw,
    plan_opencl_dx,
)
from rxcore_kernels.convolution_opencl_text import (
    window_direct_source,
    window_tile_source,
)
from rxcore_kernels.launch import LaunchPlan
from rxcore_kernels.matmul_opencl_text import Blocks
from tests.kernels.opencl_devices import DEVICE, SMALL, run
from tests.kernels.test_convolution import cases, close, draw_arrays

GPU = DEVICE.facts
MANY = evolve(GPU, units=60)
SHARED = evolve(GPU, local_is_real=False)
KINDS = [
    (GPU, "float32"),
    (GPU, "float64"),
    (MANY, "float32"),
    (SHARED, "float32"),
    (SMALL, "float32"),
    (DEVICE.facts_as_cpu, "float32"),
]
NAMES = ["gpu", "gpu64", "many", "shared", "small", "cpu"]

KIND_CASES = pytest.mark.parametrize(("facts", "dtype"), KINDS, ids=NAMES)


@st.composite
def wide_cases(draw):
    """A convolution with channels enough for tiles."""
    x_shape, w_shape, case = draw(cases())
    groups = case["groups"]
    outputs, channels = (draw(st.sampled_from([9, 17, 40, 70])) for _ in range(2))
    x_shape = (x_shape[0], channels * groups, *x_shape[2:])
    return x_shape, (outputs * groups, channels, *w_shape[2:]), case


CASES = st.one_of(cases(), wide_cases())


@KIND_CASES
@settings(max_examples=40)
@given(given_case=CASES)
def test_forward_is_the_sum_over_taps(facts, dtype, given_case):
    x_shape, w_shape, case = given_case
    x, w, exact, _ = draw_arrays(x_shape, w_shape, case, dtype)
    y = np.full(exact.shape, 7, dtype)
    run(facts, plan_opencl(facts, dtype, x_shape, w_shape, **case), [x, w], [y])
    assert close(y, exact, dtype, math.prod(w_shape[1:]))


@KIND_CASES
@settings(max_examples=30)
@given(given_case=CASES)
def test_gradients_are_transposes(facts, dtype, given_case):
    x_shape, w_shape, case = given_case
    x, w, exact, rng = draw_arrays(x_shape, w_shape, case, dtype)
    dy = rng.standard_normal(exact.shape).astype(dtype)
    dx, dw = np.full_like(x, 7), np.full_like(w, 7)
    run(facts, plan_opencl_dx(facts, dtype, x_shape, w_shape, **case), [dy, w], [dx])
    run(facts, plan_opencl_dw(facts, dtype, x_shape, w_shape, **case), [x, dy], [dw])
    total = np.vdot(exact, dy.astype("f8"))
    scale = np.abs(exact).max() * np.abs(dy).sum() + 1
    for found, given_array in ((dx, x), (dw, w)):
        assert abs(np.vdot(found.astype("f8"), given_array.astype("f8")) - total) < (
            20 * np.finfo(dtype).eps * scale
        )


@KIND_CASES
@settings(max_examples=15)
@given(given_case=CASES, data=st.data())
def test_one_element_of_a_gradient(facts, dtype, given_case, data):
    x_shape, w_shape, case = given_case
    _, w, exact, rng = draw_arrays(x_shape, w_shape, case, dtype)
    dy = rng.standard_normal(exact.shape).astype(dtype)
    place = tuple(data.draw(st.integers(0, n - 1)) for n in x_shape)
    one = np.zeros(x_shape, dtype)
    one[place] = 1
    y = np.zeros(exact.shape, dtype)
    run(facts, plan_opencl(facts, dtype, x_shape, w_shape, **case), [one, w], [y])
    dx = np.full(x_shape, 7, dtype)
    run(facts, plan_opencl_dx(facts, dtype, x_shape, w_shape, **case), [dy, w], [dx])
    bound = 200 * np.finfo(dtype).eps * (np.abs(y * dy).sum() + 1)
    assert abs(float(dx[place]) - np.vdot(y.astype("f8"), dy)) < bound
    dw = np.full(w_shape, 7, dtype)
    run(facts, plan_opencl_dw(facts, dtype, x_shape, w_shape, **case), [one, dy], [dw])
    assert abs(np.vdot(dw.astype("f8"), w) - np.vdot(y.astype("f8"), dy)) < bound


PLAIN = {"stride": (1, 1), "padding": [(1, 1), (1, 1)]}


@pytest.mark.parametrize("units", [1, 60])
def test_parts_of_the_sum_are_added_in_order(units):
    facts = evolve(GPU, units=units)
    shapes = (2, 70, 7, 7), (40, 70, 3, 3)
    case = {**PLAIN, "lhs_dilation": (1, 1), "rhs_dilation": (1, 1)}
    case |= {"groups": 1, "flip": False}
    x, w, exact, _ = draw_arrays(*shapes, case, "float32")
    plan = plan_opencl(facts, "float32", *shapes, **case)
    assert len(plan.scratch) == len(plan.launches) - 1 == int(units > 1)
    first, again = np.zeros(exact.shape, "f4"), np.zeros(exact.shape, "f4")
    run(facts, plan, [x, w], [first])
    run(facts, plan, [x, w], [again])
    assert close(first, exact, "float32", 630)
    assert (first == again).all()


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "padding", "symbol"),
    [
        ((2, 3, 9, 9), (64, 3, 3, 3), 1, "64x64x16_8x8v4_yx"),
        ((2, 3, 9, 9), (20, 3, 3, 3), 1, "32x64x16_4x8v4_yx"),
        ((2, 3, 9, 9), (9, 3, 3, 3), 1, "16x64x16_2x8v4_yx"),
        ((2, 3, 9, 9), (2, 3, 3, 3), 1, "direct_f32_yx"),
        ((2, 3, 9, 9), (2, 3, 1, 1), 0, "window_direct"),
        ((2, 30, 16, 16), (20, 30, 1, 1), 0, "matmul"),
        ((2, 3, 4, 9, 9), (9, 3, 2, 3, 3), 0, "16x64x16_2x8v4_zyx"),
    ],
)
def test_each_kernel_is_right(x_shape, w_shape, padding, symbol):
    rank = len(x_shape) - 2
    ones = (1,) * rank
    case = {"stride": ones, "padding": [(padding, padding)] * rank, "groups": 1}
    case |= {"lhs_dilation": ones, "rhs_dilation": ones, "flip": False}
    facts = evolve(GPU, units=1)
    x, w, exact, _ = draw_arrays(x_shape, w_shape, case, "float32")
    y = np.full(exact.shape, 7, "f4")
    plan = plan_opencl(facts, "float32", x_shape, w_shape, **case)
    run(facts, plan, [x, w], [y])
    assert symbol in plan.launches[0].source.symbol
    assert close(y, exact, "float32", math.prod(w_shape[1:]))


@pytest.mark.parametrize("outputs", [2, 9])
def test_far_places_are_the_same_kernel_in_64_bits(outputs):
    shapes = (2, 3, 9, 9), (outputs, 3, 3, 3)
    case = {"lhs_dilation": (1, 1), "rhs_dilation": (1, 1), "groups": 1, "flip": False}
    case |= {"stride": (1, 1), "padding": [(1, 1), (1, 1)]}
    facts = evolve(GPU, units=1)
    x, w, exact, _ = draw_arrays(*shapes, case, "float32")
    (launch,) = plan_opencl(facts, "float32", *shapes, **case).launches
    if outputs == 2:
        source = window_direct_source("float32", "yx", True)
    else:
        blocks = Blocks(16, 64, 16, 2, 8, 4, 4)
        assert launch.source == window_tile_source(blocks, "float32", "yx", False)
        source = window_tile_source(blocks, "float32", "yx", True)
    y = np.full(exact.shape, 7, "f4")
    run(facts, LaunchPlan((evolve(launch, source=source),)), [x, w], [y])
    assert close(y, exact, "float32", 27)


def test_a_dilated_input_is_not_multiplied_by_its_zeros():
    shapes = (2, 8, 16, 16), (8, 8, 4, 4)
    case = {"stride": (2, 2), "padding": [(1, 1), (1, 1)]}
    forward = plan_opencl(GPU, "float32", *shapes, **case)
    backward = plan_opencl_dx(GPU, "float32", *shapes, **case)
    products = [x for x in backward.launches if x.shape == "convolution"]
    assert len(products) == 4
    assert sum(x.flops for x in products) == sum(
        x.flops for x in forward.launches if x.shape == "convolution"
    )


@pytest.mark.parametrize("shape", [(0, 2, 5), (2, 2, 0), (2, 2, 1)])
def test_empty_arrays(shape):
    case = {"stride": (1,), "padding": [(0, 1)]}
    x, w = np.ones(shape, "f4"), np.ones((3, 2, 2), "f4")
    out = max(shape[2], 0)
    y = np.full((shape[0], 3, out), 7, "f4")
    plan = plan_opencl(GPU, "float32", shape, w.shape, **case)
    run(GPU, plan, [x, w], [y])
    assert (y == 2).all()
    dw = np.full(w.shape, 7, "f4")
    dy = np.ones_like(y)
    plan = plan_opencl_dw(GPU, "float32", shape, w.shape, **case)
    run(GPU, plan, [x, dy], [dw])
    expected = np.zeros_like(dw)
    if y.size:
        expected[:, :, 0] = shape[0]
    assert (dw == expected).all()
    dx = np.full(shape, 7, "f4")
    plan = plan_opencl_dx(GPU, "float32", shape, w.shape, **case)
    run(GPU, plan, [dy, w], [dx])
    assert (dx == 3).all()


def test_images_of_padding_alone_give_zeros():
    x_shape, w_shape = (1, 9, 0), (9, 9, 2)
    case = {"stride": (1,), "padding": [(20, 20)]}
    y = np.full((1, 9, 39), 7, "f4")
    plan = plan_opencl(GPU, "float32", x_shape, w_shape, **case)
    run(GPU, plan, [np.zeros(x_shape, "f4"), np.ones(w_shape, "f4")], [y])
    assert (y == 0).all()


@settings(max_examples=60)
@given(
    given_case=CASES,
    units=st.integers(1, 300),
    room=st.sampled_from([1 << 12, 1 << 16, 1 << 28]),
)
def test_plans_fit_the_device(given_case, units, room):
    x_shape, w_shape, case = given_case
    facts = evolve(SMALL, units=units, max_alloc=room)
    for plan in (plan_opencl, plan_opencl_dx, plan_opencl_dw):
        found = plan(facts, "float32", x_shape, w_shape, **case)
        assert all(n <= room for n in found.scratch)
        for each in found.launches:
            source = each.source
            assert source.group == (64, 1, 1)
            assert source.local_bytes <= facts.local_bytes
            assert len(source.scalars) == len(each.scalars)
            assert 48 + 8 * len(each.scalars) + 4 <= facts.max_argument_bytes
        assert plan(facts, "float64", x_shape, w_shape, **case) is None


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="plan_opencl: weights"):
        plan_opencl(GPU, "float32", (1, 3, 5, 5), (2, 2, 3, 3), **PLAIN)
    empty = plan_opencl(GPU, "float32", (0, 2, 5, 5), (2, 2, 3, 3), **PLAIN)
    assert empty == LaunchPlan(())
