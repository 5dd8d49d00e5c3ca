"""What every neuron of this field shares: from checked arguments to a compiled run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import attrs

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.control.jit import jit
from rxcore.ops.convert import convert
from rxcore.snn.convention import Rule

__all__ = ["finished", "given_state", "program", "shown"]


@functools.lru_cache(maxsize=512)
def program(run: Callable[..., Any], *static: Any) -> Callable[..., Any]:
    """Return a run over time, compiled once for a rule and each set of types."""
    made: Callable[..., Any] = jit(functools.partial(run, *static))
    return made


def given_state(call: str, state: Any, kind: Any) -> dict[str, Any]:
    """Return the parts of a state by name; all None at rest.

    Raises:
        TreeError: when it is no state of that kind.
    """
    names = [f.name for f in attrs.fields(kind)]
    if state is None:
        return dict.fromkeys(names)
    if not isinstance(state, kind):
        raise errors.TreeError(
            f"{call}: state must be None (at rest) or the {kind.__name__} of an"
            f" earlier call, got {type(state).__name__}"
        )
    return {name: getattr(state, name) for name in names}


def shown(rule: Rule, spike: Any, v: Any, dtype: DType) -> Any:
    """Return what a step puts out."""
    if rule.output == "trace":
        return convert(v, dtype)
    if rule.output in ("bool", "bits"):
        return spike > 0
    spikes = convert(spike, dtype)
    return (spikes, convert(v, dtype)) if rule.output == "both" else spikes


def finished(rule: Rule, out: Any) -> Any:
    """Return a scan's output, as bits where they are asked for.

    Raises:
        ShapeError: when there is no axis of neurons whose bits share bytes.
    """
    if rule.output != "bits":
        return out
    if out.ndim < 2:
        raise errors.ShapeError(
            "output='bits' packs the last axis of neurons, but xs has time alone; give"
            " xs an axis (xs[:, None]), or take output='bool'"
        )
    return packed(out)


def packed(spikes: Any) -> Any:
    """Pack bools eight to a byte along the last axis, the first in the lowest bit."""
    *front, count = spikes.shape
    bits = convert(spikes, dtypes.uint8)
    missing = -count % 8
    if missing:
        bits = rnp.pad(bits, [(0, 0)] * len(front) + [(0, missing)])
    byte = bits[..., 0::8]
    for k in range(1, 8):
        byte = byte | (bits[..., k::8] << k)
    return byte
