"""Widen: let every lane of a scan have its own copy of the scalars it carries or reads.

The cotangent of such a scalar is a sum over lanes at each step, which would end the one
kernel that a lane scan is. With a copy in each lane the sum comes after the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

from rxcore.compiler.graph_passes.inline import held, unfold
from rxcore.compiler.lanes import lane_shape
from rxcore.control.bodies import read
from rxcore.control.custom_rules import custom_jvp_call, custom_vjp_call
from rxcore.ir.graph import Equation, Graph, Value
from rxcore.ir.primitive import IndexMap, Scalar
from rxcore.ops.shape import broadcast, reshape, slice_
from rxcore.trace.capture import Captured, capture
from rxcore.trace.tracer import current

__all__ = ["Wide", "widen"]

# Calls that have derivatives of their own: to inline them would lose those.
_RULED = (custom_jvp_call, custom_vjp_call)


@frozen(eq=False)
class Wide:
    """A scan body with lanes in place of some scalars.

    Args:
        captured: the body.
        lanes: the shape of the lanes.
        constants: which constants are widened.
        carries: which carries are.
        steps: which per-step outputs are.
    """

    captured: Captured
    lanes: tuple[int, ...]
    constants: tuple[bool, ...]
    carries: tuple[bool, ...]
    steps: tuple[bool, ...]

    def fix(self, constants: Sequence[Any]) -> list[Any]:
        """Return the constants, repeated for each lane."""
        return self._repeated(constants, self.constants)

    def start(self, carries: Sequence[Any]) -> list[Any]:
        """Return the initial carries, repeated for each lane."""
        return self._repeated(carries, self.carries)

    def _repeated(self, given: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
        return [
            broadcast(x, self.lanes, ()) if w else x
            for x, w in zip(given, flags, strict=True)
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


def widen(graph: Graph, fixed: Sequence[bool], moved: Sequence[bool]) -> Wide | None:
    """Widen the scalars that are marked; None where there is nothing to do.

    Args:
        graph: the body of a lane scan.
        fixed: which of its constants are differentiated.
        moved: which of its carries are.
    """
    lanes = lane_shape(graph)
    constants, carries = len(fixed), len(moved)
    marked = (*fixed, *moved)
    inputs = graph.inputs[: len(marked)]
    scalars = [not v.type.shape and m for v, m in zip(inputs, marked, strict=True)]
    if not lanes or not all(lanes) or not any(scalars):
        return None
    plain = unfold(graph, _without_rule)
    if not all(map(_is_known, plain.equations)):
        return None
    # Scalars computed of widened ones are widened, too.
    wide = {v for v, s in zip(plain.inputs[: len(marked)], scalars, strict=True) if s}
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
    kept = tuple(v in wide for v in plain.inputs[:constants])
    flags = tuple(v in wide for v in _carried(plain, constants, carries))
    steps = tuple(isinstance(o, Value) and o in wide for o in plain.outputs[carries:])
    return Wide(_captured(plain, wide, lanes, flags), lanes, kept, flags, steps)


def _without_rule(e: Equation) -> Graph | None:
    """Return the Graph of a call; one with a derivative of its own stays a call."""
    return None if e.primitive in _RULED else held(e)


def _is_known(e: Equation) -> bool:
    return e.primitive in _RULED or isinstance(e.primitive.lower, Scalar | IndexMap)


def _carried(graph: Graph, constants: int, carries: int) -> tuple[Value, ...]:
    return graph.inputs[constants : constants + carries]


def _fits(wide: set[Value]) -> Callable[[Equation], bool]:
    def fits(e: Equation) -> bool:
        if isinstance(e.primitive.lower, Scalar) or not any(
            o in wide for o in e.inputs
        ):
            return True
        # Of the index maps, a scalar's broadcast to the lanes is the one to know. A
        # call has the types of its rule.
        return e.primitive not in _RULED and e.outputs[0] not in wide

    return fits


def _captured(
    graph: Graph, wide: set[Value], lanes: tuple[int, ...], carries: tuple[bool, ...]
) -> Captured:
    def run(*args: Any) -> list[Any]:
        memory: dict[Value, Any] = dict(zip(graph.inputs, args, strict=True))
        trace = current()
        for e in graph.equations:
            given = [read(o, memory) for o in e.inputs]
            if isinstance(e.primitive.lower, IndexMap) and e.inputs[0] in wide:
                memory[e.outputs[0]] = given[0]
                continue
            found = trace.process(e.primitive, given, dict(e.params))
            memory.update(zip(e.outputs, found, strict=True))
        outs = [read(o, memory) for o in graph.outputs]
        return [
            broadcast(x, lanes, ())
            if k < len(carries) and carries[k] and not x.ndim
            else x
            for k, x in enumerate(outs)
        ]

    types = [v.type.with_shape(lanes) if v in wide else v.type for v in graph.inputs]
    return capture(run, types)
