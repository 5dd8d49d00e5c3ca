"""What an optimizer is: two pure functions; and the leaf-by-leaf map they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors, tree
from rxcore.ops.convert import convert
from rxcore.trace.bind import as_numeric

__all__ = ["LearningRate", "Optimizer", "Schedule"]

Schedule = Callable[[Any], Any]
LearningRate = float | Schedule


@frozen
class Optimizer:
    """A pair of pure functions that moves parameters against their gradients.

    **Meaning**:

        state = optimizer.init(params)
        params, state = optimizer.update(grads, state, params)

    `update` returns new parameters, not differences: the whole update of a leaf,
    its state included, is one pass over memory and compiles to one kernel.

    Args:
        init: takes the parameters (a pytree of floating arrays); returns the state (a
            pytree).
        update: takes gradients, state and parameters; returns parameters and state.
            The gradients have the structure and shapes of the parameters, whose dtypes
            do not change.
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]


def zeros_like(params: Any, call: str) -> Any:
    """Return zeros in the structure, shapes and dtypes of parameters."""
    # Each call makes arrays of its own: a donated state must not hold one twice.
    return tree.map_(lambda p: rnp.zeros_like(_parameter(p, call)), params)


def _parameter(p: Any, call: str) -> Any:
    p = as_numeric(p, call)
    if not dtypes.is_float(p.dtype):
        raise errors.DTypeError(
            f"{call}: a parameter is {p.dtype.name} (shape {p.shape}); optimizers move"
            " real floating parameters: convert it with .astype(...), or keep it out"
            " of the pytree"
        )
    return p


def map_leaves(
    function: Callable[..., tuple[Any, ...]],
    grads: Any,
    params: Any,
    moments: tuple[Any, ...],
    call: str,
) -> list[Any]:
    """Apply `function(gradient, parameter, *moments)` leaf by leaf.

    Returns:
        One pytree for each member of the tuples that the function returns, with the
        dtypes of parameter, then moments.

    Raises:
        TreeError: when the structures differ.
        ShapeError: when a gradient does not have its parameter's shape.
        DTypeError: when a parameter or a gradient is not real floating.
    """
    leaves, treedef = tree.flatten(params)
    columns = [_column(treedef, part, call) for part in (grads, *moments)]
    rows = []
    for k, p in enumerate(leaves):
        p = _parameter(p, call)
        g, *state = (column[k] for column in columns)
        out = function(_gradient(g, p, call), p, *state)
        wanted = (p, *(as_numeric(s, call) for s in state))
        rows.append(
            [convert(o, w.dtype) for o, w in zip(out, wanted, strict=True)],
        )
    width = 1 + len(moments)
    return [tree.unflatten(treedef, [row[k] for row in rows]) for k in range(width)]


def _column(treedef: tree.TreeDef, part: Any, call: str) -> list[Any]:
    found, structure = tree.flatten(part)
    if structure != treedef:
        raise errors.TreeError(
            f"{call}: gradients or state have the structure {structure}, the parameters"
            f" {treedef}; take the gradient with respect to these parameters, and the"
            " state from init(params)"
        )
    return found


def _gradient(g: Any, p: Any, call: str) -> Any:
    g = as_numeric(g, call)
    if g.shape != p.shape:
        raise errors.ShapeError(
            f"{call}: a gradient has shape {g.shape}, its parameter {p.shape}; they"
            " must be equal"
        )
    if not dtypes.is_float(g.dtype):
        raise errors.DTypeError(
            f"{call}: a gradient is {g.dtype.name} (shape {g.shape}); expected a real"
            " floating dtype, as rx.grad gives"
        )
    return g


def rate_at(rate: LearningRate, step: Any) -> Any:
    """Return the learning rate of a step."""
    return rate(step) if callable(rate) else rate


def check_fraction(value: float, name: str, call: str) -> None:
    """Refuse a decay outside [0, 1)."""
    if not 0 <= value < 1:
        raise errors.UserError(f"{call}: {name}={value}; expected 0 <= {name} < 1")


def check_not_negative(value: Any, name: str, call: str) -> None:
    """Refuse a negative number; schedules pass."""
    if not callable(value) and not value >= 0:
        raise errors.UserError(f"{call}: {name}={value}; expected {name} >= 0")
