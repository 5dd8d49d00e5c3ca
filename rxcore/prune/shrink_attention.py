"""Remove the heads of an attention that masks have emptied."""

from __future__ import annotations

from typing import Any

import numpy as np

from rxcore.base import errors

Array = np.ndarray[Any, np.dtype[Any]]
CALL = "prune.shrink"
PARTS = ("query", "key", "value", "output")


def shrink_attention(
    params: Any, masks: Any, heads: int | None, kv_heads: int | None
) -> Any:
    """Return an attention without the groups of heads that give a constant.

    A group is one head of keys and values and the heads of queries that share it.
    """
    groups, rows = _groups(params, heads, kv_heads)
    value, output = masks["value"]["weight"], masks["output"]["weight"]
    fed = value.reshape(value.shape[0], groups, -1).any(axis=(0, 2))
    heard = output.reshape(groups, -1).any(axis=1)
    params = dict(params)
    gone = ~heard
    folded = heard & ~fed
    if folded.all():
        # One must stay, with its bias.
        folded[0] = False
    gone |= _fold(params, folded, rows)
    if gone.all():
        # One that nobody hears, which is not folded.
        gone[np.argmin(heard)] = False
    made = dict(params)
    for name in PARTS[:3]:
        made[name] = {
            k: _some(x, ~gone, x.ndim - 1) if k in ("weight", "bias") else x
            for k, x in params[name].items()
        }
    weight = _some(params["output"]["weight"], ~gone, 0)
    made["output"] = {**made["output"], "weight": weight}
    return made


def _groups(
    params: Any, heads: int | None, kv_heads: int | None
) -> tuple[int, tuple[int, int, int]]:
    """Return how many groups there are; heads in a group, and lengths of a head."""
    if heads is None or heads < 1:
        raise errors.UserError(
            f"{CALL}: heads={heads}; an attention needs its number of heads, >= 1"
        )
    groups = heads if kv_heads is None else kv_heads
    if groups < 1 or heads % groups:
        raise errors.UserError(
            f"{CALL}: kv_heads={kv_heads} does not divide heads={heads}"
        )
    for name in PARTS:
        if "weight" not in params[name] or params[name]["weight"].ndim != 2:
            raise errors.TreeError(
                f"{CALL}: {name!r} has no 'weight' of two axes; expected a dict of"
                " 'weight' and perhaps 'bias'"
            )
    widths = [params[name]["weight"].shape[1] for name in PARTS[:3]]
    inner = params["output"]["weight"].shape[0]
    counts = (heads, groups, groups, heads)
    for name, width, count in zip(PARTS, (*widths, inner), counts, strict=True):
        if width % count:
            raise errors.ShapeError(
                f"{CALL}: {name!r} has {width} columns of heads, which {count} heads do"
                " not divide"
            )
    length = widths[2] // groups
    if inner != heads * length:
        raise errors.ShapeError(
            f"{CALL}: 'output' takes {inner}, but {heads} heads of values of length"
            f" {length} give {heads * length}"
        )
    return groups, (heads // groups, widths[0] // heads, length)


def _fold(params: Any, folded: Array, rows: tuple[int, int, int]) -> Array:
    """Add the bias of values, as the output sees it, to the output's bias."""
    each, _, length = rows
    groups = folded.size
    weight, bias = params["output"]["weight"], params["value"].get("bias")
    outer = params["output"].get("bias")
    if bias is None:
        return folded
    value = bias.reshape(groups, 1, length).astype(np.float64)
    parts = weight.reshape(groups, each, length, -1).astype(np.float64)
    given = np.einsum("gil,gelo->go", value, parts)
    if outer is None:
        nothing: Array = np.asarray(~given.any(axis=1))
        return np.logical_and(folded, nothing)
    summed = (outer + given[folded].sum(axis=0)).astype(outer.dtype)
    params["output"] = {**params["output"], "bias": summed}
    return folded


def _some(x: Array, stay: Array, axis: int) -> Array:
    found: Array = np.compress(
        np.repeat(stay, x.shape[axis] // stay.size), x, axis=axis
    )
    return found
