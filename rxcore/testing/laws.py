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
from rxcore.ir.primitive import Primitive
from rxcore.ir.types import Type
from rxcore.runtime.array import Array, as_value, asarray
from rxcore.testing.closeness import assert_close, ulps_between
from rxcore.testing.derivatives import (
    check_jvp,
    check_no_derivative,
    check_second_order,
    check_tangent_types,
    check_transpose,
)
from rxcore.testing.functions import Function, flat_results, show_types
from rxcore.testing.lowering import run_lowering
from rxcore.trace.capture import capture
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
    "check_tangent_types",
    "check_transpose",
    "check_types",
    "ulps_between",
]

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
    flat = flat_results(function)
    values = [as_value(a) for a in args]
    ran = [np.asarray(o) for o in flat(*values)]
    graph = capture(flat, [v.type for v in values]).graph
    said = [(t.dtype, t.shape) for t in graph.out_types]
    found = [(r.dtype, r.shape) for r in ran]
    assert said == found, (
        f"types of {show_types(args)}: captured {said}, running gives {found}"
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
        what = f"{primitive} of {show_types(arrays)} with {params}: lowering"
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
        assert_close(
            f, rounded, ulps, f"{primitive} of {show_types(arrays)} with {params}"
        )


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
    flat = flat_results(function)
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
            what = f"lane {i} of {show_types(one)} batched along {axes}"
            assert_close(stack[i], np.asarray(expected), ulps, what, whole)
