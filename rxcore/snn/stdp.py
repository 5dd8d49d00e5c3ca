"""Plasticity by the times of spikes: pairs, through decaying traces."""

from __future__ import annotations

import math
from typing import Any

from attrs import frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors, tree
from rxcore.ops.convert import convert
from rxcore.snn.run import program
from rxcore.trace.bind import as_numeric

__all__ = ["STDPTraces", "stdp"]

_ORDERS = ("traces_first", "weights_first", "pre_first")


@tree.register
@frozen
class STDPTraces:
    """Decaying traces of spikes.

    Args:
        pre: of the neurons that send, (..., n).
        post: of those that receive, (..., m).
    """

    pre: Any
    post: Any


@frozen
class _Rule:
    decay_pre: float
    decay_post: float
    a_plus: float
    a_minus: float
    jump: float
    nearest: bool
    order: str
    mu: float
    w_min: float
    w_max: float


def stdp(
    w: Any,
    traces: Any,
    pre: Any,
    post: Any,
    *,
    tau_pre: float = 20.0,
    tau_post: float = 20.0,
    a_plus: float = 0.01,
    a_minus: float = 0.0105,
    dt: float = 1.0,
    discretization: str = "exact",
    jump: float = 1.0,
    pairing: str = "all",
    order: str = "traces_first",
    mu: float = 0.0,
    w_min: float = 0.0,
    w_max: float = 1.0,
) -> tuple[Any, Any]:
    """Change weights by one step of spike-timing-dependent plasticity.

    **Meaning**, with the defaults:

        x = np.exp(-dt / tau_pre) * x + pre            # traces
        y = np.exp(-dt / tau_post) * y + post
        up = (w_max - w)**mu * np.outer(x, post)
        down = (w - w_min)**mu * np.outer(pre, y)
        w = np.clip(w + a_plus * up - a_minus * down, w_min, w_max)

    Args:
        w: floating weights (n, m), from n neurons to m.
        traces: the `STDPTraces` that an earlier call returned; None for zeros.
        pre: spikes (..., n) of the neurons that send; changes are summed over leading
            axes, that is over a batch.
        post: spikes (..., m) of those that receive.
        tau_pre: time constant of the trace of pre, positive.
        tau_post: time constant of the trace of post, positive.
        a_plus: how much a pair of pre before post adds.
        a_minus: how much a pair of post before pre takes away.
        dt: the time of a step.
        discretization: traces decay by `exp(-dt / tau)` ("exact"), or by
            `1 - dt / tau` ("euler").
        jump: what a spike adds to its trace.
        pairing: "all" adds the jump to the trace, so that all pairs count; "nearest"
            sets the trace to the jump, so that the last spike counts.
        order: "traces_first": a pair in one step counts on both sides;
            "weights_first": on none, as traces jump after the weights have changed;
            "pre_first": as pre before post, as if pre's spikes came first.
        mu: 0 for changes that do not depend on w, 1 for changes in proportion to what
            is left to the limit, and powers between.
        w_min: the least weight.
        w_max: the largest weight.

    Returns:
        The weights, and the `STDPTraces` after this step.

    Raises:
        UserError: when a number or a word is out of range.
        ShapeError: when spikes, traces and weights do not fit.
        DTypeError: when w is not floating.

    Example:
        >>> import rxcore as rx
        >>> w = rx.numpy.full((1, 1), 0.5)
        >>> on, off = rx.numpy.ones(1), rx.numpy.zeros(1)
        >>> w, traces = rx.snn.stdp(w, None, on, off)
        >>> w, traces = rx.snn.stdp(w, traces, off, on)
        >>> rx.numpy.round(w, 4)
        Array([[0.5095]], dtype=float32)

    Paper: Song, Miller and Abbott, "Competitive Hebbian learning through
    spike-timing-dependent synaptic plasticity", 2000.
    """
    for name, value, values in (
        ("pairing", pairing, ("all", "nearest")),
        ("order", order, _ORDERS),
    ):
        if value not in values:
            raise errors.UserError(
                f"stdp: {name} must be one of {', '.join(map(repr, values))}, got"
                f" {value!r}"
            )
    told = {"tau_pre": tau_pre, "tau_post": tau_post, "a_plus": a_plus}
    told |= {"a_minus": a_minus, "dt": dt, "jump": jump, "mu": mu}
    _check_numbers({**told, "w_min": w_min, "w_max": w_max})
    if not (w_min < w_max and mu >= 0):
        raise errors.UserError(
            "stdp: w_min must lie below w_max and mu must not be negative, got"
            f" w_min={w_min}, w_max={w_max}, mu={mu}"
        )
    if mu and math.inf in (w_max, -w_min):
        raise errors.UserError(
            f"stdp: mu={mu} takes what is left to w_min and w_max, so they must be"
            f" finite, got w_min={w_min} and w_max={w_max}"
        )
    rule = _Rule(
        decay_pre=_decay("tau_pre", tau_pre, dt, discretization),
        decay_post=_decay("tau_post", tau_post, dt, discretization),
        a_plus=float(a_plus),
        a_minus=float(a_minus),
        jump=float(jump),
        nearest=pairing == "nearest",
        order=order,
        mu=float(mu),
        w_min=float(w_min),
        w_max=float(w_max),
    )
    w, pre, post = (as_numeric(x, "stdp") for x in (w, pre, post))
    _check_shapes(w, traces, pre, post)
    return program(_step, rule)(w, traces, pre, post)  # type: ignore[no-any-return]


# Slow traces and open ranges have no end; all else does.
_ENDLESS = ("tau_pre", "tau_post", "w_min", "w_max")


def _check_numbers(values: dict[str, Any]) -> None:
    for name, value in values.items():
        try:
            found = float(value)
        except (TypeError, ValueError):
            raise errors.UserError(
                f"stdp: {name} must be a number, got {type(value).__name__}"
            ) from None
        if math.isnan(found) or (math.isinf(found) and name not in _ENDLESS):
            raise errors.UserError(f"stdp: {name} must be finite, got {value}")


def _decay(name: str, tau: float, dt: float, discretization: str) -> float:
    if discretization not in ("exact", "euler"):
        raise errors.UserError(
            f"stdp: discretization must be 'exact' or 'euler', got {discretization!r}"
        )
    if not (tau > 0 and dt > 0):
        raise errors.UserError(
            f"stdp: {name} and dt must be positive, got {tau} and {dt}"
        )
    if discretization == "exact":
        return math.exp(-dt / tau)
    if dt > 2 * tau:
        raise errors.UserError(
            f"stdp: dt={dt} is more than twice {name}={tau}: Euler's steps grow without"
            " limit; take a smaller dt, or discretization='exact'"
        )
    return 1 - dt / tau


def _check_shapes(w: Any, traces: Any, pre: Any, post: Any) -> None:
    if not dtypes.is_float(w.dtype):
        raise errors.DTypeError(f"stdp: w must be real floating, got {w.type}")
    fits = (
        w.ndim == 2
        and pre.ndim
        and post.ndim
        and pre.shape[:-1] == post.shape[:-1]
        and (pre.shape[-1], post.shape[-1]) == w.shape
    )
    if not fits:
        raise errors.ShapeError(
            "stdp: expected w (n, m), pre (..., n) and post (..., m), got"
            f" {w.shape}, {pre.shape} and {post.shape}"
        )
    if traces is None:
        return
    if not isinstance(traces, STDPTraces):
        raise errors.TreeError(
            "stdp: traces must be None or the STDPTraces of an earlier call, got"
            f" {type(traces).__name__}"
        )
    got = (traces.pre.shape, traces.post.shape)
    if got != (pre.shape, post.shape):
        raise errors.ShapeError(
            f"stdp: traces have shapes {got[0]} and {got[1]}, the spikes"
            f" {pre.shape} and {post.shape}; they must be equal"
        )


def _step(
    rule: _Rule, w: Any, traces: Any, pre: Any, post: Any
) -> tuple[Any, STDPTraces]:
    pre, post = convert(pre, w.dtype), convert(post, w.dtype)
    if traces is None:
        traces = STDPTraces(rnp.zeros_like(pre), rnp.zeros_like(post))
    x, y = rule.decay_pre * traces.pre, rule.decay_post * traces.post
    jumped = STDPTraces(_jumped(rule, x, pre), _jumped(rule, y, post))
    if rule.order != "weights_first":
        x = jumped.pre
    if rule.order == "traces_first":
        y = jumped.post
    up, down = _outer(x, post), _outer(pre, y)
    if rule.mu:
        up = _power(rule.w_max - w, rule.mu) * up
        down = _power(w - rule.w_min, rule.mu) * down
    w = w + rule.a_plus * up - rule.a_minus * down
    return rnp.clip(w, rule.w_min, rule.w_max), jumped


def _jumped(rule: _Rule, trace: Any, spikes: Any) -> Any:
    if rule.nearest:
        return rnp.where(spikes > 0, rule.jump, trace)
    return trace + (spikes if rule.jump == 1 else rule.jump * spikes)


def _outer(a: Any, b: Any) -> Any:
    """Return products of all pairs, summed over leading axes."""
    if a.ndim == 1:
        return a[:, None] * b[None, :]
    rows = (-1, a.shape[-1]), (-1, b.shape[-1])
    return a.reshape(rows[0]).T @ b.reshape(rows[1])


def _power(room: Any, mu: float) -> Any:
    room = rnp.maximum(room, 0)
    return room if mu == 1 else rnp.power(room, mu)
