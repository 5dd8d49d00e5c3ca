"""A change of the connections of all leaves, and of the moments that go with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import optree

from rxcore import numpy as rnp
from rxcore import random
from rxcore.base import dtypes, errors, tree
from rxcore.control.jit import jit
from rxcore.ops.convert import convert
from rxcore.ops.largest_mask import largest_mask
from rxcore.ops.rigl import rigl
from rxcore.prune.leaves import beside, float_leaves
from rxcore.prune.sparse_state import RigL, SparseState
from rxcore.trace.bind import as_numeric

__all__ = ["change_connections"]


def change_connections(
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
    wide = convert(w, dtypes.float32) if w.dtype in dtypes.HALVES else w
    mean = rnp.sum(rnp.where(mask, wide, 0)) / number
    spread = rnp.sqrt(rnp.sum(rnp.where(mask, (wide - mean) ** 2, 0)) / number)
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
