"""Transforms take their function under JAX's name, and the function its own names."""

import pytest

import rxcore as rx


@pytest.mark.parametrize("transform", ["grad", "jacfwd", "jacrev", "hessian"])
def test_derivatives_take_fun_by_name(transform):
    found = getattr(rx, transform)(fun=lambda x: x**2)(3.0)
    assert float(found) == (2.0 if transform == "hessian" else 6.0)


def test_hvp_takes_all_primals():
    x = rx.asarray([1.0, 2.0])
    first, second = rx.hvp(lambda a, b: (a * b).sum(), (x, x), (x, 3 * x))
    assert first.tolist() == [3.0, 6.0]
    assert second.tolist() == [1.0, 2.0]


def test_a_keyword_named_function_reaches_the_user():
    assert rx.eval_shape(lambda function: function, function=1.0).shape == ()
