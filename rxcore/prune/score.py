"""Scores: how much each weight is worth; larger is kept.

Scores of halves are float32 where they are products or shares: the square of a small
weight, or of a large one, is no half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from rxcore import numpy as rnp
from rxcore import random as draws
from rxcore.base import dtypes, errors, tree
from rxcore.ops.convert import convert
from rxcore.prune.leaves import float_leaves, like_beside
from rxcore.prune.structure import (
    NofM,
    spread_units,
    structure_of,
    sum_units,
)

__all__ = ["l1", "l2", "lamp", "magnitude", "movement", "normalize", "random", "taylor"]


def _wide(x: Any) -> Any:
    """Return halves as float32, whose products do not vanish or overflow."""
    return convert(x, dtypes.float32) if x.dtype in dtypes.HALVES else x


def _squared(x: Any) -> Any:
    x = _wide(x)
    return x * x


def _each(function: Callable[[Any], Any], params: Any, call: str) -> Any:
    """Return a function of each leaf."""
    leaves, treedef = float_leaves(params, call)
    return tree.unflatten(treedef, [function(x) for x in leaves])


def magnitude(params: Any) -> Any:
    """Return the size of each weight.

    **Meaning**: `np.abs(w)` for each leaf

    Args:
        params: pytree of real floating arrays; None in place of what is not pruned.

    Returns:
        Scores in the structure and shapes of `params`.

    Raises:
        DTypeError: when a leaf is not real floating.

    Example:
        >>> import rxcore as rx
        >>> rx.prune.score.magnitude(rx.asarray([1.0, -2.0]))
        Array([1., 2.], dtype=float32)

    Paper: Han et al., "Learning both weights and connections for efficient neural
    networks", 2015.
    """
    return _each(rnp.abs, params, "prune.score.magnitude")


def l1(params: Any) -> Any:
    """Return scores whose sum over a structure is its L1 norm.

    **Meaning**: `np.abs(w)` for each leaf

    Args:
        params: pytree of real floating arrays; None in place of what is not pruned.

    Returns:
        Scores in the structure and shapes of `params`.

    Raises:
        DTypeError: when a leaf is not real floating.

    Example:
        >>> import rxcore as rx
        >>> w = rx.asarray([[1.0, -2.0], [2.0, 0.0]])
        >>> rx.prune.prune_mask(rx.prune.score.l1(w), 0.5, structure="filter")
        Array([[ True, False],
               [ True, False]], dtype=bool)

    Paper: Li et al., "Pruning filters for efficient convnets", 2017.
    """
    return _each(rnp.abs, params, "prune.score.l1")


def l2(params: Any) -> Any:
    """Return scores whose sum over a structure is the square of its L2 norm.

    **Meaning**: `w**2` for each leaf; the root, which keeps the order, is not taken

    Args:
        params: pytree of real floating arrays; None in place of what is not pruned.

    Returns:
        Scores in the structure and shapes of `params`.

    Raises:
        DTypeError: when a leaf is not real floating.

    Example:
        >>> import rxcore as rx
        >>> rx.prune.score.l2(rx.asarray([1.0, -2.0]))
        Array([1., 4.], dtype=float32)

    Paper: He et al., "Soft filter pruning for accelerating deep convolutional neural
    networks", 2018.
    """
    return _each(_squared, params, "prune.score.l2")


def taylor(
    params: Any,
    grads: Any,
    variant: Literal[
        "absolute", "squared", "group_absolute", "group_squared"
    ] = "absolute",
    *,
    structure: Any = None,
) -> Any:
    """Return how much the loss changes to first order when a weight becomes 0.

    **Meaning**::

        absolute:        np.abs(w * g)
        squared:         (w * g)**2
        group_absolute:  np.abs(np.sum(w * g))   over each unit of the structure
        group_squared:   np.sum(w * g)**2        over each unit of the structure

    Args:
        params: pytree of real floating arrays; None in place of what is not pruned.
        grads: their gradients; add scores of several batches up.
        variant: which of the four. The group rules spread a unit's value evenly over
            its elements, so that the sum over the unit is that value.
        structure: of the group rules, as in `prune_mask`; not `NofM`.

    Returns:
        Scores in the structure and shapes of `params`.

    Raises:
        UserError: when the variant is unknown.
        DTypeError: when a leaf is not real floating.
        TreeError: when the structures differ.

    Example:
        >>> import rxcore as rx
        >>> w, g = rx.asarray([1.0, -2.0]), rx.asarray([0.5, 0.5])
        >>> rx.prune.score.taylor(w, g)
        Array([0.5, 1. ], dtype=float32)

    Paper: Molchanov et al., "Importance estimation for neural network pruning", 2019.
    """
    call = "prune.score.taylor"
    known = ("absolute", "squared", "group_absolute", "group_squared")
    if variant not in known:
        raise errors.UserError(
            f"{call}: variant={variant!r}; expected one of {', '.join(known)}"
        )
    if isinstance(structure, NofM):
        raise errors.UserError(
            f"{call}: {structure} has no units to add up; use 'absolute' or 'squared'"
        )
    leaves, treedef = float_leaves(params, call)
    made = []
    slopes = like_beside(treedef, leaves, grads, call, "grads")
    for w, g in zip(leaves, slopes, strict=True):
        product = _wide(w) * _wide(g)
        group = variant.startswith("group")
        part = structure_of(structure, w.shape, call) if group else None
        if part is not None:
            total = sum_units(product, part)
            ones = sum_units(rnp.ones_like(product), part)
            value = rnp.abs(total) if variant == "group_absolute" else total * total
            made.append(spread_units(value / ones, part, w.shape))
        elif variant.endswith("absolute"):
            made.append(rnp.abs(product))
        else:
            made.append(product * product)
    return tree.unflatten(treedef, made)


def movement(params: Any, grads: Any, scores: Any = None, rate: float = 1.0) -> Any:
    """Return scores of weights that move away from 0; call it at each step.

    **Meaning**: `scores - rate * w * g` for each leaf

    Args:
        params: pytree of real floating arrays; None in place of what is not pruned.
        grads: their gradients of this step.
        scores: what the last step returned; None at the first.
        rate: the learning rate, where it changes.

    Returns:
        Scores in the structure and shapes of `params`.

    Raises:
        DTypeError: when a leaf is not real floating.
        TreeError: when the structures differ.

    Example:
        >>> import rxcore as rx
        >>> w, g = rx.asarray([1.0, -2.0]), rx.asarray([-0.5, 0.5])
        >>> rx.prune.score.movement(w, g)
        Array([0.5, 1. ], dtype=float32)

    Paper: Sanh, Wolf and Rush, "Movement pruning: adaptive sparsity by fine-tuning",
    2020.
    """
    call = "prune.score.movement"
    leaves, treedef = float_leaves(params, call)
    slopes = like_beside(treedef, leaves, grads, call, "grads")
    pairs = zip(leaves, slopes, strict=True)
    found = [-rate * _wide(w) * _wide(g) for w, g in pairs]
    if scores is not None:
        before = like_beside(treedef, leaves, scores, call, "scores")
        found = [s + f for s, f in zip(before, found, strict=True)]
    return tree.unflatten(treedef, found)


def random(key: Any, params: Any) -> Any:
    """Return random scores.

    **Meaning**: `random.uniform(key_of_leaf, w.shape)` for each leaf

    Args:
        key: of `rx.random.key`.
        params: pytree of real floating arrays; None in place of what is not pruned.

    Returns:
        Scores in the structure and shapes of `params`, float32.

    Raises:
        DTypeError: when a leaf is not real floating.

    Example:
        >>> import rxcore as rx
        >>> rx.prune.score.random(rx.random.key(0), rx.asarray([1.0, -2.0])).shape
        (2,)
    """
    leaves, treedef = float_leaves(params, "prune.score.random")
    if not leaves:
        return params
    keys = draws.split(key, len(leaves))
    return tree.unflatten(
        treedef,
        [draws.uniform(keys[k], x.shape, dtypes.float32) for k, x in enumerate(leaves)],
    )


def normalize(scores: Any, by: Literal["l2", "mean"] = "l2", eps: float = 1e-8) -> Any:
    """Divide the scores of each leaf by their size, so that leaves compare.

    **Meaning**::

        l2: s / (np.sqrt(np.sum(s**2)) + eps)
        mean: s / (np.mean(np.abs(s)) + eps)

    Args:
        scores: pytree of real floating arrays.
        by: "l2" or "mean".
        eps: added to what is divided by.

    Returns:
        Scores in the same structure and shapes.

    Raises:
        UserError: when `by` is something else.
        DTypeError: when a leaf is not real floating.

    Example:
        >>> import rxcore as rx
        >>> rx.prune.score.normalize(rx.asarray([3.0, 4.0]))
        Array([0.6, 0.8], dtype=float32)
    """
    call = "prune.score.normalize"
    if by not in ("l2", "mean"):
        raise errors.UserError(f"{call}: by={by!r}; expected 'l2' or 'mean'")
    leaves, treedef = float_leaves(scores, call)
    made = []
    for s in leaves:
        wide = _wide(s)
        size = rnp.sqrt(rnp.sum(wide * wide)) if by == "l2" else rnp.mean(rnp.abs(wide))
        made.append(wide / (size + eps))
    return tree.unflatten(treedef, made)


def lamp(params: Any) -> Any:
    """Return scores that compare weights of different layers without tuning.

    **Meaning**, for each leaf, its weights in the order of their magnitudes::

        w**2 / np.cumsum(w[::-1] ** 2)[::-1]  # a share of what is at least as large

    Args:
        params: pytree of real floating arrays; None in place of what is not pruned.

    Returns:
        Scores in the structure and shapes of `params`; use scope="global".

    Raises:
        DTypeError: when a leaf is not real floating.

    Example:
        >>> import rxcore as rx
        >>> rx.prune.score.lamp(rx.asarray([3.0, 4.0]))
        Array([0.36, 1.  ], dtype=float32)

    Paper: Lee et al., "Layer-adaptive sparsity for the magnitude-based pruning", 2021.
    """
    leaves, treedef = float_leaves(params, "prune.score.lamp")
    made = []
    for w in leaves:
        wide = _wide(w)
        square = rnp.reshape(wide * wide, (-1,))
        # Equal weights share the sum over all of them: the meaning is by value.
        order = rnp.argsort(square)
        rising = square[order]
        above = rnp.cumsum(rising[::-1])[::-1]
        first = rnp.searchsorted(rising, square)
        total = above[first]
        share = rnp.where(total > 0, square / rnp.where(total > 0, total, 1), 0)
        made.append(rnp.reshape(share, w.shape))
    return tree.unflatten(treedef, made)
