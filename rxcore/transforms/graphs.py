"""Transforms of Graphs: what ops that hold a Graph need for their own rules.

Each gives a Graph again, so a rule binds it with the same op. Results are kept as
long as the Graph lives.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

from rxcore.ir.graph import Graph
from rxcore.trace.capture import apply, capture
from rxcore.transforms.linearize import linearize_flat, tangent_type
from rxcore.transforms.transpose import transpose_graph
from rxcore.transforms.vmap import axis_name, vmap_flat

_made: weakref.WeakKeyDictionary[Graph, dict[Any, Any]] = weakref.WeakKeyDictionary()


def _once(graph: Graph, key: Any, make: Callable[[], Any]) -> Any:
    table = _made.setdefault(graph, {})
    if key not in table:
        table[key] = make()
    return table[key]


@frozen(eq=False)
class LinearizedGraph:
    """A Graph that also gives residuals, and the linear Graph that takes them.

    Args:
        primal: inputs, then `primal_constants` -> outputs, then residuals.
        linear: tangents of the moving inputs, then residuals -> moving outputs'
            tangents.
        moving: which outputs have a tangent.
        residuals: how many residuals there are.
    """

    primal: Graph
    primal_constants: tuple[Any, ...]
    linear: Graph
    moving: tuple[bool, ...]
    residuals: int


def linearized(graph: Graph, wanted: Sequence[bool]) -> LinearizedGraph:
    """Linearize a Graph in the inputs that `wanted` marks."""
    flags = tuple(wanted)
    return _once(graph, ("linearized", flags), lambda: _linearize(graph, flags))  # type: ignore[no-any-return]


def _linearize(graph: Graph, flags: tuple[bool, ...]) -> LinearizedGraph:
    kept: list[Any] = []

    def run(*primals: Any) -> list[Any]:
        made = linearize_flat(lambda *a: apply(graph, a), primals, flags)
        kept.append(made)
        return [*made.outputs, *made.residuals]

    captured = capture(run, graph.in_types)
    made = kept[0]
    return LinearizedGraph(
        captured.graph,
        captured.constants,
        made.graph,
        made.moving,
        len(made.residuals),
    )


@frozen(eq=False)
class TransposedGraph:
    """The transpose of a linear Graph.

    Args:
        graph: values of the inputs that are not linear, cotangents that are not
            None, then `constants` -> cotangents that are not None.
        constants: its trailing inputs.
        present: which linear inputs get a cotangent.
    """

    graph: Graph
    constants: tuple[Any, ...]
    present: tuple[bool, ...]


def transposed(
    graph: Graph, linear: Sequence[bool], given: Sequence[bool]
) -> TransposedGraph:
    """Transpose a Graph in the inputs that `linear` marks.

    Args:
        graph: linear in those inputs.
        linear: one flag for each input.
        given: for each output whether its cotangent is not None.
    """
    key = ("transposed", tuple(linear), tuple(given))
    return _once(graph, key, lambda: _transpose(graph, tuple(linear), tuple(given)))  # type: ignore[no-any-return]


def _transpose(
    graph: Graph, linear: tuple[bool, ...], given: tuple[bool, ...]
) -> TransposedGraph:
    others = [t for t, flag in zip(graph.in_types, linear, strict=True) if not flag]
    cts = [
        tangent_type(t) for t, flag in zip(graph.out_types, given, strict=True) if flag
    ]
    present: list[bool] = []

    def run(*args: Any) -> list[Any]:
        rest = iter(args[len(others) :])
        cotangents = [next(rest) if flag else None for flag in given]
        found = transpose_graph(graph, linear, args[: len(others)], cotangents)
        present[:] = [f is not None for f in found]
        return [f for f in found if f is not None]

    captured = capture(run, [*others, *cts])
    return TransposedGraph(captured.graph, captured.constants, tuple(present))


@frozen(eq=False)
class BatchedGraph:
    """A Graph over a whole axis; trailing inputs are `constants`."""

    graph: Graph
    constants: tuple[Any, ...]
    dims: tuple[int | None, ...]


def batched(graph: Graph, dims: Sequence[int | None], size: int) -> BatchedGraph:
    """Run a Graph over an axis of the inputs whose `dims` are not None.

    Inside a batch rule the axis keeps the name that `vmap` gave it.
    """
    name = axis_name()
    key = ("batched", tuple(dims), size, name)
    return _once(graph, key, lambda: _batch(graph, tuple(dims), size, name))  # type: ignore[no-any-return]


def _batch(
    graph: Graph, dims: tuple[int | None, ...], size: int, name: Any
) -> BatchedGraph:
    places: list[int | None] = []

    def run(*args: Any) -> list[Any]:
        wholes, found = vmap_flat(lambda *a: apply(graph, a), args, dims, size, name)
        places[:] = found
        return wholes

    types = [
        t if d is None else t.with_shape((*t.shape[:d], size, *t.shape[d:]))
        for t, d in zip(graph.in_types, dims, strict=True)
    ]
    captured = capture(run, types)
    return BatchedGraph(captured.graph, captured.constants, tuple(places))
