"""cond, switch and while_loop = Python's control flow."""

import numpy as np
import pytest

from rxcore.base import config, errors
from rxcore.control.cond import cond, switch
from rxcore.control.jit import inspect, jit
from rxcore.control.scan import scan
from rxcore.control.while_loop import while_loop
from rxcore.ops.mathematics import exp, sin
from rxcore.ops.reduce import sum_
from rxcore.runtime.array import asarray
from rxcore.transforms.batching import vmap
from rxcore.transforms.grad import grad, jvp


@pytest.fixture(autouse=True)
def verified():
    with config.config(verify=True):
        yield


def draw(seed, *shape):
    return asarray(np.random.default_rng(seed).uniform(-1, 1, shape).astype("f"))


def close(a, b, tolerance=1e-5):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), tolerance, tolerance)


BRANCHES = (
    lambda x, w: sin(x) * w,
    lambda x, w: x + x * x * 2 + w * 0,
    lambda x, w: exp(w) * 3 - x * 0,
)
X, W = draw(0, 4), draw(1, 4)


def chosen(index, x, w):
    return switch(index, BRANCHES, x, w)


def plain(index, x, w):
    return BRANCHES[min(max(index, 0), 2)](x, w)


@pytest.mark.parametrize("index", [-1, 0, 1, 2, 5])
def test_switch_is_a_choice(index):
    def slope(f):
        return grad(lambda x, w: sum_(f(index, x, w) * x), (0, 1))

    def traced_slope(index, x, w):
        return grad(lambda x, w: sum_(chosen(index, x, w) * x), (0, 1))(x, w)

    def push(f):
        return lambda index, x, w: jvp(lambda x, w: f(index, x, w), (x, w), (w, x))[1]

    def twice(f, index, x, w):
        once = grad(lambda x: sum_(f(index, x, w) * x))
        return grad(lambda x: sum_(once(x) * x))(x)

    close(jit(chosen)(index, X, W), plain(index, X, W))
    for got, wanted in zip(
        jit(traced_slope)(index, X, W), slope(plain)(X, W), strict=True
    ):
        close(got, wanted)
    close(jit(push(chosen))(index, X, W), push(plain)(index, X, W))
    close(
        jit(lambda i, x, w: twice(chosen, i, x, w))(index, X, W),
        twice(plain, index, X, W),
    )


def test_switch_under_vmap():
    xs, ws = draw(2, 3, 4), draw(3, 3, 4)
    indices = asarray(np.array([2, 0, 1], np.int32))
    mapped = vmap(chosen)(indices, xs, ws)
    shared = jit(vmap(chosen, in_axes=(None, 0, None)))(1, xs, W)
    slopes = jit(vmap(grad(lambda x, i, w: sum_(chosen(i, x, w)))))(xs, indices, ws)
    for k in range(3):
        i, x, w = int(indices.host[k]), asarray(xs.host[k]), asarray(ws.host[k])
        close(mapped.host[k], plain(i, x, w))
        close(shared.host[k], plain(1, x, W))
        close(slopes.host[k], grad(lambda x, i=i, w=w: sum_(plain(i, x, w)))(x))


def test_a_choice_whose_index_is_shared_stays_a_choice():
    def f(i, xs):
        return vmap(lambda x: chosen(i, x, W))(xs)

    made = inspect(f)(1, draw(2, 3, 4))
    assert "switch" in [e.primitive.name for e in made.program.optimized.equations]


def test_results_that_nothing_uses_leave_every_branch():
    def f(i, x, w):
        return switch(i, [lambda: (x, exp(w)), lambda: (x * 2, w)])[0]

    made = inspect(f)(1, X, W).program.optimized
    (choice,) = [e for e in made.equations if e.primitive.name == "switch"]
    assert len(choice.outputs) == 1
    assert len(choice.inputs) == 2
    close(jit(f)(1, X, W), X.host * 2)


def test_cond_takes_only_one_branch():
    seen = []

    def spy(name):
        def branch(x):
            seen.append(name)
            return x

        return branch

    assert float(cond(True, spy("yes"), spy("no"), asarray(2.0))) == 2.0
    assert seen == ["yes"]


def test_cond_in_scan_differentiates():
    xs = draw(4, 6, 3)

    def f(xs):
        def body(c, x):
            c = cond(sum_(x) > 0, lambda c: sin(c) + x, lambda c: c * x, c)
            return c, c

        return sum_(scan(body, asarray(np.ones(3, "f")), xs)[1])

    def slope(xs):
        c = np.ones(3, "f")
        states = []
        for x in xs.host:
            states.append(c)
            c = np.sin(c) + x if x.sum() > 0 else c * x
        back, out = np.zeros(3, "f"), np.zeros_like(xs.host)
        for t in reversed(range(6)):
            back = back + 1
            x, c = xs.host[t], states[t]
            out[t] = back if x.sum() > 0 else back * c
            back = back * (np.cos(c) if x.sum() > 0 else x)
        return out

    close(jit(grad(f))(xs), slope(xs))
    close(grad(f)(xs), slope(xs))


# while_loop ---------------------------------------------------------------------------


def grow(x, factor):
    return while_loop(
        lambda s: s[0] < 10.0, lambda s: (s[0] * factor, s[1] + 1), (x, 0)
    )


def grown(x, factor):
    count = 0
    while x < 10.0:
        x, count = x * factor, count + 1
    return x, count


STARTS = (1.0, 2.0, 8.0, 20.0)


@pytest.mark.parametrize("x", STARTS)
def test_while_is_a_loop(x):
    for f in (grow, jit(grow)):
        got, count = f(x, 1.5)
        wanted, steps = grown(x, 1.5)
        close(got, wanted)
        assert int(count) == steps
    _, dot = jvp(lambda x, k: grow(x, k)[0], (x, 1.5), (1.0, 0.5))
    n = grown(x, 1.5)[1]
    close(dot, 1.5**n + x * n * 1.5 ** max(n - 1, 0) * 0.5)


def test_while_under_vmap_stops_each_lane():
    starts = asarray(np.array(STARTS, "f"))
    got, counts = jit(vmap(grow, in_axes=(0, None)))(starts, 1.5)
    wanted = [grown(x, 1.5) for x in STARTS]
    close(got, [w[0] for w in wanted])
    assert counts.tolist() == [w[1] for w in wanted]
    factors = asarray(np.array([1.5, 2.0, 3.0, 1.5], "f"))
    got, counts = vmap(grow)(starts, factors)
    wanted = [grown(x, k) for x, k in zip(STARTS, factors.tolist(), strict=True)]
    close(got, [w[0] for w in wanted])
    shared, _ = vmap(
        lambda k: while_loop(
            lambda s: s[1] < 3, lambda s: (s[0] * k, s[1] + 1), (1.0, 0)
        )
    )(factors)
    close(shared, factors.host**3)


def test_while_over_nothing_changed():
    assert float(while_loop(lambda x: x < 0, lambda x: x + 1, 5.0)) == 5.0


WRONG = [
    (
        lambda: grad(lambda x: grow(x, 1.5)[0])(2.0),
        errors.UserError,
        "while_loop: reverse-mode differentiation needs the number of steps, which is"
        " not known before the loop runs; use rx.scan, or rx.fori_loop with bounds that"
        " are Python ints (forward mode, rx.jvp, works as it is)",
    ),
    (
        lambda: while_loop(lambda x: x, lambda x: x, 1.0),
        errors.DTypeError,
        "while_loop: the condition must give one bool of rank 0, got (f32[]*); compare"
        " with something, or reduce with all() or any()",
    ),
    (
        lambda: while_loop(lambda x: sum_(x) < 0, lambda x: sum_(x), X),
        errors.ShapeError,
        "while_loop: the carry's leaf goes in as f32[4] and comes out as f32[]; a carry"
        " keeps its shape and dtype: convert what the function returns (.astype,"
        " reshape), or start from a value of that type",
    ),
    (
        lambda: jit(lambda p: cond(p, lambda: X, lambda: sum_(X)))(True),
        errors.ShapeError,
        "cond: branches differ in the result's leaf: false_fun returns f32[], true_fun"
        " returns f32[4]; make them equal (.astype, reshape)",
    ),
    (
        lambda: jit(lambda p: cond(p, lambda: {"a": X}, lambda: {"a": X > 0}))(True),
        errors.DTypeError,
        "cond: branches differ in the result's leaf at ['a']: false_fun returns"
        " bool[4], true_fun returns f32[4]; make them equal (.astype, reshape)",
    ),
    (
        lambda: jit(lambda p: cond(p, lambda: X, lambda: (X,)))(True),
        errors.TreeError,
        "cond: false_fun returns the structure PyTreeSpec((*,)), true_fun returns"
        " PyTreeSpec(*); branches must return the same",
    ),
    (
        lambda: cond(X > 0, lambda: X, lambda: X),
        errors.ShapeError,
        "cond: the predicate must have rank 0, got bool[4]; reduce it with all() or"
        " any(), or use rx.select",
    ),
    (
        lambda: switch(0, []),
        errors.ShapeError,
        "switch: give at least one branch",
    ),
    (
        lambda: switch(0.5, [lambda: X, lambda: X]),
        errors.DTypeError,
        "switch: the index must be an integer, got f32[]*; convert it with .astype",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), WRONG)
def test_errors(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


def test_weak_branches_take_the_other_dtype():
    assert (
        jit(lambda p: cond(p, lambda: X, lambda: X * 2))(False).dtype.name == "float32"
    )
    f = jit(lambda p: cond(p, lambda: sum_(X), lambda: 0))
    assert (f(False).dtype.name, float(f(False))) == ("float32", 0.0)
