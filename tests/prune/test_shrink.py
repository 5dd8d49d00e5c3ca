"""Laws of shrinking: smaller parameters, the same function."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxcore as rx
from rxcore import nn, prune
from rxcore import numpy as rnp
from rxcore.base import errors

ACTIVATIONS = {"relu": nn.relu, "sigmoid": nn.sigmoid, "tanh": nn.tanh}


def layer(rng, *shape, bias=True):
    out = shape[0] if len(shape) > 2 else shape[-1]
    made = {"weight": rng.standard_normal(shape).astype(np.float32)}
    if bias:
        made["bias"] = rng.standard_normal(out).astype(np.float32)
    return made


def run(layers, x, act, padding="VALID"):
    for k, p in enumerate(layers):
        if p["weight"].ndim > 2:
            x = rx.conv(x, p["weight"], padding=padding)
            bias = rnp.reshape(p["bias"], (-1, *[1] * (x.ndim - 2)))
        else:
            x = rnp.reshape(x, (x.shape[0], -1)) @ p["weight"]
            bias = p.get("bias", 0.0)
        x = x + bias
        if k < len(layers) - 1:
            x = act(x)
    return np.asarray(x)


def size(layers):
    return sum(np.asarray(x).size for x in rx.tree.leaves(layers))


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 999),
    share=st.sampled_from([0.3, 0.7, 0.95]),
    act=st.sampled_from(sorted(ACTIVATIONS)),
    biases=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    whole=st.booleans(),
)
def test_products(seed, share, act, biases, whole):
    rng = np.random.default_rng(seed)
    shapes = ((5, 9), (9, 7), (7, 3))
    layers = [layer(rng, *s, bias=b) for s, b in zip(shapes, biases, strict=True)]
    masks = rx.tree.map(lambda p: rng.random(p.shape) > (p.ndim > 1) * share, layers)
    if whole:
        for m in masks[:2]:
            m["weight"][:, rng.random(m["weight"].shape[1]) < share] = False
        for m in masks[1:]:
            m["weight"][rng.random(m["weight"].shape[0]) < share] = False
    x = rng.standard_normal((11, 5)).astype(np.float32)
    masked = prune.apply(layers, masks)
    small = prune.shrink(layers, masks, activation=ACTIVATIONS[act])
    want = run(masked, x, ACTIVATIONS[act])
    np.testing.assert_allclose(run(small, x, ACTIVATIONS[act]), want, 1e-4, 1e-4)
    assert size(small) <= size(layers)
    # Without masks, zeros say the same.
    again = prune.shrink(masked, activation=ACTIVATIONS[act])
    assert [p["weight"].shape for p in again] == [p["weight"].shape for p in small]
    if all(biases):
        for a, b in itertools.pairwise(small):
            if a["weight"].shape[1] > 1:
                assert (np.asarray(a["weight"]) != 0).any(0).all()
                assert (np.asarray(b["weight"]) != 0).any(1).all()


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 999),
    padding=st.sampled_from(["VALID", "SAME"]),
    act=st.sampled_from(sorted(ACTIVATIONS)),
)
def test_convolutions_and_the_product_behind_them(seed, padding, act):
    rng = np.random.default_rng(seed)
    area = 9 if padding == "VALID" else 49
    layers = (
        layer(rng, 6, 2, 3, 3),
        layer(rng, 5, 6, 3, 3),
        layer(rng, 5 * area, 4),
    )
    masks = rx.tree.map(lambda p: np.ones(p.shape, bool), layers)
    masks[0]["weight"][rng.random(6) < 0.5] = False
    masks[1]["weight"][rng.random(5) < 0.5] = False
    masks[1]["weight"][:, rng.random(6) < 0.3] = False
    x = rng.standard_normal((3, 2, 7, 7)).astype(np.float32)
    masked = prune.apply(layers, masks)
    small = prune.shrink(layers, masks, activation=ACTIVATIONS[act], padding=padding)
    assert isinstance(small, tuple)
    got, want = (run(p, x, ACTIVATIONS[act], padding) for p in (small, masked))
    np.testing.assert_allclose(got, want, 1e-3, 1e-3)
    unheard = ~masks[1]["weight"].any((0, 2, 3))
    assert small[0]["weight"].shape[0] <= max(1, 6 - int(unheard.sum()))
    if padding == "VALID":
        fed = masks[0]["weight"].any((1, 2, 3)) & ~unheard
        assert small[0]["weight"].shape[0] == max(1, int(fed.sum()))


def attend(params, x, heads, kv_heads):
    batch, time, _ = x.shape

    def apart(name, count):
        p = params[name]
        y = x @ p["weight"] + p.get("bias", 0.0)
        return rnp.transpose(rnp.reshape(y, (batch, time, count, -1)), (0, 2, 1, 3))

    q = apart("query", heads)
    k, v = (
        rnp.repeat(apart(name, kv_heads), heads // kv_heads, axis=1)
        for name in ("key", "value")
    )
    weights = nn.softmax(q @ rnp.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]))
    joined = rnp.reshape(rnp.transpose(weights @ v, (0, 2, 1, 3)), (batch, time, -1))
    out = params["output"]
    return np.asarray(joined @ out["weight"] + out.get("bias", 0.0))


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("biases", [(True, True), (True, False), (False, True)])
def test_heads(kv_heads, biases):
    rng = np.random.default_rng(0)
    heads, length, d = 4, 3, 10
    group = heads // kv_heads
    params = {
        "query": layer(rng, d, heads * length),
        "key": layer(rng, d, kv_heads * length),
        "value": layer(rng, d, kv_heads * length, bias=biases[0]),
        "output": layer(rng, heads * length, d, bias=biases[1]),
    }
    masks = rx.tree.map(lambda p: np.ones(p.shape, bool), params)
    masks["value"]["weight"][:, :length] = False
    if kv_heads == 4:
        masks["output"]["weight"][2 * length : 3 * length] = False
    x = rng.standard_normal((2, 5, d)).astype(np.float32)
    small = prune.shrink(params, masks, heads=heads, kv_heads=kv_heads)
    # A constant that has no bias to go to keeps its heads.
    folded = biases != (True, False)
    left = kv_heads - folded - (kv_heads == 4)
    assert small["value"]["weight"].shape == (d, left * length)
    assert small["query"]["weight"].shape == (d, left * group * length)
    want = attend(prune.apply(params, masks), x, heads, kv_heads)
    got = attend(small, x, left * group, left)
    np.testing.assert_allclose(got, want, 1e-4, 1e-4)


def test_an_emptied_layer_keeps_one_unit_and_the_constant():
    rng = np.random.default_rng(0)
    layers = [layer(rng, 4, 6), layer(rng, 6, 2)]
    masks = rx.tree.map(lambda p: np.ones(p.shape, bool), layers)
    masks[0]["weight"][:] = False
    small = prune.shrink(layers, masks, activation=nn.sigmoid)
    assert small[0]["weight"].shape == (4, 1)
    x = rng.standard_normal((3, 4)).astype(np.float32)
    want = run(prune.apply(layers, masks), x, nn.sigmoid)
    np.testing.assert_allclose(run(small, x, nn.sigmoid), want, 1e-5)


def test_structured_masks_make_a_smaller_model_of_layers():
    net = nn.sequential(nn.dense(8, 16), nn.relu, nn.dense(16, 3))
    params = net.init(rx.random.key(0))
    scores = (prune.score.l1(params[0]["weight"]), None, None)
    mask = prune.prune_mask(scores, 0.75, structure="filter")[0]
    masks = ({"weight": mask, "bias": None}, (), {"weight": None, "bias": None})
    small = prune.shrink(params, masks, activation=nn.relu)
    assert small[0]["weight"].shape == (8, 4)
    assert small[1] == ()
    assert small[2]["weight"].shape == (4, 3)
    x = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    thin = nn.sequential(nn.dense(8, 4), nn.relu, nn.dense(4, 3))
    want = net.apply(prune.apply(params, masks), x)
    np.testing.assert_allclose(thin.apply(small, x), want, 1e-4, 1e-5)


W = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: prune.shrink(W), errors.TreeError, "expected a list or tuple"),
        (
            lambda: prune.shrink([{"weight": W}, {"weight": W}]),
            errors.ShapeError,
            "do not take the 3 outputs",
        ),
        (
            lambda: prune.shrink([{"scale": W[0]}]),
            errors.TreeError,
            "expected a dict of 'weight'",
        ),
        (
            lambda: prune.shrink([{"weight": W}], activation=[nn.relu]),
            errors.UserError,
            "1 activations for 0 gaps",
        ),
        (
            lambda: rx.jit(lambda w: prune.shrink([{"weight": w}]))(W),
            errors.TraceError,
            "is traced; shapes cannot depend on numbers",
        ),
        (
            lambda: prune.shrink([{"weight": W}], [{"weight": W[:1] > 0}]),
            errors.ShapeError,
            "its mask",
        ),
        (
            lambda: prune.shrink(
                {n: {"weight": W} for n in ("query", "key", "value", "output")}
            ),
            errors.UserError,
            "needs its number of heads",
        ),
        (
            lambda: prune.shrink([{"weight": W}], padding="FULL"),
            errors.UserError,
            "padding='FULL'",
        ),
    ],
)
def test_message(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_activations_are_functions():
    layers = [{"weight": np.ones((2, 3))}, {"weight": np.ones((3, 1))}]
    for activation in ("relu", ["relu"]):
        with pytest.raises(
            errors.UserError, match=r"prune.shrink: activation=.*expect"
        ):
            prune.shrink(layers, activation=activation)
