"""Laws of the matrix product on OpenCL: NumPy's sum, within the device's limits."""

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels.launch import In, LaunchPlan, Out, Scratch
from rxcore_kernels.matmul_opencl import Product, choose, plan_opencl
from rxcore_kernels.matmul_opencl_text import tile_source
from rxcore_kernels.opencl import run_launches
from rxcore_kernels.opencl_facts import Facts
from tests.kernels.opencl_devices import DEVICE, SMALL

GPU = evolve(DEVICE.facts, kind="gpu", local_is_real=True)
SHARED = evolve(GPU, local_is_real=False)
CPU = evolve(SHARED, kind="cpu")
KINDS = [
    (GPU, "float32"),
    (GPU, "float64"),
    (SHARED, "float32"),
    (SMALL, "float32"),
    (CPU, "float32"),
    (CPU, "float64"),
]
NAMES = ["gpu", "gpu64", "shared", "small", "cpu", "cpu64"]
SIZES = st.one_of(st.integers(0, 20), st.sampled_from([31, 32, 33, 64, 65, 97, 130]))
DEPTHS = st.one_of(st.integers(0, 17), st.sampled_from([31, 64, 100, 129, 300]))
ORDERS = st.sampled_from(["plain", "transposed", "strided", "shared", "repeated"])


def matrix(rng, batch, rows, columns, order, dtype):
    """The memory of (batch, rows, columns) in some layout, and its strides."""
    if order == "transposed":
        memory = rng.standard_normal((batch, columns, rows))
        strides = (rows * columns, 1, rows)
    elif order == "strided":
        memory = rng.standard_normal((batch, 2 * rows, 3 * columns))
        strides = (6 * rows * columns, 6 * columns, 3)
    elif order == "shared":
        memory = rng.standard_normal((rows, columns))
        strides = (0, columns, 1)
    elif order == "repeated":
        memory, strides = rng.standard_normal((batch, columns)), (columns, 0, 1)
    else:
        memory = rng.standard_normal((batch, rows, columns))
        strides = (rows * columns, columns, 1)
    return memory.astype(dtype), strides


def view(memory, shape, strides):
    """The matrices in a memory."""
    if 0 in shape:
        return np.zeros(shape, memory.dtype)
    steps = tuple(s * memory.itemsize for s in strides)
    return np.lib.stride_tricks.as_strided(memory, shape, steps)


def run(plan, sizes, a, b, dtype):
    """Run a plan; C has a margin that must not change."""
    batch, m, n, _ = sizes
    full = np.full((batch, m + 1, n + 3), 7, dtype)
    run_launches(DEVICE, plan, [a, b], [full])
    assert (full[:, m:] == 7).all()
    assert (full[:, :, n:] == 7).all()
    return full[:, :m, :n]


def c_strides(sizes):
    """The strides of a C with a margin."""
    _, m, n, _ = sizes
    return (m + 1) * (n + 3), n + 3


def check(facts, dtype, sizes, orders=("plain", "plain"), seed=0, change=None):
    """Multiply on the device; each element must be within the bound of Higham."""
    batch, m, n, k = sizes
    rng = np.random.default_rng(seed)
    a, a_strides = matrix(rng, batch, m, k, orders[0], dtype)
    b, b_strides = matrix(rng, batch, k, n, orders[1], dtype)
    plan = plan_opencl(facts, dtype, *sizes, a_strides, b_strides, c_strides(sizes))
    within(facts, plan)
    if change is not None:
        plan = change(plan)
    c = run(plan, sizes, a, b, dtype)
    x = view(a, (batch, m, k), a_strides).astype("f8")
    y = view(b, (batch, k, n), b_strides).astype("f8")
    bound = (k + 1) * np.finfo(dtype).eps * (np.abs(x) @ np.abs(y))
    assert (np.abs(c - x @ y) <= bound).all()
    return plan, c


def within(facts, plan):
    """A plan asks for no more than a device has."""
    assert all(0 < size <= facts.max_alloc for size in plan.scratch)
    for launch in plan.launches:
        source = launch.source
        assert np.prod(source.group) <= facts.max_group
        assert all(g <= n for g, n in zip(source.group, facts.max_item, strict=True))
        assert source.local_bytes <= facts.local_bytes
        assert facts.fp64 or not source.fp64
        assert all(0 < g < 1 << 31 for g in launch.groups)
        assert 16 * source.memories + 8 * len(source.scalars) < facts.max_argument_bytes
        assert len(launch.scalars) == len(source.scalars)
        assert len(launch.memories) == len(launch.itemsizes) == source.memories
        assert launch.nbytes > 0
        for kind, value in zip(source.scalars, launch.scalars, strict=True):
            assert abs(value) < 1 << (63 if kind == "i64" else 31)


@pytest.mark.parametrize(("facts", "dtype"), KINDS, ids=NAMES)
@settings(max_examples=40)
@given(
    sizes=st.tuples(st.integers(1, 3), SIZES, SIZES, DEPTHS),
    orders=st.tuples(ORDERS, ORDERS),
    seed=st.integers(0, 99),
)
def test_equals_the_sum_of_products(facts, dtype, sizes, orders, seed):
    check(facts, dtype, sizes, orders, seed)


@pytest.mark.parametrize(
    ("facts", "sizes", "symbol"),
    [
        (evolve(GPU, units=1), (1, 130, 150, 70), "64x64x16_8x8v4"),
        (evolve(SHARED, units=1), (1, 130, 150, 70), "64x64x16_8x8v8"),
        (evolve(SMALL, units=16), (1, 1024, 1020, 20), "64x64x16_8x8v4"),
        (evolve(GPU, units=16), (1, 1024, 1020, 20), "128x128x16_8x8v4"),
        (GPU, (2, 31, 70, 40), "32x32x16_2x4v4"),
        (SMALL, (2, 31, 70, 40), "32x32x16_4x4v4"),
        (SHARED, (2, 31, 70, 40), "32x32x16_4x4v4"),
        (CPU, (1, 130, 75, 600), "panel_f32_8x32"),
        (GPU, (3, 5, 6, 400), "direct_f32"),
        (GPU, (2, 1, 90, 40), "direct_f32"),
        (GPU, (1, 200, 1, 900), "dots_f32"),
    ],
)
def test_each_kernel_is_right(facts, sizes, symbol):
    plan, _ = check(facts, "float32", sizes)
    used = [x.source.symbol for x in plan.launches if x.shape == "matmul"]
    assert len(used) == 1
    assert symbol in used[0]


@pytest.mark.parametrize("orders", [("plain", "plain"), ("transposed", "transposed")])
def test_far_places_are_the_same_kernel_in_64_bits(orders):
    sizes = (2, 70, 90, 50)

    def widen(plan):
        (launch,) = plan.launches
        product = Product("float32", *sizes, (0, 0, 0), (0, 0, 0), (0, 0))
        by_k = orders[0] == "plain"
        blocks = choose(facts, product)
        source = tile_source(blocks, "float32", by_k, not by_k, True)
        assert source.scalars.count("i64") == 9
        return evolve(plan, launches=(evolve(launch, source=source),))

    facts = evolve(GPU, units=1)
    plan, _ = check(facts, "float32", sizes, orders, change=widen)
    assert plan.launches[0].source.symbol.endswith("_wide")


@pytest.mark.parametrize("sizes", [(1, 40, 70, 700), (2, 3, 5, 900), (1, 1, 1, 9000)])
@pytest.mark.parametrize("units", [1, 7, 60])
def test_parts_of_k_are_added_in_order(sizes, units):
    facts = evolve(GPU, units=units)
    plan, first = check(facts, "float32", sizes)
    _, again = check(facts, "float32", sizes)
    assert (first == again).all()
    assert (len(plan.launches) == 2) == (len(plan.scratch) == 1)
    if units == 60:
        assert len(plan.launches) == 2


@pytest.mark.parametrize("sizes", [(1, 0, 3, 2), (0, 3, 3, 2), (1, 3, 0, 0)])
def test_nothing_is_launched_for_nothing(sizes):
    assert plan_opencl(GPU, "float32", *sizes, (6, 2, 1), (6, 3, 1), (9, 3)) == (
        LaunchPlan(())
    )


@pytest.mark.parametrize("facts", [GPU, CPU], ids=["gpu", "cpu"])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_lies_beyond_the_end_is_not_added(facts, value):
    m, n, k = 67, 69, 77
    rng = np.random.default_rng(0)
    a = np.full((m + 1, k + 3), value, "f4")
    b = np.full((k + 1, n + 3), value, "f4")
    a[:m, :k], b[:k, :n] = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    strides = ((0, k + 3, 1), (0, n + 3, 1), (0, n + 3))
    plan = plan_opencl(facts, "float32", 1, m, n, k, *strides)
    c = np.zeros((1, m + 1, n + 3), "f4")
    run_launches(DEVICE, plan, [a, b], [c])
    expected = a[:m, :k].astype("f8") @ b[:k, :n].astype("f8")
    assert np.allclose(c[0, :m, :n], expected, atol=1e-4)


def test_operands_may_begin_inside_a_buffer():
    sizes, k = (1, 20, 30, 40), 40
    plan = plan_opencl(GPU, "float32", *sizes, (0, k, 1), (0, 30, 1), (0, 30))
    moves = {In(0): In(0, 4 * 5), In(1): In(1, 4 * 7), Out(0): Out(0, 4 * 3)}
    moved = evolve(
        plan,
        launches=tuple(
            evolve(x, memories=tuple(moves.get(p, p) for p in x.memories))
            for x in plan.launches
        ),
    )
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(n).astype("f4") for n in (5 + 800, 7 + 1200))
    c = np.zeros(3 + 600, "f4")
    run_launches(DEVICE, moved, [a, b], [c])
    exact = a[5:].reshape(20, k).astype("f8") @ b[7:].reshape(k, 30).astype("f8")
    assert np.allclose(c[3:].reshape(20, 30), exact, atol=1e-4)
    assert (c[:3] == 0).all()


DEVICES = st.builds(
    Facts,
    kind=st.sampled_from(["gpu", "cpu"]),
    max_group=st.sampled_from([64, 128, 256, 1024]),
    local_bytes=st.sampled_from([1 << 14, 1 << 15, 1 << 16]),
    local_is_real=st.booleans(),
    units=st.integers(1, 200),
    max_alloc=st.sampled_from([1 << 12, 1 << 20, 1 << 28]),
    fp64=st.booleans(),
)
LARGE = st.integers(1, 5000)


@settings(max_examples=200)
@given(
    facts=DEVICES,
    dtype=st.sampled_from(["float32", "float64"]),
    batch=st.integers(1, 40),
    m=LARGE,
    n=LARGE,
    k=LARGE,
)
def test_plans_fit_the_device(facts, dtype, batch, m, n, k):
    strides = ((m * k, k, 1), (k * n, n, 1), (m * n, n))
    plan = plan_opencl(facts, dtype, batch, m, n, k, *strides)
    if dtype == "float64" and not facts.fp64:
        assert plan is None
        return
    within(facts, plan)
    product = [x for x in plan.launches if x.shape == "matmul"]
    assert [x.flops for x in product] == [2.0 * batch * m * n * k]
    written = [p for x in plan.launches for p in x.memories if isinstance(p, Out)]
    assert written == [Out(0)]
    scratch = {p.index for x in plan.launches for p in x.memories if type(p) is Scratch}
    assert scratch == set(range(len(plan.scratch)))


def test_equal_structure_is_equal_text():
    def keys(m, n, k):
        strides = ((0, k, 1), (0, n, 1), (0, n))
        plan = plan_opencl(SMALL, "float32", 1, m, n, k, *strides)
        return [x.source.key for x in plan.launches]

    assert keys(100, 200, 300) == keys(177, 99, 1001)


def test_refuses_what_it_cannot():
    strides = ((0, 1, 1), (0, 1, 1), (0, 1))
    assert plan_opencl(SMALL, "float64", 1, 1, 1, 1, *strides) is None
    assert plan_opencl(GPU, "int32", 1, 1, 1, 1, *strides) is None
    assert plan_opencl(evolve(GPU, max_group=32), "float32", 1, 1, 1, 1, *strides) is (
        None
    )
    with pytest.raises(ValueError, match="expected sizes >= 0"):
        plan_opencl(GPU, "float32", 1, -1, 1, 1, *strides)
