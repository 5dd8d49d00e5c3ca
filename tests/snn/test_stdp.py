"""Plasticity: windows of isolated pairs, sums of traces, orders, limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore import snn

RNG = np.random.default_rng(4)
PRE = (RNG.random((60, 5)) < 0.2).astype(np.float64)
POST = (RNG.random((60, 3)) < 0.2).astype(np.float64)
W = RNG.random((5, 3)) * 0.5 + 0.25


def learn(w: Any, pre: Any, post: Any, **choices: Any) -> tuple[Any, Any]:
    traces = None
    for a, b in zip(pre, post, strict=True):
        w, traces = snn.stdp(w, traces, a, b, **choices)
    return np.asarray(w), traces


def pair(gap: int, **choices: Any) -> float:
    """Return the change of a weight by spikes `gap` steps apart, post after pre."""
    pre, post = np.zeros((80, 1)), np.zeros((80, 1))
    pre[40], post[40 + gap] = 1, 1
    w, _ = learn(np.array([[0.5]]), pre, post, **choices)
    return float(w[0, 0]) - 0.5


@pytest.mark.parametrize("gap", [1, 2, 7, 30])
def test_windows_of_isolated_pairs(gap: int) -> None:
    for order in ("traces_first", "weights_first", "pre_first"):
        choices: Any = {"tau_pre": 15.0, "tau_post": 25.0, "order": order}
        up = 0.01 * np.exp(-gap / 15.0)
        assert pair(gap, **choices) == pytest.approx(up, rel=1e-9)
        down = -0.0105 * np.exp(-gap / 25.0)
        assert pair(-gap, **choices) == pytest.approx(down, rel=1e-9)


def test_orders_differ_where_spikes_meet() -> None:
    assert pair(0, order="traces_first") == pytest.approx(0.01 - 0.0105)
    assert pair(0, order="weights_first") == 0
    assert pair(0, order="pre_first") == pytest.approx(0.01)


def test_traces_of_regular_trains() -> None:
    train = np.zeros((400, 1))
    train[3::8] = 1
    _, traces = learn(np.array([[0.5]]), train[:396], train[:396])
    expected = 1 / (1 - np.exp(-8 / 20))
    np.testing.assert_allclose(np.asarray(traces.pre), [expected], rtol=1e-6)
    _, traces = learn(np.array([[0.5]]), train[:396], train[:396], pairing="nearest")
    np.testing.assert_array_equal(np.asarray(traces.post), [1.0])


def song(w: Any, pre: Any, post: Any) -> Any:
    """Brian2's example: all of on_pre, then all of on_post."""
    w = w.copy()
    a_pre, a_post = np.zeros(5), np.zeros(3)
    decay = np.exp(-1 / 20)
    for s, z in zip(pre, post, strict=True):
        a_pre, a_post = a_pre * decay, a_post * decay
        a_pre = a_pre + 0.01 * s
        w = np.clip(w + np.outer(s, a_post), 0, 1)
        a_post = a_post - 0.0105 * z
        w = np.clip(w + np.outer(a_pre, z), 0, 1)
    return w


def test_song_and_abbott_as_brian_has_it() -> None:
    found, _ = learn(W, PRE, POST, order="pre_first")
    np.testing.assert_allclose(found, song(W, PRE, POST), rtol=1e-12)


def norse(w: Any, pre: Any, post: Any) -> Any:
    x, y = np.zeros(5), np.zeros(3)
    for s, z in zip(pre, post, strict=True):
        x, y = x + 0.02 * (-x + s), y + 0.02 * (-y + z)
        w = w + 1e-3 * np.outer(x, z) * (1 - w) - 1e-3 * np.outer(s, y) * w
    return w


def test_norse_multiplicative() -> None:
    choices: Any = {"tau_pre": 50.0, "tau_post": 50.0, "discretization": "euler"}
    found, _ = learn(
        W, PRE, POST, a_plus=1e-3, a_minus=1e-3, jump=0.02, mu=1.0, **choices
    )
    np.testing.assert_allclose(found, norse(W, PRE, POST), rtol=1e-12)


def test_weights_stay_within_limits() -> None:
    for mu in (0.0, 0.5, 1.0):
        found, _ = learn(W, PRE, POST, a_plus=0.9, a_minus=0.8, mu=mu, w_min=-0.2)
        assert (found >= -0.2).all()
        assert (found <= 1).all()
        assert np.isfinite(found).all()


def test_a_batch_adds_its_changes() -> None:
    pre, post = PRE.reshape(4, 15, 5), POST.reshape(4, 15, 3)
    traces, changes = None, 0.0
    w, traces = snn.stdp(W, None, pre[:, 0], post[:, 0])
    w, traces = snn.stdp(W, traces, pre[:, 1], post[:, 1])
    for a, b in zip(pre, post, strict=True):
        _, own = snn.stdp(W, None, a[0], b[0])
        one, own = snn.stdp(W, own, a[1], b[1])
        changes = changes + (np.asarray(one) - W)
    np.testing.assert_allclose(np.asarray(w), W + changes, rtol=1e-12)
    assert traces.pre.shape == (4, 5)


def test_it_scans_and_maps() -> None:
    def step(carry: Any, spikes: Any) -> Any:
        return snn.stdp(*carry, *spikes), None

    start = snn.STDPTraces(rnp.zeros(5, "float64"), rnp.zeros(3, "float64"))
    (w, traces), _ = rx.scan(step, (rx.asarray(W), start), (PRE, POST))
    expected, other = learn(W, PRE, POST)
    np.testing.assert_allclose(np.asarray(w), expected, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(traces.pre), np.asarray(other.pre))
    many = rx.vmap(lambda w: snn.stdp(w, None, PRE[0], POST[0])[0])(np.stack([W, W]))
    one = snn.stdp(W, None, PRE[0], POST[0])[0]
    np.testing.assert_array_equal(np.asarray(many[1]), np.asarray(one))
    there = [rx.device_put(x.astype("f4"), "opencl") for x in (W, PRE[0], POST[0])]
    found = snn.stdp(there[0], None, *there[1:])[0]
    assert found.device == "opencl"
    np.testing.assert_allclose(np.asarray(found), np.asarray(one), rtol=1e-5)
