"""Masks at work: on parameters, on gradients, and which leaves have one."""

from __future__ import annotations

import math
from typing import Any

from rxcore import numpy as rnp
from rxcore.base import dtypes, tree
from rxcore.ops.convert import convert
from rxcore.prune.leaves import map_beside
from rxcore.transforms.arguments import numeric_leaves

__all__ = ["apply", "mask_gradients", "prunable", "rescale"]


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


def rescale(params: Any, masks: Any) -> Any:
    """Return masked weights as an initializer would draw them for fewer inputs.

    **Meaning**, for weights (in, out); of (out, in, *window) outputs come first::

        active = np.maximum(mask.sum(0), 1)
        np.where(mask, w * np.sqrt(n_in / active), 0)

    Initializers draw smaller weights for more inputs, so that sums keep their spread.
    Of a sparse layer each output has few; without this its sums are too small, and
    training starts slowly.

    Args:
        params: pytree of real floating arrays, as drawn.
        masks: pytree of bool arrays like `params`, True is kept; None in place of a
            leaf that is not pruned. A leaf of fewer than two axes is only masked.

    Returns:
        Pytree of the structure, shapes and dtypes of `params`.

    Raises:
        TreeError: when the structures differ.
        ShapeError: when a mask does not have its parameter's shape.

    Example:
        >>> import rxcore as rx
        >>> w = rx.asarray([[1.0], [2.0], [3.0], [4.0]])
        >>> mask = rx.asarray([[True], [False], [False], [False]])
        >>> rx.prune.rescale(w, mask).ravel()
        Array([2., 0., 0., 0.], dtype=float32)

    Paper: Evci et al., "Gradient flow in sparse neural networks and how lottery
    tickets win", 2022.
    """
    return map_beside(_rescaled, params, masks, "prune.rescale", "masks")


def _rescaled(x: Any, mask: Any) -> Any:
    if x.ndim < 2:
        return _masked(x, mask)
    # Convolutions have their outputs first, products last.
    axes = tuple(range(1, x.ndim)) if x.ndim > 2 else (0,)
    count = math.prod(x.shape[a] for a in axes)
    active = rnp.sum(convert(mask, dtypes.int32), axis=axes, keepdims=True)
    share = convert(rnp.maximum(active, 1), dtypes.float32) / count
    return _masked(convert(x / rnp.sqrt(share), x.dtype), mask)


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
