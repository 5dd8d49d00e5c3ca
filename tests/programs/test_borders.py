"""Programs at the borders: very long, very wide, empty, of many axes."""

from __future__ import annotations

from typing import Any

import numpy as np

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.testing import assert_same

X = rx.asarray(np.arange(6, dtype="f").reshape(2, 3))


def test_a_chain_of_thousands_of_steps() -> None:
    def chain(x: Any) -> Any:
        for _ in range(3000):
            x = x * 0.999 + 0.5
        return x

    assert_same(chain, X, ulps=2000)
    assert rx.inspect(chain)(X).launches < 10


def test_costly_chains_are_cut_into_several_kernels() -> None:
    """LLVM's time grows with the square of a loop's body."""

    def chain(x: Any) -> Any:
        for _ in range(120):
            x = rnp.tanh(x) + 0.5
        return x.sum()

    assert 2 <= rx.inspect(rx.grad(chain))(X).launches <= 60
    assert_same(rx.grad(chain), rx.asarray(np.ones(3)), ulps=1000)


def test_hundreds_of_arguments_and_results() -> None:
    leaves = [X + k for k in range(300)]
    assert_same(lambda v: [x * 2 for x in v], leaves)
    assert_same(lambda v: sum(v), leaves, ulps=64)


def test_many_axes() -> None:
    x = rx.asarray(np.arange(1024, dtype="f").reshape((2,) * 10))
    order = tuple(reversed(range(10)))
    assert_same(lambda x: (x * 2).transpose(order).sum((0, 3, 5)) + 1, x)


def test_no_elements() -> None:
    empty = rnp.zeros((3, 0))
    assert_same(lambda x: rnp.concatenate([x * 2, x, x], 1), empty)
    assert_same(lambda x: rnp.concatenate([x, X.T * 2], 1) + 1, empty)
    assert_same(lambda x: (x.sum(1), x.sum(), (x > 0).all(1)), empty)
    # A carry of rank 0 needs a step even where no lane does.
    assert_same(lambda x: rx.scan(lambda c, r: (c + 1, r * c), 0.0, x), empty)


def test_pieces_of_results_of_rows() -> None:
    assert_same(lambda x: rnp.concatenate([x.sum(1), x.max(1)]), X)
    assert_same(lambda x: rnp.stack([x.argmin(0), x.argmax(0)]), X)


def test_numbers_whose_bits_fill_a_word() -> None:
    x = rx.asarray(np.arange(3.0))
    assert_same(lambda x: x * -3.7 + (-1e300) * (x > 1), x)
