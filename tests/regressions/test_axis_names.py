"""Collectives take a tuple of axis names."""

import numpy as np
import pytest

import rxcore as rx


@pytest.mark.parametrize(
    ("collective", "reduce"),
    [
        (rx.psum, np.sum),
        (rx.pmean, np.mean),
        (rx.pmax, np.max),
        (rx.pmin, np.min),
    ],
)
def test_a_collective_over_two_axes_is_a_reduction_over_both(collective, reduce):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    inner = rx.vmap(lambda v: collective(v, ("i", "j")), axis_name="j")
    found = rx.vmap(inner, axis_name="i")(x)
    assert np.array_equal(found, np.full((2, 3), reduce(x)))


def test_the_size_of_two_axes_is_their_product():
    inner = rx.vmap(lambda v: v * rx.axis_size(("i", "j")), axis_name="j")
    found = rx.vmap(inner, axis_name="i")(np.ones((2, 3), np.float32))
    assert np.array_equal(found, np.full((2, 3), 6))


def test_an_unknown_name_among_several_is_named():
    with pytest.raises(rx.TraceError, match="psum: no axis is named 'k'"):
        rx.vmap(lambda v: rx.psum(v, ("i", "k")), axis_name="i")(np.ones(3))
