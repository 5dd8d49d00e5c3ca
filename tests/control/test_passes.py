"""Every pass keeps the meaning of programs with loops and choices."""

import numpy as np
import pytest

from rxcore.compiler.pipeline import PASSES
from rxcore.control.checkpoint import checkpoint
from rxcore.control.cond import switch
from rxcore.control.scan import scan
from rxcore.control.while_loop import while_loop
from rxcore.ir.interpret import interpret
from rxcore.ir.verify import verify
from rxcore.ops.mathematics import exp, sin, tanh
from rxcore.ops.matmul import matmul
from rxcore.ops.reduce import sum_
from rxcore.runtime.array import asarray
from rxcore.runtime.program import compile_graph
from rxcore.trace.capture import capture
from rxcore.transforms.grad import grad


def draw(seed, *shape):
    return asarray(np.random.default_rng(seed).uniform(-1, 1, shape).astype("f"))


def recurrent(w, b, xs):
    def step(h, x):
        h = tanh(matmul(x, w) + matmul(h, w) + b)
        return h, (sum_(h), h)

    return sum_(scan(step, b, xs)[1][1] ** 2)


def spikes(w, b, xs):
    def step(carry, x):
        v, unused, steady = carry
        v = tanh(v * 0.9 + x * steady)
        return (v, unused + v, steady), (v, v, x)

    (v, _, _), (ys, same, _) = scan(step, (b, b, b), xs, reverse=True)
    return sum_(v) + sum_(ys * same) + sum_(w)


def choices(w, b, xs):
    def step(h, x):
        branches = [
            lambda h: h + x,
            lambda h: sin(h) * x,
            checkpoint(lambda h: exp(-h)),
        ]
        h = switch((sum_(x) > 0).astype("int32"), branches, h)
        return h, None

    return sum_(scan(step, b, xs)[0] ** 2) + sum_(w * 0)


def growing(w, b, xs):
    def step(c, x):
        c = while_loop(lambda c: sum_(c * c) < 4, lambda c: c * 1.5 + 0.1, c + x)
        return c * 0.3, sum_(c)

    return sum_(scan(step, b, xs)[1]) + sum_(w * 0)


PROGRAMS = {
    "recurrent": recurrent,
    "gradient of recurrent": grad(recurrent, (0, 1, 2)),
    "spikes": spikes,
    "gradient of spikes": grad(spikes, (0, 1, 2)),
    "choices": choices,
    "gradient of choices": grad(choices, (0, 1, 2)),
    "growing": growing,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_passes_keep_the_meaning(name):
    f, args = PROGRAMS[name], [draw(0, 4, 4), draw(1, 4), draw(2, 5, 4)]

    def flat(*xs):
        out = f(*xs)
        return list(out) if isinstance(out, tuple) else [out]

    made = capture(flat, [a.type for a in args])
    arrays = [*args, *made.constants]
    hosts = [a.host for a in arrays]
    wanted = interpret(made.graph, hosts)
    graph = made.graph
    for each in PASSES:
        graph = verify(each(graph), each.__name__)
        for got, want in zip(interpret(graph, hosts), wanted, strict=True):
            np.testing.assert_allclose(got, want, 1e-4, 1e-5, err_msg=each.__name__)
    program = compile_graph(made.graph)
    for got, want in zip(program.run(arrays), wanted, strict=True):
        np.testing.assert_allclose(got.host, want, 1e-4, 1e-5)
    # Nothing but kernels runs: no op falls back to its reference.
    assert not program.fallbacks


def test_scans_lose_what_is_not_used():
    args = [draw(0, 4, 4), draw(1, 4), draw(2, 5, 4)]
    graph = capture(lambda *xs: [spikes(*xs)], [a.type for a in args]).graph
    for each in PASSES[:-1]:
        graph = each(graph)
    (loop,) = [e for e in graph.equations if e.primitive.name == "scan"]
    # One carry of three; the steady one is a constant; one output of three.
    assert (loop.params["carries"], len(loop.outputs)) == (1, 2)
