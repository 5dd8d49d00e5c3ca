"""scan = a Python loop, in value, derivatives and batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore.base import config, errors
from rxcore.control.cond import cond
from rxcore.control.fori_loop import fori_loop, map_
from rxcore.control.jit import inspect, jit
from rxcore.control.scan import scan
from rxcore.ir.interpret import interpret
from rxcore.ops.compare import select
from rxcore.ops.join import split
from rxcore.ops.magnitude import maximum
from rxcore.ops.mathematics import cos, exp, sin, tanh
from rxcore.ops.matmul import matmul
from rxcore.ops.reduce import sum_
from rxcore.ops.shape import broadcast_to, reshape, slice_
from rxcore.runtime.array import Array, asarray
from rxcore.trace.capture import capture
from rxcore.transforms.batching import vmap
from rxcore.transforms.grad import grad, hvp, jvp


@pytest.fixture(autouse=True)
def verified():
    with config.config(verify=True):
        yield


def draw(seed, *shape):
    return asarray(np.random.default_rng(seed).uniform(-1, 1, shape).astype("f"))


def row(x, t):
    first = slice_(x, (t, *(0,) * (x.ndim - 1)), (t + 1, *x.shape[1:]))
    return reshape(first, x.shape[1:])


def unrolled(f, carry, xs, reverse=False):
    """The meaning of scan, in Python."""
    length = xs[0].shape[0]
    ys = [None] * length
    for t in reversed(range(length)) if reverse else range(length):
        carry, ys[t] = f(carry, [row(x, t) for x in xs])
    return carry, ys


def weigh(carry, ys):
    """One number that depends on every element of a result, unevenly."""
    total = 0.0
    for k, c in enumerate(carry):
        total = total + sum_(c * c) * (0.3 + k)
    return total + sum_(ys[0] * sin(ys[0] * 3.0)) + 0.7 * sum_(ys[1] * ys[1])


def by_scan(f, reverse):
    def loss(carry, xs):
        return weigh(*scan(f, carry, xs, reverse=reverse))

    return loss


def by_loop(f, reverse):
    def loss(carry, xs):
        last, ys = unrolled(f, carry, xs, reverse)
        total = 0.0
        for k, c in enumerate(last):
            total = total + sum_(c * c) * (0.3 + k)
        for y in ys:
            total = total + sum_(y[0] * sin(y[0] * 3.0)) + 0.7 * sum_(y[1] * y[1])
        return total

    return loss


def close(a, b, tolerance=2e-4):
    leaves_a, leaves_b = flat(a), flat(b)
    assert len(leaves_a) == len(leaves_b)
    for x, y in zip(leaves_a, leaves_b, strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def flat(tree):
    if isinstance(tree, dict):
        return [leaf for k in sorted(tree) for leaf in flat(tree[k])]
    if isinstance(tree, list | tuple):
        return [leaf for part in tree for leaf in flat(part)]
    return [] if tree is None else [tree]


# Random elementwise bodies ------------------------------------------------------------

UNARY = (sin, tanh, lambda v: v * 0.7, lambda v: 1.0 / (2.0 + v * v), cos)
BINARY = (
    lambda a, b: a + b,
    lambda a, b: a * b * 0.5,
    lambda a, b: a - 0.3 * b,
    maximum,
    lambda a, b: select(a > b, a * 0.5, b),
)


@st.composite
def bodies(draw_):
    """An elementwise body over carries and step inputs, with the number of carries."""
    carries, inputs = draw_(st.integers(1, 3)), draw_(st.integers(1, 2))
    steps = draw_(
        st.lists(
            st.tuples(
                st.booleans(),
                st.integers(0, 4),
                st.integers(0, 30),
                st.integers(0, 30),
            ),
            min_size=2,
            max_size=7,
        )
    )
    results = draw_(st.lists(st.integers(0, 30), min_size=5, max_size=5))

    def body(carry, xs):
        values = [*carry, *xs]
        for binary, op, a, b in steps:
            x, y = values[a % len(values)], values[b % len(values)]
            values.append(BINARY[op](x, y) if binary else UNARY[op](x))
        chosen = [values[-1 - k % len(values)] for k in results]
        # A result that depends on no input has a gradient that is filled with zeros.
        chosen[-1] = chosen[-1] + 0.1 * sum(v * 1.0 for v in (*carry, *xs))
        fresh = [tanh(c) for c in chosen[:carries]]
        return fresh, chosen[3:]

    return body, carries, inputs


@settings(max_examples=12, deadline=None, derandomize=True)
@given(bodies(), st.booleans(), st.sampled_from([(5,), (2, 3)]))
def test_random_elementwise_scan_is_a_loop_in_one_launch(made, reverse, shape):
    body, carries, inputs = made
    carry = [draw(k, *shape) for k in range(carries)]
    xs = [draw(10 + k, 4, *shape) for k in range(inputs)]
    scanned, looped = by_scan(body, reverse), by_loop(body, reverse)
    close(scanned(carry, xs), looped(carry, xs))
    slope, wanted = grad(scanned, (0, 1)), grad(looped, (0, 1))(carry, xs)
    close(jit(slope)(carry, xs), wanted)

    def forward(carry, xs):
        return scan(body, carry, xs, reverse=reverse)

    def back(carry, xs, cts):
        def weighted(carry, xs):
            last, ys = forward(carry, xs)
            pairs = zip([*last, *ys], cts, strict=True)
            return sum(sum_(o * ct) for o, ct in pairs)

        return grad(weighted, (0, 1))(carry, xs)

    cts = [*(draw(20 + k, *shape) for k in range(carries))]
    cts += [draw(30 + k, 4, *shape) for k in range(2)]
    assert inspect(forward)(carry, xs).launches == 1
    assert inspect(back)(carry, xs, cts).launches <= 2


@settings(max_examples=6, deadline=None, derandomize=True)
@given(bodies(), st.booleans())
def test_random_elementwise_scan_under_vmap(made, reverse):
    body, carries, inputs = made
    carry = [draw(k, 3, 4) for k in range(carries)]
    xs = [draw(10 + k, 5, 3, 4) for k in range(inputs)]

    def forward(carry, xs):
        return scan(body, carry, xs, reverse=reverse)

    mapped = vmap(forward, in_axes=(0, 1), out_axes=(0, 1))
    assert inspect(mapped)(carry, xs).launches == 1
    close(mapped(carry, xs), forward(carry, xs))
    slope = grad(by_loop(body, reverse), (0, 1))
    lanes = jit(vmap(grad(by_scan(body, reverse), (0, 1)), in_axes=(0, 1)))(carry, xs)
    for lane in range(3):
        wanted = slope(
            [asarray(c.host[lane]) for c in carry],
            [asarray(x.host[:, lane]) for x in xs],
        )
        close([np.asarray(leaf)[lane] for leaf in flat(lanes)], flat(wanted))


@settings(max_examples=4, deadline=None, derandomize=True)
@given(bodies(), st.booleans())
def test_random_elementwise_scan_has_second_derivatives(made, reverse):
    body, carries, inputs = made
    carry = [draw(k, 3) for k in range(carries)]
    xs = [draw(10 + k, 4, 3) for k in range(inputs)]

    def curve(build):
        loss = build(body, reverse)
        return lambda x: loss(carry, [x, *xs[1:]])

    pair = [hvp(curve(b), (xs[0],), (xs[0],)) for b in (by_scan, by_loop)]
    close(pair[0], pair[1], 2e-3)

    def twice(f):
        return grad(lambda x: sum_(grad(f)(x) * x))(xs[0])

    close(twice(curve(by_scan)), twice(curve(by_loop)), 2e-3)


# Bodies with products -----------------------------------------------------------------

WIDTH = 4


def cell(weights):
    inner, outer, bias = weights

    def body(carry, xs):
        (h, c), (x,) = carry, xs
        z = matmul(x, inner) + matmul(h, outer) + bias
        i, f, g, o = split(z, (WIDTH,) * 4, 1)
        c = 1 / (1 + exp(-f)) * c + 1 / (1 + exp(-i)) * tanh(g)
        h = 1 / (1 + exp(-o)) * tanh(c)
        return (h, c), (h, c * 0.1)

    return body


def recurrent():
    weights = (draw(0, 3, 16), draw(1, WIDTH, 16), draw(2, 16))
    return weights, draw(3, 6, 2, 3), (draw(4, 2, WIDTH), draw(5, 2, WIDTH))


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_with_products_is_a_loop(reverse):
    weights, xs, start = recurrent()

    def loss(build):
        return lambda weights, xs, start: build(cell(weights), reverse)(start, [xs])

    scanned, looped = loss(by_scan), loss(by_loop)
    close(scanned(weights, xs, start), looped(weights, xs, start))
    wanted = grad(looped, (0, 1, 2))(weights, xs, start)
    close(jit(grad(scanned, (0, 1, 2)))(weights, xs, start), wanted)
    close(grad(scanned, (0, 1, 2))(weights, xs, start), wanted)
    push = [
        jvp(f, (weights, xs, start), (weights, xs, start)) for f in (scanned, looped)
    ]
    close(push[0], push[1])

    def twice(f):
        return grad(lambda w: sum_(grad(f)(w, xs, start)[1] * w[1]))(weights)

    close(twice(scanned), twice(looped), 2e-3)


def test_products_of_step_inputs_leave_the_loop():
    weights, xs, start = recurrent()

    def loss(weights, xs, start):
        return by_scan(cell(weights), False)(start, [xs])

    made = inspect(grad(loss, (0, 1, 2)))(weights, xs, start)
    scans = [e for e in made.program.optimized.equations if e.primitive.name == "scan"]
    assert len(scans) == 2
    for e in scans:
        names = [i.primitive.name for i in e.params["graph"].equations]
        # Only the product with the state stays, and two nests at most.
        assert names.count("product") == 1
        assert names.count("fused") <= 2
    # The weights' cotangents are no carries: they are contractions over time.
    assert scans[1].params["carries"] == 2


def test_hoisting_sees_through_jitted_functions():
    weights, xs, start = recurrent()
    step = jit(lambda carry, x: cell(weights)(carry, [x]))
    made = capture(lambda xs: scan(step, start, xs)[0], [xs.type]).graph
    (loop,) = [e for e in made.equations if e.primitive.name == "scan"]
    names = [e.primitive.name for e in loop.params["graph"].equations]
    assert names.count("contract") == 1


def test_accumulated_products_become_one():
    a, b = draw(0, 20, 3, 4), draw(1, 20, 4, 2)

    def f(a, b):
        def body(total, x):
            return total + matmul(x[0], x[1]), None

        return scan(body, asarray(np.ones((3, 2), "f")), (a, b))[0]

    wanted = 1 + np.einsum("tij,tjk->ik", a.host, b.host)
    np.testing.assert_allclose(jit(f)(a, b).host, wanted, rtol=1e-4, atol=1e-4)
    names = [e.primitive.name for e in inspect(f)(a, b).program.optimized.equations]
    assert "scan" not in names or "product" in names


def test_constants_are_computed_once():
    w, xs = draw(0, 40, 40), draw(1, 5, 40)

    def f(w, xs):
        return scan(lambda c, x: (tanh(matmul(c, exp(w)) * 0.01 + x), c), xs[0], xs)[0]

    body = next(
        e.params["graph"]
        for e in capture(lambda w, xs: [f(w, xs)], [w.type, xs.type]).graph.equations
        if e.primitive.name == "scan"
    )
    assert "exp" not in [e.primitive.name for e in body.equations]
    c = xs.host[0]
    for x in xs.host:
        c = np.tanh(c @ np.exp(w.host) * 0.01 + x)
    np.testing.assert_allclose(jit(f)(w, xs).host, c, rtol=1e-4, atol=1e-4)


# Meaning ------------------------------------------------------------------------------


def test_interpreter_agrees_with_compiled():
    xs = draw(0, 5, 3)

    def f(xs):
        def body(c, x):
            c = cond(sum_(x) > 0, lambda c: c * 0.5 + x, lambda c: c - x, c)
            return c, c * 2

        last, ys = scan(body, asarray(np.zeros(3, "f")), xs, reverse=True)
        return [last, ys]

    made = capture(f, [xs.type])
    given = [xs.host, *(np.asarray(c.host) for c in made.constants)]
    close(interpret(made.graph, given), jit(f)(xs), 1e-6)


def test_pytrees_none_and_length():
    def body(carry, x):
        assert x is None
        return {"n": carry["n"] + 1, "v": carry["v"] * 2.0}, (carry["v"], None)

    last, (ys, nothing) = scan(body, {"n": 0, "v": 1.0}, None, length=4)
    assert (int(last["n"]), float(last["v"]), nothing) == (4, 16.0, None)
    assert ys.tolist() == [1.0, 2.0, 4.0, 8.0]


def test_no_steps():
    start = asarray(np.ones(3, "f"))
    xs = asarray(np.zeros((0, 3), "f"))
    last, ys = scan(lambda c, x: (c + x, c), start, xs)
    assert last.tolist() == [1.0] * 3
    assert ys.shape == (0, 3)
    slope = grad(lambda s: sum_(scan(lambda c, x: (c + x, c), s, xs)[0]))(start)
    assert slope.tolist() == [1.0] * 3


def test_closures_over_arrays_and_tracers():
    w, xs = draw(0, 3), draw(1, 4, 3)

    def f(v, xs):
        return sum_(scan(lambda c, x: (c * w + x * v, c), w, xs)[0])

    def g(v, xs):
        c = w
        for t in range(4):
            c = c * w + row(xs, t) * v
        return sum_(c)

    close(grad(f, (0, 1))(w, xs), grad(g, (0, 1))(w, xs))
    close(vmap(f, in_axes=(0, None))(draw(2, 5, 3), xs).shape, (5,))


def test_weak_carries_take_the_dtype_of_the_body():
    last, _ = scan(lambda c, x: (c + x, None), 0, asarray([1.5, 2.0]))
    assert (last.dtype.name, float(last)) == ("float32", 3.5)


def test_scan_in_scan():
    xs = draw(0, 3, 4, 2)

    def f(xs):
        def outer(c, rows):
            def inner(d, x):
                return tanh(d + x), d * x

            d, ys = scan(inner, c, rows, reverse=True)
            return d, sum_(ys)

        last, totals = scan(outer, asarray(np.ones(2, "f")), xs)
        return sum_(last * last) + sum_(totals * totals)

    def g(xs):
        c, total = asarray(np.ones(2, "f")), 0.0
        for t in range(3):
            rows, part = row(xs, t), 0.0
            for s in reversed(range(4)):
                part = part + sum_(c * row(rows, s))
                c = tanh(c + row(rows, s))
            total = total + part * part
        return sum_(c * c) + total

    close(f(xs), g(xs))
    close(jit(grad(f))(xs), grad(g)(xs))
    close(jit(vmap(grad(f)))(asarray(xs.host[None])).host[0], grad(g)(xs).host)


def test_shared_inputs_get_summed_cotangents():
    xs, gain, start = draw(0, 6, 5), asarray(0.7), asarray(np.zeros(5, "f"))

    def f(gain, xs):
        return sum_(scan(lambda c, x: (c * gain + x, c), start, xs)[1])

    def g(gain, xs):
        c, total = start, 0.0
        for t in range(6):
            total = total + sum_(c)
            c = c * gain + row(xs, t)
        return total

    close(grad(f, (0, 1))(gain, xs), grad(g, (0, 1))(gain, xs))
    # Two lane scans and the sum over lanes: no loop of launches.
    assert inspect(grad(f, (0, 1)))(gain, xs).launches <= 3


def test_broadcast_inputs_get_summed_cotangents():
    rows, start = draw(0, 6, 5), draw(1, 3, 5)

    def body(c, x):
        c = tanh(c * 0.5 + broadcast_to(x, (3, 5)))
        return c, c * c

    def f(rows, start):
        return sum_(scan(body, start, rows)[1])

    def g(rows, start):
        c, total = start, 0.0
        for t in range(6):
            c, y = body(c, row(rows, t))
            total = total + sum_(y)
        return total

    close(grad(f, (0, 1))(rows, start), grad(g, (0, 1))(rows, start))
    # Two lane scans, and the sums over lanes of all steps at once.
    assert inspect(grad(f, (0, 1)))(rows, start).launches <= 3


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0), (1, 3, 1)])
def test_lanes_of_any_shape(shape):
    xs, start = draw(0, 4, *shape), draw(1, *shape)

    def body(carry, xs):
        return [tanh(carry[0] * 0.5 + xs[0])], (carry[0], carry[0] * 2.0)

    wanted = grad(by_loop(body, True), (0, 1))([start], [xs])
    close(jit(grad(by_scan(body, True), (0, 1)))([start], [xs]), wanted)


def test_carried_scalars_get_summed_cotangents():
    xs, start = draw(0, 6, 5), asarray(np.zeros(5, "f"))

    def body(carry, xs):
        (c, gain), (x,) = carry, xs
        return (c * gain + x, gain * 0.9 + 0.05), (c * c, gain * 2.0)

    scanned, looped = by_scan(body, False), by_loop(body, False)

    def run(build):
        return lambda gain, start, xs: build((start, gain), [xs])

    gain = asarray(0.7)
    wanted = grad(run(looped), (0, 1, 2))(gain, start, xs)
    close(jit(grad(run(scanned), (0, 1, 2)))(gain, start, xs), wanted)
    program = inspect(grad(run(scanned), (0, 1, 2)))(gain, start, xs).program
    assert not [e for e in program.optimized.equations if e.primitive.name == "scan"]


def test_fori_loop_and_map():
    xs = draw(0, 5, 3)
    assert int(fori_loop(2, 6, lambda i, t: t + i, 0)) == 14
    assert int(jit(lambda n: fori_loop(0, n, lambda i, t: t + i, 0))(5)) == 10
    assert int(fori_loop(5, 2, lambda i, t: t + i, 7)) == 7
    close(grad(lambda x: fori_loop(0, 3, lambda _, v: v * x, 1.0))(2.0), 12.0)
    for size in (None, 2, 5):
        close(map_(lambda x: sum_(x * x), xs, batch_size=size), (xs.host**2).sum(1))


# Errors -------------------------------------------------------------------------------

START, STEPS = asarray(np.zeros(3, "f")), asarray(np.zeros((4, 3), "f"))

WRONG = [
    (
        lambda: scan(lambda c, x: ({"h": sum_(c["h"])}, x), {"h": START}, STEPS),
        errors.ShapeError,
        "scan: the carry's leaf at ['h'] goes in as f32[3] and comes out as f32[]; a"
        " carry keeps its shape and dtype: convert what the function returns (.astype,"
        " reshape), or start from a value of that type",
    ),
    (
        lambda: scan(lambda c, x: (c > x, x), START, STEPS),
        errors.DTypeError,
        "scan: the carry's leaf goes in as f32[3] and comes out as bool[3]; a carry"
        " keeps its shape and dtype: convert what the function returns (.astype,"
        " reshape), or start from a value of that type",
    ),
    (
        lambda: scan(lambda c, x: ((c, x), x), START, STEPS),
        errors.TreeError,
        "scan: the carry goes in with the structure PyTreeSpec(*) and comes out with"
        " PyTreeSpec((*, *)); return the structure of the initial value",
    ),
    (
        lambda: scan(lambda c, _: c, START, STEPS),
        errors.TreeError,
        "scan: the function must return a pair (carry, output), it returned an array"
        " f32[3]",
    ),
    (
        lambda: scan(lambda c, x: (c, x), START, (STEPS, START)),
        errors.ShapeError,
        "scan: leading axes differ: [0]: f32[4,3], [1]: f32[3]; all must be equal",
    ),
    (
        lambda: scan(lambda c, x: (c, x), START, STEPS, length=5),
        errors.ShapeError,
        "scan: leading axes differ: xs: f32[4,3] and length=5; all must be equal",
    ),
    (
        lambda: scan(lambda c, x: (c, x), START),
        errors.ShapeError,
        "scan: xs has no arrays; give length",
    ),
    (
        lambda: scan(lambda c, x: (c, x), START, 1.0),
        errors.ShapeError,
        "scan: the leaf of xs has rank 0; scan runs along a leading axis: close over"
        " the value, or carry it",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), WRONG)
def test_errors(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


def test_results_are_arrays():
    assert isinstance(scan(lambda c, x: (c + x, c), START, STEPS)[0], Array)
