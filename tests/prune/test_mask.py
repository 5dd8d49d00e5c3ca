"""Laws of masks: exact counts, ties to the lower index, structures, traced sparsity."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxcore as rx
from rxcore import prune
from rxcore.base import errors

SHARES = st.floats(0, 0.999)


def scores_of(seed, shape, ties=False, dtype=np.float32):
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, shape) if ties else rng.standard_normal(shape)
    return x.astype(dtype)


def front(x, k):
    """The meaning: the k largest, the first among equals."""
    mask = np.zeros(x.size, bool)
    mask[np.argsort(-x.astype(np.float64), axis=None, kind="stable")[:k]] = True
    return mask.reshape(x.shape)


def count(size, share, floor=1):
    return min(size, max(floor, round(size * (1 - share))))


@settings(deadline=None, max_examples=60)
@given(
    shape=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    share=SHARES,
    floor=st.integers(0, 5),
    ties=st.booleans(),
    seed=st.integers(0, 99),
)
def test_one_array_keeps_an_exact_number_of_the_largest(
    shape, share, floor, ties, seed
):
    x = scores_of(seed, shape, ties)
    mask = np.asarray(prune.prune_mask(x, share, floor=floor))
    assert mask.dtype == bool
    assert np.array_equal(mask, front(x, count(x.size, share, floor)))


@settings(deadline=None, max_examples=30)
@given(share=SHARES, seed=st.integers(0, 99), ties=st.booleans())
def test_leaves_together_are_one_array_with_a_floor(share, seed, ties):
    a, b = scores_of(seed, (5, 7), ties), scores_of(seed + 1, (11,), ties) - 2
    masks = prune.prune_mask({"a": a, "b": b, "c": None}, share, scope="global")
    assert masks["c"] is None
    forced = [front(x, 1) for x in (a, b)]
    lifted = [np.where(f, np.inf, x) for f, x in zip(forced, (a, b), strict=True)]
    want = front(np.concatenate([x.ravel() for x in lifted]), max(2, count(46, share)))
    got = np.concatenate([np.ravel(masks["a"]), np.ravel(masks["b"])])
    assert np.array_equal(got, want)


def test_a_floor_keeps_a_layer_alive_even_below_everything():
    tree = [np.full((50,), 9.0, np.float32), np.float32([-np.inf, -np.inf, -np.inf])]
    big, small = prune.prune_mask(tree, 0.9, scope="global", floor=2)
    assert int(big.sum()) == 3
    assert np.asarray(small).tolist() == [True, True, False]


@settings(deadline=None, max_examples=25)
@given(share=SHARES, seed=st.integers(0, 9))
def test_a_traced_sparsity_means_the_same(share, seed):
    tree = {"a": scores_of(seed, (13, 9)), "b": scores_of(seed, (40,), ties=True)}
    for scope in ("tensor", "global"):
        want = prune.prune_mask(tree, share, scope=scope)
        traced = rx.jit(lambda t, s, scope=scope: prune.prune_mask(t, s, scope=scope))
        got = traced(tree, np.float64(share))
        for name in tree:
            assert np.array_equal(got[name], want[name])


def test_a_pytree_of_sparsities_gives_each_leaf_its_own():
    tree = {"a": np.arange(10.0), "b": np.arange(20.0)}
    masks = prune.prune_mask(tree, {"a": 0.5, "b": 0.9})
    assert (int(masks["a"].sum()), int(masks["b"].sum())) == (5, 2)


def test_vmap_is_a_loop():
    x = scores_of(0, (4, 3, 8), ties=True)
    got = rx.vmap(lambda s: prune.prune_mask(s, 0.6))(x)
    assert np.array_equal(got, [np.asarray(prune.prune_mask(s, 0.6)) for s in x])


def test_the_gradient_of_masked_weights_is_masked():
    w = scores_of(0, (6, 5))

    def loss(w):
        mask = prune.prune_mask(prune.score.magnitude(w), 0.5)
        return (prune.apply(w, mask) ** 2).sum()

    mask = np.asarray(prune.prune_mask(np.abs(w), 0.5))
    np.testing.assert_allclose(rx.jit(rx.grad(loss))(w), np.where(mask, 2 * w, 0))


# structures -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("structure", "shape", "axis"),
    [
        ("filter", (6, 8), 1),
        ("channel", (6, 8), 0),
        ("filter", (6, 4, 3, 3), 0),
        ("channel", (6, 4, 3, 3), 1),
        ("head", (4, 6, 5), 0),
        ("filter", (7,), 0),
        (prune.Slices(-1), (3, 5, 8), 2),
    ],
)
def test_slices_are_kept_whole_by_their_sums(structure, shape, axis):
    x = scores_of(0, shape)
    mask = np.asarray(prune.prune_mask(x, 0.5, structure=structure))
    sums = np.moveaxis(x, axis, 0).reshape(shape[axis], -1).sum(1, dtype=np.float64)
    slices = np.moveaxis(mask, axis, 0).reshape(shape[axis], -1)
    want = front(sums, count(shape[axis], 0.5))
    assert (slices.all(1) == want).all()
    assert (slices.any(1) == want).all()


def test_neighbouring_slices_make_a_unit():
    x = np.float32([[1, 2, 9, 0, 4, 4]])
    mask = prune.prune_mask(x, 0.66, structure=prune.Slices(1, size=2))
    assert np.asarray(mask).tolist() == [[False, False, True, True, False, False]]


@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    block=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    share=SHARES,
    seed=st.integers(0, 99),
)
def test_blocks_are_kept_whole_and_the_last_may_be_smaller(shape, block, share, seed):
    x = scores_of(seed, shape).astype(np.float64)
    mask = np.asarray(prune.prune_mask(x, share, structure=prune.Block(block)))
    (r, c), (a, b) = shape, block
    rows, columns = -(-r // a), -(-c // b)
    tiles = [
        (slice(i * a, i * a + a), slice(j * b, j * b + b))
        for i in range(rows)
        for j in range(columns)
    ]
    sums = np.array([x[t].sum() for t in tiles])
    want = front(sums, count(len(tiles), share))
    assert [mask[t].all() for t in tiles] == want.tolist()
    assert [mask[t].any() for t in tiles] == want.tolist()


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 4),
    length=st.integers(1, 40),
    n=st.integers(1, 12),
    extra=st.integers(0, 6),
    axis=st.sampled_from([0, -1]),
    dtype=st.sampled_from([np.float32, np.int8]),
    seed=st.integers(0, 99),
)
def test_n_of_m(rows, length, n, extra, axis, dtype, seed):
    m = n + extra
    x = scores_of(seed, (rows, length), ties=True, dtype=dtype)
    x = x.T if axis == 0 else x
    structure = prune.NofM(n, m, axis=axis, pad=True)
    mask = np.asarray(prune.prune_mask(x, structure=structure))
    rows_of, found = (x.T, mask.T) if axis == 0 else (x, mask)
    for row, kept in zip(rows_of, found, strict=True):
        for at in range(0, length, m):
            part = row[at : at + m]
            want = front(part, min(n, part.size))
            assert np.array_equal(kept[at : at + m], want)


# errors -----------------------------------------------------------------------------

X = np.arange(12, dtype=np.float32).reshape(2, 6)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: prune.prune_mask(X, 1.0), errors.UserError, "expected 0 <= sparsity"),
        (lambda: prune.prune_mask(X, -0.1), errors.UserError, "sparsity=-0.1"),
        (lambda: prune.prune_mask(X, np.nan), errors.UserError, "sparsity=nan"),
        (lambda: prune.prune_mask(X), errors.UserError, "sparsity is missing"),
        (
            lambda: prune.prune_mask({"w": X * np.nan}, 0.5),
            errors.UserError,
            r"12 of 12 scores at \['w'\] are NaN, which have no order",
        ),
        (
            lambda: prune.prune_mask(X, structure=prune.NofM(2, 4)),
            errors.ShapeError,
            r"length 6 \(shape \(2, 6\)\) 4 does not divide; .*pad=True\), or append 2",
        ),
        (
            lambda: prune.prune_mask(X, 0.9, structure=prune.NofM(2, 3)),
            errors.UserError,
            "removes 0.333333; leave the sparsity out",
        ),
        (lambda: prune.NofM(5, 4), errors.UserError, "n=5, m=4; expected 0 < n <= m"),
        (lambda: prune.Block((0, 4)), errors.UserError, "expected positive lengths"),
        (
            lambda: prune.prune_mask(X, 0.5, structure=prune.Block((2, 2, 2))),
            errors.ShapeError,
            "do not fit scores of shape",
        ),
        (
            lambda: prune.prune_mask(X, 0.5, structure="row"),
            errors.UserError,
            "structure='row'; expected one of channel, filter, head",
        ),
        (
            lambda: prune.prune_mask(X[0], 0.5, structure="channel"),
            errors.ShapeError,
            "have no channel",
        ),
        (
            lambda: prune.prune_mask(X, 0.5, structure=prune.Slices(1, size=4)),
            errors.ShapeError,
            "does not divide the 6 of axis 1",
        ),
        (
            lambda: prune.prune_mask(X, 0.5, scope="all"),
            errors.UserError,
            "expected 'tensor' or 'global'",
        ),
        (lambda: prune.prune_mask(X, 0.5, floor=-1), errors.UserError, "floor=-1"),
        (lambda: prune.prune_mask(X * 1j, 0.5), errors.DTypeError, "has no order"),
        (
            lambda: prune.prune_mask({"a": X}, {"b": 0.5}),
            errors.TreeError,
            "sparsity has the structure",
        ),
        (
            lambda: prune.prune_mask({"a": X}, {"a": 0.5}, scope="global"),
            errors.TreeError,
            "takes one sparsity",
        ),
        (
            lambda: prune.apply({"a": X}, {"a": X[0] > 0}),
            errors.ShapeError,
            "a leaf has shape",
        ),
        (
            lambda: prune.apply({"a": X}, [X > 0]),
            errors.TreeError,
            "masks has the structure",
        ),
    ],
)
def test_message(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0, 3)])
@pytest.mark.parametrize(
    "structure",
    ["channel", "filter", "head", prune.Slices(0, 2), prune.Block((2, 2)), None],
)
def test_leaves_of_nothing_have_masks_of_nothing(shape, structure):
    """An axis of length 0 is no obstacle, alone or beside other leaves."""
    empty, full = np.zeros(shape, np.float32), scores_of(0, (4, 6))
    for scope in ("tensor", "global"):
        made = rx.prune_mask([empty, full], 0.5, scope=scope, structure=structure)
        assert made[0].shape == shape
        assert 0 < int(made[1].sum()) < full.size


def test_no_traced_sparsity_empties_a_leaf():
    x = scores_of(0, (3, 4))
    call = rx.jit(lambda s: rx.prune_mask(x, s).sum())
    for share, want in ((np.nan, 1), (1.5, 1), (1.0, 1), (-1.0, 12), (np.inf, 1)):
        assert int(call(share)) == want


def test_nan_is_seen_behind_vmap():
    x = scores_of(0, (3, 4))
    x[1, 2] = np.nan
    with pytest.raises(errors.UserError, match=r"prune_mask: 1 of 4 scores .* are NaN"):
        rx.vmap(lambda v: rx.prune_mask(v, 0.5))(x)


def test_structures_are_counted_in_whole_numbers():
    text = "prune.NofM: n=1.5; expected an int"
    with pytest.raises(errors.UserError, match=text):
        prune.NofM(1.5, 4)
    with pytest.raises(errors.UserError, match=r"prune.Block: length=2.0; expected"):
        prune.Block((2.0, 2))
    with pytest.raises(errors.UserError, match=r"prune.Slices: size=0.5; expected"):
        prune.Slices(0, 0.5)
    text = "prune_mask: sparsity is complex64; expected a real number"
    with pytest.raises(errors.DTypeError, match=text):
        rx.prune_mask(scores_of(0, (3,)), 0.5j)
