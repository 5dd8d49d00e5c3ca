"""exp and its kin: exp2, expm1, logistic, sinh, cosh, tanh.

x is reduced to r = x - n ln 2 with |r| <= ln(2) / 2; e**r is a minimax polynomial,
and n goes straight into the exponent bits.
"""

from __future__ import annotations

import math

from rxcore.loops.math_format import (
    FLOAT32,
    FLOAT64,
    Format,
    clamp,
    copy_sign,
    format_of,
    polynomial,
    two_parts,
)
from rxcore.loops.scalar import Term, bitcast, muladd, select

LN2_REST = 2.3190468138462996e-17
"""ln 2 minus its float64."""

# n has at most 11 bits, so n * high is exact.
LN2 = {
    FLOAT32: two_parts(math.log(2), LN2_REST, 14),
    FLOAT64: two_parts(math.log(2), LN2_REST, 40),
}

# Outside these bounds e**x is 0 or infinite after rounding.
_BOUNDS = {FLOAT32: (-104.0, 89.0), FLOAT64: (-746.0, 710.0)}
# cosh and sinh end here.
_HALF_BOUND = {FLOAT32: 89.5, FLOAT64: 710.6}
_BOUNDS2 = {FLOAT32: (-151.0, 129.0), FLOAT64: (-1076.0, 1025.0)}

# e**r = 1 + r + r**2 q(r)
_EXP = {
    FLOAT32: (
        0.4999999403953552,
        0.16666515171527863,
        0.04166845604777336,
        0.008369418792426586,
        0.0013813134282827377,
    ),
    FLOAT64: (
        0.5,
        0.16666666666666685,
        0.04166666666666603,
        0.008333333333315703,
        0.0013888888889134127,
        0.00019841269899726545,
        2.480158690396367e-05,
        2.755723148247081e-06,
        2.7557592283416134e-07,
        2.5113226208804346e-08,
        2.082566220766937e-09,
    ),
}

# expm1(r) = r + r**2 q(r), relative
_EXPM1 = {
    FLOAT32: (
        0.5,
        0.1666666567325592,
        0.04166634753346443,
        0.008333391509950161,
        0.001394165214151144,
        0.000198459776584059,
    ),
    FLOAT64: (
        0.5,
        0.16666666666666666,
        0.04166666666666669,
        0.00833333333333331,
        0.001388888888887096,
        0.00019841269841348823,
        2.480158735228855e-05,
        2.7557319110990943e-06,
        2.75572497836723e-07,
        2.5052170182256956e-08,
        2.092230861325347e-09,
        1.6059717334659978e-10,
    ),
}

# 2**r = 1 + r p(r)
_EXP2 = {
    FLOAT32: (
        0.6931471824645996,
        0.24022650718688965,
        0.0555032454431057,
        0.009617999196052551,
        0.0013401611940935254,
        0.00015477744454983622,
    ),
    FLOAT64: (
        0.6931471805599453,
        0.24022650695910072,
        0.05550410866482158,
        0.009618129107628489,
        0.001333355814642846,
        0.00015403530393351663,
        1.525273380403043e-05,
        1.3215486825089672e-06,
        1.0178086035793942e-07,
        7.054891007230633e-09,
        4.4455254322305376e-10,
        2.573823868911639e-11,
        1.372316537059434e-12,
    ),
}


def reduce(x: Term, form: Format) -> tuple[Term, Term, Term]:
    """Return (r, n, t): x = r + n ln 2, and the bits of t end in the integer n."""
    high, low = LN2[form]
    t = muladd(x, 1 / math.log(2), form.magic)
    n = t - form.magic
    r = muladd(n, -low, muladd(n, -high, x))
    return r, n, t


def power_of_two(t: Term, form: Format, offset: int) -> Term:
    """Return 2**(n + offset) for the integer n in the low bits of t; no range care."""
    bits = (bitcast(t, form.unsigned) << form.fraction) + form.power_bits(offset)
    return bitcast(bits, form.dtype)


def scale(m: Term, n: Term, t: Term, form: Format) -> Term:
    """Return m * 2**n with one rounding, into subnormals and to infinity.

    2**n itself may leave the range by one step either way, so it goes in two parts.
    """
    lift = form.fraction + 3
    low = n < float(form.fraction + 3 - form.bias)
    zero = bitcast(t, form.unsigned)
    offset = select(low, zero.constant(form.power_bits(lift - 1)), form.power_bits(-1))
    part = bitcast((zero << form.fraction) + offset, form.dtype)
    return m * part * select(low, m.constant(2.0 ** (1 - lift)), 2.0)


def exp_parts(
    x: Term, form: Format, rest: Term | None = None
) -> tuple[Term, Term, Term]:
    """Return (p, n, t) with e**(x + rest) = (1 + p) * 2**n for a tiny rest."""
    r, n, t = reduce(x, form)
    r = r if rest is None else r + rest
    return muladd(r * r, polynomial(r, _EXP[form]), r), n, t


def exp(x: Term) -> Term:
    """Return e**x."""
    form = format_of(x)
    p, n, t = exp_parts(clamp(x, *_BOUNDS[form]), form)
    return scale(p + 1.0, n, t, form)


def exp2_parts(high: Term, low: Term | None, form: Format) -> tuple[Term, Term, Term]:
    """Return (m, n, t) with 2**(high + low) = m * 2**n."""
    t = high + form.magic
    n = t - form.magic
    r = high - n if low is None else (high - n) + low
    return muladd(r, polynomial(r, _EXP2[form]), 1.0), n, t


def exp2(x: Term) -> Term:
    """Return 2**x."""
    form = format_of(x)
    return scale(*exp2_parts(clamp(x, *_BOUNDS2[form]), None, form), form)


def _expm1_scaled(x: Term, form: Format, halvings: int) -> Term:
    """Return expm1(x) / 2**halvings: 2**n expm1(r) + (2**n - 1), all scaled."""
    r, _, t = reduce(x, form)
    p = muladd(r * r, polynomial(r, _EXPM1[form]), r)
    power = power_of_two(t, form, -halvings)
    return muladd(power, p, power - 2.0**-halvings)


def _small(form: Format) -> float:
    """Below it, x + O(x**2) is x and halves of x may be subnormal."""
    return 2.0 ** (-form.fraction - 2)


def expm1(x: Term) -> Term:
    """Return e**x - 1, exact to the last bits near 0."""
    form = format_of(x)
    low = -(form.fraction + 3) * math.log(2)
    inside = clamp(x, low, _BOUNDS[form][1])
    result = _expm1_scaled(inside, form, 1) * 2.0
    return select(abs(x) < _small(form), x, result)


def sinh(x: Term) -> Term:
    """Return the hyperbolic sine."""
    form = format_of(x)
    magnitude = abs(x)
    inside = clamp(magnitude, None, _HALF_BOUND[form])
    half = _expm1_scaled(inside, form, 2) * 2.0
    # E / 2 + E / (2 (E + 1)); the second term is 1/2 long before it overflows.
    few = clamp(half, None, 2.0**60)
    result = copy_sign(half + few / muladd(few, 2.0, 1.0), x)
    return select(magnitude < _small(form), x, result)


def cosh(x: Term) -> Term:
    """Return the hyperbolic cosine."""
    form = format_of(x)
    p, _, t = exp_parts(clamp(abs(x), None, _HALF_BOUND[form]), form)
    half = (p + 1.0) * power_of_two(t, form, -2) * 2.0
    return half + 0.25 / half


def tanh(x: Term) -> Term:
    """Return the hyperbolic tangent: -E / (2 + E) with E = expm1(-2 |x|)."""
    form = format_of(x)
    limit = 0.5 * (form.fraction + 3) * math.log(2)
    magnitude = clamp(abs(x), None, limit)
    e = _expm1_scaled(magnitude * -2.0, form, 0)
    return copy_sign(abs(e / (e + 2.0)), x)


def logistic(x: Term) -> Term:
    """Return 1 / (1 + e**-x), without overflow and right into subnormals."""
    small = exp(-abs(x))
    return select(x < 0.0, small, x.constant(1.0)) / (small + 1.0)
