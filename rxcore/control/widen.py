"""Widen: let every lane of a scan have its own copy of the scalars it carries.

The cotangent of a carried scalar is a sum over lanes at each step, which would end the
one kernel that a lane scan is. With a copy in each lane the sum comes after the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

from rxcore.compiler.graph_passes.inline import inline
from rxcore.compiler.lanes import lane_shape
from rxcore.control.bodies import read
from rxcore.ir.graph import Equation, Graph, Value
from rxcore.ir.primitive import IndexMap, Scalar
from rxcore.ops.shape import broadcast, reshape, slice_
from rxcore.trace.capture import Captured, capture
from rxcore.trace.tracer import current

__all__ = ["Wide", "widen"]


@frozen(eq=False)
class Wide:
    """A scan body with lanes in place of some scalars.

    Args:
        captured: the body.
        lanes: the shape of the lanes.
        carries: which carries are widened.
        steps: which per-step outputs are.
    """

    captured: Captured
    lanes: tuple[int, ...]
    carries: tuple[bool, ...]
    steps: tuple[bool, ...]

    def start(self, carries: Sequence[Any]) -> list[Any]:
        """Return the initial carries, repeated for each lane."""
        return [
            broadcast(x, self.lanes, ()) if w else x
            for x, w in zip(carries, self.carries, strict=True)
        ]

    def finish(self, outs: Sequence[Any]) -> list[Any]:
        """Return the scan's results, the scalars read from the first lane."""
        count = len(self.carries)
        ends = [
            _first(x, 0) if w else x
            for x, w in zip(outs[:count], self.carries, strict=True)
        ]
        steps = [
            _first(x, 1) if w else x
            for x, w in zip(outs[count:], self.steps, strict=True)
        ]
        return [*ends, *steps]


def _first(x: Any, kept: int) -> Any:
    stop = (*x.shape[:kept], *(1 for _ in x.shape[kept:]))
    return reshape(slice_(x, (0,) * x.ndim, stop), x.shape[:kept])


def widen(
    graph: Graph, constants: int, carries: int, moved: Sequence[bool]
) -> Wide | None:
    """Widen the scalar carries that `moved` marks; None where there is nothing to do.

    Args:
        graph: the body of a lane scan.
        constants: how many constants it takes.
        carries: how many carries.
        moved: which carries are differentiated.
    """
    lanes = lane_shape(graph)
    inputs = graph.inputs[constants : constants + carries]
    scalars = [not v.type.shape and m for v, m in zip(inputs, moved, strict=True)]
    if not lanes or not all(lanes) or not any(scalars):
        return None
    plain = inline(graph)
    if not all(
        isinstance(e.primitive.lower, Scalar | IndexMap) for e in plain.equations
    ):
        return None
    # Scalars computed of widened ones are widened, too.
    wide = {
        v
        for v, s in zip(_carried(plain, constants, carries), scalars, strict=True)
        if s
    }
    while True:
        for e in plain.equations:
            if not e.outputs[0].type.shape and any(o in wide for o in e.inputs):
                wide.add(e.outputs[0])
        outs = plain.outputs[:carries]
        grown = {
            v
            for v, o in zip(_carried(plain, constants, carries), outs, strict=True)
            if isinstance(o, Value) and o in wide
        }
        if grown <= wide:
            break
        wide |= grown
    if not all(map(_fits(wide), plain.equations)):
        return None
    flags = tuple(v in wide for v in _carried(plain, constants, carries))
    steps = tuple(isinstance(o, Value) and o in wide for o in plain.outputs[carries:])
    return Wide(_captured(plain, wide, lanes, flags), lanes, flags, steps)


def _carried(graph: Graph, constants: int, carries: int) -> tuple[Value, ...]:
    return graph.inputs[constants : constants + carries]


def _fits(wide: set[Value]) -> Callable[[Equation], bool]:
    def fits(e: Equation) -> bool:
        if isinstance(e.primitive.lower, Scalar) or not any(
            o in wide for o in e.inputs
        ):
            return True
        # Of the index maps, a scalar's broadcast to the lanes is the one to know.
        return e.outputs[0] not in wide

    return fits


def _captured(
    graph: Graph, wide: set[Value], lanes: tuple[int, ...], carries: tuple[bool, ...]
) -> Captured:
    def run(*args: Any) -> list[Any]:
        memory: dict[Value, Any] = dict(zip(graph.inputs, args, strict=True))
        trace = current()
        for e in graph.equations:
            given = [read(o, memory) for o in e.inputs]
            (out,) = e.outputs
            if isinstance(e.primitive.lower, IndexMap) and e.inputs[0] in wide:
                memory[out] = given[0]
                continue
            (memory[out],) = trace.process(e.primitive, given, dict(e.params))
        outs = [read(o, memory) for o in graph.outputs]
        return [
            broadcast(x, lanes, ())
            if k < len(carries) and carries[k] and not x.ndim
            else x
            for k, x in enumerate(outs)
        ]

    types = [v.type.with_shape(lanes) if v in wide else v.type for v in graph.inputs]
    return capture(run, types)
