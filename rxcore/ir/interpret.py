"""The slow interpreter of Graphs: every op by its NumPy reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rxcore.ir.graph import Graph, Literal, Operand, Value


def interpret(graph: Graph, inputs: Sequence[Any]) -> list[Any]:
    """Run a Graph on NumPy arrays; the meaning of Graphs, used by tests."""
    memory: dict[Value, Any] = dict(zip(graph.inputs, inputs, strict=True))

    def read(o: Operand) -> Any:
        if isinstance(o, Literal):
            return np.asarray(o.value, o.type.dtype)
        return memory[o]

    for e in graph.equations:
        out = e.primitive.reference(*map(read, e.inputs), **e.params)
        results = out if e.primitive.multiple else (out,)
        for v, r in zip(e.outputs, results, strict=True):
            memory[v] = np.asarray(r, v.type.dtype).reshape(v.type.shape)
    return [read(o) for o in graph.outputs]
