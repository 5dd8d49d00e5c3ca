"""Patterns in compressed rows: checks, transposed patterns, patterns laid together.

A pattern is (indices, indptr): elements indptr[i] to indptr[i + 1] belong to row i, and
`indices` says their columns. Elements before indptr[0] and from indptr[-1] on belong to
no row, and an index outside [0, columns) to no column: both are padding, which counts
nowhere.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
from attrs import frozen

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import REGISTRY, Native, NoRule, Primitive
from rxcore.ir.types import Type
from rxcore.ops import shape as maps
from rxcore.ops.families import number
from rxcore.ops.gather import take, take_along_axis
from rxcore.ops.iota import broadcasted_iota
from rxcore.ops.samples import Case, Samples
from rxcore.ops.search import searchsorted
from rxcore.ops.sort import argsort
from rxcore.runtime.array import Array, from_host
from rxcore_kernels.csr_transpose import plan_transpose
from rxcore_kernels.plan import run_plan

__all__ = [
    "Pattern",
    "batched",
    "check_pattern",
    "counted_elements",
    "csr_transpose_plan",
    "draw_pattern",
    "in_order",
    "laid_together",
    "lines_of",
    "row_bounds",
    "transposed",
    "valid_elements",
]

INDICES = (dtypes.int32, dtypes.int64, dtypes.uint16)
"""The dtypes that columns are named in."""


def check_pattern(call: str, indices: Type, indptr: Type) -> None:
    """Check the Types of a pattern.

    Raises:
        ShapeError: when one is not of rank 1, or `indptr` is empty.
        DTypeError: when one is not of a dtype of indices.
    """
    for name, t in (("indices", indices), ("indptr", indptr)):
        if t.ndim != 1:
            raise errors.ShapeError(
                f"{call}: expected {name} of rank 1, got shape {t.shape}"
            )
        allowed = INDICES if name == "indices" else INDICES[:2]
        if t.dtype not in allowed:
            names = ", ".join(d.name for d in allowed)
            raise errors.DTypeError(
                f"{call}: {name} must be {names}, got {t.dtype.name}; convert them with"
                " .astype('int32')"
            )
    if not indptr.shape[0]:
        raise errors.ShapeError(
            f"{call}: indptr must hold one more number than there are rows, got none"
        )


def row_bounds(indptr: Any, nnz: int) -> tuple[Any, Any]:
    """Return where rows begin and end, kept inside [0, nnz] (ndarrays)."""
    low = np.clip(indptr[:-1].astype(np.int64), 0, nnz)
    return low, np.maximum(low, np.clip(indptr[1:].astype(np.int64), 0, nnz))


def counted_elements(indices: Any, indptr: Any, columns: int) -> tuple[Any, Any]:
    """Return (row, place) of the elements that are no padding, by rows (ndarrays)."""
    low, high = row_bounds(indptr, indices.shape[0])
    length = high - low
    row = np.repeat(np.arange(length.size), length)
    shift = low - (np.cumsum(length) - length)
    place = np.arange(row.size) + np.repeat(shift, length)
    column = indices[place]
    kept = (column >= 0) & (column < columns)
    if kept.all():
        return row, place
    return row[kept], place[kept]


# the transposed pattern ---------------------------------------------------------------


def _infer(indices: Type, indptr: Type, *, columns: int) -> tuple[Type, ...]:
    check_pattern("csr_transpose_plan", indices, indptr)
    line = Type(dtypes.int32, indices.shape)
    return line, line, Type(dtypes.int32, (columns + 1,))


def _reference(indices: Any, indptr: Any, *, columns: int) -> tuple[Any, Any, Any]:
    nnz, rows = indices.shape[0], indptr.shape[0] - 1
    row, place = counted_elements(indices, indptr, columns)
    column = indices[place]
    # NumPy sorts 16-bit integers by counting.
    narrow = column.astype(np.uint16) if columns < 1 << 16 else column
    order = np.argsort(narrow, kind="stable")
    rest = np.ones(nnz, bool)
    rest[place] = False
    places = np.concatenate([place[order], np.flatnonzero(rest)])
    names = np.full(nnz, rows, np.int32)
    names[: order.size] = row[order]
    counts = np.bincount(column, minlength=columns)
    ends = np.concatenate([[0], np.cumsum(counts)])
    return places.astype(np.int32), names, ends.astype(np.int32)


def _composed(indices: Any, indptr: Any, columns: int) -> tuple[Any, Any, Any]:
    """Return the plans of patterns (count, nnz) and (count, rows + 1), by other ops."""
    count, nnz = indices.shape
    rows = indptr.shape[1] - 1
    indices = indices.astype(dtypes.int32)
    valid = valid_elements(indices, indptr, columns)
    key = REGISTRY["select"](valid, indices, number(columns, indices.dtype))
    places = argsort(key, 1)
    sorted_key = take_along_axis(key, places, 1, mode="clip")
    lane = broadcasted_iota(dtypes.int32, (count, nnz), 0)
    _, together = laid_together(indices, indptr, columns)
    row = lines_of(together, count * nnz)
    names = maps.reshape(row, (count, nnz)) - lane * number(rows, dtypes.int32)
    names = take_along_axis(names, places, 1, mode="clip")
    there = sorted_key < number(columns, indices.dtype)
    names = REGISTRY["select"](there, names, number(rows, dtypes.int32))
    keys = maps.reshape(
        sorted_key.astype(dtypes.int32) + lane * number(columns + 1, dtypes.int32),
        (count * nnz,),
    )
    wanted = broadcasted_iota(dtypes.int32, (count * (columns + 1),), 0)
    ends = maps.reshape(searchsorted(keys, wanted), (count, columns + 1))
    first = broadcasted_iota(dtypes.int32, ends.shape, 0) * number(nnz, dtypes.int32)
    return places, names, ends - first


def _plan(indices: Type, indptr: Type, *, columns: int) -> Any:
    if indptr.dtype != dtypes.int32:
        return None
    sizes = (indptr.shape[0] - 1, columns, indices.shape[0])
    return plan_transpose(indices.dtype.name, *sizes)


def _batch(args: Any, dims: Any, *, columns: int) -> Any:
    indices, indptr = batched(args, dims)
    return _composed(indices, indptr, columns), (0, 0, 0)


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for rows, columns, nnz in ((3, 4, 5), (1, 1, 0), (4, 3, 9), (2, 5, 7)):
        indices, indptr = draw_pattern(rng, rows, columns, nnz)
        yield (indices.astype(dtype), indptr), {"columns": columns}


def draw_pattern(
    rng: np.random.Generator, rows: int, columns: int, nnz: int
) -> tuple[Any, Any]:
    """Draw a pattern with some padding; its columns come in any order."""
    indices = rng.integers(0, columns + 1, nnz).astype(np.int32)
    indptr = np.sort(rng.integers(0, nnz + 1, rows + 1)).astype(np.int32)
    indptr[0] = 0
    return indices, indptr


csr_transpose_plan: Primitive = Primitive(
    name="csr_transpose_plan",
    family="sparse",
    infer=_infer,
    lower=Native(_plan),
    reference=_reference,
    jvp=NoRule("places are integers and have no derivative"),
    transpose=NoRule("places are integers and have no derivative"),
    batch=_batch,
    samples=Samples((dtypes.int32, dtypes.int64), _cases, 0),
    multiple=True,
    document="Find the order, the rows and the bounds of a pattern's columns.",
)


@frozen
class Pattern:
    """The places of the elements of a sparse matrix in another order, with a pattern.

    Args:
        places: where each element comes from, int32.
        indices: its new index.
        indptr: where its new rows begin.
    """

    places: Any
    indices: Any
    indptr: Any


_plans: dict[tuple[int, int, int], tuple[Any, Any, Pattern]] = {}


def transposed(indices: Any, indptr: Any, columns: int) -> Pattern:
    """Return the transposed pattern; that of concrete arrays is computed once.

    Arrays never change, so a plan holds for as long as its arrays live.
    """
    if not (isinstance(indices, Array) and isinstance(indptr, Array)):
        return Pattern(*csr_transpose_plan.bind(indices, indptr, columns=columns))
    key = (id(indices), id(indptr), columns)
    found = _plans.get(key)
    if found is not None and found[0]() is indices and found[1]() is indptr:
        return found[2]
    plan = _plan(indices.type, indptr.type, columns=columns)
    if plan is None:
        outs: Any = _reference(indices.host, indptr.host, columns=columns)
    else:
        nnz = indices.shape[0]
        outs = [np.empty(n, np.int32) for n in (nnz, nnz, columns + 1)]
        run_plan(plan, [indices.host, indptr.host], outs)
    made = Pattern(*(from_host(o, Type(o.dtype, o.shape)) for o in outs))

    def forget(_: Any) -> None:
        _plans.pop(key, None)

    _plans[key] = (weakref.ref(indices, forget), weakref.ref(indptr, forget), made)
    return made


# patterns laid together ---------------------------------------------------------------


def batched(args: Any, dims: Any) -> list[Any]:
    """Return operands with the mapped axis in front; what has none is repeated."""
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    return [
        maps.broadcast(a, (size, *a.shape), tuple(range(1, a.ndim + 1)))
        if d is None
        else maps.move_axis(a, d, 0)
        for a, d in zip(args, dims, strict=True)
    ]


def valid_elements(indices: Any, indptr: Any, columns: int) -> Any:
    """Say which elements of patterns (count, nnz), (count, rows + 1) are no padding."""
    count, nnz = indices.shape
    place = broadcasted_iota(dtypes.int32, (count, nnz), 1)
    first, last = indptr[:, :1], indptr[:, -1:]
    inside = (place >= first) & (place < last)
    named = (indices >= number(0, indices.dtype)) & (
        indices < number(columns, indices.dtype)
    )
    return inside & named


def laid_together(indices: Any, indptr: Any, columns: int) -> tuple[Any, Any]:
    """Return the pattern of the block-diagonal matrix of several.

    Args:
        indices: of shape (count, nnz).
        indptr: of shape (count, rows + 1).
        columns: of each matrix.

    Returns:
        (indices, indptr) of (count * nnz,) and (count * rows + 1,), int32; padding gets
        the index count * columns.
    """
    count, nnz = indices.shape
    rows = indptr.shape[1] - 1
    indices = indices.astype(dtypes.int32)
    valid = valid_elements(indices, indptr, columns)
    lane = broadcasted_iota(dtypes.int32, (count, nnz), 0)
    moved = indices + lane * number(columns, dtypes.int32)
    beyond = number(count * columns, dtypes.int32)
    flat = maps.reshape(REGISTRY["select"](valid, moved, beyond), (count * nnz,))
    if not rows:
        return flat, maps.broadcast(number(0, dtypes.int32), (1,), ())
    lane = broadcasted_iota(dtypes.int32, (count, rows), 0)
    ends = indptr[:, 1:].astype(dtypes.int32) + lane * number(nnz, dtypes.int32)
    whole = (lane + number(1, dtypes.int32)) * number(nnz, dtypes.int32)
    at_end = broadcasted_iota(dtypes.int32, (count, rows), 1) >= number(
        rows - 1, dtypes.int32
    )
    ends = maps.reshape(REGISTRY["select"](at_end, whole, ends), (count * rows,))
    zero = maps.broadcast(number(0, dtypes.int32), (1,), ())
    return flat, REGISTRY["concatenate"].bind(zero, ends, axis=0)


def lines_of(indptr: Any, nnz: int) -> Any:
    """Return the row of each of `nnz` elements; behind the last row, their number."""
    places = broadcasted_iota(dtypes.int32, (nnz,), 0)
    return searchsorted(indptr[1:], places, "right")


def in_order(values: Any, places: Any) -> Any:
    """Return values of elements in the order of a plan."""
    return take(values, places, 0, mode="clip")
