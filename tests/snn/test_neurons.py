"""Neurons with a second variable: formulas, laws, and how Izhikevich's spike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore import snn
from tests.snn import formulas
from tests.snn.test_gradients import differences, smooth

RNG = np.random.default_rng(11)
XS = np.abs(RNG.standard_normal((200, 2, 9))) * 0.3
Run = Callable[..., Any]


def culif(state: Any, xs: Any, **more: Any) -> Any:
    params = {"beta": 0.75, "alpha": 0.5, **more.pop("params", {})}
    return snn.culif_scan(params, state, xs, **more)


def alif(state: Any, xs: Any, **more: Any) -> Any:
    params = {"beta": 0.9, "rho": 0.97, "strength": 0.4, **more.pop("params", {})}
    return snn.alif_scan(params, state, xs, **more)


def izhikevich(state: Any, xs: Any, **more: Any) -> Any:
    return snn.izhikevich_scan(more.pop("params", {}), state, xs * 40, **more)


RUNS: dict[str, Run] = {"culif": culif, "alif": alif, "izhikevich": izhikevich}


def test_current_based_neurons_follow_the_formulas() -> None:
    spikes, trace = formulas.cubalif(XS, 0.5, 0.75)
    _, out = culif(None, XS, convention="spikingjelly", output="both")
    assert 0.01 < spikes.mean() < 0.9
    np.testing.assert_array_equal(np.asarray(out[0]), spikes)
    np.testing.assert_allclose(np.asarray(out[1]), trace, rtol=1e-12)
    spikes, trace = formulas.norse_current(XS, 0.1, 0.2)
    params = {"tau": 0.01, "tau_syn": 0.005}
    _, out = snn.culif_scan(
        params, None, XS, convention="norse", dt=1e-3, output="both"
    )
    assert 0.01 < spikes.mean() < 0.9
    np.testing.assert_array_equal(np.asarray(out[0]), spikes)
    np.testing.assert_allclose(np.asarray(out[1]), trace, rtol=1e-9)


def test_a_current_may_wait_for_the_next_step() -> None:
    _, late = culif(None, XS, current_from="previous")
    _, prompt = culif(None, XS)
    np.testing.assert_array_equal(np.asarray(late)[1:], np.asarray(prompt)[:-1])


@pytest.mark.parametrize("tau", [4.0, 10.0])
def test_a_postsynaptic_potential_has_its_closed_form(tau: float) -> None:
    xs = np.zeros((60, 1))
    xs[0] = 0.3
    params = {"tau": 10.0, "tau_syn": tau, "threshold": 9.0}
    _, trace = snn.culif_scan(params, None, xs, output="trace")
    a, b, t = np.exp(-1 / tau), np.exp(-1 / 10.0), np.arange(60)
    # Equal time constants give the limit of the quotient, no 0 / 0.
    shape = (t + 1) * b**t if a == b else (a ** (t + 1) - b ** (t + 1)) / (a - b)
    np.testing.assert_allclose(np.asarray(trace)[:, 0], 0.3 * shape, rtol=1e-9)


def test_adaptive_neurons_follow_the_formulas_and_tire() -> None:
    spikes, trace = formulas.alif(XS, 0.9, 0.97, 0.4)
    state, out = alif(None, XS, output="both")
    np.testing.assert_array_equal(np.asarray(out[0]), spikes)
    np.testing.assert_allclose(np.asarray(out[1]), trace, rtol=1e-9)
    kernel = 0.97 ** np.arange(200)[::-1]
    expected = np.tensordot(kernel, spikes, 1)
    np.testing.assert_allclose(np.asarray(state.a), expected, rtol=1e-9)
    _, steady = alif(None, np.full((400, 1), 0.5))
    gaps = np.diff(np.flatnonzero(np.asarray(steady)[:, 0]))
    assert gaps[0] < gaps[-1]
    _, plain = alif(None, XS, params={"strength": 0.0})
    _, expected = snn.lif_scan({"beta": 0.9}, None, XS)
    np.testing.assert_array_equal(np.asarray(plain), np.asarray(expected))


# Presets of the paper, how they answer a step of current, and their rates.
KINDS = {
    "regular": (0.02, 0.2, -65.0, 8.0),
    "bursting": (0.02, 0.2, -55.0, 4.0),
    "chattering": (0.02, 0.2, -50.0, 2.0),
    "fast": (0.1, 0.2, -65.0, 2.0),
    "low threshold": (0.02, 0.25, -65.0, 2.0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_izhikevich_follows_the_paper(kind: str) -> None:
    a, b, c, d = KINDS[kind]
    xs = np.full((600, 3), 10.0) + RNG.standard_normal((600, 3))
    spikes, trace = formulas.izhikevich(xs, a, b, c, d)
    params = {"a": a, "b": b, "c": c, "d": d}
    _, out = snn.izhikevich_scan(params, None, xs, output="both")
    assert spikes.sum() > 10
    np.testing.assert_array_equal(np.asarray(out[0]), spikes)
    np.testing.assert_allclose(np.asarray(out[1]), trace, rtol=1e-6, atol=1e-6)


def test_kinds_of_izhikevich_differ_as_their_names_say() -> None:
    a, b, c, d = (np.array(x) for x in zip(*KINDS.values(), strict=True))
    params = {"a": a, "b": b, "c": c, "d": d}
    _, out = snn.izhikevich_scan(params, None, np.full((1000, 5), 10.0))
    count = dict(zip(KINDS, np.asarray(out).sum(0), strict=True))
    assert count["fast"] > count["chattering"] > count["regular"]
    gaps = np.diff(np.flatnonzero(np.asarray(out)[:, 2]))
    assert gaps.min() < 5 < 20 < gaps.max()


@pytest.mark.parametrize("name", RUNS)
def test_time_can_be_cut_and_transforms_compose(name: str) -> None:
    run = RUNS[name]
    whole, out = run(None, XS)
    state, first = run(None, XS[:77])
    state, second = run(state, XS[77:])
    np.testing.assert_array_equal(
        np.asarray(rnp.concatenate([first, second])), np.asarray(out)
    )
    for a, b in zip(rx.tree.leaves(state), rx.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))

    def loss(xs: Any) -> Any:
        state, out = run(None, xs)
        return (out**2).sum() + state.v.sum()

    xs = rx.asarray(XS[:30])
    rows = np.asarray(rx.jit(rx.vmap(rx.grad(loss), in_axes=1))(xs))
    for j in range(2):
        one = np.asarray(rx.grad(loss)(xs[:, j]))
        np.testing.assert_allclose(rows[j], one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", RUNS)
def test_central_differences(name: str) -> None:
    run, xs = RUNS[name], XS[:15, 0, :4]

    def soft(u: Any) -> Any:
        return smooth(u / 40 if name == "izhikevich" else u)

    def loss(xs: Any) -> Any:
        # Inputs start where no potential has run away yet.
        state, out = run(None, xs, detach_reset=False, surrogate=soft, output="both")
        return (out[0] ** 2).sum() + (out[1] * 0.01).sum() + state.v.sum() * 0.01

    if name == "izhikevich":
        xs = xs * 0.2
    found = np.asarray(rx.grad(loss)(rx.asarray(xs)))
    expected = differences(rx.jit(loss), xs)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("output", ["bool", "bits", "trace"])
def test_outputs(name: str, output: str) -> None:
    spikes = np.asarray(RUNS[name](None, XS)[1])
    found = np.asarray(RUNS[name](None, XS, output=output)[1])
    if output == "bool":
        np.testing.assert_array_equal(found, spikes == 1)
    elif output == "bits":
        packed = np.packbits(spikes == 1, axis=-1, bitorder="little")
        np.testing.assert_array_equal(found, packed)
    else:
        assert found.shape == spikes.shape
        assert found.dtype == spikes.dtype
