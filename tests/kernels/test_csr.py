"""Laws of sparse kernels: the same sums on each processor, whatever patterns hold."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rxcore_kernels import host
from rxcore_kernels.bsr import BLOCKS, plan_bsr_matmul
from rxcore_kernels.csr import plan_matmul
from rxcore_kernels.csr_sddmm import plan_sddmm
from rxcore_kernels.csr_transpose import plan_transpose
from rxcore_kernels.host import Features
from rxcore_kernels.plan import run_plan

HOST = host.features()
PROCESSORS = {
    "host": HOST,
    "avx2": Features(
        HOST.name, frozenset(f for f in HOST.flags if not f.startswith("avx512"))
    ),
    "sse": Features(
        HOST.name, frozenset(f for f in HOST.flags if not f.startswith("avx"))
    ),
}
SIZES = (
    *((3, 4, 5), (50, 300, 4000), (40, 1, 50), (2, 0, 3), (0, 2, 3), (5, 5, 0)),
    *((3000, 20, 5000), (7, 5000, 20000)),
)
every_processor = pytest.mark.parametrize("processor", PROCESSORS)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
every_index = pytest.mark.parametrize("index", ["int32", "uint16", "int64"])


def pattern(
    rng: Any, rows: int, columns: int, nnz: int, index: str, in_order: bool
) -> tuple[Any, Any]:
    """Draw a pattern with padding of every kind."""
    indices = rng.integers(0, columns + 1, nnz)
    indptr = np.sort(rng.integers(0, nnz + 1, rows + 1))
    if in_order:
        for i in range(rows):
            indices[indptr[i] : indptr[i + 1]].sort()
    elif nnz and index != "uint16":
        indices[rng.integers(0, nnz)] = -1
    return indices.astype(index), indptr.astype(np.int32)


def elements(indices: Any, indptr: Any, columns: int) -> tuple[Any, Any, Any]:
    """Return (place, row, column) of what is no padding."""
    place = np.arange(indptr[0], indptr[-1])
    row = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    column = indices[place].astype(np.int64)
    kept = (column >= 0) & (column < columns)
    return place[kept], row[kept], column[kept]


def cases(index: str) -> Iterator[tuple[Any, int, int, int, Any, Any]]:
    rng = np.random.default_rng(0)
    for rows, columns, nnz in SIZES:
        for in_order in (True, False):
            made = pattern(rng, rows, columns, nnz, index, in_order)
            yield rng, rows, columns, nnz, *made


def widths(nnz: int) -> tuple[int, ...]:
    return (1, 2, 16, 33, 64, 100, 200) if nnz < 5000 else (1, 5, 64)


def close(found: Any, expected: Any) -> None:
    assert not np.isnan(found).any()
    scale = np.abs(expected).max(initial=0) + 1e-30
    assert (
        np.abs(found - expected).max(initial=0)
        <= 64 * np.finfo(found.dtype).eps * scale
    )


@every_processor
@every_dtype
@every_index
def test_products(processor: str, dtype: str, index: str) -> None:
    features = PROCESSORS[processor]
    for rng, rows, columns, nnz, indices, indptr in cases(index):
        place, row, column = elements(indices, indptr, columns)
        data = np.full(nnz, np.nan, dtype)
        data[place] = rng.normal(size=place.size)
        for width in widths(nnz):
            x = rng.normal(size=(columns, width)).astype(dtype)
            y = np.full((rows, width), np.nan, dtype)
            plan = plan_matmul(
                dtype, index, rows, columns, nnz, width, features=features
            )
            assert plan is not None
            run_plan(plan, [data, indices, indptr, x], [y], backwards=width == 2)
            expected = np.zeros((rows, width))
            np.add.at(expected, row, data[place, None].astype(float) * x[column])
            close(y, expected)


@every_processor
@every_dtype
@every_index
def test_sampled_products(processor: str, dtype: str, index: str) -> None:
    features = PROCESSORS[processor]
    for rng, rows, columns, nnz, indices, indptr in cases(index):
        place, row, column = elements(indices, indptr, columns)
        for width in widths(nnz):
            x = rng.normal(size=(rows, width)).astype(dtype)
            y = rng.normal(size=(columns, width)).astype(dtype)
            s = np.full(nnz, np.nan, dtype)
            plan = plan_sddmm(
                dtype, index, rows, columns, nnz, width, features=features
            )
            assert plan is not None
            run_plan(plan, [x, y, indices, indptr], [s], backwards=width == 2)
            expected = np.zeros(nnz)
            expected[place] = np.einsum("pk,pk->p", x[row].astype(float), y[column])
            close(s, expected)


@every_processor
@every_dtype
@pytest.mark.parametrize("block", BLOCKS)
def test_products_of_blocks(processor: str, dtype: str, block: int) -> None:
    features = PROCESSORS[processor]
    rng = np.random.default_rng(1)
    for rows, columns, nse in ((3, 4, 5), (30, 20, 90), (2, 1, 0), (1, 0, 2)):
        indices, indptr = pattern(rng, rows, columns, nse, "int32", False)
        place, row, column = elements(indices, indptr, columns)
        data = rng.normal(size=(nse, block, block)).astype(dtype)
        for width in (1, 3, 64, 70):
            x = rng.normal(size=(columns, block, width)).astype(dtype)
            y = np.full((rows, block, width), np.nan, dtype)
            plan = plan_bsr_matmul(
                dtype, block, rows, columns, nse, width, features=features
            )
            assert plan is not None
            run_plan(plan, [data, indices, indptr, x], [y])
            expected = np.zeros(y.shape)
            np.add.at(expected, row, data[place].astype(float) @ x[column])
            close(y, expected)


@every_index
def test_transposes(index: str) -> None:
    for _, rows, columns, nnz, indices, indptr in cases(index):
        outputs = [np.full(n, -7, np.int32) for n in (nnz, nnz, columns + 1)]
        plan = plan_transpose(index, rows, columns, nnz)
        assert plan is not None
        run_plan(plan, [indices, indptr], outputs)
        place, row, column = elements(indices, indptr, columns)
        order = np.argsort(column, kind="stable")
        rest = np.setdiff1d(np.arange(nnz), place)
        np.testing.assert_array_equal(outputs[0], [*place[order], *rest])
        np.testing.assert_array_equal(outputs[1], [*row[order], *[rows] * rest.size])
        counts = np.bincount(column, minlength=columns)
        np.testing.assert_array_equal(outputs[2], [0, *np.cumsum(counts)])


def test_wrong_patterns_touch_nothing_else() -> None:
    rng = np.random.default_rng(2)
    rows, columns, nnz = 40, 30, 500
    for seed in range(20):
        rng = np.random.default_rng(seed)
        indices = rng.integers(-(2**31), 2**31, nnz).astype(np.int32)
        indptr = rng.integers(-(2**31), 2**31, rows + 1).astype(np.int32)
        if seed % 2:
            indptr = rng.integers(-5, nnz + 5, rows + 1).astype(np.int32)
        for width in (1, 7, 64):
            data, x = np.ones(nnz, np.float32), np.ones((columns, width), np.float32)
            y = np.full(rows * width + 64, 7, np.float32)
            plan = plan_matmul("float32", "int32", rows, columns, nnz, width)
            assert plan is not None
            run_plan(plan, [data, indices, indptr, x], [y])
            assert (y[rows * width :] == 7).all()
            s = np.full(nnz + 64, 7, np.float32)
            left = np.ones((rows, width), np.float32)
            plan = plan_sddmm("float32", "int32", rows, columns, nnz, width)
            assert plan is not None
            run_plan(plan, [left, x, indices, indptr], [s])
            assert (s[nnz:] == 7).all()
        outputs = [np.full(n + 64, -7, np.int32) for n in (nnz, nnz, columns + 1)]
        plan = plan_transpose("int32", rows, columns, nnz)
        assert plan is not None
        run_plan(plan, [indices, indptr], outputs)
        for made, size in zip(outputs, (nnz, nnz, columns + 1), strict=True):
            assert (made[size:] == -7).all()
        assert sorted(outputs[0][:nnz]) == [*range(nnz)]


def test_sums_do_not_depend_on_the_order_of_pieces() -> None:
    rng = np.random.default_rng(3)
    rows, columns, nnz = 300, 4000, 200_000
    indices = rng.integers(0, columns, nnz).astype(np.int32)
    # One row holds most elements: it is cut over many units.
    cuts = np.sort(rng.integers(0, 2000, rows))
    indptr = np.concatenate([[0], cuts]).astype(np.int32)
    indptr[150:] = np.maximum(indptr[150:], nnz - 2000 + cuts[149:])
    data = rng.normal(size=nnz).astype(np.float32)
    for width in (1, 20):
        x = rng.normal(size=(columns, width)).astype(np.float32)
        plan = plan_matmul("float32", "int32", rows, columns, nnz, width)
        assert plan is not None
        assert plan.steps[0].hi > 4
        found = []
        for backwards in (False, True):
            y = np.empty((rows, width), np.float32)
            run_plan(plan, [data, indices, indptr, x], [y], backwards=backwards)
            found.append(y)
        np.testing.assert_array_equal(*found)
        place, row, column = elements(indices, indptr, columns)
        expected = np.zeros((rows, width))
        np.add.at(expected, row, data[place, None].astype(float) * x[column])
        close(found[0], expected)


def test_other_dtypes_have_no_kernel() -> None:
    assert plan_matmul("float16", "int32", 2, 2, 2) is None
    assert plan_sddmm("float32", "int8", 2, 2, 2) is None
    assert plan_bsr_matmul("float32", 8, 2, 2, 2) is None
    for plan in (plan_matmul, plan_sddmm):
        with pytest.raises(ValueError, match="expected sizes >= 0, got rows=-1"):
            plan("float32", "int32", -1, 2, 2)
    with pytest.raises(ValueError, match="expected sizes >= 0, got rows=-1"):
        plan_bsr_matmul("float32", 16, -1, 2, 2)
