"""Losses: how far predictions are from targets."""

from __future__ import annotations

from typing import Any

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.nn.activations import is_class
from rxcore.ops.convert import convert
from rxcore.ops.logsumexp import logsumexp
from rxcore.ops.shape import normalize_axis
from rxcore.trace.bind import as_numeric

__all__ = [
    "huber",
    "mae",
    "mse",
    "sigmoid_binary_cross_entropy",
    "softmax_cross_entropy",
]


def softmax_cross_entropy(
    logits: Any, labels: Any, *, axis: int = -1, reduction: str = "mean"
) -> Any:
    """Return the cross entropy between labels and the softmax of logits.

    **Meaning**, for integer labels, the classes along the last axis:

        log_p = log_softmax(logits)
        -np.mean(np.take_along_axis(log_p, labels[..., None], -1))

    for probabilities: `-np.mean(np.sum(labels * log_p, -1))`.

    Args:
        logits: floating array with one number per class along `axis`.
        labels: integers, of the shape of `logits` without that axis (a class that does
            not exist gives NaN); or probabilities, of the shape of `logits`.
        axis: the axis of the classes.
        reduction: "mean", "sum", or "none" to keep one loss per example.

    Returns:
        Array of shape (), or with "none" of the shape of `logits` without `axis`.

    Raises:
        ShapeError: when the shapes do not fit.
        DTypeError: when logits are not real floating.
        UserError: when the reduction is unknown.

    Example:
        >>> import rxcore as rx
        >>> logits = rx.asarray([[0.0, 0.0], [100.0, 0.0]])
        >>> rx.nn.softmax_cross_entropy(logits, rx.asarray([1, 0]))
        Array(0.3465736, dtype=float32)

    Source: Bridle, "Probabilistic interpretation of feedforward classification network
    outputs", 1990.
    """
    call = "nn.softmax_cross_entropy"
    logits, labels = _floating(logits, call, "logits"), as_numeric(labels, call)
    axis = normalize_axis(axis, logits.ndim, call)
    if labels.shape == logits.shape and not dtypes.is_integer(labels.dtype):
        shifted = logits - logsumexp(logits, axis, keepdims=True)
        # A class that is out of the question (-inf) costs nothing without a share.
        terms = rnp.where(labels == 0, 0, labels * shifted)
        return _reduce(-rnp.sum(terms, axis), reduction, call)
    expected = logits.shape[:axis] + logits.shape[axis + 1 :]
    if labels.shape != expected or not dtypes.is_integer(labels.dtype):
        raise errors.ShapeError(
            f"{call}: logits have shape {logits.shape}, labels {labels.shape}"
            f" ({labels.dtype.name}); expected integers of shape {expected}, or"
            f" floating probabilities of shape {logits.shape}"
        )
    # A sum over one term: its derivative needs no scatter.
    hit = is_class(labels, logits.shape[axis], axis, call)
    chosen = rnp.sum(rnp.where(hit, logits, 0), axis)
    known = (labels >= 0) & (labels < logits.shape[axis])
    loss = rnp.where(known, logsumexp(logits, axis) - chosen, float("nan"))
    return _reduce(loss, reduction, call)


def sigmoid_binary_cross_entropy(
    logits: Any, labels: Any, *, reduction: str = "mean"
) -> Any:
    """Return the cross entropy between labels and the sigmoid of logits.

    **Meaning**: `np.mean(-labels * log(p) - (1 - labels) * log(1 - p))`, with
    `p = sigmoid(logits)`, without overflow

    Args:
        logits: floating array.
        labels: 0, 1 (integers, bools or floats) or probabilities, of the shape of
            `logits`.
        reduction: "mean", "sum", or "none" to keep one loss per element.

    Returns:
        Array of shape (), or with "none" of the shape of `logits`.

    Raises:
        ShapeError: when the shapes differ.
        DTypeError: when logits are not real floating.
        UserError: when the reduction is unknown.

    Example:
        >>> import rxcore as rx
        >>> logits = rx.asarray([0.0, 1000.0])
        >>> rx.nn.sigmoid_binary_cross_entropy(logits, rx.asarray([1, 1]))
        Array(0.3465736, dtype=float32)
    """
    call = "nn.sigmoid_binary_cross_entropy"
    logits, labels = _floating(logits, call, "logits"), as_numeric(labels, call)
    _check_shapes(logits, labels, call, "logits", "labels")
    if not dtypes.is_inexact(labels.dtype):
        labels = convert(labels, logits.dtype)
    loss = rnp.logaddexp(logits, 0.0) - labels * logits
    return _reduce(loss, reduction, call)


def mse(predictions: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """Return the mean squared error.

    **Meaning**: `np.mean((predictions - targets)**2)`

    Args:
        predictions: floating array.
        targets: array of the same shape.
        reduction: "mean", "sum", or "none" to keep one loss per element.

    Returns:
        Array of shape (), or with "none" of the shape of `predictions`.

    Raises:
        ShapeError: when the shapes differ.
        DTypeError: when predictions are not real floating.
        UserError: when the reduction is unknown.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.mse(rx.asarray([1.0, 3.0]), rx.asarray([1.0, 1.0]))
        Array(2., dtype=float32)
    """
    error = _difference(predictions, targets, "nn.mse")
    return _reduce(rnp.square(error), reduction, "nn.mse")


def mae(predictions: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """Return the mean absolute error.

    **Meaning**: `np.mean(np.abs(predictions - targets))`

    Args:
        predictions: floating array.
        targets: array of the same shape.
        reduction: "mean", "sum", or "none" to keep one loss per element.

    Returns:
        Array of shape (), or with "none" of the shape of `predictions`.

    Raises:
        ShapeError: when the shapes differ.
        DTypeError: when predictions are not real floating.
        UserError: when the reduction is unknown.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.mae(rx.asarray([1.0, 3.0]), rx.asarray([1.0, 1.0]))
        Array(1., dtype=float32)
    """
    error = _difference(predictions, targets, "nn.mae")
    return _reduce(rnp.abs(error), reduction, "nn.mae")


def huber(
    predictions: Any, targets: Any, delta: float = 1.0, *, reduction: str = "mean"
) -> Any:
    """Return half the squared error where it is small, a linear one elsewhere.

    **Meaning**:

        a = np.abs(predictions - targets)
        np.mean(np.where(a <= delta, 0.5 * a**2, delta * (a - 0.5 * delta)))

    Args:
        predictions: floating array.
        targets: array of the same shape.
        delta: where the linear part begins; positive.
        reduction: "mean", "sum", or "none" to keep one loss per element.

    Returns:
        Array of shape (), or with "none" of the shape of `predictions`.

    Raises:
        ShapeError: when the shapes differ.
        DTypeError: when predictions are not real floating.
        UserError: when `delta` is not positive or the reduction is unknown.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.huber(
        ...     rx.asarray([0.5, 3.0]), rx.asarray([0.0, 0.0]), reduction="none"
        ... )
        Array([0.125, 2.5  ], dtype=float32)

    Paper: Huber, "Robust estimation of a location parameter", 1964.
    """
    if isinstance(delta, int | float) and not delta > 0:
        raise errors.UserError(f"nn.huber: delta={delta}; expected delta > 0")
    size = rnp.abs(_difference(predictions, targets, "nn.huber"))
    # Without a branch: the part up to delta counts squared, the rest as it is.
    near = rnp.minimum(size, delta)
    return _reduce(near * (size - 0.5 * near), reduction, "nn.huber")


def _difference(predictions: Any, targets: Any, call: str) -> Any:
    predictions = _floating(predictions, call, "predictions")
    targets = as_numeric(targets, call)
    _check_shapes(predictions, targets, call, "predictions", "targets")
    return predictions - targets


def _floating(x: Any, call: str, name: str) -> Any:
    x = as_numeric(x, call)
    if not dtypes.is_float(x.dtype):
        raise errors.DTypeError(
            f"{call}: {name} are {x.dtype.name} (shape {x.shape}); expected a real"
            " floating dtype: convert them with .astype(...)"
        )
    return x


def _check_shapes(x: Any, y: Any, call: str, first: str, second: str) -> None:
    # Broadcasting (n,) against (n, 1) gives n * n differences, and never on purpose.
    if x.shape != y.shape:
        raise errors.ShapeError(
            f"{call}: {first} have shape {x.shape}, {second} {y.shape}; expected equal"
            " shapes: use reshape or broadcast_to"
        )


def _reduce(loss: Any, reduction: str, call: str) -> Any:
    if reduction == "none":
        return loss
    if reduction == "sum":
        return rnp.sum(loss)
    if reduction == "mean":
        return rnp.mean(loss)
    raise errors.UserError(
        f"{call}: reduction={reduction!r}; expected 'mean', 'sum' or 'none'"
    )
