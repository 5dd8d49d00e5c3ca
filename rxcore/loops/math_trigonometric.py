"""sin, cos, tan and their inverses.

The reduction is exact for every finite argument: |x| 2/pi modulo 4 is an integer
product of the significand with the window of the bits of 2/pi that the exponent
selects (Payne and Hanek 1983). The window comes out of a tree of selects, so there is
no table and no branch; arguments below 1 skip it, so small ones lose nothing.
"""

from __future__ import annotations

import math

from rxcore.base import dtypes
from rxcore.loops.math_format import (
    FLOAT32,
    FLOAT64,
    Format,
    copy_sign,
    format_of,
    polynomial,
    to_bits,
)
from rxcore.loops.scalar import Term, bitcast, cast, muladd, select

PI_REST = 1.2246467991473532e-16
"""pi minus its float64."""

# 2/pi = this / 2**1184
_TWO_OVER_PI = int(
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561"
    "b7246e3a424dd2e006492eea09d1921cfe1deb1cb129a73ee88235f52ebb4484"
    "e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980f"
    "ef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b"
    "3d0739f78a5292ea6bfb5fb11f8d5d0856033046",
    16,
)
_TWO_OVER_PI_BITS = 1184

# sin r = r + r**3 p(r**2) for |r| <= 1
_SIN = {
    FLOAT32: (
        -0.1666666716337204,
        0.008333316072821617,
        -0.00019836104183923453,
        2.694749582587974e-06,
    ),
    FLOAT64: (
        -0.16666666666666666,
        0.008333333333333333,
        -0.00019841269841269584,
        2.7557319223849465e-06,
        -2.505210834536172e-08,
        1.6059036965912472e-10,
        -7.646479585324266e-13,
        2.774767837172216e-15,
    ),
}

# cos r = 1 - r**2 / 2 + r**4 p(r**2) for |r| <= 1
_COS = {
    FLOAT32: (0.04166657477617264, -0.0013884666841477156, 2.419968950562179e-05),
    FLOAT64: (
        0.041666666666666664,
        -0.0013888888888888582,
        2.4801587301390817e-05,
        -2.7557319159776196e-07,
        2.0876745213532257e-09,
        -1.1469518275636875e-11,
        4.711464988533315e-14,
    ),
}

# tan r = r + r**3 p(r**2) for |r| <= 1
_TAN = {
    FLOAT32: (
        0.3333336114883423,
        0.1333218216896057,
        0.054123274981975555,
        0.02085600420832634,
        0.01255844347178936,
        -0.004373730160295963,
        0.01166755985468626,
        -0.006774522829800844,
        0.002695239381864667,
    ),
    FLOAT64: (
        0.3333333333333348,
        0.13333333333309352,
        0.053968253981808136,
        0.02186948814571113,
        0.008863242283966741,
        0.0035920510527470213,
        0.001456447505241564,
        0.0005864790041016666,
        0.0002544574488544962,
        4.6601333053440306e-05,
        0.00016615473840546805,
        -0.00023108548116527902,
        0.00037730695908767315,
        -0.0004234723367668638,
        0.0003695278224350669,
        -0.00023238056901484365,
        0.00010210366129357638,
        -2.78099643474656e-05,
        3.692403062334564e-06,
    ),
}

# asin r = r + r**3 p(r**2) for |r| <= 1/2
_ASIN = {
    FLOAT32: (
        0.16666659712791443,
        0.07500512152910233,
        0.044515471905469894,
        0.03181980177760124,
        0.014393878169357777,
        0.037578050047159195,
    ),
    FLOAT64: (
        0.16666666666666763,
        0.07499999999970092,
        0.044642857175290894,
        0.030381942675087734,
        0.02237221591050256,
        0.01735159542871671,
        0.013981019283234171,
        0.011397287646332022,
        0.010789348194059195,
        0.003672092800719731,
        0.0217908521722173,
        -0.021116986734230975,
        0.03270231741706614,
    ),
}

# atan r = r + r**3 p(r**2) for |r| <= sqrt(2) - 1
_ATAN = {
    FLOAT32: (
        -0.33333316445350647,
        0.19998487830162048,
        -0.14243803918361664,
        0.10595650225877762,
        -0.06082514673471451,
    ),
    FLOAT64: (
        -0.333333333333332,
        0.1999999999995391,
        -0.14285714280230088,
        0.11111110785171663,
        -0.0909089780753791,
        0.0769206110499849,
        -0.06663114151713095,
        0.058479623446461376,
        -0.05039630555163348,
        0.03807273825175889,
        -0.01791604071790972,
    ),
}


def _pi(form: Format, fraction: float) -> tuple[float, float]:
    """Return (high, low) of pi times a power of two, high exact in the format."""
    high = float(form.dtype.type(math.pi * fraction))
    return high, (math.pi * fraction - high) + PI_REST * fraction


def _window_words(width: int, zeros: int, count: int) -> list[int]:
    """Cut the bits of 2/pi, after leading zeros, into words."""
    whole = _TWO_OVER_PI << (width * count) >> (_TWO_OVER_PI_BITS + zeros)
    mask = (1 << width) - 1
    return [whole >> (width * (count - 1 - i)) & mask for i in range(count)]


def _window(exponent: Term, zeros: int, levels: int) -> list[Term]:
    """Return three words of 2/pi that start `exponent` bits into its string."""
    width = exponent.dtype.itemsize * 8
    count = 3 + (1 << levels)
    words: list[Term] = [
        exponent.constant(word) for word in _window_words(width, zeros, count)
    ]
    for level in reversed(range(levels)):
        step = 1 << level
        far = (exponent & (step * width)) != 0
        words = [select(far, words[i + step], words[i]) for i in range(step + 3)]
    shift = exponent & (width - 1)
    back = shift ^ (width - 1)
    return [(words[i] << shift) | ((words[i + 1] >> 1) >> back) for i in range(3)]


def _wide_product(a: Term, b: Term) -> tuple[Term, Term]:
    """Return the (high, low) words of a 64 by 64 bit product."""
    low_mask = 0xFFFFFFFF
    a_high, a_low, b_high, b_low = a >> 32, a & low_mask, b >> 32, b & low_mask
    low, cross, other = a_low * b_low, a_low * b_high, a_high * b_low
    middle = (low >> 32) + (cross & low_mask) + other
    high = a_high * b_high + (cross >> 32) + (middle >> 32)
    return high, (middle << 32) | (low & low_mask)


def _quarter_turns(fraction: Term, scale: int, form: Format) -> Term:
    """Return the angle of a fraction (scaled by 2**scale) of a quarter turn."""
    high, low = _pi(form, 2.0 ** (-1 - scale))
    return muladd(fraction, high, fraction * low)


def _high_product(a: Term, b: Term, c: Term) -> Term:
    """Return the high 32 bits of (a 2**12 + b) c for 12-bit a, b and a 32-bit c.

    Words of 32 bits alone keep the loop at full vector width.
    """
    c_high, c_low = c >> 16, c & 0xFFFF
    carried = ((b * c_low) >> 12) + a * c_low
    carried = (carried >> 4) + b * c_high
    return ((carried >> 12) + a * c_high) >> 4


def _reduce_single(bits: Term) -> tuple[Term, Term]:
    """Return (r, n) with |x| = r + n pi/2 for float32 bits of |x| >= 1."""
    exponent = (bits >> 23) - 127
    significand = (bits & 0x7FFFFF) | 0x800000
    a, b = significand >> 12, significand & 0xFFF
    top, middle, low = _window(exponent, zeros=25, levels=2)
    # Halves will do here: they leave an error of 2**-53 quarter turns, and no float32
    # comes closer than 2**-30 to a multiple.
    tail = ((significand >> 8) * (low >> 16)) >> 8
    rest = significand * middle + tail
    carry = select(rest < tail, rest.constant(1), 0)
    high = significand * top + _high_product(a, b, middle) + carry
    n = (high + 0x20000000) >> 30
    # Bits 31 and 30 count quarter turns; shifted out, the rest is signed.
    upper = cast(bitcast((high << 2) | (rest >> 30), dtypes.int32), dtypes.float32)
    lower = cast(bitcast((rest << 2) >> 1, dtypes.int32), dtypes.float32)
    return _quarter_turns(muladd(lower, 2.0**-31, upper), 32, FLOAT32), n


def _reduce_double(bits: Term) -> tuple[Term, Term]:
    """Return (r, n) with |x| = r + n pi/2 for float64 bits of |x| >= 1."""
    exponent = (bits >> 52) - 1023
    significand = (bits & FLOAT64.fraction_mask) | (1 << 52)
    top, middle, low = _window(exponent, zeros=54, levels=4)
    tail, _ = _wide_product(significand, low)
    high, rest = _wide_product(significand, middle)
    rest = rest + tail
    carry = select(rest < tail, rest.constant(1), 0)
    high = significand * top + high + carry
    n = (high + (1 << 61)) >> 62
    upper = bitcast((high << 2) | (rest >> 62), dtypes.int64)
    value = muladd(
        cast(rest << 2, dtypes.float64), 2.0**-64, cast(upper, dtypes.float64)
    )
    return _quarter_turns(value, 64, FLOAT64), n


def _reduce(x: Term, form: Format) -> tuple[Term, Term]:
    """Return (r, n) with |x| = r + n pi/2, |r| <= 1; n modulo 4, unsigned."""
    magnitude = abs(x)
    wide = _reduce_single if form is FLOAT32 else _reduce_double
    r, n = wide(to_bits(magnitude))
    near = magnitude < 1.0
    return select(near, magnitude, r), select(near, n.constant(0), n)


def _sin_and_cos(r: Term, form: Format) -> tuple[Term, Term]:
    z = r * r
    sine = muladd(r * z, polynomial(z, _SIN[form]), r)
    cosine = muladd(z * z, polynomial(z, _COS[form]), muladd(z, -0.5, 1.0))
    return sine, cosine


def _flip(value: Term, sign: Term, form: Format) -> Term:
    """Flip the sign of a value where the sign bit of an unsigned Term is set."""
    return bitcast(to_bits(value) ^ (sign & form.sign_bit), form.dtype)


def _finite_only(x: Term, result: Term) -> Term:
    return select(abs(x) < math.inf, result, math.nan)


def sin(x: Term) -> Term:
    """Return the sine of an angle in radians."""
    form = format_of(x)
    r, n = _reduce(x, form)
    sine, cosine = _sin_and_cos(r, form)
    value = select((n & 1) != 0, cosine, sine)
    sign = (n << (form.width - 2)) ^ to_bits(x)
    return _finite_only(x, _flip(value, sign, form))


def cos(x: Term) -> Term:
    """Return the cosine of an angle in radians."""
    form = format_of(x)
    r, n = _reduce(x, form)
    sine, cosine = _sin_and_cos(r, form)
    value = select((n & 1) != 0, sine, cosine)
    return _finite_only(x, _flip(value, (n + 1) << (form.width - 2), form))


def tan(x: Term) -> Term:
    """Return the tangent of an angle in radians."""
    form = format_of(x)
    r, n = _reduce(x, form)
    z = r * r
    tangent = muladd(r * z, polynomial(z, _TAN[form]), r)
    value = select((n & 1) != 0, 1.0 / tangent, tangent)
    sign = (n << (form.width - 1)) ^ to_bits(x)
    return _finite_only(x, _flip(value, sign, form))


def _asin_parts(x: Term, form: Format) -> tuple[Term, Term]:
    """Return (small, p): asin |x| = p where small, else pi/2 - 2 p."""
    magnitude = abs(x)
    small = magnitude < 0.5
    z = select(small, magnitude * magnitude, (1.0 - magnitude) * 0.5)
    s = select(small, magnitude, z.emit("sqrt"))
    return small, muladd(s * z, polynomial(z, _ASIN[form]), s)


def asin(x: Term) -> Term:
    """Return the inverse sine; NaN outside [-1, 1]."""
    form = format_of(x)
    small, p = _asin_parts(x, form)
    high, low = _pi(form, 0.5)
    large = high - (p * 2.0 - low)
    return copy_sign(select(small, p, large), x)


def acos(x: Term) -> Term:
    """Return the inverse cosine; NaN outside [-1, 1]."""
    form = format_of(x)
    small, p = _asin_parts(x, form)
    high, low = _pi(form, 0.5)
    middle = high - (copy_sign(p, x) - low)
    twice = p * 2.0
    left = high * 2.0 - (twice - low * 2.0)
    return select(small, middle, select(x < 0.0, left, twice))


def _atan_series(r: Term, form: Format) -> Term:
    z = r * r
    return muladd(r * z, polynomial(z, _ATAN[form]), r)


def atan(x: Term) -> Term:
    """Return the inverse tangent."""
    form = format_of(x)
    magnitude = abs(x)
    steep = magnitude > math.sqrt(2) + 1
    middle = magnitude > math.sqrt(2) - 1
    above = select(steep, x.constant(-1.0), magnitude - 1.0)
    below = select(steep, magnitude, magnitude + 1.0)
    r = select(middle, above / below, magnitude)
    high, low = _pi(form, 0.25)
    base = select(steep, x.constant(2 * high), select(middle, x.constant(high), 0.0))
    rest = select(steep, x.constant(2 * low), select(middle, x.constant(low), 0.0))
    return copy_sign(base + (_atan_series(r, form) + rest), x)


def atan2(y: Term, x: Term) -> Term:
    """Return the angle of the point (x, y), by quadrant, with C99's table."""
    form = format_of(x)
    across, up = abs(x), abs(y)
    steep = up > across
    longer, shorter = select(steep, up, across), select(steep, across, up)
    # 0 / 0 counts as 0 and inf / inf as 1.
    same = select(longer == 0.0, longer, 1.0)
    t = select(longer == shorter, same, shorter / longer)
    middle = t > math.sqrt(2) - 1
    r = select(middle, (t - 1.0) / (t + 1.0), t)
    high, low = _pi(form, 0.25)
    angle = _atan_series(r, form) + select(middle, x.constant(low), 0.0)
    angle = select(middle, x.constant(high), 0.0) + angle
    angle = select(steep, 2 * high - (angle - 2 * low), angle)
    left = bitcast(x, form.signed) < 0
    angle = select(left, 4 * high - (angle - 4 * low), angle)
    ordered = (x == x) & (y == y)
    return select(ordered, copy_sign(angle, y), x + y)
