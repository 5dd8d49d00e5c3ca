"""Custom derivatives, checkpoints and associative scans."""

import numpy as np
import pytest

from rxcore.base import config, errors
from rxcore.control.associative_scan import associative_scan
from rxcore.control.checkpoint import checkpoint
from rxcore.control.custom import custom_jvp, custom_vjp
from rxcore.control.jit import inspect, jit
from rxcore.control.scan import scan
from rxcore.ops.convert import convert
from rxcore.ops.magnitude import abs_, clamp
from rxcore.ops.mathematics import cos, exp, sin
from rxcore.ops.matmul import matmul
from rxcore.ops.reduce import sum_
from rxcore.runtime.array import asarray
from rxcore.transforms.batching import vmap
from rxcore.transforms.grad import grad, hessian, jvp, value_and_grad
from rxcore.transforms.linearize import linearize_flat


@pytest.fixture(autouse=True)
def verified():
    with config.config(verify=True):
        yield


def draw(seed, *shape):
    return asarray(np.random.default_rng(seed).uniform(-1, 1, shape).astype("f"))


def close(a, b, tolerance=1e-5):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), tolerance, tolerance)


@custom_jvp
def spike(v):
    return convert(v > 0, "float32")


@spike.defjvp
def _spike_jvp(primals, tangents):
    (v,), (dv,) = primals, tangents
    return spike(v), dv / (1 + 10 * abs_(v)) ** 2


def slope_of_spike(v):
    return 1 / (1 + 10 * np.abs(v)) ** 2


@custom_vjp
def clipped(x, _limit):
    return x * 1.0


clipped.defvjp(
    lambda x, limit: (x * 1.0, limit),
    lambda limit, ct: (clamp(-limit, ct, limit), None),
)

X = draw(0, 6)


def everywhere(f):
    """A function of one array, in all the ways to run it elementwise."""
    one = lambda x: f(x)  # noqa: E731

    def scanned(x):
        return scan(lambda c, v: (c, f(v)), 0.0, x)[1]

    return (one, jit(one), vmap(one), jit(vmap(one)), scanned, jit(scanned))


@pytest.mark.parametrize("way", range(6))
def test_custom_jvp_everywhere(way):
    f = everywhere(spike)[way]
    close(f(X), X.host > 0)
    close(
        grad(lambda x: sum_(f(x) * x))(X), slope_of_spike(X.host) * X.host + f(X).host
    )
    close(jit(grad(lambda x: sum_(f(x))))(X), slope_of_spike(X.host))
    close(jvp(f, (X,), (X,))[1], slope_of_spike(X.host) * X.host)
    # The rule is differentiated in turn.
    second = grad(lambda x: sum_(grad(lambda y: sum_(f(y)))(x)))(X)
    close(second, -20 * np.sign(X.host) / (1 + 10 * np.abs(X.host)) ** 3, 1e-4)


@pytest.mark.parametrize("way", range(6))
def test_custom_vjp_everywhere(way):
    f = everywhere(lambda x: clipped(x, 0.5))[way]
    close(f(X), X)
    close(
        grad(lambda x: sum_(f(x) * 3 * x))(X),
        np.clip(3 * X.host, -0.5, 0.5) + 3 * X.host,
    )
    close(jit(grad(lambda x: sum_(f(x) * x)))(X), np.clip(X.host, -0.5, 0.5) + X.host)


def test_custom_vjp_of_shared_operand_under_vmap():
    @custom_vjp
    def product(a, b):
        return a * b

    product.defvjp(
        lambda a, b: (a * b, (a, b)), lambda r, ct: (ct * r[1], ct * r[0] * 2)
    )
    xs, b = draw(1, 3, 4), draw(2, 4)

    def f(xs, b):
        return sum_(vmap(product, in_axes=(0, None))(xs, b))

    da, db = grad(f, (0, 1))(xs, b)
    close(da, np.broadcast_to(b.host, (3, 4)))
    close(db, 2 * xs.host.sum(0))


def test_custom_rules_take_pytrees_keywords_and_static_arguments():
    @custom_jvp
    def rotate(pair, angle=0.0):
        return {"x": pair[0] * cos(angle), "y": pair[1]}

    @rotate.defjvp
    def _(primals, tangents):
        (pair, angle), (dots, turn) = primals, tangents
        return rotate(pair, angle), {"x": dots[0] * 7.0, "y": dots[1] + turn}

    g = grad(lambda p, a: sum_(rotate(p, angle=a)["x"]) + rotate(p, a)["y"], (0, 1))
    (dx, dy), turn = g((asarray(1.0), asarray(2.0)), 0.5)
    assert (float(dx), float(dy), float(turn)) == (7.0, 1.0, 1.0)

    def power(f, x, n):
        for _ in range(n):
            x = f(x)
        return x

    power = custom_jvp(power, nondiff_argnums=(0, 2))
    power.defjvp(lambda f, n, p, t: (power(f, p[0], n), t[0] * n))
    assert float(grad(lambda x: power(sin, x, 3))(0.3)) == 3.0
    assert float(jit(grad(lambda x: power(sin, x, 4)))(0.3)) == 4.0

    times = custom_vjp(lambda k, x: x * k, nondiff_argnums=0)
    times.defvjp(lambda k, x: (x * k, None), lambda k, _, ct: (ct * k * 100,))
    assert float(grad(lambda x: times(2, x))(1.0)) == 200.0

    @custom_jvp
    def many(a, b):
        return a * b

    many.defjvps(lambda t, *_: t * 5, None)
    assert [float(v) for v in grad(many, (0, 1))(2.0, 3.0)] == [5.0, 0.0]


def test_spiking_scan_is_one_launch_and_two_for_its_gradient():
    currents = asarray(np.abs(draw(3, 20, 8).host))

    def run(currents):
        def step(v, current):
            v = 0.9 * v + current
            s = spike(v - 1.0)
            return v - s, s

        return scan(step, asarray(np.zeros(8, "f")), currents)[1]

    def surrogate(currents):
        c, v, states = currents.host, np.zeros(8, "f"), []
        for x in c:
            v = 0.9 * v + x
            s = (v > 1).astype("f")
            states.append((v, s))
            v = v - s
        back, out = np.zeros(8, "f"), np.zeros_like(c)
        for t in reversed(range(20)):
            v, s = states[t]
            into = (2 * s - back) * slope_of_spike(v - 1) + back
            out[t], back = into, into * 0.9
        return out

    def loss(currents):
        return sum_(run(currents) ** 2)

    close(grad(loss)(currents), surrogate(currents), 1e-4)
    assert inspect(run)(currents).launches == 1
    assert inspect(grad(loss))(currents).launches == 2


WRONG = [
    (
        lambda: jvp(lambda x: clipped(x, 0.5), (X,), (X,)),
        errors.UserError,
        "custom_vjp: forward-mode differentiation (rx.jvp, rx.jacfwd, rx.hessian) needs"
        " a rule for tangents, and this function has only a backward rule; use"
        " rx.custom_jvp, or differentiate in reverse mode",
    ),
    (
        lambda: custom_jvp(sin)(X),
        errors.UserError,
        "custom_jvp: sin has no rule yet; set one with @sin.defjvp",
    ),
    (
        lambda: custom_vjp(lambda x: x)(X),
        errors.UserError,
        "custom_vjp: <lambda> has no rules yet; set them with"
        " <lambda>.defvjp(forward, backward)",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), WRONG)
def test_errors(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


def test_rules_that_do_not_fit():
    f = custom_jvp(lambda x: x)
    f.defjvp(lambda primals, tangents: (primals[0], sum_(tangents[0])))
    with pytest.raises(errors.ShapeError, match="tangent is f32"):
        grad(lambda x: sum_(f(x)))(X)
    f.defjvp(lambda primals, _: primals[0])
    with pytest.raises(errors.TreeError, match="must return a pair"):
        grad(lambda x: sum_(f(x)))(X)
    g = custom_vjp(lambda x: x)
    g.defvjp(lambda x: (x, None), lambda _, ct: (sum_(ct),))
    with pytest.raises(errors.ShapeError, match="cotangent 0 is f32"):
        grad(lambda x: sum_(g(x)))(X)
    g.defvjp(lambda x: (x, None), lambda _, ct: ct)
    with pytest.raises(errors.TreeError, match="tuple of 1 cotangents"):
        grad(lambda x: sum_(g(x)))(X)

    def outer(y):
        h = custom_jvp(lambda x: x * y)
        h.defjvp(lambda primals, tangents: (primals[0], tangents[0]))
        return sum_(h(X))

    with pytest.raises(errors.TraceError, match="closes over a value"):
        grad(outer)(X)


# checkpoint ---------------------------------------------------------------------------


def deep(x, w):
    for _ in range(3):
        x = sin(matmul(x, w)) * 1.5
    return x


def test_checkpoint_keeps_only_inputs():
    x, w = draw(4, 5, 5), draw(5, 5, 5)
    saved = checkpoint(deep)
    stored = {
        name: linearize_flat(lambda x, w, f=f: [f(x, w)], [x, w])
        for name, f in (("plain", deep), ("saved", saved))
    }
    inside = linearize_flat(lambda x: [saved(x, w)], [x])
    assert len(inside.residuals) <= 2
    plain_bytes = sum(r.nbytes for r in stored["plain"].residuals)
    assert plain_bytes > 2 * x.nbytes
    for f in (saved, jit(saved)):
        close(f(x, w), deep(x, w))
        got = grad(lambda x, w, f=f: sum_(f(x, w) ** 2), (0, 1))(x, w)
        wanted = grad(lambda x, w: sum_(deep(x, w) ** 2), (0, 1))(x, w)
        for a, b in zip(got, wanted, strict=True):
            close(a, b, 1e-4)
    close(jvp(saved, (x, w), (x, w))[1], jvp(deep, (x, w), (x, w))[1], 1e-4)


def test_checkpoint_inside_jit_stores_only_inputs():
    x, w = draw(4, 5, 5), draw(5, 5, 5)

    def traced(x, w):
        made = linearize_flat(lambda x, w: [checkpoint(deep)(x, w)], [x, w])
        kept.append(len(made.residuals))
        return made.outputs[0]

    kept = []
    jit(traced)(x, w)
    assert kept == [2]


def test_cse_does_not_undo_a_checkpoint():
    x, w = draw(4, 5, 5), draw(5, 5, 5)

    def products(f):
        slope = value_and_grad(lambda x, w: sum_(f(x, w) ** 2), (0, 1))
        made = inspect(slope)(x, w).program.optimized
        return sum(e.primitive.name == "product" for e in made.equations)

    # Forward 3; backward 2 for each; computed again 3, of which the last is not used.
    assert products(deep) == 9
    assert products(checkpoint(deep)) in (11, 12)


def test_checkpoint_needs_less_memory():
    x, w = draw(4, 16, 16), draw(5, 16, 16)

    def peak(f):
        def loss(x, w):
            for _ in range(6):
                x = f(x, w)
            return sum_(x**2)

        return inspect(grad(loss))(x, w).peak_bytes

    assert peak(checkpoint(deep)) < 0.7 * peak(deep)


def test_checkpoint_composes():
    def f(x):
        return sum_(sin(x) * exp(x))

    g = checkpoint(f)
    close(hessian(g)(X), hessian(f)(X), 1e-4)
    xs = draw(6, 3, 6)
    close(vmap(grad(g))(xs), vmap(grad(f))(xs))

    def loop(step):
        return lambda xs: sum_(scan(lambda c, x: (step(c, x), c), X, xs)[1])

    def step(c, x):
        return sin(c) * x + c

    close(jit(grad(loop(checkpoint(step))))(xs), grad(loop(step))(xs), 1e-4)
    made = inspect(grad(loop(checkpoint(step))))(xs)
    assert made.launches == 2


# associative_scan ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_associative_scan(size, reverse, axis):
    shape = (size, 3) if axis == 0 else (3, size)
    a, b = draw(7, *shape), draw(8, *shape)

    def join(left, right):
        return {"a": left["a"] * right["a"], "b": left["b"] * right["a"] + right["b"]}

    got = associative_scan(join, {"a": a, "b": b}, reverse=reverse, axis=axis)
    rows = [np.moveaxis(v.host, axis, 0) for v in (a, b)]
    order = range(size)[::-1] if reverse else range(size)
    state, wanted = None, [None] * size
    for t in order:
        here = (rows[0][t], rows[1][t])
        state = (
            here
            if state is None
            else (state[0] * here[0], state[1] * here[0] + here[1])
        )
        wanted[t] = state
    for k, name in enumerate("ab"):
        close(np.moveaxis(got[name].host, axis, 0), np.stack([w[k] for w in wanted]))
    slope = jit(
        grad(lambda x: sum_(associative_scan(lambda p, q: p + q, x, reverse, axis)))
    )
    counts = np.arange(size) + 1 if reverse else size - np.arange(size)
    close(slope(a), np.broadcast_to(counts[:, None] if axis == 0 else counts, shape))
