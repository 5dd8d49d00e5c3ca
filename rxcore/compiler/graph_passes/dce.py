"""Drop equations whose results nothing uses."""

from __future__ import annotations

from rxcore.ir.graph import Equation, Graph, Value


def dce(graph: Graph) -> Graph:
    """Drop equations whose results nothing uses, from the last to the first."""
    used = {o for o in graph.outputs if isinstance(o, Value)}
    kept: list[Equation] = []
    for e in reversed(graph.equations):
        if e.primitive.effects or any(v in used for v in e.outputs):
            kept.append(e)
            used.update(o for o in e.inputs if isinstance(o, Value))
    if len(kept) == len(graph.equations):
        return graph
    return Graph(graph.inputs, graph.outputs, tuple(reversed(kept)))
