"""Checks of sparse matrices: of shapes always, of indices where they are concrete."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from rxcore.base import errors
from rxcore.runtime.array import Array
from rxcore.sparse.held import Fixed

__all__ = [
    "check_compressed",
    "check_dense",
    "check_index",
    "check_lengths",
    "check_room",
    "check_scipy",
    "check_shape",
    "is_increasing",
]


def check_shape(call: str, shape: Any) -> tuple[int, int]:
    """Return the shape of a matrix as a pair of ints.

    Raises:
        ShapeError: when it is none.
    """
    try:
        rows, columns = (operator.index(n) for n in shape)
    except (TypeError, ValueError):
        rows = columns = -1
    if min(rows, columns) < 0:
        raise errors.ShapeError(
            f"{call}: shape must be a pair of sizes (rows, columns), got {shape!r}"
        )
    return rows, columns


def check_lengths(call: str, data: Any, rank: int, **indices: Any) -> None:
    """Check that values and indices are equally many.

    Raises:
        ShapeError: when they are not, or are of another rank.
    """
    shapes = {name: np.shape(x) for name, x in indices.items()}
    for name, shape in shapes.items():
        if len(shape) != 1:
            raise errors.ShapeError(
                f"{call}: {name} must be of rank 1, got shape {shape}"
            )
    found = np.shape(data)
    if len(found) != rank:
        raise errors.ShapeError(
            f"{call}: data must be of rank {rank}, got shape {found}"
        )
    for name, shape in shapes.items():
        if shape[0] != found[0]:
            raise errors.ShapeError(
                f"{call}: data of shape {found} and {name} of shape {shape} must be"
                " equally long"
            )


def check_dense(call: str, x: Any) -> None:
    """Check that an operand is no sparse matrix.

    Raises:
        TreeError: when it is one.
    """
    if hasattr(x, "indptr") or hasattr(x, "to_dense") or hasattr(x, "tocsr"):
        raise errors.TreeError(
            f"{call}: expected a dense operand, got {type(x).__name__}; products of two"
            " sparse matrices need one of them dense: .to_dense()"
        )


def check_scipy(call: str, a: Any) -> None:
    """Check that something is a SciPy matrix.

    Raises:
        TreeError: when it is none.
    """
    if not hasattr(a, "tocsr") or not hasattr(a, "tocoo"):
        raise errors.TreeError(
            f"{call}: expected a sparse matrix of SciPy, got {type(a).__name__}; a"
            " dense one goes through from_dense"
        )


def check_room(nse: int | None, stored: int, what: str) -> tuple[int, int]:
    """Return how much a padded pattern holds, and how much of it is padding.

    Raises:
        ShapeError: when it is too small.
    """
    nse = stored if nse is None else operator.index(nse)
    if nse < stored:
        raise errors.ShapeError(
            f"padded: nse={nse} is less than the {stored} stored {what}"
        )
    return nse, nse - stored


def check_index(call: str, name: str, index: Any, size: int) -> None:
    """Check that concrete indices are inside [0, size).

    Raises:
        OutOfRangeError: when one is not, with the first such.
    """
    if not isinstance(index, Fixed | Array):
        return
    host = (index.array if isinstance(index, Fixed) else index).host
    if host.size and (host.min() < 0 or host.max() >= size):
        place = int(np.flatnonzero((host < 0) | (host >= size))[0])
        raise errors.OutOfRangeError(
            f"{call}: {name}[{place}] is {host[place]}, expected 0 <= index < {size};"
            " to pad a pattern use .padded(nse)"
        )


def check_compressed(call: str, indptr: Any, lines: int, nse: int) -> None:
    """Check where lines begin, if that is concrete.

    Raises:
        ShapeError: when there are not lines + 1 numbers.
        UserError: when they decrease, or do not go from 0 to `nse`.
    """
    shape = np.shape(indptr.array if isinstance(indptr, Fixed) else indptr)
    if shape != (lines + 1,):
        raise errors.ShapeError(
            f"{call}: indptr of shape {shape} does not fit a matrix with {lines} lines:"
            f" expected ({lines + 1},)"
        )
    if not isinstance(indptr, Fixed):
        return
    host = indptr.array.host
    steps = np.diff(host)
    if (steps < 0).any():
        place = int(np.flatnonzero(steps < 0)[0])
        raise errors.UserError(
            f"{call}: indptr must not decrease, but indptr[{place}] is {host[place]}"
            f" and indptr[{place + 1}] is {host[place + 1]}"
        )
    if host[0] != 0 or host[-1] != nse:
        raise errors.UserError(
            f"{call}: indptr must go from 0 to the number of elements, {nse}; it goes"
            f" from {host[0]} to {host[-1]}"
        )


def is_increasing(indices: Any, indptr: Any) -> bool:
    """Say whether the indices of each line increase strictly (ndarrays)."""
    if indices.size < 2:
        return True
    rises = np.diff(indices.astype(np.int64)) > 0
    starts = indptr[1:-1]
    # A new line may begin anywhere.
    rises[starts[(starts > 0) & (starts < indices.size)] - 1] = True
    return bool(rises.all())
