"""Batching: run a function on a whole axis at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rxcore.ir.primitive import Primitive
from rxcore.ir.types import Type
from rxcore.ops.shape import broadcast, move_axis
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
            elif all(a is None for a in axes):
                return self.parent.process(primitive, wholes, params)
            else:
                outs, dims = primitive.batch(wholes, axes, **params)
        if not primitive.multiple:
            outs, dims = (outs,), (dims,)
        return [
            o if d is None else Batched(self, o, d)
            for o, d in zip(outs, dims, strict=True)
        ]


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
