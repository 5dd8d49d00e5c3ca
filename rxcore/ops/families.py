"""Families of ops: builders that fill most slots of a record.

An elementwise op gives its scalar expression, its NumPy meaning and one partial
derivative for each operand; types, broadcasting, batching and halves come from here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ir.operators import attach
from rxcore.ir.primitive import REGISTRY, NoRule, Primitive, Scalar
from rxcore.ir.types import Type
from rxcore.loops import scalar
from rxcore.loops.scalar import Term
from rxcore.ops import shape as maps
from rxcore.ops.convert import convert
from rxcore.ops.samples import Samples, elements
from rxcore.runtime.array import Array
from rxcore.trace.bind import as_numeric

__all__ = [
    "Linear",
    "apply_elementwise",
    "broadcast_shapes",
    "elementwise",
    "number",
    "promote",
    "unbroadcast",
    "zeros",
]

Partial = Callable[..., Any] | None


class Linear:
    """Stands for a linear operand in a `transpose` rule: only its Type is known."""

    __slots__ = ("type",)

    def __init__(self, type: Type) -> None:
        self.type = type


def product_rule(
    op: Primitive, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[Any, Any]:
    """Return the result and tangent of an op that is linear in what moves.

    Each tangent stands in its operand's place; the terms add up.
    """
    out = op.bind(*primals, **params)
    terms = [
        op.bind(*primals[:k], t, *primals[k + 1 :], **params)
        for k, t in enumerate(tangents)
        if t is not None
    ]
    return out, functools.reduce(REGISTRY["add"].bind, terms) if terms else None


def zeros(type: Type) -> Any:
    """Return zeros of a Type."""
    zero = Array.scalar(0, Type(type.dtype, ()))
    return maps.broadcast(zero, type.shape, ()) if type.shape else zero


def number(value: Any, dtype: DType) -> Any:
    """Return a number of a dtype that stays a literal in Graphs."""
    return Array.scalar(value, Type(dtype, (), True))


def broadcast_shapes(shapes: Sequence[tuple[int, ...]], call: str) -> tuple[int, ...]:
    """Return the shape to which all broadcast.

    Raises:
        ShapeError: when they do not.
    """
    if len(set(shapes)) == 1:
        return shapes[0]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        shown = ", ".join(map(str, shapes))
        raise errors.ShapeError(
            f"{call}: shapes {shown} do not broadcast together; trailing axes must be"
            " equal or 1 (use reshape or expand_dims)"
        ) from None


_PYTHON = (bool, int, float, complex)


def promote(xs: Sequence[Any], floating: bool = False, call: str = "") -> list[Any]:
    """Convert operands to their common dtype in the lattice.

    A Python number takes the common dtype directly, so that 0.1 beside a float64 is
    the float64 next to 0.1.
    """
    found = [as_numeric(x, call) for x in xs]
    dtype, weak = dtypes.promote(*((x.dtype, x.type.weak) for x in found))
    if floating and not dtypes.is_inexact(dtype):
        dtype = dtypes.to_inexact(dtype)
    return [
        _exactly(x, dtype, call) if type(x) in _PYTHON else _as(y, dtype, weak)
        for x, y in zip(xs, found, strict=True)
    ]


def _exactly(value: Any, dtype: DType, call: str) -> Any:
    """Return a Python number in a dtype."""
    if type(value) is int and dtypes.is_integer(dtype):
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:
            raise errors.DTypeError(
                f"{call}: the Python integer {value} does not fit {dtype.name}"
                f" ({limits.min} to {limits.max}); convert the array with .astype(...)"
            )
    return Array.scalar(value, Type(dtype, (), weak=not dtypes.is_bool(dtype)))


def _as(x: Any, dtype: DType, weak: bool) -> Any:
    if isinstance(x, Array) and x.type.weak and not x.ndim:
        # A Python number: it stays a literal in its new dtype.
        return x if x.dtype == dtype else Array.scalar(x.host, Type(dtype, (), True))
    if x.dtype == dtype:
        return x
    return REGISTRY["convert"].bind(x, dtype=dtype) if not weak else convert(x, dtype)


def apply_elementwise(primitive: Primitive, *args: Any, **params: Any) -> Any:
    """Promote the operands, broadcast them together, and apply the op."""
    name = primitive.name
    xs = promote(args, call=name) if len(args) > 1 else [as_numeric(args[0], name)]
    xs = [_fit(x, primitive, name) for x in xs]
    if len(xs) > 1:
        shape = broadcast_shapes([x.shape for x in xs], name)
        xs = [x if not x.ndim else maps.broadcast_to(x, shape) for x in xs]
    return primitive.bind(*xs, **params)


def _fit(x: Any, primitive: Primitive, name: str) -> Any:
    allowed = primitive.slots["types"]
    if x.dtype in allowed:
        return x
    inexact = dtypes.to_inexact(x.dtype)
    if primitive.slots["floating"] and inexact in allowed:
        return _as(x, inexact, x.type.weak)
    names = ", ".join(d.name for d in allowed)
    raise errors.DTypeError(
        f"{name}: dtype {x.dtype.name} (shape {x.shape}) is not one of {names};"
        " convert it with .astype(...)"
    )


def unbroadcast(ct: Any, type: Type) -> Any:
    """Sum a cotangent over the axes along which an operand of rank 0 was repeated."""
    if ct.shape == type.shape:
        return ct
    return REGISTRY["sum"].bind(ct, axes=tuple(range(ct.ndim)))


def _infer(name: str, result: Callable[[DType], DType] | None) -> Callable[..., Type]:
    def infer(*types: Type, **_: Any) -> Type:
        shape: tuple[int, ...] = ()
        for t in types:
            if t.shape and shape and t.shape != shape:
                raise errors.ShapeError(f"{name}: shapes {t.shape} and {shape} differ")
            shape = t.shape or shape
            if t.dtype != types[0].dtype:
                raise errors.DTypeError(
                    f"{name}: dtypes {t.dtype.name} and {types[0].dtype.name} differ"
                )
        weak = all(t.weak for t in types)
        dtype = types[0].dtype
        if result is not None:
            found = result(dtype)
            return Type(found, shape, weak and found == dtype)
        return Type(dtype, shape, weak)

    return infer


def widened(function: Callable[..., Term]) -> Callable[..., Term]:
    """Compute halves in float32 and round the result back."""

    def compute(*terms: Term, **params: Any) -> Term:
        dtype = terms[0].dtype
        if dtype not in dtypes.HALVES:
            return function(*terms, **params)
        wide = [scalar.cast(t, dtypes.float32) for t in terms]
        out = function(*wide, **params)
        return scalar.cast(out, dtype) if out.dtype == dtypes.float32 else out

    return compute


def batch_elementwise(primitive: Primitive, args: Any, dims: Any, **params: Any) -> Any:
    """Batch operands of equal rank or rank 0 along one axis."""
    batched = [(a, d) for a, d in zip(args, dims, strict=True) if d is not None]
    ranks = {a.ndim for a, _ in batched}
    places = {d for _, d in batched}
    loose = [a for a, d in zip(args, dims, strict=True) if d is None and a.ndim]
    if len(ranks) == 1 and len(places) == 1 and not loose:
        return primitive.bind(*args, **params), batched[0][1]
    size = batched[0][0].shape[batched[0][1]]
    rank = max(a.ndim - (d is not None) for a, d in zip(args, dims, strict=True))
    full = [
        a.shape if d is None else _without(a.shape, d)
        for a, d in zip(args, dims, strict=True)
    ]
    inner = next((s for s in full if len(s) == rank), ())
    made = []
    for a, d, s in zip(args, dims, full, strict=True):
        if d is None and not a.ndim:
            made.append(a)
            continue
        x = maps.move_axis(a, d, 0) if d is not None else a
        axes = tuple(range(1 + rank - len(s), 1 + rank)) if s else ()
        axes = axes if d is None else (0, *axes)
        made.append(maps.broadcast(x, (size, *inner), axes))
    return primitive.bind(*made, **params), 0


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def jvp_by_partials(
    primitive: Primitive, partials: tuple[Partial, ...]
) -> Callable[..., Any]:
    """Return the jvp rule that sums one partial derivative for each operand."""

    def jvp(primals: Any, tangents: Any, **params: Any) -> Any:
        out = primitive.bind(*primals, **params)
        total = None
        for t, rule in zip(tangents, partials, strict=True):
            if t is None or rule is None:
                continue
            term = rule(t, out, *primals, **params)
            if term is None:
                continue
            total = term if total is None else REGISTRY["add"](total, term)
        if total is not None and total.shape != out.shape:
            total = maps.broadcast_to(total, out.shape)
        return out, total

    return jvp


def elementwise(
    name: str,
    function: Callable[..., Term],
    *,
    reference: Callable[..., Any],
    types: tuple[DType, ...],
    partials: tuple[Partial, ...] | NoRule,
    transpose: Callable[..., Any] | None = None,
    result: Callable[[DType], DType] | None = None,
    floating: bool = False,
    operator: tuple[str, ...] = (),
    commutes: bool = False,
    arity: int | None = None,
    samples: Samples | tuple[float, float] = (-4.0, 4.0),
    tolerance: float = 4,
    simplify: Callable[..., Any] | None = None,
    call: Callable[..., Any] | None = None,
    halves: bool = False,
    document: str = "",
    family: str = "elementwise",
) -> Primitive:
    """Build the record of an elementwise op.

    Args:
        name: the op's name.
        function: its scalar expression over Terms (halves arrive as float32).
        reference: its NumPy meaning.
        types: the dtypes that it takes; complex ones run by the reference.
        partials: for each operand `p(t, out, *operands)`, the derivative applied to
            the tangent t, or None where it is zero; the rule may answer None too.
        transpose: for linear ops, `transpose(ct, *operands) -> cotangents`.
        result: the result's dtype from the operands' (default: the same).
        floating: whether integers are converted to floating first.
        operator: the dunder methods that it serves.
        commutes: whether its operands may change places.
        arity: how many operands, where `partials` does not tell.
        samples: a range from which tests draw, or a full record.
        tolerance: error allowed between reference and compiled form, in ULP.
        simplify: optional rewrites.
        call: what calling the op does; default: promote, broadcast, apply.
        halves: whether `function` and `reference` take halves as they are.
        document: one sentence.
        family: the family's name.
    """
    count = arity or (1 if isinstance(partials, NoRule) else len(partials))
    drawn = (
        samples
        if isinstance(samples, Samples)
        else elements(count, types, *samples, tolerance)
    )
    made = Primitive(
        name=name,
        family=family,
        infer=_infer(name, result),
        lower=Scalar(function if halves else widened(function)),
        reference=quiet(reference) if halves else computing_halves(reference),
        jvp=partials if isinstance(partials, NoRule) else NoRule("set below"),
        transpose=transpose or NoRule(f"{name} is not linear"),
        batch=NoRule("set below"),
        samples=drawn,
        simplify=simplify,
        operator=operator,
        commutes=commutes,
        document=document,
        slots={"types": types, "floating": floating, "halves": halves},
    )
    made.call = call or partial(apply_elementwise, made)
    made.batch = partial(batch_elementwise, made)
    if not isinstance(partials, NoRule):
        made.jvp = jvp_by_partials(made, partials)
    attach(operator, made, count)
    return made


def quiet(reference: Callable[..., Any]) -> Callable[..., Any]:
    """Say nothing of NaN, overflow and division by zero: arrays carry them."""

    @wraps(reference)
    def compute(*arrays: Any, **params: Any) -> Any:
        with np.errstate(all="ignore"):
            return reference(*arrays, **params)

    return compute


def computing_halves(reference: Callable[..., Any]) -> Callable[..., Any]:
    """Compute halves in float32, as compiled code does, and say nothing of NaN."""

    def compute(*arrays: Any, **params: Any) -> Any:
        with np.errstate(all="ignore"):
            dtype = arrays[0].dtype
            if dtype not in dtypes.HALVES:
                return reference(*arrays, **params)
            out = reference(*(a.astype(np.float32) for a in arrays), **params)
            return out.astype(dtype) if out.dtype == np.float32 else out

    return compute
