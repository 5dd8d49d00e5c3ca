"""Parameters of neurons: what is allowed, and the coefficients of a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors, tree
from rxcore.base.dtypes import DType
from rxcore.ops.convert import convert
from rxcore.runtime.array import Array, asarray
from rxcore.snn.convention import Rule
from rxcore.trace.bind import as_numeric

__all__ = [
    "MEMBRANE",
    "Membrane",
    "check_fits",
    "checked",
    "currents",
    "decay_of",
    "known",
    "membrane",
    "per_neuron",
    "started",
    "state_dtype",
    "steps_of",
]

MEMBRANE = ("beta", "tau", "threshold", "v_reset", "v_leak", "r")
Params = Mapping[str, Any]


@tree.register
@frozen
class Membrane:
    """The coefficients of a potential's step: scalars, or one per neuron.

    Args:
        decay: what is left of a potential after a step; None in an Euler step.
        rate: the share of the way that an Euler step goes; None for another step.
        steps: the time constant in steps, where an Euler step divides by it.
        tau: the time constant where the time of spikes is asked for, else None.
        gain: what inputs are multiplied by; None for 1.
        leak: where the potential decays to; None for 0.
        threshold: where it spikes.
        reset: where a spike sends it; None for 0.
    """

    decay: Any
    rate: Any
    steps: Any
    tau: Any
    gain: Any
    leak: Any
    threshold: Any
    reset: Any


def state_dtype(xs: Any) -> DType:
    """Return the dtype of the state: potentials of halves are kept in float32."""
    return dtypes.float32 if xs.dtype in dtypes.HALVES else xs.dtype


def currents(call: str, xs: Any) -> Any:
    """Return the inputs of a scan over time as an array.

    Raises:
        DTypeError: when they are not real floating.
        ShapeError: when they have no axis of time.
    """
    xs = as_numeric(xs, call)
    if not dtypes.is_float(xs.dtype):
        raise errors.DTypeError(
            f"{call}: xs must be real floating, got {xs.type}; convert it"
            " (.astype('float32'))"
        )
    if not xs.ndim:
        raise errors.ShapeError(
            f"{call}: xs has rank 0; it must have time as axis 0, (time, neurons...)"
        )
    return xs


def checked(
    call: str,
    rule: Rule,
    params: Params,
    xs: Any,
    pairs: Sequence[tuple[str, str]] = (("beta", "tau"),),
    allowed: Sequence[str] = MEMBRANE,
) -> dict[str, Any]:
    """Return the parameters as arrays.

    Args:
        call: the function's name, for errors.
        rule: the neuron's rule.
        params: what `rule_of` returned.
        xs: inputs over time.
        pairs: (decay, time constant): one of each pair must be given.
        allowed: names of parameters.

    Raises:
        UserError: when a parameter is unknown, missing or given twice, or a value
            that is known is out of range.
        ShapeError: when a parameter does not broadcast to the neurons.
    """
    dtype, shape = state_dtype(xs), xs.shape[1:]
    unknown = [k for k in params if k not in allowed]
    if unknown:
        raise errors.UserError(
            f"{call}: there is no parameter {unknown[0]!r}; there are"
            f" {', '.join(allowed)}"
        )
    for decay, tau in pairs:
        if (decay in params) == (tau in params):
            what = "both" if decay in params else "neither"
            raise errors.UserError(
                f"{call}: params must have either {decay!r} (the decay per step) or"
                f" {tau!r} (the time constant), got {what}"
            )
        _check_values(call, params.get(decay), decay, _is_fraction, "in [0, 1]")
        _check_tau(call, rule, params.get(tau), tau)
    constants = {tau for _, tau in pairs}
    for name in params:
        if name not in constants:
            _check_values(call, params[name], name, np.isfinite, "finite")
    _check_limits(call, rule, params)
    found = {k: _value(call, k, v, dtype) for k, v in params.items()}
    for name, x in found.items():
        _check_parameter(call, name, x, shape)
    return found


def _value(call: str, name: str, value: Any, dtype: DType) -> Any:
    """Return a parameter as an array; numbers take the state's dtype at once."""
    if isinstance(value, int | float) and not isinstance(value, np.generic):
        return asarray(value, dtype)
    return as_numeric(value, f"{call} (params[{name!r}])")


def _check_parameter(call: str, name: str, x: Any, shape: tuple[int, ...]) -> None:
    if not (dtypes.is_float(x.dtype) or dtypes.is_integer(x.dtype)):
        raise errors.DTypeError(
            f"{call}: params[{name!r}] must be real numbers, got {x.type}"
        )
    check_fits(call, f"params[{name!r}]", x.shape, shape)


def check_fits(
    call: str, name: str, found: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    """Check that something broadcasts to the neurons.

    Raises:
        ShapeError: when it does not.
    """
    try:
        fits = np.broadcast_shapes(found, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise errors.ShapeError(
            f"{call}: {name} has shape {found}, which does not broadcast"
            f" to the neurons' shape {shape} (that of xs without time)"
        )


def _check_limits(call: str, rule: Rule, params: Params) -> None:
    """Check that a time constant can be told from a decay where it is needed."""
    if rule.t_ref and rule.refractory == "substep":
        what, good = "refractory='substep'", (lambda x: (x > 0) & (x < 1))
        words = "between 0 and 1"
        _check_values(call, params.get("tau"), "tau", np.isfinite, f"finite for {what}")
    elif rule.gain == "dt/tau" and rule.discretization == "exact":
        what, good, words = "gain='dt/tau'", (lambda x: x > 0), "positive"
    else:
        return
    _check_values(call, params.get("beta"), "beta", good, f"{words} for {what}")


def _is_fraction(x: Any) -> Any:
    return (x >= 0) & (x <= 1)


def _check_tau(call: str, rule: Rule, value: Any, name: str) -> None:
    _check_values(call, value, name, lambda x: x > 0, "positive")
    if rule.discretization == "euler":
        found = known(value)
        if found is not None and (rule.dt > 2 * found).any():
            least = float(found.min())
            raise errors.UserError(
                f"{call}: dt={rule.dt} is more than twice {name}={least:.6g}: Euler's"
                f" steps grow without limit; take dt <= {2 * least:.6g}, or"
                " discretization='exact'"
            )


def _check_values(
    call: str, value: Any, name: str, good: Callable[[Any], Any], words: str
) -> None:
    found = known(value)
    if found is None or found.dtype.kind not in "biuf":
        return
    wrong = ~good(found)
    if wrong.any():
        raise errors.UserError(
            f"{call}: params[{name!r}] must be {words}, got"
            f" {float(found[wrong].ravel()[0]):.6g}"
        )


def known(value: Any) -> Any:
    """Return a value that can be looked at now, or None."""
    if isinstance(value, int | float | np.ndarray | np.generic | list | tuple):
        return np.asarray(value)
    if isinstance(value, Array) and value.on_host:
        return np.asarray(value)
    return None


def decay_of(rule: Rule, params: Params, decay: str, tau: str, dtype: DType) -> Any:
    """Return what is left after a step of what decays."""
    if decay in params:
        return convert(params[decay], dtype)
    rate = rule.dt / convert(params[tau], dtype)
    return 1 - rate if rule.discretization == "euler" else rnp.exp(-rate)


def membrane(rule: Rule, params: Params, dtype: DType) -> Membrane:
    """Return the coefficients of a step from checked parameters."""

    def get(name: str) -> Any:
        return convert(params[name], dtype) if name in params else None

    decay = decay_of(rule, params, "beta", "tau", dtype)
    euler = rule.discretization == "euler" and "tau" in params
    joins = euler and rule.joins
    # One time unit per step: divide by tau, as who counts in steps does.
    divides = euler and rule.dt == 1
    precise = rule.t_ref and rule.refractory == "substep"
    threshold = get("threshold")
    return Membrane(
        decay=None if euler else decay,
        rate=rule.dt / get("tau") if euler and not divides else None,
        steps=get("tau") if divides else None,
        tau=_tau(rule, params, decay, dtype) if precise else None,
        gain=get("r") if joins else _gain(rule, params, decay, dtype),
        leak=get("v_leak"),
        threshold=convert(as_numeric(1.0), dtype) if threshold is None else threshold,
        reset=get("v_reset") if rule.reset == "value" else None,
    )


def _tau(rule: Rule, params: Params, decay: Any, dtype: DType) -> Any:
    if "tau" in params:
        return convert(params["tau"], dtype)
    return -rule.dt / rnp.log(decay)


def _gain(rule: Rule, params: Params, decay: Any, dtype: DType) -> Any:
    r = convert(params["r"], dtype) if "r" in params else None
    if rule.gain == "unit":
        return None
    if rule.gain == "r":
        return r
    if rule.gain == "1-decay" or rule.discretization == "euler":
        share = 1 - decay
    else:
        share = rule.dt / _tau(rule, params, decay, dtype)
    return share if r is None else share * r


def started(
    call: str, name: str, value: Any, rest: Any, shape: tuple[int, ...], dtype: DType
) -> Any:
    """Return a part of the state: what was given, or what is so at rest.

    Raises:
        ShapeError: when its shape is not that of the neurons.
    """
    if value is None:
        start = 0.0 if rest is None else rest
        return rnp.broadcast_to(convert(as_numeric(start), dtype), shape)
    found = as_numeric(value, f"{call} (state.{name})")
    if found.shape != shape:
        raise errors.ShapeError(
            f"{call}: state.{name} has shape {found.shape}, the neurons have {shape}"
            " (that of xs without time)"
        )
    return convert(found, dtype)


def per_neuron(coefficients: Any, shape: tuple[int, ...]) -> Any:
    """Return coefficients that every neuron has its own copy of.

    Nothing is copied: the kernel reads the number. But the gradient of a number that
    all neurons share would be a sum within each step of time; so each neuron adds up
    its own over time, and they are added once.
    """
    return tree.map_(lambda c: rnp.broadcast_to(c, shape), coefficients)


def steps_of(rule: Rule) -> int:
    """Return how many steps after a spike the neuron does not follow its input."""
    count = math.floor(rule.t_ref / rule.dt + 0.5)
    return max(count - 1, 0) if rule.refractory == "clamp" else count
