"""Capture: run a function on tracers and write down what it applies: step 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

from rxcore.base import errors, timeline
from rxcore.ir.graph import Equation, Graph, Literal, Operand, Source, Value
from rxcore.ir.primitive import Primitive
from rxcore.ir.types import Type
from rxcore.runtime.array import Array
from rxcore.trace.source import here
from rxcore.trace.tracer import Trace, Tracer, current, entered, escaped, working


class Recorded(Tracer):
    """A tracer that stands for a value of the Graph being written."""

    __slots__ = ("value",)

    def __init__(self, trace: Trace, value: Value, source: Source | None) -> None:
        super().__init__(trace, value.type, source)
        self.value = value


class Recording(Trace):
    """Writes down each primitive as an equation."""

    transform = "rx.jit"

    def __init__(self, parent: Trace, transform: str = "rx.jit") -> None:
        self.parent = parent
        self.transform = transform
        self.inputs: list[Value] = []
        self.equations: list[Equation] = []
        self.captured: dict[int, tuple[Value, Any]] = {}

    def input(self, type: Type) -> Recorded:
        """Return a tracer for a new input."""
        value = Value(type)
        self.inputs.append(value)
        return Recorded(self, value, here())

    def operand(self, x: Any) -> Operand:
        """Return what stands for `x` in an equation; capture it if it is foreign."""
        if isinstance(x, Recorded) and x.trace is self:
            if not self.alive:
                raise escaped(x)
            return x.value
        if isinstance(x, Array):
            number = x.literal()
            if number is not None:
                return Literal(number, x.type)
        elif isinstance(x, Tracer) and x.trace not in self.ancestors():
            raise escaped(x)
        found = self.captured.get(id(x))
        if found is None:
            found = self.captured[id(x)] = (Value(x.type), x)
        return found[0]

    def process(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> Sequence[Any]:
        """Write the equation down."""
        if not self.alive:
            raise errors.TraceError(f"{primitive} is applied in a trace that has ended")
        operands = tuple(map(self.operand, args))
        types = primitive.infer_all([o.type for o in operands], params)
        outs = tuple(Value(t) for t in types)
        source = here()
        self.equations.append(Equation(primitive, operands, outs, params, source))
        return [Recorded(self, v, source) for v in outs]

    def finish(self, outputs: Sequence[Any]) -> tuple[Graph, list[Any]]:
        """Return the Graph (captured values are trailing inputs) and those values."""
        outs = tuple(map(self.operand, outputs))
        values = [v for v, _ in self.captured.values()]
        graph = Graph((*self.inputs, *values), outs, tuple(self.equations))
        self.alive = False
        return graph, [x for _, x in self.captured.values()]


@frozen
class Captured:
    """A Graph with the values its trailing inputs stand for."""

    graph: Graph
    constants: tuple[Any, ...]


def capture(
    function: Callable[..., Sequence[Any]],
    types: Sequence[Type],
    transform: str = "rx.jit",
) -> Captured:
    """Run a function of flat arrays on tracers; return its Graph.

    Args:
        function: takes `len(types)` arrays, returns a flat sequence of arrays.
        types: the arguments' Types.
        transform: what to call this in errors.
    """
    trace = Recording(current(), transform)
    with timeline.span("capture", transform) as told, entered(trace):
        try:
            outs = function(*[trace.input(t) for t in types])
            graph, constants = trace.finish(outs)
            told.note(arguments=types, equations=len(graph.equations))
        finally:
            trace.alive = False
    return Captured(graph, tuple(constants))


def apply(graph: Graph, args: Sequence[Any]) -> list[Any]:
    """Apply a Graph's equations one by one in the current trace."""
    memory: dict[Value, Any] = dict(zip(graph.inputs, args, strict=True))

    def read(o: Operand) -> Any:
        if isinstance(o, Literal):
            return Array.scalar(o.value, o.type)
        return memory[o]

    trace = current()
    with working():
        for e in graph.equations:
            outs = trace.process(e.primitive, list(map(read, e.inputs)), dict(e.params))
            memory.update(zip(e.outputs, outs, strict=True))
    return [read(o) for o in graph.outputs]
