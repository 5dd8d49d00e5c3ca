"""Linearize: the jvp interpreter over a trace that records what is linear.

An equation with a tangent operand is recorded in the linear Graph; any other goes to
the parent trace. What the linear Graph refers to from outside are the residuals.
There are no rules of partial evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from rxcore.compiler.graph_passes.cse import cse
from rxcore.compiler.graph_passes.dce import dce
from rxcore.ir.graph import Graph
from rxcore.ir.primitive import Primitive
from rxcore.ir.types import Type
from rxcore.ops.split_slices import split_slices
from rxcore.trace.capture import Recorded, Recording
from rxcore.trace.tracer import Trace, Tracer, current, entered
from rxcore.transforms.jvp import Dual, Flat, Forward


class Partial(Recording):
    """Records equations with a tangent operand; hands all others to its parent."""

    def __init__(self, parent: Trace) -> None:
        super().__init__(parent, "differentiation")
        self.parent: Trace = parent

    def process(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> Sequence[Any]:
        """Record the equation if it is linear, else pass it on."""
        if any(isinstance(a, Recorded) and a.trace is self for a in args):
            return super().process(primitive, args, params)
        with entered(self.parent):
            return self.parent.process(primitive, args, params)


@frozen
class Linearized:
    """A function's results and its derivative as a linear Graph.

    Args:
        outputs: the results.
        graph: maps tangents of the `wanted` inputs, then residuals, to tangents of
            those outputs that have one.
        residuals: the values of the Graph's trailing inputs.
        wanted: which inputs carry tangents.
        moving: which outputs have a tangent.
    """

    outputs: tuple[Any, ...]
    graph: Graph
    residuals: tuple[Any, ...]
    wanted: tuple[bool, ...]
    moving: tuple[bool, ...]


def tangent_type(type: Type) -> Type:
    """Return the Type of a value's tangent."""
    return type.strong()


def linearize_flat(
    function: Flat, primals: Sequence[Any], wanted: Sequence[bool] | None = None
) -> Linearized:
    """Linearize a function of flat arrays at a point."""
    flags = tuple(wanted) if wanted is not None else (True,) * len(primals)
    partial = Partial(current())
    forward = Forward(partial)
    with entered(forward):
        args = [
            Dual(forward, p, partial.input(tangent_type(p.type))) if w else p
            for p, w in zip(primals, flags, strict=True)
        ]
        outs = list(function(*args))
    forward.alive = False
    primal_outs, tangents = [], []
    for o in outs:
        mine = isinstance(o, Dual) and o.trace is forward
        primal_outs.append(o.primal if mine else o)
        tangent = o.tangent if mine else None
        tangents.append(tangent)
    moving = tuple(t is not None for t in tangents)
    graph, residuals = partial.finish([t for t in tangents if t is not None])
    count = sum(flags)
    graph, kept = _prune(graph, count)
    chosen = tuple(residuals[i] for i in kept)
    return Linearized(tuple(primal_outs), graph, chosen, flags, moving)


def _prune(graph: Graph, fixed: int) -> tuple[Graph, list[int]]:
    """Simplify a linear Graph; drop trailing inputs that nothing reads."""
    graph = split_slices(dce(cse(graph)))
    read = {o for e in graph.equations for o in e.inputs} | set(graph.outputs)
    extra = graph.inputs[fixed:]
    kept = [i for i, v in enumerate(extra) if v in read]
    inputs = (*graph.inputs[:fixed], *(extra[i] for i in kept))
    return Graph(inputs, graph.outputs, graph.equations), kept


__all__ = ["Linearized", "Partial", "Tracer", "linearize_flat", "tangent_type"]
