"""Random numbers: JAX's bits by a kept table (and live), laws, and wrong input."""

import importlib.util
import json
import zlib
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import scipy.stats

import rxcore as rx
from rxcore import random
from tests.random.table import (
    PLACE,
    SEEDS,
    bits_of,
    exact,
    named,
    needs_wide,
    rounded,
)

TABLE = json.loads(PLACE.read_text())
EXACT = tuple(exact())
ROUNDED = tuple(rounded())

seeded = pytest.mark.parametrize("seed", SEEDS)
exact_draw = pytest.mark.parametrize("entry", EXACT, ids=named)
rounded_draw = pytest.mark.parametrize("entry", ROUNDED, ids=named)


def drawn(entry: Any, seed: Any) -> Any:
    name, args, options = entry
    return getattr(random, name)(random.key(seed), *args, **options)


def kept(entry: Any, seed: int) -> Any:
    found = TABLE[f"{seed}: {named(entry)}"]
    dtype = np.dtype(found["dtype"])
    kind = f"u{dtype.itemsize}"
    return np.array(found["bits"], kind).view(dtype).reshape(found["shape"])


def is_exact(entry: Any) -> bool:
    return any(entry is other for other in EXACT)


def close(ours: Any, theirs: Any) -> None:
    """Hold floats against each other, with an error of some units in the last place."""
    x, y = np.asarray(ours), np.asarray(theirs)
    assert x.dtype == y.dtype
    assert x.shape == y.shape
    eps = float(ml_dtypes.finfo(x.dtype).eps)
    wide = (v.astype(np.float64) for v in (x, y))
    np.testing.assert_allclose(*wide, rtol=16 * eps, atol=16 * eps)


@seeded
@exact_draw
def test_bits_are_those_of_jax(entry: Any, seed: int) -> None:
    assert bits_of(drawn(entry, seed)) == TABLE[f"{seed}: {named(entry)}"]


@seeded
@rounded_draw
def test_numbers_are_those_of_jax(entry: Any, seed: int) -> None:
    close(drawn(entry, seed), kept(entry, seed))


@pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax is not installed"
)
@pytest.mark.parametrize("entry", EXACT + ROUNDED, ids=named)
def test_live_jax_agrees(entry: Any) -> None:
    jax = importlib.import_module("jax")
    name, args, options = entry
    seed = zlib.crc32(named(entry).encode()) >> 1
    with jax.enable_x64(needs_wide(entry)):
        key = jax.random.PRNGKey(np.int32(seed))
        theirs = np.asarray(getattr(jax.random, name)(key, *args, **options))
    ours = drawn(entry, seed)
    if is_exact(entry):
        assert bits_of(ours) == bits_of(theirs), f"seed {seed}"
    else:
        close(ours, theirs)


@pytest.mark.parametrize("entry", EXACT + ROUNDED, ids=named)
def test_compiled_and_mapped_are_eager(entry: Any) -> None:
    name, args, options = entry

    def draw(key: Any) -> Any:
        return getattr(random, name)(key, *args, **options)

    keys = random.split(random.key(5), 2)
    one_by_one = np.stack([np.asarray(draw(k)) for k in keys])
    compiled = np.stack([np.asarray(rx.jit(draw)(k)) for k in keys])
    mapped = rx.vmap(draw)(keys)
    if is_exact(entry):
        np.testing.assert_array_equal(compiled, one_by_one)
        np.testing.assert_array_equal(np.asarray(mapped), one_by_one)
    else:
        close(compiled, one_by_one)
        close(mapped, one_by_one)


# keys -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "words"),
    [
        (0, [0, 0]),
        (42, [0, 42]),
        (-1, [0, 2**32 - 1]),
        (2**32 - 1, [0, 2**32 - 1]),
        (2**40 + 7, [2**8, 7]),
        (2**64 - 1, [2**32 - 1, 2**32 - 1]),
        (-(2**63), [2**31, 0]),
        (np.int32(-1), [0, 2**32 - 1]),
        (np.uint8(9), [0, 9]),
        (np.int64(2**40 + 7), [2**8, 7]),
        (np.int64(-2), [2**32 - 1, 2**32 - 2]),
        (np.uint64(2**63), [2**31, 0]),
    ],
)
def test_words_of_seeds(seed: Any, words: list[int]) -> None:
    assert random.key(seed).tolist() == words
    assert random.key_data(random.wrap_key_data(random.key(seed))).tolist() == words
    if isinstance(seed, np.generic):
        assert rx.jit(random.key)(seed).tolist() == words


def test_seeds_and_data_may_be_traced() -> None:
    seeds = np.arange(3, dtype=np.int32)
    keys = rx.vmap(random.key)(seeds)
    assert keys.tolist() == [[0, 0], [0, 1], [0, 2]]
    folded = rx.jit(rx.vmap(random.fold_in, in_axes=(None, 0)))(random.key(3), seeds)
    for row, seed in zip(folded.tolist(), seeds, strict=True):
        assert row == random.fold_in(random.key(3), int(seed)).tolist()


# what is drawn ----------------------------------------------------------------------

Draw = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("draw", "law"),
    [
        (lambda k: random.uniform(k, (20_000,)), scipy.stats.uniform),
        (
            lambda k: random.uniform(k, (20_000,), minval=-1.0, maxval=2.5),
            scipy.stats.uniform(-1, 3.5),
        ),
        (lambda k: random.normal(k, (20_000,)), scipy.stats.norm),
        (lambda k: random.exponential(k, (20_000,)), scipy.stats.expon),
        (lambda k: random.gumbel(k, (20_000,)), scipy.stats.gumbel_r),
        (lambda k: random.laplace(k, (20_000,)), scipy.stats.laplace),
        (lambda k: random.logistic(k, (20_000,)), scipy.stats.logistic),
        (
            lambda k: random.truncated_normal(k, -1.0, 2.0, (20_000,)),
            scipy.stats.truncnorm(-1, 2),
        ),
    ],
)
def test_distributions(draw: Draw, law: Any) -> None:
    sample = np.asarray(draw(random.key(11))).astype(np.float64)
    assert scipy.stats.kstest(sample, law.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("draw", "chances"),
    [
        (lambda k: random.randint(k, (20_000,), 0, 7), [1 / 7] * 7),
        (lambda k: random.bernoulli(k, 0.3, (20_000,)), [0.7, 0.3]),
        (
            lambda k: random.categorical(
                k, np.log(np.float32([0.1, 0.2, 0.7])), shape=(20_000,)
            ),
            [0.1, 0.2, 0.7],
        ),
        (
            lambda k: random.choice(k, 3, (20_000,), p=np.float32([0.1, 0.2, 0.7])),
            [0.1, 0.2, 0.7],
        ),
    ],
)
def test_frequencies(draw: Draw, chances: list[float]) -> None:
    sample = np.asarray(draw(random.key(11))).astype(np.int64)
    counts = np.bincount(sample, minlength=len(chances))
    expected = np.array(chances) * sample.size
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3


def test_permutations_keep_every_element() -> None:
    mixed = random.permutation(random.key(2), 1000)
    assert sorted(mixed.tolist()) == list(range(1000))
    assert mixed.tolist() != list(range(1000))


def test_limits_may_be_arrays() -> None:
    low, high = np.int32([0, 10, 100]), np.int32([[5], [200]])
    x = np.asarray(random.randint(random.key(0), (2, 3), low, high))
    assert ((x >= low) & (x < np.maximum(high, low + 1))).all()
    y = random.uniform(random.key(0), (2, 3), minval=np.float32([0, 1, 2]), maxval=3.0)
    assert (np.asarray(y) >= [0, 1, 2]).all()


def test_derivatives_follow_the_limits() -> None:
    def mean(low: Any, high: Any) -> Any:
        return random.uniform(random.key(0), (8,), "float64", low, high).mean()

    low, high = rx.grad(mean, argnums=(0, 1))(np.float64(-1), np.float64(2))
    middle = float(random.uniform(random.key(0), (8,), "float64").mean())
    np.testing.assert_allclose([float(low), float(high)], [1 - middle, middle])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("name", ["uniform", "normal", "gumbel"])
def test_a_draw_is_one_kernel(name: str, dtype: str) -> None:
    def draw(key: Any) -> Any:
        return getattr(random, name)(key, (1000,), dtype)

    shown = rx.inspect(draw)(random.key(0))
    assert shown.launches == 1
    assert shown.fallbacks == ()


# wrong input ------------------------------------------------------------------------

KEY = np.uint32([0, 1])

WRONG: tuple[tuple[Callable[[], Any], type[Exception], str], ...] = (
    (lambda: random.key(0.5), rx.DTypeError, "a seed is an integer"),
    (lambda: random.key([1, 2]), rx.ShapeError, r"rx\.vmap"),
    (lambda: random.key(2**64), rx.ShapeError, "more than 64 bits"),
    (lambda: random.normal(0), rx.DTypeError, r"random\.normal: a key is a uint32"),
    (lambda: random.bits(np.int32([0, 1])), rx.DTypeError, r"rx\.random\.key\(seed\)"),
    (lambda: random.split(KEY[None]), rx.ShapeError, "use rx.vmap over the keys"),
    (lambda: random.fold_in(KEY, [1]), rx.ShapeError, "data has rank 0"),
    (lambda: random.fold_in(KEY, 1.5), rx.DTypeError, "data must be an integer"),
    (lambda: random.key_data(3), rx.DTypeError, r"shape \(\.\.\., 2\)"),
    (lambda: random.bits(KEY, (2,), "int32"), rx.DTypeError, "int32 is not uint8"),
    (lambda: random.uniform(KEY, (2,), "int32"), rx.DTypeError, "not a real floating"),
    (lambda: random.uniform(KEY, (-2,)), rx.ShapeError, "negative sizes"),
    (lambda: random.uniform(KEY, 2.5), rx.ShapeError, "a shape is an int"),
    (
        lambda: rx.jit(lambda n: random.uniform(KEY, n))(2),
        rx.TraceError,
        "number of a traced value",
    ),
    (
        lambda: random.uniform(KEY, (2,), minval=np.zeros(3, "f")),
        rx.ShapeError,
        "uniform: shapes .* do not broadcast",
    ),
    (
        lambda: random.uniform(KEY, (), minval=np.zeros(3, "f")),
        rx.ShapeError,
        "does not broadcast to the shape",
    ),
    (lambda: random.bernoulli(KEY, 1), rx.DTypeError, "not a real floating"),
    (lambda: random.randint(KEY, (), 0, 2, "f"), rx.DTypeError, "no integer"),
    (lambda: random.permutation(KEY, 1.5), rx.DTypeError, "an array or an integer"),
    (
        lambda: random.categorical(KEY, np.zeros((2, 3), "f"), shape=(3,)),
        rx.ShapeError,
        "must end in",
    ),
    (lambda: random.choice(KEY, 0, (2,)), rx.ShapeError, "no element to draw from"),
    (lambda: random.choice(KEY, 3, (4,), False), rx.ShapeError, "too few"),
    (
        lambda: random.choice(KEY, 3, (4,), p=np.zeros(2, "f")),
        rx.ShapeError,
        "one probability for each",
    ),
)


@pytest.mark.parametrize(("call", "kind", "text"), WRONG, ids=[w[2] for w in WRONG])
def test_wrong_input_is_told(call: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        call()
