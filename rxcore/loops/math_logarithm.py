"""log and its kin: log2, log10, log1p, asinh, acosh, atanh.

x = 2**k m with m in [sqrt(1/2), sqrt(2)); log(m) is a polynomial in f = m - 1
(float32) or in s = f / (2 + f) (float64).
"""

from __future__ import annotations

import math

from rxcore.loops.math_exponential import LN2
from rxcore.loops.math_format import (
    FLOAT32,
    Format,
    copy_sign,
    format_of,
    head,
    polynomial,
    two_parts,
)
from rxcore.loops.scalar import Term, bitcast, cast, muladd, select

# float32: log(1 + f) = f - f**2 / 2 + f**3 p(f)
_LOG_SINGLE = (
    0.3333331346511841,
    -0.25000008940696716,
    0.2000211775302887,
    -0.16667994856834412,
    0.14219555258750916,
    -0.12405600398778915,
    0.11888157576322556,
    -0.11675591766834259,
    0.0674658790230751,
)

# float64: log((1 + s) / (1 - s)) = 2 s + s**3 p(s**2)
_LOG_DOUBLE = (
    0.6666666666666734,
    0.3999999999941471,
    0.2857142874238171,
    0.22222198573708205,
    0.1818356430160393,
    0.15314051138325105,
    0.1479594404973741,
)


def split_exponent(x: Term, form: Format) -> tuple[Term, Term, Term]:
    """Return (k, m, e): x = 2**k m for a positive normal x; e holds k's bits in place.

    k is an integer Term; e is the exponent field of 2**k.
    """
    middle = form.bits(math.sqrt(0.5))
    bits = bitcast(x, form.signed) + (form.power_bits(0) - middle)
    k = (bits >> form.fraction) - form.bias
    m = bitcast((bits & form.fraction_mask) + middle, form.dtype)
    return k, m, bits & form.power_bits(form.bias + 1)


def split_normal(x: Term, form: Format) -> tuple[Term, Term]:
    """Return (k, m) with x = 2**k m for any positive x, k as a float."""
    lift = form.fraction + 2
    subnormal = x < form.tiny
    k, m, _ = split_exponent(select(subnormal, x * 2.0**lift, x), form)
    return cast(k, form.dtype) - select(subnormal, x.constant(float(lift)), 0.0), m


def log_terms(f: Term, form: Format) -> tuple[Term, Term]:
    """Return (h, t) with log(1 + f) = f - (h - t): h = f**2 / 2, t much smaller."""
    square = f * f
    h = square * 0.5
    if form is FLOAT32:
        return h, square * f * polynomial(f, _LOG_SINGLE)
    s = f / (f + 2.0)
    z = s * s
    return h, s * muladd(z, polynomial(z, _LOG_DOUBLE), h)


def add_exponent(k: Term, f: Term, form: Format) -> Term:
    """Return k ln 2 + log(1 + f)."""
    high, low = LN2[form]
    h, t = log_terms(f, form)
    return muladd(k, high, f - (h - muladd(k, low, t)))


def at_the_ends(x: Term, zero_at: float, result: Term) -> Term:
    """Put in -inf at `zero_at`, NaN below it, and let inf and NaN through."""
    inside = (x > zero_at) & (x < math.inf)
    pole = select(x < zero_at, x.constant(math.nan), x)
    pole = select(x == zero_at, -math.inf, pole)
    return select(inside, result, pole)


def log(x: Term) -> Term:
    """Return the natural logarithm."""
    form = format_of(x)
    k, m = split_normal(x, form)
    return at_the_ends(x, 0.0, add_exponent(k, m - 1.0, form))


def log_of_sum(u: Term, rest: Term, form: Format) -> Term:
    """Return log(u + rest) for a normal u > 0 and a rest below its last place."""
    k, m, exponent = split_exponent(u, form)
    # Add rest / 2**k, so that 1 + f is m plus what the sum lost. 2**(1 - k) always
    # exists.
    inverse = bitcast(form.power_bits(form.bias + 1) - exponent, form.dtype)
    f = muladd(rest * 0.5, inverse, m - 1.0)
    return add_exponent(cast(k, form.dtype), f, form)


def log1p_inside(x: Term, form: Format) -> Term:
    """Return log(1 + x) for finite x > -1 (with 0 for -0)."""
    u = x + 1.0
    v = u - 1.0
    return log_of_sum(u, (1.0 - (u - v)) + (x - v), form)


def log1p(x: Term) -> Term:
    """Return log(1 + x), exact to the last bits near 0."""
    form = format_of(x)
    result = at_the_ends(x, -1.0, log1p_inside(x, form))
    return select(abs(x) < 2.0 ** (-form.fraction - 2), x, result)


def _log_scaled(
    x: Term, form: Format, per_k: tuple[float, float], base: float, rest: float
) -> Term:
    """Return log(x) / log(base) given 1 / log(base) as base + rest."""
    k, m = split_normal(x, form)
    f = m - 1.0
    h, t = log_terms(f, form)
    high = head(f - h)
    low = ((f - high) - h) + t
    base_high, base_low = two_parts(base, rest, form.fraction + 1 - form.split)
    first = high * base_high
    second = muladd(low + high, base_low, low * base_high)
    whole = k * per_k[0]
    total = whole + first
    second = muladd(k, per_k[1], second) + ((whole - total) + first)
    return at_the_ends(x, 0.0, total + second)


_LOG2_E = (1.4426950408889634, 2.0355273740931033e-17)
_LOG10_E = (0.4342944819032518, 1.098319650216765e-17)
_LOG10_2 = (0.3010299956639812, -2.8037281277851704e-18)


def log2(x: Term) -> Term:
    """Return the base-2 logarithm, exact at powers of two."""
    return _log_scaled(x, format_of(x), (1.0, 0.0), *_LOG2_E)


def log10(x: Term) -> Term:
    """Return the base-10 logarithm."""
    form = format_of(x)
    parts = two_parts(*_LOG10_2, 14 if form is FLOAT32 else 40)
    return _log_scaled(x, form, parts, *_LOG10_E)


def asinh(x: Term) -> Term:
    """Return the inverse hyperbolic sine."""
    form = format_of(x)
    a = abs(x)
    far = a > 2.0 ** (form.fraction + 3)
    root = muladd(a, a, 1.0).emit("sqrt") + 1.0
    inside = select(far, a, a + a * a / root)
    extra = select(far, x.constant(math.log(2)), 0.0)
    result = copy_sign(log1p_inside(inside, form) + extra, x)
    usual = (a > 2.0 ** (-form.fraction // 2 - 2)) & (a < math.inf)
    return select(usual, result, x)


def acosh(x: Term) -> Term:
    """Return the inverse hyperbolic cosine; NaN below 1."""
    form = format_of(x)
    far = x > 2.0 ** (form.fraction + 3)
    v = x - 1.0
    root = muladd(v, v, v * 2.0).emit("sqrt")
    inside = select(far, x, v + root)
    extra = select(far, x.constant(math.log(2)), 0.0)
    result = select(x < 1.0, math.nan, log1p_inside(inside, form) + extra)
    return select(x < math.inf, result, x)


def atanh(x: Term) -> Term:
    """Return the inverse hyperbolic tangent; infinite at -1 and 1, NaN outside."""
    form = format_of(x)
    a = abs(x)
    result = copy_sign(log1p_inside(a * 2.0 / (1.0 - a), form) * 0.5, x)
    end = select(a == 1.0, x * math.inf, math.nan)
    result = select(a < 1.0, result, end)
    return select(a < 2.0 ** (-form.fraction // 2 - 2), x, result)
