"""Wrong input is named exactly; NaN never becomes a code."""

from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore import quant
from rxcore.base import errors
from rxcore.quant import QuantSpec, dequantize, fake_quant, quantize

X = np.array([[1.0, -2.0, 0.5], [3.0, 0.0, -1.0]], np.float32)
ASYMMETRIC = QuantSpec(symmetric=False)


def refused(kind: type[Exception], text: str, call: Any, *args: Any, **kw: Any) -> None:
    """The call raises exactly this."""
    with pytest.raises(kind) as caught:
        call(*args, **kw)
    assert str(caught.value).splitlines()[0] == text


@pytest.mark.parametrize("bits", [0, 1, 9, 16, -3])
def test_bits_out_of_range(bits: int) -> None:
    text = f"QuantSpec: bits={bits}; expected 2 <= bits <= 8"
    refused(errors.UserError, text, QuantSpec, bits=bits)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"bits": 4.0}, "QuantSpec: bits=4.0; expected an int"),
        (
            {"axis": 1.5},
            "QuantSpec: axis=1.5; expected an int (the axis that keeps its own scale)"
            " or None",
        ),
        (
            {"axis": 0, "block_size": (1, -1)},
            "QuantSpec: axis=0 and block_size=(1, -1); give one of them",
        ),
        (
            {"block_size": (0, 3)},
            "QuantSpec: block_size=(0, 3); expected lengths of at least 1, or -1 for"
            " the whole axis",
        ),
        (
            {"block_size": 32},
            "QuantSpec: block_size=32; expected a tuple of ints, one for each axis; -1"
            " is the whole axis",
        ),
        (
            {"profile": "ggml"},
            "QuantSpec: profile='ggml'; expected one of aqt, onnx, torch, trt, or a"
            " Profile",
        ),
        (
            {"zero_point": "float"},
            "QuantSpec: zero_point='float' with symmetric=True; a symmetric range has"
            " no zero point to choose: pass symmetric=False",
        ),
        (
            {"zero_point": "byte", "symmetric": False},
            "QuantSpec: zero_point='byte'; expected 'int' or 'float'",
        ),
    ],
)
def test_specs_that_make_no_sense(options: dict[str, Any], text: str) -> None:
    refused(errors.UserError, text, QuantSpec, **options)


BOTH = pytest.mark.parametrize("call", [quantize, fake_quant])


@BOTH
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_scales_that_cannot_divide(call: Any, value: float) -> None:
    scale = np.array([0.5, value, 1.0], np.float32)
    text = f"{call.__name__}: scale[0, 1] is {value:g}; expected positive finite scales"
    refused(errors.UserError, text, call, X, QuantSpec(axis=1), scale=scale)


@BOTH
def test_nan_never_becomes_a_code(call: Any) -> None:
    x = X.copy()
    x[1, 1] = np.nan
    text = (
        f"{call.__name__}: x (shape (2, 3)) holds 1 NaN, which no code stands for;"
        " replace them first, as with rx.numpy.nan_to_num"
    )
    refused(errors.UserError, text, call, x, QuantSpec())
    refused(errors.UserError, text, call, x, QuantSpec(), scale=1.0)


def test_nan_in_a_trace_is_a_code_or_a_scale_that_shows_it() -> None:
    x = X.copy()
    x[1, 1] = np.nan
    q = rx.jit(lambda x: quantize(x, QuantSpec(axis=1)))(x)
    assert np.isnan(q.scale).tolist() == [[False, True, False]]
    assert np.isnan(dequantize(q))[:, 1].all()
    faked = rx.jit(lambda x: fake_quant(x, QuantSpec(), 1.0))(x)
    assert np.array_equal(np.isnan(faked), np.isnan(x))


def test_infinity_in_x() -> None:
    x = X.copy()
    x[0, 0] = np.inf
    text = (
        "quantize: the range of x is not finite; scale[0, 0] is inf; expected positive"
        " finite scales"
    )
    refused(errors.UserError, text, quantize, x, QuantSpec())
    # Numbers are finite, but not their distance in float32.
    wide = np.array([[-3e38, 3e38]], np.float32)
    spec = QuantSpec(symmetric=False, profile="torch")
    refused(errors.UserError, text, quantize, wide, spec)
    assert np.asarray(quantize(x, QuantSpec(), scale=1.0).codes)[0, 0] == 127


@BOTH
def test_axes(call: Any) -> None:
    name = call.__name__
    text = (
        f"{name}: axis=2 is out of range for an array of shape (2, 3); expected -2 <="
        " axis < 2"
    )
    refused(errors.ShapeError, text, call, X, QuantSpec(axis=2))
    text = (
        f"{name}: the array has shape (0, 3): axis 0 has length 0, so there is nothing"
        " to quantize"
    )
    refused(errors.ShapeError, text, call, X[:0], QuantSpec())
    text = (
        f"{name}: block_size=(2,) has 1 lengths, the array has shape (2, 3); give one"
        " for each axis, -1 for a whole one"
    )
    refused(errors.ShapeError, text, call, X, QuantSpec(block_size=(2,)))
    text = (
        f"{name}: scale has shape (2,); an array of shape (2, 3) in blocks of (2, 1)"
        " needs (1, 3), (3,) or ()"
    )
    scale = np.ones(2, np.float32)
    refused(errors.ShapeError, text, call, X, QuantSpec(axis=1), scale=scale)
    text = (
        f"{name}: got int32 (shape (2, 3)); expected a real floating dtype: convert it"
        " with .astype(...)"
    )
    refused(errors.DTypeError, text, call, X.astype(np.int32), QuantSpec())


@BOTH
def test_zero_points(call: Any) -> None:
    name = call.__name__
    text = (
        f"{name}: zero_point is given, but the spec is symmetric; pass a spec with"
        " symmetric=False"
    )
    options: dict[str, Any] = {"scale": 1.0, "zero_point": 3}
    refused(errors.UserError, text, call, X, QuantSpec(), **options)
    text = f"{name}: zero_point is given without scale; give both, or neither"
    refused(errors.UserError, text, call, X, ASYMMETRIC, zero_point=3)


def test_zero_points_that_are_no_codes() -> None:
    text = "quantize: zero_point is 200; expected codes, -128 to 127"
    options: dict[str, Any] = {"scale": 1.0, "zero_point": 200}
    refused(errors.UserError, text, quantize, X, ASYMMETRIC, **options)
    options["zero_point"] = 0.5
    text = (
        "quantize: zero_point is float32, the spec wants integers: convert it, or pass"
        " a spec with zero_point='float'"
    )
    refused(errors.DTypeError, text, quantize, X, ASYMMETRIC, **options)
    spec = ASYMMETRIC.with_(zero_point="float")
    options["zero_point"] = np.inf
    text = "quantize: zero_point is inf; expected finite numbers"
    refused(errors.UserError, text, quantize, X, spec, **options)


def test_specs_and_statistics() -> None:
    text = "quantize: expected a QuantSpec or statistics of calibration, got int"
    refused(errors.UserError, text, quantize, X, 8)
    calibrator = quant.minmax(QuantSpec())
    stats = calibrator.update(calibrator.init(X), X)
    text = (
        "quantize: scale and zero_point follow from the statistics; pass"
        " statistics.spec to give your own"
    )
    refused(errors.UserError, text, quantize, X, stats, scale=1.0)
    text = "dequantize: expected a QTensor, got ndarray; rx.quantize makes one"
    refused(errors.UserError, text, dequantize, X)


def test_zeros_have_a_scale() -> None:
    for profile in quant.PROFILES:
        for symmetric in (True, False):
            spec = QuantSpec(profile=profile, symmetric=symmetric, axis=1)
            x = X * np.array([1, 0, 1], np.float32)
            q = quantize(x, spec)
            assert (np.asarray(dequantize(q))[:, 1] == 0).all()
            assert np.asarray(q.scale)[0, 1] in (1.0, np.float32(2.0**-23))


def test_reports() -> None:
    q = quantize(X, QuantSpec(axis=1))
    made = quant.report({"w": X, "b": X[0]}, {"w": q, "b": X[0]})
    y = np.asarray(dequantize(q)).astype(np.float64)
    noise = ((X - y) ** 2).sum()
    signal = (X.astype(np.float64) ** 2).sum() + (X[0].astype(np.float64) ** 2).sum()
    assert np.isclose(made.sqnr, 10 * np.log10(signal / noise))
    assert np.isclose(made.max_error, np.abs(X - y).max())
    assert made.bytes_before == 36
    assert made.bytes_after == 6 + 12 + 12
    assert np.isclose(made.bits_per_weight, 8 * 30 / 9)
    assert 0.99 < made.cosine <= 1
    same = quant.report(X, X)
    assert (same.sqnr, same.cosine, same.max_error) == (np.inf, 1.0, 0.0)
    text = "quant.report: x has shape (2, 3), its quantized form (2, 2)"
    refused(errors.ShapeError, text, quant.report, X, X[:, :2])
    with pytest.raises(errors.TreeError, match="q does not have the structure of x"):
        quant.report({"w": X}, {"v": q})


def test_nan_is_seen_behind_vmap_and_grad() -> None:
    x = np.array([[1.0, 2.0], [np.nan, 3.0]], np.float32)
    tail = "(shape (2,)) holds 1 NaN, which no code stands for; replace them first, as"
    text = f"quantize: x {tail} with rx.numpy.nan_to_num"
    refused(errors.UserError, text, rx.vmap(lambda v: quantize(v, QuantSpec())), x)
    text = f"fake_quant: x {tail} with rx.numpy.nan_to_num"

    def loss(v: Any) -> Any:
        return fake_quant(v, QuantSpec(), 1.0).sum()

    refused(errors.UserError, text, rx.grad(loss), x[1])
    refused(errors.UserError, text, rx.vmap(rx.grad(loss)), x)


@pytest.mark.parametrize("spec", [QuantSpec(axis=0), QuantSpec(block_size=(1, 2))])
def test_nan_is_not_lost_where_it_is_unknown(spec: QuantSpec) -> None:
    """A compiled function cannot refuse; then the whole block is NaN."""
    x = np.array([[1.0, -2.0, 0.5], [np.nan, 0.0, -1.0]], np.float32)
    call = rx.jit(lambda x: dequantize(quantize(x, spec, scale=0.5)))
    made = np.asarray(call(x))
    want = np.where(np.isnan(x), 7.0, x)
    bad = np.array([1, 1, 1] if spec.axis == 0 else [1, 1, 0], bool)
    np.testing.assert_array_equal(np.isnan(made), np.outer([0, 1], bad))
    np.testing.assert_array_equal(made[~np.isnan(made)], want[~np.isnan(made)])


def test_products_keep_nan() -> None:
    w = quantize(X.T, QuantSpec(axis=1))
    calibrator = quant.minmax(QuantSpec())
    stats = calibrator.update(calibrator.init(X), X)
    out = calibrator.update(calibrator.init((2, 2)), np.float32([[-9, 9], [0, 0]]))

    def call(x: Any) -> Any:
        q = quant.matmul(x, w, x_spec=stats, out_spec=out)
        return quant.matmul(x, w, x_spec=stats), dequantize(q)

    broken = X.copy()
    broken[0, 0] = np.nan
    assert all(np.isfinite(np.asarray(y)).all() for y in rx.jit(call)(X))
    assert all(np.isnan(np.asarray(y)).all() for y in rx.jit(call)(broken))


def test_infinite_elements_have_no_range() -> None:
    x = np.array([1.0, np.inf, -np.inf], np.float32)
    tail = "x (shape (3,)) holds 2 infinite elements, so its range has no scale; clip"
    tail += " it first, or give a scale"
    refused(errors.UserError, f"fake_quant: {tail}", fake_quant, x, QuantSpec())
    text = f"quant.lsq_scale: {tail}"
    refused(errors.UserError, text, quant.lsq_scale, x, QuantSpec())
    np.testing.assert_array_equal(fake_quant(x, QuantSpec(), 1.0), [1, 127, -127])
    nan = np.array([1.0, np.nan], np.float32)
    with pytest.raises(errors.UserError, match=r"quant.lsq_scale: x .* holds 1 NaN"):
        quant.lsq_scale(nan, QuantSpec())


METHODS = [
    quant.minmax,
    quant.moving_average,
    quant.percentile,
    quant.kl,
    quant.mse,
]


@pytest.mark.parametrize("method", METHODS)
def test_statistics_that_say_nothing(method: Any) -> None:
    calibrator = method(QuantSpec())
    text = (
        "quantize: the statistics have seen no data; gather some first: stats ="
        " calibrator.update(stats, x)"
    )
    refused(errors.UserError, text, quantize, X, calibrator.init(X))
    for value in (np.nan, np.inf):
        x = X.copy()
        x[0, 0] = value
        stats = calibrator.update(calibrator.init(x), x)
        text = f"quantize: scale[0, 0] is {value:g}; expected positive finite scales"
        refused(errors.UserError, text, quantize, X, stats)


def test_statistics_of_different_calibrators() -> None:
    a, b = quant.minmax(QuantSpec()), quant.minmax(QuantSpec(bits=4))
    with pytest.raises(errors.UserError, match="statistics are not of one calibrator"):
        a.merge(a.init(X), b.init(X))
    a, b = (quant.kl(QuantSpec(), bins=n) for n in (64, 128))
    text = "quant.kl.merge: histograms of 128 and 256 bins; they must be equal"
    refused(errors.ShapeError, text, a.merge, a.init(X), b.init(X))


def test_options_of_another_kind() -> None:
    text = "fake_quant: scale_gradient='foo'; expected a number or 'lsq'"
    call: Any = fake_quant
    refused(errors.UserError, text, call, X, QuantSpec(), 1.0, scale_gradient="foo")
    text = "dequantize: dtype=int32; expected a real floating dtype"
    q = quantize(X, QuantSpec(axis=0))
    refused(errors.DTypeError, text, dequantize, q, "int32")
    w = quantize(X.T, QuantSpec(axis=1))
    text = (
        "quant.matmul: activation='relu'; expected a function of arrays, such as"
        " rx.nn.relu"
    )
    refused(errors.UserError, text, quant.matmul, X, w, activation="relu")
    text = (
        "quant.matmul: bias has shape (3, 2, 2), which does not broadcast to the"
        " result's (2, 2); give it one number for each column: (2,)"
    )
    bias = np.zeros((3, 2, 2), np.float32)
    refused(errors.ShapeError, text, quant.matmul, X, w, bias=bias)


def test_reports_of_nothing() -> None:
    zeros, ones = np.zeros(3, np.float32), np.ones(3, np.float32)
    lost = quant.report(ones, zeros)
    assert (lost.sqnr, lost.cosine) == (0.0, 0.0)
    made = quant.report(zeros, ones)
    assert (made.sqnr, made.cosine) == (-np.inf, 0.0)
    assert quant.report(zeros, zeros).cosine == 1.0
    assert quant.report({}, {}).ratio == 1.0
