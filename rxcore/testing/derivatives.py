"""Laws of derivatives: differences, inner products, types, second order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.runtime.array import as_value, asarray
from rxcore.testing.closeness import spacing
from rxcore.testing.functions import Function, flat_results, show_types
from rxcore.trace.capture import apply
from rxcore.transforms.jvp import jvp_flat
from rxcore.transforms.linearize import linearize_flat
from rxcore.transforms.transpose import transpose_graph

__all__ = [
    "check_jvp",
    "check_no_derivative",
    "check_second_order",
    "check_tangent_types",
    "check_transpose",
]

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
    flat = flat_results(function)
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
            f"jvp at {show_types(args)}: tangent {found.dtype}{list(found.shape)} of a"
            f" result {out.type}"
        )
        fine = np.isfinite(e)
        limit = tolerance * (1 + np.abs(e)) + 1e-10 * np.abs(np.asarray(out))
        error = np.abs(found - e)
        assert np.all((error <= limit)[fine]), (
            f"jvp at {show_types(args)}:\n{found}\n  differences give\n{e}\n  at {wide}"
        )


def check_tangent_types(
    function: Function, args: Sequence[Any], *, seed: int = 0
) -> None:
    """Check that tangents have their results' Types, cotangents their arguments'.

    Here nothing is widened: a rule must not leave the dtype of a half.

    Args:
        function: of arrays.
        args: its arguments.
        seed: where directions come from.

    Raises:
        AssertionError: when a dtype or shape differs.
    """
    flat = flat_results(function)
    values = [asarray(a) for a in args]
    rng = np.random.default_rng(seed)
    moves = [_direction(rng, np.asarray(v)) for v in values]
    wanted = [t is not None for t in moves]
    if not any(wanted):
        return
    moving = [asarray(t) for t in moves if t is not None]
    linear = linearize_flat(flat, values, wanted)
    outs = [o for o, m in zip(linear.outputs, linear.moving, strict=True) if m]
    residuals = list(linear.residuals)
    dots = apply(linear.graph, [*moving, *residuals])
    flags = [True] * len(moving) + [False] * len(residuals)
    backs = transpose_graph(linear.graph, flags, residuals, dots)
    pairs = [*zip(dots, outs, strict=True), *zip(backs, moving, strict=True)]
    for found, like in pairs:
        if found is not None:
            assert (found.dtype, found.shape) == (like.dtype, like.shape), (
                f"a derivative at {show_types(args)} is {found.type},"
                f" its value {like.type}"
            )


def check_no_derivative(function: Function, args: Sequence[Any]) -> None:
    """Check that no derivative flows through a function, though its value moves."""
    wide = [asarray(a) for a in _widened(args)]
    rng = np.random.default_rng(0)
    directions = [_direction(rng, np.asarray(a)) for a in wide]
    moved = [None if t is None else asarray(t) for t in directions]
    _, dots = jvp_flat(flat_results(function), wide, moved)
    assert all(d is None for d in dots), f"a derivative at {show_types(args)}: {dots}"


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
    flat = flat_results(function)
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
        f"transpose at {show_types(args)}: <ct, J t> = {left}, <J^T ct, t> = {right}\n"
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
    return float(spacing(np.float64(1.0), dtypes.real_part(dtype)))


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
    flat = flat_results(function)
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
