"""Convolution and its two transposes: one trilinear form seen from three sides.

With images x (batch, channels, space...), weights w (outputs, channels / groups,
taps...) and results y (batch, outputs, space...), the form is

    sum(x_padded[n, g, c, q * stride + t * dilation] * w[g, o, c, t] * y[n, g, o, q])

`convolution` maps (x, w) to y, `convolution_input` (y, w) to x, `convolution_weight`
(x, y) to w. Each is linear in both operands and the three are each other's transposes.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.base.lazy import LazyModule
from rxcore.ir.primitive import REGISTRY, Expand, Native, Primitive
from rxcore.ir.types import Type
from rxcore.ops import shape as maps
from rxcore.ops.contract import bind_contract, letter
from rxcore.ops.families import Linear, number, product_rule
from rxcore.ops.iota import broadcasted_iota
from rxcore.ops.samples import Case, Samples, draw
from rxcore.trace.capture import capture

if TYPE_CHECKING:
    from rxcore_kernels.opencl_facts import Facts

__all__: list[str] = []

# Loaded when a program first needs them.
convolution_kernel = LazyModule("rxcore_kernels.convolution")
convolution_opencl = LazyModule("rxcore_kernels.convolution_opencl")

Pairs = tuple[tuple[int, int], ...]
Shape = tuple[int, ...]


def _results(space: Shape, taps: Shape, window: dict[str, Any]) -> Shape:
    """Return how many places the taps have in the padded space."""
    found = []
    parts = (space, taps, window["stride"], window["padding"], window["dilation"])
    for n, k, s, (low, high), d in zip(*parts, strict=True):
        found.append(max((n + low + high - (k - 1) * d - 1) // s + 1, 0))
    return tuple(found)


def _check(x: Shape, w: Shape, y: Shape, window: dict[str, Any]) -> None:
    """Check that three shapes belong to one convolution."""
    groups = window["groups"]
    fits = (
        x[1] == w[1] * groups
        and w[0] % groups == 0
        and y[:2] == (x[0], w[0])
        and y[2:] == _results(x[2:], w[2:], window)
    )
    if not fits:
        raise errors.ShapeError(
            f"convolution: images {x} (batch, channels, space...), weights {w}"
            f" (outputs, channels / groups, taps...) and results {y} do not fit with"
            f" {window}"
        )


def _same_dtype(a: Type, b: Type) -> None:
    if a.dtype != b.dtype:
        raise errors.DTypeError(
            f"convolution: dtypes {a.dtype.name} and {b.dtype.name} differ; convert one"
            " with .astype(...)"
        )


def _infer_y(x: Type, w: Type, **window: Any) -> Type:
    _same_dtype(x, w)
    shape = (x.shape[0], w.shape[0], *_results(x.shape[2:], w.shape[2:], window))
    _check(x.shape, w.shape, shape, window)
    return Type(x.dtype, shape)


def _infer_x(y: Type, w: Type, *, space: Shape, **window: Any) -> Type:
    _same_dtype(y, w)
    shape = (y.shape[0], w.shape[1] * window["groups"], *space)
    _check(shape, w.shape, y.shape, window)
    return Type(y.dtype, shape)


def _infer_w(x: Type, y: Type, *, taps: Shape, **window: Any) -> Type:
    _same_dtype(x, y)
    shape = (y.shape[1], x.shape[1] // window["groups"], *taps)
    _check(x.shape, shape, y.shape, window)
    return Type(x.dtype, shape)


# the meaning ------------------------------------------------------------------------


def _frame(space: Shape, window: dict[str, Any]) -> tuple[Shape, Any, Any]:
    """Return the padded space, and where in it and in the images the images lie."""
    room = tuple(
        max(n + low + high, 0)
        for n, (low, high) in zip(space, window["padding"], strict=True)
    )
    inside, taken = [], []
    for n, (low, high) in zip(space, window["padding"], strict=True):
        first, last = max(-low, 0), n - max(-high, 0)
        last = max(first, last)
        taken.append(slice(first, last))
        inside.append(slice(first + low, last + low))
    return room, tuple(inside), tuple(taken)


def _taps(taps: Shape, places: Shape, window: dict[str, Any]) -> Iterator[Any]:
    """Yield each tap with the slices of the padded space that it reads."""
    for tap in itertools.product(*(range(k) for k in taps)):
        read = tuple(
            slice(t * d, t * d + (q - 1) * s + 1 if q else t * d, s)
            for t, d, q, s in zip(
                tap, window["dilation"], places, window["stride"], strict=True
            )
        )
        yield tap, read


def _grouped(a: Any, groups: int) -> Any:
    """Split the channels of (batch, channels, space...) into groups; flatten space."""
    pixels = math.prod(a.shape[2:])
    return a.reshape(a.shape[0], groups, a.shape[1] // groups, pixels)


def _widened(a: Any, b: Any) -> tuple[Any, Any]:
    if a.dtype in dtypes.HALVES:
        return a.astype(np.float32), b.astype(np.float32)
    return a, b


def _pad_host(x: Any, window: dict[str, Any]) -> Any:
    room, inside, taken = _frame(x.shape[2:], window)
    padded = np.zeros((*x.shape[:2], *room), x.dtype)
    padded[(..., *inside)] = x[(..., *taken)]
    return padded


def _reference_y(x: Any, w: Any, **window: Any) -> Any:
    dtype, groups = x.dtype, window["groups"]
    x, w = _widened(x, w)
    places = _results(x.shape[2:], w.shape[2:], window)
    outputs = w.shape[0] // groups
    out = np.zeros((x.shape[0], groups, outputs, math.prod(places)), x.dtype)
    padded = _pad_host(x, window)
    for tap, read in _taps(w.shape[2:], places, window):
        weights = w[(..., *tap)].reshape(groups, outputs, w.shape[1])
        out += np.matmul(weights, _grouped(padded[(..., *read)], groups))
    return out.reshape(x.shape[0], w.shape[0], *places).astype(dtype)


def _reference_x(y: Any, w: Any, *, space: Shape, **window: Any) -> Any:
    dtype, groups = y.dtype, window["groups"]
    y, w = _widened(y, w)
    room, inside, taken = _frame(space, window)
    batch, channels = y.shape[0], w.shape[1] * groups
    padded = np.zeros((batch, channels, *room), y.dtype)
    values = _grouped(y, groups)
    for tap, read in _taps(w.shape[2:], y.shape[2:], window):
        weights = w[(..., *tap)].reshape(groups, w.shape[0] // groups, w.shape[1])
        back = np.matmul(np.swapaxes(weights, 1, 2), values)
        padded[(..., *read)] += back.reshape(batch, channels, *y.shape[2:])
    out = np.zeros((batch, channels, *space), y.dtype)
    out[(..., *taken)] = padded[(..., *inside)]
    return out.astype(dtype)


def _reference_w(x: Any, y: Any, *, taps: Shape, **window: Any) -> Any:
    dtype, groups = x.dtype, window["groups"]
    x, y = _widened(x, y)
    shape = (y.shape[1], x.shape[1] // groups, *taps)
    out = np.zeros(shape, x.dtype)
    padded = _pad_host(x, window)
    values = _grouped(y, groups)
    for tap, read in _taps(taps, y.shape[2:], window):
        images = np.swapaxes(_grouped(padded[(..., *read)], groups), 2, 3)
        found = np.matmul(values, images).sum(0, dtype=x.dtype)
        out[(..., *tap)] = found.reshape(shape[:2])
    return out.astype(dtype)


# derivatives and batching -----------------------------------------------------------


def bind_role(role: str, a: Any, b: Any, window: dict[str, Any], shape: Shape) -> Any:
    """Apply the op that gives `role` (x, w or y), whose last axes are `shape`."""
    plain = {k: v for k, v in window.items() if k not in ("space", "taps")}
    extra = {"x": {"space": shape}, "w": {"taps": shape}, "y": {}}[role]
    return REGISTRY[_NAMES[role]].bind(a, b, **plain, **extra)


_NAMES = {
    "y": "convolution",
    "x": "convolution_input",
    "w": "convolution_weight",
}
# Each op's operands, in order.
_OPERANDS = {"y": ("x", "w"), "x": ("y", "w"), "w": ("x", "y")}


def _jvp(role: str) -> Callable[..., Any]:
    def jvp(primals: Any, tangents: Any, **window: Any) -> Any:
        return product_rule(REGISTRY[_NAMES[role]], primals, tangents, **window)

    return jvp


def _transpose(role: str) -> Callable[..., Any]:
    def transpose(ct: Any, a: Any, b: Any, **window: Any) -> Any:
        names = _OPERANDS[role]
        wanted = 0 if isinstance(a, Linear) else 1
        target = names[wanted]
        held = {role: ct, names[1 - wanted]: b if wanted == 0 else a}
        first, second = (held[name] for name in _OPERANDS[target])
        shape = (a, b)[wanted].type.shape[2:]
        found = bind_role(target, first, second, window, shape)
        return [found, None] if wanted == 0 else [None, found]

    return transpose


# Where a mapped axis goes when two of the three have it: (axis, whether inside groups).
_FOLDS: dict[str, dict[str, tuple[int, bool]]] = {
    "xy": {"x": (0, False), "y": (0, False)},
    "wy": {"w": (0, True), "y": (1, True)},
    "wx": {"w": (1, False), "x": (1, True)},
    "wxy": {"w": (0, False), "x": (1, False), "y": (1, False)},
}


def _fold(x: Any, dim: int, axis: int, parts: int) -> Any:
    """Put a mapped axis into another one, inside each of its `parts`."""
    x = maps.move_axis(x, dim, 0)
    size, shape = x.shape[0], x.shape[1:]
    inner = shape[axis] // parts
    split = (size, *shape[:axis], parts, inner, *shape[axis + 1 :])
    moved = maps.move_axis(maps.reshape(x, split), 0, axis + 1)
    return maps.reshape(
        moved, (*shape[:axis], parts * size * inner, *shape[axis + 1 :])
    )


def _unfold(x: Any, size: int, axis: int, parts: int) -> Any:
    """Undo `_fold`; the mapped axis comes to the front."""
    shape = x.shape
    inner = shape[axis] // parts // size
    split = (*shape[:axis], parts, size, inner, *shape[axis + 1 :])
    moved = maps.move_axis(maps.reshape(x, split), axis + 1, 0)
    return maps.reshape(moved, (size, *shape[:axis], parts * inner, *shape[axis + 1 :]))


def _batch(role: str) -> Callable[..., Any]:
    def batch(args: Any, dims: Any, **window: Any) -> Any:
        names = _OPERANDS[role]
        mapped = [n for n, d in zip(names, dims, strict=True) if d is not None]
        folds = _FOLDS["".join(sorted({*mapped, role}))]
        groups = window["groups"]
        folded = []
        size = 0
        for name, a, d in zip(names, args, dims, strict=True):
            if d is None:
                folded.append(a)
                continue
            axis, inside = folds[name]
            size = a.shape[d]
            folded.append(_fold(a, d, axis, groups if inside else 1))
        if len(mapped) == 2:
            window = {**window, "groups": groups * size}
        out = REGISTRY[_NAMES[role]].bind(*folded, **window)
        axis, inside = folds[role]
        return _unfold(out, size, axis, groups if inside else 1), 0

    return batch


# lowering ---------------------------------------------------------------------------


def _plan_y(x: Type, w: Type, **window: Any) -> Any:
    return _plan(convolution_kernel.plan_convolution, x.dtype, x.shape, w.shape, window)


def _plan_x(y: Type, w: Type, *, space: Shape, **window: Any) -> Any:
    x = _infer_x(y, w, space=space, **window)
    return _plan(
        convolution_kernel.plan_convolution_dx, y.dtype, x.shape, w.shape, window
    )


def _plan_w(x: Type, y: Type, *, taps: Shape, **window: Any) -> Any:
    w = _infer_w(x, y, taps=taps, **window)
    return _plan(
        convolution_kernel.plan_convolution_dw, x.dtype, x.shape, w.shape, window
    )


def _launches_y(facts: Facts, x: Type, w: Type, **window: Any) -> Any:
    plan = functools.partial(convolution_opencl.plan_opencl, facts)
    return _plan(plan, x.dtype, x.shape, w.shape, window)


def _launches_x(facts: Facts, y: Type, w: Type, *, space: Shape, **window: Any) -> Any:
    x = _infer_x(y, w, space=space, **window)
    plan = functools.partial(convolution_opencl.plan_opencl_dx, facts)
    return _plan(plan, y.dtype, x.shape, w.shape, window)


def _launches_w(facts: Facts, x: Type, y: Type, *, taps: Shape, **window: Any) -> Any:
    w = _infer_w(x, y, taps=taps, **window)
    plan = functools.partial(convolution_opencl.plan_opencl_dw, facts)
    return _plan(plan, x.dtype, x.shape, w.shape, window)


def _plan(
    plan: Callable[..., Any], dtype: DType, x: Shape, w: Shape, window: dict[str, Any]
) -> Any:
    if not _has_kernel(dtype, len(x)):
        return None
    return plan(
        dtype.name,
        x,
        w,
        stride=window["stride"],
        padding=window["padding"],
        rhs_dilation=window["dilation"],
        groups=window["groups"],
    )


def _has_kernel(dtype: DType, ndim: int) -> bool:
    return dtype in (dtypes.float32, dtypes.float64) and 3 <= ndim <= 5


def _expand(role: str) -> Callable[..., Any]:
    def expand(a: Type, b: Type, **window: Any) -> Any:
        def compose(v: Any, w: Any) -> list[Any]:
            dtype = v.dtype
            halves = dtype in dtypes.HALVES
            convert = REGISTRY["convert"].bind
            if halves:
                v, w = (convert(u, dtype=dtypes.float32) for u in (v, w))
            if _has_kernel(v.dtype, v.ndim):
                out = REGISTRY[_NAMES[role] + "_kernel"].bind(v, w, **window)
            else:
                out = _BY_PATCHES[role](v, w, **window)
            return [convert(out, dtype=dtype) if halves else out]

        return capture(compose, [a, b]).graph

    return expand


def _patch_indices(places: Shape, taps: Shape, window: dict[str, Any]) -> list[Any]:
    """Return for each space axis where the taps read: shape (places..., taps...)."""
    full = (*places, *taps)
    rank = len(taps)
    add, mul = REGISTRY["add"], REGISTRY["mul"]
    found = []
    for i in range(rank):
        place = broadcasted_iota(dtypes.int32, full, i)
        tap = broadcasted_iota(dtypes.int32, full, rank + i)
        place = mul(place, number(window["stride"][i], dtypes.int32))
        tap = mul(tap, number(window["dilation"][i], dtypes.int32))
        low = number(-window["padding"][i][0], dtypes.int32)
        found.append(add(add(place, tap), low))
    return found


def _patches(x: Any, places: Shape, taps: Shape, window: dict[str, Any]) -> Any:
    """Read (batch, groups, channels, places..., taps...), zeros in the padding."""
    indices = _patch_indices(places, taps, window)
    axes = tuple(range(2, x.ndim))
    read = REGISTRY["gather"].bind(x, *indices, axes=axes, place=2, mode="fill", fill=0)
    return by_group(read, 1, window["groups"])


def by_group(x: Any, axis: int, groups: int) -> Any:
    shape = x.shape
    inner = shape[axis] // groups
    return maps.reshape(x, (*shape[:axis], groups, inner, *shape[axis + 1 :]))


def _labels(rank: int) -> tuple[str, str, str]:
    """Return the labels of patches, weights and results, all with groups."""
    n, g, c, o = (letter(i) for i in range(4))
    places = "".join(letter(4 + i) for i in range(rank))
    taps = "".join(letter(4 + rank + i) for i in range(rank))
    return n + g + c + places + taps, g + o + c + taps, n + g + o + places


def _patches_y(x: Any, w: Any, **window: Any) -> Any:
    places = _results(x.shape[2:], w.shape[2:], window)
    read = _patches(x, places, w.shape[2:], window)
    weights = by_group(w, 0, window["groups"])
    p, q, r = _labels(len(places))
    out = bind_contract(read, weights, p, q, r)
    return maps.reshape(out, (x.shape[0], w.shape[0], *places))


def _patches_x(y: Any, w: Any, *, space: Shape, **window: Any) -> Any:
    groups, taps, places = window["groups"], w.shape[2:], y.shape[2:]
    p, q, r = _labels(len(places))
    spread = bind_contract(by_group(y, 1, groups), by_group(w, 0, groups), r, q, p)
    channels = w.shape[1] * groups
    updates = maps.reshape(spread, (y.shape[0], channels, *places, *taps))
    return REGISTRY["spread"].bind(
        updates,
        *_patch_indices(places, taps, window),
        shape=(y.shape[0], channels, *space),
        axes=tuple(range(2, 2 + len(space))),
        place=2,
        mode="drop",
    )


def _patches_w(x: Any, y: Any, *, taps: Shape, **window: Any) -> Any:
    groups = window["groups"]
    read = _patches(x, y.shape[2:], taps, window)
    p, q, r = _labels(len(taps))
    out = bind_contract(read, by_group(y, 1, groups), p, r, q)
    return maps.reshape(out, (y.shape[1], x.shape[1] // groups, *taps))


_BY_PATCHES: dict[str, Callable[..., Any]] = {
    "y": _patches_y,
    "x": _patches_x,
    "w": _patches_w,
}


# records ----------------------------------------------------------------------------

_SAMPLES: tuple[tuple[Shape, Shape, dict[str, Any]], ...] = (
    ((2, 3, 7), (4, 3, 3), {}),
    ((2, 4, 9), (6, 2, 3), {"stride": (2,), "padding": ((1, 2),), "groups": 2}),
    ((1, 2, 6), (3, 2, 2), {"dilation": (3,), "padding": ((2, 1),)}),
    ((1, 2, 8), (2, 2, 3), {"padding": ((-1, 2),)}),
    ((2, 2, 5, 6), (3, 2, 3, 3), {"padding": ((1, 1), (1, 1))}),
    ((1, 2, 5, 5), (2, 2, 1, 1), {}),
    ((2, 4, 6, 5), (4, 1, 2, 3), {"stride": (2, 1), "groups": 4}),
    ((1, 1, 4, 4, 5), (2, 1, 2, 2, 3), {"stride": (1, 2, 1)}),
    ((0, 2, 5), (3, 2, 2), {}),
)


def _cases(role: str) -> Callable[[DType, np.random.Generator], Iterator[Case]]:
    def cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
        for x, w, changes in _SAMPLES:
            rank = len(x) - 2
            window = {
                "stride": (1,) * rank,
                "padding": ((0, 0),) * rank,
                "dilation": (1,) * rank,
                "groups": 1,
                **changes,
            }
            y = (x[0], w[0], *_results(x[2:], w[2:], window))
            shapes = {"x": x, "w": w, "y": y}
            extra = {"x": {"space": x[2:]}, "w": {"taps": w[2:]}, "y": {}}[role]
            operands = tuple(
                draw(rng, dtype, shapes[n], -2, 2) for n in _OPERANDS[role]
            )
            yield operands, {**window, **extra}

    return cases


def _define(
    role: str,
    infer: Callable[..., Type],
    plan: Callable[..., Any],
    launches: Callable[..., Any],
    reference: Callable[..., Any],
    document: str,
) -> None:
    """Define an op and its `_kernel` form, to which it expands where there is one."""
    floats = (dtypes.float32, dtypes.float64)
    for suffix, lower, types in (
        ("", Expand(_expand(role)), dtypes.NUMBERS),
        ("_kernel", Native(plan, launches=launches), floats),
    ):
        Primitive(
            name=_NAMES[role] + suffix,
            family="convolution",
            infer=infer,
            lower=lower,
            reference=reference,
            jvp=_jvp(role),
            transpose=_transpose(role),
            batch=_batch(role),
            samples=Samples(types, _cases(role), 256),
            document=document,
        )


_define(
    "y",
    _infer_y,
    _plan_y,
    _launches_y,
    _reference_y,
    "Convolve images with weights.",
)
_define(
    "x",
    _infer_x,
    _plan_x,
    _launches_x,
    _reference_x,
    "Apply the transpose of a convolution.",
)
_define(
    "w",
    _infer_w,
    _plan_w,
    _launches_w,
    _reference_w,
    "Correlate images with convolution results.",
)
