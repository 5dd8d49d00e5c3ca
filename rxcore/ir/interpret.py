"""The slow interpreter of Graphs: every op by its NumPy reference.

Ops that hold Graphs are run by their form: calls, scans, while loops, choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rxcore.ir.graph import Equation, Graph, Literal, Operand, Value
from rxcore.ir.primitive import (
    Calls,
    Expand,
    Fusion,
    Iterates,
    NoRule,
    Repeats,
    Switches,
)


def interpret(graph: Graph, inputs: Sequence[Any]) -> list[Any]:
    """Run a Graph on NumPy arrays; the meaning of Graphs, used by tests."""
    memory: dict[Value, Any] = dict(zip(graph.inputs, inputs, strict=True))

    def read(o: Operand) -> Any:
        if isinstance(o, Literal):
            return np.asarray(o.value, o.type.dtype)
        return memory[o]

    for e in graph.equations:
        results = _apply(e, list(map(read, e.inputs)))
        for v, r in zip(e.outputs, results, strict=True):
            memory[v] = np.asarray(r, v.type.dtype).reshape(v.type.shape)
    return [read(o) for o in graph.outputs]


def _apply(e: Equation, args: list[Any]) -> Sequence[Any]:
    match e.primitive.lower:
        case Calls() | Fusion():
            return interpret(e.params["graph"], args)
        case Expand(function=function) if isinstance(e.primitive.reference, NoRule):
            return interpret(function(*[o.type for o in e.inputs], **e.params), args)
        case Iterates():
            return _iterate(e, args)
        case Repeats():
            return _repeat(e, args)
        case Switches():
            branches = e.params["branches"]
            chosen = min(max(int(args[0]), 0), len(branches) - 1)
            return interpret(branches[chosen], args[1:])
    out = e.primitive.reference(*args, **e.params)
    return out if e.primitive.multiple else (out,)


def _iterate(e: Equation, args: list[Any]) -> list[Any]:
    p = e.params
    first, second = p["constants"], p["constants"] + p["carries"]
    carries = args[first:second]
    rows = [np.empty(v.type.shape, v.type.dtype) for v in e.outputs[p["carries"] :]]
    steps = range(p["length"])
    for t in reversed(steps) if p["reverse"] else steps:
        given = [*args[:first], *carries, *(x[t] for x in args[second:])]
        outs = interpret(p["graph"], given)
        carries = outs[: p["carries"]]
        for row, out in zip(rows, outs[p["carries"] :], strict=True):
            row[t] = out
    return [*carries, *rows]


def _repeat(e: Equation, args: list[Any]) -> list[Any]:
    p = e.params
    first = p["test_constants"]
    second = first + p["constants"]
    carries = args[second:]
    while bool(interpret(p["test"], [*args[:first], *carries])[0]):
        carries = interpret(p["graph"], [*args[first:second], *carries])
    return carries
