"""Floating functions convert integers before they compute: nothing wraps around."""

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp

CALLS = ["logaddexp", "hypot", "arctan2", "copysign", "true_divide"]


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "int32", "uint32", "int64"]
)
@pytest.mark.parametrize("name", CALLS)
def test_functions_of_two_integers_give_what_numpy_gives_for_floats(name, dtype):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    x, y = np.array([high, low, 3, 0], dtype), np.array([low, high, 7, 1], dtype)
    found = rx.jit(getattr(rnp, name))(x, y)
    with np.errstate(divide="ignore"):
        expected = getattr(np, name)(x.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
