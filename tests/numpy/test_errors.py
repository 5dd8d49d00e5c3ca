"""What the face says of wrong input."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp

X = np.zeros((2, 3), np.float32)

WRONG: tuple[tuple[Callable[[], Any], type[Exception], str], ...] = (
    (lambda: rnp.sum(X, 2), rx.ShapeError, "sum: axis 2 is out of range"),
    (lambda: rnp.sum(X, (0, -2)), rx.ShapeError, "name one axis twice"),
    (lambda: rnp.max(X[:0]), rx.ShapeError, "max: no element along axes"),
    (lambda: rnp.max(X, where=X == 0), rx.UserError, "where= needs initial="),
    (lambda: rnp.median(X[:0]), rx.ShapeError, "median: no element"),
    (lambda: rnp.reshape(X, (4, -1)), rx.ShapeError, "cannot fill"),
    (lambda: rnp.add(X, np.zeros(2)), rx.ShapeError, "do not broadcast together"),
    (lambda: rnp.bitwise_and(X, 1), rx.DTypeError, "and: dtype float32"),
    (lambda: rnp.stack([X, X[0]]), rx.ShapeError, "stack: shapes .* must be equal"),
    (lambda: rnp.stack([]), rx.ShapeError, "stack: expected at least one array"),
    (lambda: rnp.concatenate([X, X[0]]), rx.ShapeError, "must agree on every axis"),
    (lambda: rnp.split(X, 2, 1), rx.ShapeError, "no 2 equal parts"),
    (lambda: rnp.array_split(X, 0), rx.ShapeError, "one part or more"),
    (lambda: rnp.zeros((2, -1)), rx.ShapeError, "zeros: shape .* negative sizes"),
    (lambda: rnp.zeros(2.5), rx.ShapeError, "zeros: a shape is an int"),
    (lambda: rx.jit(rnp.zeros)(2), rx.TraceError, "number of a traced value"),
    (lambda: rnp.full((2,), X), rx.ShapeError, "does not broadcast to"),
    (lambda: rnp.arange(0, 3, 0), rx.ShapeError, "the step must not be 0"),
    (lambda: rnp.arange(X), rx.ShapeError, "limits must be numbers"),
    (lambda: rnp.pad(X, -1), rx.ShapeError, "must not be negative"),
    (lambda: rnp.pad(X, ((1, 2, 3),)), rx.ShapeError, "do not fit shape"),
    (lambda: rnp.pad(X, 1, "magic"), rx.UserError, "mode 'magic' is not one of"),
    (lambda: rnp.pad(X[:0], 1, "edge"), rx.ShapeError, "cannot extend axis 0"),
    (lambda: rnp.moveaxis(X, (0, 1), 0), rx.ShapeError, "must name as many"),
    (lambda: rnp.squeeze(X, 0), rx.ShapeError, "has length 2, not 1"),
    (lambda: rnp.roll(X, (1, 2, 3), (0, 1)), rx.ShapeError, "3 shifts given for 2"),
    (lambda: rnp.repeat(X, [1, 2], 1), rx.ShapeError, "for each of the 3"),
    (lambda: rnp.repeat(X[0], [1, -2, 1]), rx.ShapeError, "negative"),
    (lambda: rnp.diag(X[None]), rx.ShapeError, "expected rank 1 or 2"),
    (lambda: rnp.tril(X[0]), rx.ShapeError, "expected rank 2 or more"),
    (lambda: rnp.matmul(X, X), rx.ShapeError, "do not fit"),
    (lambda: rnp.vecdot(X, X[:, :2]), rx.ShapeError, "lengths 3 and 2"),
    (lambda: rnp.where(X, X), rx.UserError, "give both x and y"),
    (lambda: rnp.meshgrid(X), rx.ShapeError, "arrays of rank 1"),
    (lambda: rnp.meshgrid(X[0], indexing="no"), rx.UserError, "'xy' or 'ij'"),
    (lambda: rnp.take(X, [0.5]), rx.DTypeError, "indices must be integers"),
    (lambda: rnp.searchsorted(X, 1.0), rx.ShapeError, "sorted array of rank 1"),
    (lambda: rnp.searchsorted(X[0], 1.0, "up"), rx.UserError, "'left' or 'right'"),
    (lambda: rnp.bincount([-1]), rx.ShapeError, "must not be negative"),
    (lambda: rnp.bincount(X), rx.DTypeError, "indices must be integers"),
    (lambda: rnp.nonzero(3), rx.ShapeError, "expected rank 1 or more"),
    (lambda: rnp.asarray([[1], [2, 3]]), rx.ShapeError, "ragged"),
    (lambda: rnp.asarray("text"), rx.DTypeError, "expected numbers, got str"),
    (lambda: rnp.asarray(1, "float80"), rx.DTypeError, "is not supported"),
    (lambda: rnp.result_type(), rx.UserError, "at least one operand"),
    (lambda: rx.jit(rnp.nonzero)(X), rx.TraceError, "nonzero: the shape of the result"),
    (lambda: rx.jit(rnp.unique)(X), rx.TraceError, "unique: the shape of the result"),
    (lambda: rx.jit(rnp.arange)(3), rx.TraceError, "static argument"),
    (
        lambda: rx.jit(rnp.bincount)(np.int32([1])),
        rx.TraceError,
        "bincount: .* give length=",
    ),
    (
        lambda: rx.jit(lambda x: rnp.array([[x, x], [x]]))(1.0),
        rx.ShapeError,
        "array: the nested lists are ragged|asarray: the nested lists are ragged",
    ),
)


@pytest.mark.parametrize(("call", "kind", "text"), WRONG, ids=[w[2] for w in WRONG])
def test_wrong_input_is_told(call: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        call()
