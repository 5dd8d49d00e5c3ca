"""What the math functions are measured against, how, and how far they may be off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import scipy.special
from attrs import field, frozen

from rxcore.loops import math as functions
from rxcore.loops.scalar import Evaluator, Term

BAR = 4.0
"""Units in the last place that no function may exceed."""


class FusedEvaluator(Evaluator):
    """An Evaluator whose `muladd` rounds once, as a fused instruction does."""

    def emit(self, op: str, dtype: np.dtype[Any], operands: tuple[Any, ...]) -> Any:
        """Compute one operation with NumPy."""
        if op != "muladd" or dtype not in (np.float32, np.float64):
            return super().emit(op, dtype, operands)
        with np.errstate(all="ignore"):
            if dtype == np.float32:
                a, b, c = (np.asarray(x, np.float64) for x in operands)
                return np.asarray(a * b + c, np.float32)
            return np.asarray(_fused_double(*operands))


def _split(a: Any) -> tuple[Any, Any]:
    big = a * 134217729.0
    high = big - (big - a)
    return high, a - high


def _fused_double(a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c with the product's and the sum's rounding errors put back."""
    product = a * b
    (a1, a0), (b1, b0) = _split(a), _split(b)
    lost = ((a1 * b1 - product) + a1 * b0 + a0 * b1) + a0 * b0
    total = product + c
    back = total - product
    lost = lost + ((product - (total - back)) + (c - back))
    fused = total + lost
    return np.where(np.isfinite(fused) & (lost != 0), fused, total)


def compute(function: Callable[..., Term], fused: bool, *arrays: Any) -> Any:
    """Evaluate a scalar function over arrays with either rounding of `muladd`."""
    builder = FusedEvaluator() if fused else Evaluator()
    return function(*(Term(builder, a, a.dtype) for a in arrays)).operand


@frozen
class Case:
    """A function, its meaning in wider arithmetic, and where to look."""

    name: str
    wide: Callable[..., Any]
    """NumPy in float64, for float32 results."""
    exact: Callable[..., Any]
    """mpmath, for float64 results."""
    spans: tuple[tuple[float, float], ...] = ((-2.0, 2.0), (-100.0, 100.0))
    arity: int = 1
    floor: Callable[[Any, Any], Any] | None = None
    """(module, x) -> the magnitude below which an error counts as absolute."""
    single_bar: float = BAR
    function: Callable[..., Term] = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "function", getattr(functions, self.name))


def _lgamma(x: Any) -> Any:
    if x > 0:
        return mpmath.loggamma(x)
    sine = abs(mpmath.sinpi(x))
    if sine == 0:
        return mpmath.inf
    return mpmath.log(mpmath.pi / (-x * sine)) - mpmath.loggamma(-x)


def _lgamma_wide(x: Any) -> Any:
    a = np.abs(x)
    r = a - np.rint(a)
    sine = np.abs(np.sin(np.pi * r))
    reflected = np.log(np.pi / (a * sine)) - scipy.special.gammaln(a)
    return np.where(
        x < 0, np.where(r == 0, np.inf, reflected), scipy.special.gammaln(a)
    )


def _digamma_wide(x: Any) -> Any:
    a = np.abs(x)
    r = a - np.rint(a)
    reflected = scipy.special.psi(1 + a) + np.pi / np.tan(np.pi * r)
    reflected = np.where(r == 0, np.nan, reflected)
    return np.where(x < 0, reflected, scipy.special.psi(x))


def _lgamma_floor(module: Any, x: Any) -> Any:
    """Ask for all digits right of 0, left of it for those of the reflection's terms."""
    if module is np:
        return np.where(x < 0, np.maximum(1, np.abs(scipy.special.gammaln(-x))), 0)
    return max(1, abs(mpmath.loggamma(-x))) if x < 0 else 0


def _digamma_floor(module: Any, x: Any) -> Any:
    if module is np:
        turn = np.abs(np.pi / np.tan(np.pi * (x - np.rint(x))))
        term = np.maximum(turn, np.abs(scipy.special.psi(1 - x)))
        return np.where(x < 0, np.maximum(1, term), 0)
    if x >= 0:
        return 0
    turn = abs(mpmath.pi * mpmath.cot(mpmath.pi * x))
    return max(1, turn, abs(mpmath.digamma(1 - x)))


def _real(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a complex result, or none, count as outside the domain."""

    def real(*x: Any) -> Any:
        try:
            result = function(*x)
        except ValueError:
            return mpmath.nan
        return mpmath.nan if isinstance(result, mpmath.mpc) else result

    return real


def _erfc(x: Any) -> Any:
    return mpmath.erfc(max(min(x, mpmath.mpf(50)), mpmath.mpf(-50)))


def _logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _cbrt(x: Any) -> Any:
    return mpmath.sign(x) * mpmath.cbrt(abs(x))


_EXP = ((-1.0, 1.0), (-110.0, 95.0), (-760.0, 720.0))
_UNIT = ((-1.0, 1.0), (-0.01, 0.01), (0.99, 1.0))
_LOG = ((0.0, 2.0), (0.6, 1.5), (0.0, 1e4))
_GAMMA = ((0.0, 4.0), (0.0, 12.0), (-9.0, 0.0), (10.0, 1e4))

CASES = (
    Case("exp", np.exp, mpmath.exp, _EXP),
    Case("exp2", np.exp2, lambda x: mpmath.power(2, x), (*_EXP, (-1080.0, 1030.0))),
    Case("expm1", np.expm1, mpmath.expm1, _EXP),
    Case("log", np.log, _real(mpmath.log), _LOG),
    Case("log2", np.log2, _real(lambda x: mpmath.log(x, 2)), _LOG),
    Case("log10", np.log10, _real(mpmath.log10), _LOG),
    Case("log1p", np.log1p, _real(mpmath.log1p), (*_UNIT, (-1.0, 100.0))),
    Case("sin", np.sin, mpmath.sin),
    Case("cos", np.cos, mpmath.cos),
    Case("tan", np.tan, mpmath.tan),
    Case("asin", np.arcsin, _real(mpmath.asin), _UNIT),
    Case("acos", np.arccos, _real(mpmath.acos), _UNIT),
    Case("atan", np.arctan, mpmath.atan),
    Case("atan2", np.arctan2, mpmath.atan2, arity=2),
    Case("sinh", np.sinh, mpmath.sinh, _EXP),
    Case("cosh", np.cosh, mpmath.cosh, _EXP),
    Case("tanh", np.tanh, mpmath.tanh, ((-1.0, 1.0), (-20.0, 20.0))),
    Case("asinh", np.arcsinh, mpmath.asinh),
    Case("acosh", np.arccosh, _real(mpmath.acosh), ((1.0, 2.0), (1.0, 1e5))),
    Case("atanh", np.arctanh, _real(mpmath.atanh), _UNIT),
    Case("erf", scipy.special.erf, mpmath.erf, ((-1.1, 1.1), (-6.5, 6.5))),
    Case("erfc", scipy.special.erfc, _erfc, ((-6.0, 10.5), (0.0, 28.0))),
    Case("erfinv", scipy.special.erfinv, _real(mpmath.erfinv), _UNIT),
    Case(
        "erfinv_rounded",
        scipy.special.erfinv,
        _real(mpmath.erfinv),
        _UNIT,
        single_bar=80.0,
    ),
    Case("lgamma", _lgamma_wide, _real(_lgamma), _GAMMA, floor=_lgamma_floor),
    Case("digamma", _digamma_wide, _real(mpmath.digamma), _GAMMA, floor=_digamma_floor),
    Case("logistic", _logistic, lambda x: 1 / (1 + mpmath.exp(-x)), _EXP),
    Case("cbrt", np.cbrt, _cbrt),
    Case("rsqrt", lambda x: 1 / np.sqrt(x), _real(lambda x: 1 / mpmath.sqrt(x))),
    Case("pow", np.power, _real(mpmath.power), ((0.0, 2.0), (-50.0, 50.0)), arity=2),
    Case("hypot", np.hypot, mpmath.hypot, arity=2),
)
