"""The same codes, numbers and gradients as onnxruntime and torch, bit for bit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxcore as rx
from rxcore.quant import QuantSpec, dequantize, fake_quant, matmul, minmax, quantize

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


def product_model(op: str, names: tuple[tuple[str, str, int], ...], out: str) -> Any:
    """Return a session of one product over inputs of (name, kind, rank)."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    helper, proto = onnx.helper, onnx.TensorProto
    value = helper.make_tensor_value_info
    inputs = [value(n, getattr(proto, k), [None] * rank) for n, k, rank in names]
    node = helper.make_node(op, [n for n, _, _ in names], ["y"])
    output = value("y", getattr(proto, out), [None, None])
    graph = helper.make_graph([node], "one", inputs, [output])
    opset = [helper.make_opsetid("", 19)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


SIZES = [(1, 1, 1), (3, 17, 5), (40, 64, 33), (9, 130, 70)]


@pytest.mark.parametrize("x_signed", [True, False])
def test_onnxruntime_has_the_same_integer_products(x_signed: bool) -> None:
    kinds = ("INT8" if x_signed else "UINT8", "INT8")
    names = (("a", kinds[0], 2), ("b", kinds[1], 2), ("za", kinds[0], 0))
    there = product_model("MatMulInteger", (*names, ("zb", kinds[1], 0)), "INT32")
    specs = [QuantSpec(signed=s, symmetric=False) for s in (x_signed, True)]
    for seed, (m, k, n) in enumerate(SIZES):
        (_, za), (_, zb) = (drawn(seed + i, spec, 1) for i, spec in enumerate(specs))
        x = quantize(samples(seed, (m, k)), specs[0], scale=0.125, zero_point=za)
        w = quantize(samples(seed + 9, (k, n)), specs[1], scale=0.25, zero_point=zb)
        given_ = {"a": x.codes, "b": w.codes, "za": za[0], "zb": zb[0]}
        (want,) = there.run(None, {k: np.asarray(v) for k, v in given_.items()})
        assert np.abs(want).max() < 2**24
        assert np.array_equal(matmul(x, w), want / np.float32(32))


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("per_channel", [True, False])
def test_onnxruntime_has_the_same_quantized_products(
    signed: bool, per_channel: bool
) -> None:
    kind, rank = "INT8" if signed else "UINT8", int(per_channel)
    there = product_model(
        "QLinearMatMul",
        (
            *(("a", kind, 2), ("sa", "FLOAT", 0), ("za", kind, 0)),
            *(("b", "INT8", 2), ("sb", "FLOAT", rank), ("zb", "INT8", rank)),
            *(("sy", "FLOAT", 0), ("zy", kind, 0)),
        ),
        kind,
    )
    x_spec = QuantSpec(signed=signed, symmetric=False)
    w_spec = QuantSpec(axis=1) if per_channel else QuantSpec()
    for seed, (m, k, n) in enumerate(SIZES):
        (sa, za), (sy, zy) = (drawn(seed + i, x_spec, 1) for i in (0, 7))
        sb, _ = drawn(seed + 3, w_spec, n if per_channel else 1)
        zb = np.zeros(sb.shape, np.int8)
        sy = sy * np.float32(40)
        x = quantize(samples(seed, (m, k)), x_spec, scale=sa, zero_point=za)
        w = quantize(samples(seed + 9, (k, n)), w_spec, scale=sb)
        q = matmul(x, w, out_spec=x_spec, out_scale=sy, out_zero_point=zy)
        weights = (w.codes, sb, zb) if per_channel else (w.codes, sb[0], zb[0])
        values = (x.codes, sa[0], za[0], *weights, sy[0], zy[0])
        keys = ("a", "sa", "za", "b", "sb", "zb", "sy", "zy")
        pairs = zip(keys, map(np.asarray, values), strict=True)
        (want,) = there.run(None, dict(pairs))
        assert np.array_equal(q.codes, want)
        assert np.array_equal(np.asarray(q.scale).ravel(), sy)


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
