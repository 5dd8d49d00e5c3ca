"""Convolution and pooling against their definitions, element by element."""

import itertools
from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore.base import errors
from rxcore.ops.convolve import conv
from rxcore.ops.window import reduce_window

RNG = np.random.default_rng(5)


def channel_pairs(x: Any, w: Any, groups: int) -> Any:
    """Yield (image, channel of x, output, channel of w) of each product."""
    channels, outputs = x.shape[1] // groups, w.shape[0] // groups
    for n, g in itertools.product(range(x.shape[0]), range(groups)):
        for c, o in itertools.product(range(channels), range(outputs)):
            yield n, g * channels + c, g * outputs + o, c


def conv_by_definition(
    x: Any, w: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    x = np.pad(x, [(0, 0), (0, 0), *padding])
    sizes = [
        (n - (k - 1) * d - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], w.shape[2:], stride, dilation, strict=True)
    ]
    y = np.zeros((x.shape[0], w.shape[0], *sizes))
    for n, channel, output, c in channel_pairs(x, w, groups):
        for place in np.ndindex(*sizes):
            for tap in np.ndindex(*w.shape[2:]):
                at = tuple(
                    q * s + t * d
                    for q, s, t, d in zip(place, stride, tap, dilation, strict=True)
                )
                y[(n, output, *place)] += x[(n, channel, *at)] * w[(output, c, *tap)]
    return y


CONVOLUTIONS: tuple[tuple[Any, Any, dict[str, Any]], ...] = (
    ((2, 3, 7), (4, 3, 3), {}),
    ((1, 4, 9), (6, 2, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}),
    ((2, 2, 5, 6), (3, 2, 3, 2), {"stride": (2, 1), "padding": ((1, 2), (0, 1))}),
    ((1, 3, 4, 4), (3, 1, 2, 2), {"groups": 3}),
    ((1, 2, 3, 4, 3), (2, 2, 2, 2, 2), {"padding": 1, "stride": 2}),
)


def settings_of(rank: int, options: dict[str, Any]) -> tuple[Any, Any, Any, int]:
    def each(value: Any) -> Any:
        return (value,) * rank if isinstance(value, int) else value

    given = each(options.get("padding", 0))
    padding = tuple((p, p) if isinstance(p, int) else p for p in given)
    return (
        each(options.get("stride", 1)),
        padding,
        each(options.get("dilation", 1)),
        options.get("groups", 1),
    )


@pytest.mark.parametrize(("x", "w", "options"), CONVOLUTIONS, ids=str)
def test_convolution_is_its_definition(x: Any, w: Any, options: Any) -> None:
    images, weights = RNG.normal(size=x), RNG.normal(size=w)
    expected = conv_by_definition(images, weights, *settings_of(len(x) - 2, options))
    for run in (conv, rx.jit(lambda a, b: conv(a, b, **options))):
        found = run(images, weights, **(options if run is conv else {}))
        assert found.shape == expected.shape
        assert np.allclose(found, expected)


@pytest.mark.parametrize(("x", "w", "options"), CONVOLUTIONS, ids=str)
def test_the_transposed_one_is_the_adjoint(x: Any, w: Any, options: Any) -> None:
    """<conv(x, w), y> = <x, transposed(y, w)>, the weights' channels exchanged."""
    images, weights = RNG.normal(size=x), RNG.normal(size=w)
    stride, padding, dilation, groups = settings_of(len(x) - 2, options)
    exact = []
    rows = zip(x[2:], w[2:], stride, padding, dilation, strict=True)
    for n, k, s, (low, high), d in rows:
        # Padding that no window reaches is none: the transposed one cannot know it.
        unused = (n + low + high - (k - 1) * d - 1) % s
        exact.append((low, high - unused))
    window = {"stride": stride, "padding": exact, "dilation": dilation}
    y = conv(images, weights, **window, groups=groups)
    ct = RNG.normal(size=y.shape)
    parts = weights.reshape(groups, w[0] // groups, *w[1:])
    swapped = np.swapaxes(parts, 1, 2).reshape(w[1] * groups, w[0] // groups, *w[2:])
    back = np.asarray(conv(ct, swapped, **window, groups=groups, transposed=True))
    assert back.shape == images.shape
    assert np.isclose(np.vdot(y, ct), np.vdot(images, back))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("taps", [1, 2, 3, 4])
def test_same_padding_keeps_the_places(stride: int, taps: int) -> None:
    x, w = np.ones((1, 1, 8)), np.ones((1, 1, taps))
    assert conv(x, w, stride=stride, padding="SAME").shape[2] == -(-8 // stride)
    spread = conv(x, w, stride=stride, padding="SAME", transposed=True)
    assert spread.shape[2] == 8 * stride


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "channels": ({"groups": 2}, "with groups=2, w of shape"),
    "padding": ({"padding": "FULL"}, "padding 'FULL' is not"),
    "paddings": ({"padding": (1, 2, 3)}, "must name 2 axes"),
    "stride": ({"stride": 0}, "stride must be a positive integer or 2 of them"),
    "dilation": ({"dilation": (1,)}, "dilation must be a positive integer or 2"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_told(name: str) -> None:
    options, text = BAD[name]
    with pytest.raises(errors.ShapeError, match=text):
        conv(np.ones((1, 3, 5, 5)), np.ones((4, 3, 2, 2)), **options)


# pooling ----------------------------------------------------------------------------

JOINS = {"add": np.sum, "max": np.max, "min": np.min, "mul": np.prod}


@pytest.mark.parametrize("name", JOINS)
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
def test_pooling_is_its_definition(name: str, stride: tuple[int, int]) -> None:
    x = RNG.normal(size=(6, 8))
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 3))
    expected = JOINS[name](windows[:: stride[0], :: stride[1]], axis=(2, 3))
    found = rx.jit(lambda v: reduce_window(v, None, name, (2, 3), stride))(x)
    assert np.allclose(found, expected)


def test_the_gradient_of_a_maximum_goes_to_the_first_of_equals() -> None:
    x = rx.asarray(np.ones((2, 4), np.float32))
    out, back = rx.vjp(lambda v: reduce_window(v, None, "max", (2, 2), (2, 2)), x)
    (dx,) = back(rx.asarray(np.ones(out.shape, np.float32)))
    assert np.array_equal(dx, [[1, 0, 1, 0], [0, 0, 0, 0]])


def test_padding_and_the_initial_value() -> None:
    x = rx.asarray([-1.0, -2.0, -3.0])
    same = reduce_window(x, None, "max", (2,), padding="SAME")
    assert np.array_equal(same, [-1, -2, -3])
    assert np.array_equal(reduce_window(x, 0.0, "max", (2,)), [0, 0])
    with pytest.raises(errors.UserError, match="computation 'median' is not one of"):
        reduce_window(x, None, "median", (2,))
    with pytest.raises(errors.ShapeError, match="one entry for each axis"):
        reduce_window(x, None, "max", (2, 2))


def test_nan_is_kept() -> None:
    x = rx.asarray([1.0, np.nan, 3.0, 0.0])
    for name in ("max", "min", "add"):
        found = np.asarray(reduce_window(x, None, name, (2,)))
        assert np.array_equal(np.isnan(found), [True, True, False])
