"""Neurons of other packages, written out in NumPy from their formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Pair = tuple[Any, Any]


def over_time(step: Callable[..., Pair], start: Any, xs: Any) -> Pair:
    """Return spikes and potentials of a step `(state, x) -> (state, spikes)`."""
    state, spikes, trace = start, [], []
    for x in xs:
        state, s = step(state, x)
        spikes.append(s)
        trace.append(state[0] if isinstance(state, tuple) else state)
    return np.stack(spikes).astype(xs.dtype), np.stack(trace)


def norse(xs: Any, tau_inv: float, dt: float, v_th: float, v_reset: float) -> Pair:
    """`lif_box_feed_forward_step`."""
    rate = xs.dtype.type(dt * tau_inv)

    def step(v: Any, x: Any) -> Pair:
        v = v + rate * ((0 - v) + x)
        z = v > v_th
        return (1 - z) * v + z * xs.dtype.type(v_reset), z

    return over_time(step, np.zeros_like(xs[0]), xs)


def spikingjelly(xs: Any, tau: float, v_reset: float | None, decay_input: bool) -> Pair:
    """`LIFNode`; `v_reset=None` is its soft reset."""
    t, low = xs.dtype.type(tau), xs.dtype.type(v_reset or 0)

    def step(v: Any, x: Any) -> Pair:
        h = v + (x - (v - low)) / t if decay_input else v - (v - low) / t + x
        s = (h >= 1).astype(xs.dtype)
        return h - s if v_reset is None else s * low + (1 - s) * h, s

    return over_time(step, np.full_like(xs[0], low), xs)


def cubalif(xs: Any, c: float, d: float) -> Pair:
    """SpikingJelly's `CUBALIF` with a hard reset to 0."""

    def step(state: Any, x: Any) -> Pair:
        v, i = state
        i = xs.dtype.type(c) * i + x
        h = xs.dtype.type(d) * v + i
        s = h >= 1
        return (np.where(s, 0, h), i), s

    return over_time(step, (np.zeros_like(xs[0]), np.zeros_like(xs[0])), xs)


def norse_current(xs: Any, a_mem: float, a_syn: float) -> Pair:
    """`lif_feed_forward_step`: the current jumps, charges, then decays."""

    def step(state: Any, x: Any) -> Pair:
        v, i = state
        i = i + x
        v = v + a_mem * ((0 - v) + i)
        i = i - a_syn * i
        z = v > 1
        return ((1 - z) * v, i), z

    return over_time(step, (np.zeros_like(xs[0]), np.zeros_like(xs[0])), xs)


def spyx(xs: Any, beta: float) -> Pair:
    """`LIF`: the potential of the last step spikes."""

    def step(v: Any, x: Any) -> Pair:
        s = (v - 1 > 0).astype(xs.dtype)
        return xs.dtype.type(beta) * v + x - s, s

    return over_time(step, np.zeros_like(xs[0]), xs)


def nengo(xs: Any, tau: float, t_ref: float, dt: float) -> Pair:
    """`LIF.step`, spikes as ones."""

    def step(state: Any, x: Any) -> Pair:
        v, wait = state
        wait = wait - dt
        free = np.clip(dt - wait, 0, dt)
        v = v - (x - v) * np.expm1(-free / tau)
        s = v > 1
        moment = dt + tau * np.log1p(-(v[s] - 1) / (x[s] - 1))
        v = np.where(s, 0, v)
        wait[s] = t_ref + moment
        return (v, wait), s

    return over_time(step, (np.zeros_like(xs[0]), np.zeros_like(xs[0])), xs)


def bindsnet(xs: Any, decay: float, refrac: int) -> Pair:
    """`LIFNodes` with rest and reset at 0: inputs are masked after a spike."""

    def step(state: Any, x: Any) -> Pair:
        v, count = state
        v = decay * v
        x = np.where(count > 0, 0, x)
        count = count - 1
        v = v + x
        s = v >= 1
        return (np.where(s, 0, v), np.where(s, refrac, count)), s

    return over_time(step, (np.zeros_like(xs[0]), np.zeros_like(xs[0])), xs)


def izhikevich(xs: Any, a: Any, b: Any, c: Any, d: Any) -> Pair:
    """The script of the paper: two half steps of v, then u."""

    def step(state: Any, x: Any) -> Pair:
        v, u = state
        for _ in range(2):
            v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + x)
        u = u + a * (b * v - u)
        s = v >= 30
        return (np.where(s, c, v), np.where(s, u + d, u)), s

    start = np.full_like(xs[0], c), np.full_like(xs[0], b * c)
    return over_time(step, start, xs)


def alif(xs: Any, beta: float, rho: float, strength: float) -> Pair:
    """An adaptive neuron as of Bellec et al., reset by subtraction."""

    def step(state: Any, x: Any) -> Pair:
        v, a = state
        v = beta * v + x
        s = (v - (1 + strength * a) > 0).astype(xs.dtype)
        return (v - s, rho * a + s), s

    return over_time(step, (np.zeros_like(xs[0]), np.zeros_like(xs[0])), xs)
