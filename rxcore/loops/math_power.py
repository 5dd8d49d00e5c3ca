"""pow and its kin: int_pow, cbrt, rsqrt, hypot; nextafter."""

from __future__ import annotations

import math

from rxcore.loops.math_exponential import exp2_parts, scale
from rxcore.loops.math_format import (
    FLOAT32,
    FLOAT64,
    Format,
    clamp,
    copy_sign,
    format_of,
    head,
    polynomial,
    to_bits,
)
from rxcore.loops.math_logarithm import split_normal
from rxcore.loops.scalar import Term, bitcast, muladd, select

# log((1 + s) / (1 - s)) = 2/3 s (3 + s**2 + s**4 p(s**2))
_LOG = {
    FLOAT32: (
        0.5999999642372131,
        0.42857810854911804,
        0.33277472853660583,
        0.29202601313591003,
    ),
    FLOAT64: (
        0.5999999999999996,
        0.42857142857167724,
        0.3333333332629035,
        0.27272728307233046,
        0.23076835186224565,
        0.20004480762853635,
        0.17512133517959877,
        0.17984306143907458,
    ),
}

_LOG2 = 0.9617966939259756
"""2 / (3 ln 2), and what its float64 leaves."""
_LOG2_REST = 5.0577616648125907e-17

_CUBE_ROOT = (
    0.5528234119748752,
    0.5871143748289935,
    -0.16296977234248988,
    0.02310499492145616,
)
"""The cube root on [1, 2] to 13 bits."""


def _log2_pair(x: Term, form: Format) -> tuple[Term, Term]:
    """Return (high, low) of log2(x) for x > 0: half as many bits again.

    Only plain products of heads are exact; no step relies on a fused multiply-add.
    """
    k, m = split_normal(x, form)
    u = m - 1.0
    d = m + 1.0
    inverse = 1.0 / d
    s = u * inverse
    s_high = head(s)
    d_high = head(d)
    d_low = m - (d_high - 1.0)
    s_low = inverse * ((u - s_high * d_high) - s_high * d_low)
    z = s * s
    r = muladd(z * z, polynomial(z, _LOG[form]), s_low * (s_high + s))
    z = s_high * s_high
    t_high = head((z + 3.0) + r)
    t_low = r - ((t_high - 3.0) - z)
    first = s_high * t_high
    second = muladd(s_low, t_high, t_low * s)
    p_high = head(first + second)
    p_low = second - (p_high - first)
    c_high = float(form.dtype.type(_LOG2))
    bits = form.bits(c_high) >> form.split << form.split
    c_high = float(form.unsigned.type(bits).view(form.dtype))
    c_low = (_LOG2 - c_high) + _LOG2_REST
    z_high = p_high * c_high
    z_low = muladd(p_high, c_low, p_low * _LOG2)
    high = head((z_high + z_low) + k)
    return high, z_low - ((high - k) - z_high)


def _pow_magnitude(a: Term, y: Term, form: Format) -> Term:
    """Return a**y for finite a > 0."""
    limit = 2.0**40 if form is FLOAT32 else 2.0**70
    y = clamp(y, -limit, limit)
    high, low = _log2_pair(a, form)
    y_high = head(y)
    p_high = y_high * high
    p_low = muladd(y - y_high, high, y * low)
    z = p_high + p_low
    rest = p_low - (z - p_high)
    bottom = float(-form.bias - form.fraction - 1)
    top = float(form.bias + 2)
    inside = (z > bottom) & (z < top)
    z = clamp(z, bottom, top)
    return scale(*exp2_parts(z, select(inside, rest, 0.0), form), form)


def _is_integer(a: Term, form: Format) -> Term:
    """Say whether a >= 0 is an integer (inf counts)."""
    whole = 2.0**form.fraction
    return (a >= whole) | (((a + whole) - whole) == a)


def pow(x: Term, y: Term) -> Term:
    """Return x**y, with C99's table of special values."""
    form = format_of(x)
    a, b = abs(x), abs(y)
    integer = _is_integer(b, form)
    odd = integer & ~_is_integer(b * 0.5, form)
    negative = bitcast(x, form.signed) < 0
    magnitude = _pow_magnitude(a, y, form)
    # A base of 0 or inf goes to 0 or inf.
    grows = (a > 1.0) ^ (y < 0.0)
    limit = select(grows, x.constant(math.inf), 0.0)
    magnitude = select((a == 0.0) | (a == math.inf), limit, magnitude)
    sign = select(negative & odd, to_bits(x), 0) & form.sign_bit
    result = bitcast(to_bits(magnitude) | sign, form.dtype)
    result = select((x < 0.0) & (a < math.inf) & ~integer, math.nan, result)
    result = select((x == x) & (y == y), result, x + y)
    return select((y == 0.0) | (x == 1.0), 1.0, result)


def int_pow(x: Term, n: int) -> Term:
    """Return x**n for an integer n known in advance, by repeated squaring.

    Works on integer Terms too (n >= 0), where products wrap.
    """
    if n < 0:
        return 1.0 / int_pow(x, -n)
    result: Term | None = None
    power = x
    while n:
        if n & 1:
            result = power if result is None else result * power
        n >>= 1
        if n:
            power = power * power
    return x.constant(1) if result is None else result


def rsqrt(x: Term) -> Term:
    """Return 1 / sqrt(x)."""
    return 1.0 / x.emit("sqrt")


def cbrt(x: Term) -> Term:
    """Return the real cube root."""
    form = format_of(x)
    a = abs(x)
    lift = 3 * (form.fraction // 3 + 1)
    subnormal = a < form.tiny
    bits = to_bits(select(subnormal, a * 2.0**lift, a))
    # x = m * 2**left * 2**(3 * third - bias - pad), and 3 divides bias + pad.
    pad = -form.bias % 3
    exponent = (bits >> form.fraction) + pad
    # Exponents are below 2**12: this product divides them by 3 exactly.
    third = (exponent * 43691) >> 17
    left = exponent - third * 3
    m = bitcast((bits & form.fraction_mask) | form.power_bits(0), form.dtype)
    one, two = left == 1, left == 2
    root = select(one, x.constant(2.0 ** (1 / 3)), 1.0)
    seed = polynomial(m, _CUBE_ROOT) * select(two, 2.0 ** (2 / 3), root)
    v = m * select(two, 4.0, select(one, x.constant(2.0), 1.0))
    if form is FLOAT64:
        cube = seed * seed * seed
        seed = seed * ((v * 2.0 + cube) / (cube * 2.0 + v))
    t = head(seed)
    r = v / (t * t)
    t = muladd(t, (r - t) / (t + t + r), t)
    offset = form.bias - (form.bias + pad) // 3
    power = bitcast((third + offset) << form.fraction, form.dtype)
    root = t * power * select(subnormal, x.constant(2.0 ** (-lift // 3)), 1.0)
    usual = (a > 0.0) & (a < math.inf)
    return select(usual, copy_sign(root, x), x + x)


def hypot(x: Term, y: Term) -> Term:
    """Return sqrt(x**2 + y**2) without overflow; inf if either is infinite."""
    form = format_of(x)
    a, b = abs(x), abs(y)
    # A NaN beside an inf gives inf, as in C99.
    longer = select(a < b, b, a)
    large = 2.0 ** (form.bias // 2 - 1)
    far = float(2 ** (form.bias // 2 + form.fraction))
    up = select(longer > large, x.constant(1 / far), 1.0)
    up = select(longer < 1 / large, far, up)
    down = select(longer > large, x.constant(far), 1.0)
    down = select(longer < 1 / large, 1 / far, down)
    p, q = a * up, b * up
    result = muladd(p, p, q * q).emit("sqrt") * down
    return select((a == math.inf) | (b == math.inf), math.inf, result)


def nextafter(x: Term, y: Term) -> Term:
    """Return the next representable number after x in the direction of y."""
    form = format_of(x)
    bits = to_bits(x)
    away = (x < y) ^ (x < 0.0)
    moved = select(away, bits + 1, bits - 1)
    first = (to_bits(y) & form.sign_bit) | 1
    result = bitcast(select(x == 0.0, first, moved), form.dtype)
    result = select(x == y, y, result)
    return select((x == x) & (y == y), result, x + y)
