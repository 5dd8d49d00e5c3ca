"""The same codes, numbers and gradients as onnxruntime and torch, bit for bit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxcore as rx
from rxcore.quant import QuantSpec, dequantize, fake_quant, minmax, quantize

SEEDS = st.integers(0, 999)
FACTOR = 0.25


def samples(seed: int, shape: tuple[int, ...]) -> Any:
    """Normal numbers, ties, zeros and far ones."""
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 3
    flat = x.reshape(-1)
    flat[::7] = np.rint(flat[::7] * 2) / 2
    flat[::11] = 0
    flat[::13] *= 1000
    return x


def drawn(seed: int, spec: QuantSpec, count: int) -> tuple[Any, Any]:
    """Scales, many of them powers of two so that ties occur, and zero points."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.01, 0.2, count).astype(np.float32)
    scale[::2] = 2.0 ** rng.integers(-6, 0, scale[::2].size)
    zero = rng.integers(spec.lowest, spec.highest + 1, count)
    return scale, zero.astype(spec.dtype)


def onnx_model(op: str, kind: str, axis: int) -> Any:
    """Return a session of one op over x, scale, zero."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    helper, proto = onnx.helper, onnx.TensorProto
    code, number = getattr(proto, kind), proto.FLOAT
    types = (number, code) if op == "QuantizeLinear" else (code, number)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "scale", "zero"], ["y"], axis=axis)],
        "one",
        [
            value("x", types[0], [None, None]),
            value("scale", number, [None]),
            value("zero", code, [None]),
        ],
        [value("y", types[1], [None, None])],
    )
    opset = [helper.make_opsetid("", 19)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("axis", [0, 1])
def test_onnxruntime_has_the_same_codes_and_numbers(signed: bool, axis: int) -> None:
    kind = "INT8" if signed else "UINT8"
    there = onnx_model("QuantizeLinear", kind, axis)
    back = onnx_model("DequantizeLinear", kind, axis)
    spec = QuantSpec(signed=signed, symmetric=False, axis=axis)
    for seed in range(10):
        x = samples(seed, (37, 53))
        scale, zero = drawn(seed, spec, x.shape[axis])
        q = quantize(x, spec, scale=scale, zero_point=zero)
        (codes,) = there.run(None, {"x": x, "scale": scale, "zero": zero})
        assert np.array_equal(q.codes, codes)
        (numbers,) = back.run(None, {"x": codes, "scale": scale, "zero": zero})
        assert np.array_equal(dequantize(q), numbers)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("signed", [True, False])
@given(seed=SEEDS, shift=st.sampled_from([-4.0, 0.0, 0.5, 9.0]))
@settings(max_examples=30)
def test_onnxruntime_chooses_the_same_scale(
    signed: bool, symmetric: bool, seed: int, shift: float
) -> None:
    tools = pytest.importorskip("onnxruntime.quantization.quant_utils")
    spec = QuantSpec(signed=signed, symmetric=symmetric)
    x = np.random.default_rng(seed).standard_normal(100).astype(np.float32) + shift
    x = x.astype(np.float32)
    ends = np.array(spec.lowest, spec.dtype), np.array(spec.highest, spec.dtype)
    zero, scale = tools.compute_scale_zp(x.min(), x.max(), *ends, symmetric=symmetric)
    q = quantize(x, spec)
    assert np.asarray(q.scale)[0] == scale
    assert spec.center == zero if symmetric else np.asarray(q.zero_point)[0] == zero


def torch_spec(signed: bool, axis: int | None = None) -> QuantSpec:
    return QuantSpec(signed=signed, symmetric=False, axis=axis, profile="torch")


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_torch_fakes_the_same_numbers_and_gradients(
    signed: bool, axis: int | None
) -> None:
    torch = pytest.importorskip("torch")
    spec = torch_spec(signed, axis)
    for seed in range(10):
        x, weight = samples(seed, (19, 23)), samples(seed + 50, (19, 23))
        scale, zero = drawn(seed, spec, 1 if axis is None else x.shape[axis])
        given_x = torch.tensor(x, requires_grad=True)
        numbers = torch.tensor(scale), torch.tensor(zero.astype(np.int32))
        ends = spec.lowest, spec.highest
        if axis is None:
            call = torch.fake_quantize_per_tensor_affine
            out = call(given_x, float(scale[0]), int(zero[0]), *ends)
        else:
            call = torch.fake_quantize_per_channel_affine
            out = call(given_x, *numbers, axis, *ends)
        (out * torch.tensor(weight)).sum().backward()

        def loss(x: Any, scale: Any = scale, zero: Any = zero, w: Any = weight) -> Any:
            return (fake_quant(x, spec, scale, zero) * w).sum()

        assert np.array_equal(fake_quant(x, spec, scale, zero), out.detach().numpy())
        assert np.array_equal(rx.grad(loss)(rx.asarray(x)), given_x.grad.numpy())


@pytest.mark.parametrize("axis", [None, 1])
def test_torch_learns_the_same_scales(axis: int | None) -> None:
    torch = pytest.importorskip("torch")
    # Negative zero points are cut off towards zero there, in the backward pass only.
    spec = torch_spec(False, axis)
    for seed in range(10):
        x, weight = samples(seed, (19, 23)), samples(seed + 50, (19, 23))
        scale, zero = drawn(seed, spec, 1 if axis is None else x.shape[axis])
        # Ties are rounded before the zero point is added here, after it there.
        zero = (zero // 2 * 2).astype(np.float32)
        leaves = [torch.tensor(a, requires_grad=True) for a in (x, scale, zero)]
        ends = spec.lowest, spec.highest
        if axis is None:
            call = torch._fake_quantize_learnable_per_tensor_affine
            out = call(*leaves, *ends, FACTOR)
        else:
            call = torch._fake_quantize_learnable_per_channel_affine
            out = call(*leaves, axis, *ends, FACTOR)
        (out * torch.tensor(weight)).sum().backward()

        def loss(x: Any, scale: Any, zero: Any, w: Any = weight) -> Any:
            y = fake_quant(x, spec, scale, zero, scale_gradient=FACTOR)
            return (y * w).sum()

        found = rx.grad(loss, argnums=(0, 1, 2))(*map(rx.asarray, (x, scale, zero)))
        for ours, theirs in zip(found, leaves, strict=True):
            want = theirs.grad.numpy()
            assert np.allclose(ours, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.filterwarnings("ignore:.*deprecated.*")
def test_torch_quantizes_to_the_same_codes(axis: int | None) -> None:
    torch = pytest.importorskip("torch")
    for seed in range(10):
        spec = torch_spec(False, axis)
        x = samples(seed, (19, 23))
        scale, zero = drawn(seed, spec, 1 if axis is None else x.shape[axis])
        if axis is None:
            call, numbers = torch.quantize_per_tensor, (float(scale[0]), int(zero[0]))
            theirs = call(torch.tensor(x), *numbers, torch.quint8)
        else:
            call = torch.quantize_per_channel
            numbers = torch.tensor(scale), torch.tensor(zero.astype(np.int64))
            theirs = call(torch.tensor(x), *numbers, axis, torch.quint8)
        q = quantize(x, spec, scale=scale, zero_point=zero)
        assert np.array_equal(q.codes, theirs.int_repr().numpy())
        assert np.array_equal(dequantize(q), theirs.dequantize().numpy())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("axis", [None, 1])
@pytest.mark.filterwarnings("ignore:.*deprecated.*")
def test_torch_observes_the_same_scales(
    signed: bool, symmetric: bool, axis: int | None
) -> None:
    torch = pytest.importorskip("torch")
    observers = pytest.importorskip("torch.ao.quantization.observer")
    spec = QuantSpec(signed=signed, symmetric=symmetric, axis=axis, profile="torch")
    for seed in range(10):
        batches = [samples(seed + k, (19, 5)) + seed - 5 for k in range(3)]
        scheme = ("per_tensor_" if axis is None else "per_channel_") + (
            "symmetric" if symmetric else "affine"
        )
        options: dict[str, Any] = {
            "dtype": torch.qint8 if signed else torch.quint8,
            "qscheme": getattr(torch, scheme),
        }
        if axis is None:
            observer = observers.MinMaxObserver(**options)
        else:
            observer = observers.PerChannelMinMaxObserver(axis, **options)
        calibrator = minmax(spec)
        stats = calibrator.init(batches[0])
        for batch in batches:
            observer(torch.tensor(batch))
            stats = calibrator.update(stats, batch)
        scale, zero = observer.calculate_qparams()
        ours, points = stats.parameters()
        assert np.array_equal(np.asarray(ours).ravel(), scale.numpy())
        points = np.full(zero.shape, spec.center) if symmetric else np.ravel(points)
        assert np.array_equal(points, zero.numpy())
