"""Products of integers are the products of what the codes stand for."""

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxcore as rx
from rxcore import quant
from rxcore.base import errors
from rxcore.quant import QTensor, QuantSpec, dequantize, fake_quant, quantize
from tests.quant.cases import PROFILE_NAMES, numbers

SEEDS = st.integers(0, 999)
SIZES = st.integers(1, 40)


@st.composite
def pairs(draw: Any, zero_points: tuple[str, ...] = ("int",)) -> Any:
    """Draw specs of x and w that can be multiplied."""
    profile = draw(st.sampled_from(PROFILE_NAMES))

    def spec(**blocks: Any) -> QuantSpec:
        symmetric = draw(st.booleans())
        return QuantSpec(
            bits=draw(st.integers(2, 8)),
            signed=draw(st.booleans()),
            symmetric=symmetric,
            profile=profile,
            zero_point="int" if symmetric else draw(st.sampled_from(zero_points)),
            **blocks,
        )

    of_x = draw(st.sampled_from([{}, {"axis": 0}, {"block_size": (3, -1)}]))
    of_w = draw(
        st.sampled_from(
            [
                {},
                {"axis": 1},
                {"axis": -1},
                {"block_size": (-1, 3)},
                {"block_size": (4, 1)},
                {"block_size": (5, 1)},
                {"block_size": (4, -1)},
                {"block_size": (8, 2)},
            ]
        )
    )
    return spec(**of_x), spec(**of_w)


def exact(q: QTensor) -> Any:
    """Return in float64 what codes stand for."""
    spec = q.spec
    scale = quant.blocks.spread(q.scale, q.shape, spec)
    zero: Any = spec.center
    if q.zero_point is not None:
        zero = np.asarray(quant.blocks.spread(q.zero_point, q.shape, spec), np.float64)
    return (np.asarray(q.unpacked(), np.float64) - zero) * np.asarray(scale, np.float64)


def summable(w: QTensor) -> bool:
    """Say whether w has not a scale for each element of the summed axis."""
    return w.scale.shape[-2] == 1 or w.scale.shape[-2] < w.shape[-2]


@given(
    specs=pairs(("int", "float")),
    sizes=st.tuples(SIZES, SIZES, SIZES),
    seed=SEEDS,
)
@settings(max_examples=60)
def test_products_are_those_of_the_numbers(
    specs: Any, sizes: tuple[int, int, int], seed: int
) -> None:
    m, k, n = sizes
    x = quantize(numbers(seed, (m, k)), specs[0])
    w = quantize(numbers(seed + 1, (k, n)), specs[1])
    if not summable(w):
        return
    a, b = exact(x), exact(w)
    found = quant.matmul(x, w)
    assert found.dtype == np.float32
    # Each group is rounded a few times; a floating zero point adds terms that cancel.
    size = np.abs(a) @ np.abs(b)
    if "float" in (specs[0].zero_point, specs[1].zero_point):
        size = size.max() * (1 + 0 * size)
        size = size + 300 * np.abs(a).max() * np.abs(b).max() * k
    assert (np.abs(found - a @ b) <= 1e-5 * size + 1e-30).all()


def rounded_scale(q: QTensor) -> Any:
    """Return scales that are powers of two."""
    return 2.0 ** np.rint(np.log2(np.asarray(q.scale)))


@given(specs=pairs(), sizes=st.tuples(SIZES, SIZES, SIZES), seed=SEEDS)
@settings(max_examples=60)
def test_faked_products_are_integer_products_bit_for_bit(
    specs: Any, sizes: tuple[int, int, int], seed: int
) -> None:
    m, k, n = sizes
    x, w = numbers(seed, (m, k)), numbers(seed + 1, (k, n))
    both, faked = [], []
    for given_, spec in ((x, specs[0]), (w, specs[1])):
        q = quantize(given_, spec)
        options = {"scale": rounded_scale(q), "zero_point": q.zero_point}
        both.append(quantize(given_, spec, **options))
        faked.append(fake_quant(given_, spec, **options))
    if not summable(both[1]):
        return
    # Sums of at most 40 products stay below 2**24 steps; groups, whose scales differ by
    # powers of two, too where they differ little.
    scales = np.asarray(both[1].scale)
    spread = scales.max(0) / scales.min(0)
    steps = k * 255.0 * 255.0 * (spread.max() if scales.shape[0] > 1 else 1)
    assert steps < 2**24 or scales.shape[0] > 1
    if steps < 2**24:
        want = rx.numpy.matmul(*faked)
        assert np.array_equal(quant.matmul(*both), want)
        inside = rx.jit(lambda x, w: quant.matmul(x, w))
        assert np.array_equal(inside(*both), want)


@given(specs=pairs(), seed=SEEDS)
@settings(max_examples=40)
def test_leading_axes_and_vectors(specs: Any, seed: int) -> None:
    x_spec, w_spec = specs[0].with_(axis=None, block_size=None), specs[1]
    x = quantize(numbers(seed, (2, 3, 16)), x_spec)
    w = quantize(numbers(seed + 1, (16, 6)), w_spec)
    whole = quant.matmul(x, w)
    flat = rx.tree.map(lambda leaf: leaf, x)
    for i in range(2):
        lane = QTensor(flat.unpacked()[i], x.scale[0], None, x_spec)
        if x.zero_point is not None:
            lane = QTensor(lane.codes, lane.scale, x.zero_point[0], x_spec)
        assert np.array_equal(quant.matmul(lane, w), whole[i])
        row = QTensor(
            lane.codes[1],
            lane.scale[0],
            None if lane.zero_point is None else lane.zero_point[0],
            x_spec,
        )
        assert np.array_equal(quant.matmul(row, w), whole[i, 1])


@given(specs=pairs(), seed=SEEDS)
@settings(max_examples=20)
def test_a_batch_is_a_loop(specs: Any, seed: int) -> None:
    xs, ws = numbers(seed, (3, 5, 16)), numbers(seed + 1, (3, 16, 6))

    def product(x: Any, w: Any) -> Any:
        return quant.matmul(quantize(x, specs[0]), quantize(w, specs[1]))

    found = rx.vmap(product)(xs, ws)
    for out, x, w in zip(found, xs, ws, strict=True):
        assert np.array_equal(out, product(x, w))


def test_groups_are_added_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x = quantize(numbers(1, (9, 32)), QuantSpec(axis=0, symmetric=False))
    w = quantize(numbers(2, (32, 8)), QuantSpec(block_size=(5, 1), symmetric=False))
    whole = quant.matmul(x, w)
    launches = rx.inspect(quant.matmul)(x, w).launches
    module = importlib.import_module("rxcore.quant.matmul")
    monkeypatch.setattr(module, "MOST_TOTALS", 4 * 7 * 8)
    rx.clear_caches()
    parts = quant.matmul(x, w)
    assert rx.inspect(quant.matmul)(x, w).launches > launches
    rx.clear_caches()
    assert np.array_equal(parts, whole)


def test_bias_and_activation_come_last() -> None:
    x, w = numbers(1, (9, 32)), numbers(2, (32, 8))
    bias = numbers(3, (8,))
    qw = quantize(w, QuantSpec(bits=4, axis=1))
    found = quant.matmul(x, qw, bias=bias, activation=lambda y: rx.numpy.maximum(y, 0))
    want = np.maximum(np.asarray(quant.matmul(x, qw)) + bias, 0)
    assert np.allclose(found, want, rtol=1e-6, atol=1e-6)


def test_x_is_quantized_by_its_range_or_by_statistics() -> None:
    x, w = numbers(1, (9, 32)), quantize(numbers(2, (32, 8)), QuantSpec(axis=1))
    spec = QuantSpec(signed=False, symmetric=False)
    assert np.array_equal(quant.matmul(x, w), quant.matmul(quantize(x, spec), w))
    calibrator = quant.minmax(spec)
    stats = calibrator.update(calibrator.init(x), 2 * x)
    found = quant.matmul(x, w, x_spec=stats)
    assert np.array_equal(found, quant.matmul(quantize(x, stats), w))
    assert not np.array_equal(found, quant.matmul(x, w))


@pytest.mark.parametrize("bias", [None, 0.5])
def test_results_are_quantized(bias: float | None) -> None:
    x, w = numbers(1, (9, 32)), quantize(numbers(2, (32, 8)), QuantSpec(axis=1))
    plain = quant.matmul(x, w, bias=bias)
    for spec in (QuantSpec(axis=1), QuantSpec(bits=4, symmetric=False)):
        found = quant.matmul(x, w, bias=bias, out_spec=spec)
        want = quantize(plain, spec)
        assert np.array_equal(found.codes, want.codes)
        calibrator = quant.minmax(spec)
        stats = calibrator.update(calibrator.init(plain), plain)
        found = quant.matmul(x, w, bias=bias, out_spec=stats)
        off = np.asarray(dequantize(found)) - np.asarray(dequantize(want))
        # Rounded once from the exact total, a tie may fall to the other side.
        assert (np.abs(off) <= 1.001 * np.asarray(want.scale)).all()
        assert np.mean(off != 0) < 0.02
        assert found.zero_point is None or np.array_equal(
            found.zero_point, want.zero_point
        )


def test_what_cannot_be_multiplied_is_refused() -> None:
    x, w = numbers(1, (9, 32)), quantize(numbers(2, (32, 8)), QuantSpec(axis=1))
    with pytest.raises(errors.UserError, match="expected w to be a QTensor, got Arr"):
        quant.matmul(x, rx.asarray(x))
    with pytest.raises(errors.ShapeError, match=r"got shapes \(9, 31\) and \(32, 8\)"):
        quant.matmul(x[:, :31], w)
    with pytest.raises(errors.ShapeError, match="vary along the summed axis"):
        quant.matmul(quantize(x, QuantSpec(axis=1)), w)
    with pytest.raises(errors.ShapeError, match="a scale for each element"):
        quant.matmul(x, quantize(dequantize(w), QuantSpec(axis=0)))
    with pytest.raises(errors.UserError, match="quantized already"):
        quant.matmul(quantize(x, QuantSpec()), w, x_spec=QuantSpec())
    with pytest.raises(errors.UserError, match="need out_spec"):
        quant.matmul(x, w, out_scale=1.0)
    long = quantize(np.ones((1, 70_000), np.float32), QuantSpec())
    tall = quantize(np.ones((140_000, 1), np.float32), QuantSpec())
    assert quant.matmul(long, quantize(np.ones((70_000, 1), np.float32), QuantSpec()))
    with pytest.raises(errors.ShapeError, match="k is at most 133144"):
        quant.matmul(quantize(np.ones((1, 140_000), np.float32), QuantSpec()), tall)
