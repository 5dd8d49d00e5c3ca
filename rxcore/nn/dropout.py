"""Dropout."""

from __future__ import annotations

from typing import Any

from rxcore import numpy as rnp
from rxcore import random
from rxcore.base import errors
from rxcore.nn.layer import Layer
from rxcore.trace.bind import as_numeric

__all__ = ["dropout"]


def dropout(rate: float) -> Layer:
    """Return a layer that sets elements to 0 at random while training.

    **Meaning**, while training; else y is x:

        kept = random.bernoulli(key, 1 - rate, x.shape)
        np.where(kept, x / (1 - rate), 0)

    Args:
        rate: the probability of 0, in [0, 1).

    Returns:
        A `Layer` without parameters; `apply` needs `key` where `training` is true.

    Raises:
        UserError: when the rate is out of range; in `apply`, when training without a
            key.

    Example:
        >>> import rxcore as rx
        >>> layer, x = rx.nn.dropout(0.5), rx.broadcast_to(1.0, (1000,))
        >>> y = layer.apply((), x, key=rx.random.key(0), training=True)
        >>> sorted(set(y.tolist()))
        [0.0, 2.0]
        >>> layer.apply((), x) is x
        True

    Paper: Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", 2014.
    """
    if not 0 <= rate < 1:
        raise errors.UserError(f"nn.dropout: rate={rate}; expected 0 <= rate < 1")

    def apply(params: Any, x: Any, *, key: Any = None, training: bool = False) -> Any:
        del params
        x = as_numeric(x, "nn.dropout")
        if not training or not rate:
            return x
        if key is None:
            raise errors.UserError(
                "nn.dropout: training=True needs randomness; pass apply(..., key=key)"
            )
        kept = random.bernoulli(key, 1 - rate, x.shape)
        return rnp.where(kept, x / (1 - rate), 0)

    return Layer(lambda _: (), apply)
