"""Python's round works on arrays, with digits and without."""

import numpy as np
import pytest

import rxcore as rx


@pytest.mark.parametrize("digits", [None, 0, 1, 2, -1])
def test_round_is_numpys(digits: int | None) -> None:
    x = np.array([1.25, -2.5, 13.37, 0.5], np.float32)
    rounded = (
        round(rx.asarray(x), digits) if digits is not None else round(rx.asarray(x))
    )
    np.testing.assert_allclose(rounded, np.round(x, digits or 0), rtol=1e-6)
    jitted = rx.jit(lambda x: round(x, digits or 0))(x)
    np.testing.assert_allclose(jitted, np.round(x, digits or 0), rtol=1e-6)
