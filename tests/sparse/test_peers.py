"""Sparse matrices against SciPy's: the same numbers, in the same memory."""

from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore import sparse
from rxcore.sparse import BSR, COO, CSC, CSR

scipy_sparse: Any = pytest.importorskip("scipy.sparse")


def drawn(shape: tuple[int, int], density: float, dtype: str = "float32") -> Any:
    rng = np.random.default_rng(7)
    a = scipy_sparse.random_array(shape, density=density, rng=rng, format="csr")
    a.data = rng.normal(size=a.nnz).astype(dtype)
    return a


def power_law(rows: int, columns: int) -> Any:
    """Draw rows whose lengths fall off, one full, many empty."""
    rng = np.random.default_rng(3)
    lengths = np.minimum(rng.zipf(1.5, rows) - 1, columns)
    lengths[rows // 2] = columns
    row = np.repeat(np.arange(rows), lengths)
    column = rng.integers(0, columns, row.size)
    data = rng.normal(size=row.size).astype(np.float32)
    a = scipy_sparse.csr_array((data, (row, column)), (rows, columns))
    a.sum_duplicates()
    a.indices, a.indptr = a.indices.astype(np.int32), a.indptr.astype(np.int32)
    return a


def close(found: Any, expected: Any) -> None:
    scale = np.abs(expected).max(initial=1e-30)
    dtype = np.asarray(expected).dtype
    tolerance = 64 * np.finfo(dtype).eps * scale
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=tolerance)


CASES = {
    "small": lambda: drawn((30, 20), 0.2),
    "tall": lambda: drawn((3000, 50), 0.05),
    "wide": lambda: drawn((50, 9000), 0.1),
    "two units": lambda: drawn((700, 900), 0.1, "float64"),
    "wide names": lambda: drawn((20, 70000), 0.01),
    "power law": lambda: power_law(3000, 4000),
    "empty": lambda: drawn((40, 30), 0.0),
}
every_case = pytest.mark.parametrize("name", CASES)


@every_case
@pytest.mark.parametrize("width", [0, 1, 7, 64, 100])
def test_products_are_scipys(name: str, width: int) -> None:
    a = CASES[name]()
    rng = np.random.default_rng(1)
    x = rng.normal(size=(a.shape[1], width) if width else a.shape[1]).astype(a.dtype)
    y = rng.normal(size=(a.shape[0], width) if width else a.shape[0]).astype(a.dtype)
    for m in (CSR.from_scipy(a), CSR.from_scipy(a).padded(a.nnz + 5)):
        close(rx.jit(rx.csr_matmul)(m, x), a @ x)
        close(rx.csr_matmul(m.T, y), a.T @ y)
    close(rx.csr_matmul(BSR.from_scipy(a, 16), x), a @ x)


@every_case
@pytest.mark.parametrize("width", [1, 20, 64, 130])
def test_sddmm_is_scipys(name: str, width: int) -> None:
    a = CASES[name]()
    rng = np.random.default_rng(2)
    x = rng.normal(size=(a.shape[0], width)).astype(a.dtype)
    y = rng.normal(size=(a.shape[1], width)).astype(a.dtype)
    row = np.repeat(np.arange(a.shape[0]), np.diff(a.indptr))
    expected = np.einsum("pk,pk->p", x[row], y[a.indices])
    close(sparse.sddmm(x, y, CSR.from_scipy(a)).data, expected)
    by_column = sparse.to_csc(CSR.from_scipy(a))
    found = sparse.to_csr(sparse.sddmm(x, y, by_column))
    close(found.to_scipy().toarray()[row, a.indices], expected)


@every_case
def test_gradients_are_scipys(name: str) -> None:
    a = CASES[name]()
    rng = np.random.default_rng(4)
    x = rng.normal(size=(a.shape[1], 8)).astype(a.dtype)
    m = CSR.from_scipy(a)

    def loss(data: Any, x: Any) -> Any:
        return ((m.with_data(data) @ x) ** 2).sum()

    by_data, by_x = rx.jit(rx.grad(loss, (0, 1)))(m.data, x)
    up = 2 * (a @ x)
    row = np.repeat(np.arange(a.shape[0]), np.diff(a.indptr))
    close(by_data, np.einsum("pk,pk->p", up[row], x[a.indices]))
    close(by_x, a.T @ up)


@every_case
def test_memory_is_shared(name: str) -> None:
    a = CASES[name]()
    by_columns, by_blocks = (
        a.tocsc(),
        scipy_sparse.bsr_array(a[:20, :20], blocksize=(1, 1)),
    )
    for cls, m in ((CSR, a), (CSC, by_columns)):
        made = cls.from_scipy(m)
        back = made.to_scipy()
        for part in ("data", "indices", "indptr"):
            theirs, ours = getattr(m, part), getattr(made, part).host
            assert theirs.size == 0 or np.shares_memory(ours, theirs)
            assert theirs.size == 0 or np.shares_memory(getattr(back, part), theirs)
        assert abs(back - m).sum() == 0
    coo = COO.from_scipy(a)
    assert abs(coo.to_scipy() - a).sum() == 0
    assert coo.nse == a.nnz
    close(BSR.from_scipy(by_blocks).to_dense(), by_blocks.toarray())


def test_blocks_are_shared() -> None:
    data = np.random.default_rng(5).normal(size=(3, 32, 32)).astype(np.float32)
    parts = (data, np.int32([1, 0, 2]), np.int32([0, 1, 3]))
    m = scipy_sparse.bsr_array(parts, shape=(64, 96))
    made = BSR.from_scipy(m)
    assert np.shares_memory(made.data.host, m.data)
    assert np.shares_memory(made.to_scipy().data, m.data)
    x = np.random.default_rng(6).normal(size=(96, 5)).astype(np.float32)
    close(made @ x, m @ x)
    close(made.T @ x[:64], m.T @ x[:64])
    for mine, theirs in ((sparse.to_csr(made), m.tocsr()), (made.T, m.T)):
        close(mine.to_dense(), theirs.toarray())


def test_sums_are_scipys() -> None:
    a, b = drawn((60, 70), 0.1), drawn((60, 70), 0.3)
    total = CSR.from_scipy(a) + CSR.from_scipy(b)
    expected = (a + b).tocsr()
    close(total.to_dense(), expected.toarray())
    assert total.nse == len(
        set(zip(*a.nonzero(), strict=True)) | set(zip(*b.nonzero(), strict=True))
    )
