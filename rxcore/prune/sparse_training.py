"""Sparse training from scratch: drop small weights, grow others, keep the count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import attrs
import optree
from attrs import frozen

from rxcore import numpy as rnp
from rxcore import random
from rxcore.base import dtypes, errors, tree
from rxcore.control.cond import cond
from rxcore.control.jit import jit
from rxcore.ops.convert import convert
from rxcore.ops.largest_mask import largest_mask
from rxcore.ops.rigl import rigl
from rxcore.prune.allocate import Method, allocate
from rxcore.prune.apply import apply, mask_gradients, prunable
from rxcore.prune.leaves import beside, float_leaves, known
from rxcore.trace.bind import as_numeric

__all__ = [
    "RigL",
    "SparseState",
    "due",
    "rigl_init",
    "rigl_step",
    "set_step",
    "train_step",
]


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
        UserError: when a number is out of range or a choice unknown.
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
        grads = tree.map_(lambda _, g: g, chosen, grads)
    counts = allocate(chosen, sparsity, allocation, grads=grads, power=power)
    leaves, treedef = float_leaves(chosen, call)
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


def _choose(flag: Any, yes: Callable[[Any], Any], no: Callable[[Any], Any]) -> Any:
    host = known(flag)
    if host is not None:
        return yes(None) if bool(host) else no(None)
    return cond(flag, lambda: yes(None), lambda: no(None))


def _step(
    call: str, state: SparseState, params: Any, grads: Grads, opt_state: Any, key: Any
) -> tuple[SparseState, Any, Any]:
    random_values = grads is None or state.config.grown == "normal"
    if random_values and key is None:
        raise errors.UserError(f"{call}: random weights need key=rx.random.key(...)")

    def change(_: Any) -> Any:
        dense = grads(params) if callable(grads) else grads
        own = None if key is None else random.fold_in(key, state.step)
        return _change(call, state, params, dense, opt_state, own)

    def stay(_: Any) -> Any:
        return attrs.evolve(state, step=state.step + 1), params, opt_state

    made: tuple[SparseState, Any, Any] = _choose(due(state), change, stay)
    return made


def _change(
    call: str, state: SparseState, params: Any, grads: Any, opt_state: Any, key: Any
) -> tuple[SparseState, Any, Any]:
    """Change the connections of all leaves that have a mask."""
    leaves, treedef = float_leaves(params, call)
    masks = beside(treedef, state.masks, call, "state")
    active = beside(treedef, state.active, call, "state")
    wanted = [None] * len(leaves)
    if grads is not None:
        wanted = beside(treedef, grads, call, "grads")
    for w, m, g in zip(leaves, masks, wanted, strict=True):
        for other, what in ((m, "mask"), (g, "gradient")):
            if other is not None and m is not None and other.shape != w.shape:
                raise errors.ShapeError(
                    f"{call}: a parameter has shape {w.shape}, its {what}"
                    f" {other.shape}; they must be equal"
                )
        if grads is not None and m is not None and g is None:
            raise errors.TreeError(f"{call}: a leaf with a mask has no gradient")
    moments, rebuild = _moments(opt_state, treedef, leaves)
    rows = [
        (w, m, n, g, [part[k] for part in moments])
        for k, (w, m, n, g) in enumerate(
            zip(leaves, masks, active, wanted, strict=True)
        )
        if m is not None
    ]
    changed = iter(_change_leaves(rows, state.step, key, config=state.config))
    new_masks, new_leaves = list(masks), list(leaves)
    new_moments = [list(part) for part in moments]
    for k, m in enumerate(masks):
        if m is None:
            continue
        new_masks[k], new_leaves[k], found = next(changed)
        for part, value in zip(new_moments, found, strict=True):
            part[k] = value
    made = tree.unflatten(treedef, new_masks)
    later = attrs.evolve(state, step=state.step + 1, masks=made)
    return later, tree.unflatten(treedef, new_leaves), rebuild(new_moments)


def _changed_leaves(rows: Any, step: Any, key: Any, config: RigL) -> Any:
    keys: Any = None if key is None else random.split(key, max(2 * len(rows), 1))
    made = []
    for k, (w, mask, active, g, moments) in enumerate(rows):
        if g is None:
            g = random.uniform(keys[2 * k], w.shape, dtypes.float32)
        own = None if keys is None else keys[2 * k + 1]
        made.append(_change_leaf(w, mask, active, g, moments, step, own, config))
    return made


_change_leaves = jit(_changed_leaves, static_argnames="config")


def _change_leaf(
    w: Any,
    mask: Any,
    active: Any,
    g: Any,
    moments: Any,
    step: Any,
    key: Any,
    config: RigL,
) -> Any:
    count = config.changed(active, step)
    flat, slope, old = (rnp.reshape(x, (-1,)) for x in (w, g, mask))
    if config.regrow and config.drop == "magnitude":
        made = rigl(flat, slope, old, active, count)
        new, moved = (rnp.reshape(x, w.shape) for x in made)
    else:
        marks = _new_mask(flat, slope, old, active, count, config)
        new = rnp.reshape(marks, w.shape)
        moved = rnp.where(mask & new, w, rnp.zeros((), w.dtype))
    stays = mask & new
    if config.grown != "zeros":
        value = _grown_value(w, mask, g, key, config)
        moved = rnp.where(new & ~mask, value, moved)
    keeps = stays if config.moments == "inactive" else stays | ~new
    rest = [rnp.where(keeps, m, rnp.zeros((), m.dtype)) for m in moments]
    return new, moved, rest


def _new_mask(w: Any, g: Any, mask: Any, active: Any, count: Any, config: RigL) -> Any:
    if not config.regrow:
        count = rnp.minimum(count, w.size - active)
    kept, count = _kept(w, mask, active, count, config)
    taken = kept if config.regrow else mask
    return kept | largest_mask(rnp.where(taken, -1, rnp.abs(g)), count)


def _kept(w: Any, mask: Any, active: Any, count: Any, config: RigL) -> tuple[Any, Any]:
    """Return the active weights that are not dropped, and how many are dropped."""
    if config.drop == "magnitude":
        return largest_mask(rnp.where(mask, rnp.abs(w), -1), active - count), count
    kept, dropped = rnp.zeros(w.shape, bool), rnp.zeros((), dtypes.int32)
    for side in (mask & (w >= 0), mask & ~(w >= 0)):
        there = rnp.sum(convert(side, dtypes.int32))
        # The share of the whole, rounded down, so that together they are not more.
        share = convert(there, dtypes.float64) / rnp.maximum(active, 1)
        some = convert(rnp.floor(share * count), dtypes.int32)
        kept = kept | largest_mask(rnp.where(side, rnp.abs(w), -1), there - some)
        dropped = dropped + some
    return kept, dropped


def _grown_value(w: Any, mask: Any, g: Any, key: Any, config: RigL) -> Any:
    if config.grown == "zeros":
        return rnp.zeros((), w.dtype)
    if config.grown == "gradient":
        return convert(-config.scale * g, w.dtype)
    if config.grown == "gradient_sign":
        return convert(-config.scale * rnp.sign(g), w.dtype)
    number = rnp.maximum(rnp.sum(convert(mask, dtypes.float32)), 1)
    live = rnp.where(mask, w, rnp.zeros((), w.dtype))
    mean = rnp.sum(live) / number
    spread = rnp.sqrt(rnp.sum(rnp.where(mask, (w - mean) ** 2, 0)) / number)
    drawn = random.normal(key, w.shape, dtypes.float32)
    return convert(config.scale * spread * drawn, w.dtype)


def _moments(
    opt_state: Any, treedef: tree.TreeDef, leaves: list[Any]
) -> tuple[list[list[Any]], Callable[[list[list[Any]]], Any]]:
    """Find the parts of an optimizer's state that are like the parameters."""
    shapes = [x.shape for x in leaves]

    def alike(node: Any) -> bool:
        found, structure = tree.flatten(node)
        if structure != treedef or not found:
            return False
        return [tuple(getattr(x, "shape", ())) for x in found] == shapes

    nodes, outer = optree.tree_flatten(
        opt_state, is_leaf=alike, namespace=tree.NAMESPACE
    )
    places = [k for k, node in enumerate(nodes) if alike(node)]
    parts = [[as_numeric(x) for x in tree.leaves(nodes[k])] for k in places]

    def rebuild(moved: list[list[Any]]) -> Any:
        made = list(nodes)
        for k, part in zip(places, moved, strict=True):
            made[k] = tree.unflatten(treedef, part)
        return tree.unflatten(outer, made)

    return parts, rebuild
