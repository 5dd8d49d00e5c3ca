"""Encoders and decoders: formulas and statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore import snn
from rxcore.snn import decode, encode

RNG = np.random.default_rng(2)
X = RNG.random((4, 7)).astype(np.float32)
SPIKES = (RNG.random((20, 4, 7)) < 0.08).astype(np.float32)
SIGNAL = np.cumsum(RNG.standard_normal((50, 6)) * 0.1, 0).astype(np.float32)


def test_poisson_has_the_rate_and_the_spread_of_coins() -> None:
    rates = np.array([0.0, 10.0, 40.0, 1000.0], np.float32)
    spikes = encode.poisson(rx.random.key(1), rates, 40_000, dt=1e-3)
    found = np.asarray(spikes)
    assert set(np.unique(found)) == {0.0, 1.0}
    p = rates * 1e-3
    spread = np.sqrt(p * (1 - p) / len(found))
    assert (abs(found.mean(0) - p) <= 4 * spread).all()
    gaps = np.diff(np.flatnonzero(found[:, 2]))
    assert gaps.mean() == pytest.approx(25, rel=0.1)
    # Intervals of coins are geometric: their spread is nearly their mean.
    assert gaps.std() == pytest.approx(np.sqrt(1 - p[2]) / p[2], rel=0.1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_codes_of_halves_are_those_of_wide_numbers(dtype: str) -> None:
    x = rx.asarray(np.linspace(0, 1, 200, dtype=np.float32)).astype(dtype)
    wide = x.astype("float32")
    key = rx.random.key(3)
    for found, expected in (
        (encode.poisson(key, x / 64, 500), encode.poisson(key, wide / 64, 500)),
        (encode.latency(x, 3000), encode.latency(wide, 3000)),
        (
            encode.latency(x, 3000, kind="log", tau=400.0),
            encode.latency(wide, 3000, kind="log", tau=400.0),
        ),
    ):
        assert str(found.dtype) == dtype
        np.testing.assert_array_equal(np.asarray(found.astype("float32")), expected)


def test_steps_may_be_numpys_integers() -> None:
    steps = np.int64(5)
    assert encode.latency(0.5, steps).shape == (5,)
    assert encode.poisson(rx.random.key(0), 0.5, steps).shape == (5,)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int64"])
def test_counts_of_whole_spikes_are_int32(dtype: str) -> None:
    found = decode.count(np.ones((300, 2), dtype))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(np.asarray(found), [300, 300])


def test_poisson_is_a_function_of_its_key() -> None:
    draw = rx.jit(lambda key: encode.poisson(key, X, 30))
    one, again, other = draw(rx.random.key(0)), draw(rx.random.key(0)), None
    other = draw(rx.random.key(5))
    np.testing.assert_array_equal(np.asarray(one), np.asarray(again))
    assert (np.asarray(one) != np.asarray(other)).any()
    there = encode.poisson(rx.random.key(0), rx.device_put(X, "opencl"), 30)
    np.testing.assert_array_equal(np.asarray(one), np.asarray(there))


@pytest.mark.parametrize("kind", ["linear", "log"])
def test_latency_is_one_spike_at_its_time(kind: str) -> None:
    choices: Any = {"kind": kind, "tau": 5.0, "threshold": 0.05}
    found = np.asarray(encode.latency(X, 12, **choices))
    if kind == "linear":
        time = np.rint(np.float32(11) * (1 - X))
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            time = np.rint(5 * np.log(X / (X - np.float32(0.05))))
        time = np.where((X > 0.05) & (time < 12), time, 99)
    expected = np.arange(12)[:, None, None] == time
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    first = np.asarray(decode.first_spike(found))
    np.testing.assert_array_equal(first, np.where(time < 12, time, 12))


def test_the_logarithm_is_when_a_leaky_neuron_crosses() -> None:
    xs = np.broadcast_to(np.linspace(0.2, 1, 9), (400, 9))
    # A charging capacitor reaches its threshold at the time of the code.
    _, spikes = snn.lif_scan(
        {"tau": 20.0, "threshold": 0.1, "v_reset": -9.0}, None, xs, gain="1-decay"
    )
    time = 20 * np.log(xs[0] / (xs[0] - 0.1))
    first = np.asarray(decode.first_spike(spikes)) + 1
    np.testing.assert_array_equal(first, np.ceil(time))


def test_delta_follows_its_formula() -> None:
    change = np.diff(SIGNAL, axis=0, prepend=SIGNAL[:1])
    up = (change >= np.float32(0.1)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(encode.delta(SIGNAL)), up)
    both = up - (change <= -np.float32(0.1))
    np.testing.assert_array_equal(np.asarray(encode.delta(SIGNAL, off=True)), both)
    first = np.asarray(encode.delta(SIGNAL, initial=SIGNAL[0] - 1))
    np.testing.assert_array_equal(first[0], np.ones(6))
    np.testing.assert_array_equal(first[1:], up[1:])


def test_decoders_follow_their_formulas() -> None:
    np.testing.assert_array_equal(np.asarray(decode.count(SPIKES)), SPIKES.sum(0))
    counts = decode.count(SPIKES == 1)
    assert counts.dtype == np.int32
    np.testing.assert_array_equal(np.asarray(counts), SPIKES.sum(0))
    found = np.asarray(decode.first_spike(SPIKES))
    expected = np.where(SPIKES.any(0), SPIKES.argmax(0), len(SPIKES))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        np.asarray(decode.max_membrane(SIGNAL)), SIGNAL.max(0)
    )
    slope = np.asarray(rx.grad(lambda v: decode.max_membrane(v).sum())(SIGNAL))
    np.testing.assert_array_equal(slope, SIGNAL.max(0) == SIGNAL)


def test_codes_compose_with_transforms() -> None:
    key = rx.random.key(3)
    keys = rx.random.split(key, 4)
    rows = rx.vmap(lambda k, x: encode.poisson(k, x, 9))(keys, rx.asarray(X))
    for k in range(4):
        one = encode.poisson(keys[k], X[k], 9)
        np.testing.assert_array_equal(np.asarray(rows[k]), np.asarray(one))
    for f in (
        lambda x: encode.latency(x, 8),
        lambda x: encode.latency(x, 8, kind="log"),
        lambda x: encode.delta(x, off=True),
        decode.count,
        decode.first_spike,
    ):
        rows = rx.jit(rx.vmap(f))(rx.asarray(X))
        for k in range(4):
            pair = np.asarray(rows[k]), np.asarray(f(X[k]))
            np.testing.assert_allclose(*pair, rtol=1e-6)


def test_spikes_of_encoders_pass_no_gradient() -> None:
    for f in (
        lambda x: encode.latency(x, 8),
        lambda x: encode.delta(x),
        lambda x: encode.poisson(rx.random.key(0), x, 4),
    ):
        assert not np.asarray(rx.grad(lambda x, f=f: f(x).sum())(X)).any()
