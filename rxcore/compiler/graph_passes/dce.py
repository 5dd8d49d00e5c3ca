"""Drop equations whose results nothing uses."""

from __future__ import annotations

from rxcore.compiler.graph_passes.inline import map_subgraphs
from rxcore.ir.graph import Equation, Graph, Value, has_effects


def dce(graph: Graph) -> Graph:
    """Drop equations whose results nothing uses, from the last to the first."""
    used = {o for o in graph.outputs if isinstance(o, Value)}
    kept: list[Equation] = []
    changed = False
    for e in reversed(graph.equations):
        if not used.isdisjoint(e.outputs) or has_effects(e):
            smaller = map_subgraphs(e, dce)
            changed = changed or smaller is not e
            kept.append(smaller)
            used.update([o for o in e.inputs if isinstance(o, Value)])
    if not changed and len(kept) == len(graph.equations):
        return graph
    return Graph(graph.inputs, graph.outputs, tuple(reversed(kept)))
