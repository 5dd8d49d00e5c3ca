"""Transpose: run a linear Graph backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rxcore.ir.graph import Equation, Graph, Literal, Operand, Value
from rxcore.ir.primitive import REGISTRY
from rxcore.ops.families import Linear
from rxcore.runtime.array import Array
from rxcore.trace.tracer import current


def transpose_graph(
    graph: Graph,
    linear: Sequence[bool],
    others: Sequence[Any],
    cotangents: Sequence[Any],
) -> list[Any]:
    """Return the cotangents of a Graph's linear inputs.

    Args:
        graph: linear in the inputs that `linear` marks.
        linear: one flag for each input.
        others: values of the inputs that are not linear, in order.
        cotangents: one for each output; None is zero.
    """
    known: dict[Value, Any] = {}
    given = iter(others)
    moving: set[Value] = set()
    for v, flag in zip(graph.inputs, linear, strict=True):
        if flag:
            moving.add(v)
        else:
            known[v] = next(given)

    def read(o: Operand) -> Any:
        if isinstance(o, Literal):
            return Array.scalar(o.value, o.type)
        return known[o]

    trace = current()
    backward: list[Equation] = []
    for e in graph.equations:
        if any(isinstance(o, Value) and o in moving for o in e.inputs):
            moving.update(e.outputs)
            backward.append(e)
            continue
        outs = trace.process(e.primitive, list(map(read, e.inputs)), dict(e.params))
        known.update(zip(e.outputs, outs, strict=True))

    sums: dict[Value, Any] = {}

    def add_to(o: Operand, ct: Any) -> None:
        if ct is not None and isinstance(o, Value) and o in moving:
            sums[o] = ct if o not in sums else REGISTRY["add"].bind(sums[o], ct)

    for o, ct in zip(graph.outputs, cotangents, strict=True):
        add_to(o, ct)
    for e in reversed(backward):
        cts = [sums.pop(v, None) for v in e.outputs]
        if all(ct is None for ct in cts):
            continue
        operands = [
            Linear(o.type) if isinstance(o, Value) and o in moving else read(o)
            for o in e.inputs
        ]
        ct = tuple(cts) if e.primitive.multiple else cts[0]
        results = e.primitive.transpose(ct, *operands, **e.params)
        for o, r in zip(e.inputs, results, strict=True):
            add_to(o, r)
    return [sums.get(v) for v, flag in zip(graph.inputs, linear, strict=True) if flag]
