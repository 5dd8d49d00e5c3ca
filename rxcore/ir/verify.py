"""Check that a Graph is well formed: after every pass in tests."""

from __future__ import annotations

from rxcore.base import errors
from rxcore.ir.graph import Graph, Literal, Value, subgraphs


def verify(graph: Graph, after: str = "") -> Graph:
    """Return the Graph if it is well formed.

    Every operand is defined before its use, every value once, and the outputs' Types
    are what `infer` says.

    Raises:
        InternalError: when it is not, with the Graph as text.
    """
    defined = set(graph.inputs)

    def fail(text: str) -> errors.InternalError:
        where = f" after {after}" if after else ""
        return errors.InternalError(f"Graph is malformed{where}: {text}")

    for e in graph.equations:
        for o in e.inputs:
            if isinstance(o, Literal):
                if o.type.shape:
                    raise fail(f"literal {o} of {e.primitive} has a shape")
            elif o not in defined:
                raise fail(f"{e.primitive} reads a value that nothing defines yet")
        types = [o.type for o in e.inputs]
        expected = e.primitive.infer_all(types, dict(e.params))
        got = tuple(v.type for v in e.outputs)
        if [(t.dtype, t.shape) for t in expected] != [(t.dtype, t.shape) for t in got]:
            raise fail(f"{e.primitive} of {types} gives {expected}, not {got}\n{graph}")
        for v in e.outputs:
            if v in defined:
                raise fail(f"{e.primitive} defines a value twice")
            defined.add(v)
        for inner in subgraphs(e.params):
            verify(inner, after)
    for o in graph.outputs:
        if isinstance(o, Value) and o not in defined:
            raise fail("an output is defined by nothing")
    return graph
