"""Laws of sparse products on OpenCL: NumPy's sums over rows of any lengths."""

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels.csr_opencl import matrix_source, plan_opencl
from rxcore_kernels.launch import LaunchPlan
from tests.kernels.opencl_devices import DEVICE, SMALL, run

GPU = DEVICE.facts
KINDS = [(GPU, "float32"), (GPU, "float64"), (SMALL, "float32")]
NAMES = ["gpu", "gpu64", "small"]


@st.composite
def lengths(draw):
    """The elements of each row: empty, short, long and very long ones."""
    each = st.one_of(st.integers(0, 6), st.integers(0, 40), st.sampled_from([0, 300]))
    some = draw(st.lists(each, max_size=40))
    if draw(st.booleans()):
        place = draw(st.integers(0, len(some)))
        some.insert(place, draw(st.sampled_from([511, 512, 1500, 40_000])))
    if draw(st.booleans()):
        place = draw(st.integers(0, len(some)))
        some[place:place] = [0] * draw(st.sampled_from([63, 64, 512, 1200]))
    return some


def matrix(counts, columns, dtype, spare=0, seed=0):
    """Random data and indices for rows of given lengths, and more that none reads."""
    rng = np.random.default_rng(seed)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    nnz = int(indptr[-1])
    data = np.full(nnz + spare, np.nan, dtype)
    data[:nnz] = rng.standard_normal(nnz)
    indices = np.full(nnz + spare, 1 << 30, np.int32)
    indices[:nnz] = rng.integers(0, columns, nnz) if nnz else 0
    return data, indices, indptr


def multiply(facts, matrix, x, change=None):
    """Run a plan; Y has a margin that must not change."""
    data, indices, indptr = matrix
    rows, (columns, width) = len(indptr) - 1, x.shape
    plan = plan_opencl(facts, x.dtype.name, rows, columns, len(data), width)
    if change is not None:
        plan = change(plan)
    y = np.full(rows * width + 5, 7, x.dtype)
    run(facts, plan, [data, indices, indptr, x], [y])
    assert (y[rows * width :] == 7).all()
    return y[: rows * width].reshape(rows, width), plan


def check(y, matrix, x):
    """Each element is within the bound of Higham of the exact sum."""
    data, indices, indptr = matrix
    nnz = indptr[-1]
    products = data[:nnz, None].astype("f8") * x[indices[:nnz]]
    sizes = np.diff(indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    exact, scale = np.zeros(y.shape), np.zeros(y.shape)
    np.add.at(exact, rows, products)
    np.add.at(scale, rows, np.abs(products))
    bound = (sizes[:, None] + 1) * np.finfo(y.dtype).eps * scale
    assert (np.abs(y - exact) <= bound).all()


@pytest.mark.parametrize(("facts", "dtype"), KINDS, ids=NAMES)
@settings(max_examples=60)
@given(
    counts=lengths(),
    columns=st.sampled_from([1, 3, 200]),
    width=st.sampled_from([0, 1, 1, 1, 2, 3, 16, 33, 64, 65, 130]),
    spare=st.sampled_from([0, 0, 5, 700]),
    seed=st.integers(0, 99),
)
def test_equals_the_sum_of_each_row(facts, dtype, counts, columns, width, spare, seed):
    width = min(width, 3) if sum(counts) > 10_000 else width
    given_matrix = matrix(counts, columns, dtype, spare, seed)
    x = np.random.default_rng(seed).standard_normal((columns, width)).astype(dtype)
    y, _ = multiply(facts, given_matrix, x)
    check(y, given_matrix, x)


@pytest.mark.parametrize("index", [np.int32, np.uint16])
@pytest.mark.parametrize("width", [1, 5])
def test_indices_out_of_range_count_nowhere(index, width):
    counts = [3, 700, 0, 5, 1]
    data, indices, indptr = matrix(counts, 60, "float32")
    columns = 50
    x = np.random.default_rng(2).standard_normal((columns, width)).astype("f4")
    plan = plan_opencl(
        GPU, "float32", len(counts), columns, len(data), width, np.dtype(index).name
    )
    y = np.empty((len(counts), width), "f4")
    run(GPU, plan, [data, indices.astype(index), indptr, x], [y])
    kept = (np.where(indices < columns, data, 0), np.minimum(indices, 49), indptr)
    check(y, kept, x)


@pytest.mark.parametrize("width", [1, 4])
def test_every_sum_has_one_order(width):
    counts = [3, 2000, 0, 0, 5, 700, 1] * 5
    given_matrix = matrix(counts, 50, "float32")
    x = np.random.default_rng(1).standard_normal((50, width)).astype("f4")
    first, _ = multiply(GPU, given_matrix, x)
    again, _ = multiply(GPU, given_matrix, x)
    assert (first == again).all()


@pytest.mark.parametrize("counts", [[0] * 3000, [], [0, 0, 1]])
@pytest.mark.parametrize("width", [1, 2])
def test_empty_rows_are_zeros(counts, width):
    given_matrix = matrix(counts, 4, "float32")
    x = np.ones((4, width), "f4")
    y, plan = multiply(GPU, given_matrix, x)
    check(y, given_matrix, x)
    assert bool(plan.launches) == bool(counts)


def test_a_matrix_without_columns_gives_zeros():
    y, _ = multiply(GPU, matrix([0, 0], 0, "float32"), np.ones((0, 1), "f4"))
    assert (y == 0).all()


def test_far_places_are_the_same_kernel_in_64_bits():
    def widen(plan):
        starts, main, *rest = plan.launches
        source = matrix_source("float32", True)
        return evolve(plan, launches=(starts, evolve(main, source=source), *rest))

    given_matrix = matrix([5, 700, 0, 9], 30, "float32")
    x = np.random.default_rng(1).standard_normal((30, 7)).astype("f4")
    y, _ = multiply(GPU, given_matrix, x, widen)
    check(y, given_matrix, x)


@settings(max_examples=100)
@given(
    rows=st.integers(1, 1 << 24),
    columns=st.integers(1, 1 << 24),
    nnz=st.integers(0, 1 << 28),
    width=st.integers(1, 300),
    units=st.integers(1, 100),
)
def test_plans_fit_the_device(rows, columns, nnz, width, units):
    facts = evolve(SMALL, units=units)
    plan = plan_opencl(facts, "float32", rows, columns, nnz, width)
    if plan is None:
        assert -(-(rows + nnz) // 512) * width * 4 > facts.max_alloc
        return
    assert all(0 < n <= facts.max_alloc for n in plan.scratch)
    assert [x.flops for x in plan.launches if x.shape == "csr"] == [2.0 * nnz * width]
    for each in plan.launches:
        assert each.source.group == (64, 1, 1)
        assert each.source.local_bytes <= facts.local_bytes
        assert len(each.source.scalars) == len(each.scalars)
        assert each.groups[0] < 1 << 31
    assert plan_opencl(facts, "float64", rows, columns, nnz, width) is None


def test_refuses_what_it_cannot():
    assert plan_opencl(GPU, "int32", 1, 1, 1) is None
    assert plan_opencl(GPU, "float32", 1 << 30, 1, 1 << 30) is None
    assert plan_opencl(GPU, "float32", 0, 1, 1) == LaunchPlan(())
    with pytest.raises(ValueError, match="expected sizes >= 0"):
        plan_opencl(GPU, "float32", 1, 1, -1)
