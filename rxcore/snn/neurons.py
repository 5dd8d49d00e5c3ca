"""Neurons with a second variable: a current, an adaptation, a recovery."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from rxcore.base import errors, tree
from rxcore.ops.convert import convert
from rxcore.snn.convention import CURRENT_BASED, Rule, rule_of
from rxcore.snn.neuron_scan import neuron_scan
from rxcore.snn.parameters import (
    MEMBRANE,
    checked,
    currents,
    decay_of,
    membrane,
    per_neuron,
    started,
    state_dtype,
)
from rxcore.snn.potential import advance, resting_wait
from rxcore.snn.run import finished, given_state, program, shown

__all__ = ["ALIFState", "CuLIFState", "alif_scan", "culif_scan"]

_CULIF = (*MEMBRANE, "alpha", "tau_syn")
_ALIF = (*MEMBRANE, "rho", "tau_adapt", "strength")


@tree.register
@frozen
class CuLIFState:
    """The state of `culif_scan`.

    Args:
        v: potentials.
        i: synaptic currents, after the input of the last step.
        wait: what is left of the refractory time, as in `LIFState`.
    """

    v: Any
    i: Any
    wait: Any = None


@tree.register
@frozen
class ALIFState:
    """The state of `alif_scan`.

    Args:
        v: potentials.
        a: adaptations: decaying counts of spikes.
        wait: what is left of the refractory time, as in `LIFState`.
    """

    v: Any
    a: Any
    wait: Any = None


def culif_scan(
    params: Any,
    state: Any,
    xs: Any,
    *,
    convention: str | None = None,
    current_from: str = "new",
    dt: float = 1.0,
    **choices: Any,
) -> tuple[Any, Any]:
    """Run leaky integrate-and-fire neurons whose inputs pass a decaying current.

    **Meaning**, with the defaults:

        v, i, out = np.zeros(neurons), np.zeros(neurons), []
        for x in xs:
            i = alpha * i + x                # alpha = np.exp(-dt / tau_syn)
            v = beta * v + i
            s = (v > threshold) * 1.0
            v = v - s * threshold
            out.append(s)

    Args:
        params: as for `lif_scan`, and either "alpha", the decay of currents per step,
            or "tau_syn", their time constant.
        state: the state that an earlier call returned; None at rest.
        xs: floating inputs (time, neurons...).
        convention: "snntorch" (Synaptic), "norse" (lif_feed_forward_step) or
            "spikingjelly" (CUBALIF).
        current_from: "new": potentials take the current of this step; "previous":
            that of the step before.
        dt: the time between two steps, in the unit of time constants.
        choices: the other arguments of `lif_scan`.

    Returns:
        The last `CuLIFState`, and the output (time, neurons...).

    Raises:
        UserError: as `lif_scan`.
        ShapeError: when a parameter or the state does not fit the neurons.
        DTypeError: when xs is not floating.

    Example:
        >>> import rxcore as rx
        >>> params = {"beta": 0.9, "alpha": 0.5}
        >>> xs = rx.numpy.full((4, 1), 0.4)
        >>> state, spikes = rx.snn.culif_scan(params, None, xs)
        >>> spikes[:, 0]
        Array([0., 0., 1., 1.], dtype=float32)

    Paper: Cramer et al., "The Heidelberg spiking data sets for the systematic
    evaluation of spiking neural networks", 2022.
    """
    call = "culif_scan"
    if current_from not in ("new", "previous"):
        raise errors.UserError(
            f"{call}: current_from must be 'new' or 'previous', got {current_from!r}"
        )
    rule, params = _rule(call, convention, params, CURRENT_BASED, dt, choices)
    xs = currents(call, xs)
    pairs = (("beta", "tau"), ("alpha", "tau_syn"))
    params = checked(call, rule, params, xs, pairs, _CULIF)
    given_state(call, state, CuLIFState)
    return program(_culif, rule, current_from)(params, state, xs)  # type: ignore[no-any-return]


def alif_scan(
    params: Any,
    state: Any,
    xs: Any,
    *,
    convention: str | None = None,
    dt: float = 1.0,
    **choices: Any,
) -> tuple[Any, Any]:
    """Run leaky integrate-and-fire neurons whose threshold rises with their spikes.

    **Meaning**, with the defaults:

        v, a, out = np.zeros(neurons), np.zeros(neurons), []
        for x in xs:
            v = beta * v + x
            s = (v > threshold + strength * a) * 1.0
            v = v - s * threshold
            a = rho * a + s                  # rho = np.exp(-dt / tau_adapt)
            out.append(s)

    Args:
        params: as for `lif_scan`; either "rho", the decay of adaptations per step, or
            "tau_adapt", their time constant; and "strength", how much a spike raises
            the threshold.
        state: the state that an earlier call returned; None at rest.
        xs: floating inputs (time, neurons...).
        convention: as for `lif_scan`; the reset may not be delayed.
        dt: the time between two steps, in the unit of time constants.
        choices: the other arguments of `lif_scan`.

    Returns:
        The last `ALIFState`, and the output (time, neurons...).

    Raises:
        UserError: as `lif_scan`, and when the reset is delayed or `strength` missing.
        ShapeError: when a parameter or the state does not fit the neurons.
        DTypeError: when xs is not floating.

    Example:
        >>> import rxcore as rx
        >>> params = {"beta": 0.9, "rho": 0.95, "strength": 0.5}
        >>> xs = rx.numpy.full((6, 1), 0.6)
        >>> state, spikes = rx.snn.alif_scan(params, None, xs)
        >>> spikes[:, 0]
        Array([0., 1., 0., 0., 1., 0.], dtype=float32)

    Paper: Bellec et al., "A solution to the learning dilemma for recurrent networks of
    spiking neurons", 2020.
    """
    call = "alif_scan"
    rule, params = _rule(call, convention, params, None, dt, choices)
    if rule.is_late:
        raise errors.UserError(
            f"{call}: a threshold that moves needs a reset in the step of the spike;"
            " pass reset_delay=False and spike_from='new'"
        )
    if "strength" not in params:
        raise errors.UserError(
            f"{call}: params must have 'strength': how much a spike raises the"
            " threshold"
        )
    xs = currents(call, xs)
    pairs = (("beta", "tau"), ("rho", "tau_adapt"))
    params = checked(call, rule, params, xs, pairs, _ALIF)
    given_state(call, state, ALIFState)
    return program(_alif, rule)(params, state, xs)  # type: ignore[no-any-return]


_CHOICES = (
    *("discretization", "gain", "reset", "reset_delay", "spike_at", "spike_from"),
    *("refractory", "t_ref", "detach_reset", "surrogate", "output"),
)


def _rule(
    call: str, convention: Any, params: Any, table: Any, dt: float, choices: Any
) -> tuple[Rule, Any]:
    unknown = [name for name in choices if name not in _CHOICES]
    if unknown:
        raise TypeError(
            f"{call}: there is no argument {unknown[0]!r}; there are"
            f" {', '.join(_CHOICES)}"
        )
    tables = {} if table is None else {"table": table}
    return rule_of(call, convention, params, **tables, dt=dt, **choices)


def _culif(
    rule: Rule, current_from: str, params: Any, state: Any, xs: Any
) -> tuple[CuLIFState, Any]:
    call, dtype, shape = "culif_scan", state_dtype(xs), xs.shape[1:]
    m = membrane(rule, params, dtype)
    alpha = decay_of(rule, params, "alpha", "tau_syn", dtype)
    given = given_state(call, state, CuLIFState)
    start = CuLIFState(
        started(call, "v", given["v"], m.leak, shape, dtype),
        started(call, "i", given["i"], None, shape, dtype),
        resting_wait(call, rule, shape, dtype, given["wait"]),
    )

    def step(p: Any, s: CuLIFState, x: Any) -> tuple[CuLIFState, Any]:
        m, alpha = p
        i = alpha * s.i + convert(x, dtype)
        drive = i if current_from == "new" else s.i
        v, wait, spike = advance(rule, m, s.v, drive, s.wait, m.threshold)
        return CuLIFState(v, i, wait), shown(rule, spike, v, x.dtype)

    end, out = neuron_scan(step, per_neuron((m, alpha), shape), start, xs)
    return end, finished(rule, out)


def _alif(rule: Rule, params: Any, state: Any, xs: Any) -> tuple[ALIFState, Any]:
    call, dtype, shape = "alif_scan", state_dtype(xs), xs.shape[1:]
    m = membrane(rule, params, dtype)
    rho = decay_of(rule, params, "rho", "tau_adapt", dtype)
    strength = convert(params["strength"], dtype)
    given = given_state(call, state, ALIFState)
    start = ALIFState(
        started(call, "v", given["v"], m.leak, shape, dtype),
        started(call, "a", given["a"], None, shape, dtype),
        resting_wait(call, rule, shape, dtype, given["wait"]),
    )

    def step(p: Any, s: ALIFState, x: Any) -> tuple[ALIFState, Any]:
        m, rho, strength = p
        threshold = m.threshold + strength * s.a
        v, wait, spike = advance(rule, m, s.v, convert(x, dtype), s.wait, threshold)
        return ALIFState(v, rho * s.a + spike, wait), shown(rule, spike, v, x.dtype)

    end, out = neuron_scan(step, per_neuron((m, rho, strength), shape), start, xs)
    return end, finished(rule, out)
