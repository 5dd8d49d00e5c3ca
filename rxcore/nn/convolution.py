"""The convolution layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rxcore import numpy as rnp
from rxcore import random
from rxcore.base import errors
from rxcore.nn import initializers
from rxcore.nn.initializers import Initializer
from rxcore.nn.layer import Layer
from rxcore.nn.linear import check_sizes
from rxcore.ops.convolve import conv as _conv
from rxcore.trace.bind import as_numeric

__all__ = ["conv"]


def conv(
    channels_in: int,
    channels_out: int,
    window: Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: Any = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    transposed: bool = False,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer = initializers.zeros,
    dtype: Any = None,
) -> Layer:
    """Return a convolution layer over one to three space axes.

    **Meaning**: `rx.conv(x, params["weight"], ...) + params["bias"]` per channel

    Args:
        channels_in: channels of x.
        channels_out: channels of y.
        window: lengths of the weights' window, one per space axis.
        stride: distance between windows, per axis or for all.
        padding: "SAME", "VALID", an int, or pairs, as `rx.conv` takes it.
        dilation: distance between the elements of a window.
        groups: parts into which the channels fall, each convolved by itself.
        transposed: whether to apply the transposed convolution.
        bias: whether a number per channel is added.
        weight_init: initializer, called with shape (*window, channels_in / groups,
            channels_out), so that its default axes give the fans right; default:
            `initializers.lecun_normal()`.
        bias_init: initializer of shape (channels_out,).
        dtype: dtype of the parameters; default: the default float.

    Returns:
        A `Layer` from (batch, channels_in, space...) to (batch, channels_out,
        space...). Its parameters are a dict of "weight", of shape (channels_out,
        channels_in / groups, *window), and, with a bias, "bias".

    Raises:
        ShapeError: when sizes are not positive or groups do not divide the channels; in
            `apply`, when x has another rank or number of channels.

    Example:
        >>> import rxcore as rx
        >>> layer = rx.nn.conv(1, 8, (3, 3), stride=2)
        >>> params = layer.init(rx.random.key(0))
        >>> layer.apply(params, rx.broadcast_to(1.0, (4, 1, 10, 10))).shape
        (4, 8, 5, 5)

    Paper: LeCun et al., "Gradient-based learning applied to document recognition",
    1998.
    """
    check_sizes("nn.conv", channels_in=channels_in, channels_out=channels_out)
    check_sizes(
        "nn.conv", groups=groups, **{f"window[{k}]": n for k, n in enumerate(window)}
    )
    rank = len(window)
    if not 1 <= rank <= 3:
        raise errors.ShapeError(
            f"nn.conv: window {tuple(window)} has {rank} axes; expected 1, 2 or 3"
        )
    if channels_in % groups or channels_out % groups:
        raise errors.ShapeError(
            f"nn.conv: groups={groups} does not divide channels_in={channels_in} and"
            f" channels_out={channels_out}"
        )
    first = weight_init or initializers.lecun_normal()

    def init(key: Any) -> dict[str, Any]:
        weight_key, bias_key = random.split(key)
        shape = (*window, channels_in // groups, channels_out)
        drawn = first(weight_key, shape, dtype)
        params = {"weight": rnp.transpose(drawn, (rank + 1, rank, *range(rank)))}
        if bias:
            params["bias"] = bias_init(bias_key, (channels_out,), dtype)
        return params

    def apply(params: Any, x: Any, *, key: Any = None, training: bool = False) -> Any:
        del key, training
        x = as_numeric(x, "nn.conv")
        if x.ndim != rank + 2 or x.shape[1] != channels_in:
            space = ", ".join(["space"] * rank)
            raise errors.ShapeError(
                f"nn.conv: x has shape {x.shape}; expected (batch, {channels_in},"
                f" {space}), the second axis being channels_in"
            )
        y = _conv(
            x,
            params["weight"],
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            transposed=transposed,
        )
        if not bias:
            return y
        return y + rnp.reshape(params["bias"], (channels_out, *[1] * rank))

    return Layer(init, apply)
