"""Pytrees, through optree under the namespace `rxcore`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import attrs
import optree

from rxcore.base import errors

__all__ = ["all_", "flatten", "leaves", "map_", "register", "structure", "unflatten"]

NAMESPACE = "rxcore"
PyTree = Any
TreeDef = optree.PyTreeSpec
T = TypeVar("T")


def flatten(
    tree: PyTree, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[Any], TreeDef]:
    """Return the leaves of a pytree and its structure; None holds no leaf."""
    leaves_, treedef = optree.tree_flatten(tree, is_leaf=is_leaf, namespace=NAMESPACE)
    return leaves_, treedef


def unflatten(treedef: TreeDef, leaves_: Iterable[Any]) -> PyTree:
    """Return the pytree of a structure and its leaves."""
    return optree.tree_unflatten(treedef, leaves_)


def leaves(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """Return the leaves of a pytree."""
    return optree.tree_leaves(tree, is_leaf=is_leaf, namespace=NAMESPACE)


def structure(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> TreeDef:
    """Return the structure of a pytree."""
    return optree.tree_structure(tree, is_leaf=is_leaf, namespace=NAMESPACE)


def map_(
    function: Callable[..., Any],
    tree: PyTree,
    *rest: PyTree,
    is_leaf: Callable[[Any], bool] | None = None,
) -> PyTree:
    """Apply a function to the leaves of pytrees of equal structure.

    Raises:
        TreeError: when the structures differ.

    Example:
        >>> map_(lambda a, b: a + b, {"w": 1, "b": 2}, {"w": 10, "b": 20})
        {'w': 11, 'b': 22}
    """
    first, treedef = flatten(tree, is_leaf)
    columns = [first]
    for number, other in enumerate(rest, 2):
        try:
            columns.append(treedef.flatten_up_to(other))
        except (ValueError, TypeError) as error:
            raise errors.TreeError(
                f"tree.map: argument {number} has the structure"
                f" {structure(other)}, expected {treedef}"
            ) from error
    return unflatten(treedef, [function(*row) for row in zip(*columns, strict=True)])


def all_(tree: PyTree) -> bool:
    """Say whether every leaf is true."""
    return all(bool(leaf) for leaf in leaves(tree))


def register(cls: type[T]) -> type[T]:
    """Register an attrs class as a pytree: its fields are the children.

    Fields declared with `metadata={"static": True}` belong to the structure instead;
    they must be hashable.

    Example:
        >>> from attrs import frozen
        >>> @register
        ... @frozen
        ... class Pair:
        ...     left: int
        ...     right: int
        >>> leaves(Pair(1, 2))
        [1, 2]
    """
    if not attrs.has(cls):
        raise TypeError(f"tree.register: {cls.__name__} is no attrs class")
    fields = attrs.fields(cls)
    children = tuple(f.name for f in fields if not f.metadata.get("static"))
    static = tuple(f.name for f in fields if f.metadata.get("static"))

    def take_apart(x: Any) -> Any:
        fixed = tuple(getattr(x, name) for name in static)
        return tuple(getattr(x, name) for name in children), fixed, children

    def put_together(fixed: Any, values: Any) -> Any:
        made = cls.__new__(cls)
        for name, value in (*zip(children, values), *zip(static, fixed)):  # noqa: B905
            object.__setattr__(made, name, value)
        return made

    optree.register_pytree_node(cls, take_apart, put_together, namespace=NAMESPACE)  # type: ignore[arg-type]
    return cls  # type: ignore[return-value]
