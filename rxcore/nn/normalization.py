"""Normalization layers: over features, groups of channels, or the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.nn import initializers
from rxcore.nn.layer import Layer, StatefulLayer
from rxcore.nn.linear import check_sizes
from rxcore.ops.convert import convert
from rxcore.ops.mathematics import rsqrt
from rxcore.trace.bind import as_numeric

__all__ = ["batch_norm", "group_norm", "layer_norm"]


def layer_norm(
    features: int | Sequence[int],
    *,
    epsilon: float = 1e-5,
    scale: bool = True,
    bias: bool = True,
    dtype: Any = None,
) -> Layer:
    """Return a layer that normalizes each example over its last axes.

    **Meaning**, for one axis:

        centred = x - x.mean(-1, keepdims=True)
        y = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
        y * params["scale"] + params["bias"]

    Args:
        features: length of the last axis, or lengths of the last axes.
        epsilon: added to the variance.
        scale: whether to multiply by learned numbers (ones at first).
        bias: whether to add learned numbers (zeros at first).
        dtype: dtype of the parameters; default: the default float.

    Returns:
        A `Layer` that keeps shape and dtype; halves are normalized in float32.

    Raises:
        ShapeError: in `apply`, when x does not end in `features`.
        DTypeError: in `apply`, when x is not real floating.

    Example:
        >>> import rxcore as rx
        >>> layer = rx.nn.layer_norm(2)
        >>> params = layer.init(rx.random.key(0))
        >>> layer.apply(params, rx.asarray([[100.0, 300.0]]))
        Array([[-1.,  1.]], dtype=float32)

    Paper: Ba, Kiros and Hinton, "Layer normalization", 2016.
    """
    shape = (features,) if isinstance(features, int) else tuple(features)
    check_sizes("nn.layer_norm", **{f"features[{k}]": n for k, n in enumerate(shape)})

    def apply(params: Any, x: Any, *, key: Any = None, training: bool = False) -> Any:
        del key, training
        x = _floating(x, "nn.layer_norm")
        if not shape or x.shape[-len(shape) :] != shape:
            raise errors.ShapeError(
                f"nn.layer_norm: x has shape {x.shape}; its last axes must be {shape}"
            )
        axes = tuple(range(x.ndim - len(shape), x.ndim))
        wide = _wide(x)
        mean, variance = _moments(wide, axes)
        y = (wide - mean) * rsqrt(variance + epsilon)
        return convert(_affine(params, y, shape), x.dtype)

    return Layer(_learned(shape, scale, bias, dtype), apply)


def group_norm(
    groups: int,
    channels: int,
    *,
    epsilon: float = 1e-5,
    scale: bool = True,
    bias: bool = True,
    dtype: Any = None,
) -> Layer:
    """Return a layer that normalizes each example over groups of its channels.

    **Meaning**:

        g = x.reshape(batch, groups, -1)
        g = g - g.mean(-1, keepdims=True)
        g = g / np.sqrt((g**2).mean(-1, keepdims=True) + epsilon)
        g.reshape(x.shape) * params["scale"] + params["bias"]     # per channel

    Args:
        groups: how many groups the channels fall into; 1 joins all, `channels` none.
        channels: length of the second axis of x.
        epsilon: added to the variance.
        scale: whether to multiply by learned numbers (ones at first).
        bias: whether to add learned numbers (zeros at first).
        dtype: dtype of the parameters; default: the default float.

    Returns:
        A `Layer` on (batch, channels, space...) that keeps shape and dtype; halves are
        normalized in float32.

    Raises:
        ShapeError: when groups do not divide the channels; in `apply`, when x has
            another number of channels.
        DTypeError: in `apply`, when x is not real floating.

    Example:
        >>> import rxcore as rx
        >>> layer = rx.nn.group_norm(2, 4)
        >>> params = layer.init(rx.random.key(0))
        >>> layer.apply(params, rx.asarray([[100.0, 300.0, 0.0, 0.0]]))
        Array([[-1.,  1.,  0.,  0.]], dtype=float32)

    Paper: Wu and He, "Group normalization", 2018.
    """
    check_sizes("nn.group_norm", groups=groups, channels=channels)
    if channels % groups:
        raise errors.ShapeError(
            f"nn.group_norm: groups={groups} does not divide channels={channels}"
        )

    def apply(params: Any, x: Any, *, key: Any = None, training: bool = False) -> Any:
        del key, training
        x = _floating(x, "nn.group_norm")
        _check_channels(x, channels, "nn.group_norm")
        wide = rnp.reshape(
            _wide(x), (x.shape[0], groups, channels // groups, *x.shape[2:])
        )
        mean, variance = _moments(wide, tuple(range(2, wide.ndim)))
        y = rnp.reshape((wide - mean) * rsqrt(variance + epsilon), x.shape)
        return convert(_affine(params, y, _along_channels(x)), x.dtype)

    return Layer(_learned((channels,), scale, bias, dtype), apply)


def batch_norm(
    channels: int,
    *,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    scale: bool = True,
    bias: bool = True,
    dtype: Any = None,
) -> StatefulLayer:
    """Return a layer that normalizes each channel over the batch.

    **Meaning**:

        if training:
            mean, variance = x.mean(axes), x.var(axes)      # all axes but the second
            state["mean"] = momentum * state["mean"] + (1 - momentum) * mean
            state["variance"] = ... of x.var(axes, ddof=1)
        else:
            mean, variance = state["mean"], state["variance"]
        (x - mean) / np.sqrt(variance + epsilon) * params["scale"] + params["bias"]

    Args:
        channels: length of the second axis of x.
        momentum: how much of the running moments stays in a step of training.
        epsilon: added to the variance.
        scale: whether to multiply by learned numbers (ones at first).
        bias: whether to add learned numbers (zeros at first).
        dtype: dtype of parameters and state; default: the default float.

    Returns:
        A `StatefulLayer` on (batch, channels, space...) that keeps shape and dtype; its
        state is a dict of "mean" and "variance". Halves are normalized in float32.

    Raises:
        ShapeError: in `apply`, when x has another number of channels.
        DTypeError: in `apply`, when x is not real floating.

    Example:
        >>> import rxcore as rx
        >>> layer = rx.nn.batch_norm(1)
        >>> params, state = layer.init(rx.random.key(0)), layer.init_state()
        >>> x = rx.asarray([[100.0], [300.0]])
        >>> y, state = layer.apply(params, state, x, training=True)
        >>> y.tolist(), state["mean"].tolist()
        ([[-1.0], [1.0]], [20.0])

    Paper: Ioffe and Szegedy, "Batch normalization: accelerating deep network training
    by reducing internal covariate shift", 2015.
    """
    check_sizes("nn.batch_norm", channels=channels)
    if not 0 <= momentum <= 1:
        raise errors.UserError(
            f"nn.batch_norm: momentum={momentum}; expected 0 <= momentum <= 1"
        )

    def init_state() -> dict[str, Any]:
        return {
            "mean": initializers.zeros(None, (channels,), dtype),
            "variance": initializers.ones(None, (channels,), dtype),
        }

    def apply(
        params: Any, state: Any, x: Any, *, key: Any = None, training: bool = False
    ) -> tuple[Any, Any]:
        del key
        x = _floating(x, "nn.batch_norm")
        _check_channels(x, channels, "nn.batch_norm")
        wide, along = _wide(x), _along_channels(x)
        if training:
            axes = (0, *range(2, x.ndim))
            mean, variance = _moments(wide, axes)
            state = _remembered(state, mean, variance, x.size // channels, momentum)
        else:
            mean, variance = (
                rnp.reshape(state[k], along) for k in ("mean", "variance")
            )
        y = (wide - mean) * rsqrt(variance + epsilon)
        return convert(_affine(params, y, along), x.dtype), state

    return StatefulLayer(_learned((channels,), scale, bias, dtype), init_state, apply)


def _remembered(
    state: Any, mean: Any, variance: Any, count: int, momentum: float
) -> dict[str, Any]:
    """Return the running moments; their variance is that of the population."""
    unbiased = variance * (count / max(count - 1, 1))
    new = {"mean": mean, "variance": unbiased}
    return {
        name: convert(
            momentum * old + (1 - momentum) * rnp.reshape(new[name], old.shape),
            old.dtype,
        )
        for name, old in state.items()
    }


def _learned(shape: tuple[int, ...], scale: bool, bias: bool, dtype: Any) -> Any:
    def init(key: Any) -> dict[str, Any]:
        params = {}
        if scale:
            params["scale"] = initializers.ones(key, shape, dtype)
        if bias:
            params["bias"] = initializers.zeros(key, shape, dtype)
        return params

    return init


def _affine(params: Any, y: Any, shape: tuple[int, ...]) -> Any:
    if "scale" in params:
        y = y * rnp.reshape(params["scale"], shape)
    if "bias" in params:
        y = y + rnp.reshape(params["bias"], shape)
    return y


def _moments(x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """Return mean and variance along axes, which stay with length 1."""
    mean = rnp.mean(x, axes, keepdims=True)
    return mean, rnp.mean(rnp.square(x - mean), axes, keepdims=True)


def _wide(x: Any) -> Any:
    return convert(x, dtypes.float32) if x.dtype in dtypes.HALVES else x


def _along_channels(x: Any) -> tuple[int, ...]:
    return (x.shape[1], *[1] * (x.ndim - 2))


def _check_channels(x: Any, channels: int, call: str) -> None:
    if x.ndim < 2 or x.shape[1] != channels:
        raise errors.ShapeError(
            f"{call}: x has shape {x.shape}; expected (batch, {channels}, space...)"
        )


def _floating(x: Any, call: str) -> Any:
    x = as_numeric(x, call)
    if not dtypes.is_float(x.dtype):
        raise errors.DTypeError(
            f"{call}: x is {x.dtype.name} (shape {x.shape}); expected a real floating"
            " dtype: convert it with .astype(...)"
        )
    return x
