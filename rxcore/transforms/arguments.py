"""Pytrees at the borders of transforms: flatten, check, unflatten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import optree

from rxcore.base import dtypes, errors, tree
from rxcore.trace.bind import as_numeric


def numeric_leaves(value: Any, call: str) -> tuple[list[Any], tree.TreeDef]:
    """Flatten a pytree of arrays.

    Raises:
        TreeError: when a leaf is no array, with its path.
    """
    leaves, treedef = tree.flatten(value)
    made = []
    for k, leaf in enumerate(leaves):
        try:
            made.append(as_numeric(leaf))
        except errors.DTypeError as error:
            raise errors.DTypeError(
                f"{call}: the leaf{_path(value, k)}: {error}"
            ) from error
        except errors.TreeError as error:
            path = _path(value, k)
            raise errors.TreeError(
                f"{call}: the leaf{path} is {leaf!r} of type"
                f" {type(leaf).__name__}, which is no array; convert it, or keep it"
                " out of the pytree (for rx.jit: static_argnums)"
            ) from error
    return made, treedef


def _path(value: Any, k: int) -> str:
    accessors = optree.tree_accessors(value, namespace=tree.NAMESPACE)
    text = accessors[k].codify("*") if k < len(accessors) else "*"
    return f" at {text[1:]}" if text != "*" else ""


class Flattened:
    """A function of pytrees as a function of flat arrays; remembers its result's tree.

    Args:
        function: the user's function.
        treedef: the structure of its positional arguments (and keywords).
        call: the transform's name, for errors.
        has_aux: whether it returns (result, auxiliary).
    """

    def __init__(
        self,
        function: Callable[..., Any],
        treedef: tree.TreeDef,
        call: str,
        has_aux: bool = False,
        keywords: dict[str, Any] | None = None,
    ) -> None:
        self.function = function
        self.treedef = treedef
        self.call = call
        self.has_aux = has_aux
        self.keywords = keywords or {}
        self.out_tree: Any = None
        self.aux_tree: Any = None
        self.count = 0

    def __call__(self, *flat: Any) -> list[Any]:
        """Run the function; its results come first, auxiliary leaves after them."""
        args = tree.unflatten(self.treedef, flat)
        out = self.function(*args, **self.keywords)
        aux: list[Any] = []
        if self.has_aux:
            if not (isinstance(out, tuple) and len(out) == 2):
                raise errors.TreeError(
                    f"{self.call}: with has_aux=True the function must return a pair"
                    f" (result, auxiliary), it returned a {type(out).__name__}"
                )
            out, extra = out
            aux, self.aux_tree = numeric_leaves(extra, f"{self.call} (auxiliary)")
        leaves, self.out_tree = numeric_leaves(out, f"{self.call} (result)")
        self.count = len(leaves)
        return [*leaves, *aux]

    def result(self, flat: Sequence[Any]) -> Any:
        """Return the result's pytree from its leaves."""
        return tree.unflatten(self.out_tree, flat)

    def auxiliary(self, flat: Sequence[Any]) -> Any:
        """Return the auxiliary pytree from its leaves."""
        return tree.unflatten(self.aux_tree, flat)


def check_inexact(leaves: Sequence[Any], call: str) -> None:
    """Refuse to differentiate with respect to integers."""
    for x in leaves:
        if not dtypes.is_inexact(x.dtype):
            raise errors.DTypeError(
                f"{call}: an argument of dtype {x.dtype.name} (shape {x.shape}) has no"
                " derivative; convert it to a float, or leave it out with argnums"
            )


def axes_of(axes: Any, value: Any, call: str) -> list[int | None]:
    """Return one axis (or None) for each leaf of a pytree; `axes` may be a prefix."""
    if axes is None or isinstance(axes, int):
        return [axes] * len(tree.leaves(value))
    children, _, _, _ = optree.tree_flatten_one_level(value, namespace=tree.NAMESPACE)
    try:
        parts = optree.tree_flatten_one_level(
            axes, none_is_leaf=True, namespace=tree.NAMESPACE
        )[0]
    except ValueError:
        parts = None
    if parts is None or len(parts) != len(children):
        raise errors.TreeError(
            f"{call}: axes {axes!r} do not match the arguments' structure"
            f" {tree.structure(value)}; give an int, None, or one entry per child"
        )
    found: list[int | None] = []
    for part, child in zip(parts, children, strict=True):
        found += axes_of(part, child, call)
    return found
