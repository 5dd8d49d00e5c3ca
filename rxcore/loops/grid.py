"""The grid of a Nest: the one outermost loop that a launch may cut into pieces."""

from __future__ import annotations

from rxcore.base.errors import InternalError
from rxcore.loops.nest import Loop, Nest, Store, walk

__all__ = ["grid_extent", "grid_loop"]

_KINDS = ("group", "lane", "parallel")


def grid_loop(nest: Nest) -> Loop | None:
    """Return the loop whose range a launch may cut into pieces, if there is one.

    It is the one loop at the top of kind `group`, `lane` or `parallel` that carries
    no accumulator. What stands beside it is run again for every piece.

    Raises:
        InternalError: when there are two, or when something beside it stores.
    """
    found = [
        s
        for s in nest.body
        if isinstance(s, Loop) and s.kind in _KINDS and not s.accumulators
    ]
    if not found:
        return None
    others = tuple(s for s in nest.body if s is not found[0])
    if len(found) > 1 or any(isinstance(s, Store) for s in walk(others)):
        raise InternalError(
            "a nest is launched in pieces of one outermost loop: "
            f"nothing beside it may store\n{nest}"
        )
    return found[0]


def grid_extent(nest: Nest) -> int:
    """Return the number of units of a launch: [0, 1) where there is no grid loop."""
    loop = grid_loop(nest)
    if loop is None:
        return 1
    if not isinstance(loop.extent, int):
        raise InternalError(f"the outermost loop cannot be a block\n{nest}")
    return loop.extent
