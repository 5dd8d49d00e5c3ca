"""How an equation becomes code: what the compiler sees of a primitive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rxcore.base import dtypes
from rxcore.compiler.pull import Counting, Puller
from rxcore.ir.graph import Equation, Value
from rxcore.ir.primitive import IndexMap, Primitive, Pull, Reduction, Scalar
from rxcore.ir.types import Type
from rxcore.loops.nest import Index
from rxcore.loops.scalar import Term

__all__ = [
    "dry",
    "dry_cost",
    "is_compiled",
    "is_dense",
    "is_pulled",
    "is_reduction",
    "joined_axis",
]


def is_compiled(equation: Equation) -> bool:
    """Say whether the loop language has the dtypes of an equation (no complex)."""
    for o in equation.inputs:
        if o.type.dtype.kind == "c":
            return False
    for v in equation.outputs:  # noqa: SIM110 (asked of each equation many times)
        if v.type.dtype.kind == "c":
            return False
    return True


def is_pulled(equation: Equation) -> bool:
    """Say whether elements of the result can be computed on demand."""
    form = equation.primitive.lower
    if isinstance(form, IndexMap) and form.dense:
        return True
    return isinstance(form, (Scalar, IndexMap, Pull)) and is_compiled(equation)


def is_reduction(equation: Equation) -> bool:
    """Say whether the equation joins elements along axes."""
    form = equation.primitive.lower
    return isinstance(form, Reduction) and is_compiled(equation)


def joined_axis(equation: Equation | None) -> int | None:
    """Return the axis along which equal pieces are joined, or None."""
    if equation is None or not is_compiled(equation):
        return None
    form = equation.primitive.lower
    if not isinstance(form, Pull) or not form.joined or len(equation.inputs) < 2:
        return None
    shapes = {o.type.shape for o in equation.inputs}
    if len(shapes) > 1 or not equation.outputs[0].type.size:
        return None
    return int(equation.params[form.joined])


def is_dense(equation: Equation | None) -> bool:
    """Say whether the result has its operand's elements in the same order."""
    if equation is None:
        return False
    form = equation.primitive.lower
    return isinstance(form, IndexMap) and form.dense


def dry(
    leaf: Callable[[Value, tuple[Index, ...]], bool],
    flat: Callable[[Value, Index], bool],
    producers: dict[Value, Equation],
    extents: dict[str, int],
    *,
    kind: type[Puller] = Puller,
) -> tuple[Puller, Counting]:
    """Return a Puller that writes nothing; `leaf` and `flat` say where it stops."""
    counting = Counting()

    def dummy(type: Type) -> Term:
        return Term(counting, counting.emit("neg", type.dtype, ()), type.dtype)

    def named(term: Term) -> str:
        return f"?{term.operand}"

    puller = kind(
        counting,
        producers,
        lambda v, index: dummy(v.type) if leaf(v, index) else None,
        lambda v, offset: dummy(v.type) if flat(v, offset) else None,
        extents,
        lambda _: Term(counting, "i", dtypes.int64),
        named,
        lambda _: True,
    )
    return puller, counting


_costs: dict[tuple[Primitive, Any, Any], float] = {}


def dry_cost(equation: Equation) -> float:
    """Return what computing one element costs, without its operands."""
    types = tuple(o.type for o in equation.inputs)
    params = tuple(sorted((k, repr(p)) for k, p in equation.params.items()))
    key = (equation.primitive, tuple(t.dtype for t in types), params)
    found = _costs.get(key)
    if found is None:
        found = _costs[key] = _measure(equation)
    return found


def _measure(equation: Equation) -> float:
    (out,) = equation.outputs
    if isinstance(equation.primitive.lower, IndexMap):
        return 0.0
    puller, counting = dry(
        lambda v, _: v is not out, lambda v, _: v is not out, {out: equation}, {}
    )
    index = tuple(Index.of(f"d{i}") for i in range(out.type.ndim))
    before = sum(1 for o in equation.inputs if isinstance(o, Value))
    puller.pull(out, index)
    return max(counting.cost - before, 0.0)
