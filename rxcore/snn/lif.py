"""Leaky integrate-and-fire neurons."""

from __future__ import annotations

import functools
from typing import Any

from attrs import frozen

from rxcore.base import tree
from rxcore.snn.convention import Rule, rule_of
from rxcore.snn.neuron_scan import neuron_scan
from rxcore.snn.parameters import (
    checked,
    currents,
    membrane,
    per_neuron,
    started,
    state_dtype,
)
from rxcore.snn.potential import advance, resting_wait
from rxcore.snn.run import finished, given_state, program, shown

__all__ = ["LIFState", "lif_scan"]


@tree.register
@frozen
class LIFState:
    """The state of `lif_scan`.

    Args:
        v: potentials.
        wait: what is left of the refractory time: int32 steps, or a time where it is
            counted within steps; None without such a time.
    """

    v: Any
    wait: Any = None


def lif_scan(
    params: Any,
    state: Any,
    xs: Any,
    *,
    convention: str | None = None,
    dt: float = 1.0,
    discretization: str | None = None,
    gain: str | None = None,
    reset: str | None = None,
    reset_delay: bool | None = None,
    spike_at: str | None = None,
    spike_from: str | None = None,
    refractory: str | None = None,
    t_ref: float | None = None,
    detach_reset: bool | None = None,
    surrogate: Any = None,
    output: str | None = None,
) -> tuple[Any, Any]:
    """Run leaky integrate-and-fire neurons over time, as one kernel.

    **Meaning**, with the defaults:

        v, out = np.zeros(neurons), []
        for x in xs:
            v = beta * v + x                 # beta = np.exp(-dt / tau)
            s = (v > threshold) * 1.0
            v = v - s * threshold
            out.append(s)

    Args:
        params: a mapping of numbers, or arrays that broadcast to the neurons. Either
            "beta", the decay per step, or "tau", the time constant; "threshold"
            (default 1); "v_leak", where the potential decays to (0); "v_reset", where
            `reset="value"` sends it (0), which other resets ignore; "r", a resistance
            that multiplies inputs unless `gain="unit"` is asked for.
        state: the state that an earlier call returned; None at rest.
        xs: floating inputs (time, neurons...).
        convention: "snntorch", "norse", "spikingjelly", "nir", "spyx" or "nengo": the
            choices of that package fill all arguments but `dt` that are not given.
        dt: the time between two steps, in the unit of tau.
        discretization: "exact", decay by `exp(-dt / tau)`; "euler", by `1 - dt / tau`.
        gain: what inputs are multiplied by: "unit" 1, "r", "1-decay" (times r), or
            "dt/tau" (times r).
        reset: what a spike does: "subtract" the threshold, go to "zero" or to
            "value" (the default where v_reset is given and no convention), or "none".
        reset_delay: whether the reset waits for the next step; the potential in the
            state has then not been reset.
        spike_at: ">" or ">=".
        spike_from: "new": the potential after this step spikes; "previous": that
            before it, one step late.
        refractory: what happens within `t_ref` after a spike: "hold" the potential;
            "mask_input", decay without input; "clamp", hold for one step less (as
            where a counter falls before it is asked); "substep", count the time
            within steps exactly.
        t_ref: the refractory time; 0 for none.
        detach_reset: whether gradients ignore that spikes reset.
        surrogate: a function from the distance to the threshold to spikes, with a
            derivative of its own: see `snn.surrogate`. Default `lorentz(2.0)`.
        output: "spikes"; "trace", potentials after each step; "both", the pair of
            them; "bool"; or "bits", uint8 with eight neurons of the last axis to a
            byte, the first in the lowest bit.

    Returns:
        The last `LIFState`, and the output (time, neurons...) in the dtype of xs.
        Potentials of float16 and bfloat16 inputs are kept in float32.

    Raises:
        UserError: when a choice or a parameter is unknown or out of range; when `dt`
            is more than twice tau and Euler's steps would grow. Values are checked
            where they are known: not inside of `jit`.
        ShapeError: when a parameter or the state does not fit the neurons.
        DTypeError: when xs is not floating.

    Example:
        >>> import rxcore as rx
        >>> xs = rx.numpy.full((6, 1), 0.6)
        >>> state, spikes = rx.snn.lif_scan({"beta": 0.9}, None, xs)
        >>> spikes[:, 0]
        Array([0., 1., 0., 1., 0., 1.], dtype=float32)

    Paper: Neftci, Mostafa and Zenke, "Surrogate gradient learning in spiking neural
    networks", 2019.
    """
    rule, params = rule_of(
        "lif_scan",
        convention,
        params,
        dt=dt,
        discretization=discretization,
        gain=gain,
        reset=reset,
        reset_delay=reset_delay,
        spike_at=spike_at,
        spike_from=spike_from,
        refractory=refractory,
        t_ref=t_ref,
        detach_reset=detach_reset,
        surrogate=surrogate,
        output=output,
    )
    xs = currents("lif_scan", xs)
    params = checked("lif_scan", rule, params, xs)
    given_state("lif_scan", state, LIFState)
    return program(_run, rule)(params, state, xs)  # type: ignore[no-any-return]


def _run(rule: Rule, params: Any, state: Any, xs: Any) -> tuple[LIFState, Any]:
    dtype, shape = state_dtype(xs), xs.shape[1:]
    m = membrane(rule, params, dtype)
    given = given_state("lif_scan", state, LIFState)
    start = LIFState(
        started("lif_scan", "v", given["v"], m.leak, shape, dtype),
        resting_wait("lif_scan", rule, shape, dtype, given["wait"]),
    )
    end, out = neuron_scan(
        functools.partial(_step, rule), per_neuron(m, shape), start, xs
    )
    return end, finished(rule, out)


def _step(rule: Rule, m: Any, state: LIFState, x: Any) -> tuple[LIFState, Any]:
    current = x.astype(state.v.dtype)
    v, wait, s = advance(rule, m, state.v, current, state.wait, m.threshold)
    return LIFState(v, wait), shown(rule, s, v, x.dtype)
