"""Special functions: erf and its kin, the gamma function's logarithm and kin."""

from __future__ import annotations

import math as numbers
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import Primitive
from rxcore.loops import math, scalar
from rxcore.loops.scalar import Term, evaluate
from rxcore.ops.elementwise import mul, neg
from rxcore.ops.families import elementwise
from rxcore.ops.mathematics import exp
from rxcore.ops.power import square
from rxcore.ops.samples import SHAPES, Case, Samples, draw

__all__ = ["digamma", "erf", "erfc", "erfinv", "erfinv_rounded", "lgamma", "polygamma"]


def _in_double(function: Callable[..., Term]) -> Callable[..., Any]:
    """NumPy lacks these: their meaning is the scalar expression in float64."""

    def reference(x: Any, **params: Any) -> Any:
        wide = x.astype(np.float64)
        return evaluate(lambda t: function(t, **params), wide).astype(x.dtype)

    return reference


def _special(
    name: str,
    function: Callable[..., Term],
    derivative: Callable[..., Any],
    document: str,
    samples: Any = (-3.0, 3.0),
    reference: Callable[..., Any] | None = None,
) -> Primitive:
    return elementwise(
        name,
        function,
        reference=reference or _in_double(function),
        types=dtypes.FLOATS,
        floating=True,
        partials=(derivative,),
        samples=samples,
        document=document,
    )


def _bell(x: Any) -> Any:
    return mul(2 / numbers.sqrt(numbers.pi), exp(neg(square(x))))


erf: Primitive = _special(
    "erf",
    math.erf,
    lambda t, out, x: mul(t, _bell(x)),
    "Return the error function, 2/sqrt(pi) times the integral of e**-u**2 to x.",
)
erfc: Primitive = _special(
    "erfc",
    math.erfc,
    lambda t, out, x: neg(mul(t, _bell(x))),
    "Return 1 - erf(x), exact for large x.",
)
erfinv: Primitive = _special(
    "erfinv",
    math.erfinv,
    lambda t, out, x: mul(t, mul(numbers.sqrt(numbers.pi) / 2, exp(square(out)))),
    "Return the number whose erf is x.",
    (-0.95, 0.95),
)
erfinv_rounded: Primitive = _special(
    "erfinv_rounded",
    math.erfinv_rounded,
    lambda t, out, x: mul(t, mul(numbers.sqrt(numbers.pi) / 2, exp(square(out)))),
    "Return erfinv as XLA evaluates it in float32: what random normals are made of.",
    (-0.95, 0.95),
    # Its roundings are its meaning, so the reference has them too.
    partial(evaluate, math.erfinv_rounded),
)
lgamma: Primitive = _special(
    "lgamma",
    math.lgamma,
    lambda t, out, x: mul(t, digamma(x)),
    "Return log |gamma(x)|.",
    (0.2, 6.0),
)
digamma: Primitive = _special(
    "digamma",
    math.digamma,
    lambda t, out, x: mul(t, polygamma(x, n=1)),
    "Return the derivative of lgamma.",
    (0.2, 6.0),
)

# polygamma --------------------------------------------------------------------------

_SHIFT = 12
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def _polygamma_positive(x: Term, n: int) -> Term:
    """Sum n! / (x + k)**(n + 1) for k < 12, then the asymptotic series.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 6.4.6 and 6.4.11.
    """
    far = x + float(_SHIFT)
    inverse = 1.0 / far
    square_ = inverse * inverse
    series = x.constant(0.0)
    for k in range(len(_BERNOULLI), 0, -1):
        weight = _BERNOULLI[k - 1] * numbers.factorial(2 * k + n - 1)
        series = series * square_ + weight / numbers.factorial(2 * k)
    lead = numbers.factorial(n - 1) + inverse * (numbers.factorial(n) / 2)
    total = (lead + series * square_) * math.int_pow(inverse, n)
    for k in reversed(range(_SHIFT)):
        total = total + float(numbers.factorial(n)) / math.int_pow(x + float(k), n + 1)
    return total


def _cotangent_slopes(n: int) -> list[int]:
    """Return the polynomial p with d^n/du^n cot u = p(cot u)."""
    p = [0, 1]
    for _ in range(n):
        slope = [k * c for k, c in enumerate(p)][1:]
        p = [0] * (len(slope) + 2)
        for k, c in enumerate(slope):
            p[k] -= c
            p[k + 2] -= c
    return p


def _polygamma_scalar(x: Term, *, n: int) -> Term:
    low = x < 0.5
    positive = _polygamma_positive(scalar.select(low, 1.0 - x, x), n)
    # Reflection: psi_n(1 - x) - (-1)**n psi_n(x) = (-1)**n pi d^n/dx^n cot(pi x).
    turn = (x - x.emit("round")) * numbers.pi
    cotangent = math.cos(turn) / math.sin(turn)
    slope = x.constant(0.0)
    for c in reversed(_cotangent_slopes(n)):
        slope = slope * cotangent + float(c)
    slope = slope * (numbers.pi ** (n + 1))
    sign = 1.0 if n % 2 else -1.0
    return scalar.select(low, -slope - positive, positive * sign)


def _polygammas(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for n in (1, 2, 3):
        yield (draw(rng, dtype, (3, 4), 0.2, 6.0),), {"n": n}
        yield (draw(rng, dtype, (5,), -0.8, -0.2),), {"n": n}
    for shape in SHAPES:
        yield (draw(rng, dtype, shape, 0.2, 6.0),), {"n": 1}


polygamma: Primitive = _special(
    "polygamma",
    _polygamma_scalar,
    lambda t, out, x, *, n: mul(t, polygamma(x, n=n + 1)),
    "Return the n-th derivative of digamma, n >= 1: `polygamma(x, n=n)`.",
    Samples(dtypes.FLOATS, _polygammas, 256),
)
