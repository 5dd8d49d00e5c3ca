"""Spikes and gradients of packages, where they are installed."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore import snn

RNG = np.random.default_rng(9)
XS = (np.abs(RNG.standard_normal((100, 8, 64))) * 0.3).astype(np.float32)


def load(name: str) -> Any:
    """Import a package; what it warns of is not ours."""
    return pytest.importorskip(name, exc_type=ImportError)


def run(neuron: Any, start: Any, xs: Any) -> tuple[Any, Any]:
    torch = load("torch")
    state, spikes, trace = start, [], []
    for x in xs:
        s, *state = neuron(x, *state)
        spikes.append(s)
        trace.append(state[-1])
    return torch.stack(spikes), torch.stack(trace)


def values(x: Any) -> Any:
    return x.detach().numpy()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_snntorch_leaky(reset: str) -> None:
    torch, peer = load("torch"), load("snntorch")
    neuron = peer.Leaky(
        beta=0.9, threshold=0.8, reset_mechanism=reset, learn_threshold=True
    )
    xs = torch.from_numpy(XS).requires_grad_(True)
    spikes, trace = run(neuron, (torch.zeros(8, 64),), xs)
    params = {"beta": 0.9, "threshold": np.float32(0.8)}
    # What a convention has no use for does not change it.
    params |= {"r": 1.0, "v_leak": 0.0, "v_reset": 0.0}

    def forward(params: Any, xs: Any) -> Any:
        choices: Any = {"convention": "snntorch", "reset": reset, "output": "both"}
        return snn.lif_scan(params, None, xs, **choices)[1]

    found = forward(params, XS)
    np.testing.assert_array_equal(np.asarray(found[0]), values(spikes))
    np.testing.assert_allclose(
        np.asarray(found[1]), values(trace), rtol=1e-5, atol=1e-6
    )
    weights = RNG.standard_normal(XS.shape).astype(np.float32)
    wanted = (xs, neuron.threshold)
    dx, dt = torch.autograd.grad((spikes * torch.from_numpy(weights)).sum(), wanted)
    grads, own = rx.grad(lambda p, x: (forward(p, x)[0] * weights).sum(), (0, 1))(
        params, XS
    )
    np.testing.assert_allclose(np.asarray(own), values(dx), rtol=1e-4, atol=1e-4)
    found_t = np.asarray(grads["threshold"])
    np.testing.assert_allclose(found_t, values(dt), rtol=1e-3, atol=0.05)


@pytest.mark.filterwarnings("ignore")
def test_snntorch_synaptic() -> None:
    torch, peer = load("torch"), load("snntorch")
    neuron = peer.Synaptic(alpha=0.5, beta=0.8)
    start = (torch.zeros(8, 64), torch.zeros(8, 64))
    spikes, trace = run(neuron, start, torch.from_numpy(XS))
    params = {"alpha": 0.5, "beta": 0.8}
    _, found = snn.culif_scan(params, None, XS, convention="snntorch", output="both")
    np.testing.assert_array_equal(np.asarray(found[0]), values(spikes))
    np.testing.assert_allclose(
        np.asarray(found[1]), values(trace), rtol=1e-5, atol=1e-6
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("peer", "own"),
    [
        ("fast_sigmoid", "snntorch.fast_sigmoid"),
        ("atan", "snntorch.atan"),
        ("sigmoid", "snntorch.sigmoid"),
        ("spike_rate_escape", "snntorch.spike_rate_escape"),
        ("straight_through_estimator", "snntorch.straight_through_estimator"),
    ],
)
def test_snntorch_surrogates(peer: str, own: str) -> None:
    torch = load("torch")
    load("snntorch")
    module = importlib.import_module("snntorch.surrogate")
    u = torch.linspace(-2, 2, 81, dtype=torch.float64).requires_grad_(True)
    spikes = getattr(module, peer)()(u)
    (slope,) = torch.autograd.grad(spikes.sum(), u)
    surrogate = snn.surrogate.PUBLISHED[own]
    np.testing.assert_array_equal(np.asarray(surrogate(values(u))), values(spikes))
    found = np.asarray(surrogate.derivative(values(u)))
    np.testing.assert_allclose(found, values(slope), rtol=1e-6, atol=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_norse_box() -> None:
    torch = load("torch")
    load("norse")
    box = importlib.import_module("norse.torch.functional.lif_box")
    p = box.LIFBoxParameters()
    state, rows = box.LIFBoxFeedForwardState(v=torch.zeros(8, 64)), []
    for x in torch.from_numpy(XS * 8):
        z, state = box.lif_box_feed_forward_step(x, state, p)
        rows.append(z)
    _, found = snn.lif_scan({"tau": 0.01}, None, XS * 8, convention="norse", dt=1e-3)
    np.testing.assert_array_equal(np.asarray(found), values(torch.stack(rows)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tau", [2.0, 20.0])
def test_spikingjelly_lif(tau: float) -> None:
    torch = load("torch")
    load("spikingjelly")
    neuron = importlib.import_module("spikingjelly.activation_based.neuron")
    node = neuron.LIFNode(tau=tau, step_mode="m")
    spikes = node(torch.from_numpy(XS * 8))
    _, found = snn.lif_scan({"tau": tau}, None, XS * 8, convention="spikingjelly")
    np.testing.assert_array_equal(np.asarray(found), values(spikes))
