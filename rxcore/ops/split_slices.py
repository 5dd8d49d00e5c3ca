"""Turn slices that part an array into one split, whose transpose is a concatenate.

A backward pass made of slices would otherwise be a sum of pads, which no affine
lowering can fuse.
"""

from __future__ import annotations

from itertools import pairwise

from rxcore.ir.graph import Equation, Graph, Value
from rxcore.ir.primitive import REGISTRY
from rxcore.ir.types import Type

__all__ = ["split_slices"]

Part = tuple[int, int, Equation]


def split_slices(graph: Graph) -> Graph:
    """Replace disjoint slices of one value along one axis by a split of it."""
    parts: dict[tuple[Value, int], list[Part]] = {}
    for e in graph.equations:
        axis = _sliced_axis(e)
        if axis is not None:
            value = e.inputs[0]
            assert isinstance(value, Value)
            part = (e.params["start"][axis], e.params["stop"][axis], e)
            parts.setdefault((value, axis), []).append(part)
    taken: set[Value] = set()
    first: dict[int, Equation] = {}
    dropped: set[int] = set()
    for (value, axis), found in parts.items():
        found.sort(key=lambda p: p[:2])
        disjoint = all(a[1] <= b[0] for a, b in pairwise(found))
        if len(found) < 2 or not disjoint or value in taken:
            continue
        taken.add(value)
        dropped.update(id(e) for _, _, e in found)
        earliest = next(
            e for e in graph.equations if id(e) in {id(p[2]) for p in found}
        )
        first[id(earliest)] = _split(value, axis, found)
    if not taken:
        return graph
    made: list[Equation] = []
    for e in graph.equations:
        if id(e) in first:
            made.append(first[id(e)])
        if id(e) not in dropped:
            made.append(e)
    return Graph(graph.inputs, graph.outputs, tuple(made))


def _sliced_axis(e: Equation) -> int | None:
    """Return the one axis that an equation slices in steps of one, or None."""
    if e.primitive is not REGISTRY["slice"] or set(e.params["step"]) != {1}:
        return None
    x = e.inputs[0].type
    ranges = zip(e.params["start"], e.params["stop"], x.shape, strict=True)
    cut = [i for i, (a, b, n) in enumerate(ranges) if (a, b) != (0, n)]
    if len(cut) != 1 or not isinstance(e.inputs[0], Value):
        return None
    return cut[0]


def _split(value: Value, axis: int, found: list[Part]) -> Equation:
    """Return the split; what no slice takes is a piece that nothing reads."""
    sizes: list[int] = []
    outs: list[Value] = []
    at = 0
    end = value.type.shape[axis]
    for start, stop, e in [*found, (end, end, None)]:
        if start > at:
            sizes.append(start - at)
            outs.append(Value(_piece(value.type, axis, start - at)))
        if e is not None:
            sizes.append(stop - start)
            outs.append(e.outputs[0])
        at = max(at, stop)
    params = {"sizes": tuple(sizes), "axis": axis}
    source = found[0][2].source
    return Equation(REGISTRY["split"], (value,), tuple(outs), params, source)


def _piece(type: Type, axis: int, size: int) -> Type:
    return type.with_shape((*type.shape[:axis], size, *type.shape[axis + 1 :]))
