"""Statistics can be merged in any way, and their ranges are what NumPy says."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxcore as rx
from rxcore import quant
from rxcore.base import errors
from rxcore.quant import QuantSpec, fake_quant, quantize

SEEDS = st.integers(0, 999)

METHODS: dict[str, Callable[..., Any]] = {
    "minmax": quant.minmax,
    "percentile": lambda spec: quant.percentile(spec, 99.0, bins=64),
    "kl": lambda spec: quant.kl(spec, bins=256),
    "mse": lambda spec: quant.mse(spec, bins=128),
    "moving_average": lambda spec: quant.moving_average(spec, 0.3),
}
EXACT = [name for name in METHODS if name != "moving_average"]
SPECS = (
    QuantSpec(),
    QuantSpec(signed=False, symmetric=False),
    QuantSpec(bits=4, axis=1, symmetric=False, profile="torch"),
    QuantSpec(bits=4, axis=-1),
    QuantSpec(bits=6, block_size=(-1, 2), signed=False, symmetric=False),
)
spec_of = st.sampled_from(SPECS)


def batches_of(seed: int, count: int, columns: int = 5) -> list[Any]:
    """Draw batches of different sizes and spreads, some of zeros."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        rows = int(rng.integers(1, 40))
        spread = rng.choice([0.0, 1e-3, 1.0, 1.0, 37.0])
        x = rng.standard_normal((rows, columns)) * spread + spread * rng.choice([0, 1])
        made.append(x.astype(np.float32))
    return made


def stream(calibrator: Any, batches: list[Any]) -> Any:
    stats = calibrator.init((1, 5))
    for batch in batches:
        stats = calibrator.update(stats, batch)
    return stats


def equal(a: Any, b: Any, *, close: bool = False) -> None:
    assert rx.tree.structure(a) == rx.tree.structure(b)
    for x, y in zip(rx.tree.leaves(a), rx.tree.leaves(b), strict=True):
        if close:
            scale = np.abs(np.asarray(y)).max(initial=1e-30)
            assert np.allclose(x, y, rtol=1e-5, atol=1e-5 * scale)
        else:
            assert np.array_equal(x, y)


@pytest.mark.parametrize("name", METHODS)
@given(spec=spec_of, seed=SEEDS, cuts=st.tuples(*[st.integers(0, 3)] * 3))
@settings(max_examples=20)
def test_merge_is_associative(
    name: str, spec: QuantSpec, seed: int, cuts: tuple[int, ...]
) -> None:
    calibrator = METHODS[name](spec)
    batches = batches_of(seed, sum(cuts))
    ends = np.cumsum((0, *cuts))
    a, b, c = (stream(calibrator, batches[i:j]) for i, j in itertools.pairwise(ends))
    merge = calibrator.merge
    left, right = merge(merge(a, b), c), merge(a, merge(b, c))
    equal(left, right, close=name not in EXACT)
    equal(left, stream(calibrator, batches), close=name not in EXACT)
    empty = calibrator.init((1, 5))
    equal(merge(empty, a), a)
    equal(merge(a, empty), a)


@pytest.mark.parametrize("name", EXACT)
@given(spec=spec_of, seed=SEEDS, count=st.integers(1, 4))
@settings(max_examples=20)
def test_a_stream_is_the_whole(
    name: str, spec: QuantSpec, seed: int, count: int
) -> None:
    calibrator = METHODS[name](spec)
    batches = batches_of(seed, count)
    whole = stream(calibrator, [np.concatenate(batches)])
    streamed = stream(calibrator, batches)
    equal(streamed, whole)
    equal(calibrator.range(streamed), calibrator.range(whole))
    # Order makes no difference.
    equal(stream(calibrator, batches[::-1]), whole)
    low, high = map(np.asarray, calibrator.range(whole))
    assert (low <= high).all()
    assert low.shape == whole.low.shape


@pytest.mark.parametrize("name", METHODS)
@given(spec=spec_of, seed=SEEDS)
@settings(max_examples=10)
def test_quantize_and_fake_quant_take_statistics(
    name: str, spec: QuantSpec, seed: int
) -> None:
    calibrator = METHODS[name](spec)
    batches = batches_of(seed, 3)
    stats = stream(calibrator, batches)
    x = batches[0]
    q = quantize(x, stats)
    scale, zero = stats.parameters()
    assert np.array_equal(q.scale, scale)
    assert q.spec == spec
    assert (q.zero_point is None) == (zero is None)
    assert np.array_equal(fake_quant(x, stats), rx.dequantize(q))
    inside = rx.jit(lambda stats, x: fake_quant(x, stats))(stats, x)
    assert np.array_equal(inside, rx.dequantize(q))


@pytest.mark.parametrize("axis", [None, 0, 1])
@given(seed=SEEDS)
@settings(max_examples=10)
def test_minmax_is_numpys(axis: int | None, seed: int) -> None:
    (x,) = batches_of(seed, 1)
    calibrator = quant.minmax(QuantSpec(axis=axis))
    low, high = calibrator.range(calibrator.update(calibrator.init(x), x))
    along = None if axis is None else 1 - axis
    assert np.array_equal(low, x.min(along, keepdims=True))
    assert np.array_equal(high, x.max(along, keepdims=True))


@given(seed=SEEDS, rate=st.sampled_from([0.01, 0.5, 1.0]))
@settings(max_examples=10)
def test_moving_average_follows_its_formula(seed: int, rate: float) -> None:
    batches = batches_of(seed, 6)
    calibrator = quant.moving_average(QuantSpec(axis=1), rate)
    found = calibrator.range(stream(calibrator, batches))
    for end, ours in zip((np.min, np.max), found, strict=True):
        average = end(batches[0], axis=0)
        for batch in batches[1:]:
            average = average + np.float32(rate) * (end(batch, axis=0) - average)
        assert np.allclose(ours[0], average, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("percent", [90.0, 99.0, 99.9, 100.0])
@given(seed=SEEDS)
@settings(max_examples=10)
def test_percentiles_are_numpys(percent: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((2000, 3)) * [1, 10, 0.1] + [0, 5, 0]).astype(np.float32)
    for symmetric in (True, False):
        calibrator = quant.percentile(QuantSpec(symmetric=symmetric, axis=1), percent)
        stats = calibrator.update(calibrator.init(x), x)
        low, high = (np.asarray(end)[0] for end in calibrator.range(stats))
        width = np.asarray(stats.limit)[0] / stats.counts.shape[-1]
        ordered, cut = np.sort(x, axis=0), round((100 - percent) / 100 * len(x))
        if symmetric:
            want = np.sort(np.abs(x), axis=0)[len(x) - 1 - cut]
            assert (np.abs(high - want) <= width).all()
            assert np.array_equal(low, -high)
            continue
        assert (np.abs(low - ordered[cut // 2]) <= width).all()
        assert (np.abs(high - ordered[len(x) - 1 - cut // 2]) <= width).all()
        assert (low >= x.min(0)).all()
        assert (high <= x.max(0)).all()


def least_divergent(h: Any, groups: int, first: int) -> int:
    """Return where to cut a histogram, candidate by candidate."""
    h = h.astype(np.float64)
    h[0] = h[1]
    best, found = np.inf, len(h)
    for i in range(first, len(h) + 1):
        p, kept = h[:i].copy(), h[:i]
        if not kept[-1]:
            continue
        p[-1] += h[i:].sum()
        group = np.arange(i) * groups // i
        sums = np.bincount(group, kept, groups)
        filled = np.bincount(group, kept > 0, groups)
        q = np.where(kept > 0, sums[group] / np.maximum(filled, 1)[group], 0)
        p, q = p / p.sum(), q / q.sum()
        there = p > 0
        divergence = (p[there] * np.log(p[there] / q[there])).sum()
        if divergence <= best + 1e-13:
            best, found = min(best, divergence), i
    return found


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("kind", ["normal", "outlier", "rectified", "few"])
def test_kl_is_the_search_over_all_cuts(bits: int, signed: bool, kind: str) -> None:
    rng = np.random.default_rng(bits)
    x = rng.standard_normal((20_000 if kind != "few" else 50, 2)).astype(np.float32)
    if kind == "outlier":
        x[0] = 40.0
    if kind == "rectified":
        x = np.maximum(x, 0)
    calibrator = quant.kl(QuantSpec(bits=bits, signed=signed, axis=1))
    stats = calibrator.update(calibrator.init(x), x)
    _, high = calibrator.range(stats)
    counts = np.asarray(stats.magnitudes())[0]
    for column in range(2):
        limit, h = np.asarray(stats.limit)[0, column], counts[column]
        cut = least_divergent(h, 1 << (bits - signed), max(128, 1 << (bits - signed)))
        largest = np.abs(x[:, column]).max()
        want = min(np.float32(cut / len(h)) * limit, largest)
        assert np.asarray(high)[0, column] == want
    if kind == "outlier" and signed and bits == 8:
        assert (np.asarray(high) < 12).all()


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("profile", ["onnx", "torch"])
def test_mse_finds_the_best_share(bits: int, symmetric: bool, profile: str) -> None:
    x = np.random.default_rng(bits).standard_normal((4000, 2)).astype(np.float32)
    x[:, 1] = np.exp(x[:, 1])
    spec = QuantSpec(bits=bits, symmetric=symmetric, axis=1, profile=profile)
    calibrator = quant.mse(spec)
    stats = calibrator.update(calibrator.init(x), x)
    low, high = (np.asarray(e) for e in calibrator.range(stats))

    def error(share: Any) -> Any:
        ends = quant.minmax(spec).init(x)
        ends = type(ends)(share * x.min(0)[None], share * x.max(0)[None], spec)
        return ((np.asarray(fake_quant(x, ends)) - x) ** 2).mean(0)

    chosen = high / x.max(0)
    assert np.allclose(low, chosen * x.min(0), rtol=1e-5)
    tried = np.array([error(np.float32(s)) for s in np.linspace(0.02, 1, 50)])
    # The histogram takes numbers for the middles of their bins.
    assert (error(chosen) <= tried.min(0) * 1.02).all()


@pytest.mark.parametrize("bits", [2, 4])
@given(seed=SEEDS, symmetric=st.booleans(), block=st.sampled_from([(7, 1), (8, -1)]))
@settings(max_examples=5)
def test_least_error_is_not_beaten(
    bits: int, seed: int, symmetric: bool, block: tuple[int, int]
) -> None:
    x = np.random.default_rng(seed).standard_normal((16, 3)).astype(np.float32)
    spec = QuantSpec(bits=bits, symmetric=symmetric, block_size=block)
    scale, zero = quant.least_error(x, spec)
    counts = quantize(x, spec).scale.shape
    assert scale.shape == counts

    def error(scale: Any, zero: Any) -> Any:
        off = (np.asarray(fake_quant(x, spec, scale, zero)) - x) ** 2
        rows = np.arange(0, 16, block[0])
        sums = np.add.reduceat(off, rows, axis=0)
        return sums if block[1] == 1 else sums.sum(1, keepdims=True)

    best = error(scale, zero)
    calibrator = quant.minmax(spec)
    stats = calibrator.update(calibrator.init(x), x)
    for k in range(1, 65):
        share = np.float32(k / 64)
        ends = type(stats)(share * stats.low, share * stats.high, spec)
        assert (best <= error(*ends.parameters()) * (1 + 1e-5) + 1e-6).all()


def test_statistics_of_a_batch_are_a_loop() -> None:
    xs = np.stack([np.resize(b, (20, 5)) for b in batches_of(3, 3)])
    for method in METHODS.values():
        calibrator = method(QuantSpec(axis=1))

        def gathered(x: Any, calibrator: Any = calibrator) -> Any:
            stats = calibrator.update(calibrator.init(x), x)
            return stats, calibrator.range(stats)

        found = rx.vmap(gathered)(xs)
        for k, x in enumerate(xs):
            lane = rx.tree.map(lambda leaf, k=k: leaf[k], found)
            equal(lane, gathered(x), close=True)


def test_nan_is_not_lost() -> None:
    x = np.ones((4, 5), np.float32)
    x[1, 2] = np.nan
    for name, method in METHODS.items():
        calibrator = method(QuantSpec())
        stats = calibrator.update(calibrator.init(x), x)
        stats = calibrator.update(stats, np.ones((4, 5), np.float32))
        with pytest.raises(errors.UserError, match=r"scale\[0, 0\] is nan"):
            quantize(np.ones((4, 5), np.float32), stats)
        assert name


def test_what_cannot_be_calibrated_is_refused() -> None:
    spec = QuantSpec(axis=1)
    with pytest.raises(
        errors.UserError, match=r"quant\.kl: bins=100; expected a power"
    ):
        quant.kl(spec, bins=100)
    with pytest.raises(errors.UserError, match="percent=0; expected 0 < percent"):
        quant.percentile(spec, 0)
    with pytest.raises(errors.UserError, match="rate=0; expected 0 < rate <= 1"):
        quant.moving_average(spec, 0)
    with pytest.raises(errors.UserError, match=r"quant\.minmax: expected a QuantSpec"):
        quant.minmax(1)  # type: ignore[arg-type]
    groups = QuantSpec(block_size=(32, 1))
    with pytest.raises(errors.UserError, match=r"524288 blocks, .* 16\.0 GiB; pass"):
        quant.mse(groups).init((4096, 4096))
    calibrator = quant.minmax(spec)
    stats = calibrator.init((3, 5))
    with pytest.raises(errors.ShapeError, match=r"x has shape \(3, 6\)"):
        calibrator.update(stats, np.ones((3, 6), np.float32))
    with pytest.raises(errors.ShapeError, match=r"blocks of shape \(1, 4\)"):
        calibrator.merge(stats, calibrator.init((3, 4)))
    with pytest.raises(errors.ShapeError, match="axis=1 is out of range"):
        calibrator.init((3,))
    with pytest.raises(errors.ShapeError, match="axis 0 has length 0"):
        calibrator.init((0, 3))


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_statistics_keep_their_types(name: str, dtype: Any) -> None:
    """What `init` gives can be carried by a scan."""
    x = np.random.default_rng(0).standard_normal((4, 6, 5)).astype(dtype)
    calibrator = METHODS[name](QuantSpec())
    start = calibrator.init(x[0])
    made, _ = rx.scan(lambda s, v: (calibrator.update(s, v), None), start, x)
    stats = start
    for v in x:
        stats = calibrator.update(stats, v)
    for a, b in zip(rx.tree.leaves(made), rx.tree.leaves(stats), strict=True):
        np.testing.assert_array_equal(a, b)
