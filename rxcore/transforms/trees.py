"""`rx.tree`: pytrees under their short names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rxcore.base import dtypes, errors, tree
from rxcore.base.tree import all_ as all
from rxcore.base.tree import flatten, leaves, register, structure, unflatten
from rxcore.base.tree import map_ as map
from rxcore.ir.types import Type
from rxcore.ops.convert import convert
from rxcore.ops.families import zeros
from rxcore.ops.join import concatenate
from rxcore.ops.shape import reshape, slice_
from rxcore.trace.bind import as_numeric
from rxcore.transforms.arguments import numeric_leaves

__all__ = [
    "all",
    "flatten",
    "leaves",
    "map",
    "ravel",
    "register",
    "structure",
    "unflatten",
]


def ravel(value: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Put all leaves of a pytree into one flat array, and say how to undo it.

    **Meaning**: `np.concatenate([np.ravel(leaf) for leaf in leaves])`

    Args:
        value: a pytree of arrays; their dtypes are promoted together.

    Returns:
        (flat, unravel): `unravel(flat)` is the pytree again, in its own dtypes.

    Raises:
        ShapeError: `unravel` was given an array of another length.

    Example:
        >>> import rxcore as rx
        >>> flat, unravel = rx.tree.ravel({"b": rx.asarray([3.0]), "w": 1.0})
        >>> flat
        Array([3., 1.], dtype=float32)
        >>> unravel(flat * 2)["b"]
        Array([6.], dtype=float32)
    """
    found, treedef = numeric_leaves(value, "tree.ravel")
    types = [x.type.strong() for x in found]
    if not found:
        empty = zeros(Type(dtypes.default_float(), (0,)))
        return empty, lambda _: tree.unflatten(treedef, [])
    dtype, _ = dtypes.promote(*((t.dtype, False) for t in types))
    flat = concatenate([convert(reshape(x, (-1,)), dtype) for x in found], 0)

    def unravel(given: Any) -> Any:
        whole = as_numeric(given, "unravel")
        if whole.shape != flat.shape:
            raise errors.ShapeError(
                f"unravel: expected shape {flat.shape}, got {whole.shape}"
            )
        parts, begin = [], 0
        for t in types:
            part = slice_(whole, (begin,), (begin + t.size,))
            parts.append(convert(reshape(part, t.shape), t.dtype))
            begin += t.size
        return tree.unflatten(treedef, parts)

    return flat, unravel
