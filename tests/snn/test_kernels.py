"""A neuron over time is one kernel, forward and in reverse, on every target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore import snn

RNG = np.random.default_rng(5)
XS = (np.abs(RNG.standard_normal((25, 3, 70))) * 0.4).astype(np.float32)
# How much louder the currents must be for some neurons to spike.
LOUD = {"norse": 9, "spikingjelly": 9, "izhikevich": 40}
SHARP = snn.surrogate.rational2(10.0)


def by_hand(params: Any, v: Any, x: Any) -> Any:
    v = params["beta"] * v + x
    s = SHARP(v - params["threshold"])
    return v - rx.stop_gradient(s) * params["threshold"], s


def custom(xs: Any) -> Any:
    params = {"beta": 0.9, "threshold": 1.0}
    return snn.neuron_scan(by_hand, params, rnp.zeros(xs.shape[1:]), xs)[1]


def lif(**choices: Any) -> Callable[[Any], Any]:
    params = {"beta": 0.9, "threshold": 1.0}
    return lambda xs: snn.lif_scan(params, None, xs, **choices)[1]


def currents(name: str, device: str | None = None) -> Any:
    xs = XS * np.float32(LOUD.get(name, 1))
    return rx.device_put(xs, device) if device else rx.asarray(xs)


SCANS: dict[str, Callable[[Any], Any]] = {
    "custom": custom,
    "lif": lif(),
    "snntorch": lif(convention="snntorch"),
    "norse": lif(convention="norse"),
    "spikingjelly": lif(convention="spikingjelly"),
    "hold": lif(t_ref=2),
    "mask_input": lif(t_ref=2, refractory="mask_input"),
    "culif": lambda x: snn.culif_scan({"beta": 0.9, "alpha": 0.5}, None, x)[1],
    "alif": lambda x: snn.alif_scan(
        {"beta": 0.9, "rho": 0.95, "strength": 0.3}, None, x
    )[1],
    "izhikevich": lambda x: snn.izhikevich_scan({}, None, x)[1],
}


@pytest.mark.parametrize("name", SCANS)
def test_one_launch_forward_and_two_with_a_gradient(name: str) -> None:
    f, xs = SCANS[name], currents(name)
    forward = rx.inspect(rx.jit(f))(xs)
    assert forward.launches == 1
    assert len(forward.kernels) == 1
    gradient = rx.inspect(rx.jit(rx.grad(lambda x: (f(x) ** 2).sum())))(xs)
    assert gradient.launches == 2
    assert len(gradient.kernels) == 2


def test_numbers_that_neurons_share_keep_the_reverse_loop_whole() -> None:
    def loss(params: Any, xs: Any) -> Any:
        return (snn.lif_scan(params, None, xs)[1] ** 2).sum()

    params = {"beta": rx.asarray(0.9), "threshold": rx.asarray(1.0)}
    made = rx.inspect(rx.jit(rx.grad(loss, (0, 1))))(params, rx.asarray(XS))
    # Both loops over time, and a sum over neurons for each number.
    assert made.launches == 4


def test_a_step_by_hand_gives_what_lif_scan_gives() -> None:
    xs = rx.asarray(XS)
    runs = custom, lif(surrogate=SHARP)
    found, expected = (np.asarray(f(xs)) for f in runs)
    assert expected.any()
    np.testing.assert_array_equal(found, expected)
    grads = [rx.grad(lambda x, f=f: (f(x) ** 2).sum())(xs) for f in runs]
    pair = [np.asarray(g) for g in grads]
    np.testing.assert_allclose(*pair, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", SCANS)
def test_opencl_gives_the_spikes_of_the_cpu(name: str) -> None:
    f = rx.jit(SCANS[name])
    xs = [currents(name), currents(name, "opencl")]
    here, there = map(f, xs)
    assert there.device == "opencl"
    assert np.asarray(here).any()
    np.testing.assert_array_equal(np.asarray(there), np.asarray(here))
    g = rx.jit(rx.grad(lambda x: (SCANS[name](x) ** 2).sum()))
    pair = [np.asarray(g(x)) for x in xs]
    np.testing.assert_allclose(*pair, rtol=1e-5, atol=1e-6)


def test_a_scan_of_pytrees_and_a_python_loop_agree() -> None:
    def step(params: Any, state: Any, x: Any) -> Any:
        i = params["alpha"] * state["i"] + x["in"]
        v = params["beta"] * state["v"] + i - x["inhibition"]
        s = SHARP(v - 1)
        return {"v": v - s, "i": i}, (s, v)

    params = {"alpha": 0.5, "beta": rx.asarray(np.linspace(0.7, 0.9, 70, dtype="f4"))}
    xs = {"in": rx.asarray(XS), "inhibition": rx.asarray(XS[::-1] * 0.5)}
    start = {"v": rnp.zeros((3, 70)), "i": rnp.zeros((3, 70))}
    end, out = snn.neuron_scan(step, params, start, xs)
    state, rows = start, []
    one = rx.jit(step)
    for t in range(len(XS)):
        state, row = one(params, state, {k: x[t] for k, x in xs.items()})
        rows.append(row)
    for k in (0, 1):
        pair = np.asarray(out[k]), np.stack([np.asarray(r[k]) for r in rows])
        np.testing.assert_array_equal(*pair)
    for k in ("v", "i"):
        np.testing.assert_array_equal(np.asarray(end[k]), np.asarray(state[k]))
