"""The sum of two sparse matrices in one compressed format."""

from __future__ import annotations

from typing import Any

import numpy as np

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.ops.families import promote
from rxcore.runtime.array import asarray
from rxcore.sparse.dense import line_of_each, near, picked
from rxcore.sparse.held import fix

__all__ = ["added"]


def added(a: Any, b: Any, call: str) -> Any:
    """Return the sum of two matrices of one format and shape.

    Raises:
        TreeError: when `b` is no sparse matrix.
        ShapeError: when the shapes differ.
        UserError: when the formats differ, or a fixed pattern is not canonical.
    """
    if not hasattr(b, "to_dense"):
        raise errors.TreeError(
            f"{call}: expected two {type(a).__name__}, got {type(b).__name__}; make one"
            f" with sparse.{type(a).__name__}.from_dense, or add to .to_dense()"
        )
    if type(a) is not type(b):
        raise errors.UserError(
            f"{call}: expected two {type(a).__name__}, got {type(b).__name__}; convert"
            f" one with sparse.to_{type(a).__name__.lower()}"
        )
    if a.shape != b.shape:
        raise errors.ShapeError(f"{call}: shapes {a.shape} and {b.shape} differ")
    x, y = promote([a.data, b.data], call=call)
    a, b = a.with_data(x), b.with_data(y)
    if a.is_fixed and b.is_fixed:
        return _fixed_sum(a, b, call)
    return _padded_sum(a, b)


def _fixed_sum(a: Any, b: Any, call: str) -> Any:
    if a.has_pattern_of(b):
        return a.with_data(a.data + b.data)
    for m in (a, b):
        if not m.is_canonical:
            raise errors.UserError(
                f"{call}: the indices of {m!r} must increase in each line; call"
                " sparse.canonical on it first"
            )
    lines, others = a.indptr.shape[0] - 1, a.other_size
    keys = [
        line_of_each(m.indptr, m.nse).host.astype(np.int64) * max(others, 1)
        + m.indices.host
        for m in (a, b)
    ]
    every = np.union1d(*keys)
    total: Any = None
    for m, key in zip((a, b), keys, strict=True):
        # Where an element of the sum stands in the operand; behind its end: nowhere.
        place = np.searchsorted(key, every)
        there = place < key.size
        there[there] = key[place[there]] == every[there]
        source = asarray(np.where(there, place, key.size).astype(np.int32))
        part = rnp.take(m.data, near(source, m.data), 0, mode="fill", fill_value=0)
        total = part if total is None else total + part
    starts = np.searchsorted(every, np.arange(lines + 1) * max(others, 1))
    names = (every % max(others, 1)).astype(np.int32)
    return a.remade(total, fix(names), fix(starts.astype(np.int32)))


def _padded_sum(a: Any, b: Any) -> Any:
    """Return all elements of both, by lines; equal places are kept apart."""
    lines = a.indptr.shape[0] - 1
    line = rnp.concatenate([line_of_each(m.indptr, m.nse) for m in (a, b)])
    order = rnp.argsort(line)
    data = picked(rnp.concatenate([a.data, b.data]), order)
    names = rnp.concatenate([a.indices, near(b.indices, a.indices)])
    names = picked(names, order)
    counted = rnp.arange(lines + 1, dtype=dtypes.int32)
    starts = rnp.searchsorted(picked(line, order), counted)
    return a.remade(data, names, starts)
