"""Make choices smaller: drop results that nothing uses, and what only they needed."""

from __future__ import annotations

from rxcore.compiler.graph_passes.dce import dce
from rxcore.compiler.graph_passes.inline import map_subgraphs
from rxcore.ir.graph import Equation, Graph, Value
from rxcore.ir.primitive import Switches


def tidy_switches(graph: Graph) -> Graph:
    """Make choices smaller, in the bodies of control ops too.

    Results that nothing uses go, from every branch, and operands that no branch
    reads.
    """
    used = {o for o in graph.outputs if isinstance(o, Value)}
    made: list[Equation] = []
    changed = False
    for given in reversed(graph.equations):
        e = map_subgraphs(given, tidy_switches)
        if isinstance(e.primitive.lower, Switches):
            e = _smaller(e, used)
        changed = changed or e is not given
        used.update(o for o in e.inputs if isinstance(o, Value))
        made.append(e)
    if not changed:
        return graph
    return dce(Graph(graph.inputs, graph.outputs, tuple(reversed(made))))


def _smaller(e: Equation, used: set[Value]) -> Equation:
    kept = [k for k, v in enumerate(e.outputs) if v in used]
    branches = [
        dce(Graph(b.inputs, tuple(b.outputs[k] for k in kept), b.equations))
        for b in e.params["branches"]
    ]
    read = [
        {o for inner in b.equations for o in inner.inputs} | set(b.outputs)
        for b in branches
    ]
    places = [
        k
        for k in range(len(e.inputs) - 1)
        if any(b.inputs[k] in r for b, r in zip(branches, read, strict=True))
    ]
    if len(kept) == len(e.outputs) and len(places) == len(e.inputs) - 1:
        return e
    graphs = tuple(
        Graph(tuple(b.inputs[k] for k in places), b.outputs, b.equations)
        for b in branches
    )
    return e.replace(
        inputs=(e.inputs[0], *(e.inputs[1 + k] for k in places)),
        outputs=tuple(e.outputs[k] for k in kept),
        params={**e.params, "branches": graphs},
    )
