"""Gradients of neurons: central differences, and the formulas of fused BPTT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore import snn

RNG = np.random.default_rng(3)
TIME, NEURONS = 12, 5
XS = np.abs(RNG.standard_normal((TIME, NEURONS))) * 0.5
WEIGHTS = RNG.standard_normal((2, TIME, NEURONS))
ALPHA = 3.0
Parts = dict[str, Any]


def smooth(u: Any) -> Any:
    """A spike that is its own surrogate: central differences see what `grad` sees."""
    return rx.logistic(ALPHA * u)


def loss(rule: Parts, params: Parts, xs: Any) -> Any:
    _, (spikes, trace) = snn.lif_scan(
        params, None, xs, output="both", surrogate=smooth, **rule
    )
    return (spikes * WEIGHTS[0]).sum() + (trace * WEIGHTS[1]).sum()


def differences(f: Any, x: Any, step: float = 1e-6) -> Any:
    x = np.asarray(x, np.float64)
    found = np.empty_like(x)
    for k in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[k] += step
        down[k] -= step
        found[k] = (float(f(up)) - float(f(down))) / (2 * step)
    return found


SMOOTH: list[Parts] = [
    {"reset": "subtract"},
    {"reset": "zero"},
    {"reset": "value"},
    {"reset": "none"},
    {"reset": "subtract", "reset_delay": True},
    {"reset": "value", "reset_delay": True},
    {"reset": "value", "spike_from": "previous"},
    {"reset": "subtract", "reset_delay": True, "spike_from": "previous"},
    {"reset": "value", "discretization": "euler", "gain": "dt/tau"},
    {"reset": "value", "discretization": "euler", "gain": "dt/tau", "dt": 0.5},
    {"reset": "value", "gain": "1-decay"},
    {"reset": "value", "gain": "dt/tau"},
]
PARAMS: Parts = {
    "tau": np.linspace(2.0, 6.0, NEURONS),
    "threshold": np.linspace(0.8, 1.2, NEURONS),
    "v_reset": np.float64(-0.1),
    "v_leak": np.float64(0.05),
    "r": np.float64(1.3),
}


@pytest.mark.parametrize("rule", SMOOTH, ids=str)
def test_central_differences(rule: Parts) -> None:
    rule = {"detach_reset": False, **rule}
    params = {k: rx.asarray(v) for k, v in PARAMS.items()}
    f = rx.jit(lambda p, x: loss(rule, p, x))
    grads, xs_grad = rx.grad(f, argnums=(0, 1))(params, rx.asarray(XS))
    expected = differences(lambda x: f(params, x), XS)
    np.testing.assert_allclose(np.asarray(xs_grad), expected, rtol=1e-6, atol=1e-7)
    for name, value in PARAMS.items():

        def at(x: Any, name: str = name) -> Any:
            return f({**params, name: x}, XS)

        expected = differences(at, value)
        found = np.asarray(grads[name])
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def backward(reset: str, detach: bool, beta: float, theta: float, vr: float) -> Any:
    """Return gradients by the recurrences of SpikingJelly's kernels, generalised."""

    def g(u: Any) -> Any:
        s = 1 / (1 + np.exp(-4 * u))
        return 4 * s * (1 - s)

    v = np.zeros(NEURONS)
    before, charged, spikes = [], [], []
    for x in XS:
        before.append(v)
        h = beta * v + x
        s = (h > theta) * 1.0
        charged.append(h)
        spikes.append(s)
        v = {"value": s * vr + (1 - s) * h, "subtract": h - s * theta, "none": h}[reset]
    dh = np.zeros(NEURONS)
    dx, dbeta, dtheta = np.zeros_like(XS), np.zeros(NEURONS), np.zeros(NEURONS)
    for t in reversed(range(TIME)):
        h, s = charged[t], spikes[t]
        slope = g(h - theta)
        r = {"value": vr - h, "subtract": -theta + 0 * h, "none": 0 * h}[reset]
        attached = 0.0 if detach else 1.0
        k = (1 - s if reset == "value" else 1) + attached * r * slope
        w = WEIGHTS[1, t] + beta * dh
        dh = w * k + WEIGHTS[0, t] * slope
        dx[t] = dh
        dbeta += dh * before[t]
        dtheta -= slope * (WEIGHTS[0, t] + attached * w * r)
        if reset == "subtract":
            dtheta -= w * s
    return dx, dbeta, dtheta


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("reset", ["value", "subtract", "none"])
def test_formulas(reset: str, detach: bool) -> None:
    ones = np.ones(NEURONS)
    params = {"beta": 0.8 * ones, "threshold": 0.9 * ones, "v_reset": -0.1 * ones}

    def total(params: Parts, xs: Any) -> Any:
        _, (spikes, trace) = snn.lif_scan(
            params,
            None,
            xs,
            reset=reset,
            detach_reset=detach,
            surrogate=snn.surrogate.logistic(4.0),
            output="both",
        )
        return (spikes * WEIGHTS[0]).sum() + (trace * WEIGHTS[1]).sum()

    given = {k: rx.asarray(v) for k, v in params.items()}
    grads, dx = rx.grad(total, argnums=(0, 1))(given, rx.asarray(XS))
    expected = backward(reset, detach, 0.8, 0.9, -0.1)
    found = dx, grads["beta"], grads["threshold"]
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(f), e, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("refractory", ["hold", "mask_input", "clamp", "substep"])
def test_a_waiting_neuron_has_no_slope(refractory: str) -> None:
    xs = rx.asarray(np.full((9, 1), 3.0))

    def spikes(xs: Any) -> Any:
        choices = {"refractory": refractory, "t_ref": 3.0, "reset": "zero"}
        return snn.lif_scan({"tau": 5.0}, None, xs, **choices)[1]

    fired = np.flatnonzero(np.asarray(spikes(xs))[:, 0])
    slopes = np.asarray(rx.grad(lambda x: spikes(x).sum())(xs))[:, 0]
    waiting = 2 if refractory == "clamp" else 3
    silent = [t for s in fired for t in range(s + 1, s + 1 + waiting) if t < 9]
    if refractory == "substep":
        # The last of three steps and a fraction is followed for a fraction.
        silent = [t for t in silent if t - 3 not in fired]
    assert fired[0] == 0
    assert not slopes[silent].any()
    assert (slopes[fired] != 0).all()


def test_a_held_potential_passes_what_comes_back() -> None:
    xs = np.full((4, 1), 2.0)

    def last(v: Any) -> Any:
        state = snn.LIFState(v, rnp.asarray(np.array([2], np.int32)))
        return snn.lif_scan({"beta": 0.5}, state, xs[:2], t_ref=2)[0].v.sum()

    assert float(rx.grad(last)(rx.asarray(np.zeros(1)))[0]) == 1.0


def test_forward_mode_agrees_with_reverse_mode() -> None:
    def f(xs: Any) -> Any:
        return snn.lif_scan({"beta": 0.9}, None, xs, output="both")[1]

    xs, dot = rx.asarray(XS), rx.asarray(WEIGHTS[0])
    outs, dots = rx.jvp(f, (xs,), (dot,))
    cts = tuple(rx.asarray(w) for w in WEIGHTS)
    (back,) = rx.vjp(f, xs)[1](cts)
    assert outs[0].shape == XS.shape
    forward = sum(float((d * c).sum()) for d, c in zip(dots, cts, strict=True))
    assert forward == pytest.approx(float((back * dot).sum()), rel=1e-10)
