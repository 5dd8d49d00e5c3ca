"""Laws of sparse matrices: formats agree, products are linear, duals are duals."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxcore as rx
import rxcore.numpy as rnp
from rxcore import sparse
from rxcore.sparse import BSR, COO, CSC, CSR
from rxcore.testing.derivatives import check_jvp, check_transpose
from tests.sparse.matrices import dense, matrices, whole

few = settings(max_examples=25, deadline=None)


def same(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


FORMATS = (sparse.to_csr, sparse.to_csc, sparse.to_coo, sparse.to_bsr)
every_format = pytest.mark.parametrize("convert", FORMATS)


@few
@given(a=matrices())
def test_conversions_come_back(a: CSR) -> None:
    expected = dense(a)
    for first in FORMATS:
        b = first(a)
        same(b.to_dense(), expected)
        for second in FORMATS:
            c = second(b)
            same(c.to_dense(), expected)
            assert c.is_fixed


@few
@given(a=matrices())
def test_transposes_are_involutions(a: CSR) -> None:
    same(a.transpose().to_dense(), dense(a).T)
    same(a.transpose().transpose().to_dense(), dense(a))
    for convert in FORMATS:
        b = convert(a)
        same(b.T.to_dense(), dense(a).T)
        same(b.T.T.to_dense(), dense(a))


@every_format
@few
@given(a=matrices(), draws=st.data())
def test_products_are_dense_products(
    convert: Any, a: CSR, draws: st.DataObject
) -> None:
    b = convert(a)
    for width in ((), (1,), (5,), (70,)):
        x = whole(draws.draw, (a.shape[1], *width))
        same(b @ x, dense(a) @ x)
        same(sparse.csr_matmul(b, x), dense(a) @ x)
        same(rx.jit(lambda b, x: b @ x)(b, x), dense(a) @ x)


@few
@given(a=matrices(), draws=st.data())
def test_products_are_linear_in_both(a: CSR, draws: st.DataObject) -> None:
    x, y = (whole(draws.draw, (a.shape[1], 3)) for _ in range(2))
    values = whole(draws.draw, a.nse)
    same(a @ (2 * x + y), 2 * (a @ x) + a @ y)
    b = a.with_data(values)
    same(
        (a * 2 + b) @ x if a.is_canonical else 2 * (a @ x) + b @ x, 2 * (a @ x) + b @ x
    )


@few
@given(a=matrices(), draws=st.data())
def test_transposed_products_are_duals(a: CSR, draws: st.DataObject) -> None:
    x, y = whole(draws.draw, (a.shape[1], 4)), whole(draws.draw, (a.shape[0], 4))
    left = (y * np.asarray(a @ x)).sum()
    assert left == (np.asarray(a.T @ y) * x).sum()
    # <A, X Yᵀ> is the same number.
    sampled = sparse.sddmm(y, x, a)
    assert left == float((sampled.data * a.data).sum())


@every_format
@few
@given(a=matrices(), draws=st.data())
def test_sddmm_samples_the_dense_product(
    convert: Any, a: CSR, draws: st.DataObject
) -> None:
    a = sparse.canonical(a)
    pattern = convert(a.with_data(rnp.ones(a.nse, "float32")))
    for width in ((), (1,), (3,), (70,)):
        x = whole(draws.draw, (a.shape[0], *width))
        y = whole(draws.draw, (a.shape[1], *width))
        product = np.outer(x, y) if not width else x @ y.T
        mask = np.asarray(pattern.to_dense())
        found = sparse.sddmm(x, y, pattern)
        if not isinstance(pattern, BSR):
            same(found.to_dense(), product * mask)
            continue
        # Blocks are sampled whole.
        same(np.asarray(found.to_dense()) * mask, product * mask)


@few
@given(a=matrices("float64"), draws=st.data())
def test_derivatives_are_differences(a: CSR, draws: st.DataObject) -> None:
    x = whole(draws.draw, (a.shape[1], 2), "float64")

    def product(data: Any, x: Any) -> Any:
        return a.with_data(data) @ x

    def sampled(y: Any, x: Any) -> Any:
        return sparse.sddmm(y, x, a).data

    y = whole(draws.draw, (a.shape[0], 2), "float64")
    for function, args in ((product, (a.data, x)), (sampled, (y, x))):
        check_jvp(function, args)
        check_transpose(function, args)


@every_format
def test_gradients_keep_the_pattern(convert: Any) -> None:
    rng = np.random.default_rng(0)
    full = rng.integers(-3, 4, (20, 33)) * (rng.random((20, 33)) < 0.2)
    a = convert(CSR.from_dense(full.astype(np.float32)))
    x = rng.integers(-3, 4, (33, 4)).astype(np.float32)

    def loss(a: Any, x: Any) -> Any:
        return ((a @ x) ** 2).sum()

    for grad in (rx.grad(loss, (0, 1)), rx.jit(rx.grad(loss, (0, 1)))):
        by_matrix, by_x = grad(a, x)
        assert type(by_matrix) is type(a)
        assert by_matrix.is_fixed
        up = 2 * (full @ x)
        mask = np.asarray(
            convert(CSR.from_dense((full != 0) * np.float32(1))).to_dense()
        )
        found = np.asarray(by_matrix.to_dense())
        same(found * mask, up @ x.T * mask)
        same(by_x, full.T @ up)


@few
@given(a=matrices(), draws=st.data())
def test_vmap_is_a_loop(a: CSR, draws: st.DataObject) -> None:
    values = whole(draws.draw, (3, a.nse))
    xs = whole(draws.draw, (3, a.shape[1], 2))
    rows = [np.asarray(a.with_data(v) @ x) for v, x in zip(values, xs, strict=True)]
    many = rx.vmap(a.with_data)(values)
    same(rx.vmap(lambda a, x: a @ x)(many, xs), np.stack(rows))
    same(rx.vmap(lambda x: a @ x)(xs), np.stack([dense(a) @ x for x in xs]))
    same(
        rx.vmap(lambda a: a @ xs[0])(many),
        np.stack([dense(a.with_data(v)) @ xs[0] for v in values]),
    )


@few
@given(a=matrices(), draws=st.data())
def test_padding_counts_nowhere(a: CSR, draws: st.DataObject) -> None:
    x, y = whole(draws.draw, (a.shape[1], 3)), whole(draws.draw, (a.shape[0], 3))
    p = a.padded(a.nse + draws.draw(st.integers(0, 9)))
    assert not p.is_fixed
    # What padding holds does not count either.
    p = p.with_data(rnp.concatenate([a.data, rnp.full(p.nse - a.nse, rnp.nan)]))
    jitted = rx.jit(lambda p, x: p @ x)
    same(jitted(p, x), dense(a) @ x)
    same(p.T @ y, dense(a).T @ y)
    same(rx.jit(lambda p: p.to_dense())(p), dense(a))
    same(sparse.sddmm(y, x, p).data[: a.nse], sparse.sddmm(y, x, a).data)
    assert not np.asarray(sparse.sddmm(y, x, p).data[a.nse :]).any()
    same(p.fixed().to_dense(), dense(a))
    same(sparse.row_sum(p), dense(a).sum(1))
    same(sparse.to_coo(p).to_dense(), dense(a))
    same(sparse.to_csc(p).to_dense(), dense(a))

    def loss(data: Any, x: Any) -> Any:
        return (p.with_data(data) @ x).sum()

    data, x = rnp.nan_to_num(p.data) if hasattr(rnp, "nan_to_num") else p.data, x
    by_data, by_x = rx.jit(rx.grad(loss, (0, 1)))(data, rnp.asarray(x))
    sums = x.sum(1)
    same(by_data[: a.nse], sums[np.asarray(a.indices)])
    same(by_x, np.repeat(dense(a).sum(0)[:, None], 3, 1))


@few
@given(a=matrices(), draws=st.data())
def test_padding_of_lists_and_blocks_counts_nowhere(
    a: CSR, draws: st.DataObject
) -> None:
    x, y = whole(draws.draw, (a.shape[1], 3)), whole(draws.draw, (a.shape[0], 3))
    for m in (sparse.to_coo(a), sparse.to_bsr(a, 16)):
        p = m.padded(m.nse + draws.draw(st.integers(0, 5)))
        assert not p.is_fixed
        room = rnp.full((p.nse - m.nse, *m.data.shape[1:]), rnp.nan)
        p = p.with_data(rnp.concatenate([m.data, room]))
        same(rx.jit(lambda p, x: p @ x)(p, x), dense(a) @ x)
        same(p.T @ y, dense(a).T @ y)
        same(rx.jit(lambda p: p.to_dense())(p), dense(a))
        same(sparse.sddmm(y, x, p).data[: m.nse], sparse.sddmm(y, x, m).data)
        fixed = p.fixed()
        assert fixed.is_fixed
        assert fixed.nse == m.nse
        same(fixed.to_dense(), dense(a))
        same((-m).to_dense(), -dense(a))
        assert m.astype("float64").dtype == np.float64


@few
@given(a=matrices(), draws=st.data())
def test_products_from_the_left(a: CSR, draws: st.DataObject) -> None:
    for shape in ((a.shape[0],), (3, a.shape[0])):
        x = whole(draws.draw, shape)
        for m in (a, sparse.to_csc(a), sparse.to_coo(a), sparse.to_bsr(a, 16)):
            for found in (x @ m, rnp.asarray(x) @ m, rx.jit(lambda x, m: x @ m)(x, m)):
                same(found, x @ dense(a))


@pytest.mark.parametrize(
    "convert", [sparse.to_csc, sparse.to_coo, lambda a: sparse.to_bsr(a, 16)]
)
def test_vmap_over_no_values_at_all(convert: Any) -> None:
    a = convert(CSR([1.0, 2.0], [0, 2], [0, 1, 2], (2, 3)))
    x = rnp.ones((3, 4))
    none = rnp.zeros((0, *a.data.shape))
    assert rx.vmap(lambda v: a.with_data(v) @ x)(none).shape == (0, 2, 4)
    pairs = rx.vmap(lambda y: sparse.sddmm(y, x, a).data)(rnp.zeros((0, 2, 4)))
    assert pairs.shape == none.shape


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "uint64"])
def test_indices_of_any_integers_become_int32(dtype: str) -> None:
    names, ends = (rnp.asarray(np.array(n, dtype)) for n in ([0, 2, 1], [0, 2, 3]))
    a = CSR([1.0, 2.0, 3.0], names, ends, (2, 3))
    assert a.indices.dtype == a.indptr.dtype == np.int32
    same(a @ rnp.ones(3), [3.0, 3.0])
    same(CSR((1.0, 2.0, 3.0), (0, 2, 1), (0, 2, 3), (2, 3)).to_dense(), a.to_dense())


@few
@given(a=matrices())
def test_canonical_is_scipys(a: CSR) -> None:
    for m in (a, a.T):
        for made in (sparse.canonical(m), rx.jit(sparse.canonical)(m.padded()).fixed()):
            same(made.to_dense(), m.to_dense())
            assert made.is_canonical
            assert made.nse == len(
                {*zip(*map(np.ndarray.tolist, _places(m)), strict=True)}
            )
    ordered = sparse.sort_indices(a)
    same(ordered.to_dense(), dense(a))
    assert ordered.nse == a.nse


def _places(m: Any) -> tuple[Any, Any]:
    coo = sparse.to_coo(m)
    return np.asarray(coo.row), np.asarray(coo.column)


@few
@given(a=matrices(), draws=st.data())
def test_sums_and_scalings_are_dense_ones(a: CSR, draws: st.DataObject) -> None:
    expected = dense(a)
    by_row = whole(draws.draw, a.shape[0])
    by_column = whole(draws.draw, a.shape[1])
    for m in (a, sparse.to_csc(a), sparse.to_coo(a)):
        same(sparse.row_sum(m), expected.sum(1))
        same(sparse.column_sum(m), expected.sum(0))
        same(sparse.scale(m, 3.0).to_dense(), 3 * expected)
        same((2 * m).to_dense(), 2 * expected)
        same(sparse.scale_rows(m, by_row).to_dense(), by_row[:, None] * expected)
        same(sparse.scale_columns(m, by_column).to_dense(), by_column * expected)


@few
@given(draws=st.data(), a=matrices())
def test_sparse_sums_are_dense_sums(draws: st.DataObject, a: CSR) -> None:
    a = sparse.canonical(a)
    rng = np.random.default_rng(draws.draw(st.integers(0, 99)))
    other = rng.integers(-2, 3, a.shape) * (rng.random(a.shape) < 0.3)
    b = CSR.from_dense(other.astype(np.float32))
    expected = dense(a) + other
    same((a + b).to_dense(), expected)
    same((a - b).to_dense(), dense(a) - other)
    same(sparse.add(sparse.to_csc(a), b).to_dense(), expected)
    same(sparse.add(a.padded(), b).to_dense(), expected)
    same((a + a).data, 2 * a.data)
    assert (a + b).is_canonical
    by_a, by_b = rx.grad(lambda a, b: (a + b).data.sum(), (0, 1))(a, b)
    same(by_a.data, np.ones(a.nse))
    same(by_b.data, np.ones(b.nse))


@few
@given(a=matrices())
def test_dense_and_back(a: CSR) -> None:
    full = dense(a)
    kept = int((full != 0).sum())
    for cls in (CSR, CSC, COO, BSR):
        same(cls.from_dense(full).to_dense(), full)
    for cls in (CSR, CSC, COO):
        assert cls.from_dense(full).nse == kept
        made = rx.jit(lambda x, cls=cls: cls.from_dense(x, nse=kept + 3))(full)
        assert made.nse == kept + 3
        same(made.to_dense(), full)


def test_equal_patterns_compile_once() -> None:
    traced: list[int] = []

    @rx.jit
    def product(a: CSR, x: Any) -> Any:
        traced.append(1)
        return a @ x

    x = np.float32([1, 2, 3])
    for _ in range(2):
        same(product(CSR([1.0, 2.0], [0, 2], [0, 1, 2], (2, 3)), x), [1, 6])
    assert len(traced) == 1
    same(product(CSR([1.0, 2.0], [1, 2], [0, 1, 2], (2, 3)), x), [2, 6])
    assert len(traced) == 2
    for column in (0, 1, 2):
        same(product(CSR([1.0], [column], [0, 1], (1, 3)).padded(4), x), x[column])
    assert len(traced) == 3


def test_an_optimizer_trains_the_values() -> None:
    rng = np.random.default_rng(1)
    target = CSR.from_dense((rng.random((6, 5)) < 0.5) * rng.random((6, 5), np.float32))
    x = rng.normal(size=(5, 16)).astype(np.float32)
    y = np.asarray(target @ x)
    a = target.with_data(rnp.zeros(target.nse))
    optimizer = rx.optim.adam(0.1)

    def loss(a: CSR) -> Any:
        return ((a @ x - y) ** 2).mean()

    state = optimizer.init(a)
    step = rx.jit(rx.value_and_grad(loss))
    first = float(loss(a))
    for _ in range(100):
        _, by_a = step(a)
        a, state = optimizer.update(by_a, state, a)
    assert float(loss(a)) < 1e-3 * first
    assert a.has_pattern_of(target)
