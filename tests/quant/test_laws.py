"""Codes mean what NumPy says, for every spec; all transforms keep that."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxcore as rx
from rxcore import quant
from rxcore.quant import QTensor, QuantSpec, dequantize, fake_quant, quantize
from tests.quant.cases import numbers, shapes, specs

SEEDS = st.integers(0, 999)


def blocks_of(spec: QuantSpec, shape: tuple[int, ...]) -> list[Any]:
    """Return for each element of an array the place of its block's scale."""
    lengths = list(shape)
    if spec.axis is not None:
        lengths[spec.axis] = 1
    if spec.block_size is not None:
        pairs = zip(spec.block_size, shape, strict=True)
        lengths = [n if b == -1 else b for b, n in pairs]
    grid = np.indices(shape)
    return [g // b for g, b in zip(grid, lengths, strict=True)]


def reference(q: QTensor, x: Any) -> tuple[Any, Any]:
    """Return codes and numbers by NumPy, from the scales of a quantized array."""
    spec, places = q.spec, tuple(blocks_of(q.spec, x.shape))
    scale = np.asarray(q.scale)[places].astype(np.float32)
    zero: Any = spec.center
    if q.zero_point is not None:
        zero = np.asarray(q.zero_point)[places]
    one = np.float32(1)
    steps = x * (one / scale) if spec.profile.reciprocal else x / scale
    if spec.zero_point == "float":
        codes = np.clip(np.rint(steps + zero), spec.lowest, spec.highest)
    else:
        zero = np.asarray(zero, np.int64)
        codes = np.clip(np.rint(steps) + zero, spec.lowest, spec.highest)
    return codes, ((codes - zero) * scale).astype(np.float32)


@given(spec=specs(), shape=shapes(), seed=SEEDS)
@settings(max_examples=60)
def test_codes_and_numbers_are_numpys(
    spec: QuantSpec, shape: tuple[int, ...], seed: int
) -> None:
    x = numbers(seed, shape)
    q = quantize(x, spec)
    codes, back = reference(q, x)
    assert q.shape == shape
    assert np.array_equal(q.unpacked(), codes)
    assert np.array_equal(dequantize(q), back)
    assert np.array_equal(fake_quant(x, spec), back)


@given(spec=specs(), shape=shapes(), seed=SEEDS)
@settings(max_examples=40)
def test_the_range_is_covered(
    spec: QuantSpec, shape: tuple[int, ...], seed: int
) -> None:
    x = numbers(seed, shape)
    q = quantize(x, spec)
    if spec.symmetric and not spec.signed and not spec.profile.centered:
        x = np.maximum(x, 0)
    scale = np.asarray(q.scale)[tuple(blocks_of(spec, shape))]
    # Rounding a number and rounding a zero point each cost half a step at most; the
    # scale of all levels leaves one more half at an end.
    error = np.abs(np.asarray(dequantize(q)) - x) / scale
    assert (error <= 1.01).all()


@given(spec=specs(), shape=shapes(), seed=SEEDS)
@settings(max_examples=60)
def test_numbers_of_codes_keep_their_codes(
    spec: QuantSpec, shape: tuple[int, ...], seed: int
) -> None:
    q = quantize(numbers(seed, shape), spec)
    zero = q.zero_point
    again = quantize(dequantize(q), spec, scale=q.scale, zero_point=zero)
    assert np.array_equal(again.unpacked(), q.unpacked())


@given(spec=specs(), shape=shapes(), seed=SEEDS)
@settings(max_examples=60)
def test_bytes_are_counted(spec: QuantSpec, shape: tuple[int, ...], seed: int) -> None:
    q = quantize(numbers(seed, shape), spec)
    stored = sum(np.asarray(leaf).nbytes for leaf in rx.tree.leaves(q))
    assert q.nbytes == stored
    assert q.bits_per_weight == 8 * stored / np.prod(shape)
    per = {2: 4, 3: 2, 4: 2}.get(spec.bits, 1)
    lines = [np.prod(shape) // n * -(-n // per) for n in shape]
    assert np.asarray(q.codes).size in lines


@given(spec=specs(), shape=shapes(), seed=SEEDS)
@settings(max_examples=40)
def test_jit_changes_no_bit(spec: QuantSpec, shape: tuple[int, ...], seed: int) -> None:
    x = numbers(seed, shape)
    q = quantize(x, spec)
    inside = rx.jit(lambda x: quantize(x, spec))(x)
    assert rx.tree.structure(inside) == rx.tree.structure(q)
    for a, b in zip(rx.tree.leaves(inside), rx.tree.leaves(q), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(rx.jit(dequantize)(q), dequantize(q))


@given(spec=specs(), shape=shapes(), seed=SEEDS)
@settings(max_examples=40)
def test_a_batch_is_a_loop(spec: QuantSpec, shape: tuple[int, ...], seed: int) -> None:
    batch = numbers(seed, (3, *shape))
    q = rx.vmap(lambda x: quantize(x, spec))(batch)
    back = rx.vmap(dequantize)(q)
    faked = rx.vmap(lambda x: fake_quant(x, spec))(batch)
    for k, x in enumerate(batch):
        one = quantize(x, spec)
        lane = rx.tree.map(lambda leaf, k=k: leaf[k], q)
        assert lane.shape == shape
        assert np.array_equal(lane.unpacked(), one.unpacked())
        assert np.array_equal(back[k], dequantize(one))
        assert np.array_equal(faked[k], dequantize(one))


@given(
    bits=st.sampled_from([2, 3, 4]),
    signed=st.booleans(),
    axis=st.integers(1, 3),
    shape=shapes(3),
    seed=SEEDS,
)
def test_packing_is_undone(
    bits: int, signed: bool, axis: int, shape: tuple[int, ...], seed: int
) -> None:
    low, dtype = (-(1 << bits - 1), np.int8) if signed else (0, np.uint8)
    drawn = np.random.default_rng(seed).integers(low, low + (1 << bits), shape)
    codes, axis = rx.asarray(drawn.astype(dtype)), -axis
    packed = quant.packing.pack(codes, bits, axis)
    back = quant.packing.unpack(packed, bits, axis, shape[axis], signed)
    assert np.array_equal(back, codes)
    assert back.dtype == dtype
    first = np.take(np.asarray(packed), 0, axis=axis) & 3
    assert np.array_equal(first, np.take(drawn, 0, axis=axis) & 3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_dtypes_are_computed_in_float32_or_wider(dtype: str) -> None:
    x = rx.asarray(numbers(3, (9, 7))).astype(dtype)
    q = quantize(x, QuantSpec(axis=1))
    wide = np.asarray(x).astype(np.float64 if dtype == "float64" else np.float32)
    scale = np.abs(wide).max(0, keepdims=True) / wide.dtype.type(127)
    assert np.array_equal(q.scale, scale)
    assert np.array_equal(q.codes, np.rint(wide / scale))
    assert dequantize(q).dtype == wide.dtype
    assert fake_quant(x, QuantSpec(axis=1)).dtype == x.dtype


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 1, 3)])
def test_any_rank(bits: int, shape: tuple[int, ...]) -> None:
    x = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    for axis in (None, *range(-len(shape), 0)):
        q = quantize(x, QuantSpec(bits=bits, axis=axis))
        codes, back = reference(q, x)
        assert q.shape == shape
        assert np.array_equal(q.unpacked(), codes)
        assert np.array_equal(dequantize(q), back)


def test_stochastic_rounding_is_right_on_average() -> None:
    x = np.linspace(-3, 3, 25, dtype=np.float32)
    spec = QuantSpec(bits=4, profile="aqt")
    keys = rx.random.split(rx.random.key(0), 4000)
    drawn = rx.vmap(lambda key: fake_quant(x, spec, 1.0, key=key))(keys)
    assert np.abs(np.asarray(drawn) - x).max() < 1
    assert np.allclose(np.asarray(drawn).mean(axis=0), x, atol=0.05)
    once = quantize(x, spec, scale=1.0, key=keys[0])
    assert np.array_equal(dequantize(once), drawn[0])


@given(spec=specs(), shape=shapes(), seed=SEEDS)
@settings(max_examples=40)
def test_the_gradient_goes_straight_through(
    spec: QuantSpec, shape: tuple[int, ...], seed: int
) -> None:
    x = numbers(seed, shape)
    q = quantize(x, spec)
    # Scales that cut off a part.
    scale = np.asarray(q.scale) / 2
    zero = None if q.zero_point is None else np.asarray(q.zero_point)
    weight = numbers(seed + 1, shape)

    def loss(x: Any, scale: Any, shift: Any) -> Any:
        moved = None if zero is None else zero.astype(np.float32) + shift
        return (fake_quant(x, spec, scale, moved) * weight).sum()

    grads = rx.grad(loss, argnums=(0, 1, 2))(rx.asarray(x), rx.asarray(scale), 0.0)
    places = tuple(blocks_of(spec, shape))
    s = scale[places]
    z = np.float32(spec.center) if zero is None else zero[places].astype(np.float32)
    steps = x * (1 / s) if spec.profile.reciprocal else x / s
    floats = spec.zero_point == "float"
    near = np.rint(steps + z) if floats else np.rint(steps) + z
    inside = (near >= spec.lowest) & (near <= spec.highest)
    assert np.array_equal(grads[0], np.where(inside, weight, 0))
    codes = np.clip(near, spec.lowest, spec.highest)
    slope = np.where(inside, codes - z - x / s, codes - z) * weight
    want = np.zeros(scale.shape, np.float64)
    np.add.at(want, places, slope)
    bound = 1e-5 * max(1, np.abs(slope).max()) * x.size
    assert np.allclose(grads[1], want, atol=bound)
    if zero is not None:
        gone = np.where(inside, 0, -s) * weight
        assert np.allclose(grads[2], gone.sum(), atol=1e-4 * np.abs(gone).sum())


def test_learnt_scales_come_down_to_the_best() -> None:
    x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    spec = QuantSpec(bits=3, axis=0)

    def error(scale: Any) -> Any:
        return ((fake_quant(x, spec, scale, scale_gradient="lsq") - x) ** 2).sum()

    scale = quant.lsq_scale(x, spec)
    first = error(scale)
    for _ in range(100):
        scale = scale - 0.02 * scale * rx.numpy.sign(rx.grad(error)(scale))
    assert error(scale) < first
    assert error(scale) < 0.9 * error(quantize(x, spec).scale)


def test_lsq_scales_gradients() -> None:
    x = numbers(2, (6, 5))
    spec = QuantSpec(bits=4, axis=1)
    scale = rx.asarray(quantize(x, spec).scale)

    def loss(scale: Any, factor: Any) -> Any:
        return fake_quant(x, spec, scale, scale_gradient=factor).sum()

    plain, damped = (rx.grad(loss)(scale, f) for f in (1.0, "lsq"))
    assert np.allclose(damped, np.asarray(plain) / np.sqrt(6 * 7), rtol=1e-5)


def test_no_gradient_flows_through_codes() -> None:
    """Not by way of the range either; scales that are given may be learnt."""
    x, w = numbers(1, (5, 8)), numbers(2, (8, 3))
    spec = QuantSpec(axis=1)

    def product(x: Any, w: Any) -> Any:
        return quant.matmul(x, quantize(w, spec)).sum()

    for found in rx.jit(rx.grad(product, argnums=(0, 1)))(x, w):
        np.testing.assert_array_equal(found, np.zeros(found.shape))
    slope = rx.grad(lambda s: dequantize(quantize(w, spec, scale=s)).sum())
    scale = quantize(w, spec).scale
    codes = np.asarray(quantize(w, spec).codes).astype(np.float32)
    np.testing.assert_allclose(slope(scale), codes.sum(0, keepdims=True))
