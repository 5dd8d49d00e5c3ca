"""Every scalar math function of the loop language, each one expression over Terms.

They take float32 and float64 Terms and are branch-free, so that loops over them
vectorize; `muladd` may round once or twice. The largest errors, measured either way,
are in `tests/math/ulp.md`.

Example:
    >>> import numpy as np
    >>> from rxcore.loops.scalar import evaluate
    >>> evaluate(exp, np.float32([0, 1, -np.inf]))
    array([1.       , 2.7182817, 0.       ], dtype=float32)
"""

from rxcore.loops.math_error import erf, erfc, erfinv, erfinv_rounded
from rxcore.loops.math_exponential import cosh, exp, exp2, expm1, logistic, sinh, tanh
from rxcore.loops.math_gamma import digamma, lgamma
from rxcore.loops.math_logarithm import acosh, asinh, atanh, log, log1p, log2, log10
from rxcore.loops.math_power import cbrt, hypot, int_pow, nextafter, pow, rsqrt
from rxcore.loops.math_trigonometric import acos, asin, atan, atan2, cos, sin, tan

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "cos",
    "cosh",
    "digamma",
    "erf",
    "erfc",
    "erfinv",
    "erfinv_rounded",
    "exp",
    "exp2",
    "expm1",
    "hypot",
    "int_pow",
    "lgamma",
    "log",
    "log1p",
    "log2",
    "log10",
    "logistic",
    "nextafter",
    "pow",
    "rsqrt",
    "sin",
    "sinh",
    "tan",
    "tanh",
]
