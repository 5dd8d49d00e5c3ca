"""Conventions: what packages do differently under the name of one neuron.

Each choice is an argument with a name; a convention is a row of choices.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

from attrs import fields, frozen

from rxcore.base import errors
from rxcore.snn import surrogate as shapes

__all__ = ["CONVENTIONS", "CURRENT_BASED", "Convention", "Rule", "rule_of"]

OPTIONS: dict[str, tuple[Any, ...]] = {
    "discretization": ("exact", "euler"),
    "gain": ("unit", "r", "1-decay", "dt/tau"),
    "reset": ("subtract", "zero", "value", "none"),
    "reset_delay": (False, True),
    "spike_at": (">", ">="),
    "spike_from": ("new", "previous"),
    "refractory": ("hold", "mask_input", "clamp", "substep"),
    "detach_reset": (True, False),
    "output": ("spikes", "trace", "both", "bool", "bits"),
}


@frozen
class Rule:
    """All that is chosen about a spiking neuron, and no array.

    Args:
        dt: the time between two steps, in the unit of time constants.
        discretization: decay by `exp(-dt / tau)` ("exact") or `1 - dt / tau` ("euler").
        gain: what an input is multiplied by.
        reset: what a spike does to the potential.
        reset_delay: whether the reset waits for the next step.
        spike_at: ">" or ">=": whether meeting the threshold is enough.
        spike_from: whether the potential after ("new") or before the step spikes.
        refractory: how a neuron behaves within `t_ref` after a spike.
        t_ref: that time; 0 for none.
        detach_reset: whether gradients ignore that spikes reset.
        surrogate: the function from the distance to the threshold to spikes.
        output: what is returned for each step.
    """

    dt: float
    discretization: str
    gain: str
    reset: str
    reset_delay: bool
    spike_at: str
    spike_from: str
    refractory: str
    t_ref: float
    detach_reset: bool
    surrogate: Callable[..., Any]
    output: str

    @property
    def joins(self) -> bool:
        """Say whether inputs join the way to rest that an Euler step goes."""
        return self.discretization == "euler" and self.gain in ("1-decay", "dt/tau")

    @property
    def is_late(self) -> bool:
        """Say whether the state keeps a potential that has not been reset."""
        return self.reset_delay or self.spike_from == "previous"

    def fire(self, u: Any) -> Any:
        """Return spikes for distances to the threshold."""
        if isinstance(self.surrogate, shapes.Surrogate):
            return self.surrogate(u, self.spike_at)
        return self.surrogate(u)


@frozen
class Convention:
    """A row of choices, as a package makes them.

    Args:
        choices: arguments of `lif_scan` by name.
        rests_at_reset: whether the potential decays towards `v_reset` where no
            `v_leak` is given.
    """

    choices: Mapping[str, Any]
    rests_at_reset: bool = False


_PLAIN: dict[str, Any] = {
    "discretization": "exact",
    "gain": "unit",
    "reset": "subtract",
    "reset_delay": False,
    "spike_at": ">",
    "spike_from": "new",
    "refractory": "hold",
    "t_ref": 0.0,
    "detach_reset": True,
    "surrogate": shapes.lorentz(2.0),
    "output": "spikes",
}
CONVENTIONS: dict[str, Convention] = {
    # Leaky: the reset of a spike is applied in the step after it.
    "snntorch": Convention({"reset_delay": True}),
    # lif_box_feed_forward_step.
    "norse": Convention(
        {
            "discretization": "euler",
            "gain": "dt/tau",
            "reset": "value",
            "detach_reset": False,
            "surrogate": shapes.rational2(100.0),
        }
    ),
    # LIFNode with decay_input=True.
    "spikingjelly": Convention(
        {
            "discretization": "euler",
            "gain": "dt/tau",
            "reset": "value",
            "spike_at": ">=",
            "detach_reset": False,
            "surrogate": shapes.logistic(4.0),
        },
        rests_at_reset=True,
    ),
    # nir.LIF, integrated as its importers do.
    "nir": Convention({"discretization": "euler", "gain": "dt/tau", "reset": "value"}),
    # LIF: a spike leaves one step late, and resets then.
    "spyx": Convention(
        {
            "reset_delay": True,
            "spike_from": "previous",
            "surrogate": shapes.rational2(25.0),
        }
    ),
    # LIF: the time of a spike within its step counts.
    "nengo": Convention({"gain": "1-decay", "reset": "zero", "refractory": "substep"}),
}


# Neurons with a current of their own: SpikingJelly adds it whole.
CURRENT_BASED: dict[str, Convention] = {
    "snntorch": CONVENTIONS["snntorch"],
    "norse": CONVENTIONS["norse"],
    "spikingjelly": Convention(
        {**CONVENTIONS["spikingjelly"].choices, "gain": "unit"}, rests_at_reset=True
    ),
}


def rule_of(
    call: str,
    convention: str | None,
    params: Any,
    table: Mapping[str, Convention] = CONVENTIONS,
    **given: Any,
) -> tuple[Rule, Any]:
    """Return the rule of explicit choices, filled from a convention, and the params.

    Raises:
        TreeError: when `params` is no mapping.
        UserError: when a choice is unknown, or two choices exclude each other.
    """
    row = Convention({})
    if convention is not None:
        if not isinstance(convention, str) or convention not in table:
            raise errors.UserError(
                f"{call}: there is no convention {convention!r}; there are"
                f" {', '.join(map(repr, table))}"
            )
        row = table[convention]
    told = {k: v for k, v in given.items() if v is not None}
    choices = {**_PLAIN, **row.choices, **told}
    if not isinstance(params, Mapping):
        raise errors.TreeError(
            f"{call}: params must be a mapping of names to arrays, got"
            f" {type(params).__name__}"
        )
    if convention is None and "reset" not in told and "v_reset" in params:
        choices["reset"] = "value"
    if "gain" not in told and "r" in params and choices["gain"] == "unit":
        choices["gain"] = "r"
    _check(call, choices)
    if row.rests_at_reset and choices["reset"] == "value" and "v_reset" in params:
        params = {"v_leak": params["v_reset"], **params}
    return Rule(**{f.name: choices[f.name] for f in fields(Rule)}), params


def _check(call: str, choices: dict[str, Any]) -> None:
    for name, values in OPTIONS.items():
        if choices[name] not in values:
            raise errors.UserError(
                f"{call}: {name} must be one of {', '.join(map(repr, values))}, got"
                f" {choices[name]!r}"
            )
    for name in ("dt", "t_ref"):
        choices[name] = _time(call, name, choices[name])
    if not choices["dt"]:
        raise errors.UserError(f"{call}: dt must be positive, got 0")
    shape = choices["surrogate"]
    if not callable(shape):
        raise errors.UserError(
            f"{call}: surrogate must be a function from u to spikes, such as"
            f" snn.surrogate.lorentz(2.0), got {type(shape).__name__}"
        )
    try:
        hash(shape)
    except TypeError:
        raise errors.UserError(
            f"{call}: programs are kept by their surrogate, so it must be hashable;"
            f" {type(shape).__name__} is not: pass a plain function"
        ) from None
    if not isinstance(shape, shapes.Surrogate) and choices["spike_at"] != ">":
        raise errors.UserError(
            f"{call}: a surrogate of your own decides by itself where it spikes; leave"
            " spike_at out, or use one of snn.surrogate"
        )
    if choices["t_ref"]:
        _check_refractory(call, choices)


def _check_refractory(call: str, choices: dict[str, Any]) -> None:
    if choices["reset_delay"] or choices["spike_from"] == "previous":
        raise errors.UserError(
            f"{call}: t_ref={choices['t_ref']} needs a reset in the step of the spike;"
            " pass reset_delay=False and spike_from='new', or t_ref=0"
        )
    if choices["refractory"] != "substep":
        return
    if choices["discretization"] != "exact" or choices["reset"] not in (
        "zero",
        "value",
    ):
        raise errors.UserError(
            f"{call}: refractory='substep' solves for the time of a spike: it needs"
            " discretization='exact' and reset='zero' or 'value', got"
            f" {choices['discretization']!r} and {choices['reset']!r}"
        )


def _time(call: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise errors.UserError(
            f"{call}: {name} must be a Python number, got {type(value).__name__}"
        )
    found = float(value)
    if not math.isfinite(found) or found < 0:
        raise errors.UserError(
            f"{call}: {name} must be finite and not negative, got {value}"
        )
    return found
