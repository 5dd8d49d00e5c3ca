"""Host functions inside traced code."""

import numpy as np
import pytest

from rxcore.base import config, errors
from rxcore.control.cond import cond
from rxcore.control.custom import custom_vjp
from rxcore.control.effects import (
    ShapeDtypeStruct,
    debug_callback,
    debug_print,
    pure_callback,
)
from rxcore.control.jit import jit
from rxcore.control.scan import scan
from rxcore.ops.reduce import sum_
from rxcore.runtime.array import asarray
from rxcore.transforms.batching import vmap
from rxcore.transforms.grad import grad

X = asarray(np.array([3.0, 1.0, 2.0], "f"))


@pytest.fixture(autouse=True)
def verified():
    with config.config(verify=True):
        yield


def test_prints_happen_in_order(capsys):
    def f(x):
        debug_print("first {}", sum_(x * 2) + x[0] if hasattr(x, "at") else sum_(x * 2))
        debug_print("second")
        debug_print("third {name}", name=x)
        return x + 1

    for run in (f, jit(f)):
        assert run(X).tolist() == [4.0, 2.0, 3.0]
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == ["first", "second", "third"]
        assert lines[2] == "third [3. 1. 2.]"


def test_prints_in_loops_choices_lanes_and_gradients(capsys):
    def step(c, x):
        debug_print("{}", x)
        cond(x > 1.5, lambda: debug_print("big"), lambda: None)
        return c + x, None

    jit(lambda x: scan(step, 0.0, x)[0])(X)
    assert capsys.readouterr().out.split() == ["3.0", "big", "1.0", "2.0", "big"]

    def lane(x, y):
        debug_print("{} {}", x, y)
        return x

    jit(vmap(lane, in_axes=(0, None)))(X, 7)
    assert capsys.readouterr().out.splitlines() == ["3.0 7", "1.0 7", "2.0 7"]

    def loss(x):
        debug_print("loss")
        return sum_(x * x)

    assert jit(grad(loss))(X).tolist() == [6.0, 2.0, 4.0]
    assert capsys.readouterr().out.split() == ["loss"]


def test_debug_callback_keeps_copies():
    seen = []
    jit(lambda x: debug_callback(seen.append, x * 2))(X)
    jit(lambda x: debug_callback(seen.append, x * 3))(X)
    assert [s.tolist() for s in seen] == [[6.0, 2.0, 4.0], [9.0, 3.0, 6.0]]


LIKE = ShapeDtypeStruct((3,), "float32")


def ordered(x):
    return pure_callback(np.sort, LIKE, x)


def test_pure_callback_everywhere():
    xs = asarray(np.stack([X.host, -X.host]))
    for f in (ordered, jit(ordered)):
        assert f(X).tolist() == [1.0, 2.0, 3.0]
    for f in (vmap(ordered), jit(vmap(ordered))):
        np.testing.assert_array_equal(f(xs).host, np.sort(xs.host))
    rows = scan(lambda c, x: (c, ordered(x)), 0.0, xs)[1]
    np.testing.assert_array_equal(rows.host, np.sort(xs.host))
    grid = asarray(np.stack([xs.host, xs.host + 1]))
    np.testing.assert_array_equal(vmap(vmap(ordered))(grid).host, np.sort(grid.host))


def test_vectorized_callback_is_called_once():
    calls = []

    def shift(x, y):
        calls.append(x.shape)
        return x + y

    def f(x, y):
        return pure_callback(shift, LIKE, x, y, vectorized=True)

    xs = asarray(np.stack([X.host, -X.host]))
    np.testing.assert_array_equal(
        vmap(f, in_axes=(0, None))(xs, X).host, xs.host + X.host
    )
    assert calls == [(2, 3)]


def test_pure_callback_with_its_own_derivative():
    f = custom_vjp(lambda x: pure_callback(np.sin, LIKE, x))
    f.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * pure_callback(np.cos, LIKE, x),))
    np.testing.assert_allclose(
        jit(grad(lambda x: sum_(f(x))))(X).host, np.cos(X.host), rtol=1e-6
    )


WRONG = [
    (
        lambda: grad(lambda x: sum_(ordered(x)))(X),
        errors.UserError,
        "pure_callback: a Python function has no derivative; give it one with"
        " rx.custom_jvp or rx.custom_vjp, or stop it with rx.stop_gradient",
    ),
    (
        lambda: pure_callback(lambda x: x[:2], LIKE, X),
        errors.ShapeError,
        "pure_callback: the callback returned shape (2,), expected (3,)"
        " (result_shape_dtypes)",
    ),
    (
        lambda: pure_callback(lambda x: (x, x), LIKE, X),
        errors.TreeError,
        "pure_callback: the callback returned the structure PyTreeSpec((*, *)),"
        " expected PyTreeSpec(*) (result_shape_dtypes)",
    ),
    (
        lambda: debug_print(X),
        errors.UserError,
        "debug.print: the first argument is the format string, got"
        ' Array([3., 1., 2.], dtype=float32); write rx.debug.print("{}", x)',
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), WRONG)
def test_errors(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


def test_errors_of_callbacks_come_out_of_compiled_code():
    def fail(_):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        jit(lambda x: pure_callback(fail, LIKE, x))(X)
