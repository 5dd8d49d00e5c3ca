"""The programs that a device is measured with: each shape of loops at several sizes.

Each one exercises a few of the rates of a device profile (`rxcore/runtime/cost`) and
is small enough to run in milliseconds. The sizes of one program run from what a first
cache holds to what only memory does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from rxcore.base import dtypes
from rxcore.control.scan import scan
from rxcore.ir.graph import Graph
from rxcore.ir.types import Type
from rxcore.ops import compare, gather, join, mathematics, reduce, shape
from rxcore.ops.convert import convert
from rxcore.ops.cumulate import cumsum
from rxcore.ops.matmul import matmul
from rxcore.ops.random_bits import random_bits
from rxcore.ops.scatter import scatter
from rxcore.ops.sort import sort
from rxcore.runtime.cost import Profile
from rxcore.runtime.cost.calibrate import CpuRunner, DeviceRunner, calibrate_quickly
from rxcore.runtime.devices import Target
from rxcore.trace.capture import capture

__all__ = ["PROGRAMS", "QUICK", "CalibrationProgram", "quickly"]

_SIZES = (1 << 11, 1 << 14, 1 << 17, 1 << 20)
# The largest one is for what streams: nothing else differs there.
_STREAMS = (*_SIZES, 1 << 23)


@frozen(eq=False)
class CalibrationProgram:
    """A pure function at several sizes.

    Args:
        name: what to call it.
        function: of arrays; returns a list of arrays.
        types: from a size (elements of the largest argument) to argument Types.
        sizes: the sizes to run it at.
    """

    name: str
    function: Callable[..., list[Any]]
    types: Callable[[int], list[Type]]
    sizes: tuple[int, ...] = _SIZES

    def graph(self, size: int) -> Graph:
        """Return the Graph at a size."""
        return capture(self.function, self.types(size)).graph


f32, f64, i32, i8 = dtypes.float32, dtypes.float64, dtypes.int32, dtypes.int8
bf16 = dtypes.bfloat16


def _flat(*kinds: Any) -> Callable[[int], list[Type]]:
    return lambda n: [Type(k, (n,)) for k in kinds]


def _rows(width: int, *kinds: Any) -> Callable[[int], list[Type]]:
    """Return matrices with rows of a length, or as many columns where it is < 0."""

    def types(n: int) -> list[Type]:
        other = max(n // abs(width), 1)
        dims = (other, width) if width > 0 else (-width, other)
        return [Type(k, dims) for k in kinds]

    return types


def _square(*kinds: Any, share: float = 1.0) -> Callable[[int], list[Type]]:
    def types(n: int) -> list[Type]:
        side = round(n**0.5 * share)
        return [Type(k, (side, side)) for k in kinds]

    return types


def _spread(*kinds: Any, width: int) -> Callable[[int], list[Type]]:
    return lambda n: [Type(kinds[0], (n // width, width)), Type(kinds[1], (width,))]


def _polynomial(degree: int) -> Callable[..., list[Any]]:
    def function(x: Any, y: Any) -> list[Any]:
        total = x
        for k in range(degree):
            total = total * y + (x if k % 2 else 0.5)
        return [total]

    return function


def _alternating(steps: int) -> Callable[..., list[Any]]:
    def function(x: Any, y: Any) -> list[Any]:
        total = x
        for k in range(steps):
            other = (y, total * x, x)[k % 3]
            total = compare_step(total, other, k)
        return [total]

    def compare_step(total: Any, other: Any, k: int) -> Any:
        if k % 4 == 3:
            return compare.select(total > other, total - other, other)
        return total + other if k % 4 else total - other

    return function


def _mixed(steps: int, phase: int = 0) -> Callable[..., Any]:
    """Return a chain of all kinds of operations, as programs of users have them."""

    def function(x: Any, y: Any) -> Any:
        total, kept = x, y
        for k in range(phase, phase + steps):
            total, kept = _MIXTURE[k % len(_MIXTURE)](total, kept), total
        return total + x

    return function


_MIXTURE: tuple[Callable[[Any, Any], Any], ...] = (
    lambda a, b: a * b + 0.5,
    lambda a, b: mathematics.exp(a * -0.1),
    lambda a, b: a - b * 0.25,
    lambda a, b: a / (abs(b) + 1.5),
    lambda a, b: compare.select(a > b, a * 0.5, b),
    lambda a, b: mathematics.tanh(a) + b,
    lambda a, b: mathematics.sqrt(abs(a) + 0.5),
    lambda a, b: a * a - b,
    lambda a, b: mathematics.log(abs(a) + 1.5),
    lambda a, b: a + b * a,
)


def _softmax(x: Any) -> list[Any]:
    e = mathematics.exp(x - reduce.max_(x, -1, keepdims=True))
    return [e / reduce.sum_(e, -1, keepdims=True)]


def _mixed_rows(steps: int) -> Callable[..., list[Any]]:
    def function(x: Any) -> list[Any]:
        total = reduce.sum_(_mixed(steps)(x, x), 1, keepdims=True)
        return [_mixed(steps, 2)(x, x) * total]

    return function


def _mixed_columns(x: Any) -> list[Any]:
    return [reduce.sum_(_mixed(7)(x, x), 0)]


def _mixed_scan(xs: Any, v: Any) -> list[Any]:
    def step(v: Any, x: Any) -> tuple[Any, Any]:
        new = _mixed(5)(x, v) * 0.1
        return new, new + x

    return list(scan(step, v, xs))


def _mixed_transpose(x: Any, y: Any) -> list[Any]:
    return [_mixed(6)(shape.transpose(x), y)]


def _normal(x: Any, axis: int) -> list[Any]:
    n = x.shape[axis]
    mean = reduce.sum_(x, axis, keepdims=True) / n
    rest = x - mean
    variance = reduce.sum_(rest * rest, axis, keepdims=True) / n
    return [rest * mathematics.rsqrt(variance + 1e-5)]


def _leaky(xs: Any, v: Any) -> list[Any]:
    """Step leaky neurons that fire, and start again, above a threshold."""

    def step(v: Any, x: Any) -> tuple[Any, Any]:
        v = v * 0.9 + x
        fired = v > 1.0
        return compare.select(fired, v - 1.0, v), convert(fired, f32)

    last, fired = scan(step, v, xs)
    return [last, fired]


def _decay(xs: Any, v: Any) -> list[Any]:
    last, _ = scan(lambda v, x: (v * 0.5 + x, None), v, xs)
    return [last]


def _bounded(xs: Any, v: Any) -> list[Any]:
    return list(scan(lambda v, x: (mathematics.tanh(v + x),) * 2, v, xs))


def _steps(lanes: int, steps: int = 0, kind: Any = f32) -> Callable[[int], list[Type]]:
    def types(n: int) -> list[Type]:
        count = steps or n // lanes
        width = n // count
        return [Type(kind, (count, width)), Type(kind, (width,))]

    return types


def _scatter(x: Any, i: Any, v: Any) -> list[Any]:
    return [scatter(x, v, i, axes=(0,), combine="add", mode="clip")]


def _key(_: int) -> list[Type]:
    return [Type(dtypes.uint32, (2,))]


# Columns of powers of two would compete for few places of a cache.
_UNEVEN = 0.97
# Sides of 32 to 1024.
_SQUARES = tuple(1 << (2 * k) for k in (5, 6, 7, 8, 9, 10))

P = CalibrationProgram
PROGRAMS: tuple[CalibrationProgram, ...] = (
    # Elementwise: bytes, then each class of operations.
    P("scale", lambda x: [x * 0.5], _flat(f32), _STREAMS),
    P("add", lambda x, y: [x + y], _flat(f32, f32), _STREAMS),
    P("add four", lambda a, b, c, d: [a + b + c + d], _flat(f32, f32, f32, f32)),
    P("two results", lambda x, y: [x + y, x * y], _flat(f32, f32)),
    P("polynomial", _polynomial(8), _flat(f32, f32)),
    P("long polynomial", _polynomial(30), _flat(f32, f32)),
    P("chain", _alternating(10), _flat(f32, f32)),
    P("long chain", _alternating(30), _flat(f32, f32)),
    P("mixture", lambda x, y: [_mixed(8)(x, y)], _flat(f32, f32), _STREAMS),
    P("long mixture", lambda x, y: [_mixed(24, 3)(x, y)], _flat(f32, f32)),
    P("mixture of doubles", lambda x, y: [_mixed(9)(x, y)], _flat(f64, f64)),
    P("exp", lambda x: [mathematics.exp(x)], _flat(f32), _STREAMS),
    P("tanh", lambda x, y: [mathematics.tanh(x * y) + x], _flat(f32, f32)),
    P("log of exp", lambda x: [mathematics.log(mathematics.exp(x) + 1.0)], _flat(f32)),
    P("quotients", lambda x, y: [x / y + y / (x + 2.0)], _flat(f32, f32)),
    P("roots", lambda x: [mathematics.sqrt(x) + mathematics.sqrt(x + 1.0)], _flat(f32)),
    P("add doubles", lambda x, y: [x + y], _flat(f64, f64)),
    P("exp of doubles", lambda x: [mathematics.exp(x)], _flat(f64)),
    P("integers", lambda x, y: [x * y + (x ^ y)], _flat(i32, i32)),
    P("integer quotients", lambda x, y: [x // y], _flat(i32, i32)),
    P("bytes", lambda x, y: [x + y], _flat(i8, i8)),
    P("from bytes", lambda x: [convert(x, f32) * 0.1], _flat(i8)),
    P("to integers", lambda x: [convert(x, i32)], _flat(f32)),
    P("halves", lambda x: [convert(convert(x, f32) * 2.0, bf16)], _flat(bf16)),
    P("row vector", lambda x, b: [x + b], _spread(f32, f32, width=256)),
    P("short row vector", lambda x, b: [x * b + 1.0], _spread(f32, f32, width=10)),
    P(
        "every third",
        lambda x: [shape.slice_(x, (0,), x.shape, (3,)) * 2.0],
        _flat(f32),
    ),
    P("gather", lambda x, i: [gather.take(x, i, 0, mode="clip")], _flat(f32, i32)),
    P("join", lambda x, y: [join.concatenate([x, y], 1)], _rows(256, f32, f32)),
    # Rows.
    P("row sums", lambda x: [reduce.sum_(x, 1)], _rows(512, f32), _STREAMS),
    P("row maxima", lambda x: [reduce.max_(x, 1)], _rows(300, f32)),
    P("short row sums", lambda x: [reduce.sum_(x, 1)], _rows(10, f32)),
    P("odd row sums", lambda x: [reduce.sum_(x * x, 1)], _rows(37, f32)),
    P(
        "row sums of exp",
        lambda x: [reduce.sum_(mathematics.exp(x), 1)],
        _rows(200, f32),
    ),
    P("softmax", _softmax, _rows(1000, f32), _STREAMS),
    P("short softmax", _softmax, _rows(20, f32)),
    P("mixed rows", _mixed_rows(6), _rows(400, f32)),
    P("mixed short rows", _mixed_rows(10), _rows(24, f32)),
    P("mixed rows of doubles", _mixed_rows(6), _rows(350, f64)),
    P("normalize rows", lambda x: _normal(x, 1), _rows(768, f32)),
    P("normalize short rows", lambda x: _normal(x, 1), _rows(50, f32)),
    P("double row sums", lambda x: [reduce.sum_(x, 1)], _rows(256, f64)),
    P("total", lambda x: [reduce.sum_(x)], _flat(f32), _STREAMS),
    P("total of products", lambda x, y: [reduce.sum_(x * y)], _flat(f32, f32)),
    # Columns, and scans by lanes.
    P("column sums", lambda x: [reduce.sum_(x, 0)], _rows(1000, f32), _STREAMS),
    P("narrow column sums", lambda x: [reduce.sum_(x, 0)], _rows(64, f32)),
    P("column maxima", lambda x: [reduce.max_(x * 2.0 + 1.0, 0)], _rows(5000, f32)),
    P("normalize columns", lambda x: _normal(x, 0), _rows(300, f32)),
    P(
        "column sums of exp",
        lambda x: [reduce.sum_(mathematics.exp(x), 0)],
        _rows(700, f32),
    ),
    P("mixed columns", _mixed_columns, _rows(900, f32)),
    P("mixed columns of doubles", _mixed_columns, _rows(800, f64)),
    P("mixed scan", _mixed_scan, _steps(0, 40)),
    P("mixed scan of doubles", _mixed_scan, _steps(0, 50, f64)),
    P("running sums down", lambda x: [cumsum(x, 0)], _rows(512, f32)),
    P("neurons", _leaky, _steps(0, 32), _STREAMS),
    P("few neurons", _leaky, _steps(64)),
    P("decay", _decay, _steps(0, 100)),
    P("bounded", _bounded, _steps(0, 20)),
    # Recurrences of few lanes.
    P("running sums", lambda x: [cumsum(x, 1)], _rows(512, f32), _STREAMS),
    P("one running sum", lambda x: [cumsum(x, 0)], _flat(f32)),
    P("one neuron", _leaky, _steps(1)),
    P("eight lanes", _bounded, _steps(8)),
    # Transposes.
    P(
        "transpose",
        lambda x: [shape.transpose(x) * 2.0],
        _square(f32, share=_UNEVEN),
        _STREAMS,
    ),
    P(
        "symmetric part",
        lambda x: [x + shape.transpose(x)],
        _square(f32, share=_UNEVEN),
    ),
    P(
        "exp of transpose",
        lambda x: [mathematics.exp(shape.transpose(x))],
        _square(f32, share=_UNEVEN),
    ),
    P("mixture of transposes", _mixed_transpose, _square(f32, f32, share=_UNEVEN)),
    P("thin transpose", lambda x: [shape.transpose(x) + 1.0], _rows(30, f32)),
    # Hand-made kernels.
    P("matmul", lambda x, y: [matmul(x, y)], _square(f32, f32), _SQUARES),
    P("sort", lambda x: [sort(x)], _flat(f32)),
    P("sort rows", lambda x: [sort(x, 1)], _rows(128, f32)),
    P("random bits", lambda k: [random_bits(k, (1 << 18,))], _key, _SIZES[:1]),
    P("scatter", _scatter, _flat(f32, i32, f32)),
)

_QUICK_NAMES = ("add", "mixture", "long mixture", "exp", "softmax", "column sums")
# What tells in a third of a second how a device's bandwidth, arithmetic and launches
# compare with a profile.
QUICK: tuple[CalibrationProgram, ...] = tuple(
    P(p.name, p.function, p.types, (p.sizes[0], p.sizes[3]))
    for p in PROGRAMS
    if p.name in _QUICK_NAMES
)


def quickly(target: Target | None, profile: Profile) -> Profile:
    """Scale a target's shipped profile by how fast a few programs are there.

    Args:
        target: a device, None for the CPU.
        profile: its shipped profile.
    """
    runner = CpuRunner() if target is None else DeviceRunner(target)
    return calibrate_quickly(runner, QUICK, profile)
