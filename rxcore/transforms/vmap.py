"""Batching: run a function on a whole axis at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rxcore.ir.graph import Graph, subgraphs
from rxcore.ir.primitive import Calls, Primitive
from rxcore.ir.types import Type
from rxcore.ops.shape import broadcast, move_axis
from rxcore.trace.capture import apply
from rxcore.trace.source import here
from rxcore.trace.tracer import Trace, Tracer, current, entered, escaped
from rxcore.transforms.jvp import Flat


class Batched(Tracer):
    """A value for one lane, backed by an array with an extra axis."""

    __slots__ = ("axis", "whole")

    def __init__(self, trace: Trace, whole: Any, axis: int) -> None:
        shape = whole.shape[:axis] + whole.shape[axis + 1 :]
        super().__init__(trace, Type(whole.dtype, shape, whole.type.weak), here())
        self.whole = whole
        self.axis = axis

    def numbers(self) -> Any:
        """Return the array of all lanes."""
        whole = self.whole
        return whole.numbers() if isinstance(whole, Tracer) else whole


class Batching(Trace):
    """Applies batch rules to operands that carry the axis."""

    transform = "vmap"

    def __init__(self, parent: Trace, size: int, name: Any = None) -> None:
        self.parent: Trace = parent
        self.size = size
        self.name = name

    def process(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> Sequence[Any]:
        """Apply the rule in the parent trace."""
        wholes, axes = [], []
        for a in args:
            mine = isinstance(a, Batched) and a.trace is self
            if mine and not self.alive:
                raise escaped(a)
            wholes.append(a.whole if mine else a)
            axes.append(a.axis if mine else None)
        collective = primitive.slots.get("collective")
        with entered(self.parent):
            if (
                collective
                and params["axis_name"] == self.name
                and self.name is not None
            ):
                outs, dims = collective(wholes, axes, self.size, **params)
            elif all(a is None for a in axes) and not _mentions(params, self.name):
                return self.parent.process(primitive, wholes, params)
            elif all(a is None for a in axes) and isinstance(primitive.lower, Calls):
                with entered(self):
                    return apply(params["graph"], wholes)
            else:
                if all(a is None for a in axes):
                    wholes[0], axes[0] = place_axis(wholes[0], None, 0, self.size), 0
                with _naming(self.name):
                    outs, dims = primitive.batch(wholes, axes, **params)
        if not primitive.multiple:
            outs, dims = (outs,), (dims,)
        return [
            o if d is None else Batched(self, o, d)
            for o, d in zip(outs, dims, strict=True)
        ]


_names = threading.local()


@contextmanager
def _naming(name: Any) -> Iterator[None]:
    """Say which axis a batch rule works for: held Graphs may talk across it."""
    before = axis_name()
    _names.current = name
    try:
        yield
    finally:
        _names.current = before


def axis_name() -> Any:
    """Return the name of the axis for which a batch rule runs, or None."""
    return getattr(_names, "current", None)


def _mentions(params: dict[str, Any], name: Any) -> bool:
    """Say whether a Graph among the params talks across the named axis."""
    if name is None:
        return False
    return any(talks_across(graph, name) for graph in subgraphs(params))


_ANY = object()


def talks_across(graph: Graph, name: Any = _ANY) -> bool:
    """Say whether a Graph talks across a named axis (default: any axis)."""
    for e in graph.equations:
        if "collective" in e.primitive.slots and name in (_ANY, e.params["axis_name"]):
            return True
        if any(talks_across(inner, name) for inner in subgraphs(e.params)):
            return True
    return False


def vmap_flat(
    function: Flat,
    args: Sequence[Any],
    in_axes: Sequence[int | None],
    size: int,
    name: Any = None,
) -> tuple[list[Any], list[int | None]]:
    """Run a function of flat arrays over an axis; return arrays and their axes."""
    trace = Batching(current(), size, name)
    with entered(trace):
        lanes = [
            a if axis is None else Batched(trace, a, axis)
            for a, axis in zip(args, in_axes, strict=True)
        ]
        outs = function(*lanes)
    trace.alive = False
    split = [
        (o.whole, o.axis) if isinstance(o, Batched) and o.trace is trace else (o, None)
        for o in outs
    ]
    return [w for w, _ in split], [a for _, a in split]


def place_axis(x: Any, axis: int | None, target: int, size: int) -> Any:
    """Move the mapped axis to `target`; repeat a value that does not have it."""
    if axis is None:
        shape = (*x.shape[:target], size, *x.shape[target:])
        axes = tuple(i if i < target else i + 1 for i in range(x.ndim))
        return broadcast(x, shape, axes)
    return move_axis(x, axis, target)
