"""Optimizers follow their formulas, converge, and take parameters of any structure."""

import importlib.util
import re
from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore import optim
from rxcore.base import dtypes, errors
from rxcore.testing import laws

STEPS = 10


def decayed_step(step: Any) -> Any:
    """Return a learning rate that differs from step to step."""
    return 0.1 / (1 + step)


class Reference:
    """Hand-written NumPy optimizers, in float64."""

    @staticmethod
    def sgd(p, grads, rate, momentum=0.0, nesterov=False, weight_decay=0.0):
        v = 0.0
        for t, g in enumerate(grads(p), start=0):
            g = g + weight_decay * p
            v = momentum * v + g
            p = p - rate(t) * (g + momentum * v if nesterov else v)
            grads.now = p
        return p

    @staticmethod
    def adam(p, grads, rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0):
        m = v = 0.0
        for t, g in enumerate(grads(p), start=0):
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
            scaled = m / (1 - b1 ** (t + 1))
            step = scaled / (np.sqrt(v / (1 - b2 ** (t + 1))) + eps)
            p = p - rate(t) * (step + weight_decay * p)
            grads.now = p
        return p


class Gradients:
    """Gradients of sum(cos(p) * p) along the way of an optimizer."""

    def __call__(self, p):
        self.now = p
        for _ in range(STEPS):
            yield np.cos(self.now) - np.sin(self.now) * self.now


def loss(p: Any) -> Any:
    leaves = rx.tree.leaves(p)
    return sum((rx.numpy.sum(rx.numpy.cos(x) * x) for x in leaves), 0.0)


CHOICES = [
    (optim.sgd, Reference.sgd, {}),
    (optim.sgd, Reference.sgd, {"weight_decay": 0.1}),
    (optim.sgd, Reference.sgd, {"momentum": 0.9}),
    (
        optim.sgd,
        Reference.sgd,
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
    ),
    (optim.adam, Reference.adam, {}),
    (optim.adam, Reference.adam, {"b1": 0.5, "b2": 0.9, "eps": 1e-3}),
    (optim.adam, Reference.adam, {"b1": 0.0, "b2": 0.0}),
    (optim.adamw, Reference.adam, {"weight_decay": 0.1}),
]
choices = pytest.mark.parametrize(
    ("make", "reference", "options"),
    CHOICES,
    ids=[f"{m.__name__}-{o}" for m, _, o in CHOICES],
)
START = {"w": np.linspace(-2, 2, 12).reshape(3, 4), "b": np.array([0.5, -1.5])}


def trained(optimizer: optim.Optimizer, params: Any, steps: int = STEPS) -> Any:
    @rx.jit
    def step(params, state):
        return optimizer.update(rx.grad(loss)(params), state, params)

    state = optimizer.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    assert int(state.step) == steps
    return params


@choices
@pytest.mark.parametrize("rate", [0.1, decayed_step], ids=["constant", "schedule"])
def test_ten_steps_follow_the_formula(make, reference, options, rate):
    found = trained(make(rate, **options), START)
    at = rate if callable(rate) else lambda _: rate
    # A schedule gives float32.
    tolerance = 1e-6 if callable(rate) else 1e-12
    for name, p in START.items():
        expected = reference(p, Gradients(), at, **options)
        np.testing.assert_allclose(found[name], expected, tolerance, tolerance)


@choices
def test_eager_is_jit(make, reference, options):
    del reference
    params = {k: p.astype(np.float32) for k, p in START.items()}
    optimizer = make(0.1, **options)
    grads, state = rx.grad(loss)(params), optimizer.init(params)
    eager = rx.tree.leaves(optimizer.update(grads, state, params))
    jitted = rx.tree.leaves(rx.jit(optimizer.update)(grads, state, params))
    for found, expected in zip(jitted, eager, strict=True):
        laws.assert_close(found, expected, 4, whole=True)


@choices
def test_vmap_is_a_loop(make, reference, options):
    del reference
    optimizer = make(0.1, **options)
    rows = np.linspace(-1, 1, 12).reshape(3, 4)

    def run(p):
        state = optimizer.init(p)
        for _ in range(3):
            p, state = optimizer.update(rx.grad(loss)(p), state, p)
        return p

    batched = np.asarray(rx.vmap(run)(rows))
    for found, row in zip(batched, rows, strict=True):
        np.testing.assert_allclose(found, run(row), 1e-12)


@choices
def test_a_scan_of_updates_is_a_loop(make, reference, options):
    del reference
    optimizer = make(decayed_step, **options)
    start = {k: p.astype(np.float32) for k, p in START.items()}

    def step(carry, _):
        params, state = carry
        value, grads = rx.value_and_grad(loss)(params)
        params, state = optimizer.update(grads, state, params)
        return (params, state), value

    first = (start, optimizer.init(start))
    (params, state), losses = rx.scan(step, first, None, length=STEPS)
    assert losses.shape == (STEPS,)
    assert int(state.step) == STEPS
    expected = trained(optimizer, start)
    for name in start:
        np.testing.assert_allclose(params[name], expected[name], 1e-5, 1e-6)


@choices
def test_gradient_through_an_update_is_a_difference(make, reference, options):
    del reference
    optimizer = make(0.1, **options)

    def run(p):
        state = optimizer.init(p)
        for _ in range(2):
            p, state = optimizer.update(p * p, state, p)
        return p

    laws.check_jvp(run, (np.linspace(0.5, 2, 4),))


@choices
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes_and_structures_stay(make, reference, options, dtype):
    del reference
    kind = dtypes.as_dtype(dtype)
    params = [{"w": np.ones((2, 3), kind)}, (np.ones(3, kind), None), ()]
    optimizer = make(optim.constant(0.1), **options)
    state = optimizer.init(params)
    moved, after = optimizer.update(params, state, params)
    assert rx.tree.structure(moved) == rx.tree.structure(params)
    assert rx.tree.structure(after) == rx.tree.structure(state)
    for old, new in zip(
        rx.tree.leaves((params, state)), rx.tree.leaves((moved, after)), strict=True
    ):
        assert (new.dtype, new.shape) == (old.dtype, old.shape)
    assert all((np.asarray(p, np.float32) < 1).all() for p in rx.tree.leaves(moved))


@pytest.mark.parametrize(
    "optimizer",
    [
        optim.sgd(0.02),
        optim.sgd(0.02, momentum=0.9),
        optim.sgd(0.02, momentum=0.9, nesterov=True),
        optim.adam(optim.cosine(0.3, 300)),
        optim.adamw(optim.cosine(0.3, 300), weight_decay=0.0),
    ],
    ids=["sgd", "momentum", "nesterov", "adam", "adamw"],
)
def test_it_finds_the_bottom_of_a_bowl(optimizer):
    scales, bottom = np.float32([1, 3, 10]), np.float32([2, -1, 0.5])

    @rx.jit
    def step(p, state):
        grads = rx.grad(lambda p: rx.numpy.sum(scales * (p - bottom) ** 2))(p)
        return optimizer.update(grads, state, p)

    p = rx.asarray(np.zeros(3, np.float32))
    state = optimizer.init(p)
    for _ in range(300):
        p, state = step(p, state)
    np.testing.assert_allclose(p, bottom, atol=1e-3)


@choices
def test_a_leaf_is_updated_by_one_kernel(make, reference, options):
    del reference
    optimizer = make(0.1, **options)

    def launches(count):
        params = [np.ones((7, 5 + k), np.float32) for k in range(count)]
        state = optimizer.init(params)
        report = rx.inspect(optimizer.update)(params, state, params)
        assert not report.fallbacks
        return report.launches

    assert launches(3) - launches(2) == 1


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)
@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (optim.sgd(0.1), "SGD", {}),
        (
            optim.sgd(0.1, 0.9, True, 0.01),
            "SGD",
            {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        ),
        (optim.sgd(0.1, 0.9), "SGD", {"momentum": 0.9}),
        (optim.adam(0.1), "Adam", {}),
        (optim.adamw(0.1, weight_decay=0.2), "AdamW", {"weight_decay": 0.2}),
    ],
)
def test_ten_steps_as_torch_goes(ours, theirs, options):
    torch = importlib.import_module("torch")
    p = torch.from_numpy(START["w"].copy()).requires_grad_()
    optimizer = getattr(torch.optim, theirs)([p], lr=0.1, **options)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (p.cos() * p).sum().backward()
        optimizer.step()
    found = trained(ours, START["w"])
    np.testing.assert_allclose(found, p.detach().numpy(), 1e-9, 1e-9)


# errors -----------------------------------------------------------------------------

P = np.ones(3, np.float32)


def update(grads: Any, params: Any) -> Any:
    optimizer = optim.adam(0.1)
    return optimizer.update(grads, optimizer.init(params), params)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: optim.adam().init({"n": np.int32([1])}),
            errors.DTypeError,
            "optim.adam: a parameter is int32 (shape (1,)); optimizers move real",
        ),
        (
            lambda: update({"w": P[:2]}, {"w": P}),
            errors.ShapeError,
            "optim.adam: a gradient has shape (2,), its parameter (3,)",
        ),
        (
            lambda: update({"v": P}, {"w": P}),
            errors.TreeError,
            "optim.adam: gradients or state have the structure",
        ),
        (
            lambda: update(P.astype(np.int32), P),
            errors.DTypeError,
            "optim.adam: a gradient is int32 (shape (3,))",
        ),
        (
            lambda: optim.sgd(-1.0),
            errors.UserError,
            "optim.sgd: learning_rate=-1.0; expected learning_rate >= 0",
        ),
        (
            lambda: optim.sgd(0.1, momentum=1.0),
            errors.UserError,
            "optim.sgd: momentum=1.0; expected 0 <= momentum < 1",
        ),
        (
            lambda: optim.sgd(0.1, nesterov=True),
            errors.UserError,
            "optim.sgd: nesterov=True needs a momentum above 0",
        ),
        (
            lambda: optim.adamw(0.1, b2=1.5),
            errors.UserError,
            "optim.adamw: b2=1.5; expected 0 <= b2 < 1",
        ),
    ],
)
def test_message(call, kind, text):
    with pytest.raises(kind, match=re.escape(text)):
        call()
