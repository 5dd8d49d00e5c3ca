"""Many float literals in one loop nest, with loops of their own names beside them."""

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp


@pytest.mark.parametrize("count", [3, 8, 24])
def test_literals_and_loops_have_names_of_their_own(count: int) -> None:
    def chain(x):
        for k in range(count):
            x = x * (0.9 + 0.037 * k / count) + 0.01 * (k + 1)
        return x

    def rows(x):
        return chain(x) / rnp.sum(chain(x), axis=1, keepdims=True)

    x = np.random.default_rng(0).uniform(size=(5, 70)).astype(np.float32)
    for f in (chain, rows):
        expected = np.asarray(f(rx.asarray(x)))
        np.testing.assert_allclose(np.asarray(rx.jit(f)(x)), expected, rtol=2e-5)
