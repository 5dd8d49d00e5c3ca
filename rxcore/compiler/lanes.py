"""Recognise lane scans: scans whose body treats every lane alike."""

from __future__ import annotations

from rxcore.compiler.forms import dry, is_pulled
from rxcore.compiler.pull import DoesNotFit, Tracker
from rxcore.ir.graph import Equation, Graph, Value
from rxcore.ir.primitive import Iterates
from rxcore.loops.nest import Index


def lane_shape(body: Graph) -> tuple[int, ...]:
    """Return the shape over which a scan body's results run."""
    shapes = [o.type.shape for o in body.outputs]
    return max(shapes, key=len, default=())


def is_lane_scan(equation: Equation) -> bool:
    """Say whether a scan can run lane by lane, the time loop inside.

    Its body computes elements on demand, and every carry is read only at the lane
    that it belongs to.
    """
    if not isinstance(equation.primitive.lower, Iterates):
        return False
    body: Graph = equation.params["graph"]
    lanes = lane_shape(body)
    if not body.outputs or any(o.type.shape not in ((), lanes) for o in body.outputs):
        return False
    if 0 in lanes or not all(is_pulled(e) for e in body.equations):
        return False  # without lanes, nothing would make a carry of rank 0
    return _carries_stay(equation, body, lanes)


def _carries_stay(equation: Equation, body: Graph, lanes: tuple[int, ...]) -> bool:
    first = equation.params["constants"]
    carries = set(body.inputs[first : first + equation.params["carries"]])
    place = tuple(Index.of(f"d{i}") for i in range(len(lanes)))
    strays: list[Value] = []

    def leaf(v: Value, at: tuple[Index, ...]) -> bool:
        if v in carries and at != (place if v.type.shape else ()):
            strays.append(v)
        return v not in producers

    def flat(v: Value, offset: Index) -> bool:
        del offset
        if v in carries:
            strays.append(v)
        return v not in producers

    producers = {e.outputs[0]: e for e in body.equations}
    extents = {f"d{i}": n for i, n in enumerate(lanes)}
    puller, _ = dry(leaf, flat, producers, extents, kind=Tracker)
    try:
        for o in body.outputs:
            if isinstance(o, Value):
                puller.operand(o, place)
    except DoesNotFit:
        return False
    return not strays
