"""Layers that multiply by a matrix: dense, and embedding (by rows of one)."""

from __future__ import annotations

from typing import Any

from rxcore import numpy as rnp
from rxcore import random
from rxcore.base import dtypes, errors
from rxcore.nn import initializers
from rxcore.nn.initializers import Initializer
from rxcore.nn.layer import Layer
from rxcore.trace.bind import as_numeric

__all__ = ["dense", "embedding"]


def dense(
    features_in: int,
    features_out: int,
    *,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer = initializers.zeros,
    dtype: Any = None,
) -> Layer:
    """Return an affine layer on the last axis.

    **Meaning**: `x @ params["weight"] + params["bias"]`

    Args:
        features_in: length of the last axis of x.
        features_out: length of the last axis of y.
        bias: whether something is added.
        weight_init: initializer of shape (features_in, features_out); default:
            `initializers.lecun_normal()`.
        bias_init: initializer of shape (features_out,).
        dtype: dtype of the parameters; default: the default float.

    Returns:
        A `Layer` from (..., features_in) to (..., features_out); its parameters are a
        dict of "weight" and, with a bias, "bias".

    Raises:
        ShapeError: when a number of features is not positive, or in `apply` when the
            last axis of x is not features_in long.

    Example:
        >>> import rxcore as rx
        >>> layer = rx.nn.dense(3, 2)
        >>> params = layer.init(rx.random.key(0))
        >>> layer.apply(params, rx.asarray([1.0, 2.0, 3.0])).shape
        (2,)
    """
    check_sizes("nn.dense", features_in=features_in, features_out=features_out)
    first = weight_init or initializers.lecun_normal()

    def init(key: Any) -> dict[str, Any]:
        weight_key, bias_key = random.split(key)
        params = {"weight": first(weight_key, (features_in, features_out), dtype)}
        if bias:
            params["bias"] = bias_init(bias_key, (features_out,), dtype)
        return params

    def apply(params: Any, x: Any, *, key: Any = None, training: bool = False) -> Any:
        del key, training
        x = as_numeric(x, "nn.dense")
        if not x.ndim or x.shape[-1] != features_in:
            raise errors.ShapeError(
                f"nn.dense: x has shape {x.shape}; expected (..., {features_in}), the"
                " last axis being features_in"
            )
        y = rnp.matmul(x, params["weight"])
        return y + params["bias"] if bias else y

    return Layer(init, apply)


def embedding(
    count: int,
    features: int,
    *,
    weight_init: Initializer | None = None,
    dtype: Any = None,
) -> Layer:
    """Return a layer that looks up a row of a table for each integer.

    **Meaning**: `params["weight"][x]`

    Args:
        count: how many rows there are.
        features: length of a row.
        weight_init: initializer of shape (count, features); default:
            `initializers.normal(1.0)`.
        dtype: dtype of the table; default: the default float.

    Returns:
        A `Layer` from integers of any shape to (*shape, features); an integer outside
        `-count .. count - 1` gives NaN. Its parameters are a dict of "weight".

    Raises:
        ShapeError: when `count` or `features` is not positive.
        DTypeError: in `apply`, when x is not integer.

    Example:
        >>> import rxcore as rx
        >>> layer = rx.nn.embedding(10, 4)
        >>> params = layer.init(rx.random.key(0))
        >>> layer.apply(params, rx.asarray([[1, 2, 3]])).shape
        (1, 3, 4)
    """
    check_sizes("nn.embedding", count=count, features=features)
    first = weight_init or initializers.normal(1.0)

    def init(key: Any) -> dict[str, Any]:
        return {"weight": first(key, (count, features), dtype)}

    def apply(params: Any, x: Any, *, key: Any = None, training: bool = False) -> Any:
        del key, training
        x = as_numeric(x, "nn.embedding")
        if not dtypes.is_integer(x.dtype):
            raise errors.DTypeError(
                f"nn.embedding: x is {x.dtype.name} (shape {x.shape}); expected"
                " integers"
            )
        return rnp.take(params["weight"], x, axis=0)

    return Layer(init, apply)


def check_sizes(call: str, **sizes: int) -> None:
    """Refuse sizes that are not positive."""
    for name, size in sizes.items():
        if size < 1:
            raise errors.ShapeError(f"{call}: {name}={size}; expected {name} >= 1")
