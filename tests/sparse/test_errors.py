"""What sparse matrices refuse, and how they say so."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore import sparse
from rxcore.sparse import BSR, COO, CSC, CSR

A = CSR([1.0, 2.0, 3.0], [0, 2, 1], [0, 2, 3], (2, 3))
UNSORTED = CSR([1.0, 2.0], [1, 0], [0, 2], (1, 2))
BLOCK = np.ones((1, 16, 16), np.float32)

WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "decreasing": (
        lambda: CSR([1.0, 2.0], [1, 1], [0, 2, 1, 2], (3, 3)),
        rx.UserError,
        "CSR: indptr must not decrease, but indptr[1] is 2 and indptr[2] is 1",
    ),
    "start": (
        lambda: CSR([1.0], [0], [1, 1], (1, 3)),
        rx.UserError,
        "CSR: indptr must go from 0 to the number of elements, 1; it goes from 1 to 1",
    ),
    "end": (
        lambda: CSC([1.0, 2.0], [0, 0], [0, 1], (3, 1)),
        rx.UserError,
        "CSC: indptr must go from 0 to the number of elements, 2; it goes from 0 to 1",
    ),
    "large": (
        lambda: CSR([1.0], [3], [0, 1], (1, 3)),
        IndexError,
        "CSR: indices[0] is 3, expected 0 <= index < 3; to pad a pattern use"
        " .padded(nse)",
    ),
    "negative": (
        lambda: COO([1.0, 1.0], [0, -1], [0, 0], (2, 2)),
        IndexError,
        "COO: row[1] is -1, expected 0 <= index < 2; to pad a pattern use .padded(nse)",
    ),
    "lengths": (
        lambda: CSR([1.0, 2.0], [1], [0, 2], (1, 3)),
        rx.ShapeError,
        "CSR: data of shape (2,) and indices of shape (1,) must be equally long",
    ),
    "rows": (
        lambda: CSR([1.0], [1], [0, 1], (3, 3)),
        rx.ShapeError,
        "CSR: indptr of shape (2,) does not fit a matrix with 3 lines: expected (4,)",
    ),
    "shape": (
        lambda: CSR([1.0], [1], [0, 1], (3,)),
        rx.ShapeError,
        "CSR: shape must be a pair of sizes (rows, columns), got (3,)",
    ),
    "floats": (
        lambda: CSR([1.0], [0.5], [0, 1], (1, 3)),
        rx.DTypeError,
        "sparse: indices must be integers, got float64",
    ),
    "floats of an array": (
        lambda: CSR([1.0], rnp.asarray([0.5]), [0, 1], (1, 3)),
        rx.DTypeError,
        "sparse: indices must be integers, got float32",
    ),
    "tuples": (
        lambda: CSR((1.0, 2.0), (0, 7), (0, 1, 2), (2, 2)),
        IndexError,
        "CSR: indices[1] is 7, expected 0 <= index < 2; to pad a pattern use"
        " .padded(nse)",
    ),
    "shape of floats": (
        lambda: CSR([1.0], [0], [0, 1], (1.5, 3)),  # type: ignore[arg-type]
        rx.ShapeError,
        "CSR: shape must be a pair of sizes (rows, columns), got (1.5, 3)",
    ),
    "negative room": (
        lambda: CSR.from_dense(rnp.ones((2, 2)), nse=-1),
        rx.ShapeError,
        "CSR.from_dense: nse must be a number of elements, 0 or more, got -1",
    ),
    "room for elements": (
        lambda: sparse.to_coo(A).padded(2),
        rx.ShapeError,
        "padded: nse=2 is less than the 3 stored elements",
    ),
    "room for blocks": (
        lambda: sparse.to_bsr(A, 16).padded(0),
        rx.ShapeError,
        "padded: nse=0 is less than the 1 stored blocks",
    ),
    "values of a list": (
        lambda: sparse.to_coo(A).with_data(rnp.ones(2)),
        rx.ShapeError,
        "with_data: expected values of shape (3,), got (2,)",
    ),
    "no scipy": (
        lambda: CSC.from_scipy(np.ones((2, 2))),
        rx.TreeError,
        "CSC.from_scipy: expected a sparse matrix of SciPy, got ndarray; a dense one"
        " goes through from_dense",
    ),
    "sparse operand": (
        lambda: A.T @ A,
        rx.TreeError,
        "CSC @ x: expected a dense operand, got CSR; products of two sparse matrices"
        " need one of them dense: .to_dense()",
    ),
    "from the left": (
        lambda: np.ones(3) @ A,
        rx.ShapeError,
        "x @ CSR: an operand of shape (3,) does not fit a matrix of shape (2, 3):"
        " expected (2,) or (n, 2)",
    ),
    "dense summand": (
        lambda: A + rnp.ones((2, 3)),
        rx.TreeError,
        "CSR + B: expected two CSR, got Array; make one with sparse.CSR.from_dense, or"
        " add to .to_dense()",
    ),
    "traced pattern": (
        lambda: rx.jit(lambda a: a.fixed().data)(sparse.to_coo(A).padded()),
        rx.TraceError,
        "fixed: the pattern is traced; call it outside of jit, on concrete arrays",
    ),
    "wide": (
        lambda: CSR([1.0], [2**40], [0, 1], (1, 3)),
        rx.DTypeError,
        f"sparse: indices must fit int32, got numbers up to {2**40}",
    ),
    "blocks": (
        lambda: BSR(np.ones((1, 8, 8)), [0], [0, 1], (8, 8)),
        rx.ShapeError,
        "BSR: blocks must be 16, 32 or 64 wide, got 8",
    ),
    "square": (
        lambda: BSR(np.ones((1, 16, 32)), [0], [0, 1], (16, 32)),
        rx.ShapeError,
        "BSR: blocks must be square, got data of shape (1, 16, 32)",
    ),
    "block rows": (
        lambda: BSR(BLOCK, [2], [0, 1], (16, 17)),
        IndexError,
        "BSR: indices[0] is 2, expected 0 <= index < 2; to pad a pattern use"
        " .padded(nse)",
    ),
    "operand": (
        lambda: A @ rnp.ones(2),
        rx.ShapeError,
        "CSR @ x: a matrix of shape (2, 3) does not fit an operand of shape (2,):"
        " expected (3,) or (3, n)",
    ),
    "no matrix": (
        lambda: rx.csr_matmul(rnp.ones((2, 2)), rnp.ones(2)),
        rx.TreeError,
        "csr_matmul: expected a CSR, CSC, COO or BSR, got Array; make one with"
        " sparse.CSR.from_dense",
    ),
    "sampled": (
        lambda: sparse.sddmm(rnp.ones((2, 4)), rnp.ones((2, 4)), A),
        rx.ShapeError,
        "sddmm: operands of shapes (2, 4) and (2, 4) do not fit a pattern of shape"
        " (2, 3): expected (2, k) and (3, k)",
    ),
    "unsorted": (
        lambda: UNSORTED + CSR([1.0], [0], [0, 1], (1, 2)),
        rx.UserError,
        f"CSR + B: the indices of {UNSORTED!r} must increase in each line; call"
        " sparse.canonical on it first",
    ),
    "other shape": (
        lambda: A + A.transpose(),
        rx.ShapeError,
        "CSR + B: shapes (2, 3) and (3, 2) differ",
    ),
    "other format": (
        lambda: A + A.T.T.by_other_axis(CSC),
        rx.UserError,
        "CSR + B: expected two CSR, got CSC; convert one with sparse.to_csr",
    ),
    "values": (
        lambda: A.with_data(rnp.ones(2)),
        rx.ShapeError,
        "with_data: expected values of shape (3,), got (2,)",
    ),
    "room": (
        lambda: A.padded(2),
        rx.ShapeError,
        "padded: nse=2 is less than the 3 stored elements",
    ),
    "traced": (
        lambda: rx.jit(lambda x: CSR.from_dense(x).data)(rnp.ones((2, 2))),
        rx.TraceError,
        "CSR.from_dense: how many elements are not zero is not known while tracing;"
        " pass nse=",
    ),
    "traced blocks": (
        lambda: rx.jit(lambda a: sparse.to_bsr(a).data)(A.padded()),
        rx.TraceError,
        "to_bsr: how many elements or blocks there are depends on the pattern, which is"
        " traced; convert outside of jit, or use a fixed pattern",
    ),
    "part of a block": (
        lambda: BSR.from_dense(rnp.ones((17, 16))).to_scipy(),
        rx.ShapeError,
        "BSR.to_scipy: SciPy needs whole blocks, but shape (17, 16) is no multiple of"
        " 32; convert it with sparse.to_csr first",
    ),
    "factors": (
        lambda: sparse.scale_rows(A, rnp.ones(3)),
        rx.ShapeError,
        "scale_rows: a matrix of shape (2, 3) needs factors of shape (2,), got (3,)",
    ),
    "factor": (
        lambda: A * rnp.ones(3),
        rx.ShapeError,
        "CSR * s: expected a number, got shape (3,); see sparse.scale_rows and"
        " sparse.scale_columns",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_message(name: str) -> None:
    call, kind, text = WRONG[name]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).splitlines()[0] == text
