"""The grid of a Nest on an OpenCL device: its outermost loops, as work-groups."""

from __future__ import annotations

import math

from attrs import frozen

from rxcore.base.errors import InternalError
from rxcore.loops.nest import Loop, Nest, Store, walk

__all__ = ["Grid", "grid_of"]


@frozen(eq=False)
class Grid:
    """The perfectly nested `group` loops, or `lane` loops, at the top of a Nest.

    Args:
        loops: outermost first; lanes of the innermost are shared by groups.
        group: work-items of a work-group.
    """

    loops: tuple[Loop, ...]
    group: int

    @property
    def top(self) -> Loop:
        """The outermost loop."""
        return self.loops[0]

    def extent(self, loop: Loop) -> int:
        """Return how often a loop of the grid runs."""
        assert isinstance(loop.extent, int)
        return loop.extent

    def count(self, loop: Loop) -> int:
        """Return how many groups a loop of the grid takes."""
        whole = self.extent(loop)
        if loop is self.loops[-1] and loop.kind == "lane":
            return -(-whole // self.group)
        return whole

    @property
    def groups(self) -> int:
        """How many work-groups there are."""
        return math.prod(map(self.count, self.loops))

    @property
    def items(self) -> int:
        """How many work-items there are."""
        return self.groups * self.group


def grid_of(nest: Nest) -> Grid:
    """Return the grid of a Nest that was scheduled for a GPU.

    Raises:
        InternalError: when there is none, or something beside it stores.
    """
    tops = [s for s in nest.body if isinstance(s, Loop)]
    beside = tuple(s for s in nest.body if s not in tops[:1])
    if len(tops) != 1 or any(isinstance(s, Store) for s in walk(beside)):
        raise InternalError(f"a nest for a GPU is one loop nest\n{nest}")
    loops = [tops[0]]
    while len(loops[-1].body) == 1:
        inner = loops[-1].body[0]
        if not isinstance(inner, Loop) or inner.kind != loops[0].kind:
            break
        loops.append(inner)
    if loops[0].kind not in ("lane", "group") or any(x.accumulators for x in loops):
        raise InternalError(f"a nest for a GPU begins with lanes or groups\n{nest}")
    return Grid(tuple(loops), nest.group)
