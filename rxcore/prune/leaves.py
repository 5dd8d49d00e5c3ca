"""What the functions of this field share: leaves, masks beside them, known numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors, tree
from rxcore.runtime.array import Array
from rxcore.trace.bind import as_numeric, known_numbers
from rxcore.trace.tracer import Tracer
from rxcore.transforms.arguments import numeric_leaves


def known(x: Any) -> Any:
    """Return the ndarray of an array whose numbers exist by now, else None."""
    found = x.concrete() if isinstance(x, Tracer) else x
    return found.host if isinstance(found, Array) else None


def real_leaves(value: Any, call: str) -> tuple[list[Any], tree.TreeDef]:
    """Flatten a pytree of real arrays; None holds no leaf."""
    leaves, treedef = numeric_leaves(value, call)
    for x in leaves:
        if dtypes.is_complex(x.dtype):
            raise errors.DTypeError(
                f"{call}: a leaf is {x.dtype.name} (shape {x.shape}), which has no"
                " order; expected real numbers, as abs(x) gives"
            )
    return leaves, treedef


def float_leaves(value: Any, call: str) -> tuple[list[Any], tree.TreeDef]:
    """Flatten a pytree of real floating arrays."""
    leaves, treedef = numeric_leaves(value, call)
    for x in leaves:
        if not dtypes.is_float(x.dtype):
            raise errors.DTypeError(
                f"{call}: a leaf is {x.dtype.name} (shape {x.shape}); expected a real"
                " floating dtype: convert it with .astype(...), or put None in its"
                " place"
            )
    return leaves, treedef


def beside(treedef: tree.TreeDef, other: Any, call: str, what: str) -> list[Any]:
    """Return what `other` has at each leaf of a structure; None stays None."""
    try:
        parts = treedef.flatten_up_to(other)
    except (ValueError, TypeError) as error:
        raise errors.TreeError(
            f"{call}: {what} has the structure {tree.structure(other)}, expected"
            f" {treedef} (None may stand for a leaf)"
        ) from error
    return [None if p is None else as_numeric(p, call) for p in parts]


def like_beside(
    treedef: tree.TreeDef, leaves: list[Any], other: Any, call: str, what: str
) -> list[Any]:
    """Return what `other` has at each leaf: an array of the same shape."""
    parts = beside(treedef, other, call, what)
    for x, part in zip(leaves, parts, strict=True):
        if part is None:
            raise errors.TreeError(
                f"{call}: {what} has None for a leaf of shape {x.shape}; put None in"
                " place of the leaf too"
            )
        _check_shape(x, part, call, what)
    return parts


def _check_shape(x: Any, part: Any, call: str, what: str) -> None:
    if part.shape != x.shape:
        raise errors.ShapeError(
            f"{call}: a leaf has shape {x.shape}, its part of the {what}"
            f" {part.shape}; they must be equal"
        )


def map_beside(
    function: Callable[[Any, Any], Any], first: Any, other: Any, call: str, what: str
) -> Any:
    """Apply a function to leaves and what stands beside them, where something does."""
    leaves, treedef = numeric_leaves(first, call)
    made = []
    for x, m in zip(leaves, beside(treedef, other, call, what), strict=True):
        if m is not None:
            _check_shape(x, m, call, what)
        made.append(x if m is None else function(x, m))
    return tree.unflatten(treedef, made)


def paths(value: Any) -> list[str]:
    """Return the names of a pytree's leaves."""
    accessors = optree.tree_accessors(value, namespace=tree.NAMESPACE)
    return [a.codify("*")[1:] or "(all)" for a in accessors]


def refuse_nan(leaves: Sequence[Any], value: Any, call: str) -> None:
    """Refuse NaN where the numbers are known by now."""
    for k, x in enumerate(leaves):
        count = _nans(x) if dtypes.is_float(x.dtype) and x.size else 0
        if count:
            raise errors.UserError(
                f"{call}: {count} of {x.size} scores at {paths(value)[k]} are NaN,"
                " which have no order; find out where they come from, or replace them"
                " with rnp.nan_to_num(scores)"
            )


def _nans(x: Any) -> int:
    """Return how many numbers are NaN, as far as they are known by now."""
    found = known_numbers(x)
    if found is None:
        return 0
    if not found.on_host:
        return int(rnp.sum(rnp.isnan(found)))
    # A minimum carries NaN on, and makes no array of its own.
    host = found.host
    return int(np.isnan(host).sum()) if np.isnan(host.min()) else 0


def fraction(value: Any, name: str, call: str) -> None:
    """Refuse a known number outside [0, 1)."""
    host = known(value) if isinstance(value, Array | Tracer) else value
    if np.iscomplexobj(host) or isinstance(host, str):
        raise errors.UserError(f"{call}: {name}={value!r}; expected a real number")
    if host is not None and not np.all(
        (np.asarray(host) >= 0) & (np.asarray(host) < 1)
    ):
        raise errors.UserError(
            f"{call}: {name}={value}; expected 0 <= {name} < 1, the fraction that is"
            " removed"
        )
