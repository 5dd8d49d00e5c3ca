"""Rewrite equations by their primitives' own rules."""

from __future__ import annotations

from operator import is_not
from typing import Any

from rxcore.compiler.graph_passes.inline import map_subgraphs
from rxcore.ir.graph import Equation, Graph, Literal, Operand, Value, has_effects
from rxcore.ir.primitive import REGISTRY, Primitive, Reduction
from rxcore.ir.types import Type

Rewrite = Operand | tuple[Primitive, tuple[Operand, ...], dict[str, Any]]


def simplify(graph: Graph) -> Graph:
    """Rewrite equations by their primitives' own rules, once, from first to last.

    A rule `simplify(equation, made_by)` answers None, an operand that replaces the
    (only) result, or (primitive, inputs, params) to compute instead; `made_by(o)` is
    the equation that makes an operand, or None.
    """
    instead: dict[Value, Operand] = {}
    makers: dict[Value, Equation] = {}
    made: list[Equation] = []

    def made_by(o: Operand) -> Equation | None:
        return makers.get(o) if isinstance(o, Value) else None

    def read(o: Operand) -> Operand:
        return instead.get(o, o) if isinstance(o, Value) else o

    for old in graph.equations:
        inputs = tuple(map(read, old.inputs))
        moved = any(map(is_not, inputs, old.inputs))
        e = map_subgraphs(old.replace(inputs=inputs) if moved else old, simplify)
        for _ in range(8):
            change = _rewrite(e, made_by)
            if not isinstance(change, tuple):
                break
            primitive, inputs, params = change
            e = e.replace(primitive=primitive, inputs=inputs, params=params)
        if isinstance(change, (Value, Literal)):
            instead[e.outputs[0]] = change
            continue
        made.append(e)
        makers.update(dict.fromkeys(e.outputs, e))
    return Graph(graph.inputs, tuple(map(read, graph.outputs)), tuple(made))


def _rewrite(e: Equation, made_by: Any) -> Rewrite | None:
    if isinstance(e.primitive.lower, Reduction) and not e.params["axes"]:
        return e.inputs[0]
    if not any(v.type.size for v in e.outputs) and not has_effects(e):
        return _empty(e)
    rule = e.primitive.simplify
    if rule is None:
        return None
    found: Rewrite | None = rule(e, made_by)
    if isinstance(found, (Value, Literal)):
        out = e.outputs[0].type
        if (found.type.dtype, found.type.shape) != (out.dtype, out.shape):
            return None
    return found


def _empty(e: Equation) -> Rewrite | None:
    """Rewrite what gives no element: nothing need be read or computed for it."""
    number = all(isinstance(o, Literal) for o in e.inputs)
    if len(e.outputs) != 1 or (number and e.primitive is REGISTRY["broadcast"]):
        return None
    (out,) = e.outputs
    zero = Literal(0, Type(out.type.dtype, ()))
    return REGISTRY["broadcast"], (zero,), {"shape": out.type.shape, "axes": ()}
