"""Carries that a loop only updates: they need one buffer, and no copy in each pass."""

from __future__ import annotations

from attrs import evolve

from rxcore.compiler.forms import is_compiled, is_dense
from rxcore.ir.graph import Equation, Graph, Value
from rxcore.ir.primitive import Accumulating
from rxcore.loops.nest import Load, Loop, Nest, walk


def updated_carries(body: Graph, first: int, count: int) -> set[int]:
    """Return the carries that may be changed where they lie.

    A carry may when its next value is made by an update of it, and everything else
    that reads it comes before that update.

    Args:
        body: the loop's Graph: constants, carries, ... -> carries, ...
        first: how many constants there are.
        count: how many carries there are.
    """
    place = {id(e): k for k, e in enumerate(body.equations)}
    maker = {v: e for e in body.equations for v in e.outputs}
    found: set[int] = set()
    for k in range(count):
        carry, result = body.inputs[first + k], body.outputs[k]
        update = maker.get(result) if isinstance(result, Value) else None
        if update is None or not _updates(update, carry):
            continue
        names = _aliases(body, carry)
        readers = [e for e in body.equations if any(o in names for o in e.inputs)]
        early = all(e is update or place[id(e)] < place[id(update)] for e in readers)
        if early and not any(o in names for o in body.outputs):
            found.add(k)
    return found


def _updates(e: Equation, carry: Value) -> bool:
    form = e.primitive.lower
    return (
        isinstance(form, Accumulating)
        and form.updates
        and is_compiled(e)
        and e.inputs[0] is carry
        and carry not in e.inputs[1:]
    )


def _aliases(body: Graph, carry: Value) -> set[object]:
    """Return the values that share a carry's memory: reshapes of it."""
    names: set[object] = {carry}
    for e in body.equations:
        if is_dense(e) and e.inputs[0] in names:
            names.add(e.outputs[0])
    return names


def in_place(nest: Nest) -> Nest:
    """Drop an update's first loop, which copies operand 0 to the result."""
    first = next(s for s in nest.body if isinstance(s, Loop))
    body = tuple(s for s in nest.body if s is not first)
    read = {s.buffer for s in walk(body) if isinstance(s, Load)}
    buffers = tuple(
        evolve(b, access="inout") if b.name == "out0" else b
        for b in nest.buffers
        if b.name != "in0" or "in0" in read
    )
    return evolve(nest, buffers=buffers, body=body)
