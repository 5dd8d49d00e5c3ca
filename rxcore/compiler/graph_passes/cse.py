"""Compute equal things once."""

from __future__ import annotations

from typing import Any

from rxcore.compiler.graph_passes.inline import map_subgraphs
from rxcore.ir.graph import Equation, Graph, Operand, Value, freeze_params, has_effects


def cse(graph: Graph) -> Graph:
    """Compute equal things once: same op, same operands, same params.

    Held Graphs are equal by content; operands of commutative ops are ordered.
    """
    number: dict[Value, int] = {}
    instead: dict[Value, Value] = {}
    seen: dict[Any, Equation] = {}
    kept: list[Equation] = []
    changed = False

    def name(o: Operand) -> Any:
        if isinstance(o, Value):
            return number.setdefault(o, len(number))
        return o.key()

    for given in graph.equations:
        e = map_subgraphs(given, cse)
        changed = changed or e is not given
        inputs = e.inputs
        if instead:
            inputs = tuple(
                [instead.get(o, o) if isinstance(o, Value) else o for o in inputs]
            )
        operands = [name(o) for o in inputs]
        if e.primitive.commutes:
            # Any fixed order will do; numbers of values are the usual case.
            plain = all(type(o) is int for o in operands)
            operands.sort(key=None if plain else repr)
        types = tuple([v.type for v in e.outputs])
        key = (e.primitive.name, tuple(operands), freeze_params(e.params), types)
        twin = None if has_effects(e) else seen.get(key)
        if twin is not None:
            instead.update(zip(e.outputs, twin.outputs, strict=True))
            continue
        made = e if inputs == e.inputs else e.replace(inputs=inputs)
        seen[key] = made
        kept.append(made)
    outputs = tuple(
        instead.get(o, o) if isinstance(o, Value) else o for o in graph.outputs
    )
    if not changed and len(kept) == len(graph.equations):
        return graph
    return Graph(graph.inputs, outputs, tuple(kept))
