"""Replace calls, and ops that mean a Graph, by the equations they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rxcore.ir.graph import Equation, Graph, Operand, Value, holds_graph
from rxcore.ir.primitive import Calls, Expand


def inline(graph: Graph) -> Graph:
    """Replace calls, and ops that mean a Graph, by the equations they hold."""
    return unfold(graph, held)


def unfold(graph: Graph, chosen: Callable[[Equation], Graph | None]) -> Graph:
    """Replace equations by the equations of the Graph that `chosen` gives for them."""
    instead: dict[Value, Operand] = {}
    made: list[Equation] = []
    changed = False

    def inner(g: Graph) -> Graph:
        return unfold(g, chosen)

    def read(o: Operand) -> Operand:
        return instead.get(o, o) if isinstance(o, Value) else o

    for e in graph.equations:
        inputs = tuple(map(read, e.inputs))
        found = chosen(e)
        if found is None:
            moved = any(a is not b for a, b in zip(inputs, e.inputs, strict=True))
            kept = map_subgraphs(e.replace(inputs=inputs) if moved else e, inner)
            changed = changed or kept is not e
            made.append(kept)
            continue
        changed = True
        outputs = _copy(inner(found), inputs, made)
        instead.update(zip(e.outputs, outputs, strict=True))
    if not changed:
        return graph
    return Graph(graph.inputs, tuple(map(read, graph.outputs)), tuple(made))


def held(e: Equation) -> Graph | None:
    """Return the Graph that an equation stands for, if it is a call or means one."""
    form = e.primitive.lower
    if isinstance(form, Calls):
        return e.params["graph"]  # type: ignore[no-any-return]
    if isinstance(form, Expand):
        types = [o.type for o in e.inputs]
        return _at_source(form.function(*types, **e.params), e)
    return None


def _at_source(graph: Graph, e: Equation) -> Graph:
    """Return a Graph whose equations stem from the user's line that made `e`."""
    made = tuple(inner.replace(source=e.source) for inner in graph.equations)
    return Graph(graph.inputs, graph.outputs, made)


def _copy(
    graph: Graph, inputs: tuple[Operand, ...], made: list[Equation]
) -> list[Operand]:
    """Append a fresh copy of a Graph's equations; return its outputs."""
    instead: dict[Value, Operand] = dict(zip(graph.inputs, inputs, strict=True))

    def read(o: Operand) -> Operand:
        return instead[o] if isinstance(o, Value) else o

    for e in graph.equations:
        outs = tuple(Value(v.type) for v in e.outputs)
        instead.update(zip(e.outputs, outs, strict=True))
        made.append(e.replace(inputs=tuple(map(read, e.inputs)), outputs=outs))
    return list(map(read, graph.outputs))


def map_subgraphs(e: Equation, change: Callable[[Graph], Graph]) -> Equation:
    """Return an equation whose held Graphs are changed."""
    if not holds_graph(e.params):
        return e
    params: dict[str, Any] = {}
    for name, p in e.params.items():
        if isinstance(p, Graph):
            params[name] = change(p)
        elif isinstance(p, tuple):
            params[name] = tuple(change(g) if isinstance(g, Graph) else g for g in p)
        else:
            params[name] = p
    if all(_is_kept(params[name], p) for name, p in e.params.items()):
        return e
    return e.replace(params=params)


def _is_kept(new: Any, old: Any) -> bool:
    if isinstance(old, tuple):
        return all(a is b for a, b in zip(new, old, strict=True))
    return new is old
