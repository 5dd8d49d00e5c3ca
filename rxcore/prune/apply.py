"""Masks at work: on parameters, on gradients, and which leaves have one."""

from __future__ import annotations

from typing import Any

from rxcore import numpy as rnp
from rxcore.base import dtypes, tree
from rxcore.prune.leaves import map_beside
from rxcore.transforms.arguments import numeric_leaves

__all__ = ["apply", "mask_gradients", "prunable"]


def apply(params: Any, masks: Any) -> Any:
    """Return parameters whose removed elements are 0.

    **Meaning**: `np.where(mask, p, 0)` for each leaf that has a mask

    Its derivative is masked likewise: the gradient of a removed element is 0.

    Args:
        params: pytree of arrays.
        masks: pytree of bool arrays like `params`, True is kept; None in place of a
            leaf that is not pruned.

    Returns:
        Pytree of the structure, shapes and dtypes of `params`.

    Raises:
        TreeError: when the structures differ.
        ShapeError: when a mask does not have its parameter's shape.

    Example:
        >>> import rxcore as rx
        >>> params = {"w": rx.asarray([1.0, 2.0]), "b": rx.asarray([3.0])}
        >>> rx.prune.apply(params, {"w": rx.asarray([True, False]), "b": None})["w"]
        Array([1., 0.], dtype=float32)
    """
    return map_beside(_masked, params, masks, "prune.apply", "masks")


def mask_gradients(grads: Any, masks: Any) -> Any:
    """Return gradients whose removed elements are 0, so that those stay removed.

    **Meaning**: `np.where(mask, g, 0)` for each leaf that has a mask

    Args:
        grads: pytree of arrays.
        masks: pytree of bool arrays like `grads`, True is kept; None in place of a
            leaf that is not pruned.

    Returns:
        Pytree of the structure, shapes and dtypes of `grads`.

    Raises:
        TreeError: when the structures differ.
        ShapeError: when a mask does not have its gradient's shape.

    Example:
        >>> import rxcore as rx
        >>> rx.prune.mask_gradients(rx.asarray([1.0, 2.0]), rx.asarray([True, False]))
        Array([1., 0.], dtype=float32)
    """
    return map_beside(_masked, grads, masks, "prune.mask_gradients", "masks")


def prunable(params: Any, least_rank: int = 2) -> Any:
    """Return parameters with None in place of leaves that are not pruned.

    **Meaning**: `p if p.ndim >= least_rank else None` for each leaf

    Args:
        params: pytree of arrays.
        least_rank: the least number of axes; with 2, biases and scales stay out.

    Returns:
        The pytree with None in place of other leaves: what scores are made of.

    Example:
        >>> import rxcore as rx
        >>> params = {"w": rx.asarray([[1.0, 2.0]]), "b": rx.asarray([3.0])}
        >>> rx.prune.prunable(params)
        {'w': Array([[1., 2.]], dtype=float32), 'b': None}
    """
    leaves, treedef = numeric_leaves(params, "prune.prunable")
    chosen = [
        x if x.ndim >= least_rank and dtypes.is_float(x.dtype) else None for x in leaves
    ]
    return tree.unflatten(treedef, chosen)


def _masked(x: Any, mask: Any) -> Any:
    return rnp.where(mask, x, rnp.zeros((), x.dtype))
