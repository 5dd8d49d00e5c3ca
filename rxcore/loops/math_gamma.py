"""lgamma and digamma.

For x > 0 the line is cut, every piece computed and one selected: below 3/4 the
recurrence goes up by one; on [3/4, 11/4) a polynomial holds the zeros as exact factors;
beyond it digamma has its asymptotic series, while lgamma goes down by the recurrence
until Stirling's series takes over at 8. Negative x is reflected.
"""

from __future__ import annotations

import math

from rxcore.loops.math_format import FLOAT32, FLOAT64, Format, format_of, polynomial
from rxcore.loops.math_logarithm import log
from rxcore.loops.scalar import Term, muladd, select

_LOW, _HIGH, _STEPS = 0.75, 8.0, 6
_CENTRE = 1.75

# sin(pi r) / pi = r + r**3 p(r**2) for |r| <= 1/2
_SIN_PI = {
    FLOAT32: (
        -1.644934058189392,
        0.8117421865463257,
        -0.1907479614019394,
        0.02611752226948738,
        -0.002237106440588832,
    ),
    FLOAT64: (
        -1.6449340668482264,
        0.8117424252833536,
        -0.19075182412208258,
        0.026147847817611355,
        -0.0023460810348035275,
        0.00014842878709947068,
        -6.975840349152753e-06,
        2.530087187816265e-07,
        -7.0920363482902465e-09,
    ),
}

# pi / tan(pi r) = 1 / r + r p(r**2) for |r| <= 1/2
_COTANGENT = {
    FLOAT32: (
        -3.2898685932159424,
        -2.1645944118499756,
        -2.0368454456329346,
        -1.9689947366714478,
        -2.360471248626709,
        -0.30447831749916077,
        -5.720341205596924,
    ),
    FLOAT64: (
        -3.2898681336964533,
        -2.16464646742194,
        -2.034686124031741,
        -2.008154706899371,
        -2.0019894231534106,
        -2.0004836316123966,
        -2.000301970327789,
        -1.9973987977018006,
        -2.027555428478437,
        -1.7921355616043266,
        -3.127961040051415,
        2.3274980356742896,
        -13.288932896809825,
        16.439503603724834,
        -17.3549330757075,
    ),
}

# lgamma(y) = (y - 1) (y - 2) p(y - 7/4) on [3/4, 11/4]
_LGAMMA = {
    FLOAT32: (
        0.4501393139362335,
        -0.11948158591985703,
        0.044520504772663116,
        -0.019054066389799118,
        0.008775216527283192,
        -0.004224720411002636,
        0.002104430692270398,
        -0.0010694406228139997,
        0.0005116479005664587,
        -0.00025522446958348155,
        0.00021448111510835588,
        -0.00012730545131489635,
        -2.759477138170041e-05,
        2.407858664810192e-05,
        4.5683682401431724e-05,
        -2.7100040824734606e-05,
    ),
    FLOAT64: (
        0.4501393121092563,
        -0.11948158662524296,
        0.044520447198510824,
        -0.019053957830213596,
        0.008776370425155163,
        -0.004226194127506773,
        0.0020955338834468514,
        -0.0010605660405961388,
        0.0005448969266690304,
        -0.0002831910520900904,
        0.00014851746588283345,
        -7.845841636140414e-05,
        4.1700403839302714e-05,
        -2.229866697017141e-05,
        1.1974226150241806e-05,
        -6.3750982124346635e-06,
        3.420928004864936e-06,
        -2.0576519741030524e-06,
        1.1705392076555902e-06,
        -2.386921335870412e-07,
        5.135055129669739e-08,
        -5.981342741896604e-07,
        4.133726759199902e-07,
        3.5875701446971046e-07,
        -2.617431175668299e-07,
        -2.775226754627154e-07,
        1.8516940470857336e-07,
        9.956440348609464e-08,
        -6.455673914676575e-08,
        -2.1928501678661194e-08,
        1.3415912273288948e-08,
    ),
}

# lgamma(x) = (x - 1/2) (log x - 1) + (log(2 pi) - 1) / 2 + p(1 / x**2) / x
_STIRLING = {
    FLOAT32: (
        0.0833333358168602,
        -0.0027776386123150587,
        0.0007767821080051363,
    ),
    FLOAT64: (
        0.08333333333333333,
        -0.002777777777762736,
        0.000793650783785993,
        -0.0005952352333023718,
        0.0008413217948072789,
        -0.0018825930845881415,
        0.004908909195661966,
    ),
}
_STIRLING_CONSTANT = 0.4189385332046727

# digamma(y) = (y - root) p(y - 7/4) on [3/4, 11/4]
_DIGAMMA = {
    FLOAT32: (
        0.8581832051277161,
        -0.32625457644462585,
        0.15712003409862518,
        -0.08228745311498642,
        0.04480200633406639,
        -0.024864666163921356,
        0.013960967771708965,
        -0.00806410051882267,
        0.004620135296136141,
        -0.002071151975542307,
        0.0010934359161183238,
        -0.001679462380707264,
        0.0010614664060994983,
        0.0005300065968185663,
        -0.00036584478220902383,
        -0.0004399137105792761,
        0.0002671018010005355,
    ),
    FLOAT64: (
        0.8581832171262995,
        -0.326254627868105,
        0.1571201133520399,
        -0.08228558635590112,
        0.04479965445304158,
        -0.02489004848237016,
        0.013985786174094968,
        -0.007910468945008516,
        0.004491813899969541,
        -0.0025566840586472377,
        0.0014573723897254862,
        -0.0008315197783381962,
        0.00047469904624002616,
        -0.0002709499837803659,
        0.000154728419781775,
        -8.900448445493203e-05,
        5.0988519367122016e-05,
        -2.7196161291942498e-05,
        1.519631634234015e-05,
        -1.3212833329847703e-05,
        8.182533289663627e-06,
        3.172469535789042e-06,
        -2.6672251973852343e-06,
        -8.522714448478295e-06,
        5.7060102039312246e-06,
        6.113234959343119e-06,
        -4.069459564928033e-06,
        -3.868391302353577e-06,
        2.4757618889348947e-06,
        1.3304704188068398e-06,
        -8.334485763730969e-07,
        -2.555885156054716e-07,
        1.551988185849536e-07,
    ),
}
_DIGAMMA_ROOT = {
    FLOAT32: (1.4616321325302124, 1.2438149938918909e-08),
    FLOAT64: (1.4616321449683622, 9.549995429965697e-17),
}

# digamma(x) = log x - 1 / (2 x) - p(1 / x**2) / x**2 for x >= 11/4
_DIGAMMA_SERIES = {
    FLOAT32: (
        0.08333325386047363,
        -0.008327420800924301,
        0.0038213112857192755,
        -0.0026106215082108974,
    ),
    FLOAT64: (
        0.08333333333333143,
        -0.00833333333211385,
        0.0039682536938373,
        -0.004166635273228004,
        0.007573607438418532,
        -0.02099595321859096,
        0.08027808417614436,
        -0.3722602577877778,
        1.7751888899941128,
        -7.393191871213104,
        23.251444551822665,
        -46.95369225948813,
        44.67226659161424,
    ),
}


def _nearest(a: Term, form: Format) -> Term:
    """Return a - round(a) for a >= 0."""
    whole = 2.0**form.fraction
    return select(a < whole, a - ((a + whole) - whole), 0.0)


def _sine_over_pi(r: Term, form: Format) -> Term:
    """Return sin(pi r) / pi for |r| <= 1/2."""
    z = r * r
    return muladd(r * z, polynomial(z, _SIN_PI[form]), r)


def _count_down(a: Term) -> Term:
    """Return how many unit steps bring a below 11/4, for a < 8."""
    count = a.constant(0.0)
    for step in range(1, _STEPS + 1):
        count = count + select(a >= _CENTRE + step, a.constant(1.0), 0.0)
    return count


def _lgamma_positive(a: Term, form: Format) -> Term:
    low, high = a < _LOW, a >= _HIGH
    # y - 1 and y - 2 are exact, so the zeros at 1 and 2 keep all their digits.
    count = _count_down(a)
    above_one = select(low, a, (a - 1.0) - count)
    above_two = select(low, a - 1.0, (a - 2.0) - count)
    core = above_one * above_two * polynomial(above_two + 0.25, _LGAMMA[form])
    product = a.constant(1.0)
    for step in range(1, _STEPS + 1):
        factor = select(a >= _CENTRE + step, a - float(step), 1.0)
        product = product * factor
    logarithm = log(select(low | high, a, product))
    inverse = 1.0 / a
    series = inverse * polynomial(inverse * inverse, _STIRLING[form])
    large = muladd(a - 0.5, logarithm - 1.0, series + _STIRLING_CONSTANT)
    return select(high, large, core + select(low, -logarithm, logarithm))


def lgamma(x: Term) -> Term:
    """Return log |gamma(x)|; inf at 0 and at the negative integers."""
    form = format_of(x)
    a = abs(x)
    positive = _lgamma_positive(a, form)
    r = abs(_nearest(a, form))
    sine = _sine_over_pi(r, form)
    # So near to 0 gamma is 1 / x, and a * sine would underflow.
    near = a < 2.0 ** -(form.fraction + 7)
    reflected = -log(select(near, a, a * sine))
    reflected = reflected - select(near, a.constant(0.0), positive)
    reflected = select(r == 0.0, math.inf, reflected)
    return select(x < 0.0, reflected, positive)


def _digamma_positive(a: Term, form: Format) -> Term:
    low = a < _LOW
    root, rest = _DIGAMMA_ROOT[form]
    y = select(low, a + 1.0, a)
    core = ((y - root) - rest) * polynomial(y - _CENTRE, _DIGAMMA[form])
    inverse = 1.0 / a
    square = inverse * inverse
    series = square * polynomial(square, _DIGAMMA_SERIES[form])
    large = log(a) - muladd(inverse, 0.5, series)
    small = core - select(low, inverse, 0.0)
    return select(a >= _CENTRE + 1, large, small)


def digamma(x: Term) -> Term:
    """Return the derivative of lgamma; -inf at 0, inf at -0, NaN at other poles."""
    form = format_of(x)
    negative = x < 0.0
    positive = _digamma_positive(select(negative, 1.0 - x, x), form)
    r = _nearest(abs(x), form)
    turn = muladd(r, polynomial(r * r, _COTANGENT[form]), 1.0 / r)
    pole = (r == 0.0) & negative
    result = select(negative, positive + turn, positive)
    result = select(x == 0.0, -1.0 / x, result)
    return select(pole, math.nan, result)
