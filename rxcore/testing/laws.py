"""Laws that every op, and every function of ops, obeys; as checks that raise.

A function here takes arrays and returns an array or a tuple of arrays. Each check
draws what it needs from a seed and raises `AssertionError` with the operands' Types,
what was found and what was expected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import Primitive
from rxcore.ir.types import Type
from rxcore.runtime.array import Array, as_value, asarray
from rxcore.testing.lowering import run_lowering
from rxcore.trace.capture import apply, capture
from rxcore.transforms.jvp import jvp_flat
from rxcore.transforms.linearize import linearize_flat
from rxcore.transforms.transpose import transpose_graph
from rxcore.transforms.vmap import place_axis, vmap_flat

__all__ = [
    "assert_close",
    "check_batch",
    "check_halves",
    "check_jvp",
    "check_lowering",
    "check_no_derivative",
    "check_reference",
    "check_second_order",
    "check_transpose",
    "check_types",
    "ulps_between",
]

Function = Callable[..., Any]


def _flat(function: Function) -> Callable[..., list[Any]]:
    def call(*args: Any) -> list[Any]:
        out = function(*args)
        return list(out) if isinstance(out, tuple | list) else [out]

    return call


def _show(args: Iterable[Any]) -> str:
    return ", ".join(str(as_value(a).type) for a in args)


# closeness --------------------------------------------------------------------------


def ulps_between(found: Any, expected: Any, whole: bool = False) -> float:
    """Return the largest error in units in the last place of the expected dtype.

    Infinities and NaN must be equal (else the answer is inf); numbers that are not
    floating must be equal; a complex error counts against the modulus.

    Args:
        found: array.
        expected: array.
        whole: whether an error counts against the largest element, not its own.

    Example:
        >>> ulps_between(np.float32([1, 2]), np.float32([1, 2]))
        0.0
    """
    found, expected = np.asarray(found), np.asarray(expected)
    dtype = expected.dtype
    if not expected.size:
        return 0.0
    if not dtypes.is_inexact(dtype):
        return 0.0 if np.array_equal(found, expected) else float("inf")
    if dtypes.is_complex(dtype):
        return _complex_ulps(found, expected, whole)
    with np.errstate(all="ignore"):
        a, b = found.astype(np.float64), expected.astype(np.float64)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        error = np.where(same, 0.0, np.abs(a - b) / _unit(np.abs(b), dtype, whole))
        bad = ~same & ~(np.isfinite(a) & np.isfinite(b))
    return float(np.max(np.where(bad, np.inf, error)))


def _complex_ulps(found: Any, expected: Any, whole: bool) -> float:
    with np.errstate(all="ignore"):
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        part = dtypes.real_part(expected.dtype)
        unit = _unit(np.abs(expected).astype(np.float64), part, whole)
        error = np.where(same, 0.0, np.abs(found - expected) / unit)
    return float(np.max(np.where(np.isnan(error), np.inf, error)))


_BITS = {dtypes.float16: (10, -14), dtypes.bfloat16: (7, -126)}


def _unit(size: Any, dtype: DType, whole: bool) -> Any:
    if whole:
        size = np.max(np.where(np.isfinite(size), size, 0.0))
    return _spacing(size, dtype)


def _spacing(x: Any, dtype: DType) -> Any:
    """Return the distance between neighbours of `dtype` at the float64 values x."""
    info = np.finfo(dtype) if dtype not in _BITS else None
    fraction, least = (
        (int(info.nmant), int(info.minexp)) if info is not None else _BITS[dtype]
    )
    _, exponent = np.frexp(np.where(np.isfinite(x), x, 1.0))
    return np.ldexp(1.0, np.maximum(exponent - 1, least) - fraction)


def assert_close(
    found: Any,
    expected: Any,
    ulps: float,
    what: str = "values",
    whole: bool = False,
) -> None:
    """Raise unless two arrays agree in dtype, shape, and values up to some ULP."""
    found, expected = np.asarray(found), np.asarray(expected)
    kinds = (found.dtype, found.shape), (expected.dtype, expected.shape)
    assert kinds[0] == kinds[1], f"{what}: found {kinds[0]}, expected {kinds[1]}"
    error = ulps_between(found, expected, whole)
    assert error <= ulps, (
        f"{what}: error of {error:.3g} ULP, allowed {ulps}:\n{found}\n  expected\n"
        f"{expected}"
    )


# types and values -------------------------------------------------------------------


def check_types(function: Function, args: Sequence[Any]) -> None:
    """Check that capture says the Types that running the function gives.

    Args:
        function: of arrays.
        args: its arguments.

    Raises:
        AssertionError: when a dtype or shape differs.

    Example:
        >>> from rxcore.ops.elementwise import add
        >>> check_types(add, (np.float32([1, 2]), 1))
    """
    flat = _flat(function)
    values = [as_value(a) for a in args]
    ran = [np.asarray(o) for o in flat(*values)]
    graph = capture(flat, [v.type for v in values]).graph
    said = [(t.dtype, t.shape) for t in graph.out_types]
    found = [(r.dtype, r.shape) for r in ran]
    assert said == found, (
        f"types of {_show(args)}: captured {said}, running gives {found}"
    )


def check_reference(
    primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]
) -> None:
    """Check that an op's reference gives exactly the dtypes and shapes inferred."""
    arrays = [np.asarray(a) for a in operands]
    types = [Type(a.dtype, a.shape) for a in arrays]
    said = primitive.infer_all(types, params)
    out = primitive.reference(*arrays, **params)
    outs = out if primitive.multiple else (out,)
    found = [(np.asarray(o).dtype, np.shape(o)) for o in outs]
    expected = [(t.dtype, t.shape) for t in said]
    assert found == expected, (
        f"{primitive} of {types} with {params}: the reference gives {found}, the types"
        f" say {expected}"
    )


def check_lowering(
    primitive: Primitive,
    operands: Sequence[Any],
    params: dict[str, Any],
    run: Callable[..., Sequence[Any]] = run_lowering,
    ulps: float | None = None,
) -> None:
    """Check that an op's lowering gives what its reference gives.

    Args:
        primitive: the op.
        operands: ndarrays.
        params: the op's params.
        run: `run(primitive, operands, params)` runs the lowering: slowly as it is
            written (default), or compiled.
        ulps: the error allowed; default: what the op's samples allow.
    """
    arrays = [np.asarray(a) for a in operands]
    expected = primitive.reference(*arrays, **params)
    outs = expected if primitive.multiple else (expected,)
    found = run(primitive, arrays, params)
    allowed = primitive.samples.tolerance if ulps is None else ulps
    for f, e in zip(found, outs, strict=True):
        what = f"{primitive} of {_show(arrays)} with {params}: lowering"
        whole = primitive.samples.cancels
        assert_close(np.asarray(f), np.asarray(e), allowed, what, whole)


def check_halves(
    primitive: Primitive,
    operands: Sequence[Any],
    params: dict[str, Any],
    ulps: float = 0,
) -> None:
    """Check that an op on halves gives its float32 result, rounded once.

    Params that name a half dtype are left alone.
    """
    arrays = [np.asarray(a) for a in operands]
    halves = {a.dtype for a in arrays if a.dtype in dtypes.HALVES}
    if len(halves) != 1:
        return
    wide = [a.astype(np.float32) if a.dtype in halves else a for a in arrays]
    found = primitive.reference(*arrays, **params)
    expected = primitive.reference(*wide, **params)
    pairs = (
        zip(found, expected, strict=True) if primitive.multiple else [(found, expected)]
    )
    for f, e in pairs:
        rounded = np.asarray(e).astype(np.asarray(f).dtype)
        assert_close(f, rounded, ulps, f"{primitive} of {_show(arrays)} with {params}")


# derivatives ------------------------------------------------------------------------

_STEP = 1e-4


def _widened(args: Sequence[Any]) -> list[Any]:
    """Return the arguments with floating ones in float64 or complex128."""
    made = []
    for a in args:
        host = np.asarray(as_value(a).host)
        if dtypes.is_complex(host.dtype):
            host = host.astype(np.complex128)
        elif dtypes.is_float(host.dtype):
            host = host.astype(np.float64)
        made.append(host)
    return made


def _direction(rng: np.random.Generator, like: Any) -> Any:
    if not dtypes.is_inexact(like.dtype):
        return None
    drawn = np.asarray(rng.uniform(0.5, 1.5, like.shape))
    drawn = drawn * rng.choice([-1.0, 1.0], like.shape)
    if dtypes.is_complex(like.dtype):
        drawn = drawn + 1j * rng.uniform(-1, 1, like.shape)
    return np.asarray(drawn, like.dtype)


def _differences(flat: Any, args: Any, directions: Any, step: float) -> list[Any]:
    """Return central differences of fourth order along the directions."""

    def at(distance: float) -> list[Any]:
        moved = [
            a if t is None else a + distance * t
            for a, t in zip(args, directions, strict=True)
        ]
        return [np.asarray(o) for o in flat(*map(asarray, moved))]

    with np.errstate(all="ignore"):
        near, far = (
            [p.astype(_double(p)) - m.astype(_double(m)) for p, m in pairs]
            for pairs in (
                zip(at(step), at(-step), strict=True),
                zip(at(2 * step), at(-2 * step), strict=True),
            )
        )
        return [(8 * n - f) / (12 * step) for n, f in zip(near, far, strict=True)]


def _double(x: Any) -> DType:
    return dtypes.complex128 if dtypes.is_complex(x.dtype) else dtypes.float64


def check_jvp(
    function: Function,
    args: Sequence[Any],
    *,
    seed: int = 0,
    tolerance: float = 1e-6,
) -> None:
    """Check a function's jvp against differences in float64.

    Floating arguments are widened to float64 (complex128, with complex directions);
    results that are not of double precision are not compared.

    Args:
        function: of arrays, differentiable at the arguments.
        args: its arguments.
        seed: where directions come from.
        tolerance: error allowed, relative to the derivative and to 1.

    Raises:
        AssertionError: when the derivative and the difference differ.

    Example:
        >>> from rxcore.ops.elementwise import mul
        >>> check_jvp(lambda x: mul(x, x), (np.float64([1.0, 2.0]),))
    """
    flat = _flat(function)
    wide = _widened(args)
    rng = np.random.default_rng(seed)
    directions = [_direction(rng, a) for a in wide]
    if all(t is None for t in directions):
        return
    moved = [None if t is None else asarray(t) for t in directions]
    outs, dots = jvp_flat(flat, [asarray(a) for a in wide], moved)
    expected = _differences(flat, wide, directions, _STEP)
    for out, dot, e in zip(outs, dots, expected, strict=True):
        if out.dtype not in (dtypes.float64, dtypes.complex128):
            assert dot is None or dtypes.is_inexact(out.dtype), "integers have no jvp"
            continue
        found = np.zeros(out.shape, out.dtype) if dot is None else np.asarray(dot)
        assert (found.dtype, found.shape) == (out.dtype, out.shape), (
            f"jvp at {_show(args)}: tangent {found.dtype}{list(found.shape)} of a"
            f" result {out.type}"
        )
        fine = np.isfinite(e)
        limit = tolerance * (1 + np.abs(e)) + 1e-10 * np.abs(np.asarray(out))
        error = np.abs(found - e)
        assert np.all((error <= limit)[fine]), (
            f"jvp at {_show(args)}:\n{found}\n  differences give\n{e}\n  at {wide}"
        )


def check_no_derivative(function: Function, args: Sequence[Any]) -> None:
    """Check that no derivative flows through a function, though its value moves."""
    wide = [asarray(a) for a in _widened(args)]
    rng = np.random.default_rng(0)
    directions = [_direction(rng, np.asarray(a)) for a in wide]
    moved = [None if t is None else asarray(t) for t in directions]
    _, dots = jvp_flat(_flat(function), wide, moved)
    assert all(d is None for d in dots), f"a derivative at {_show(args)}: {dots}"


def check_transpose(
    function: Function, args: Sequence[Any], *, seed: int = 0, tolerance: float = 1e-9
) -> None:
    """Check <ct, J t> = <J^T ct, t>, and that linearize gives what jvp gives.

    The product is the sum of a * b without conjugation; of it the real part counts,
    since real parts and conj are linear over the reals only.

    Args:
        function: of arrays.
        args: its arguments; floating ones are widened to float64.
        seed: where t and ct come from.
        tolerance: relative error allowed.

    Raises:
        AssertionError: when the two sides differ.
    """
    flat = _flat(function)
    wide = _widened(args)
    rng = np.random.default_rng(seed)
    tangents = [_direction(rng, a) for a in wide]
    wanted = [t is not None for t in tangents]
    if not any(wanted):
        return
    values = [asarray(a) for a in wide]
    linear = linearize_flat(flat, values, wanted)
    moving = [asarray(t) for t in tangents if t is not None]
    residuals = list(linear.residuals)
    dots = apply(linear.graph, [*moving, *residuals])
    _same_as_jvp(flat, values, tangents, dots, tolerance)
    if not dots:
        return
    cts = [asarray(_direction(rng, np.asarray(d))) for d in dots]
    tolerance = max(tolerance, *(8 * _epsilon(d.dtype) for d in dots))
    flags = [True] * len(moving) + [False] * len(residuals)
    backs = transpose_graph(linear.graph, flags, residuals, cts)
    left, scale = _inner(cts, dots)
    right, other = _inner(backs, moving)
    assert abs(left - right) <= tolerance * (1 + scale + other), (
        f"transpose at {_show(args)}: <ct, J t> = {left}, <J^T ct, t> = {right}\n"
        f"{linear.graph}"
    )


def _same_as_jvp(
    flat: Any, values: Any, tangents: Any, dots: Any, tolerance: float
) -> None:
    given = [None if t is None else asarray(t) for t in tangents]
    _, forward = jvp_flat(flat, values, given)
    expected = [t for t in forward if t is not None]
    for d, e in zip(dots, expected, strict=True):
        found, wanted = np.asarray(d), np.asarray(e)
        assert found.shape == wanted.shape, "linearize and jvp differ in shape"
        with np.errstate(all="ignore"):
            same = np.isclose(found, wanted, tolerance, tolerance, equal_nan=True)
        assert np.all(same), f"linearize gives\n{found}\n  jvp\n{wanted}"


def _epsilon(dtype: DType) -> float:
    return float(_spacing(np.float64(1.0), dtypes.real_part(dtype)))


def _inner(left: Any, right: Any) -> tuple[float, float]:
    total = scale = 0.0
    for a, b in zip(left, right, strict=True):
        if a is None:
            continue
        x, y = np.asarray(a), np.asarray(b)
        assert (x.dtype, x.shape) == (y.dtype, y.shape), (
            f"a cotangent is {a.type}, the value is {b.type}"
        )
        # Beside an infinite derivative the law says nothing.
        with np.errstate(all="ignore"):
            product = np.real(x * y)
        product = product[np.isfinite(product)]
        total += float(np.sum(product))
        scale += float(np.sum(np.abs(product)))
    return total, scale


def check_second_order(
    function: Function, args: Sequence[Any], *, seed: int = 0, tolerance: float = 1e-5
) -> None:
    """Check the jvp and the transpose of a function's jvp.

    Args:
        function: of arrays, twice differentiable at the arguments.
        args: its arguments; floating ones are widened to float64.
        seed: where directions come from.
        tolerance: relative error allowed.

    Raises:
        AssertionError: when the second derivative is wrong.
    """
    flat = _flat(function)
    wide = _widened(args)
    rng = np.random.default_rng(seed + 1)
    directions = [_direction(rng, a) for a in wide]
    if all(t is None for t in directions):
        return
    moved = [None if t is None else asarray(t) for t in directions]
    _, dots = jvp_flat(flat, [asarray(a) for a in wide], moved)
    if all(d is None for d in dots):
        return

    def derivative(*xs: Any) -> tuple[Any, ...]:
        _, tangents = jvp_flat(flat, list(xs), moved)
        return tuple(t for t in tangents if t is not None)

    check_jvp(derivative, wide, seed=seed, tolerance=tolerance)
    check_transpose(derivative, wide, seed=seed)


# batching ---------------------------------------------------------------------------


def check_batch(
    function: Function,
    lanes: Sequence[Sequence[Any]],
    *,
    ulps: float = 0,
    whole: bool = False,
    every_axis: bool = False,
) -> None:
    """Check that batching a function gives what a Python loop gives.

    Args:
        function: of arrays.
        lanes: one list of arguments for each lane, of equal Types.
        ulps: error allowed in each element.
        whole: whether it counts against the largest element.
        every_axis: whether each operand is batched along each of its axes; else each
            subset of operands is tried with its axes first, last, and in between.

    Raises:
        AssertionError: when a lane differs.

    Example:
        >>> from rxcore.ops.elementwise import add
        >>> check_batch(add, [(np.float32([1, 2]), 1), (np.float32([3, 4]), 2)])
    """
    flat = _flat(function)
    arrays = [[as_value(a) for a in lane] for lane in lanes]
    count = len(arrays[0])
    for size in range(1, count + 1):
        for chosen in combinations(range(count), size):
            for axes in _placements(arrays[0], chosen, every_axis):
                _check_lanes(flat, arrays, axes, ulps, whole)


def _placements(
    args: Sequence[Array], chosen: Sequence[int], every_axis: bool
) -> Iterable[list[int | None]]:
    ranks = [args[k].ndim + 1 for k in chosen]
    if every_axis:
        places = list(np.ndindex(*ranks))
    else:
        ways = [[0] * len(ranks), [r - 1 for r in ranks]]
        ways.append([(k + 1) % r for k, r in enumerate(ranks)])
        places = list(dict.fromkeys(map(tuple, ways)))
    for place in places:
        axes: list[int | None] = [None] * len(args)
        for k, axis in zip(chosen, place, strict=True):
            axes[k] = int(axis)
        yield axes


def _check_lanes(
    flat: Any,
    lanes: Sequence[Sequence[Array]],
    axes: list[int | None],
    ulps: float,
    whole: bool,
) -> None:
    args = [
        lanes[0][k]
        if axis is None
        else asarray(np.stack([lane[k].host for lane in lanes], axis))
        for k, axis in enumerate(axes)
    ]
    size = len(lanes)
    outs, places = vmap_flat(flat, args, axes, size)
    stacks = [
        np.asarray(place_axis(o, a, 0, size)) for o, a in zip(outs, places, strict=True)
    ]
    for i, lane in enumerate(lanes):
        one = [lanes[0][k] if axis is None else lane[k] for k, axis in enumerate(axes)]
        for stack, expected in zip(stacks, flat(*one), strict=True):
            what = f"lane {i} of {_show(one)} batched along {axes}"
            assert_close(stack[i], np.asarray(expected), ulps, what, whole)
