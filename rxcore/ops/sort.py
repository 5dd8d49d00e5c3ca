"""Stable sorting, of several arrays at once, in NumPy's order (NaN last)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.base.lazy import LazyModule
from rxcore.ir.graph import Graph
from rxcore.ir.primitive import Expand, Native, NoRule, Opaque, Primitive
from rxcore.ir.types import Type
from rxcore.ops import shape as maps
from rxcore.ops.gather import take_along_axis
from rxcore.ops.iota import broadcasted_iota
from rxcore.ops.samples import Case, Samples, draw
from rxcore.trace.bind import as_numeric
from rxcore.trace.capture import capture

if TYPE_CHECKING:
    from rxcore_kernels.opencl_facts import Facts

__all__ = ["argsort", "sort"]

# Loaded when a program first needs them.
sort_kernel = LazyModule("rxcore_kernels.sort")
sort_opencl = LazyModule("rxcore_kernels.sort_opencl")


def _infer(*types: Type, axis: int, keys: int) -> tuple[Type, ...]:
    first = types[0]
    if any(t.shape != first.shape for t in types):
        shown = ", ".join(str(t.shape) for t in types)
        raise errors.ShapeError(f"sort: arrays must have one shape, got {shown}")
    if not 1 <= keys <= len(types):
        raise errors.ShapeError(
            f"sort: num_keys={keys} of {len(types)} arrays; use 1 to {len(types)}"
        )
    if not 0 <= axis < first.ndim:
        raise errors.ShapeError(f"sort: no axis {axis} in shape {first.shape}")
    return tuple(t.strong() for t in types)


def sortable(x: Any) -> Any:
    """Return a key in a dtype that NumPy sorts, in the same order."""
    return x.astype(np.float32) if x.dtype in dtypes.HALVES else x


def _reference(*arrays: Any, axis: int, keys: int) -> tuple[Any, ...]:
    given = [sortable(a) for a in arrays[:keys]]
    if len(arrays) == 1:
        return (np.sort(given[0], axis, kind="stable").astype(arrays[0].dtype),)
    if keys == 1:
        order = np.argsort(given[0], axis, kind="stable")
    else:
        order = np.lexsort(given[::-1], axis)
    return tuple(np.take_along_axis(a, order, axis) for a in arrays)


def _jvp(primals: Any, tangents: Any, *, axis: int, keys: int) -> Any:
    if all(t is None for t in tangents):
        return _sort.bind(*primals, axis=axis, keys=keys), (None,) * len(primals)
    # The order itself is sorted along: tangents follow it.
    counted = broadcasted_iota(dtypes.int32, primals[0].shape, axis)
    *outs, order = _sort.bind(*primals, counted, axis=axis, keys=keys)
    dots = tuple(
        None if t is None else take_along_axis(t, order, axis, mode="clip")
        for t in tangents
    )
    return tuple(outs), dots


def _batch(args: Any, dims: Any, *, axis: int, keys: int) -> Any:
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    full = [
        maps.broadcast(a, (size, *a.shape), tuple(range(1, a.ndim + 1)))
        if d is None
        else maps.move_axis(a, d, 0)
        for a, d in zip(args, dims, strict=True)
    ]
    outs = _sort.bind(*full, axis=axis + 1, keys=keys)
    return outs, (0,) * len(args)


# What sorting is made of when it is compiled: rows, one key at a time ----------------


def _rows(x: Type) -> tuple[int, int]:
    n = x.shape[-1]
    return x.size // max(n, 1), n


def _values_plan(x: Type) -> Any:
    return sort_kernel.plan_sort(x.dtype.name, *_rows(x))


def _order_plan(x: Type) -> Any:
    return sort_kernel.plan_argsort(x.dtype.name, *_rows(x), with_values=True)


def _values_launches(facts: Facts, x: Type) -> Any:
    return sort_opencl.launch_sort(facts, x.dtype.name, *_rows(x))


def _order_launches(facts: Facts, x: Type) -> Any:
    name = x.dtype.name
    return sort_opencl.launch_argsort(facts, name, *_rows(x), with_values=True)


_INSIDE = NoRule("it exists only inside the compiler; `sort` has the rule")


def _part(
    name: str, infer: Any, lower: Any, reference: Any, document: str
) -> Primitive:
    return Primitive(
        name=name,
        family="compiler",
        infer=infer,
        lower=lower,
        reference=reference,
        jvp=_INSIDE,
        transpose=_INSIDE,
        batch=_INSIDE,
        samples=_INSIDE,
        multiple=True,
        document=document,
    )


_sort_values = _part(
    "sort_values",
    lambda x: (x.strong(),),
    Native(_values_plan, launches=_values_launches),
    lambda x: _reference(x, axis=x.ndim - 1, keys=1),
    "Sort the rows of one array.",
)


def _order_reference(x: Any) -> tuple[Any, Any]:
    order = np.argsort(sortable(x), -1, kind="stable")
    return np.take_along_axis(x, order, -1), order.astype(np.int32)


_sort_order = _part(
    "sort_order",
    lambda x: (x.strong(), Type(dtypes.int32, x.shape)),
    Native(_order_plan, launches=_order_launches),
    _order_reference,
    "Sort the rows of one array; give the order too.",
)
_sort_host = _part(
    "sort_host",
    _infer,
    Opaque("complex numbers, or an axis of 2**31 and more, are sorted by NumPy"),
    _reference,
    "Sort on the host.",
)


def _expand(*types: Type, axis: int, keys: int) -> Graph:
    held = any(dtypes.is_complex(t.dtype) for t in types)
    if held or types[0].shape[axis] >= 1 << 31:

        def whole(*xs: Any) -> Any:
            return _sort_host.bind(*xs, axis=axis, keys=keys)

        return capture(whole, types).graph
    last = types[0].ndim - 1

    def run(*xs: Any) -> list[Any]:
        outs = _sort_rows([maps.move_axis(x, axis, last) for x in xs], keys)
        return [maps.move_axis(x, last, axis) for x in outs]

    return capture(run, types).graph


def _sort_rows(xs: list[Any], keys: int) -> list[Any]:
    """Sort by the last key first: each pass is stable, so the first key decides."""
    if len(xs) == 1:
        return list(_sort_values.bind(xs[0]))

    def along(x: Any, order: Any) -> Any:
        return take_along_axis(x, order, x.ndim - 1, mode="clip")

    key, order = _sort_order.bind(xs[keys - 1])
    for k in range(keys - 2, -1, -1):
        key, step = _sort_order.bind(along(xs[k], order))
        order = along(order, step)
    return [key if k == 0 else along(x, order) for k, x in enumerate(xs)]


_SHAPES: tuple[tuple[tuple[int, ...], int], ...] = (
    ((7,), 0),
    ((3, 5), 0),
    ((3, 5), 1),
    ((2, 4, 3), 1),
    ((0,), 0),
    ((1,), 0),
    ((40,), 0),
)


def distinct(
    rng: np.random.Generator, dtype: DType, shape: tuple[int, ...], axis: int
) -> Any:
    """Draw floats without ties along an axis; other dtypes have some."""
    if not dtypes.is_inexact(dtype):
        return draw(rng, dtype, shape)
    steps = np.arange(int(np.prod(shape))).reshape(shape) * 0.25 - 3
    return rng.permuted(steps, axis=axis).astype(dtype)


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for shape, axis in _SHAPES:
        x = distinct(rng, dtype, shape, axis)
        yield (x,), {"axis": axis, "keys": 1}
        yield (x, draw(rng, dtype, shape)), {"axis": axis, "keys": 1}
        first = rng.integers(0, 3, shape).astype(np.int32)
        yield (first, x, draw(rng, dtype, shape)), {"axis": axis, "keys": 2}


_sort: Primitive = Primitive(
    name="sort",
    family="sort",
    infer=_infer,
    lower=Expand(_expand),
    reference=_reference,
    jvp=_jvp,
    transpose=NoRule("sort is not linear; its derivative is a gather"),
    batch=_batch,
    samples=Samples(dtypes.ALL, _cases, 0),
    multiple=True,
    document="Sort arrays along an axis by the first ones.",
)


def sort(
    operand: Any,
    axis: int | None = -1,
    *,
    num_keys: int = 1,
    descending: bool = False,
) -> Any:
    """Sort along an axis, in a stable order with NaN last.

    **Meaning**: `np.sort(operand, axis, kind="stable")`; for several arrays::

        order = np.lexsort(operand[:num_keys][::-1], axis)
        tuple(np.take_along_axis(a, order, axis) for a in operand)

    Args:
        operand: array, or a list or tuple of arrays of one shape that are rearranged
            together.
        axis: the axis along which to sort; None flattens first.
        num_keys: how many of the arrays decide the order, the first one foremost.
        descending: reverse the order; equal elements keep theirs.

    Returns:
        Array, or a tuple of arrays.

    Raises:
        ShapeError: when shapes differ, or the axis does not exist.

    Example:
        >>> import rxcore as rx
        >>> rx.sort(rx.asarray([3.0, 1.0, 2.0]))
        Array([1., 2., 3.], dtype=float32)
    """
    several = isinstance(operand, tuple | list) and bool(
        [x for x in operand if hasattr(x, "shape")]
    )
    arrays = [as_numeric(x, "sort") for x in (operand if several else (operand,))]
    if axis is None:
        arrays, axis = [maps.reshape(x, (x.size,)) for x in arrays], 0
    along = maps.normalize_axis(axis, arrays[0].ndim, "sort")
    outs = _sorted(arrays, along, num_keys, descending)
    return tuple(outs) if several else outs[0]


def _sorted(arrays: Sequence[Any], axis: int, keys: int, descending: bool) -> list[Any]:
    """Sort; to descend, a reversed array is sorted and reversed again: stable."""
    given = [maps.reverse(x, axis) for x in arrays] if descending else arrays
    outs = _sort.bind(*given, axis=axis, keys=keys)
    return [maps.reverse(x, axis) for x in outs] if descending else list(outs)


def argsort(x: Any, axis: int | None = -1, *, descending: bool = False) -> Any:
    """Return the indices that sort an array, in a stable order with NaN last.

    **Meaning**: `np.argsort(x, axis, kind="stable")`

    Args:
        x: array.
        axis: the axis along which to sort; None flattens first.
        descending: reverse the order; equal elements keep theirs.

    Returns:
        int32 array of the shape of `x`.

    Raises:
        ShapeError: when the axis does not exist.

    Example:
        >>> import rxcore as rx
        >>> rx.argsort(rx.asarray([3.0, 1.0, 2.0]))
        Array([1, 2, 0], dtype=int32)
    """
    x = as_numeric(x, "argsort")
    if axis is None:
        x, axis = maps.reshape(x, (x.size,)), 0
    along = maps.normalize_axis(axis, x.ndim, "argsort")
    counted = broadcasted_iota(dtypes.int32, x.shape, along)
    return _sorted([x, counted], along, 1, descending)[1]
