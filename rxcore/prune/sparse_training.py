"""Sparse training from scratch: drop small weights, grow others, keep the count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import attrs
import optree

from rxcore import numpy as rnp
from rxcore import random
from rxcore.base import dtypes, errors, tree
from rxcore.control.cond import cond
from rxcore.control.jit import jit
from rxcore.ops.largest_mask import largest_mask
from rxcore.prune.allocate import Method, allocate
from rxcore.prune.apply import apply, mask_gradients, prunable
from rxcore.prune.connections import change_connections
from rxcore.prune.leaves import float_leaves, known, refuse_nan
from rxcore.prune.sparse_state import RigL, SparseState

__all__ = ["due", "rigl_init", "rigl_step", "set_step", "train_step"]


def rigl_init(
    params: Any,
    sparsity: float,
    *,
    allocation: Method = "erk",
    key: Any = None,
    grads: Any = None,
    power: float = 1.0,
    select: Callable[[Any], Any] = prunable,
    **config: Any,
) -> SparseState:
    """Return the state with which sparse training begins.

    **Meaning**::

        counts = allocate(select(params), sparsity, allocation)
        masks = random, with `count` active weights in each leaf

    The parameters are to be masked: `params = prune.apply(params, state.masks)`, or
    with `prune.rescale`, which suits random masks.

    Args:
        params: pytree of real floating arrays.
        sparsity: the fraction of weights that is inactive, of all selected leaves
            together, in [0, 1).
        allocation: "erk", "er", "uniform" or "sensitivity", see `prune.allocate`.
        key: of the random masks; None: the largest weights are active.
        grads: of the allocation "sensitivity".
        power: of the allocation.
        select: puts None in place of leaves that stay dense; by default those with
            fewer than two axes.
        config: the fields of `prune.RigL`: begin, end, frequency, fraction, ...

    Returns:
        A `SparseState`.

    Raises:
        UserError: when a number is out of range or a choice unknown, or when weights
            that are NaN are to be compared (without a key).
        DTypeError: when a selected leaf is not real floating.

    Example:
        >>> import rxcore as rx
        >>> params = [{"weight": rx.numpy.ones((8, 4)), "bias": rx.numpy.ones(4)}]
        >>> state = rx.prune.rigl_init(params, 0.75, key=rx.random.key(0), end=1000)
        >>> int(state.masks[0]["weight"].sum()), state.masks[0]["bias"]
        (8, None)

    Paper: Evci et al., "Rigging the lottery: making all tickets winners", 2020.
    """
    call = "prune.rigl_init"
    unknown = set(config) - {f.name for f in attrs.fields(RigL)}
    if unknown:
        raise errors.UserError(
            f"{call}: unknown {', '.join(sorted(unknown))}; prune.RigL has"
            f" {', '.join(f.name for f in attrs.fields(RigL))}"
        )
    chosen = select(params)
    if grads is not None:
        grads = _where_chosen(chosen, grads, call)
    counts = allocate(chosen, sparsity, allocation, grads=grads, power=power)
    leaves, treedef = float_leaves(chosen, call)
    if key is None:
        refuse_nan(leaves, chosen, call)
    numbers = tree.leaves(counts)
    keys = None if key is None else random.split(key, max(len(leaves), 1))
    masks = _first_masks(leaves, numbers, keys)
    active = [rnp.asarray(n, dtypes.int32) for n in numbers]
    return SparseState(
        rnp.asarray(0, dtypes.int32),
        tree.unflatten(treedef, list(masks)),
        tree.unflatten(treedef, active),
        RigL(**config),
    )


def _where_chosen(chosen: Any, grads: Any, call: str) -> Any:
    """Return gradients with None where the parameters have it."""
    try:
        return optree.tree_map(
            lambda p, g: None if p is None else g,
            chosen,
            grads,
            none_is_leaf=True,
            namespace=tree.NAMESPACE,
        )
    except (ValueError, TypeError) as error:
        raise errors.TreeError(
            f"{call}: grads has the structure {tree.structure(grads)}, the parameters"
            f" {tree.structure(chosen)}"
        ) from error


def _drawn_masks(leaves: Any, counts: Any, keys: Any) -> Any:
    made = []
    for k, (x, n) in enumerate(zip(leaves, counts, strict=True)):
        flat = rnp.abs(rnp.reshape(x, (-1,)))
        if keys is not None:
            flat = random.uniform(keys[k], flat.shape, dtypes.float32)
        made.append(rnp.reshape(largest_mask(flat, n), x.shape))
    return made


_first_masks = jit(_drawn_masks)


def due(state: SparseState) -> Any:
    """Say whether the next step changes connections.

    **Meaning**: `begin <= step < end and (step - begin) % frequency == 0`

    Args:
        state: of `rigl_init`.

    Returns:
        Bool array of shape (); traced where the state is.

    Example:
        >>> import rxcore as rx
        >>> rx.prune.due(rx.prune.rigl_init(rx.numpy.ones((4, 4)), 0.5))
        Array(True, dtype=bool)
    """
    return state.config.due(state.step)


Grads = Any
"""A pytree of gradients, or a function from parameters to one."""


def rigl_step(
    state: SparseState,
    params: Any,
    grads: Grads,
    *,
    opt_state: Any = None,
    key: Any = None,
) -> tuple[SparseState, Any, Any]:
    """Count a step; on update steps, drop weights by size and grow by gradient.

    **Meaning**, on update steps, for each leaf with a mask::

        n = changed(active, step)
        kept = the active - n largest of abs(w) among active weights
        grown = the n largest of abs(g) among those not kept
        mask = kept | grown
        w = np.where(mask & old_mask, w, 0)

    An update takes the place of the optimizer's step (`train_step` does both). On other
    steps only the state's step changes. The number of active weights never does.

    Args:
        state: of `rigl_init`.
        params: pytree of real floating arrays, masked.
        grads: dense gradients (not masked) like `params`; or a function from `params`
            to them, called on update steps only.
        opt_state: the optimizer's state: any pytree. Parts of it that have the
            structure and shapes of `params` are moments, which become 0 where weights
            change.
        key: of the random values of grown weights, where those are asked for.

    Returns:
        (state, params, opt_state).

    Raises:
        TreeError: when the structures differ.
        ShapeError: when shapes differ.

    Example:
        >>> import rxcore as rx
        >>> w = rx.asarray([[4.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0]])
        >>> state = rx.prune.rigl_init(w, 0.5, fraction=0.5, end=10)
        >>> g = rx.asarray([[0.0, 0.0, 0.0, 0.0, 9.0, 1.0, 8.0, 1.0]])
        >>> state, w, _ = rx.prune.rigl_step(state, w, g)
        >>> state.masks.astype(int)
        Array([[1, 1, 0, 0, 1, 0, 1, 0]], dtype=int32)
        >>> w
        Array([[4., 3., 0., 0., 0., 0., 0., 0.]], dtype=float32)

    Paper: Evci et al., "Rigging the lottery: making all tickets winners", 2020.
    """
    if grads is None:
        raise errors.UserError(
            "rigl_step: grads is None; give dense gradients, or a function from params"
            " to them (prune.set_step needs none)"
        )
    return _step("rigl_step", state, params, grads, opt_state, key)


def set_step(
    state: SparseState, params: Any, *, opt_state: Any = None, key: Any
) -> tuple[SparseState, Any, Any]:
    """Count a step; on update steps, drop weights by size and grow at random.

    **Meaning**: `rigl_step` with random numbers in place of gradients

    Args:
        state: of `rigl_init`; its choice "drop" may be "signed", as the paper has it.
        params: pytree of real floating arrays, masked.
        opt_state: the optimizer's state, as in `rigl_step`.
        key: of `rx.random.key`; one for all steps will do.

    Returns:
        (state, params, opt_state).

    Raises:
        TreeError: when the structures differ.
        UserError: when grown weights are to follow a gradient.

    Example:
        >>> import rxcore as rx
        >>> w = rx.numpy.ones((4, 4))
        >>> state = rx.prune.rigl_init(w, 0.5, end=10)
        >>> state, w, _ = rx.prune.set_step(state, w, key=rx.random.key(0))
        >>> int(state.masks.sum())
        8

    Paper: Mocanu et al., "Scalable training of artificial neural networks with adaptive
    sparse connectivity inspired by network science", 2018.
    """
    _check_state("prune.set_step", state)
    if state.config.grown in ("gradient", "gradient_sign"):
        raise errors.UserError(
            f"prune.set_step: grown={state.config.grown!r} needs gradients; use"
            " rigl_step, or 'zeros' or 'normal'"
        )
    return _step("prune.set_step", state, params, None, opt_state, key)


def train_step(
    state: SparseState,
    params: Any,
    opt_state: Any,
    grads: Callable[[Any], Any],
    update: Callable[[Any, Any, Any], tuple[Any, Any]],
    *,
    key: Any = None,
    grow: Literal["gradient", "random"] = "gradient",
) -> tuple[SparseState, Any, Any]:
    """Change connections on update steps, move the weights on all others.

    **Meaning**::

        if due(state):
            state, params, opt_state = rigl_step(state, params, grads, ...)
        else:
            params, opt_state = update(masked grads(params), opt_state, params)
            params = apply(params, state.masks)

    Args:
        state: of `rigl_init`.
        params: pytree of real floating arrays, masked.
        opt_state: the optimizer's state.
        grads: from parameters to gradients.
        update: an optimizer's `update`: from gradients, state and parameters to
            parameters and state.
        key: of what is random.
        grow: "gradient" (`rigl_step`) or "random" (`set_step`).

    Returns:
        (state, params, opt_state).

    Example:
        >>> import rxcore as rx
        >>> w = rx.numpy.ones((4, 4))
        >>> state = rx.prune.rigl_init(w, 0.5, end=10, begin=1)
        >>> w = rx.prune.apply(w, state.masks)
        >>> optimizer = rx.optim.sgd(0.5)
        >>> state, w, _ = rx.prune.train_step(
        ...     state, w, optimizer.init(w), lambda w: w, optimizer.update
        ... )
        >>> w[0]
        Array([0.5, 0.5, 0.5, 0.5], dtype=float32)
    """

    def change(_: Any) -> Any:
        if grow == "random":
            return set_step(state, params, opt_state=opt_state, key=key)
        return rigl_step(state, params, grads, opt_state=opt_state, key=key)

    def move(_: Any) -> Any:
        masked = mask_gradients(grads(params), state.masks)
        moved, after = update(masked, opt_state, params)
        later = attrs.evolve(state, step=state.step + 1)
        return later, apply(moved, state.masks), after

    made: tuple[SparseState, Any, Any] = _choose(due(state), change, move)
    return made


def _check_state(call: str, state: Any) -> None:
    if not isinstance(state, SparseState):
        raise errors.UserError(
            f"{call}: state is a {type(state).__name__}; expected that of"
            " prune.rigl_init"
        )


def _choose(flag: Any, yes: Callable[[Any], Any], no: Callable[[Any], Any]) -> Any:
    host = known(flag)
    if host is not None:
        return yes(None) if bool(host) else no(None)
    return cond(flag, lambda: yes(None), lambda: no(None))


def _step(
    call: str, state: SparseState, params: Any, grads: Grads, opt_state: Any, key: Any
) -> tuple[SparseState, Any, Any]:
    _check_state(call, state)
    random_values = grads is None or state.config.grown == "normal"
    if random_values and key is None:
        raise errors.UserError(f"{call}: random weights need key=rx.random.key(...)")

    def change(_: Any) -> Any:
        dense = grads(params) if callable(grads) else grads
        own = None if key is None else random.fold_in(key, state.step)
        return change_connections(call, state, params, dense, opt_state, own)

    def stay(_: Any) -> Any:
        return attrs.evolve(state, step=state.step + 1), params, opt_state

    made: tuple[SparseState, Any, Any] = _choose(due(state), change, stay)
    return made
