"""Hypothesis strategies for what functions take: dtypes, shapes, arrays, trees.

They shrink towards float32, rank 0 and zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rxcore.base import dtypes as kinds
from rxcore.base.dtypes import DType
from rxcore.ops.samples import draw as drawn
from rxcore.runtime.array import Array, asarray

__all__ = ["arrays", "dtypes", "pytrees", "shapes"]

_ORDER = (
    kinds.float32,
    kinds.int32,
    kinds.float64,
    kinds.bool_,
    kinds.int64,
    kinds.uint8,
    kinds.bfloat16,
    kinds.float16,
    kinds.int8,
    kinds.uint32,
    kinds.int16,
    kinds.uint16,
    kinds.uint64,
)


def dtypes(
    *,
    bools: bool = True,
    integers: bool = True,
    floats: bool = True,
    complex: bool = False,
) -> st.SearchStrategy[DType]:
    """Draw a dtype that rxcore computes with.

    Args:
        bools: whether bool may come.
        integers: whether integers may come.
        floats: whether real floating dtypes may come.
        complex: whether complex dtypes may come.

    Example:
        >>> from hypothesis import find
        >>> find(dtypes(), lambda d: True)
        dtype('float32')
    """
    chosen = [
        d
        for d in (*_ORDER, *kinds.COMPLEX)
        if (bools and kinds.is_bool(d))
        or (integers and kinds.is_integer(d))
        or (floats and kinds.is_float(d))
        or (complex and kinds.is_complex(d))
    ]
    return st.sampled_from(chosen)


def shapes(
    *, max_rank: int = 3, sizes: Sequence[int] = (3, 1, 4, 2, 5, 0)
) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw a shape; axes of length 0 and 1 come often enough to matter.

    Args:
        max_rank: the largest number of axes.
        sizes: the lengths to draw from.

    Example:
        >>> from hypothesis import find
        >>> find(shapes(), lambda s: len(s) == 2)
        (3, 3)
    """
    return st.lists(st.sampled_from(list(sizes)), max_size=max_rank).map(tuple)


@st.composite
def arrays(
    draw: st.DrawFn,
    dtype: DType | st.SearchStrategy[DType] | None = None,
    shape: tuple[int, ...] | st.SearchStrategy[tuple[int, ...]] | None = None,
    *,
    low: float = -4,
    high: float = 4,
    whole: bool = False,
) -> Array:
    """Draw an Array.

    Args:
        draw: given by Hypothesis.
        dtype: a dtype or a strategy; default: `dtypes()`.
        shape: a shape or a strategy; default: `shapes()`.
        low: the least value.
        high: the largest value.
        whole: whether floats are whole numbers, whose sums are exact in any order.

    Example:
        >>> from hypothesis import find
        >>> find(arrays(kinds.int8, (2,)), lambda x: x.size == 2).type
        i8[2]
    """
    chosen = dtypes() if dtype is None else dtype
    kind = draw(chosen) if isinstance(chosen, st.SearchStrategy) else chosen
    wanted = shapes() if shape is None else shape
    size = draw(wanted) if isinstance(wanted, st.SearchStrategy) else wanted
    seed = draw(st.integers(0, 1 << 16))
    host = drawn(np.random.default_rng(seed), kind, size, low, high)
    if whole and kinds.is_inexact(kind):
        host = np.rint(host.astype(np.float64)).astype(kind)
    return asarray(np.asarray(host, kind))


def pytrees(
    leaves: st.SearchStrategy[Any] | None = None, *, max_leaves: int = 6
) -> st.SearchStrategy[Any]:
    """Draw a pytree: tuples, lists and dicts in each other, None too.

    Args:
        leaves: a strategy of leaves; default: `arrays()`.
        max_leaves: about how many leaves there are at most.

    Example:
        >>> from hypothesis import find
        >>> find(pytrees(st.just(1)), lambda t: isinstance(t, dict) and t)
        {'a': None}
    """
    leaf = st.none() | (arrays() if leaves is None else leaves)
    keys = st.sampled_from(["a", "b", "c"])

    def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(inner, max_size=3)
        return several | several.map(tuple) | st.dictionaries(keys, inner, max_size=3)

    return st.recursive(leaf, extend, max_leaves=max_leaves)
