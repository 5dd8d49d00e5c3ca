"""prune_mask: from scores to what is kept, by exact counts."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors, tree
from rxcore.control.jit import jit
from rxcore.ops.convert import convert
from rxcore.ops.largest_mask import largest_mask
from rxcore.prune.leaves import fraction, known, real_leaves, refuse_nan
from rxcore.prune.structure import (
    NofM,
    Structure,
    count_units,
    spread_units,
    structure_of,
    sum_units,
)
from rxcore.trace.bind import as_numeric

__all__ = ["prune_mask"]

CALL = "prune_mask"


def prune_mask(
    scores: Any,
    sparsity: Any = None,
    *,
    scope: Literal["tensor", "global"] = "tensor",
    structure: Any = None,
    floor: int = 1,
) -> Any:
    """Return which elements are kept when a fraction with the lowest scores is removed.

    **Meaning**, for one array without structure::

        keep = max(floor, round(scores.size * (1 - sparsity)))  # halves to even
        order = np.argsort(-scores, axis=None, stable=True)
        mask = np.zeros(scores.size, bool)
        mask[order[:keep]] = True
        mask = mask.reshape(scores.shape)

    Larger scores are kept and their sign counts: magnitudes are `abs(w)`, or
    `rx.prune.score`. Counts are exact; among equal scores the lower flat index is kept
    (in "global", the earlier leaf).

    Args:
        scores: a real array, or a pytree of them; None in place of a leaf that is not
            pruned. They must not hold NaN; that is looked at where the numbers are
            known, which they are not inside `jit`: there NaN counts as the largest.
        sparsity: the fraction removed, in [0, 1): a number; an array of rank 0, which
            may be traced; or, in "tensor", a pytree of them like `scores`. Not needed
            with `NofM`, which says it already.
        scope: "tensor" removes that fraction of each leaf, "global" of all leaves
            together: their scores are compared with each other (`score.normalize`
            makes them comparable).
        structure: what is kept or removed together. None: single elements. "filter":
            outputs, "channel": inputs, of weights (in, out) or (out, in, *window);
            "head": axis 0; `prune.Slices`, `prune.Block`: their scores are added up and
            units are counted. `prune.NofM`: so many of each group.
        floor: how many elements (or units) each leaf keeps at least, so that none is
            emptied.

    Returns:
        Bool arrays in the structure and shapes of `scores`; True is kept.

    Raises:
        UserError: when the sparsity is not in [0, 1), or scores are NaN.
        ShapeError: when the structure does not fit a shape; N of M, when M does not
            divide the axis and the structure does not pad.
        DTypeError: when scores are complex.
        TreeError: when the sparsity is a pytree of another structure.

    Example:
        >>> import rxcore as rx
        >>> rx.prune.prune_mask(rx.asarray([3.0, -1.0, 2.0, 2.0]), 0.5)
        Array([ True, False,  True, False], dtype=bool)

    Paper: Han et al., "Learning both weights and connections for efficient neural
    networks", 2015.
    """
    leaves, treedef = real_leaves(scores, CALL)
    refuse_nan(leaves, scores, CALL)
    if scope not in ("tensor", "global"):
        raise errors.UserError(
            f"{CALL}: scope={scope!r}; expected 'tensor' or 'global'"
        )
    if isinstance(floor, bool) or not isinstance(floor, int) or floor < 0:
        raise errors.UserError(
            f"{CALL}: floor={floor!r}; expected an int >= 0, the least number kept"
        )
    parts = tuple(structure_of(structure, x.shape, CALL) for x in leaves)
    if isinstance(structure, NofM):
        _check_share(structure, sparsity)
        return tree.unflatten(treedef, list(_some_of_many(leaves, structure)))
    shares = _shares(sparsity, treedef, scope)
    sizes = [count_units(p, x.shape) for p, x in zip(parts, leaves, strict=True)]
    floors = [min(floor, n) for n in sizes]
    if scope == "tensor":
        rows = zip(sizes, shares, floors, strict=True)
        made = _each(leaves, [kept(*row) for row in rows], structures=parts)
    elif leaves:
        total = kept(sum(sizes), shares[0], sum(floors))
        made = _together(leaves, total, structures=parts, floors=tuple(floors))
    else:
        made = []
    return tree.unflatten(treedef, list(made))


def kept(size: int, sparsity: Any, floor: int) -> Any:
    """Return how many of `size` are kept: an int, or int32 where it is traced."""
    host = known(sparsity) if not isinstance(sparsity, int | float) else sparsity
    if host is not None:
        return min(size, max(floor, round(size * (1 - float(host)))))
    share = 1 - convert(sparsity, dtypes.float64)
    # Of NaN, 0 remains, and what must stay.
    count = convert(rnp.clip(rnp.round(size * share), 0, size), dtypes.int32)
    return rnp.maximum(count, floor)


def _shares(sparsity: Any, treedef: tree.TreeDef, scope: str) -> list[Any]:
    """Return the sparsity of each leaf."""
    if sparsity is None:
        raise errors.UserError(
            f"{CALL}: sparsity is missing; give the fraction removed, in [0, 1) (only"
            " prune.NofM knows it already)"
        )
    if len(tree.leaves(sparsity)) == 1 and tree.structure(sparsity).num_nodes == 1:
        given = [sparsity] * treedef.num_leaves
    elif scope == "global":
        raise errors.TreeError(
            f"{CALL}: scope='global' takes one sparsity, got"
            f" {tree.structure(sparsity)}; use scope='tensor' for one for each leaf"
        )
    else:
        found = tree.structure(sparsity)
        if found != treedef:
            raise errors.TreeError(
                f"{CALL}: sparsity has the structure {found}, the scores {treedef};"
                " give one number, or one for each leaf"
            )
        given = tree.leaves(sparsity)
    shares = [s if isinstance(s, int | float) else as_numeric(s, CALL) for s in given]
    for s in shares:
        if not isinstance(s, int | float) and s.shape:
            raise errors.ShapeError(
                f"{CALL}: sparsity has shape {s.shape}; expected a number for each leaf"
            )
        if not isinstance(s, int | float) and dtypes.is_complex(s.dtype):
            raise errors.DTypeError(
                f"{CALL}: sparsity is {s.dtype.name}; expected a real number"
            )
        fraction(s, "sparsity", CALL)
    return shares


def _check_share(structure: NofM, sparsity: Any) -> None:
    share = 1 - structure.n / structure.m
    host = sparsity if isinstance(sparsity, int | float) else known(sparsity)
    if sparsity is not None and (host is None or not math.isclose(host, share)):
        raise errors.UserError(
            f"{CALL}: sparsity={sparsity} with {structure}, which removes {share:g};"
            " leave the sparsity out"
        )


def _each_mask(leaves: Any, counts: Any, structures: tuple[Structure, ...]) -> Any:
    made = []
    for x, k, structure in zip(leaves, counts, structures, strict=True):
        units = largest_mask(sum_units(x, structure), k)
        made.append(spread_units(units, structure, x.shape))
    return made


def _global_mask(
    leaves: Any, count: Any, structures: tuple[Structure, ...], floors: tuple[int, ...]
) -> Any:
    parts = []
    for x, structure, floor in zip(leaves, structures, floors, strict=True):
        units = sum_units(x, structure)
        if not dtypes.is_float(units.dtype):
            units = convert(units, dtypes.float64)
        if floor:
            # NaN counts as larger than anything, so what must stay comes first.
            units = rnp.where(largest_mask(units, floor), np.nan, units)
        parts.append(units)
    mask = largest_mask(rnp.concatenate(parts), count)
    made, at = [], 0
    for x, part, structure in zip(leaves, parts, structures, strict=True):
        units = mask[at : at + part.size]
        made.append(spread_units(units, structure, x.shape))
        at += part.size
    return made


def _group_mask(leaves: Any, structure: NofM) -> Any:
    return [_of_many(x, structure) for x in leaves]


def _of_many(x: Any, structure: NofM) -> Any:
    """Keep n of m: the rank of an element is how many of its group come before it."""
    n, m = structure.n, structure.m
    if dtypes.is_bool(x.dtype):
        x = convert(x, dtypes.int32)
    last = rnp.moveaxis(x, structure.axis, -1)
    length = last.shape[-1]
    short = -length % m
    if short:
        widths = [(0, 0)] * (last.ndim - 1) + [(0, short)]
        last = rnp.pad(last, widths, constant_values=_least(last.dtype))
    groups = rnp.reshape(last, (-1, m))
    if dtypes.is_float(x.dtype):
        groups = rnp.where(rnp.isnan(groups), np.inf, groups)
    if m <= 8:
        columns = [groups[:, j] for j in range(m)]
        masks = []
        for i, own in enumerate(columns):
            before = [
                convert(c >= own if j < i else c > own, dtypes.int32)
                for j, c in enumerate(columns)
                if j != i
            ]
            masks.append(sum(before, rnp.zeros_like(own, dtype=dtypes.int32)) < n)
        mask = rnp.stack(masks, axis=1)
    else:
        mask = largest_mask(groups, n)
    mask = rnp.reshape(mask, last.shape)[..., :length]
    return rnp.moveaxis(mask, -1, structure.axis)


def _least(dtype: Any) -> Any:
    return -np.inf if dtypes.is_float(dtype) else int(np.iinfo(dtype).min)


# Compiled also when called eagerly; counts are operands, so that a new sparsity
# compiles nothing.
_each = jit(_each_mask, static_argnames="structures")
_together = jit(_global_mask, static_argnames=("structures", "floors"))
_some_of_many = jit(_group_mask, static_argnums=1)
