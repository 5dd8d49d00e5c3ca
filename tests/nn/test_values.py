"""The values of `rxcore.nn`: beside NumPy, and beside JAX and torch where installed."""

import importlib.util
from typing import Any

import numpy as np
import pytest
from scipy import special

import rxcore as rx
from rxcore import nn
from tests.nn.cases import LINE, PLANE, X, Y, distinct

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax is not installed"
)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)

MEANINGS = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x >= 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: (
        0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    ),
    "silu": lambda x: x * special.expit(x),
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(x, 0),
    "softmax": lambda x: special.softmax(x, axis=-1),
    "log_softmax": lambda x: special.log_softmax(x, axis=-1),
}
LARGE = np.array([[-1e4, -800.0, -90.0, -1.5, 0.0, 1e-3, 1.5, 90.0, 800.0, 1e4]])


def close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(
        np.asarray(found), expected, rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("name", MEANINGS)
def test_activation_means(name):
    for x in (X, LARGE):
        close(getattr(nn, name)(x), MEANINGS[name](x))
        close(rx.jit(getattr(nn, name))(x), MEANINGS[name](x))


def test_exact_gelu_is_x_times_the_normal_distribution():
    close(nn.gelu(X, approximate=False), X * special.ndtr(X))


@pytest.mark.parametrize("name", MEANINGS)
def test_activation_has_a_finite_derivative_everywhere(name):
    function = getattr(nn, name)
    slope = rx.grad(lambda x: (function(x) * np.arange(10.0)).sum())(LARGE)
    assert np.isfinite(np.asarray(slope)).all()


@pytest.mark.parametrize("name", sorted(set(MEANINGS) - {"softmax", "log_softmax"}))
def test_activation_keeps_a_nan(name):
    assert np.isnan(np.asarray(getattr(nn, name)(np.float32([np.nan])))).all()


def test_relu_is_flat_at_zero():
    for zero in (0.0, -0.0):
        assert float(rx.grad(nn.relu)(zero)) == 0.0


def test_softplus_has_slope_one_half_at_zero():
    assert float(rx.grad(nn.softplus)(0.0)) == 0.5


def test_integers_become_floats_but_in_relu():
    x = np.int32([-2, 3])
    assert nn.relu(x).tolist() == [0, 3]
    assert nn.relu(x).dtype == np.int32
    assert nn.gelu(x).dtype == np.float32


def test_one_hot():
    assert nn.one_hot(np.int32([1, -1, 3]), 3).tolist() == [[0, 1, 0], [0] * 3, [0] * 3]
    assert nn.one_hot(np.int32(1), 2, dtype=bool).tolist() == [False, True]


# losses -----------------------------------------------------------------------------


def test_losses_mean():
    d = X - Y
    close(nn.mse(X, Y), (d**2).mean())
    close(nn.mae(X, Y), np.abs(d).mean())
    small = np.abs(d) <= 0.7
    expected = np.where(small, 0.5 * d**2, 0.7 * (np.abs(d) - 0.35))
    close(nn.huber(X, Y, 0.7, reduction="none"), expected)
    close(nn.huber(X, Y, 0.7, reduction="sum"), expected.sum())
    labels = np.array([2, 0, 1, 1])
    log_p = special.log_softmax(X, axis=1)
    each = -log_p[np.arange(4), labels]
    close(nn.softmax_cross_entropy(X, labels, reduction="none"), each)
    close(nn.softmax_cross_entropy(X, np.eye(3)[labels]), each.mean())
    p, t = special.expit(X), (Y > 0) * 0.75
    expected = -t * np.log(p) - (1 - t) * np.log(1 - p)
    close(nn.sigmoid_binary_cross_entropy(X, t), expected.mean())


def test_cross_entropy_stays_finite():
    logits = np.array([[1e4, -1e4], [-np.inf, 0.0]])
    close(nn.softmax_cross_entropy(logits, np.int32([0, 1])), 0)
    close(nn.softmax_cross_entropy(logits, np.array([[1.0, 0.0], [0.0, 1.0]])), 0)
    close(nn.sigmoid_binary_cross_entropy(np.array([-1e4, 1e4]), np.array([0, 1])), 0)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_class_that_does_not_exist_costs_nan(label):
    loss = nn.softmax_cross_entropy(X, np.int32([0, label, 1, 2]), reduction="none")
    assert np.isnan(np.asarray(loss)).tolist() == [False, True, False, False]


# layers -----------------------------------------------------------------------------


def test_dense_is_affine():
    layer = nn.dense(3, 2)
    params = layer.init(rx.random.key(0))
    assert {k: p.shape for k, p in params.items()} == {"weight": (3, 2), "bias": (2,)}
    params = {"weight": distinct(3, 2), "bias": distinct(2)}
    close(layer.apply(params, X), X @ params["weight"] + params["bias"])


def test_embedding_reads_rows():
    layer = nn.embedding(5, 3)
    params = layer.init(rx.random.key(0))
    table = np.asarray(params["weight"])
    x = np.int32([[0, 4], [2, -1]])
    assert np.array_equal(layer.apply(params, x), table[x])
    assert np.isnan(np.asarray(layer.apply(params, np.int32([7])))).all()


def test_normalized_means_and_variances():
    x = 3 + 2 * PLANE
    y = np.asarray(nn.layer_norm((5, 6), epsilon=0).apply({}, x))
    close(y.mean((2, 3)), 0)
    close(y.var((2, 3)), 1)
    y = np.asarray(nn.group_norm(2, 4, epsilon=0).apply({}, x)).reshape(2, 2, -1)
    close(y.mean(-1), 0)
    close(y.var(-1), 1)


def test_batch_norm_learns_the_moments():
    layer, x = nn.batch_norm(4, momentum=0.5, epsilon=0), 3 + 2 * PLANE
    params, state = layer.init(rx.random.key(0)), layer.init_state()
    y, state = layer.apply(params, state, x, training=True)
    y = np.asarray(y)
    close(y.mean((0, 2, 3)), 0, 1e-6)
    close(y.var((0, 2, 3)), 1, 1e-6)
    close(state["mean"], 0.5 * x.mean((0, 2, 3)), 1e-6)
    close(state["variance"], 0.5 + 0.5 * x.var((0, 2, 3), ddof=1), 1e-6)
    for _ in range(40):
        _, state = layer.apply(params, state, x, training=True)
    at_rest, same = layer.apply(params, state, x)
    assert same is state
    n = x.size // 4
    close(at_rest, y * np.sqrt((n - 1) / n), 1e-5)


def test_dropout_keeps_the_mean():
    layer, x = nn.dropout(0.25), np.ones((200, 200), np.float32)
    y = np.asarray(layer.apply((), x, key=rx.random.key(1), training=True))
    share = (y == 0).mean()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(share - 0.25) < 5 * np.sqrt(0.25 * 0.75 / x.size)
    again = layer.apply((), x, key=rx.random.key(1), training=True)
    other = layer.apply((), x, key=rx.random.key(2), training=True)
    assert np.array_equal(y, again)
    assert not np.array_equal(y, other)


def test_sequential_is_composition():
    parts = nn.dense(3, 4), nn.tanh, nn.batch_norm(4), nn.dense(4, 2)
    network = nn.sequential(*parts)
    params, state = network.init(rx.random.key(0)), network.init_state()
    assert (params[1], state[:2], state[3]) == ((), ((), ()), ())
    y, after = network.apply(params, state, X, training=True)
    h = nn.tanh(parts[0].apply(params[0], X))
    h, expected = parts[2].apply(params[2], state[2], h, training=True)
    close(y, np.asarray(parts[3].apply(params[3], h)))
    close(after[2]["mean"], np.asarray(expected["mean"]))


def test_layers_of_a_sequence_get_keys_of_their_own():
    network = nn.sequential(nn.dropout(0.5), nn.dropout(0.5))
    x = np.ones(4000, np.float32)
    y = np.asarray(network.apply(((), ()), x, key=rx.random.key(0), training=True))
    assert 0.2 < (y != 0).mean() < 0.3
    first, second = nn.sequential(nn.dense(3, 3), nn.dense(3, 3)).init(rx.random.key(0))
    assert not np.array_equal(first["weight"], second["weight"])


def test_pooling_reads_windows():
    windows = np.lib.stride_tricks.sliding_window_view(LINE, 3, -1)[..., ::2, :]
    close(nn.max_pool(LINE, 3, stride=2), windows.max(-1))
    close(nn.avg_pool(LINE, 3, stride=2), windows.mean(-1))
    ones = np.ones((1, 1, 4, 4), np.float32)
    mean = nn.avg_pool(ones, 3, stride=1, padding="SAME", count_include_pad=False)
    assert np.array_equal(mean, ones)
    corner = nn.avg_pool(ones, 3, stride=1, padding="SAME")[0, 0, 0, 0]
    close(corner, 4 / 9, 1e-6)


# beside others ----------------------------------------------------------------------


@needs_jax
def test_initializers_draw_what_jax_draws():
    jax = importlib.import_module("jax")
    theirs = jax.nn.initializers
    for name in (
        "glorot_normal",
        "glorot_uniform",
        "he_normal",
        "he_uniform",
        "lecun_normal",
        "lecun_uniform",
        "normal",
        "truncated_normal",
        "uniform",
    ):
        ours = getattr(nn.initializers, name)()
        found = ours(rx.random.key(7), (3, 4, 5), np.float32)
        expected = getattr(theirs, name)()(jax.random.key(7), (3, 4, 5), np.float32)
        np.testing.assert_allclose(found, expected, 4e-6, 1e-7, err_msg=name)


@needs_torch
def test_layers_and_losses_compute_what_torch_computes():
    torch = importlib.import_module("torch")
    t, f = torch.from_numpy, torch.nn.functional
    w, b = distinct(6, 2, 3, 2, seed=1), distinct(6, seed=2)
    layer = nn.conv(4, 6, (3, 2), stride=2, padding=1, groups=2)
    close(
        layer.apply({"weight": w, "bias": b}, PLANE),
        f.conv2d(t(PLANE), t(w), t(b), stride=2, padding=1, groups=2).numpy(),
    )
    scale, bias = distinct(4, seed=3), distinct(4, seed=4)
    params = {"scale": scale, "bias": bias}
    close(
        nn.group_norm(2, 4).apply(params, PLANE),
        f.group_norm(t(PLANE), 2, t(scale), t(bias)).numpy(),
    )
    close(
        nn.max_pool(PLANE, (2, 3), stride=2), f.max_pool2d(t(PLANE), (2, 3), 2).numpy()
    )
    close(
        nn.avg_pool(PLANE, 3, stride=2, padding=1),
        f.avg_pool2d(t(PLANE), 3, 2, 1).numpy(),
    )
    means, variances = np.zeros(4), np.ones(4)
    running = t(means.copy()), t(variances.copy())
    expected = f.batch_norm(t(PLANE), *running, t(scale), t(bias), True, 0.1)
    state = {"mean": means, "variance": variances}
    y, state = nn.batch_norm(4).apply(params, state, PLANE, training=True)
    close(y, expected.numpy())
    close(state["variance"], running[1].numpy())
    close(nn.huber(X, Y, 0.7), 1 * f.huber_loss(t(X), t(Y), delta=0.7).numpy())
    labels = np.array([2, 0, 1, 1])
    close(nn.softmax_cross_entropy(X, labels), f.cross_entropy(t(X), t(labels)).numpy())


# initializers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_normal", 2 / (2000 + 500)),
        ("glorot_uniform", 2 / (2000 + 500)),
        ("he_normal", 2 / 2000),
        ("he_uniform", 2 / 2000),
        ("lecun_normal", 1 / 2000),
        ("lecun_uniform", 1 / 2000),
    ],
)
def test_initializer_has_its_variance(name, variance):
    draw = getattr(nn.initializers, name)()
    w = np.asarray(draw(rx.random.key(0), (4, 500, 125)), np.float64)
    count = w.size
    assert abs(w.mean()) < 5 * np.sqrt(variance / count)
    assert abs(w.var() / variance - 1) < 5 * np.sqrt(2 / count)


def test_convolution_weights_count_the_window_in_their_fan():
    drawn = nn.conv(64, 32, (3, 3)).init(rx.random.key(0))["weight"]
    assert drawn.shape == (32, 64, 3, 3)
    assert abs(np.asarray(drawn).var() * 64 * 9 - 1) < 0.05


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_parameters_have_the_dtype_asked_for(dtype):
    for layer in (nn.dense(2, 3, dtype=dtype), nn.conv(2, 3, (2,), dtype=dtype)):
        for leaf in rx.tree.leaves(layer.init(rx.random.key(0))):
            assert leaf.dtype.name == dtype


def test_an_ensemble_is_drawn_by_vmap():
    network = nn.sequential(
        nn.conv(2, 3, (3,), weight_init=nn.initializers.glorot_uniform()),
        nn.batch_norm(3),
        nn.dense(4, 2, weight_init=nn.initializers.he_normal()),
        nn.layer_norm(2),
    )
    keys = rx.random.split(rx.random.key(0), 3)
    ensemble = rx.tree.leaves(rx.vmap(network.init)(keys))
    for k in range(3):
        one = network.init(keys[k])
        assert rx.tree.structure(rx.jit(network.init)(keys[k])) == rx.tree.structure(
            one
        )
        for found, expected in zip(ensemble, rx.tree.leaves(one), strict=True):
            close(found[k], np.asarray(expected), 1e-6)
