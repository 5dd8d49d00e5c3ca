"""Cumulative ops: running sums, products and extremes, and linear recurrences.

All derivatives here are linear recurrences z[k] = a[k] z[k-1] + b[k], which are an op
themselves: so they are right where elements are 0, at every order.
"""

from __future__ import annotations

import math as numbers
import math as sizes
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.base.lazy import LazyModule
from rxcore.ir.primitive import REGISTRY, Accumulating, NoRule, Primitive
from rxcore.ir.types import Type
from rxcore.loops import math, scalar
from rxcore.loops.nest import Nest
from rxcore.loops.scalar import Term
from rxcore.ops import shape as maps
from rxcore.ops.compare import eq, gt, lt, select
from rxcore.ops.elementwise import add, mul, sub
from rxcore.ops.families import Linear, computing_halves, number, promote
from rxcore.ops.mathematics import exp
from rxcore.ops.recurrence import Keys, highest, lowest, recurrence
from rxcore.ops.reduce import linear_jvp
from rxcore.ops.samples import Case, Samples, draw
from rxcore.trace.bind import as_numeric

if TYPE_CHECKING:
    from rxcore_kernels.launch import LaunchPlan
    from rxcore_kernels.opencl_facts import Facts

__all__ = [
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "linear_recurrence",
]

# Loaded when a program first needs them.
cumsum_kernel = LazyModule("rxcore_kernels.cumsum")
cumulative_opencl = LazyModule("rxcore_kernels.cumulative_opencl")


def shift(x: Any, axis: int, reverse: bool, fill: Any) -> Any:
    """Move elements one place along an axis (backwards: `reverse`), filling in."""
    if not x.shape[axis]:
        return x
    width = (-1, 1, 0) if reverse else (1, -1, 0)
    widths = tuple(width if i == axis else (0, 0, 0) for i in range(x.ndim))
    return REGISTRY["pad"].bind(x, number(fill, x.dtype), widths=widths)


def _infer(x: Type, *, axis: int, reverse: bool) -> Type:
    del reverse
    if not 0 <= axis < x.ndim:
        raise errors.ShapeError(
            f"cumulative op: axis {axis} is out of range for shape {x.shape}"
        )
    return x


def _batched(name: str) -> Callable[..., Any]:
    def batch(args: Any, dims: Any, *, axis: int, reverse: bool) -> Any:
        (x,), (d,) = args, dims
        out = REGISTRY[name].bind(x, axis=axis + (axis >= d), reverse=reverse)
        return out, d

    return batch


def _running(accumulate: Any) -> Callable[..., Any]:
    def reference(x: Any, *, axis: int, reverse: bool) -> Any:
        x = np.flip(x, axis) if reverse else x
        out = accumulate(x, axis=axis, dtype=x.dtype)
        return np.flip(out, axis) if reverse else out

    return computing_halves(reference)


def _cases(low: float, high: float, zeros: bool = False) -> Any:
    def cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
        for shape, axis in (((7,), 0), ((3, 4), 1), ((4, 3), 0), ((2, 5, 2), 1)):
            for reverse in (False, True):
                x = draw(rng, dtype, shape, low, high)
                if zeros:
                    x = np.where(rng.uniform(size=shape) < 0.2, 0, x).astype(dtype)
                yield (x,), {"axis": axis, "reverse": reverse}
        yield (draw(rng, dtype, (0,)),), {"axis": 0, "reverse": False}
        # Long enough for the hand-made kernel.
        if high <= 4:
            near = (low, high) if low >= 0 else (-1, 1)
            yield (draw(rng, dtype, (_LONG, 2), *near),), {"axis": 0, "reverse": True}
        yield (draw(rng, dtype, (2, 0)),), {"axis": 0, "reverse": True}

    return cases


# From here on the kernel's extra pass over the data pays.
_LONG = 1 << 12


def _kernel(combine: str, x: Type, axis: int, reverse: bool) -> Any:
    """Return the hand-made kernel's plan, where there is one and rows are long."""
    n = x.shape[axis]
    if not combine or n < _LONG or n >= 1 << 31:
        return None
    outer, inner = sizes.prod(x.shape[:axis]), sizes.prod(x.shape[axis + 1 :])
    return cumsum_kernel.plan_cumulative(
        combine, x.dtype.name, outer, n, inner=inner, reverse=reverse
    )


# With so many lanes a device is busy without parting the axis.
_LANES = 1 << 13


def _launches(
    combine: str, facts: Facts, x: Type, axis: int, reverse: bool
) -> LaunchPlan | None:
    """Return a device's launches, where the axis is long and lanes are few."""
    n = x.shape[axis]
    outer, inner = sizes.prod(x.shape[:axis]), sizes.prod(x.shape[axis + 1 :])
    if not combine or n < _LANES // max(outer * inner, 1) or not x.size:
        return None
    made: LaunchPlan | None = cumulative_opencl.launch_cumulative(
        facts, combine, x.dtype.name, outer, n, inner=inner, reverse=reverse
    )
    return made


def _cumulative(
    name: str,
    *,
    types: tuple[DType, ...],
    initial: Callable[[DType], Any],
    step: Callable[[Term, Term], Term],
    reference: Any,
    jvp: Any,
    transpose: Any = None,
    samples: Samples,
    document: str,
    keys: Keys | None = None,
    slots: dict[str, Any] | None = None,
    combine: str = "",
    on_device: str = "",
) -> Primitive:
    def lower(ins: Any, outs: Any, *, axis: int, reverse: bool) -> Any:
        del outs
        plan = _kernel(combine, ins[0], axis, reverse)
        if plan is not None:
            return plan
        return recurrence(
            name, ins, axis, reverse, initial, lambda first, c, x: step(c, x), keys
        )

    def launches(
        facts: Facts, ins: Any, outs: Any, *, axis: int, reverse: bool
    ) -> Nest | LaunchPlan:
        del outs
        plan = _launches(on_device or combine, facts, ins[0], axis, reverse)
        if plan is not None:
            return plan
        return recurrence(
            name, ins, axis, reverse, initial, lambda first, c, x: step(c, x), keys
        )

    return Primitive(
        name=name,
        family="cumulative",
        infer=_infer,
        lower=Accumulating(lower, launches=launches),
        reference=reference,
        jvp=jvp,
        transpose=transpose or NoRule(f"{name} is not linear"),
        batch=_batched(name),
        samples=samples,
        document=document,
        slots={"types": types, **(slots or {})},
    )


# linear recurrence ------------------------------------------------------------------


def _linear_infer(a: Type, b: Type, *, axis: int, reverse: bool) -> Type:
    if a.shape != b.shape or a.dtype != b.dtype:
        raise errors.ShapeError(
            f"linear_recurrence: factors {a} and terms {b} must be of one type"
        )
    _infer(a, axis=axis, reverse=reverse)
    return b.strong() if not a.weak else b


def _linear_reference(a: Any, b: Any, *, axis: int, reverse: bool) -> Any:
    order = range(a.shape[axis])
    a, b = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    out = np.empty_like(b)
    carry: Any = None
    for k in reversed(order) if reverse else order:
        carry = b[k] if carry is None else a[k] * carry + b[k]
        out[k] = carry
    return np.moveaxis(out, 0, axis)


def _linear_jvp(primals: Any, tangents: Any, *, axis: int, reverse: bool) -> Any:
    (a, b), (s, t) = primals, tangents
    out = _linear.bind(a, b, axis=axis, reverse=reverse)
    moved = t
    if s is not None:
        turned = mul(s, shift(out, axis, reverse, 0))
        moved = turned if t is None else add(t, turned)
    if moved is None:
        return out, None
    return out, _linear.bind(a, moved, axis=axis, reverse=reverse)


def _linear_transpose(ct: Any, a: Any, b: Any, *, axis: int, reverse: bool) -> Any:
    if isinstance(a, Linear):
        raise errors.InternalError("linear_recurrence is linear in its terms only")
    back = shift(a, axis, not reverse, 0)
    return [None, _linear.bind(back, ct, axis=axis, reverse=not reverse)]


def _linear_batch(args: Any, dims: Any, *, axis: int, reverse: bool) -> Any:
    size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
    wholes = [
        maps.broadcast(x, (size, *x.shape), tuple(range(1, x.ndim + 1)))
        if d is None
        else maps.move_axis(x, d, 0)
        for x, d in zip(args, dims, strict=True)
    ]
    return _linear.bind(*wholes, axis=axis + 1, reverse=reverse), 0


def _linear_step(first: Term, carry: Term, a: Term, b: Term) -> Term:
    # The first factor meets nothing: an infinite one must not make NaN.
    return scalar.select(first, b, scalar.muladd(a, carry, b))


def _linear_cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for (x,), params in _cases(-1.5, 1.5)(dtype, rng):
        yield (x, draw(rng, dtype, x.shape)), params


_INEXACT = (*dtypes.FLOATS, *dtypes.COMPLEX)

_linear: Primitive = Primitive(
    name="linear_recurrence",
    family="cumulative",
    infer=_linear_infer,
    lower=Accumulating(
        lambda ins, outs, *, axis, reverse: recurrence(
            "linear_recurrence", ins, axis, reverse, lambda dtype: 0, _linear_step
        )
    ),
    reference=computing_halves(_linear_reference),
    jvp=_linear_jvp,
    transpose=_linear_transpose,
    batch=_linear_batch,
    samples=Samples(_INEXACT, _linear_cases, 64),
    document="Run z[k] = a[k] z[k-1] + b[k] along an axis.",
    slots={"types": _INEXACT},
)


def linear_recurrence(a: Any, b: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Run z[k] = a[k] z[k-1] + b[k] along an axis, from z[0] = b[0].

    **Meaning**::

        z[0] = b[0]
        for k in range(1, n):
            z[k] = a[k] * z[k - 1] + b[k]

    Args:
        a: factors, a floating or complex array; a[0] is not used.
        b: terms; `a` and `b` broadcast together.
        axis: the axis to run along.
        reverse: whether to run from the end.

    Returns:
        Array of the common shape and dtype.

    Raises:
        ShapeError: when the shapes do not broadcast, or the axis is out of range.
        DTypeError: when the dtype is an integer's.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.cumulate import linear_recurrence
        >>> linear_recurrence(0.5, rx.asarray([1.0, 1.0, 1.0]))
        Array([1.  , 1.5 , 1.75], dtype=float32)
    """
    xs = promote((a, b), floating=True, call="linear_recurrence")
    shape = np.broadcast_shapes(xs[0].shape, xs[1].shape)
    place = maps.normalize_axis(axis, len(shape), "linear_recurrence")
    factors, terms = (maps.broadcast_to(x, shape) for x in xs)
    return _linear.bind(factors, terms, axis=place, reverse=bool(reverse))


# cumulative sum, product, extremes --------------------------------------------------


def _sum_transpose(ct: Any, x: Any, *, axis: int, reverse: bool) -> Any:
    del x
    return [_cumsum.bind(ct, axis=axis, reverse=not reverse)]


_cumsum: Primitive = _cumulative(
    "cumsum",
    combine="add",
    types=dtypes.NUMBERS,
    initial=lambda dtype: 0,
    step=lambda carry, x: carry + x,
    reference=_running(np.add.accumulate),
    jvp=linear_jvp(lambda: _cumsum),
    transpose=_sum_transpose,
    samples=Samples(dtypes.NUMBERS, _cases(-4, 4), 64),
    document="Add up the elements so far along an axis.",
)


def _exclusive_product(x: Any, axis: int, reverse: bool) -> Any:
    """Return the product of the elements before each one."""
    running = _cumprod.bind(x, axis=axis, reverse=reverse)
    return shift(running, axis, reverse, 1)


def _prod_jvp(primals: Any, tangents: Any, *, axis: int, reverse: bool) -> Any:
    (x,), (t,) = primals, tangents
    out = _cumprod.bind(x, axis=axis, reverse=reverse)
    if t is None:
        return out, None
    turned = mul(t, shift(out, axis, reverse, 1))
    return out, _linear.bind(x, turned, axis=axis, reverse=reverse)


_cumprod: Primitive = _cumulative(
    "cumprod",
    combine="mul",
    types=dtypes.NUMBERS,
    initial=lambda dtype: 1,
    step=lambda carry, x: carry * x,
    reference=_running(np.multiply.accumulate),
    jvp=_prod_jvp,
    samples=Samples(dtypes.NUMBERS, _cases(-2, 2, zeros=True), 64),
    document="Multiply the elements so far along an axis.",
    slots={"exclusive": _exclusive_product},
)


def _extremes(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    yield from _cases(-100, 100)(dtype, rng)
    if dtypes.is_float(dtype):
        odd = [1.0, -2.0, 3.0, -np.inf, 2.0, np.inf, -1.0, np.nan, 5.0, np.inf]
        for reverse in (False, True):
            x = np.asarray([odd, [-v for v in odd]], np.float64).astype(dtype)
            yield (x,), {"axis": 1, "reverse": reverse}


def _extreme_jvp(name: str, beats: Any, worst: Any) -> Callable[..., Any]:
    def jvp(primals: Any, tangents: Any, *, axis: int, reverse: bool) -> Any:
        (x,), (t,) = primals, tangents
        out = REGISTRY[name].bind(x, axis=axis, reverse=reverse)
        if t is None:
            return out, None
        # A new extreme takes the derivative over, an equal one shares it.
        before = shift(out, axis, reverse, worst(x.dtype))
        weight = select(beats(x, before), 1.0, select(eq(x, before), 0.5, 0.0))
        weight = maps.broadcast_to(REGISTRY["convert"](weight, dtype=x.dtype), x.shape)
        moved = mul(weight, t)
        return out, _linear.bind(sub(1, weight), moved, axis=axis, reverse=reverse)

    return jvp


_cummax: Primitive = _cumulative(
    "cummax",
    types=dtypes.REAL,
    initial=lowest,
    step=scalar.maximum,
    reference=_running(np.maximum.accumulate),
    jvp=_extreme_jvp("cummax", gt, lowest),
    samples=Samples(dtypes.REAL, _extremes, 0),
    keys=Keys(nan=-1),
    on_device="max",
    document="Take the largest element so far along an axis; NaN after a NaN.",
)
_cummin: Primitive = _cumulative(
    "cummin",
    types=dtypes.REAL,
    initial=highest,
    step=scalar.minimum,
    reference=_running(np.minimum.accumulate),
    jvp=_extreme_jvp("cummin", lt, highest),
    samples=Samples(dtypes.REAL, _extremes, 0),
    keys=Keys(nan=0),
    on_device="min",
    document="Take the smallest element so far along an axis; NaN after a NaN.",
)


def _logaddexp_step(carry: Term, x: Term) -> Term:
    # Equal infinities have no gap.
    gap = scalar.select(carry == x, x.constant(0.0), -abs(carry - x))
    return scalar.maximum(carry, x) + math.log1p(math.exp(gap))


def _lse_jvp(primals: Any, tangents: Any, *, axis: int, reverse: bool) -> Any:
    (x,), (t,) = primals, tangents
    out = _cumlogsumexp.bind(x, axis=axis, reverse=reverse)
    if t is None:
        return out, None
    before = shift(out, axis, reverse, -numbers.inf)
    base = select(eq(out, -numbers.inf), 0, out)
    kept = exp(sub(before, base))
    moved = mul(t, exp(sub(x, base)))
    return out, _linear.bind(kept, moved, axis=axis, reverse=reverse)


_cumlogsumexp: Primitive = _cumulative(
    "cumlogsumexp",
    types=dtypes.FLOATS,
    initial=lambda dtype: -numbers.inf,
    step=_logaddexp_step,
    reference=_running(np.logaddexp.accumulate),
    jvp=_lse_jvp,
    samples=Samples(dtypes.FLOATS, _cases(-4, 4), 64),
    document="Return log(sum(exp(x))) of the elements so far along an axis.",
)


def _along(x: Any, axis: int, reverse: bool, primitive: Primitive) -> Any:
    name = primitive.name
    x = as_numeric(x, name)
    if x.dtype not in primitive.slots["types"]:
        names = ", ".join(d.name for d in primitive.slots["types"])
        raise errors.DTypeError(
            f"{name}: dtype {x.dtype.name} (shape {x.shape}) is not one of {names};"
            " convert it with .astype(...)"
        )
    place = maps.normalize_axis(axis, x.ndim, name)
    return primitive.bind(x, axis=place, reverse=bool(reverse))


def cumsum(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Add up the elements so far along an axis (from the end: `reverse`).

    **Meaning**: `np.cumsum(x, axis, dtype=x.dtype)`

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.cumulate import cumsum
        >>> cumsum(rx.asarray([1, 2, 3]), reverse=True)
        Array([6, 5, 3], dtype=int32)
    """
    return _along(x, axis, reverse, _cumsum)


def cumprod(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Multiply the elements so far along an axis (from the end: `reverse`).

    **Meaning**: `np.cumprod(x, axis, dtype=x.dtype)`

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.cumulate import cumprod
        >>> cumprod(rx.asarray([1, 2, 3]))
        Array([1, 2, 6], dtype=int32)
    """
    return _along(x, axis, reverse, _cumprod)


def cummax(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Take the largest element so far along an axis (from the end: `reverse`).

    **Meaning**: `np.maximum.accumulate(x, axis)`

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.cumulate import cummax
        >>> cummax(rx.asarray([1, 3, 2]))
        Array([1, 3, 3], dtype=int32)
    """
    return _along(x, axis, reverse, _cummax)


def cummin(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Take the smallest element so far along an axis (from the end: `reverse`).

    **Meaning**: `np.minimum.accumulate(x, axis)`

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.cumulate import cummin
        >>> cummin(rx.asarray([3, 1, 2]))
        Array([3, 1, 1], dtype=int32)
    """
    return _along(x, axis, reverse, _cummin)


def cumlogsumexp(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Return log(sum(exp(x))) of the elements so far along an axis.

    **Meaning**: `np.logaddexp.accumulate(x, axis)`

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.cumulate import cumlogsumexp
        >>> cumlogsumexp(rx.asarray([0.0, 0.0]))
        Array([0.        , 0.6931472], dtype=float32)
    """
    return _along(x, axis, reverse, _cumlogsumexp)
