"""Surrogate gradients: spikes that are steps forward and bumps backward.

A surrogate is a function from u, the distance of the potential to the threshold, to a
spike: 1 where u > 0, else 0. Its derivative is a formula of a named shape instead of
the zero of a step. Packages give one name to different formulas, so the names here
are those of the shapes, and `PUBLISHED` says which shape with which constants each
package means by its own name.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from attrs import frozen

from rxcore import numpy as rnp
from rxcore.base import errors
from rxcore.control.custom import custom_jvp
from rxcore.ops.convert import convert
from rxcore.trace.bind import as_numeric

__all__ = [
    "PUBLISHED",
    "Surrogate",
    "boxcar",
    "circle",
    "escape",
    "gaussian",
    "laplace",
    "logistic",
    "lorentz",
    "rational1",
    "rational2",
    "sech2",
    "straight_through",
    "tent",
]

_INFINITE = math.inf


@frozen
class Surrogate:
    """A spike function with a derivative by formula.

    Args:
        name: the name of the shape.
        constants: the shape's constants, in the order of its function here.
        scale: what the shape, whose peak is 1, is multiplied by.
    """

    name: str
    constants: tuple[float, ...]
    scale: float

    def __call__(self, u: Any, at: str = ">") -> Any:
        """Return 1 where u > 0 (or u >= 0 with `at=">="`), else 0, in u's dtype."""
        return _spike(self, at)(u)

    def derivative(self, u: Any) -> Any:
        """Return the formula that stands for the derivative at u."""
        shape = _SHAPES[self.name](as_numeric(u, f"surrogate.{self.name}"), self)
        return shape if self.scale == 1 else self.scale * shape


@functools.cache
def _spike(surrogate: Surrogate, at: str) -> Callable[[Any], Any]:
    if at not in (">", ">="):
        raise errors.UserError(f"surrogate: at must be '>' or '>=', got {at!r}")

    def spike(u: Any) -> Any:
        u = as_numeric(u, f"surrogate.{surrogate.name}")
        return convert(u > 0 if at == ">" else u >= 0, u.dtype)

    made = custom_jvp(spike)

    @made.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (u,), (du,) = primals, tangents
        return made(u), du * surrogate.derivative(u)

    return made


# Shapes, with a peak of 1; `c` holds their constants ----------------------------------


def _rational2(u: Any, c: Surrogate) -> Any:
    root = 1 + c.constants[0] * rnp.abs(u)
    return 1 / (root * root)


def _rational1(u: Any, c: Surrogate) -> Any:
    return 1 / (1 + c.constants[0] * rnp.abs(u))


def _lorentz(u: Any, c: Surrogate) -> Any:
    scaled = c.constants[0] * u
    return 1 / (1 + scaled * scaled)


def _logistic(u: Any, c: Surrogate) -> Any:
    # s * (1 - s) loses digits where s is near 1; the bump is even.
    e = rnp.exp(-c.constants[0] * rnp.abs(u))
    return 4 * e / ((1 + e) * (1 + e))


def _tent(u: Any, c: Surrogate) -> Any:
    return rnp.maximum(1 - c.constants[0] * rnp.abs(u), 0)


def _laplace(u: Any, c: Surrogate) -> Any:
    return rnp.exp(-c.constants[0] * rnp.abs(u))


def _gaussian(u: Any, c: Surrogate) -> Any:
    scaled = c.constants[0] * u
    return rnp.exp(-(scaled * scaled))


def _sech2(u: Any, c: Surrogate) -> Any:
    t = rnp.tanh(c.constants[0] * u)
    return 1 - t * t


def _circle(u: Any, c: Surrogate) -> Any:
    scaled = u / c.constants[0]
    root = 1 + scaled * scaled
    return 1 / (root * rnp.sqrt(root))


def _boxcar(u: Any, c: Surrogate) -> Any:
    return convert(rnp.abs(u) < c.constants[0] / 2, u.dtype)


def _escape(u: Any, c: Surrogate) -> Any:
    return rnp.exp(-c.constants[0] * rnp.abs(u - c.constants[1]))


def _straight_through(u: Any, c: Surrogate) -> Any:
    del c
    return rnp.ones_like(u)


_SHAPES: dict[str, Callable[[Any, Surrogate], Any]] = {
    "rational2": _rational2,
    "rational1": _rational1,
    "lorentz": _lorentz,
    "logistic": _logistic,
    "tent": _tent,
    "laplace": _laplace,
    "gaussian": _gaussian,
    "sech2": _sech2,
    "circle": _circle,
    "boxcar": _boxcar,
    "escape": _escape,
    "straight_through": _straight_through,
}


def _check(name: str, constant: float) -> None:
    if not (math.isfinite(constant) and constant > 0):
        raise errors.UserError(
            f"surrogate.{name}: its constant must be positive and finite, got"
            f" {constant}"
        )


def _made(
    name: str, constants: tuple[float, ...], area: float, height: float, given: Any
) -> Surrogate:
    """Check constants and return the surrogate.

    Args:
        name: the shape's name.
        constants: its constants; the first must be positive.
        area: the area under the shape when its peak is 1.
        height: the peak where `given` is None.
        given: None, "peak" or "area".
    """
    call = f"surrogate.{name}"
    for constant in constants[:1]:
        _check(name, constant)
    for other in (*constants[1:], height):
        if not math.isfinite(other):
            raise errors.UserError(f"{call}: constants must be finite, got {other}")
    if given is None:
        return Surrogate(name, constants, height)
    if given == "peak":
        return Surrogate(name, constants, 1.0)
    if given != "area":
        raise errors.UserError(
            f"{call}: normalize must be None, 'peak' or 'area', got {given!r}"
        )
    if area == _INFINITE:
        raise errors.UserError(
            f"{call}: the area under this shape is infinite; use normalize='peak'"
        )
    return Surrogate(name, constants, 1.0 / area)


def rational2(k: float = 25.0, *, normalize: str | None = None) -> Surrogate:
    """Return the fast sigmoid's bump.

    **Meaning**: `ds/du = 1 / (1 + k * abs(u))**2`

    Args:
        k: steepness, positive.
        normalize: None (as above), "peak" (largest value 1), "area" (integral 1).

    Returns:
        A `Surrogate`: a function from u to a spike.

    Raises:
        UserError: when k is not positive or `normalize` is unknown.

    Example:
        >>> import rxcore as rx
        >>> spike = rx.snn.surrogate.rational2(10.0)
        >>> float(spike(0.1)), float(rx.grad(spike)(0.1))
        (1.0, 0.25)

    Paper: Zenke and Ganguli, "SuperSpike: supervised learning in multilayer spiking
    neural networks", 2018.
    """
    return _made("rational2", (float(k),), 2 / k if k else 0, 1.0, normalize)


def rational1(alpha: float = 1.0, *, normalize: str | None = None) -> Surrogate:
    """Return a bump with the heavy tails of 1/u.

    **Meaning**: `ds/du = 1 / (1 / alpha + abs(u))`

    Args:
        alpha: steepness, positive.
        normalize: None (as above) or "peak"; its area is infinite.

    Returns:
        A `Surrogate`: a function from u to a spike.

    Raises:
        UserError: when alpha is not positive, or an area is asked for.

    Example:
        >>> import rxcore as rx
        >>> float(rx.grad(rx.snn.surrogate.rational1(2.0))(0.5))
        1.0
    """
    return _made("rational1", (float(alpha),), _INFINITE, float(alpha), normalize)


def lorentz(alpha: float = 2.0, *, normalize: str | None = None) -> Surrogate:
    """Return the bump of an arctangent.

    **Meaning**: `ds/du = (alpha / 2) / (1 + (np.pi * alpha * u / 2)**2)`

    Args:
        alpha: steepness, positive.
        normalize: None (as above, area 1), "peak" (largest value 1), "area".

    Returns:
        A `Surrogate`: a function from u to a spike.

    Raises:
        UserError: when alpha is not positive or `normalize` is unknown.

    Example:
        >>> import rxcore as rx
        >>> float(rx.grad(rx.snn.surrogate.lorentz(2.0))(0.0))
        1.0

    Paper: Fang et al., "Incorporating learnable membrane time constant to enhance
    learning of spiking neural networks", 2021.
    """
    _check("lorentz", alpha)
    steep = math.pi * float(alpha) / 2
    return _made("lorentz", (steep,), 2 / alpha, float(alpha) / 2, normalize)


def logistic(alpha: float = 4.0, *, normalize: str | None = None) -> Surrogate:
    """Return the bump of a logistic sigmoid.

    **Meaning**: `ds/du = alpha * s * (1 - s)` with `s = 1 / (1 + np.exp(-alpha * u))`

    Args:
        alpha: steepness, positive.
        normalize: None (as above, area 1), "peak" (largest value 1), "area".

    Returns:
        A `Surrogate`: a function from u to a spike.

    Raises:
        UserError: when alpha is not positive or `normalize` is unknown.

    Example:
        >>> import rxcore as rx
        >>> float(rx.grad(rx.snn.surrogate.logistic(4.0))(0.0))
        1.0
    """
    return _made(
        "logistic",
        (float(alpha),),
        4 / alpha if alpha else 0,
        float(alpha) / 4,
        normalize,
    )


def tent(k: float = 1.0, *, normalize: str | None = None) -> Surrogate:
    """Return a triangle.

    **Meaning**: `ds/du = np.maximum(0, 1 - k * abs(u))`

    Args:
        k: one over half the width, positive.
        normalize: None (as above), "peak" (largest value 1), "area" (integral 1).

    Returns:
        A `Surrogate`: a function from u to a spike.

    Raises:
        UserError: when k is not positive or `normalize` is unknown.

    Example:
        >>> import rxcore as rx
        >>> float(rx.grad(rx.snn.surrogate.tent(2.0))(0.25))
        0.5

    Paper: Bellec et al., "Long short-term memory and learning-to-learn in networks of
    spiking neurons", 2018.
    """
    return _made("tent", (float(k),), 1 / k if k else 0, 1.0, normalize)


def laplace(alpha: float = 1.0, *, normalize: str | None = None) -> Surrogate:
    """Return two exponentials, back to back.

    **Meaning**: `ds/du = (alpha / 2) * np.exp(-alpha * abs(u))`

    Args:
        alpha: steepness, positive.
        normalize: None (as above, area 1), "peak" (largest value 1), "area".

    Returns:
        A `Surrogate`: a function from u to a spike.

    Raises:
        UserError: when alpha is not positive or `normalize` is unknown.

    Example:
        >>> import rxcore as rx
        >>> float(rx.grad(rx.snn.surrogate.laplace(2.0))(0.0))
        1.0

    Paper: Shrestha and Orchard, "SLAYER: spike layer error reassignment in time", 2018.
    """
    return _made(
        "laplace",
        (float(alpha),),
        2 / alpha if alpha else 0,
        float(alpha) / 2,
        normalize,
    )


def gaussian(alpha: float = 2.0, *, normalize: str | None = None) -> Surrogate:
    """Return the bell of an error function.

    **Meaning**: `ds/du = alpha / np.sqrt(np.pi) * np.exp(-(alpha * u)**2)`

    Args:
        alpha: steepness, positive.
        normalize: None (as above, area 1), "peak" (largest value 1), "area".

    Returns:
        A `Surrogate`: a function from u to a spike.

    Raises:
        UserError: when alpha is not positive or `normalize` is unknown.

    Example:
        >>> import rxcore as rx
        >>> spike = rx.snn.surrogate.gaussian(2.0, normalize="peak")
        >>> float(rx.grad(spike)(0.0))
        1.0
    """
    area = math.sqrt(math.pi) / alpha if alpha else 0
    height = float(alpha) / math.sqrt(math.pi)
    return _made("gaussian", (float(alpha),), area, height, normalize)


def sech2(k: float = 1.0, *, normalize: str | None = None) -> Surrogate:
    """Return the bump of a hyperbolic tangent.

    **Meaning**: `ds/du = 1 - np.tanh(k * u)**2`

    Args:
        k: steepness, positive.
        normalize: None (as above), "peak" (largest value 1), "area" (integral 1).

    Returns:
        A `Surrogate`: a function from u to a spike.

    Raises:
        UserError: when k is not positive or `normalize` is unknown.

    Example:
        >>> import rxcore as rx
        >>> float(rx.grad(rx.snn.surrogate.sech2())(0.0))
        1.0
    """
    return _made("sech2", (float(k),), 2 / k if k else 0, 1.0, normalize)


def circle(alpha: float = 1.0, *, normalize: str | None = None) -> Surrogate:
    """Return the bump of `u / np.sqrt(u**2 + alpha**2)`.

    **Meaning**: `ds/du = alpha**3 / (u**2 + alpha**2)**1.5`

    Args:
        alpha: width, positive.
        normalize: None (as above), "peak" (largest value 1), "area" (integral 1).

    Returns:
        A `Surrogate`: a function from u to a spike.

    Raises:
        UserError: when alpha is not positive or `normalize` is unknown.

    Example:
        >>> import rxcore as rx
        >>> float(rx.grad(rx.snn.surrogate.circle())(0.0))
        1.0
    """
    return _made("circle", (float(alpha),), 2 * alpha, 1.0, normalize)


def boxcar(
    width: float = 2.0, height: float = 0.5, *, normalize: str | None = None
) -> Surrogate:
    """Return a rectangle.

    **Meaning**: `ds/du = height * (abs(u) < width / 2)`

    Args:
        width: of the rectangle, positive.
        height: of the rectangle.
        normalize: None (as above), "peak" (height 1), "area" (integral 1).

    Returns:
        A `Surrogate`: a function from u to a spike.

    Raises:
        UserError: when the width is not positive or `normalize` is unknown.

    Example:
        >>> import rxcore as rx
        >>> float(rx.grad(rx.snn.surrogate.boxcar())(0.9))
        0.5
    """
    return _made("boxcar", (float(width),), float(width), float(height), normalize)


def escape(
    beta: float = 1.0,
    scale: float = 25.0,
    centre: float = 1.0,
    *,
    normalize: str | None = None,
) -> Surrogate:
    """Return the escape rate of a noisy neuron, as snnTorch has it.

    **Meaning**: `ds/du = scale * np.exp(-beta * abs(u - centre))`

    Args:
        beta: steepness, positive.
        scale: the largest value.
        centre: where the largest value lies.
        normalize: None (as above), "peak" (largest value 1), "area" (integral 1).

    Returns:
        A `Surrogate`: a function from u to a spike.

    Raises:
        UserError: when beta is not positive or `normalize` is unknown.

    Example:
        >>> import rxcore as rx
        >>> float(rx.grad(rx.snn.surrogate.escape())(1.0))
        25.0
    """
    constants = (float(beta), float(centre))
    return _made("escape", constants, 2 / beta if beta else 0, float(scale), normalize)


def straight_through() -> Surrogate:
    """Return the surrogate whose derivative is 1 everywhere.

    **Meaning**: `ds/du = 1`

    Returns:
        A `Surrogate`: a function from u to a spike.

    Example:
        >>> import rxcore as rx
        >>> float(rx.grad(rx.snn.surrogate.straight_through())(-7.0))
        1.0

    Paper: Bengio, Leonard and Courville, "Estimating or propagating gradients through
    stochastic neurons for conditional computation", 2013.
    """
    return Surrogate("straight_through", (), 1.0)


# What packages call these shapes, with their own constants.
PUBLISHED: dict[str, Surrogate] = {
    "snntorch.fast_sigmoid": rational2(25.0),
    "snntorch.atan": lorentz(2.0),
    "snntorch.sigmoid": logistic(25.0),
    "snntorch.spike_rate_escape": escape(1.0, 25.0),
    "snntorch.straight_through_estimator": straight_through(),
    "norse.super": rational2(100.0),
    "norse.triangle": Surrogate("tent", (1.0,), 0.3),
    "spikingjelly.SuperSpike": rational2(1.0),
    "spikingjelly.SoftSign": rational2(2.0, normalize="area"),
    "spikingjelly.ATan": lorentz(2.0),
    "spikingjelly.Sigmoid": logistic(4.0),
    "spikingjelly.PiecewiseQuadratic": tent(1.0),
    "spikingjelly.PiecewiseExp": laplace(1.0),
    "spikingjelly.Erf": gaussian(2.0),
    "spikingjelly.Rect": boxcar(1.0, 1.0),
    "spikingjelly.NonzeroSignLogAbs": rational1(1.0),
    "spyx.superspike": rational2(25.0),
    "spyx.arctan": Surrogate("lorentz", (2.0 * math.pi,), 1.0 / math.pi),
    "spyx.triangular": tent(2.0),
    "spyx.tanh": sech2(1.0),
    "spyx.boxcar": boxcar(2.0, 0.5),
}
