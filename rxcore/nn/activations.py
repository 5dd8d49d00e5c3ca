"""Activation functions, and encodings of classes."""

from __future__ import annotations

import math
from typing import Any

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.ops.convert import convert
from rxcore.ops.iota import broadcasted_iota
from rxcore.ops.logsumexp import logsumexp
from rxcore.ops.mathematics import logistic
from rxcore.ops.shape import normalize_axis
from rxcore.ops.special import erfc
from rxcore.ops.stop import stop_gradient
from rxcore.trace.bind import as_numeric

__all__ = [
    "elu",
    "gelu",
    "leaky_relu",
    "log_softmax",
    "one_hot",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]


def relu(x: Any) -> Any:
    """Return the positive part; its derivative at 0 is 0.

    **Meaning**: `np.maximum(x, 0)`

    Args:
        x: array of real numbers.

    Returns:
        Array of the shape and dtype of `x`.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.relu(rx.asarray([-1.0, 2.0]))
        Array([0., 2.], dtype=float32)

    Paper: Nair and Hinton, "Rectified linear units improve restricted Boltzmann
    machines", 2010.
    """
    x = _real(x, "nn.relu")
    # A NaN is not <= 0: it stays.
    return rnp.where(x <= 0, 0, x)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """Return `x` where it is positive, a small multiple of it elsewhere.

    **Meaning**: `np.where(x >= 0, x, negative_slope * x)`

    Args:
        x: array of real numbers; integers are converted to floating first.
        negative_slope: the multiple.

    Returns:
        Array of the shape of `x`.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.leaky_relu(rx.asarray([-1.0, 2.0]))
        Array([-0.01,  2.  ], dtype=float32)

    Paper: Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network
    acoustic models", 2013.
    """
    x = _inexact(x, "nn.leaky_relu")
    return rnp.where(x >= 0, x, negative_slope * x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """Return `x` where it is positive, a saturating exponential elsewhere.

    **Meaning**: `np.where(x > 0, x, alpha * np.expm1(x))`

    Args:
        x: array of real numbers; integers are converted to floating first.
        alpha: minus the value approached at minus infinity.

    Returns:
        Array of the shape of `x`.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.elu(rx.asarray([0.0, 2.0]))
        Array([0., 2.], dtype=float32)

    Paper: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning
    by exponential linear units", 2016.
    """
    x = _inexact(x, "nn.elu")
    # The branch not taken must not overflow: 0 times its derivative would be NaN.
    return rnp.where(x > 0, x, alpha * rnp.expm1(rnp.where(x > 0, 0, x)))


def gelu(x: Any, approximate: bool = True) -> Any:
    """Return `x` times the probability that a standard normal number is below it.

    **Meaning**:

        approximate: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        else:        0.5 * x * erfc(-x / np.sqrt(2))

    Args:
        x: array of real numbers; integers are converted to floating first.
        approximate: whether to use the form with tanh (error below 5e-4).

    Returns:
        Array of the shape of `x`.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.gelu(rx.asarray([0.0, 100.0]))
        Array([  0., 100.], dtype=float32)

    Paper: Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    """
    x = _inexact(x, "nn.gelu")
    if approximate:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))
        return x * (0.5 * (1 + rnp.tanh(inner)))
    return 0.5 * x * erfc(x * -math.sqrt(0.5))


def silu(x: Any) -> Any:
    """Return `x * sigmoid(x)`, also called swish.

    **Meaning**: `x / (1 + np.exp(-x))`

    Args:
        x: array of real numbers; integers are converted to floating first.

    Returns:
        Array of the shape of `x`.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.silu(rx.asarray([0.0, 100.0]))
        Array([  0., 100.], dtype=float32)

    Paper: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network
    function approximation in reinforcement learning", 2018.
    """
    x = _inexact(x, "nn.silu")
    return x * logistic(x)


def sigmoid(x: Any) -> Any:
    """Return the logistic function.

    **Meaning**: `1 / (1 + np.exp(-x))`

    Args:
        x: array of real numbers; integers are converted to floating first.

    Returns:
        Array of the shape of `x`.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.sigmoid(rx.asarray([0.0, 100.0]))
        Array([0.5, 1. ], dtype=float32)
    """
    return logistic(_inexact(x, "nn.sigmoid"))


def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent.

    **Meaning**: `np.tanh(x)`

    Args:
        x: array of real numbers; integers are converted to floating first.

    Returns:
        Array of the shape of `x`.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.tanh(rx.asarray([0.0, 100.0]))
        Array([0., 1.], dtype=float32)
    """
    return rnp.tanh(_inexact(x, "nn.tanh"))


def softplus(x: Any) -> Any:
    """Return the logarithm of 1 + e**x, without overflow.

    **Meaning**: `np.logaddexp(x, 0)`

    Args:
        x: array of real numbers; integers are converted to floating first.

    Returns:
        Array of the shape of `x`.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.softplus(rx.asarray([0.0, 100.0]))
        Array([  0.6931472, 100.       ], dtype=float32)

    Paper: Dugas et al., "Incorporating second-order functional knowledge for better
    option pricing", 2001.
    """
    return rnp.logaddexp(_inexact(x, "nn.softplus"), 0.0)


def softmax(x: Any, axis: int = -1) -> Any:
    """Return positive numbers that add up to 1 along an axis.

    **Meaning**: `e = np.exp(x - x.max(axis, keepdims=True));
    e / e.sum(axis, keepdims=True)`

    Args:
        x: array of real numbers; integers are converted to floating first.
        axis: the axis along which they add up to 1.

    Returns:
        Array of the shape of `x`.

    Raises:
        ShapeError: when there is no such axis.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.softmax(rx.asarray([1.0, 1.0, -1000.0]))
        Array([0.5, 0.5, 0. ], dtype=float32)
    """
    x = _inexact(x, "nn.softmax")
    axis = normalize_axis(axis, x.ndim, "nn.softmax")
    # The shift does not change the result: no derivative flows through it.
    powers = rnp.exp(x - stop_gradient(rnp.max(x, axis, keepdims=True)))
    return powers / rnp.sum(powers, axis, keepdims=True)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """Return the logarithm of `softmax`, without loss of digits.

    **Meaning**: `x - np.log(np.exp(x).sum(axis, keepdims=True))`

    Args:
        x: array of real numbers; integers are converted to floating first.
        axis: the axis along which the exponentials add up to 1.

    Returns:
        Array of the shape of `x`.

    Raises:
        ShapeError: when there is no such axis.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.log_softmax(rx.asarray([1.0, 1.0]))
        Array([-0.6931472, -0.6931472], dtype=float32)
    """
    x = _inexact(x, "nn.log_softmax")
    axis = normalize_axis(axis, x.ndim, "nn.log_softmax")
    return x - logsumexp(x, axis, keepdims=True)


def one_hot(x: Any, num_classes: int, *, dtype: Any = None, axis: int = -1) -> Any:
    """Encode classes: 1 in the place of the class, else 0.

    **Meaning**: `np.eye(num_classes, dtype=dtype)[x]` for the last axis; a class that
    does not exist (below 0 too) gives zeros.

    Args:
        x: integers of any shape.
        num_classes: the length of the new axis.
        dtype: the result's dtype; default: the default float.
        axis: where the new axis goes in the result.

    Returns:
        Array of one axis more than `x`.

    Raises:
        DTypeError: when `x` is not integer.
        ShapeError: when there is no such axis.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.one_hot(rx.asarray([0, 2]), 3)
        Array([[1., 0., 0.],
               [0., 0., 1.]], dtype=float32)
    """
    x = as_numeric(x, "nn.one_hot")
    if not dtypes.is_integer(x.dtype):
        raise errors.DTypeError(
            f"nn.one_hot: classes are {x.dtype.name} (shape {x.shape}); expected"
            " integers"
        )
    kind = dtypes.default_float() if dtype is None else dtypes.as_dtype(dtype)
    return convert(is_class(x, num_classes, axis, "nn.one_hot"), kind)


def is_class(x: Any, count: int, axis: int, call: str) -> Any:
    """Say for each class along a new axis whether it is the one that `x` names."""
    axis = normalize_axis(axis, x.ndim + 1, call)
    shape = [*x.shape[:axis], count, *x.shape[axis:]]
    return broadcasted_iota(dtypes.int32, shape, axis) == rnp.expand_dims(x, axis)


def _real(x: Any, call: str) -> Any:
    x = as_numeric(x, call)
    if dtypes.is_complex(x.dtype):
        raise errors.DTypeError(
            f"{call}: dtype {x.dtype.name} (shape {x.shape}); expected real numbers"
        )
    return x


def _inexact(x: Any, call: str) -> Any:
    x = _real(x, call)
    return x if dtypes.is_inexact(x.dtype) else convert(x, dtypes.to_inexact(x.dtype))
