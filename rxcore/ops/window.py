"""Reductions over windows that slide along axes: pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import REGISTRY, Expand, Primitive
from rxcore.ir.types import Type
from rxcore.ops import shape as maps
from rxcore.ops.convolve import resolve_padding
from rxcore.ops.families import number, zeros
from rxcore.ops.join import pad
from rxcore.ops.samples import Case, Samples, draw
from rxcore.trace.bind import as_numeric
from rxcore.trace.capture import capture

__all__ = ["reduce_window"]

Shape = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def identity(combine: str, dtype: DType) -> Any:
    """Return the number that changes nothing: what padding holds."""
    if combine in ("add", "mul"):
        return int(combine == "mul")
    lowest = combine == "max"
    if dtypes.is_bool(dtype):
        return not lowest
    if dtypes.is_float(dtype):
        return -math.inf if lowest else math.inf
    info = np.iinfo(dtype)
    return int(info.min if lowest else info.max)


def _infer(
    x: Type,
    *,
    combine: str,
    window: Shape,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
) -> Type:
    del combine
    if not len(window) == len(stride) == len(padding) == len(dilation) == x.ndim:
        raise errors.ShapeError(
            f"reduce_window: window {window}, strides {stride}, padding {padding} and"
            f" dilation {dilation} must have one entry for each axis of shape {x.shape}"
        )
    sizes = []
    parts = (x.shape, window, stride, padding, dilation)
    for n, k, s, (low, high), d in zip(*parts, strict=True):
        if min(k, s, d) < 1:
            raise errors.ShapeError(
                f"reduce_window: window {window}, strides {stride} and dilation"
                f" {dilation} must be positive"
            )
        sizes.append(max((n + low + high - (k - 1) * d - 1) // s + 1, 0))
    return Type(x.dtype, tuple(sizes), x.weak)


_JOIN = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}


def _reference(
    x: Any,
    *,
    combine: str,
    window: Shape,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
) -> Any:
    out = x.astype(np.float32) if x.dtype in dtypes.HALVES else x
    fill = np.asarray(identity(combine, x.dtype)).astype(out.dtype)
    rows = zip(window, stride, padding, dilation, strict=True)
    with np.errstate(all="ignore"):
        for axis, (k, s, (low, high), d) in enumerate(rows):
            line = np.moveaxis(out, axis, -1)
            if low or high:
                line = _pad_line(line, low, high, fill)
            count = max((line.shape[-1] - (k - 1) * d - 1) // s + 1, 0)
            total = line[..., 0 : max((count - 1) * s + 1, 0) : s]
            for t in range(1, k):
                part = line[..., t * d : t * d + max((count - 1) * s + 1, 0) : s]
                total = _JOIN[combine](total, part)
            out = np.moveaxis(total, -1, axis)
    return out.astype(x.dtype)


def _pad_line(line: Any, low: int, high: int, fill: Any) -> Any:
    line = line[..., max(-low, 0) : line.shape[-1] - max(-high, 0)]
    edges = [np.broadcast_to(fill, (*line.shape[:-1], max(n, 0))) for n in (low, high)]
    return np.concatenate([edges[0], line, edges[1]], -1)


# One axis at a time: k1 + k2 slices instead of k1 * k2. ------------------------------


def _slices(x: Any, axis: int, k: int, s: int, d: int) -> list[Any]:
    """Return the elements that each place of a window reads along one axis."""
    count = max((x.shape[axis] - (k - 1) * d - 1) // s + 1, 0)
    found = []
    for t in range(k):
        first = t * d if count else 0
        last = first + (count - 1) * s + 1 if count else 0
        start = tuple(first if i == axis else 0 for i in range(x.ndim))
        stop = tuple(last if i == axis else n for i, n in enumerate(x.shape))
        step = tuple(s if i == axis else 1 for i in range(x.ndim))
        found.append(maps.slice_(x, start, stop, step))
    return found


def _pad_axis(x: Any, axis: int, width: tuple[int, int], fill: Any) -> Any:
    pairs = [width if i == axis else (0, 0) for i in range(x.ndim)]
    return pad(x, number(fill, x.dtype), pairs)


def _tree(parts: list[Any], join: Callable[[Any, Any], Any]) -> Any:
    """Join neighbours pairwise, so that no chain grows long."""
    while len(parts) > 1:
        pairs = [join(*parts[i : i + 2]) for i in range(0, len(parts) - 1, 2)]
        parts = pairs + parts[len(parts) - len(parts) % 2 :]
    return parts[0]


def _composed(x: Any, *, combine: str, **params: Any) -> Any:
    """Write the reduction as slices that are joined, one axis after the other."""
    dtype = x.dtype
    halves = dtype in dtypes.HALVES
    convert = REGISTRY["convert"].bind
    if halves:
        x = convert(x, dtype=dtypes.float32)
    op = REGISTRY[{"max": "maximum", "min": "minimum"}.get(combine, combine)]
    fill = identity(combine, x.dtype)
    for axis, (k, s, width, d) in enumerate(_rows(**params)):
        x = _pad_axis(x, axis, width, fill)
        x = _tree(_slices(x, axis, k, s, d), op.bind)
    return convert(x, dtype=dtype) if halves else x


def _rows(*, window: Shape, stride: Shape, padding: Pairs, dilation: Shape) -> Any:
    return zip(window, stride, padding, dilation, strict=True)


def _expand(x: Type, **params: Any) -> Any:
    return capture(lambda v: [_composed(v, **params)], [x]).graph


# derivatives ------------------------------------------------------------------------


def _jvp(primals: Any, tangents: Any, *, combine: str, **params: Any) -> Any:
    (x,), (t,) = primals, tangents
    out = _reduce_window.bind(x, combine=combine, **params)
    if t is None:
        return out, None
    if combine == "add":
        return out, _reduce_window.bind(t, combine="add", **params)
    if combine == "mul":
        return out, _product_tangent(x, t, **params)
    return out, _chosen_tangent(x, t, combine, **params)


def _chosen_tangent(x: Any, t: Any, combine: str, **params: Any) -> Any:
    """Carry the tangent of the extreme element along; the first of equals is chosen.

    NaN is chosen over numbers, as it is the result.
    """
    select, or_ = REGISTRY["select"].bind, REGISTRY["or"].bind
    better = REGISTRY["ge" if combine == "max" else "le"].bind
    differs = REGISTRY["ne"].bind

    def join(a: tuple[Any, Any], b: tuple[Any, Any]) -> tuple[Any, Any]:
        first = or_(better(a[0], b[0]), differs(a[0], a[0]))
        return select(first, a[0], b[0]), select(first, a[1], b[1])

    fill = identity(combine, x.dtype)
    for axis, (k, s, width, d) in enumerate(_rows(**params)):
        x, t = _pad_axis(x, axis, width, fill), _pad_axis(t, axis, width, 0)
        pairs = zip(_slices(x, axis, k, s, d), _slices(t, axis, k, s, d), strict=True)
        x, t = _tree(list(pairs), join)
    return t


def _product_tangent(x: Any, t: Any, **params: Any) -> Any:
    """Carry the product and its derivative along."""
    add, mul = REGISTRY["add"].bind, REGISTRY["mul"].bind

    def join(a: tuple[Any, Any], b: tuple[Any, Any]) -> tuple[Any, Any]:
        return mul(a[0], b[0]), add(mul(a[1], b[0]), mul(b[1], a[0]))

    for axis, (k, s, width, d) in enumerate(_rows(**params)):
        x, t = _pad_axis(x, axis, width, 1), _pad_axis(t, axis, width, 0)
        pairs = zip(_slices(x, axis, k, s, d), _slices(t, axis, k, s, d), strict=True)
        x, t = _tree(list(pairs), join)
    return t


def _transpose(
    ct: Any,
    x: Any,
    *,
    combine: str,
    window: Shape,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
) -> Any:
    """A window sum transposed is a window sum of the spread cotangent."""
    if combine != "add":
        raise errors.InternalError(f"reduce_window: {combine} is not linear")
    if not ct.size or not x.type.size:
        return [zeros(x.type.strong())]
    widths = []
    parts = (x.type.shape, ct.shape, window, stride, padding, dilation)
    for n, count, k, s, (low, _), d in zip(*parts, strict=True):
        reach = (k - 1) * d
        spread = (count - 1) * s + 1
        widths.append((reach - low, n + low - spread, s - 1))
    back = pad(ct, number(0, ct.dtype), widths)
    ones = (1,) * len(window)
    return [
        _reduce_window.bind(
            back,
            combine="add",
            window=window,
            stride=ones,
            padding=((0, 0),) * len(window),
            dilation=dilation,
        )
    ]


def _batch(args: Any, dims: Any, *, combine: str, **params: Any) -> Any:
    x = maps.move_axis(args[0], dims[0], 0)
    wide = {
        "window": (1, *params["window"]),
        "stride": (1, *params["stride"]),
        "padding": ((0, 0), *params["padding"]),
        "dilation": (1, *params["dilation"]),
    }
    return _reduce_window.bind(x, combine=combine, **wide), 0


_WINDOWS: tuple[tuple[Shape, Shape, Shape, Pairs, Shape], ...] = (
    ((7,), (3,), (1,), ((0, 0),), (1,)),
    ((8,), (2,), (2,), ((0, 0),), (1,)),
    ((7,), (3,), (2,), ((1, 2),), (2,)),
    ((2, 5, 6), (1, 2, 3), (1, 2, 1), ((0, 0), (1, 0), (0, 1)), (1, 1, 1)),
    ((5,), (2,), (1,), ((-1, 0),), (1,)),
    ((2,), (4,), (1,), ((0, 0),), (1,)),
    ((), (), (), (), ()),
)


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for shape, window, stride, padding, dilation in _WINDOWS:
        for combine in ("add", "max", "min", "mul"):
            params = {
                "combine": combine,
                "window": window,
                "stride": stride,
                "padding": padding,
                "dilation": dilation,
            }
            yield (draw(rng, dtype, shape),), params


_reduce_window: Primitive = Primitive(
    name="reduce_window",
    family="window",
    infer=_infer,
    lower=Expand(_expand),
    reference=_reference,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    samples=Samples(dtypes.REAL, _cases, 16),
    document="Join the elements of windows that slide along axes.",
)


_COMBINES = {"add": "add", "sum": "add", "mul": "mul", "max": "max", "min": "min"}


def _combine_of(computation: Any) -> str:
    """Return the join that a name, or an op of rxcore, stands for."""
    name = computation if isinstance(computation, str) else None
    if name is None:
        name = getattr(computation, "name", getattr(computation, "__name__", ""))
    short = {"maximum": "max", "minimum": "min", "multiply": "mul"}.get(name, name)
    if short not in _COMBINES:
        raise errors.UserError(
            f"reduce_window: computation {computation!r} is not one of 'add', 'mul',"
            " 'max', 'min' (or the op of that name)"
        )
    return _COMBINES[short]


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Any,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """Join the elements of windows that slide along axes.

    **Meaning**, for one axis::

        windows = np.lib.stride_tricks.sliding_window_view(padded, window)[::stride]
        computation.reduce(windows, -1)

    Args:
        operand: array of real numbers.
        init_value: number joined to each window; None for none.
        computation: "add", "mul", "max" or "min", or the op of that name. The
            derivative of an extreme goes to the first element that reaches it.
        window_dimensions: the window's length along each axis.
        window_strides: steps between windows along each axis; default 1.
        padding: "VALID", "SAME", an integer, or a pair for each axis; padding does not
            change the result of a window.
        window_dilation: distance between a window's elements; default 1.

    Returns:
        Array of the dtype of `operand`.

    Raises:
        ShapeError: when the settings do not fit the shape.

    Example:
        >>> import rxcore as rx
        >>> x = rx.asarray([1.0, 3.0, 2.0, 5.0])
        >>> rx.reduce_window(x, None, "max", (2,), (2,))
        Array([3., 5.], dtype=float32)
    """
    x = as_numeric(operand, "reduce_window")
    combine = _combine_of(computation)
    window = tuple(map(int, window_dimensions))
    ones = (1,) * len(window)
    stride = ones if window_strides is None else tuple(map(int, window_strides))
    gaps = ones if window_dilation is None else tuple(map(int, window_dilation))
    if not len(window) == len(stride) == len(gaps) == x.ndim:
        raise errors.ShapeError(
            f"reduce_window: window {window}, strides {stride} and dilation {gaps} must"
            f" have one entry for each axis of shape {x.shape}"
        )
    reach = tuple((k - 1) * d + 1 for k, d in zip(window, gaps, strict=True))
    out = _reduce_window.bind(
        x,
        combine=combine,
        window=window,
        stride=stride,
        padding=resolve_padding(padding, x.shape, reach, stride, "reduce_window"),
        dilation=gaps,
    )
    if init_value is None or init_value == identity(combine, x.dtype):
        return out
    name = {"max": "maximum", "min": "minimum"}.get(combine, combine)
    return REGISTRY[name](out, init_value)
