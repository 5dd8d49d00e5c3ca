"""Training after pruning: a learning rate that rises and falls, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from attrs import frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors, tree
from rxcore.ops.convert import convert
from rxcore.trace.bind import as_numeric
from rxcore.transforms.arguments import numeric_leaves

__all__ = ["EarlyStopping", "StopState", "early_stopping", "warmup_cosine"]


def warmup_cosine(
    peak: float, steps: int, *, warmup: int = 0, start: float = 0.0, end: float = 0.0
) -> Callable[[Any], Any]:
    """Return a learning rate that rises along a line, then falls along half a cosine.

    **Meaning**::

        if step < warmup: start + (peak - start) * step / warmup
        else: end + (peak - end) * (1 + cos(pi * share)) / 2,
              share = min((step - warmup) / (steps - warmup), 1)

    Args:
        peak: the highest learning rate, about a tenth of that of training.
        steps: how many steps it takes to reach `end`, the rise included.
        warmup: how many steps the rise takes; moments settle on the masked weights.
        start: the learning rate of step 0, when there is a rise.
        end: the learning rate from `steps` on.

    Returns:
        A function of the integer step, which optimizers of `rx.optim` take.

    Raises:
        UserError: when not 0 <= warmup < steps.

    Example:
        >>> import rxcore as rx
        >>> rate = rx.prune.warmup_cosine(1.0, 6, warmup=2)
        >>> [round(float(rate(t)), 2) for t in (0, 1, 2, 4, 6, 9)]
        [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]

    Paper: Le and Hua, "Network pruning that matters: a case study on retraining
    variants", 2021.
    """
    if not 0 <= warmup < steps:
        raise errors.UserError(
            f"prune.warmup_cosine: warmup={warmup} of steps={steps}; expected"
            " 0 <= warmup < steps"
        )

    def rate(step: Any) -> Any:
        number = convert(as_numeric(step, "prune.warmup_cosine"), dtypes.float32)
        share = rnp.clip((number - warmup) / (steps - warmup), 0.0, 1.0)
        fall = end + (peak - end) * (0.5 * (1 + rnp.cos(math.pi * share)))
        if not warmup:
            return fall
        rise = start + (peak - start) * (number / warmup)
        return rnp.where(number < warmup, rise, fall)

    return rate


@tree.register
@frozen
class StopState:
    """The state of `early_stopping`.

    Args:
        best: the best value so far, float32.
        kept: what was given with it: parameters, masks, the optimizer's state.
        waited: int32, how many updates went by since without a better one.
        stop: bool, whether training should stop.
    """

    best: Any
    kept: Any
    waited: Any
    stop: Any


@frozen
class EarlyStopping:
    """A pair of pure functions that remembers the best of training.

    **Meaning**::

        state = stopping.init(everything)
        state = stopping.update(value, everything, state)  # after each evaluation
        if state.stop:
            everything = state.kept

    Args:
        init: takes a pytree of everything to restore; returns a `StopState`.
        update: takes a value, everything, and the state; returns the state.
    """

    init: Callable[[Any], StopState]
    update: Callable[[Any, Any, StopState], StopState]


def early_stopping(
    patience: int, min_delta: float = 0.0, mode: Literal["min", "max"] = "min"
) -> EarlyStopping:
    """Return a watch that says when nothing has become better for a while.

    **Meaning**, for mode "min"::

        better = value < best - min_delta
        kept = everything if better else kept
        waited = 0 if better else waited + 1
        stop = waited >= patience

    It keeps all that it is given, so that parameters, masks and the optimizer's state
    come back together: `everything = (params, masks, opt_state)`. NaN is never better.

    Args:
        patience: how many evaluations in a row may bring nothing.
        min_delta: by how much a value must be better to count.
        mode: "min" for losses, "max" for accuracies.

    Returns:
        An `EarlyStopping`; both functions work inside `jit`.

    Raises:
        UserError: when `patience` is not positive or `min_delta` is negative.

    Example:
        >>> import rxcore as rx
        >>> stopping = rx.prune.early_stopping(2)
        >>> state = stopping.init(rx.asarray(0))
        >>> for k, loss in enumerate([3.0, 1.0, 2.0, 1.5]):
        ...     state = stopping.update(loss, rx.asarray(k), state)
        >>> bool(state.stop), int(state.kept)
        (True, 1)

    Paper: Prechelt, "Early stopping - but when?", 1998.
    """
    call = "prune.early_stopping"
    if patience < 1:
        raise errors.UserError(f"{call}: patience={patience}; expected >= 1")
    if not min_delta >= 0:
        raise errors.UserError(f"{call}: min_delta={min_delta}; expected >= 0")
    if mode not in ("min", "max"):
        raise errors.UserError(f"{call}: mode={mode!r}; expected 'min' or 'max'")
    sign = 1 if mode == "min" else -1

    def init(everything: Any) -> StopState:
        best = rnp.asarray(np.float32(sign * np.inf))
        zero = rnp.asarray(0, dtypes.int32)
        return StopState(best, everything, zero, rnp.asarray(False))

    def update(value: Any, everything: Any, state: StopState) -> StopState:
        value = convert(as_numeric(value, call), dtypes.float32)
        if value.shape:
            raise errors.ShapeError(
                f"{call}: the value has shape {value.shape}; expected one number"
            )
        better = sign * value < sign * state.best - min_delta
        leaves, treedef = numeric_leaves(everything, call)
        before, found = numeric_leaves(state.kept, call)
        if found != treedef:
            raise errors.TreeError(
                f"{call}: update was given {treedef}, init {found}; give both the same"
            )
        for new, old in zip(leaves, before, strict=True):
            if new.shape != old.shape:
                raise errors.ShapeError(
                    f"{call}: update was given a leaf of shape {new.shape}, init one of"
                    f" {old.shape}; give both the same"
                )
        pairs = zip(leaves, before, strict=True)
        kept = [rnp.where(better, new, old) for new, old in pairs]
        waited = rnp.where(better, 0, state.waited + 1)
        return StopState(
            rnp.where(better, value, state.best),
            tree.unflatten(treedef, kept),
            convert(waited, dtypes.int32),
            waited >= patience,
        )

    return EarlyStopping(init, update)
