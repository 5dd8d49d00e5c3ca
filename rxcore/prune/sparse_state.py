"""The state of sparse training: steps, masks, counts, and what was chosen."""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs import frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors, tree
from rxcore.ops.convert import convert

__all__ = ["RigL", "SparseState"]


@frozen
class RigL:
    """What there is to choose about changing connections.

    **Meaning**::

        due(step) = begin <= step < end and (step - begin) % frequency == 0
        t = (step - begin) / (end - begin)
        cosine:    f = fraction / 2 * (1 + np.cos(np.pi * t))
        constant:  f = fraction
        power:     f = fraction * (1 - t)**exponent
        changed = np.trunc(f * active)                  # or np.rint

    Args:
        begin: the first step at which connections change.
        end: from this step on they stay; about three quarters of training.
        frequency: steps from one change to the next.
        fraction: the share of active weights that is dropped at first: 0.3 as the
            paper has it, 0.1 in jaxpruner.
        decay: "cosine", "constant" or "power".
        exponent: of "power".
        rounding: "truncate", as the paper's code, or "nearest" (halves to even), as
            jaxpruner.
        regrow: whether a weight just dropped may grow again at once, and then keeps its
            value, as in both; otherwise only weights that were inactive grow.
        grown: the value of grown weights: "zeros"; "gradient_sign" and "gradient":
            minus `scale` times the gradient's sign, or the gradient; "normal": random
            with the deviation of active weights times `scale` (needs a key).
        scale: of the other values.
        drop: "magnitude": the smallest; "signed": the same share of the smallest
            positive and of the largest negative weights, as SET has it.
        moments: which moments of the optimizer become 0: "inactive": all but those of
            weights that stay active; "grown": of grown weights only, as both peers do.
    """

    begin: int = 0
    end: int = 10_000
    frequency: int = 100
    fraction: float = 0.3
    decay: Literal["cosine", "constant", "power"] = "cosine"
    exponent: float = 1.0
    rounding: Literal["truncate", "nearest"] = "truncate"
    regrow: bool = True
    grown: Literal["zeros", "gradient_sign", "gradient", "normal"] = "zeros"
    scale: float = 1.0
    drop: Literal["magnitude", "signed"] = "magnitude"
    moments: Literal["inactive", "grown"] = "inactive"

    def __attrs_post_init__(self) -> None:
        """Refuse what makes no schedule."""
        call = "prune.rigl_init"
        if not 0 <= self.begin < self.end:
            raise errors.UserError(
                f"{call}: begin={self.begin}, end={self.end}; expected 0 <= begin < end"
            )
        if self.frequency < 1:
            raise errors.UserError(f"{call}: frequency={self.frequency}; expected >= 1")
        if not 0 <= self.fraction <= 1:
            raise errors.UserError(
                f"{call}: fraction={self.fraction}; expected 0 <= fraction <= 1"
            )
        for name, known_values in _CHOICES.items():
            if getattr(self, name) not in known_values:
                raise errors.UserError(
                    f"{call}: {name}={getattr(self, name)!r}; expected one of"
                    f" {', '.join(known_values)}"
                )

    def due(self, step: Any) -> Any:
        """Say whether connections change at a step."""
        inside = (step >= self.begin) & (step < self.end)
        return inside & ((step - self.begin) % self.frequency == 0)

    def share(self, step: Any) -> Any:
        """Return the share of active weights that is dropped at a step, in float64."""
        past = convert(step, dtypes.float64) - self.begin
        t = rnp.clip(past / (self.end - self.begin), 0.0, 1.0)
        if self.decay == "cosine":
            return self.fraction / 2 * (1 + rnp.cos(rnp.pi * t))
        if self.decay == "power":
            return self.fraction * (1 - t) ** self.exponent
        return self.fraction + 0 * t

    def changed(self, active: Any, step: Any) -> Any:
        """Return how many of the active weights change: int32."""
        wanted = self.share(step) * convert(active, dtypes.float64)
        whole = rnp.trunc if self.rounding == "truncate" else rnp.round
        return convert(whole(wanted), dtypes.int32)


_CHOICES = {
    "decay": ("cosine", "constant", "power"),
    "rounding": ("truncate", "nearest"),
    "grown": ("zeros", "gradient_sign", "gradient", "normal"),
    "drop": ("magnitude", "signed"),
    "moments": ("inactive", "grown"),
}


@tree.register
@frozen
class SparseState:
    """The state of `rigl_step` and `set_step`.

    Args:
        step: int32, how many steps were made.
        masks: bool arrays like the parameters, True is active; None where a leaf stays
            dense.
        active: int32 counts of active weights like the masks; they never change.
        config: the choices, a `RigL`.
    """

    step: Any
    masks: Any
    active: Any
    config: RigL = attrs.field(metadata={"static": True})
