"""Izhikevich's neuron: two equations, twenty ways of spiking."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import evolve, frozen

from rxcore import numpy as rnp
from rxcore.base import errors, tree
from rxcore.ops.convert import convert
from rxcore.ops.stop import stop_gradient
from rxcore.snn import surrogate as shapes
from rxcore.snn.convention import Rule, rule_of
from rxcore.snn.neuron_scan import neuron_scan
from rxcore.snn.parameters import (
    checked,
    currents,
    known,
    per_neuron,
    started,
    state_dtype,
)
from rxcore.snn.run import finished, given_state, program, shown

__all__ = ["IzhikevichState", "izhikevich_scan"]

_NAMES = ("a", "b", "c", "d", "peak")
# A regular spiking neuron of the cortex.
_REGULAR = {"a": 0.02, "b": 0.2, "c": -65.0, "d": 8.0, "peak": 30.0}
_LONGEST = 1.0


@tree.register
@frozen
class IzhikevichState:
    """The state of `izhikevich_scan`.

    Args:
        v: potentials in mV.
        u: recoveries.
    """

    v: Any
    u: Any


def izhikevich_scan(
    params: Any,
    state: Any,
    xs: Any,
    *,
    dt: float = 1.0,
    substeps: int = 2,
    detach_reset: bool = True,
    surrogate: Any = None,
    output: str | None = None,
) -> tuple[Any, Any]:
    """Run Izhikevich's neurons over time, as one kernel.

    **Meaning**, with the defaults (times in ms, potentials in mV):

        v, u, out = np.full(neurons, c), b * c, []
        for x in xs:
            for _ in range(substeps):
                v = v + dt / substeps * (0.04 * v**2 + 5 * v + 140 - u + x)
            u = u + dt * a * (b * v - u)
            s = (v >= peak) * 1.0
            v, u = np.where(s, c, v), u + s * d
            out.append(s)

    Args:
        params: a mapping of numbers, or arrays that broadcast to the neurons: "a"
            (0.02), "b" (0.2), "c" (-65), "d" (8) and "peak" (30).
        state: the state that an earlier call returned; None at `v = c, u = b * c`.
        xs: floating inputs (time, neurons...).
        dt: the time between two steps, in ms.
        substeps: in how many steps the potential goes that way; the paper takes two.
        detach_reset: whether gradients ignore that spikes reset.
        surrogate: as for `lif_scan`, of the distance to the peak in mV. Default:
            `snn.surrogate.lorentz(0.1)`.
        output: as for `lif_scan`.

    Returns:
        The last `IzhikevichState`, and the output (time, neurons...).

    Raises:
        UserError: when a parameter is unknown, a step of the potential is longer than
            1 ms, or `a * dt` is above 2 and recoveries would grow without limit.
        ShapeError: when a parameter or the state does not fit the neurons.
        DTypeError: when xs is not floating.

    Example:
        >>> import rxcore as rx
        >>> xs = rx.numpy.full((200, 1), 10.0)
        >>> state, spikes = rx.snn.izhikevich_scan({}, None, xs)
        >>> int(spikes.sum())
        5

    Paper: Izhikevich, "Simple model of spiking neurons", 2003.
    """
    call = "izhikevich_scan"
    rule, params = rule_of(
        call,
        None,
        params,
        dt=dt,
        detach_reset=detach_reset,
        surrogate=shapes.lorentz(0.1) if surrogate is None else surrogate,
        output=output,
    )
    if isinstance(rule.surrogate, shapes.Surrogate):
        rule = evolve(rule, spike_at=">=")
    xs = currents(call, xs)
    params = checked(call, rule, params, xs, (), _NAMES)
    _check_steps(call, rule.dt, substeps, params)
    given_state(call, state, IzhikevichState)
    return program(_run, rule, int(substeps))(params, state, xs)  # type: ignore[no-any-return]


def _check_steps(
    call: str, dt: float, substeps: Any, params: Mapping[str, Any]
) -> None:
    whole = isinstance(substeps, numbers.Integral) and not isinstance(substeps, bool)
    if not whole or substeps < 1:
        raise errors.UserError(
            f"{call}: substeps must be a positive int, got {substeps!r}"
        )
    if dt / substeps > _LONGEST:
        raise errors.UserError(
            f"{call}: dt={dt} in {substeps} substeps is longer than {_LONGEST} ms each:"
            " potentials grow without limit; take a smaller dt or more substeps"
        )
    a = known(params.get("a"))
    if a is not None and not (a > 0).all():
        raise errors.UserError(
            f"{call}: params['a'] must be positive, got {float(np.min(a)):.6g}"
        )
    if a is not None and (a * dt > 2).any():
        raise errors.UserError(
            f"{call}: params['a'] * dt must not exceed 2, got"
            f" {float(np.max(a)) * dt:.6g}: recoveries grow without limit"
        )


def _run(
    rule: Rule, substeps: int, params: Any, state: Any, xs: Any
) -> tuple[IzhikevichState, Any]:
    call, dtype, shape = "izhikevich_scan", state_dtype(xs), xs.shape[1:]
    p = {
        k: rnp.asarray(v, dtype) if isinstance(v, float) else convert(v, dtype)
        for k, v in {**_REGULAR, **params}.items()
    }
    given = given_state(call, state, IzhikevichState)
    start = IzhikevichState(
        started(call, "v", given["v"], p["c"], shape, dtype),
        started(call, "u", given["u"], p["b"] * p["c"], shape, dtype),
    )
    end, out = neuron_scan(
        functools.partial(_step, rule, substeps), per_neuron(p, shape), start, xs
    )
    return end, finished(rule, out)


def _step(
    rule: Rule, substeps: int, p: Any, state: IzhikevichState, x: Any
) -> tuple[IzhikevichState, Any]:
    v, u = state.v, state.u
    drive = convert(x, v.dtype)
    for _ in range(substeps):
        # In the order of the paper: a bursting neuron makes much of its last bit.
        v = v + rule.dt / substeps * (0.04 * (v * v) + 5 * v + 140 - u + drive)
    u = u + rule.dt * p["a"] * (p["b"] * v - u)
    s = rule.fire(v - p["peak"])
    gone = stop_gradient(s) if rule.detach_reset else s
    v = rnp.where(s > 0, p["c"], v) if rule.detach_reset else v + gone * (p["c"] - v)
    return IzhikevichState(v, u + gone * p["d"]), shown(rule, s, v, x.dtype)
