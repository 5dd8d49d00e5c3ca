"""erf, erfc and erfinv."""

from __future__ import annotations

import math

from rxcore.loops.math_exponential import exp_parts, power_of_two, scale
from rxcore.loops.math_format import (
    FLOAT32,
    FLOAT64,
    Format,
    blend,
    clamp,
    copy_sign,
    exact_square,
    format_of,
    polynomial,
)
from rxcore.loops.math_logarithm import log, log_of_sum
from rxcore.loops.scalar import Term, muladd, select

# Mike Giles, "Approximating the erfinv function", GPU Computing Gems 2 (2011):
# erfinv is x times a polynomial in w = -log(1 - x**2): in w - 2.5 below 5, in
# sqrt(w) - 3 beyond.
_CENTRE = (
    1.50140941,
    0.246640727,
    -0.00417768164,
    -0.00125372503,
    0.00021858087,
    -4.39150654e-06,
    -3.5233877e-06,
    3.43273939e-07,
    2.81022636e-08,
)
_TAIL = (
    2.83297682,
    1.00167406,
    0.00943887047,
    -0.0076224613,
    0.00573950773,
    -0.00367342844,
    0.00134934322,
    0.000100950558,
    -0.000200214257,
)

# The same for float64: in w - 3.125 below 6.25, in sqrt(w) - 3.25 below 16, and in
# sqrt(w) - 5 beyond.
_CENTRE_DOUBLE = (
    1.653654562683103,
    0.24015818242558948,
    -0.0060336708714307016,
    -0.0007407025341652978,
    0.00018673420803637866,
    -1.3882523364916511e-05,
    -1.3654692038664491e-06,
    4.23478780424659e-07,
    -2.9070366809696624e-08,
    -4.112635167711371e-09,
    1.051210749867623e-09,
    -5.415372559185613e-11,
    -1.2974674831122887e-11,
    2.633426986464263e-12,
    -8.160774788255896e-14,
    -4.0534827705827086e-14,
    6.648571631062918e-15,
    2.0098600150976725e-17,
    -1.3415562271917583e-16,
    1.1197345987477407e-17,
    1.322141863839545e-18,
    -1.6926954668973252e-19,
    -4.3221605710425935e-21,
)
_MIDDLE_DOUBLE = (
    3.0838856104922203,
    1.0052589676941597,
    0.005370914553602722,
    -0.003751208507597015,
    0.0024914420955060804,
    -0.0016882755553443464,
    0.0009532893907380924,
    -0.00035503752781182164,
    2.4031009748819164e-05,
    6.828489476035823e-05,
    -4.7317712228088594e-05,
    1.2475161760634908e-05,
    2.9218870231272205e-06,
    -4.013599729436786e-06,
    1.5054761927491596e-06,
    1.7973119634337465e-08,
    -2.7776381506739374e-07,
    9.086572403884446e-08,
    3.2348620385677783e-09,
)
_TAIL_DOUBLE = (
    4.8499064014085835,
    1.010300464864533,
    -0.00013871931832528577,
    -0.0002150301192400421,
    7.599527684511524e-05,
    -1.9681778854734135e-05,
    4.526063726957982e-06,
    -9.929787194698863e-07,
    2.290017139389707e-07,
    -6.772283691759673e-08,
    2.915184151795477e-08,
    -1.4944535015479388e-08,
    7.614236587299254e-09,
    -3.800625880010576e-09,
    1.5067000902141345e-09,
    -2.5237506341458945e-10,
    -2.642267826662129e-11,
)

# float64, |x| <= 1/2: erfinv(x) = x p(x**2)
_SMALL_DOUBLE = (
    0.886226925452758,
    0.2320136665346541,
    0.12755617530571176,
    0.08655212922832886,
    0.06495961854823122,
    0.05173125268421143,
    0.04283741653882924,
    0.03645464146931583,
    0.031817677826812635,
    0.02693550337433679,
    0.031074038796239795,
    -0.002008974017500012,
    0.0884278130917632,
    -0.09796672479578611,
    0.12092425196611757,
)

# erf(x) = x + x p(x**2) for |x| <= 1
_ERF_SMALL = {
    FLOAT32: (
        0.12837916612625122,
        -0.3761262595653534,
        0.1128358542919159,
        -0.026853810995817184,
        0.00518832728266716,
        -0.0008010190795175731,
        7.85385345807299e-05,
    ),
    FLOAT64: (
        0.1283791670955126,
        -0.3761263890318375,
        0.11283791670954857,
        -0.026866170645072896,
        0.005223977624780878,
        -0.0008548326978742835,
        0.00012055331036919498,
        -1.4925593507269706e-05,
        1.646097282138302e-06,
        -1.6350025250436282e-07,
        1.4657879910627101e-08,
        -1.1365665801510113e-09,
        5.945260824911931e-11,
    ),
}

# float32: erf(a) = 1 - exp(-p(a)) for 1 <= a <= 3.95
_ERF_LARGE = (
    0.0003416051622480154,
    1.1270889043807983,
    0.638145387172699,
    0.10310627520084381,
    -0.021837834268808365,
    0.0029476010240614414,
    -0.00018637337780091912,
)
_ERF_ONE = 3.95
"""From here on erf rounds to 1 in float32."""

# erfc(a) = exp(-a**2) p(t) / (1 + 2 a), t = (a - c) / (a + c), for a >= 0
# (Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x",
# Mathematics of Computation 36, 1981).
_ERFC = {
    FLOAT32: (
        1.2530080080032349,
        -0.13562114536762238,
        -0.047562409192323685,
        0.129646435379982,
        -0.11927079409360886,
        0.06829574704170227,
        -0.023798538371920586,
        0.002566560171544552,
        0.0020033512264490128,
        -0.0007751183584332466,
        -0.0002671795373316854,
    ),
    FLOAT64: (
        1.2329951186255526,
        -0.13962111684056286,
        0.015379652102620088,
        0.068097054254734,
        -0.10103906603632047,
        0.09373283499690113,
        -0.06633036581211176,
        0.037167515560873186,
        -0.01619773405383818,
        0.005031969769536746,
        -0.0007577733675763045,
        -0.00019925557657476852,
        0.00015062231610506345,
        -2.440295316888022e-05,
        -1.122488817446877e-05,
        5.71747115378043e-06,
        3.0137311563201276e-07,
        -8.346918403824143e-07,
        6.281419467034379e-08,
        1.1507387698359123e-07,
        -7.831868164159456e-09,
        -1.3611411049928743e-08,
        -1.7881807191699237e-09,
    ),
}
_ERFC_CENTRE = {FLOAT32: 3.0, FLOAT64: 4.0}
_ERFC_ZERO = {FLOAT32: 10.1, FLOAT64: 27.3}
"""From here on erfc rounds to 0."""


def _erf_small(x: Term, form: Format) -> Term:
    return muladd(x, polynomial(x * x, _ERF_SMALL[form]), x)


def _erfc_parts(a: Term, form: Format) -> tuple[Term, Term, Term]:
    """Return (m, n, t) with erfc(a) = m * 2**n for a >= 0."""
    a = clamp(a, None, _ERFC_ZERO[form])
    square, low = exact_square(a)
    p, n, t = exp_parts(-square, form, -low)
    centre = _ERFC_CENTRE[form]
    factor = polynomial((a - centre) / (a + centre), _ERFC[form])
    factor = factor / muladd(a, 2.0, 1.0)
    m = p + 1.0
    # What the sum rounded away still counts.
    return muladd(m, factor, (p - (m - 1.0)) * factor), n, t


def erf(x: Term) -> Term:
    """Return the error function."""
    form = format_of(x)
    a = abs(x)
    if form is FLOAT32:
        inside = clamp(a, None, _ERF_ONE)
        p, _, t = exp_parts(-polynomial(inside, _ERF_LARGE), form)
        large = muladd(p + 1.0, -power_of_two(t, form, 0), 1.0)
    else:
        large = 1.0 - scale(*_erfc_parts(a, form), form)
    return select(a < 1.0, _erf_small(x, form), copy_sign(large, x))


def erfc(x: Term) -> Term:
    """Return 1 - erf(x), to full relative precision in the right tail."""
    form = format_of(x)
    a = abs(x)
    right = scale(*_erfc_parts(a, form), form)
    result = select(x < 0.0, 2.0 - right, right)
    return select(a < 0.5, 1.0 - _erf_small(x, form), result)


def _erfinv_single(x: Term, exact: bool) -> Term:
    square, low = exact_square(x) if exact else (x * x, x.constant(0.0))
    u = 1.0 - square
    w = -log_of_sum(u, ((1.0 - u) - square) - low, FLOAT32)
    centre = w < 5.0
    argument = select(centre, w - 2.5, w.emit("sqrt") - 3.0)
    return x * polynomial(argument, blend(centre, _CENTRE, _TAIL, x))


def _erfinv_double(x: Term) -> Term:
    w = -log((1.0 - x) * (1.0 + x))
    root = w.emit("sqrt")
    centre, middle = w < 6.25, w < 16.0
    argument = select(middle, root - 3.25, root - 5.0)
    argument = select(centre, w - 3.125, argument)
    size = len(_CENTRE_DOUBLE)
    outer = blend(middle, _MIDDLE_DOUBLE, _TAIL_DOUBLE, x)
    outer += [x.constant(0.0)] * (size - len(outer))
    chosen = [select(centre, c, o) for c, o in zip(_CENTRE_DOUBLE, outer, strict=True)]
    small = polynomial(x * x, _SMALL_DOUBLE)
    return x * select(abs(x) < 0.5, small, polynomial(argument, chosen))


def erfinv(x: Term) -> Term:
    """Return the inverse of erf on (-1, 1); infinite at the ends, NaN outside."""
    return _erfinv(x, exact=True)


def erfinv_rounded(x: Term) -> Term:
    """Return erfinv with x * x rounded in float32, as XLA evaluates it.

    Random normals come from it, so that draws agree with JAX's; it loses digits where
    x * x rounds close to 1. float64 is erfinv itself.
    """
    return _erfinv(x, exact=False)


def _erfinv(x: Term, exact: bool) -> Term:
    single = format_of(x) is FLOAT32
    result = _erfinv_single(x, exact) if single else _erfinv_double(x)
    magnitude = abs(x)
    end = select(magnitude == 1.0, x * math.inf, math.nan)
    return select(magnitude < 1.0, result, end)
