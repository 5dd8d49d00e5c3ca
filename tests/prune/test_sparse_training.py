"""Laws of sparse training: counts never change, and what changes is what should."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxcore as rx
from rxcore import optim, prune
from rxcore.base import errors

RNG = np.random.default_rng(0)


def params_of(seed, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [
        {
            "weight": rng.standard_normal((a, b)).astype(dtype),
            "bias": rng.standard_normal(b).astype(dtype),
        }
        for a, b in ((12, 20), (20, 6))
    ]


def like(params, seed):
    rng = np.random.default_rng(seed)
    return rx.tree.map(lambda p: rng.standard_normal(p.shape).astype(p.dtype), params)


def begun(seed=0, sparsity=0.8, **options):
    params = params_of(seed)
    options = {"end": 100, "frequency": 10, "key": rx.random.key(seed), **options}
    state = prune.rigl_init(params, sparsity, **options)
    return prune.apply(params, state.masks), state


def largest(x, k):
    mask = np.zeros(x.size, bool)
    mask[np.argsort(-x.astype(np.float64), axis=None, kind="stable")[:k]] = True
    return mask.reshape(x.shape)


def meaning(w, mask, g, count, regrow=True):
    """The rule for one leaf, in NumPy."""
    active = int(mask.sum())
    if not regrow:
        count = min(count, mask.size - active)
    kept = largest(np.where(mask, np.abs(w), -1), active - count)
    grown = largest(np.where(kept if regrow else mask, -1, np.abs(g)), count)
    new = kept | grown
    return new, np.where(mask & new, w, 0)


def numbers(state):
    return [int(m["weight"].sum()) for m in state.masks]


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 50),
    step=st.sampled_from([0, 10, 50, 90]),
    regrow=st.booleans(),
    decay=st.sampled_from(["cosine", "constant", "power"]),
    rounding=st.sampled_from(["truncate", "nearest"]),
)
def test_an_update_means_the_rule(seed, step, regrow, decay, rounding):
    params, state = begun(seed, regrow=regrow, decay=decay, rounding=rounding)
    state = type(state)(
        rx.asarray(np.int32(step)), state.masks, state.active, state.config
    )
    grads = like(params, seed + 1)
    later, moved, _ = prune.rigl_step(state, params, grads)
    t = step / 100
    share = {
        "cosine": 0.15 * (1 + math.cos(math.pi * t)),
        "constant": 0.3,
        "power": 0.3 * (1 - t),
    }[decay]
    assert int(later.step) == step + 1
    for p, m, g, p2, m2 in zip(
        params, state.masks, grads, moved, later.masks, strict=True
    ):
        active = int(m["weight"].sum())
        count = (math.trunc if rounding == "truncate" else round)(share * active)
        new, value = meaning(
            *(np.asarray(x["weight"]) for x in (p, m, g)), count, regrow
        )
        assert np.array_equal(m2["weight"], new)
        assert np.array_equal(p2["weight"], value)
        assert m2["bias"] is None
        assert np.array_equal(p2["bias"], p["bias"])
    assert numbers(later) == numbers(state)


def test_between_updates_nothing_changes_and_gradients_are_not_asked_for():
    params, state = begun(begin=5)

    def refuse(_):
        raise AssertionError("called between updates")

    later, moved, kept = prune.rigl_step(state, params, refuse, opt_state={"t": 3})
    assert int(later.step) == 1
    assert kept == {"t": 3}
    for a, b in zip(rx.tree.leaves(params), rx.tree.leaves(moved), strict=True):
        assert np.array_equal(a, b)
    for a, b in zip(
        rx.tree.leaves(state.masks), rx.tree.leaves(later.masks), strict=True
    ):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("opt", [optim.adam(), optim.sgd(0.1, momentum=0.9)])
def test_inside_jit_it_is_the_same_over_many_steps(opt):
    params, state = begun(frequency=3, end=9)

    def step(state, params, opt_state):
        grads = rx.grad(lambda p: sum((x**3).sum() for x in rx.tree.leaves(p)))
        state, params, opt_state = prune.rigl_step(
            state, params, grads, opt_state=opt_state
        )
        moved, opt_state = opt.update(grads(params), opt_state, params)
        return state, prune.apply(moved, state.masks), opt_state

    one = two = (state, params, opt.init(params))
    jitted = rx.jit(step)
    for _ in range(11):
        one, two = step(*one), jitted(*two)
        assert numbers(one[0]) == numbers(state)
    for a, b in zip(rx.tree.leaves(one), rx.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, 1e-4, 1e-6)
    assert int(two[0].step) == 11


def moments_after(moments):
    params, state = begun(moments=moments)
    opt = optim.adam()
    full = opt.init(params)
    full = type(full)(full.step + 7, *(like(params, k) for k in (1, 2)))
    later, _, after = prune.rigl_step(state, params, like(params, 3), opt_state=full)
    assert int(after.step) == 7
    for name in ("mean", "square"):
        for old, new, m, m2 in zip(
            getattr(full, name),
            getattr(after, name),
            state.masks,
            later.masks,
            strict=True,
        ):
            was, now = (np.asarray(x["weight"]) for x in (m, m2))
            yield np.asarray(old["weight"]), np.asarray(new["weight"]), was, now
            assert np.array_equal(old["bias"], new["bias"])


def test_moments_of_weights_that_do_not_stay_active_become_zero():
    for old, new, was, now in moments_after("inactive"):
        assert np.array_equal(new, np.where(was & now, old, 0))
        assert (was & ~now).any()


def test_moments_of_grown_weights_only_can_become_zero():
    for old, new, was, now in moments_after("grown"):
        assert np.array_equal(new, np.where(now & ~was, 0, old))
        assert (now & ~was).any()


@pytest.mark.parametrize("grown", ["zeros", "gradient_sign", "gradient", "normal"])
def test_grown_weights_get_the_value_asked_for(grown):
    params, state = begun(grown=grown, scale=0.5)
    grads = like(params, 4)
    later, moved, _ = prune.rigl_step(state, params, grads, key=rx.random.key(1))
    for g, p2, m, m2 in zip(grads, moved, state.masks, later.masks, strict=True):
        new = np.asarray(m2["weight"]) & ~np.asarray(m["weight"])
        value = np.asarray(p2["weight"])[new]
        slope = g["weight"][new]
        assert new.any()
        if grown == "zeros":
            assert (value == 0).all()
        elif grown == "gradient":
            np.testing.assert_allclose(value, -0.5 * slope)
        elif grown == "gradient_sign":
            np.testing.assert_allclose(value, -0.5 * np.sign(slope))
        else:
            assert np.unique(value).size == value.size
            assert np.abs(value).max() < 4
        assert (np.asarray(p2["weight"])[~np.asarray(m2["weight"])] == 0).all()


def test_random_regrowth_keeps_the_largest_and_follows_the_key():
    params, state = begun()
    runs = [prune.set_step(state, params, key=rx.random.key(k)) for k in (0, 0, 1)]
    for k, (p, m) in enumerate(zip(params, state.masks, strict=True)):
        masks = [np.asarray(run[0].masks[k]["weight"]) for run in runs]
        assert np.array_equal(masks[0], masks[1])
        assert not np.array_equal(masks[0], masks[2])
        was, w = np.asarray(m["weight"]), np.abs(np.asarray(p["weight"]))
        active = int(was.sum())
        kept = largest(np.where(was, w, -1), active - int(0.3 * active))
        assert (masks[0] & masks[2])[kept].all()
        assert masks[0].sum() == active


def test_signs_may_lose_the_same_share():
    params, state = begun(drop="signed", fraction=0.5, decay="constant", regrow=False)
    later, _, _ = prune.set_step(state, params, key=rx.random.key(0))
    assert numbers(later) == numbers(state)
    for p, m, m2 in zip(params, state.masks, later.masks, strict=True):
        w = np.asarray(p["weight"])
        was, now = np.asarray(m["weight"]), np.asarray(m2["weight"])
        active = int(was.sum())
        for side in (was & (w >= 0), was & (w < 0)):
            there = int(side.sum())
            dropped = math.floor(there / active * math.trunc(0.5 * active))
            want = largest(np.where(side, np.abs(w), -1), there - dropped)
            assert np.array_equal(side & now, want)


def test_training_takes_either_step():
    params, state = begun(frequency=4, end=9)
    opt = optim.adam(0.01)

    def grads(p):
        return rx.grad(lambda p: sum((x**2).sum() for x in rx.tree.leaves(p)))(p)

    @rx.jit
    def step(state, params, opt_state):
        return prune.train_step(state, params, opt_state, grads, opt.update)

    opt_state = opt.init(params)
    counts = []
    for _ in range(10):
        state, params, opt_state = step(state, params, opt_state)
        counts.append(int(opt_state.step))
        for p, m in zip(params, state.masks, strict=True):
            inactive = ~np.asarray(m["weight"])
            assert (np.asarray(p["weight"])[inactive] == 0).all()
    # Steps 0, 4 and 8 change connections in place of an optimizer step.
    assert counts == [0, 1, 2, 3, 3, 4, 5, 6, 6, 7]


def test_a_single_array_is_a_model_too():
    w = RNG.standard_normal((30, 40)).astype(np.float32)
    state = prune.rigl_init(w, 0.9, end=5)
    w = prune.apply(w, state.masks)
    assert np.array_equal(state.masks, np.asarray(w) != 0)
    momentum = {"m": np.ones_like(w), "n": np.int32(3)}
    later, moved, after = prune.rigl_step(state, w, -w + 1, opt_state=momentum)
    assert int(later.masks.sum()) == 120
    assert int(after["m"].sum()) == int((np.asarray(state.masks) & later.masks).sum())
    assert int(after["n"]) == 3
    assert moved.shape == w.shape


# allocation -------------------------------------------------------------------------

SHAPES = st.lists(
    st.lists(st.integers(1, 12), min_size=2, max_size=4).map(tuple),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=80)
@given(
    shapes=SHAPES,
    sparsity=st.floats(0, 0.99),
    method=st.sampled_from(["uniform", "er", "erk", "sensitivity"]),
    power=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_counts_add_up_and_follow_the_densities(shapes, sparsity, method, power):
    params = [np.ones(s, np.float32) for s in shapes]
    grads = [p * (k + 1) for k, p in enumerate(params)]
    counts = prune.allocate(params, sparsity, method, grads=grads, power=power)
    sizes = [p.size for p in params]
    total = max(round(sum(sizes) * (1 - sparsity)), len(sizes))
    assert sum(counts) == min(total, sum(sizes))
    assert all(1 <= c <= n for c, n in zip(counts, sizes, strict=True))
    raw = {
        "uniform": [1] * len(shapes),
        "er": [sum(s[:2]) / math.prod(s[:2]) for s in shapes],
        "erk": [sum(s) / math.prod(s) for s in shapes],
        "sensitivity": [k + 1 for k in range(len(shapes))],
    }[method]
    # Unsaturated leaves have densities in proportion, to within one weight.
    free = [k for k, c in enumerate(counts) if 1 < c < sizes[k] - 1]
    eps = [counts[k] / (raw[k] ** power * sizes[k]) for k in free]
    slack = [2 / (raw[k] ** power * sizes[k]) for k in free]
    for a, da in zip(eps, slack, strict=True):
        for b, db in zip(eps, slack, strict=True):
            assert abs(a - b) <= da + db + 1e-9


def test_a_saturated_layer_is_dense_and_the_rest_solved_again():
    params = [np.ones((784, 300)), np.ones((300, 100)), np.ones((100, 10))]
    counts = prune.allocate(params, 0.5)
    assert counts[1:] == [30_000, 1000]
    assert sum(counts) == round(0.5 * (784 * 300 + 31_000))


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: begun(sparsity=1.0), errors.UserError, "expected 0 <= sparsity < 1"),
        (lambda: begun(allocation="even"), errors.UserError, "method='even'"),
        (lambda: begun(end=0), errors.UserError, "begin=0, end=0; expected"),
        (lambda: begun(frequency=0), errors.UserError, "frequency=0; expected >= 1"),
        (lambda: begun(fraction=1.5), errors.UserError, "fraction=1.5"),
        (lambda: begun(decay="linear"), errors.UserError, "decay='linear'"),
        (lambda: begun(steps=3), errors.UserError, "unknown steps; prune.RigL has"),
        (lambda: begun(allocation="sensitivity"), errors.UserError, "needs grads="),
        (
            lambda: prune.rigl_step(*reversed(begun()), [1.0]),
            errors.TreeError,
            "rigl_step: grads has the structure",
        ),
        (
            lambda: prune.set_step(*reversed(begun()), key=None),
            errors.UserError,
            "random weights need key",
        ),
        (
            lambda: prune.set_step(*reversed(begun(grown="gradient")), key=1),
            errors.UserError,
            "needs gradients; use rigl_step",
        ),
    ],
)
def test_message(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_sensitivity_takes_the_gradients_of_all_parameters():
    params = params_of(0)
    grads = like(params, 1)
    options = {"allocation": "sensitivity", "grads": grads}
    state = prune.rigl_init(params, 0.8, **options)
    picked = prune.prunable(params), prune.prunable(grads)
    want = prune.allocate(picked[0], 0.8, "sensitivity", grads=picked[1])
    assert [int(n["weight"]) for n in state.active] == [n["weight"] for n in want]
    options["grads"] = grads[:1]
    with pytest.raises(
        errors.TreeError, match=r"prune.rigl_init: grads has the struct"
    ):
        prune.rigl_init(params, 0.8, **options)
    with pytest.raises(errors.TreeError, match="grads has None for a leaf"):
        prune.allocate(params, 0.8, "sensitivity", grads=prune.prunable(grads))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gradients_wider_than_weights_do_not_tie(dtype):
    """Rounded to a half they would, and the lower index would grow."""
    w = rx.numpy.zeros((1, 64), dtype=dtype).at[0, :4].set(1.0)
    g = (1 + np.arange(64, dtype=np.float32) * 2.0**-20).reshape(1, 64)
    state = prune.rigl_init(w, 60 / 64, fraction=1.0, end=10)
    state, w, _ = rx.rigl_step(state, w, g)
    assert w.dtype == dtype
    np.testing.assert_array_equal(np.nonzero(state.masks)[1], [60, 61, 62, 63])


def test_steps_need_a_state_and_gradients():
    params, state = begun()
    with pytest.raises(errors.UserError, match="rigl_step: state is a list; expected"):
        rx.rigl_step([], params, params)
    with pytest.raises(errors.UserError, match="rigl_step: grads is None; give dense"):
        rx.rigl_step(state, params, None)
    with pytest.raises(errors.UserError, match=r"prune.set_step: state is a NoneType"):
        prune.set_step(None, params, key=rx.random.key(0))


def test_weights_that_are_nan_are_not_the_largest():
    w = np.ones((3, 4), np.float32)
    w[1, 2] = np.nan
    with pytest.raises(errors.UserError, match=r"rigl_init: 1 of 12 scores .* are NaN"):
        prune.rigl_init(w, 0.5)
    assert int(prune.rigl_init(w, 0.5, key=rx.random.key(0)).masks.sum()) == 6
