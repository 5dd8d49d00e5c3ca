"""From dense matrices to their elements, and back."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.ops.csr_pattern import counted_elements
from rxcore.runtime.array import Array, asarray
from rxcore.trace.device_put import device_put

__all__ = [
    "dense_elements",
    "line_of_each",
    "near",
    "picked",
    "places_of",
    "scattered",
]


def dense_elements(x: Any, nse: int | None, call: str) -> tuple[Any, Any, Any]:
    """Return (values, row, column) of the elements that are not zero, by rows.

    Where there are fewer than `nse`, the rest is padding: row and column are the
    matrix's shape.

    Raises:
        ShapeError: when `x` is no matrix, or `nse` no number of elements.
        TraceError: when `x` is traced and `nse` is missing.
    """
    x = rnp.asarray(x)
    if x.ndim != 2:
        raise errors.ShapeError(f"{call}: expected a matrix, got shape {x.shape}")
    if nse is None:
        if not isinstance(x, Array):
            raise errors.TraceError(
                f"{call}: how many elements are not zero is not known while tracing;"
                " pass nse="
            )
        row, column = np.nonzero(x.host)
        row, column = row.astype(np.int32), column.astype(np.int32)
        return asarray(x.host[row, column]), asarray(row), asarray(column)
    if isinstance(nse, bool) or not isinstance(nse, numbers.Integral) or nse < 0:
        raise errors.ShapeError(
            f"{call}: nse must be a number of elements, 0 or more, got {nse!r}"
        )
    rows, columns = x.shape
    flat = x.reshape(-1)
    # Places of elements come before those of zeros, each in order.
    order = rnp.argsort(rnp.where(flat != 0, 0, 1))[:nse]
    if order.shape[0] < nse:
        order = rnp.pad(order, (0, nse - order.shape[0]), constant_values=flat.shape[0])
    values = rnp.take(flat, order, mode="fill", fill_value=0)
    there = values != 0
    row = rnp.where(there, order // max(columns, 1), rows).astype(dtypes.int32)
    column = rnp.where(there, order % max(columns, 1), columns).astype(dtypes.int32)
    return values, row, column


def scattered(data: Any, row: Any, column: Any, shape: tuple[int, int]) -> Any:
    """Return the dense matrix; elements at equal places add up."""
    zeros = rnp.zeros(shape, data.dtype)
    return zeros.at[near(row, data), near(column, data)].add(data, mode="drop")


def near(places: Any, like: Any) -> Any:
    """Return places where an array is: eager ops want both on one device.

    A pattern that is part of the structure stays on the host when values move.
    """
    if not (isinstance(places, Array) and isinstance(like, Array)):
        return places
    return places if places.home is like.home else device_put(places, like.device)


def picked(x: Any, places: Any) -> Any:
    """Return the elements of an array at places that exist, in their order."""
    return rnp.take(x, near(places, x), 0, mode="clip")


def places_of(indices: Any, indptr: Any, others: int) -> tuple[Any, Any]:
    """Return (line, place) of the elements that are no padding (ndarrays)."""
    return counted_elements(indices, indptr, others)


def line_of_each(indptr: Any, nse: int) -> Any:
    """Return the line of each element, int32; that of what lies behind is their number.

    Args:
        indptr: where the lines begin.
        nse: how many elements there are.
    """
    if isinstance(indptr, Array):
        host = indptr.host
        lines = np.full(nse, host.size - 1, np.int32)
        known = np.repeat(np.arange(host.size - 1, dtype=np.int32), np.diff(host))
        lines[host[0] : host[0] + known.size] = known
        return asarray(lines)
    places = rnp.arange(nse, dtype=dtypes.int32)
    return rnp.searchsorted(indptr[1:], places, side="right")
