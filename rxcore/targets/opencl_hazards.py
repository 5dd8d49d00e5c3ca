"""Where the items of a group must wait for each other.

Statements of a group are printed in order; between two that touch a memory, of which
one stores, there must be a barrier: items run apart. All of them reach every barrier,
since no item loop stands under an If.
"""

from __future__ import annotations

from attrs import define, field

from rxcore.loops.nest import Load, Nest, Statement, Store, walk

__all__ = ["Hazards", "barrier"]

Body = tuple[Statement, ...]


def _loaded(body: Body) -> set[str]:
    return {s.buffer for s in walk(body) if isinstance(s, Load)}


def _stored(body: Body) -> set[str]:
    return {s.buffer for s in walk(body) if isinstance(s, Store)}


@define
class Hazards:
    """The memories stored to and used since the last barrier."""

    dirty: set[str] = field(factory=set)
    used: set[str] = field(factory=set)

    def conflict(self, body: Body) -> bool:
        """Say whether statements depend on what others did since the last barrier."""
        loaded, stored = _loaded(body), _stored(body)
        return bool(loaded & self.dirty or stored & (self.dirty | self.used))

    def note(self, body: Body) -> None:
        """Add what statements do."""
        self.used |= _loaded(body)
        self.dirty |= _stored(body)

    def inside(self, trees: set[str]) -> Hazards:
        """Return the state at the start of a loop: its own memories are at rest."""
        return Hazards(used=self.used & trees)

    def repeats(self, body: Body, trees: set[str]) -> bool:
        """Say whether the next pass of a loop depends on what this one left."""
        loaded, stored = _loaded(body), _stored(body)
        return bool(loaded & self.dirty or (stored | trees) & self.used)

    def take(self, inner: Hazards) -> None:
        """Add what a loop has left behind."""
        self.dirty |= inner.dirty
        self.used |= inner.used

    def uses(self, name: str) -> bool:
        """Say whether a memory is in use since the last barrier."""
        return name in self.used or name in self.dirty

    def clear(self) -> set[str]:
        """Forget everything, as a barrier does; return what was stored to."""
        stored = set(self.dirty)
        self.dirty.clear()
        self.used.clear()
        return stored

    def clear_local(self, nest: Nest) -> None:
        """Forget what a barrier on local memory orders."""
        local = {s.name for s in nest.scratch}
        buffers = {b.name for b in nest.buffers}
        self.used = {n for n in self.used if n in buffers and n not in local}
        self.dirty -= local


def barrier(stored: set[str], nest: Nest) -> str:
    """Return a barrier that orders these memories, and local memory."""
    if stored & {b.name for b in nest.buffers}:
        return "barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);"
    return "barrier(CLK_LOCAL_MEM_FENCE);"
