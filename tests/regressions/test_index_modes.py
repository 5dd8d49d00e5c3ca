"""A mode of `x.at[...]` speaks for index arrays whose values are known, too."""

import numpy as np
import pytest

import rxcore as rx

X = np.arange(6, dtype=np.float32).reshape(2, 3)
INDEX = np.array([5, -7, -1, 0])
MODES = ("fill", "drop", "clip", "promise_in_bounds")


@pytest.mark.parametrize("mode", MODES)
def test_known_indices_are_read_as_traced_ones(mode):
    def read(x, i):
        return x.at[i].get(mode=mode, fill_value=-1.0)

    known, traced = read(rx.asarray(X), INDEX), rx.jit(read)(X, INDEX)
    assert np.array_equal(known, traced)
    out = [-1.0] * 3
    ends = [[3.0, 4.0, 5.0], [0.0, 1.0, 2.0]]
    expected = [out, out] if mode in ("fill", "drop") else ends
    assert np.array_equal(known, [*expected, *ends])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("update", ["set", "add", "multiply", "min", "max"])
def test_known_indices_are_updated_as_traced_ones(mode, update):
    def write(x, i):
        return getattr(x.at[i], update)(7.0, mode=mode)

    assert np.array_equal(write(rx.asarray(X), INDEX), rx.jit(write)(X, INDEX))


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_indices_beyond_32_bits_stay_out_of_range(dtype):
    far = np.array([1 << 32, 1], dtype)
    found = rx.asarray(X).at[far].get(mode="fill", fill_value=-1.0)
    assert np.array_equal(found, [[-1.0] * 3, [3.0, 4.0, 5.0]])


def test_without_a_mode_known_indices_are_checked():
    with pytest.raises(rx.UserError, match="holds -7, out of range"):
        rx.asarray(X).at[INDEX].get()


def test_a_mode_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(rx.UserError, match=r"at\[\]\.get: mode 'wrap'"):
        rx.asarray(X).at[INDEX].get(mode="wrap")
