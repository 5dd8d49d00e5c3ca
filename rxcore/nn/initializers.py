"""First values of parameters: functions of key, shape and dtype."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from rxcore import numpy as rnp
from rxcore import random
from rxcore.base import dtypes, errors
from rxcore.ops.convert import convert
from rxcore.ops.shape import normalize_axis

__all__ = [
    "Initializer",
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "zeros",
]

Initializer = Callable[..., Any]
Shape = Sequence[int]


def zeros(key: Any, shape: Shape, dtype: Any = None) -> Any:
    """Return zeros.

    **Meaning**: `np.zeros(shape, dtype)`

    Args:
        key: not used; all initializers take one.
        shape: the result's shape.
        dtype: a floating dtype; default: the default float.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.initializers.zeros(None, (2,))
        Array([0., 0.], dtype=float32)
    """
    return constant(0.0)(key, shape, dtype)


def ones(key: Any, shape: Shape, dtype: Any = None) -> Any:
    """Return ones.

    **Meaning**: `np.ones(shape, dtype)`

    Args:
        key: not used; all initializers take one.
        shape: the result's shape.
        dtype: a floating dtype; default: the default float.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.initializers.ones(None, (2,))
        Array([1., 1.], dtype=float32)
    """
    return constant(1.0)(key, shape, dtype)


def constant(value: Any) -> Initializer:
    """Return an initializer that gives one value everywhere.

    **Meaning**: `lambda key, shape, dtype: np.full(shape, value, dtype)`

    Args:
        value: number, or an array that broadcasts to the shape.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.initializers.constant(0.5)(None, (2,))
        Array([0.5, 0.5], dtype=float32)
    """

    def draw(key: Any, shape: Shape, dtype: Any = None) -> Any:
        del key
        return rnp.broadcast_to(convert(value, _floating(dtype)), tuple(shape))

    return draw


def normal(stddev: float = 1e-2) -> Initializer:
    """Return an initializer that draws from a normal distribution of mean 0.

    **Meaning**: `lambda key, shape, dtype: stddev * random.normal(key, shape, dtype)`

    Args:
        stddev: standard deviation.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.initializers.normal(0.1)(rx.random.key(0), (2, 3)).shape
        (2, 3)
    """

    def draw(key: Any, shape: Shape, dtype: Any = None) -> Any:
        return random.normal(key, tuple(shape), _floating(dtype)) * stddev

    return draw


def uniform(scale: float = 1e-2) -> Initializer:
    """Return an initializer that draws uniformly from [0, scale).

    **Meaning**: `lambda key, shape, dtype: scale * random.uniform(key, shape, dtype)`

    Args:
        scale: the upper end.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.initializers.uniform(0.1)(rx.random.key(0), (2, 3)).shape
        (2, 3)
    """

    def draw(key: Any, shape: Shape, dtype: Any = None) -> Any:
        return random.uniform(key, tuple(shape), _floating(dtype)) * scale

    return draw


def truncated_normal(
    stddev: float = 1e-2, lower: float = -2.0, upper: float = 2.0
) -> Initializer:
    """Return an initializer that draws from a normal distribution cut off at both ends.

    **Meaning**: draws of a standard normal distribution, those outside [lower, upper]
    drawn again, times `stddev`. The result's own standard deviation is smaller (0.88
    `stddev` for the default ends).

    Args:
        stddev: standard deviation before the ends are cut off.
        lower: lower end, in standard deviations.
        upper: upper end, in standard deviations.

    Example:
        >>> import rxcore as rx
        >>> w = rx.nn.initializers.truncated_normal(1.0)(rx.random.key(0), (100,))
        >>> max(abs(w)) <= 2
        Array(True, dtype=bool)
    """
    if not lower < upper:
        raise errors.UserError(
            f"nn.initializers.truncated_normal: lower={lower}, upper={upper}; expected"
            " lower < upper"
        )

    def draw(key: Any, shape: Shape, dtype: Any = None) -> Any:
        drawn = random.truncated_normal(
            key, lower, upper, tuple(shape), _floating(dtype)
        )
        return drawn * stddev

    return draw


def variance_scaling(
    scale: float,
    mode: str,
    distribution: str,
    in_axis: int = -2,
    out_axis: int = -1,
) -> Initializer:
    """Return an initializer whose variance is `scale` divided by the number of units.

    **Meaning**: variance `scale / n`, where n is `fan_in`, `fan_out` or their mean, and
    a fan is the length of its axis times the lengths of all axes but the two named.

    Args:
        scale: what the variance times n is.
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal" (ends cut off at two standard deviations),
            "normal" or "uniform".
        in_axis: the axis of input units.
        out_axis: the axis of output units.

    Raises:
        UserError: when a word is unknown or the scale is not positive.
        ShapeError: when drawing a shape of fewer than two axes.

    Example:
        >>> import rxcore as rx
        >>> draw = rx.nn.initializers.variance_scaling(3.0, "fan_in", "uniform")
        >>> draw(rx.random.key(0), (9, 50)).shape
        (9, 50)
    """
    call = "nn.initializers.variance_scaling"
    if mode not in ("fan_in", "fan_out", "fan_avg"):
        raise errors.UserError(
            f"{call}: mode={mode!r}; expected 'fan_in', 'fan_out' or 'fan_avg'"
        )
    if distribution not in ("truncated_normal", "normal", "uniform"):
        raise errors.UserError(
            f"{call}: distribution={distribution!r}; expected 'truncated_normal',"
            " 'normal' or 'uniform'"
        )
    if not scale > 0:
        raise errors.UserError(f"{call}: scale={scale}; expected scale > 0")

    def draw(key: Any, shape: Shape, dtype: Any = None) -> Any:
        fan_in, fan_out = fans(shape, in_axis, out_axis)
        units = {"fan_in": fan_in, "fan_out": fan_out}.get(mode, (fan_in + fan_out) / 2)
        stddev = math.sqrt(scale / max(units, 1))
        if distribution == "normal":
            return normal(stddev)(key, shape, dtype)
        if distribution == "truncated_normal":
            return truncated_normal(stddev / _CUT)(key, shape, dtype)
        end = stddev * math.sqrt(3)
        kind = _floating(dtype)
        return random.uniform(key, tuple(shape), kind, minval=-1, maxval=1) * end

    return draw


# Standard deviation of a standard normal distribution cut off at -2 and 2.
_CUT = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))


def fans(shape: Shape, in_axis: int = -2, out_axis: int = -1) -> tuple[float, float]:
    """Return how many units a weight joins: on its input's and its output's side."""
    call = "nn.initializers.variance_scaling"
    if len(shape) < 2:
        raise errors.ShapeError(
            f"{call}: a weight of shape {tuple(shape)} has no input and output axis;"
            " use zeros, normal or uniform for vectors"
        )
    first = normalize_axis(in_axis, len(shape), call)
    second = normalize_axis(out_axis, len(shape), call)
    if first == second:
        raise errors.ShapeError(f"{call}: in_axis and out_axis are both {first}")
    field = math.prod(s for k, s in enumerate(shape) if k not in (first, second))
    return shape[first] * field, shape[second] * field


def glorot_uniform(in_axis: int = -2, out_axis: int = -1) -> Initializer:
    """Return Glorot and Bengio's uniform initializer: variance 2 / (fan_in + fan_out).

    **Meaning**: uniform in +-sqrt(6 / (fan_in + fan_out))

    Args:
        in_axis: the axis of input units.
        out_axis: the axis of output units.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.initializers.glorot_uniform()(rx.random.key(0), (4, 3)).shape
        (4, 3)

    Paper: "Understanding the difficulty of training deep feedforward neural networks",
    2010.
    """
    return variance_scaling(1.0, "fan_avg", "uniform", in_axis, out_axis)


def glorot_normal(in_axis: int = -2, out_axis: int = -1) -> Initializer:
    """Return Glorot and Bengio's normal initializer: variance 2 / (fan_in + fan_out).

    **Meaning**: a truncated normal distribution of that variance

    Args:
        in_axis: the axis of input units.
        out_axis: the axis of output units.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.initializers.glorot_normal()(rx.random.key(0), (4, 3)).shape
        (4, 3)

    Paper: "Understanding the difficulty of training deep feedforward neural networks",
    2010.
    """
    return variance_scaling(1.0, "fan_avg", "truncated_normal", in_axis, out_axis)


def he_uniform(in_axis: int = -2, out_axis: int = -1) -> Initializer:
    """Return He et al.'s uniform initializer, for relu: variance 2 / fan_in.

    **Meaning**: uniform in +-sqrt(6 / fan_in)

    Args:
        in_axis: the axis of input units.
        out_axis: the axis of output units.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.initializers.he_uniform()(rx.random.key(0), (4, 3)).shape
        (4, 3)

    Paper: "Delving deep into rectifiers", 2015.
    """
    return variance_scaling(2.0, "fan_in", "uniform", in_axis, out_axis)


def he_normal(in_axis: int = -2, out_axis: int = -1) -> Initializer:
    """Return He et al.'s normal initializer, for relu: variance 2 / fan_in.

    **Meaning**: a truncated normal distribution of that variance

    Args:
        in_axis: the axis of input units.
        out_axis: the axis of output units.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.initializers.he_normal()(rx.random.key(0), (4, 3)).shape
        (4, 3)

    Paper: "Delving deep into rectifiers", 2015.
    """
    return variance_scaling(2.0, "fan_in", "truncated_normal", in_axis, out_axis)


def lecun_uniform(in_axis: int = -2, out_axis: int = -1) -> Initializer:
    """Return LeCun et al.'s uniform initializer: variance 1 / fan_in.

    **Meaning**: uniform in +-sqrt(3 / fan_in)

    Args:
        in_axis: the axis of input units.
        out_axis: the axis of output units.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.initializers.lecun_uniform()(rx.random.key(0), (4, 3)).shape
        (4, 3)

    Paper: "Efficient BackProp", 1998.
    """
    return variance_scaling(1.0, "fan_in", "uniform", in_axis, out_axis)


def lecun_normal(in_axis: int = -2, out_axis: int = -1) -> Initializer:
    """Return LeCun et al.'s normal initializer: variance 1 / fan_in.

    **Meaning**: a truncated normal distribution of that variance

    Args:
        in_axis: the axis of input units.
        out_axis: the axis of output units.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.initializers.lecun_normal()(rx.random.key(0), (4, 3)).shape
        (4, 3)

    Paper: "Efficient BackProp", 1998.
    """
    return variance_scaling(1.0, "fan_in", "truncated_normal", in_axis, out_axis)


def _floating(dtype: Any) -> dtypes.DType:
    found = dtypes.default_float() if dtype is None else dtypes.as_dtype(dtype)
    if not dtypes.is_float(found):
        raise errors.DTypeError(
            f"nn.initializers: dtype {found.name}; expected a real floating dtype"
        )
    return found
