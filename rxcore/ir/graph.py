"""Graphs: SSA equations over typed values.

    Graph    = (inputs, outputs, equations)       printable, with a content `key`
    Equation = (primitive, inputs, outputs, params, source)
    operand  = Value | Literal                    a Literal is a number of rank 0

Shapes are concrete. An elementwise operand has the result's shape or rank 0. Captured
arrays are trailing inputs. Params hold hashable values and Graphs, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

from attrs import define, field, frozen

from rxcore.base import dtypes
from rxcore.ir.primitive import Primitive
from rxcore.ir.types import Type

__all__ = [
    "Equation",
    "Graph",
    "Literal",
    "Operand",
    "Source",
    "Value",
    "has_effects",
    "subgraphs",
]


@final
class Value:
    """A typed result of an equation, or an input. Identity is its name."""

    __slots__ = ("type",)

    def __init__(self, type: Type) -> None:
        self.type = type

    def __repr__(self) -> str:
        return f"Value({self.type})"


@final
class Literal:
    """A number of rank 0."""

    __slots__ = ("type", "value")

    def __init__(self, value: int | float | bool | complex, type: Type) -> None:
        self.value = value
        self.type = type

    def key(self) -> tuple[Any, ...]:
        """Return what tells this number from others (-0.0 from 0.0, too)."""
        return ("literal", repr(self.value), self.type.dtype)

    def __repr__(self) -> str:
        return f"{self.value!r}:{dtypes.short(self.type.dtype)}"


Operand = Value | Literal


@frozen
class Source:
    """Where in the user's code an equation was made; the line is looked up late."""

    code: Any
    offset: int

    @property
    def file(self) -> str:
        """Return the file's name."""
        return str(self.code.co_filename)

    @property
    def line(self) -> int:
        """Return the line number."""
        for position, (line, *_) in enumerate(self.code.co_positions()):
            if position * 2 >= self.offset and line is not None:
                return int(line)
        return int(self.code.co_firstlineno)

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.code.co_qualname})"


@define(eq=False)
class Equation:
    """One application of a primitive."""

    primitive: Primitive
    inputs: tuple[Operand, ...]
    outputs: tuple[Value, ...]
    params: Mapping[str, Any]
    source: Source | None = None

    def replace(self, **changes: Any) -> Equation:
        """Return a copy with some fields changed."""
        get = changes.get
        return Equation(
            get("primitive", self.primitive),
            get("inputs", self.inputs),
            get("outputs", self.outputs),
            get("params", self.params),
            get("source", self.source),
        )


def freeze(value: Any) -> Any:
    """Return a hashable stand-in for a param: Graphs by their content."""
    if isinstance(value, Graph):
        return value.key
    if isinstance(value, (tuple, list)):
        return tuple([freeze(v) for v in value])
    return value


def freeze_params(params: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return a hashable stand-in for all params."""
    if not params:
        return ()
    return tuple(sorted([(k, freeze(p)) for k, p in params.items()]))


@define(eq=False)
class Graph:
    """A pure function as equations."""

    inputs: tuple[Value, ...]
    outputs: tuple[Operand, ...]
    equations: tuple[Equation, ...]
    _key: Any = field(default=None, init=False, repr=False)

    @property
    def key(self) -> tuple[Any, ...]:
        """Return the content as a nested tuple: equal content, equal key."""
        if self._key is None:
            self._key = self._content()
        return self._key  # type: ignore[no-any-return]

    def _content(self) -> tuple[Any, ...]:
        number: dict[Value, int] = {}
        for v in self.inputs:
            number[v] = len(number)
        rows = []
        for e in self.equations:
            operands = tuple(
                number[o] if isinstance(o, Value) else o.key() for o in e.inputs
            )
            params = freeze_params(e.params)
            rows.append((e.primitive.name, operands, params))
            for v in e.outputs:
                number[v] = len(number)
        outs = tuple(
            number[o] if isinstance(o, Value) else o.key() for o in self.outputs
        )
        return (tuple(v.type for v in self.inputs), tuple(rows), outs)

    @property
    def in_types(self) -> tuple[Type, ...]:
        """Return the inputs' Types."""
        return tuple(v.type for v in self.inputs)

    @property
    def out_types(self) -> tuple[Type, ...]:
        """Return the outputs' Types."""
        return tuple(o.type for o in self.outputs)

    def __str__(self) -> str:
        return show(self)


def holds_graph(params: Mapping[str, Any]) -> bool:
    """Say whether there are any Graphs in params: hardly ever, so found out fast."""
    for p in params.values():
        if isinstance(p, Graph):
            return True
        if isinstance(p, tuple):
            for g in p:
                if isinstance(g, Graph):
                    return True
    return False


def subgraphs(params: Mapping[str, Any]) -> Iterator[Graph]:
    """Yield the Graphs that params hold, in tuples too."""
    for p in params.values():
        if isinstance(p, Graph):
            yield p
        elif isinstance(p, tuple):
            yield from (g for g in p if isinstance(g, Graph))


def has_effects(e: Equation) -> bool:
    """Say whether an equation does more than compute its results."""
    if e.primitive.effects:
        return True
    if not holds_graph(e.params):
        return False
    return any(has_effects(inner) for g in subgraphs(e.params) for inner in g.equations)


def _names() -> Iterator[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    count = 0
    while True:
        digits, n = "", count
        while True:
            digits = letters[n % 26] + digits
            n = n // 26 - 1
            if n < 0:
                break
        yield digits
        count += 1


def show(graph: Graph, indent: str = "") -> str:
    """Print a Graph as text: `c:f32[8,3] = add a b`.

    >>> from rxcore.base import dtypes
    >>> x = Value(Type(dtypes.float32, (3,)))
    >>> print(show(Graph((x,), (x,), ())))
    graph a:f32[3]
      return a
    """
    fresh = _names()
    name: dict[Value, str] = {}

    def define_(v: Value) -> str:
        name[v] = next(fresh)
        return f"{name[v]}:{v.type}"

    def use(o: Operand) -> str:
        return name[o] if isinstance(o, Value) else repr(o)

    lines = [f"{indent}graph " + " ".join(define_(v) for v in graph.inputs)]
    for e in graph.equations:
        operands = " ".join(map(use, e.inputs))
        left = " ".join(define_(v) for v in e.outputs)
        plain = {k: p for k, p in e.params.items() if not _holds_graph(p)}
        shown = ",".join(f"{k}={p}" for k, p in plain.items())
        params = f"[{shown}]" if plain else ""
        lines.append(f"{indent}  {left} = {e.primitive.name}{params} {operands}")
        lines += [show(g, indent + "    ") for g in subgraphs(e.params)]
    lines.append(f"{indent}  return " + " ".join(map(use, graph.outputs)))
    return "\n".join(lines)


def _holds_graph(p: Any) -> bool:
    return isinstance(p, Graph) or (
        isinstance(p, tuple) and any(isinstance(g, Graph) for g in p)
    )


def successors(equations: Sequence[Equation]) -> dict[Value, list[Equation]]:
    """Return for each value the equations that read it."""
    users: dict[Value, list[Equation]] = {}
    for e in equations:
        for o in e.inputs:
            if isinstance(o, Value):
                users.setdefault(o, []).append(e)
    return users
