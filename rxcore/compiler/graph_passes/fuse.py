"""Fuse: decide which values are stored, and which of those share a loop nest.

Roots are values that are stored or reduced: outputs, operands of kernels and control
ops, reductions, and costly values with several users. Everything else is pulled into
its consumers, duplicated where that is cheap. A root's domain is (shape, reduced
axes); roots share a nest when their domains agree, each takes values of the other at
its own index only, and no path leads from one to the other through a third.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import Any

from attrs import define, field

from rxcore.base import errors
from rxcore.compiler.forms import (
    dry,
    dry_cost,
    is_compiled,
    is_dense,
    is_pulled,
    is_reduction,
    joined_axis,
)
from rxcore.compiler.graph_passes.inline import map_subgraphs
from rxcore.compiler.lanes import is_lane_scan
from rxcore.compiler.pull import DoesNotFit, Tracker
from rxcore.ir.graph import Equation, Graph, Operand, Value, has_effects
from rxcore.ir.primitive import Fusion, NoRule, Primitive, Pull
from rxcore.ir.types import Type
from rxcore.loops.nest import Index

# Recomputing more than this for each user is dearer than storing (an exp is 20).
THRESHOLD = 12.0
# What one nest may cost for an element: LLVM's time grows with the square of a loop's
# body (a chain of 100 sines in float64: 3 s, of 200: 23 s).
MOST = 1200.0
# Pulled chains are cut here, since pulling recurses.
DEPTH = 40
# Memories that one nest touches: some devices take a kilobyte of arguments.
MEMORIES = 40
# A reduction keeping fewer elements than FEW out of more than MANY is split over
# threads by `schedule`, which wants it alone in its nest.
FEW, MANY = 64, 1 << 15


def _infer_fused(*types: Type, graph: Graph, **_: Any) -> tuple[Type, ...]:
    del types
    return graph.out_types


_NONE = NoRule("a fused group exists only inside the compiler")

fused = Primitive(
    name="fused",
    family="compiler",
    infer=_infer_fused,
    lower=Fusion(),
    reference=_NONE,
    jvp=_NONE,
    transpose=_NONE,
    batch=_NONE,
    samples=None,
    multiple=True,
    document="Equations that share one loop nest.",
)


def identity(shape: Iterable[int]) -> tuple[Index, ...]:
    """Return the index that names each axis; axes of length 1 are at 0."""
    return tuple(
        Index() if size == 1 else Index.of(f"d{axis}")
        for axis, size in enumerate(shape)
    )


@define(eq=False)
class Group:
    """Roots that share a nest."""

    node: int
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    members: dict[Value, str] = field(factory=dict)  # "full", "kept" or "joined"
    leaves: dict[Value, None] = field(factory=dict)
    scan: Equation | None = None
    cost: float = 0.0

    @property
    def kept(self) -> tuple[int, ...]:
        """The shape without the reduced axes."""
        return tuple(s for i, s in enumerate(self.shape) if i not in self.axes)


@define
class Link:
    """A value that a root takes, and at which index (None: through a flat offset)."""

    value: Value
    index: tuple[Index, ...] | None


class Fuser:
    """The state of one fusion of one Graph."""

    def __init__(self, graph: Graph, forced: set[Value]) -> None:
        self.graph = graph
        self.producers: dict[Value, Equation] = {}
        self.reductions: dict[Value, Equation] = {}
        self.node_of: dict[Value, int] = {}
        self.group_of: dict[Value, Group] = {}
        self.groups: list[Group] = []
        self.barriers: dict[int, Equation] = {}
        self.effect: int | None = None
        self.ancestors: list[int] = []
        self.readers: dict[Value, list[Group]] = {}
        for e in graph.equations:
            if is_pulled(e):
                self.producers[e.outputs[0]] = e
            elif is_reduction(e):
                self.reductions[e.outputs[0]] = e
        self.lane_scans = {
            id(e) for e in graph.equations if is_lane_scan(e) and is_compiled(e)
        }
        self.aliases: dict[Value, None] = {}
        self.costs: dict[Value, float] = {}
        self.roots = self._find_roots(forced)

    # Roots ---------------------------------------------------------------------

    def resolved(self, o: Operand) -> Value | None:
        """Return the value whose memory an operand shares (through reshapes)."""
        if not isinstance(o, Value):
            return None
        e = self.producers.get(o)
        while is_dense(e):
            self.aliases[o] = None
            inner = e.inputs[0]  # type: ignore[union-attr]
            if not isinstance(inner, Value):
                return o
            o = inner
            e = self.producers.get(o)
        return o

    def _find_roots(self, forced: set[Value]) -> set[Value]:
        needed: set[Value] = set(forced) | set(self.reductions)

        def need(o: Operand) -> None:
            found = self.resolved(o)
            if found is not None:
                needed.add(found)

        for o in self.graph.outputs:
            need(o)
        users: dict[Value, int] = {}
        for e in self.graph.equations:
            barrier = not (is_pulled(e) or is_reduction(e) or id(e) in self.lane_scans)
            form = e.primitive.lower
            stored = form.stored if isinstance(form, Pull) else ()
            for k, o in enumerate(e.inputs):
                if isinstance(o, Value):
                    users[o] = users.get(o, 0) + 1
                if barrier or k in stored:
                    need(o)
        cost: dict[Value, float] = {}
        depth: dict[Value, int] = {}
        leaves: dict[Value, frozenset[Value]] = {}
        for e in self.graph.equations:
            out = e.outputs[0] if e.outputs else None
            if out is None or out not in self.producers:
                continue
            pulled = [o for o in e.inputs if isinstance(o, Value) and o in cost]
            cost[out] = dry_cost(e) + sum(cost[o] for o in pulled)
            depth[out] = 1 + max((depth[o] for o in pulled), default=0)
            values = [o for o in e.inputs if isinstance(o, Value)]
            leaves[out] = frozenset().union(*(leaves.get(o, {o}) for o in values))
            many = users.get(out, 0) > 1 and cost[out] > THRESHOLD
            wide = len(leaves[out]) >= MEMORIES
            if (many or wide or depth[out] > DEPTH) and not is_dense(e):
                needed.add(out)
            if out in needed:
                self.costs[out] = cost[out]
                cost[out], depth[out], leaves[out] = 0.0, 0, frozenset((out,))
        return {v for v in needed if v in self.producers or v in self.reductions}

    # Domains and links ---------------------------------------------------------

    def links(self, value: Value, index: tuple[Index, ...], shape: Any) -> list[Link]:
        """Return what pulling a value's element takes, and where."""
        found: list[Link] = []

        def stops(v: Value) -> bool:
            return v not in self.producers or (v in self.roots and v is not value)

        def leaf(v: Value, at: tuple[Index, ...]) -> bool:
            if stops(v):
                found.append(Link(v, at))
            return stops(v)

        def flat(v: Value, offset: Index) -> bool:
            del offset
            if stops(v):
                found.append(Link(v, None))
            return stops(v)

        extents = {f"d{i}": n for i, n in enumerate(shape)}
        puller, _ = dry(leaf, flat, self.producers, extents, kind=Tracker)
        puller.pull(value, index)
        return found + self._unread(value, stops, {k.value for k in found})

    def _unread(
        self, value: Value, stops: Callable[[Value], bool], found: set[Value]
    ) -> list[Link]:
        """Return links to operands of which no element is read (an empty update)."""
        seen, todo, links = {value}, [value], []
        while todo:
            for o in self.producers[todo.pop()].inputs:
                if not isinstance(o, Value) or o in seen:
                    continue
                seen.add(o)
                if not stops(o):
                    todo.append(o)
                elif o not in found:
                    links.append(Link(o, None))
        return links

    def place(self, root: Value) -> None:
        """Put a root into the best group that can take it, or a new one."""
        reduce_ = self.reductions.get(root)
        if reduce_ is not None:
            operand = reduce_.inputs[0]
            shape, axes = operand.type.shape, tuple(reduce_.params["axes"])
            links = (
                self.links_of_operand(operand, shape)
                if isinstance(operand, Value)
                else []
            )
        elif joined_axis(self.producers[root]) is not None:
            # Its pieces are computed over their own shape and stored at offsets.
            pieces = self.producers[root].inputs
            shape, axes = pieces[0].type.shape, ()
            links = [
                k
                for o in pieces
                if isinstance(o, Value)
                for k in self.links_of_operand(o, shape)
            ]
        else:
            shape, axes = root.type.shape, ()
            links = self.links(root, identity(shape), shape)
        deps = 0
        for link in links:
            node = self.node_of.get(link.value)
            if node is not None:
                deps |= self.ancestors[node] | 1 << node
        for group in self.candidates(links):
            level = self.fits(group, root, shape, axes, links, deps)
            if level:
                self.join(group, root, level, axes, links, deps)
                return
        group = self.new_group(shape, axes)
        if reduce_ is None and root.type.shape != shape:
            self.join(group, root, "joined", axes, links, deps)
            return
        self.join(
            group, root, "kept" if reduce_ is not None else "full", axes, links, deps
        )

    def links_of_operand(self, operand: Value, shape: tuple[int, ...]) -> list[Link]:
        """Return the links of a reduction's operand; a root operand is itself one."""
        index = identity(shape)
        if operand in self.roots or operand not in self.producers:
            return [Link(operand, index)]
        return self.links(operand, index, shape)

    def candidates(self, links: list[Link]) -> list[Group]:
        """Return groups to try: those of producers, then those that read the same."""
        found: dict[int, Group] = {}
        for link in links:
            group = self.group_of.get(link.value)
            if group is not None:
                found.setdefault(group.node, group)
        for link in links:
            if link.value.type.size > 1:
                for group in self.readers.get(link.value, ()):
                    found.setdefault(group.node, group)
        return [g for g in found.values() if g.scan is None]

    def fits(
        self,
        group: Group,
        root: Value,
        shape: tuple[int, ...],
        axes: tuple[int, ...],
        links: list[Link],
        deps: int,
    ) -> str:
        """Return the level at which a root can join a group; empty if it cannot."""
        full = shape == group.shape and (
            not axes or not group.axes or axes == group.axes
        )
        kept = not axes and bool(group.axes) and shape == group.kept and not full
        if not (full or kept):
            return ""
        memories = {**group.members, **group.leaves, **{k.value: "" for k in links}}
        if group.members and len(memories) >= MEMORIES:
            return ""
        if group.members and group.cost + self.costs.get(root, 0.0) > MOST:
            return ""
        joined = axes or group.axes
        for link in links:
            level = group.members.get(link.value)
            if level is None:
                continue
            if link.index is None or not self._aligned(
                link, level, full, shape, joined
            ):
                return ""
        if full and not self._worth_it(group, axes, links):
            return ""
        # No path may lead from the group through another one to the root.
        others = deps & ~(1 << group.node)
        node = 0
        while others:
            if others & 1 and self.ancestors[node] >> group.node & 1:
                return ""
            others >>= 1
            node += 1
        if root.type.shape != shape and not axes:
            return "joined"
        return "kept" if kept or axes else "full"

    def _aligned(
        self, link: Link, level: str, full: bool, shape: Any, axes: tuple[int, ...]
    ) -> bool:
        if level == "joined":
            return False
        if not full:
            return level == "kept" and link.index == identity(shape)
        whole = identity(shape)
        if level == "full":
            return link.index == whole
        return link.index == tuple(p for i, p in enumerate(whole) if i not in axes)

    def _worth_it(self, group: Group, axes: tuple[int, ...], links: list[Link]) -> bool:
        joined = axes or group.axes
        if not joined:
            return True
        size = kept = 1
        for i, n in enumerate(group.shape):
            size *= n
            kept *= 1 if i in joined else n
        if kept >= FEW or size <= MANY:
            return True
        # Few results from much: keep a reduction apart from stages and stores, so
        # that it can be split; independent reductions may share a pass.
        if not axes or any(level != "kept" for level in group.members.values()):
            return False
        return not any(group.members.get(k.value) for k in links)

    # Groups --------------------------------------------------------------------

    def new_node(self, deps: int) -> int:
        """Return the number of a new node of the dependency graph."""
        self.ancestors.append(deps)
        return len(self.ancestors) - 1

    def new_group(self, shape: tuple[int, ...], axes: tuple[int, ...]) -> Group:
        """Return a new, empty group."""
        group = Group(self.new_node(0), shape, axes)
        self.groups.append(group)
        return group

    def join(
        self,
        group: Group,
        root: Value,
        level: str,
        axes: tuple[int, ...],
        links: list[Link],
        deps: int,
    ) -> None:
        """Put a root into a group."""
        group.axes = axes or group.axes
        group.cost += self.costs.get(root, 0.0)
        group.members[root] = level
        self.group_of[root] = group
        self.node_of[root] = group.node
        self._add_leaves(group, links)
        self._depend(group.node, deps & ~(1 << group.node))

    def _add_leaves(self, group: Group, links: list[Link]) -> None:
        for link in links:
            if link.value not in group.members:
                group.leaves[link.value] = None
                self.readers.setdefault(link.value, []).append(group)

    def _depend(self, node: int, deps: int) -> None:
        if deps & ~self.ancestors[node] == 0:
            return
        self.ancestors[node] |= deps
        for later, mask in enumerate(self.ancestors):
            if mask >> node & 1:
                self.ancestors[later] |= deps

    def add_scan(self, equation: Equation) -> None:
        """Make a lane scan a group of its own that pulls its operands."""
        links: list[Link] = []
        for o in equation.inputs:
            if isinstance(o, Value):
                links += self.links_of_operand(o, o.type.shape)
        group = self.new_group(equation.outputs[0].type.shape, ())
        group.scan = equation
        for v in equation.outputs:
            group.members[v] = "full"
            self.group_of[v] = group
            self.node_of[v] = group.node
        self._add_leaves(group, links)
        self._depend(group.node, self._deps(k.value for k in links))

    def add_barrier(self, equation: Equation) -> None:
        """Make an equation a node of its own."""
        values = [self.resolved(o) for o in equation.inputs]
        deps = self._deps(v for v in values if v is not None)
        if has_effects(equation):
            # Effects happen in the order in which the program tells them.
            if self.effect is not None:
                deps |= self.ancestors[self.effect] | 1 << self.effect
            self.effect = len(self.ancestors)
        node = self.new_node(deps)
        self.barriers[node] = map_subgraphs(equation, self.inner)
        for v in equation.outputs:
            self.node_of[v] = node

    def inner(self, graph: Graph) -> Graph:
        """Return a held Graph, fused."""
        return fuse(graph)

    def _deps(self, values: Iterable[Value]) -> int:
        deps = 0
        for v in values:
            node = self.node_of.get(v)
            if node is not None:
                deps |= self.ancestors[node] | 1 << node
        return deps

    def run(self) -> Graph:
        """Group everything; return the Graph of groups."""
        for e in self.graph.equations:
            out = e.outputs[0] if e.outputs else None
            if id(e) in self.lane_scans:
                self.add_scan(e)
            elif out in self.roots:
                self.place(out)
            elif not is_pulled(e) and not is_reduction(e):
                self.add_barrier(e)
        return self.emit()

    # Emission ------------------------------------------------------------------

    def emit(self) -> Graph:
        """Return the Graph whose equations are groups, barriers and aliases."""
        stored = self._stored()
        made: list[Equation] = []
        done: set[Value] = set(self.graph.inputs)
        waiting = self._aliases(done, made)
        by_node = {g.node: g for g in self.groups}
        for node in self._topological():
            e = self.barriers.get(node)
            if e is None:
                e = self._group_equation(by_node[node], stored)
                if e is None:
                    continue
            made.append(e)
            done.update(e.outputs)
            waiting = self._ready(waiting, done, made)
        return Graph(self.graph.inputs, self.graph.outputs, tuple(made))

    def _topological(self) -> list[int]:
        """Order nodes as the program does: what it computes late lives shortly."""
        place = {v: k for k, e in enumerate(self.graph.equations) for v in e.outputs}
        first = [len(place)] * len(self.ancestors)
        for v, node in self.node_of.items():
            first[node] = min(first[node], place[v])
        for node, e in self.barriers.items():
            if not e.outputs:
                first[node] = 0
        missing = [mask.bit_count() for mask in self.ancestors]
        after: list[list[int]] = [[] for _ in self.ancestors]
        for node, mask in enumerate(self.ancestors):
            while mask:
                low = mask & -mask
                after[low.bit_length() - 1].append(node)
                mask ^= low
        ready = [(first[n], n) for n, count in enumerate(missing) if not count]
        heapify(ready)
        out: list[int] = []
        while ready:
            _, node = heappop(ready)
            out.append(node)
            for later in after[node]:
                missing[later] -= 1
                if not missing[later]:
                    heappush(ready, (first[later], later))
        if len(out) < len(self.ancestors):
            raise errors.InternalError(f"fuse made a cycle of groups\n{self.graph}")
        return out

    def _aliases(self, done: set[Value], made: list[Equation]) -> list[Equation]:
        waiting = [self.producers[v] for v in self._alias_order()]
        return self._ready(waiting, done, made)

    def _alias_order(self) -> list[Value]:
        return [
            e.outputs[0]
            for e in self.graph.equations
            if e.outputs and e.outputs[0] in self.aliases
        ]

    def _ready(
        self, waiting: list[Equation], done: set[Value], made: list[Equation]
    ) -> list[Equation]:
        rest = []
        for e in waiting:
            o = e.inputs[0]
            if isinstance(o, Value) and o not in done:
                rest.append(e)
                continue
            made.append(e)
            done.update(e.outputs)
        return rest

    def _stored(self) -> set[Value]:
        stored: set[Value] = set()
        for o in self.graph.outputs:
            found = self.resolved(o)
            if found is not None:
                stored.add(found)
        for e in self.barriers.values():
            stored.update(v for v in map(self.resolved, e.inputs) if v is not None)
        for group in self.groups:
            stored.update(v for v in group.leaves if self.group_of.get(v) is not group)
            if group.scan is not None:
                stored.update(group.members)
        return stored

    def _group_equation(self, group: Group, stored: set[Value]) -> Equation | None:
        outs = tuple(v for v in group.members if v in stored)
        if not outs:
            return None
        wanted: set[Value] = set(outs)
        body: list[Equation] = []
        leaves: dict[Value, None] = {}
        inside = self._inside(group)
        for e in reversed(self.graph.equations):
            if wanted.isdisjoint(e.outputs) or not inside(e):
                continue
            body.append(e)
            wanted.update([o for o in e.inputs if isinstance(o, Value)])
        made = {v for e in body for v in e.outputs}
        for e in body:
            for o in e.inputs:
                if isinstance(o, Value) and o not in made:
                    leaves[o] = None
        inner = Graph(tuple(leaves), outs, tuple(reversed(body)))
        params = {"graph": inner, "shape": group.shape, "axes": group.axes}
        return Equation(fused, tuple(leaves), outs, params, body[-1].source)

    def _inside(self, group: Group) -> Any:
        def inside(e: Equation) -> bool:
            if group.scan is e:
                return True
            v = e.outputs[0]
            if v in self.reductions:
                return v in group.members
            if v not in self.producers:
                return False
            return v in group.members or v not in self.roots

        return inside


def fuse(graph: Graph) -> Graph:
    """Group equations into loop nests."""
    forced: set[Value] = set()
    while True:
        try:
            return Fuser(graph, forced).run()
        except DoesNotFit as wall:
            forced.add(wall.value)
