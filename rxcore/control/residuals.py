"""Residuals: choose what a loop stores for its backward pass.

A value that the linear body needs can be stored (written and read: 2 streams), or
computed again from stored ones where that is cheap. A per-step input costs 1 stream, a
constant none. The cheapest choice is a minimum cut between what is at hand and what is
needed (as in the rematerialization of Griewank and Walther, "Evaluating Derivatives",
2008, chapter 12, with bytes moved as the cost).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from attrs import frozen

from rxcore.control.bodies import is_cheap
from rxcore.ir.graph import Equation, Graph, Operand, Value

__all__ = ["Saved", "choose"]

_ENDLESS = float("inf")
Node = tuple[Value | None, int]
_SOURCE: Node = (None, 0)
_SINK: Node = (None, 1)


@frozen
class Saved:
    """What to store, and how to compute the rest from it.

    Args:
        values: stored values and inputs that are read again.
        equations: what is computed again, in order.
    """

    values: tuple[Value, ...]
    equations: tuple[Equation, ...]


def choose(
    graph: Graph,
    needed: Sequence[Operand],
    cost: Mapping[Value, float],
    storable: Callable[[Value], bool],
) -> Saved:
    """Choose what to store of a body so that `needed` can be had again.

    Args:
        graph: the body.
        needed: what the backward pass reads.
        cost: streams of values that are at hand (inputs, results); others cost 2.
        storable: whether a value may be stored.
    """
    wanted = [o for o in needed if isinstance(o, Value)]
    makers = {v: e for e in graph.equations for v in e.outputs}
    network = _network(graph, wanted, cost, storable)
    sink_side = _cut(network)
    stored: dict[Value, None] = {}
    steps: set[int] = set()
    todo = list(wanted)
    seen: set[Value] = set()
    while todo:
        v = todo.pop()
        if v in seen:
            continue
        seen.add(v)
        e = makers.get(v)
        is_cut = (v, 1) in sink_side and (v, 0) not in sink_side
        if e is None or is_cut or not is_cheap(e):
            stored[v] = None
            continue
        steps.add(id(e))
        todo += [o for o in e.inputs if isinstance(o, Value)]
    again = tuple(e for e in graph.equations if id(e) in steps)
    return Saved(tuple(stored), again)


def _network(
    graph: Graph,
    wanted: Sequence[Value],
    cost: Mapping[Value, float],
    storable: Callable[[Value], bool],
) -> dict[Node, dict[Node, float]]:
    """Return capacities: a value is an edge whose cut means to store it."""
    network: dict[Node, dict[Node, float]] = {_SOURCE: {}, _SINK: {}}

    def link(a: Node, b: Node, capacity: float) -> None:
        network.setdefault(a, {})[b] = capacity
        network.setdefault(b, {}).setdefault(a, 0.0)

    def value(v: Value) -> None:
        price = cost.get(v, 2.0 if storable(v) else _ENDLESS)
        link((v, 0), (v, 1), price * max(v.type.nbytes, 1))

    for v in graph.inputs:
        value(v)
        link(_SOURCE, (v, 0), _ENDLESS)
    for e in graph.equations:
        for v in e.outputs:
            value(v)
            if not is_cheap(e):
                link(_SOURCE, (v, 0), _ENDLESS)
                continue
            for o in e.inputs:
                if isinstance(o, Value):
                    link((o, 1), (v, 0), _ENDLESS)
    for v in dict.fromkeys(wanted):
        link((v, 1), _SINK, _ENDLESS)
    return network


def _cut(network: dict[Node, dict[Node, float]]) -> set[Node]:
    """Push flow along shortest paths; return the nodes on the sink's side."""
    while True:
        path = _path(network)
        if path is None:
            break
        edges = list(pairwise(path))
        flow = min(network[a][b] for a, b in edges)
        if flow == _ENDLESS:
            break
        for a, b in edges:
            network[a][b] -= flow
            network[b][a] += flow
    side = {_SINK}
    todo = [_SINK]
    while todo:
        node = todo.pop()
        for other in network[node]:
            if other not in side and network[other].get(node, 0.0) > 0.0:
                side.add(other)
                todo.append(other)
    return side


def _path(network: dict[Node, dict[Node, float]]) -> list[Node] | None:
    before: dict[Node, Node] = {_SOURCE: _SOURCE}
    todo = deque([_SOURCE])
    while todo:
        node = todo.popleft()
        for other, capacity in network[node].items():
            if capacity > 0.0 and other not in before:
                before[other] = node
                if other == _SINK:
                    return _trace(before)
                todo.append(other)
    return None


def _trace(before: dict[Node, Node]) -> list[Node]:
    path = [_SINK]
    while path[-1] != _SOURCE:
        path.append(before[path[-1]])
    return path[::-1]
