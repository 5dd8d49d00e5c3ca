"""The public convolution, with its strides, paddings and dilations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rxcore.base import errors
from rxcore.ops import shape as maps
from rxcore.ops.convolution import Pairs, Shape, bind_role, by_group
from rxcore.ops.families import promote
from rxcore.trace.bind import as_numeric

__all__ = ["conv"]


def _per_axis(value: Any, rank: int, what: str) -> Shape:
    found = (value,) * rank if isinstance(value, int) else tuple(map(int, value))
    if len(found) != rank or any(v < 1 for v in found):
        raise errors.ShapeError(
            f"conv: {what} must be a positive integer or {rank} of them, got {value!r}"
        )
    return found


def resolve_padding(
    padding: Any, sizes: Shape, window: Shape, stride: Shape, call: str
) -> Pairs:
    """Return (low, high) for each axis of "VALID", "SAME", an int, ints or pairs."""
    rank = len(sizes)
    if isinstance(padding, str):
        kind = padding.upper()
        if kind == "VALID":
            return ((0, 0),) * rank
        if kind not in ("SAME", "SAME_LOWER"):
            raise errors.ShapeError(
                f"{call}: padding {padding!r} is not 'VALID', 'SAME', an integer or"
                " pairs"
            )
        found = []
        for n, k, s in zip(sizes, window, stride, strict=True):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            less, more = total // 2, total - total // 2
            found.append((less, more) if kind == "SAME" else (more, less))
        return tuple(found)
    given = (padding,) * rank if isinstance(padding, int) else tuple(padding)
    pairs = tuple(
        (p, p) if isinstance(p, int) else (int(p[0]), int(p[1])) for p in given
    )
    if len(pairs) != rank:
        raise errors.ShapeError(
            f"{call}: padding {padding!r} must name {rank} axes, one entry each"
        )
    return pairs


def conv(
    x: Any,
    w: Any,
    *,
    stride: int | Sequence[int] = 1,
    padding: Any = "VALID",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    transposed: bool = False,
) -> Any:
    """Convolve images with weights (no tap is reversed, as usual in networks).

    **Meaning**, for one space axis and one group::

        y[n, o, q] = sum(
            x_padded[n, c, q * stride + t * dilation] * w[o, c, t]
            for c in range(channels)
            for t in range(taps)
        )

    With `transposed`, each element of `x` spreads over the taps instead::

        y_padded[n, o, q * stride + t * dilation] += x[n, c, q] * w[o, c, t]

    Args:
        x: array of shape (batch, channels, space...), with 1 to 3 space axes.
        w: array of shape (outputs, channels / groups, taps...).
        stride: an integer or one for each space axis.
        padding: zeros around the images: "VALID" (none), "SAME" (as many results as
            images, divided by the stride), an integer, or for each axis an integer or
            a pair. With `transposed`: how much the result is cut off; "SAME" gives
            `stride` results for each element.
        dilation: distance between taps: an integer or one for each space axis.
        groups: parts into which channels and outputs fall; each output sees the
            channels of its own part only.
        transposed: spread instead of gather.

    Returns:
        Array of shape (batch, outputs, space...).

    Raises:
        ShapeError: when shapes, groups or settings do not fit.

    Example:
        >>> import rxcore as rx
        >>> x = rx.asarray([[[1.0, 2.0, 3.0]]])
        >>> rx.conv(x, rx.asarray([[[1.0, 1.0]]]))
        Array([[[3., 5.]]], dtype=float32)

    Paper: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning",
    arXiv:1603.07285 (2016).
    """
    a, b = promote([as_numeric(x, "conv"), as_numeric(w, "conv")])
    rank = a.ndim - 2
    if rank < 1 or b.ndim != a.ndim:
        raise errors.ShapeError(
            "conv: x must have shape (batch, channels, space...) and w (outputs,"
            f" channels / groups, taps...), got {a.shape} and {b.shape}"
        )
    if groups < 1 or b.shape[0] % groups or a.shape[1] != b.shape[1] * groups:
        raise errors.ShapeError(
            f"conv: with groups={groups}, w of shape {b.shape} needs"
            f" {b.shape[1] * groups} channels and a multiple of {groups} outputs; x has"
            f" shape {a.shape}"
        )
    steps = _per_axis(stride, rank, "stride")
    gaps = _per_axis(dilation, rank, "dilation")
    reach = tuple((k - 1) * d + 1 for k, d in zip(b.shape[2:], gaps, strict=True))
    window: dict[str, Any] = {"stride": steps, "dilation": gaps, "groups": groups}
    if transposed:
        return _spread(a, b, padding, reach, window)
    window["padding"] = resolve_padding(padding, a.shape[2:], reach, steps, "conv")
    return bind_role("y", a, b, window, ())


def _spread(x: Any, w: Any, padding: Any, reach: Shape, window: dict[str, Any]) -> Any:
    """Apply a transposed convolution: the forward one maps its result to x."""
    steps, groups = window["stride"], window["groups"]
    if isinstance(padding, str) and padding.upper() == "SAME":
        space = tuple(n * s for n, s in zip(x.shape[2:], steps, strict=True))
        pairs = resolve_padding(padding, space, reach, steps, "conv")
    else:
        pairs = resolve_padding(padding, x.shape[2:], reach, steps, "conv")
        space = tuple(
            max((n - 1) * s + k - low - high, 0)
            for n, s, k, (low, high) in zip(
                x.shape[2:], steps, reach, pairs, strict=True
            )
        )
    # The forward weights' outputs are the channels of x.
    parts = by_group(w, 0, groups)
    swapped = maps.move_axis(parts, 2, 1)
    shape = (x.shape[1], w.shape[0] // groups, *w.shape[2:])
    weights = maps.reshape(swapped, shape)
    return bind_role("x", x, weights, {**window, "padding": pairs}, space)
