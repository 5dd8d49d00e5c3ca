"""Surrogates: the formulas, their published constants, and their normalisations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore.snn import surrogate
from rxcore.snn.surrogate import PUBLISHED, Surrogate

U = np.array([-3.0, -0.7, -0.26, -0.01, 0.0, 0.01, 0.24, 0.4, 1.0, 2.5])


def sigmoid(u: Any) -> Any:
    return 1 / (1 + np.exp(-u))


Formula = Callable[[Any], Any]
# What each package's source computes, with its constants written in.
TABLE: dict[str, Formula] = {
    "snntorch.fast_sigmoid": lambda u: 1 / (25 * abs(u) + 1) ** 2,
    "snntorch.atan": lambda u: 2.0 / 2 / (1 + (math.pi / 2 * 2.0 * u) ** 2),
    "snntorch.sigmoid": lambda u: 25 * np.exp(-25 * u) / (np.exp(-25 * u) + 1) ** 2,
    "snntorch.spike_rate_escape": lambda u: 25 * np.exp(-1 * abs(u - 1)),
    "snntorch.straight_through_estimator": lambda u: 0 * u + 1,
    "norse.super": lambda u: 1 / (100 * abs(u) + 1) ** 2,
    "norse.triangle": lambda u: 0.3 * np.maximum(1 - abs(u), 0),
    "spikingjelly.SuperSpike": lambda u: 1 / (1 + abs(u)) ** 2,
    "spikingjelly.SoftSign": lambda u: 1 / (2 * 2 * (1 / 2 + abs(u)) ** 2),
    "spikingjelly.ATan": lambda u: 2 / 2 / (1 + (math.pi / 2 * 2 * u) ** 2),
    "spikingjelly.Sigmoid": lambda u: 4 * sigmoid(4 * u) * (1 - sigmoid(4 * u)),
    "spikingjelly.PiecewiseQuadratic": lambda u: np.where(abs(u) < 1, 1 - abs(u), 0),
    "spikingjelly.PiecewiseExp": lambda u: 0.5 * np.exp(-abs(u)),
    "spikingjelly.Erf": lambda u: 2 / math.sqrt(math.pi) * np.exp(-4 * u**2),
    "spikingjelly.Rect": lambda u: (abs(u) < 0.5) * 1.0,
    "spikingjelly.NonzeroSignLogAbs": lambda u: 1 / (1 + abs(u)),
    "spyx.superspike": lambda u: 1 / (1 + 25 * abs(u)) ** 2,
    "spyx.arctan": lambda u: (1 / math.pi) / (1 + (math.pi * 2 * u) ** 2),
    "spyx.triangular": lambda u: np.maximum(0, 1 - abs(2 * u)),
    "spyx.tanh": lambda u: 4 / (np.exp(-u) + np.exp(u)) ** 2,
    "spyx.boxcar": lambda u: 0.5 * (abs(u) < 1),
}
SHAPES: dict[str, Callable[..., Surrogate]] = {
    "rational2": lambda **k: surrogate.rational2(10.0, **k),
    "lorentz": lambda **k: surrogate.lorentz(3.0, **k),
    "logistic": lambda **k: surrogate.logistic(3.0, **k),
    "tent": lambda **k: surrogate.tent(0.7, **k),
    "laplace": lambda **k: surrogate.laplace(1.5, **k),
    "gaussian": lambda **k: surrogate.gaussian(1.5, **k),
    "sech2": lambda **k: surrogate.sech2(0.5, **k),
    "circle": lambda **k: surrogate.circle(0.8, **k),
    "boxcar": lambda **k: surrogate.boxcar(1.4, 0.3, **k),
    "escape": lambda **k: surrogate.escape(2.0, 5.0, 1.0, **k),
}


def derivative(spike: Any, u: Any) -> Any:
    return np.asarray(rx.vmap(rx.grad(spike))(rx.asarray(u)))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_constants(name: str) -> None:
    found = derivative(PUBLISHED[name], U)
    np.testing.assert_allclose(found, TABLE[name](U), rtol=1e-12, atol=1e-300)


def test_every_published_surrogate_is_checked() -> None:
    assert PUBLISHED.keys() == TABLE.keys()


def test_circle_is_the_published_formula() -> None:
    expected = 0.3**3 / (U**2 + 0.3**2) ** 1.5
    found = derivative(surrogate.circle(0.3), U)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("at", [">", ">="])
def test_forward_is_a_step(at: str) -> None:
    expected = (U > 0 if at == ">" else U >= 0).astype(np.float32)
    for spike in PUBLISHED.values():
        found = spike(U.astype(np.float32), at)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.parametrize("name", SHAPES)
def test_normalisations(name: str) -> None:
    make = SHAPES[name]
    # Tails beyond are added in closed form where they fall slowly.
    u = np.linspace(-400, 400, 4_000_001)
    peak = np.asarray(make(normalize="peak").derivative(u))
    area = np.asarray(make(normalize="area").derivative(u))
    assert peak.max() == pytest.approx(1, abs=1e-6)
    assert np.trapezoid(area, u) == pytest.approx(1, abs=1e-3)
    own = np.asarray(make().derivative(u))
    np.testing.assert_allclose(own, peak * own.max(), atol=1e-12)


def test_gradients_ignore_how_a_tie_is_decided() -> None:
    spike = surrogate.lorentz(2.0)
    found = [rx.grad(lambda u, at=at: spike(u, at))(0.0) for at in (">", ">=")]
    assert float(found[0]) == float(found[1]) == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: surrogate.rational2(0.0), "must be positive and finite, got 0.0"),
        (lambda: surrogate.tent(-1.0), "surrogate.tent: its constant must be positive"),
        (lambda: surrogate.laplace(math.nan), "must be positive and finite, got nan"),
        (
            lambda: surrogate.lorentz(normalize="height"),
            "normalize must be None, 'peak' or 'area', got 'height'",
        ),
        (lambda: surrogate.rational1(normalize="area"), "area under this shape is inf"),
        (lambda: surrogate.lorentz()(0.0, "<"), "at must be '>' or '>=', got '<'"),
    ],
)
def test_errors(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(rx.UserError, match=message.replace("(", r"\(")):
        call()
