"""How implementations of "the same" quantization differ, as data."""

from __future__ import annotations

from attrs import frozen

from rxcore.base import errors

__all__ = ["PROFILES", "Profile", "profile_of"]


@frozen
class Profile:
    """The numbers and choices in which implementations of quantization differ.

    All of them make codes by `clip(round(x / scale) + zero_point, lowest, highest)` and
    let the range include zero. They do not agree on the rest.

    Args:
        name: the word that names it in `QuantSpec`.
        narrow: whether symmetric signed codes begin at `1 - 2**(bits - 1)`, so that
            they are as many below zero as above; otherwise at `-2**(bits - 1)`.
        levels: whether a symmetric scale is the largest magnitude divided by
            `(2**bits - 1) / 2` (127.5 of 8 bits); otherwise by half the distance of the
            lowest and the highest code, which is 127 for narrow codes.
        centered: whether symmetric unsigned codes have their zero point in the middle;
            otherwise it is 0, and negative numbers are cut off.
        reciprocal: whether x is multiplied by `1 / scale`; otherwise it is divided by
            the scale. One in a million codes differs.
        away: whether halves round away from zero; otherwise to the even neighbour.
        least: the smallest scale (or range, see `by_range`) that is used as it is.
        instead: the scale that stands for a smaller one.
        by_range: whether `least` is compared with the largest magnitude.
        wide: whether scale and zero point of an asymmetric range are computed in
            float64.
        zero_first: whether `low / scale` is rounded before it is taken from the lowest
            code to give a zero point; otherwise the difference is rounded.

    Source: `onnx`, onnxruntime's `quant_utils.compute_scale_zp` and QuantizeLinear;
    `torch`, `torch.ao.quantization.observer` and its fake_quantize kernels; `trt`,
    NVIDIA Model Optimizer's `tensor_quant`; `aqt`, google/aqt and google/qwix.
    """

    name: str
    narrow: bool
    levels: bool = False
    centered: bool = True
    reciprocal: bool = False
    away: bool = False
    least: float = 0.0
    instead: float = 1.0
    by_range: bool = False
    wide: bool = False
    zero_first: bool = False


PROFILES = {
    p.name: p
    for p in (
        Profile("onnx", narrow=True, least=2.0**-126, wide=True),
        Profile(
            "torch",
            narrow=False,
            reciprocal=True,
            least=2.0**-23,
            instead=2.0**-23,
            zero_first=True,
        ),
        Profile(
            "trt",
            narrow=True,
            centered=False,
            reciprocal=True,
            # The largest magnitude that is still taken for zero is 2**-24.
            least=2.0**-24 * (1 + 2.0**-23),
            by_range=True,
        ),
        Profile("aqt", narrow=True, levels=True, least=2.0**-149),
    )
}
"""The profiles by name."""


def profile_of(given: str | Profile) -> Profile:
    """Return the profile of a name; a profile is returned as it is."""
    if isinstance(given, Profile):
        return given
    if not isinstance(given, str) or given not in PROFILES:
        known = ", ".join(sorted(PROFILES))
        raise errors.UserError(
            f"QuantSpec: profile={given!r}; expected one of {known}, or a Profile"
        )
    return PROFILES[given]
