"""The potential of a neuron: charge, spike, reset, and the time after a spike."""

from __future__ import annotations

from typing import Any

from rxcore import numpy as rnp
from rxcore.base import dtypes
from rxcore.ops.convert import convert
from rxcore.ops.stop import stop_gradient
from rxcore.snn.convention import Rule
from rxcore.snn.parameters import Membrane, check_fits, steps_of
from rxcore.trace.bind import as_numeric

__all__ = ["advance", "resting_wait"]


def advance(
    rule: Rule, m: Membrane, v: Any, x: Any, wait: Any, threshold: Any
) -> tuple[Any, Any, Any]:
    """Return the potential after a step, the time left to wait, and the spikes.

    Args:
        rule: what was chosen.
        m: coefficients.
        v: potentials before the step.
        x: inputs of the step.
        wait: what is left of refractory times.
        threshold: where neurons spike now; a reset subtracts that of `m`.
    """
    if rule.is_late:
        h, spike = _late(rule, m, v, x, threshold)
        return h, wait, spike
    if not rule.t_ref:
        h = charge(rule, m, v, x)
        spike = rule.fire(h - threshold)
        return reset(rule, m, h, spike), wait, spike
    if rule.refractory == "substep":
        return _precise(rule, m, v, x, wait, threshold)
    return _waiting(rule, m, v, x, wait, threshold)


def charge(rule: Rule, m: Membrane, v: Any, x: Any) -> Any:
    """Return the potential that has decayed for a step and taken its input."""
    x = x if m.gain is None else m.gain * x
    if m.decay is not None:
        rest = x if m.leak is None else (1 - m.decay) * m.leak + x
        return m.decay * v + rest
    way = -v if m.leak is None else m.leak - v
    if rule.joins:
        way = way + x
    way = way / m.steps if m.rate is None else m.rate * way
    return v + way if rule.joins else v + way + x


def reset(rule: Rule, m: Membrane, v: Any, spike: Any) -> Any:
    """Return the potential after spikes have reset it."""
    if rule.reset == "none":
        return v
    gone = stop_gradient(spike) if rule.detach_reset else spike
    if rule.reset == "subtract":
        return v - gone * m.threshold
    if rule.detach_reset:
        return rnp.where(gone > 0, 0 if m.reset is None else m.reset, v)
    kept = (1 - gone) * v
    return kept if m.reset is None else kept + gone * m.reset


def _late(rule: Rule, m: Membrane, v: Any, x: Any, threshold: Any) -> tuple[Any, Any]:
    """Reset in the step after a spike; the state shows the potential before it."""
    past = rule.fire(v - threshold)
    if rule.reset == "subtract" and rule.reset_delay:
        # The threshold is taken from the potential that has decayed already.
        h = reset(rule, m, charge(rule, m, v, x), past)
    else:
        h = charge(rule, m, reset(rule, m, v, past), x)
    return h, past if rule.spike_from == "previous" else rule.fire(h - threshold)


def _waiting(
    rule: Rule, m: Membrane, v: Any, x: Any, wait: Any, threshold: Any
) -> tuple[Any, Any, Any]:
    busy = wait > 0
    if rule.refractory == "mask_input":
        h = charge(rule, m, v, rnp.where(busy, 0, x))
    else:
        h = rnp.where(busy, v, charge(rule, m, v, x))
    spike = rnp.where(busy, 0, rule.fire(h - threshold))
    left = rnp.maximum(wait - 1, 0)
    wait = rnp.where(spike > 0, steps_of(rule), left)
    return reset(rule, m, h, spike), wait, spike


def _precise(
    rule: Rule, m: Membrane, v: Any, x: Any, wait: Any, threshold: Any
) -> tuple[Any, Any, Any]:
    """Follow the input for the rest of a step only, and solve for the spike's time.

    Between steps the potential is an exponential, so that both the part of the step
    that is left after a refractory time and the moment of a spike are exact.
    """
    wait = rnp.maximum(wait - rule.dt, 0)
    share = 1 - m.decay
    drive = (x if m.gain is None else m.gain * x) / share
    goal = drive if m.leak is None else drive + m.leak
    free = rnp.clip(rule.dt - wait, 0, rule.dt)
    h = v - (goal - v) * rnp.expm1(-free / m.tau)
    spike = rule.fire(h - threshold)
    over = rnp.where(spike > 0, (h - threshold) / (goal - threshold), 0)
    moment = rule.dt + m.tau * rnp.log1p(-over)
    wait = rnp.where(spike > 0, rule.t_ref + moment, wait)
    return reset(rule, m, h, spike), stop_gradient(wait), spike


def resting_wait(
    call: str, rule: Rule, shape: tuple[int, ...], dtype: Any, given: Any = None
) -> Any:
    """Return the time left to wait: what was given, or none at rest.

    It is None where there is no refractory time.

    Raises:
        ShapeError: when what was given does not fit the neurons.
    """
    if not rule.t_ref:
        return None
    kind = dtype if rule.refractory == "substep" else dtypes.int32
    if given is None:
        return rnp.zeros(shape, kind)
    found = convert(as_numeric(given, f"{call} (state.wait)"), kind)
    check_fits(call, "state.wait", found.shape, shape)
    return rnp.broadcast_to(found, shape)
