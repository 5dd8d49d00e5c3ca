"""Limits on gradients."""

from __future__ import annotations

from typing import Any

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors, tree
from rxcore.ops.convert import convert
from rxcore.transforms.arguments import numeric_leaves

__all__ = ["clip_by_global_norm", "clip_by_value", "global_norm"]


def global_norm(values: Any) -> Any:
    """Return the Euclidean norm of all numbers of a pytree together.

    **Meaning**: `np.sqrt(sum(np.sum(x**2) for x in leaves))`; halves are added in
    float32.

    Args:
        values: pytree of real floating arrays.

    Returns:
        Array of shape ().

    Raises:
        DTypeError: when a leaf is not real floating.

    Example:
        >>> import rxcore as rx
        >>> rx.optim.global_norm({"w": rx.asarray([3.0]), "b": rx.asarray(4.0)})
        Array(5., dtype=float32)
    """
    total = rnp.asarray(0.0)
    for x in _floating(values, "optim.global_norm")[0]:
        wide = convert(x, dtypes.float32) if x.dtype in dtypes.HALVES else x
        total = total + rnp.sum(rnp.square(wide))
    # The root is steep at 0, where the norm's derivative counts as 0.
    return rnp.where(total == 0, total, rnp.sqrt(rnp.where(total == 0, 1, total)))


def clip_by_global_norm(grads: Any, max_norm: float) -> Any:
    """Shrink gradients, all by one factor, to a largest global norm.

    **Meaning**: `g * min(1, max_norm / global_norm(grads))` for each leaf

    Args:
        grads: pytree of real floating arrays.
        max_norm: the largest norm allowed; positive.

    Returns:
        Pytree of the same structure, shapes and dtypes.

    Raises:
        UserError: when `max_norm` is not positive.
        DTypeError: when a leaf is not real floating.

    Example:
        >>> import rxcore as rx
        >>> rx.optim.clip_by_global_norm(rx.asarray([3.0, 4.0]), 1.0)
        Array([0.6, 0.8], dtype=float32)

    Paper: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural
    networks", 2013.
    """
    if isinstance(max_norm, int | float) and not max_norm > 0:
        raise errors.UserError(
            f"optim.clip_by_global_norm: max_norm={max_norm}; expected max_norm > 0"
        )
    leaves, treedef = _floating(grads, "optim.clip_by_global_norm")
    factor = max_norm / rnp.maximum(global_norm(grads), max_norm)
    return tree.unflatten(treedef, [convert(g * factor, g.dtype) for g in leaves])


def clip_by_value(grads: Any, low: float, high: float) -> Any:
    """Limit each number of the gradients to an interval.

    **Meaning**: `np.clip(g, low, high)` for each leaf

    Args:
        grads: pytree of real floating arrays.
        low: the smallest value allowed.
        high: the largest value allowed.

    Returns:
        Pytree of the same structure, shapes and dtypes.

    Raises:
        UserError: when `low` is above `high`.
        DTypeError: when a leaf is not real floating.

    Example:
        >>> import rxcore as rx
        >>> rx.optim.clip_by_value(rx.asarray([-3.0, 0.5, 4.0]), -1.0, 1.0)
        Array([-1. ,  0.5,  1. ], dtype=float32)
    """
    if low > high:
        raise errors.UserError(
            f"optim.clip_by_value: low={low} is above high={high}; swap them"
        )
    leaves, treedef = _floating(grads, "optim.clip_by_value")
    return tree.unflatten(treedef, [rnp.clip(g, low, high) for g in leaves])


def _floating(values: Any, call: str) -> tuple[list[Any], tree.TreeDef]:
    leaves, treedef = numeric_leaves(values, call)
    for x in leaves:
        if not dtypes.is_float(x.dtype):
            raise errors.DTypeError(
                f"{call}: a leaf is {x.dtype.name} (shape {x.shape}); expected a real"
                " floating dtype"
            )
    return leaves, treedef
