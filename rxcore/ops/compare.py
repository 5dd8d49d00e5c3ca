"""Comparisons, logic, bit operations, tests of numbers, and selection."""

from __future__ import annotations

import math as numbers
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ir.graph import Literal
from rxcore.ir.primitive import NoRule, Primitive, Scalar
from rxcore.ir.types import Type
from rxcore.loops import scalar
from rxcore.loops.scalar import Term
from rxcore.ops import shape as maps
from rxcore.ops.families import (
    Linear,
    batch_elementwise,
    broadcast_shapes,
    elementwise,
    number,
    promote,
    unbroadcast,
)
from rxcore.ops.samples import SHAPES, Case, Samples, draw
from rxcore.trace.bind import as_numeric

__all__ = [
    "and_",
    "eq",
    "ge",
    "gt",
    "is_finite",
    "is_inf",
    "is_nan",
    "le",
    "lt",
    "ne",
    "not_",
    "or_",
    "population_count",
    "select",
    "shift_left",
    "shift_right",
    "xor",
]

_ORDERED = (dtypes.bool_, *dtypes.REAL)
_BITS = (dtypes.bool_, *dtypes.INTEGERS)


def _to_bool(dtype: DType) -> DType:
    return dtypes.bool_


# comparisons ------------------------------------------------------------------------


def _comparison(
    name: str,
    function: Callable[[Term, Term], Term],
    on_bool: Callable[[Term, Term], Term],
    reference: Any,
    sign: str,
    types: tuple[DType, ...] = _ORDERED,
) -> Primitive:
    def compute(x: Term, y: Term) -> Term:
        return (on_bool if dtypes.is_bool(x.dtype) else function)(x, y)

    return elementwise(
        name,
        compute,
        reference=reference,
        types=types,
        result=_to_bool,
        partials=(None, None),
        operator=(f"__{name}__",),
        commutes=name in ("eq", "ne"),
        tolerance=0,
        family="compare",
        document=f"Return x {sign} y.",
    )


lt = _comparison("lt", lambda x, y: x < y, lambda x, y: ~x & y, np.less, "<")
le = _comparison("le", lambda x, y: x <= y, lambda x, y: ~x | y, np.less_equal, "<=")
gt = _comparison("gt", lambda x, y: x > y, lambda x, y: x & ~y, np.greater, ">")
ge = _comparison("ge", lambda x, y: x >= y, lambda x, y: x | ~y, np.greater_equal, ">=")
eq = _comparison(
    "eq", lambda x, y: x == y, lambda x, y: ~(x ^ y), np.equal, "==", dtypes.ALL
)
ne = _comparison(
    "ne", lambda x, y: x != y, lambda x, y: x ^ y, np.not_equal, "!=", dtypes.ALL
)

# logic and bits ---------------------------------------------------------------------


def _bitwise(
    name: str, dunder: str, function: Any, reference: Any, document: str
) -> Primitive:
    unary = name == "not"
    return elementwise(
        name,
        function,
        reference=reference,
        types=_BITS,
        partials=(None,) if unary else (None, None),
        operator=(f"__{dunder}__",) if unary else (f"__{dunder}__", f"__r{dunder}__"),
        commutes=not unary,
        samples=(-100, 100),
        tolerance=0,
        document=document,
    )


and_ = _bitwise(
    "and",
    "and",
    lambda x, y: x & y,
    np.bitwise_and,
    "Return x & y: logical and of bools, of each bit of integers.",
)
or_ = _bitwise(
    "or",
    "or",
    lambda x, y: x | y,
    np.bitwise_or,
    "Return x | y: logical or of bools, of each bit of integers.",
)
xor = _bitwise(
    "xor",
    "xor",
    lambda x, y: x ^ y,
    np.bitwise_xor,
    "Return x ^ y: whether bools differ, for each bit of integers.",
)
not_ = _bitwise(
    "not",
    "invert",
    lambda x: ~x,
    np.invert,
    "Return ~x: logical not of bools, of each bit of integers.",
)


def _shifts(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    bits = dtype.itemsize * 8
    for shape in SHAPES:
        counts = rng.integers(-1 if dtypes.is_signed(dtype) else 0, bits + 2, shape)
        yield (draw(rng, dtype, shape, -(2**40), 2**40), counts.astype(dtype)), {}


def _shift_samples() -> Samples:
    return Samples(dtypes.INTEGERS, _shifts, 0)


def _in_range(count: Term) -> Term:
    inside = count < count.dtype.itemsize * 8
    return inside & (count >= 0) if dtypes.is_signed(count.dtype) else inside


def _shift_left(x: Term, count: Term) -> Term:
    return scalar.select(_in_range(count), x << count, 0)


def _shift_right(x: Term, count: Term) -> Term:
    inside = _in_range(count)
    if not dtypes.is_signed(x.dtype):
        return scalar.select(inside, x >> count, 0)
    return x >> scalar.select(inside, count, x.dtype.itemsize * 8 - 1)


shift_left: Primitive = elementwise(
    "shift_left",
    _shift_left,
    reference=np.left_shift,
    types=dtypes.INTEGERS,
    partials=(None, None),
    operator=("__lshift__", "__rlshift__"),
    samples=_shift_samples(),
    document="Return x << count; 0 where count is negative or too large.",
)
shift_right: Primitive = elementwise(
    "shift_right",
    _shift_right,
    reference=np.right_shift,
    types=dtypes.INTEGERS,
    partials=(None, None),
    operator=("__rshift__", "__rrshift__"),
    samples=_shift_samples(),
    document="Return x >> count: copies of the sign bit of signed x come in, else 0.",
)


def _population_count(x: Term) -> Term:
    dtype = x.dtype
    bits = dtype.itemsize * 8
    wide = dtypes.uint64 if bits == 64 else dtypes.uint32
    narrow = {8: dtypes.uint8, 16: dtypes.uint16}.get(bits, wide)
    ones = (1 << wide.itemsize * 8) - 1
    v = scalar.cast(scalar.cast(x, narrow), wide)
    # Add neighbouring fields of 1, 2 and 4 bits, then all bytes by one product.
    v = v - ((v >> 1) & ones // 3)
    v = (v & ones // 5) + ((v >> 2) & ones // 5)
    v = (v + (v >> 4)) & ones // 17
    v = (v * (ones // 255)) >> (wide.itemsize * 8 - 8)
    return scalar.cast(v, dtype)


population_count: Primitive = elementwise(
    "population_count",
    _population_count,
    reference=lambda x: np.bitwise_count(
        x.view(np.dtype(f"u{x.dtype.itemsize}"))
    ).astype(x.dtype),
    types=dtypes.INTEGERS,
    partials=(None,),
    samples=(-(2.0**31), 2.0**31),
    tolerance=0,
    document="Count the bits of x that are 1.",
)

# tests of numbers -------------------------------------------------------------------


def _special(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for shape in SHAPES:
        x = draw(rng, dtype, shape)
        if dtypes.is_inexact(dtype) and x.size:
            odd = np.asarray([numbers.inf, -numbers.inf, numbers.nan]).astype(dtype)
            x = np.where(rng.integers(0, 2, shape) > 0, x, rng.choice(odd, shape))
        yield (np.asarray(x, dtype),), {}


def _test(name: str, of_float: Any, otherwise: bool, reference: Any, document: str):  # type: ignore[no-untyped-def]
    def function(x: Term) -> Term:
        if dtypes.is_float(x.dtype):
            return of_float(x)  # type: ignore[no-any-return]
        return x.constant(otherwise, dtypes.bool_)

    def meaning(x: Any) -> Any:
        exact = not dtypes.is_inexact(x.dtype)
        return np.full(x.shape, otherwise) if exact else reference(x)

    return elementwise(
        name,
        function,
        reference=meaning,
        types=dtypes.ALL,
        result=_to_bool,
        partials=(None,),
        samples=Samples(dtypes.ALL, _special, 0),
        family="compare",
        document=document,
    )


is_finite: Primitive = _test(
    "is_finite",
    lambda x: abs(x) < numbers.inf,
    True,
    np.isfinite,
    "Say whether x is neither infinite nor NaN.",
)
is_inf: Primitive = _test(
    "is_inf",
    lambda x: abs(x) == numbers.inf,
    False,
    np.isinf,
    "Say whether x is infinite.",
)
is_nan: Primitive = _test(
    "is_nan", lambda x: x != x, False, np.isnan, "Say whether x is not a number."
)

# select -----------------------------------------------------------------------------


def _select_infer(condition: Type, yes: Type, no: Type) -> Type:
    if not dtypes.is_bool(condition.dtype):
        raise errors.DTypeError(
            f"select: the condition is {condition.dtype.name}, not bool; compare it"
            " with something, or convert it"
        )
    if yes.dtype != no.dtype:
        raise errors.DTypeError(
            f"select: dtypes {yes.dtype.name} and {no.dtype.name} differ"
        )
    shapes = {t.shape for t in (condition, yes, no) if t.shape}
    if len(shapes) > 1:
        raise errors.ShapeError(f"select: shapes {shapes} differ")
    return Type(yes.dtype, next(iter(shapes), ()), yes.weak and no.weak)


def _select_call(condition: Any, yes: Any, no: Any) -> Any:
    chooses = as_numeric(condition, "select")
    xs = [chooses, *promote((yes, no), call="select")]
    shape = broadcast_shapes([x.shape for x in xs], "select")
    return _select.bind(*[maps.broadcast_to(x, shape) if x.ndim else x for x in xs])


def _select_jvp(primals: Any, tangents: Any) -> Any:
    condition, yes, no = primals
    _, t, s = tangents
    out = _select.bind(condition, yes, no)
    if t is None and s is None:
        return out, None
    t = number(0, out.dtype) if t is None else t
    s = number(0, out.dtype) if s is None else s
    dot = _select.bind(condition, t, s)
    return out, maps.broadcast_to(dot, out.shape)


def _select_transpose(ct: Any, condition: Any, yes: Any, no: Any) -> Any:
    zero = number(0, ct.dtype)
    return [
        None,
        unbroadcast(_select.bind(condition, ct, zero), yes.type)
        if isinstance(yes, Linear)
        else None,
        unbroadcast(_select.bind(condition, zero, ct), no.type)
        if isinstance(no, Linear)
        else None,
    ]


def _select_simplify(e: Any, made_by: Any) -> Any:
    del made_by
    condition, yes, no = e.inputs
    if isinstance(condition, Literal):
        return yes if condition.value else no
    return yes if yes is no else None


def _selections(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    full = (3, 4)
    for shapes in (
        ((), (), ()),
        (full, full, full),
        ((), full, full),
        (full, (), full),
        (full, full, ()),
        (full, (), ()),
        ((0,), (0,), ()),
    ):
        condition, yes, no = shapes
        yield (
            (
                draw(rng, dtypes.bool_, condition),
                draw(rng, dtype, yes),
                draw(rng, dtype, no),
            ),
            {},
        )


_select: Primitive = Primitive(
    name="select",
    family="elementwise",
    infer=_select_infer,
    lower=Scalar(scalar.select),
    reference=lambda condition, yes, no: np.where(condition, yes, no),
    jvp=_select_jvp,
    transpose=_select_transpose,
    batch=NoRule("set below"),
    samples=Samples(dtypes.ALL, _selections, 0),
    simplify=_select_simplify,
    call=_select_call,
    document="Return yes where the condition holds, else no.",
)
_select.batch = partial(batch_elementwise, _select)


def select(condition: Any, yes: Any, no: Any) -> Any:
    """Return `yes` where the condition holds, else `no`.

    **Meaning**: `np.where(condition, yes, no)`, the condition being bool.

    Args:
        condition: bool array.
        yes: array or number.
        no: array or number; all three broadcast together.

    Returns:
        Array of the common shape, in the common dtype of `yes` and `no`.

    Raises:
        DTypeError: when the condition is not bool.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.compare import select
        >>> x = rx.asarray([-1.0, 2.0])
        >>> select(x > 0, x, 0)
        Array([0., 2.], dtype=float32)
    """
    return _select(condition, yes, no)
