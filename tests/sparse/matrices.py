"""How the tests of sparse matrices draw them."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from rxcore.sparse import CSR


@st.composite
def patterns(draw: st.DrawFn) -> tuple[tuple[int, int], Any, Any]:
    """Draw (shape, row, column) of elements in any order; places may be equal."""
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 40))
    nse = draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    row = np.sort(rng.integers(0, rows, nse)).astype(np.int32)
    return (rows, columns), row, rng.integers(0, columns, nse).astype(np.int32)


@st.composite
def matrices(draw: st.DrawFn, dtype: str = "float32") -> CSR:
    """Draw a CSR with small whole values, so that all sums are exact."""
    shape, row, column = draw(patterns())
    data = whole(draw, row.size, dtype)
    starts = np.searchsorted(row, np.arange(shape[0] + 1))
    return CSR(data, column, starts, shape)


def whole(draw: st.DrawFn, shape: Any, dtype: str = "float32") -> Any:
    """Draw small whole numbers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.integers(-4, 5, shape).astype(dtype)


def dense(a: Any) -> Any:
    """Return the dense matrix of a CSR by NumPy alone."""
    out = np.zeros(a.shape, a.dtype)
    row = np.repeat(np.arange(a.shape[0]), np.diff(np.asarray(a.indptr)))
    np.add.at(out, (row, np.asarray(a.indices)), np.asarray(a.data))
    return out
