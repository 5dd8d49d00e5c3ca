"""The stream of random bits is the published one."""

import numpy as np
import pytest

import rxcore as rx
from rxcore.base import errors
from rxcore.ops.random_bits import fold_in_key, random_bits, split_key, threefry2x32

# Known answers of threefry2x32 with 20 rounds, from Random123's kat_vectors.
KNOWN = {
    (0, 0, 0, 0): 0x6B20015999BA4EFE,
    (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF): 0x1CB996FCBB002BE7,
    (0x13198A2E, 0x03707344, 0x243F6A88, 0x85A308D3): 0xC4923A9C483DF7A0,
}


@pytest.mark.parametrize("words", KNOWN)
def test_known_answers(words: tuple[int, ...]) -> None:
    arrays = [rx.asarray(np.uint32([w])) for w in words]
    for run in (threefry2x32, rx.jit(threefry2x32, static_argnames="width")):
        assert int(np.asarray(run(*arrays, width=64))[0]) == KNOWN[words]


# What jax.random gives for PRNGKey(42), with its default settings.
BITS = {
    8: [162, 217, 249, 215],
    16: [5026, 12505, 63993, 49623],
    32: [2098992034, 2919706841, 2646866425, 2409546199],
    64: [
        7871734211187709741,
        276886910877598708,
        10591095138341673235,
        13462782411356743825,
    ],
}
SPLIT = [[1832780943, 270669613], [64467757, 2916123636]]
FOLDED = [2547012911, 1371500959]
KEY = np.uint32([0, 42])


@pytest.mark.parametrize("width", BITS)
def test_the_stream_of_a_key(width: int) -> None:
    for run in (random_bits, rx.jit(random_bits, static_argnums=(1, 2))):
        found = np.asarray(run(KEY, (4,), width))
        assert found.dtype == np.dtype(f"uint{width}")
        assert found.tolist() == BITS[width]


def test_no_element_depends_on_the_shape() -> None:
    whole = np.asarray(random_bits(KEY, (60,)))
    assert np.array_equal(random_bits(KEY, (3, 20)), whole.reshape(3, 20))
    assert np.array_equal(random_bits(KEY, (7,)), whole[:7])


def test_several_keys_are_several_streams() -> None:
    keys = split_key(KEY, (2, 3))
    assert keys.shape == (2, 3, 2)
    found = np.asarray(random_bits(keys, (5,)))
    mapped = rx.vmap(rx.vmap(lambda k: random_bits(k, (5,))))(keys)
    assert np.array_equal(found, mapped)
    for where in np.ndindex(2, 3):
        one = random_bits(np.asarray(keys)[where], (5,))
        assert np.array_equal(found[where], one)


def test_keys_derived_from_keys() -> None:
    assert np.array_equal(split_key(KEY), SPLIT)
    assert np.array_equal(fold_in_key(KEY, 7), FOLDED)


def test_a_key_is_checked() -> None:
    with pytest.raises(errors.DTypeError, match=r"a key is a uint32 array of shape"):
        random_bits(np.int32([0, 42]), (3,))
    with pytest.raises(errors.DTypeError, match="width of 12 is not one of"):
        random_bits(KEY, (3,), 12)
    with pytest.raises(errors.DTypeError, match="data must be an integer"):
        fold_in_key(KEY, 0.5)
