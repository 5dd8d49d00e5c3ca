"""Narrow: a nest with more memories than a launch takes becomes several.

The arguments of a kernel may take a kilobyte on some devices, some 60 memories. What
one store needs is computed again for each nest that has such a store.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from attrs import define, evolve, field

from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.anatomy import (
    Body,
    accesses,
    is_plain,
    operands,
    reads,
    stores,
    trim_buffers,
)
from rxcore.loops.nest import (
    Accumulate,
    If,
    Let,
    Load,
    Loop,
    Nest,
    Statement,
    Store,
)

__all__ = ["narrow"]

Names = Set[str]


def narrow(nest: Nest, capabilities: Capabilities) -> tuple[Nest, ...]:
    """Part the stores of a nest so that each part touches few memories."""
    most = capabilities.memories
    stored = {s.buffer for s in stores(nest.body)}
    loaded = {s.buffer for s in accesses(nest.body) if isinstance(s, Load)}
    if len(nest.buffers) <= most or stored & loaded:
        return (nest,)
    return tuple(
        trim_buffers(
            evolve(nest, name=f"{nest.name}_{k}", body=_sliced(nest.body, part, set()))
        )
        for k, part in enumerate(_parted(nest, most))
    )


def _parted(nest: Nest, most: int) -> Iterator[set[Store]]:
    """Yield sets of stores, in order, that touch few memories together."""
    needs = _Needs()
    # What is carried around a loop is known after one more turn.
    for _ in range(2):
        needs.of_stores.clear()
        needs.body(nest.body, frozenset())
    part: set[Store] = set()
    memories: frozenset[str] = frozenset()
    for store, touched in needs.of_stores.items():
        if part and len(memories | touched) > most:
            yield part
            part, memories = set(), frozenset()
        part.add(store)
        memories |= touched
    yield part


@define
class _Needs:
    """The memories that names, and stores, are computed from."""

    of_names: dict[str, frozenset[str]] = field(factory=dict)
    of_stores: dict[Store, frozenset[str]] = field(factory=dict)

    def names(self, names: Names) -> frozenset[str]:
        return frozenset().union(*(self.of_names.get(n, frozenset()) for n in names))

    def body(self, body: Body, around: frozenset[str]) -> None:
        """Go through statements; all of them need what is around them."""
        for s in body:
            given = {o for o in operands(s) if isinstance(o, str)}
            match s:
                case Let():
                    self.of_names[s.name] = self.names(given)
                case Load():
                    place = self.names(set(s.index.names()))
                    self.of_names[s.name] = place | {s.buffer}
                case Store():
                    whole = self.names(given | set(s.index.names())) | around
                    self.of_stores[s] = whole | {s.buffer}
                case Accumulate():
                    found = self.names(given | {s.name}) | around
                    self.of_names[s.name] = found
                case If():
                    self.body(s.body, around | self.names(given))
                case Loop():
                    for a in s.accumulators:
                        first = {a.initial} if isinstance(a.initial, str) else set()
                        self.of_names[a.name] = self.names({a.name, *first})
                    self.body(s.body, around)


def _sliced(body: Body, part: set[Store], needed: set[str]) -> Body:
    """Keep some stores and what they need; add the names that are read."""
    kept: list[Statement] = []
    for s in reversed(body):
        found: Statement | None = s
        if isinstance(s, Loop):
            found = _sliced_loop(s, part, needed)
        elif isinstance(s, If):
            inner = _sliced(s.body, part, needed)
            found = evolve(s, body=inner) if inner else None
        elif isinstance(s, Store):
            found = s if s in part else None
        elif (is_plain(s) or isinstance(s, Accumulate)) and s.name not in needed:
            found = None
        if found is not None:
            kept.append(found)
            needed |= reads((found,))
    return tuple(reversed(kept))


def _sliced_loop(loop: Loop, part: set[Store], needed: set[str]) -> Loop | None:
    names = {a.name for a in loop.accumulators}
    wanted = names & needed
    while True:
        body = _sliced(loop.body, part, wanted | (needed - names))
        also = names & reads(body)
        if also <= wanted:
            break
        wanted |= also
    if not body and not wanted:
        return None
    found = tuple(a for a in loop.accumulators if a.name in wanted)
    return evolve(loop, body=body, accumulators=found)
