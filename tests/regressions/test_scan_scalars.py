"""Scalars that a lane scan carries or reads keep their derivatives, and one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp

STEPS, LANES = 12, 40


@rx.custom_jvp
def spike(u: Any) -> Any:
    return (u > 0).astype(u.dtype)


@spike.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (u,), (t,) = primals, tangents
    return spike(u), t / (1 + 25 * abs(u)) ** 2


@rx.custom_jvp
def above(v: Any, level: Any) -> Any:
    return (v > level).astype(v.dtype)


@above.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (v, level), (t, s) = primals, tangents
    return above(v, level), (t - s) / (1 + abs(v - level)) ** 2


def inputs() -> Any:
    rng = np.random.default_rng(0)
    return rx.asarray(0.6 * rng.standard_normal((STEPS, LANES)).astype(np.float32))


def looped(step: Any, carry: Any, xs: Any) -> Any:
    """Return what `rx.scan` means."""
    outs = []
    for x in xs:
        carry, y = step(carry, x)
        outs.append(y)
    return carry, rnp.stack(outs)


def carried(run: Any, b: Any, level: Any, xs: Any) -> Any:
    """A decay that changes over time is carried."""

    def step(carry: Any, x: Any) -> Any:
        v, decay = carry
        v = decay * v + x
        s = spike(v - level)
        return (v - s * level, decay * 0.99), s

    (_, last), out = run(step, (rnp.zeros(LANES), b), xs)
    return (out * xs).sum() + last


def read(run: Any, b: Any, level: Any, xs: Any) -> Any:
    """Both are constants of the scan."""

    def step(v: Any, x: Any) -> Any:
        v = b * v + (1 - b) * x * 4
        s = spike(v - level)
        return v - s * level, s

    v, out = run(step, rnp.zeros(LANES), xs)
    return (out * xs).sum() + (v * v).sum()


def ruled(run: Any, b: Any, level: Any, xs: Any) -> Any:
    """A scalar is an argument of a function with a derivative of its own."""

    def step(v: Any, x: Any) -> Any:
        v = b * v + x
        s = above(v, level)
        return v - s, s

    return (run(step, rnp.zeros(LANES), xs)[1] * xs).sum()


@pytest.mark.parametrize("program", [carried, read, ruled])
@pytest.mark.parametrize("jitted", [False, True])
def test_gradients_are_those_of_the_loop(program: Any, jitted: bool) -> None:
    xs, given = inputs(), (rnp.asarray(0.9), rnp.asarray(0.8))
    scanned = rx.grad(lambda *p: program(rx.scan, *p), (0, 1, 2))
    wanted = rx.grad(lambda *p: program(looped, *p), (0, 1, 2))(*given, xs)
    found = (rx.jit(scanned) if jitted else scanned)(*given, xs)
    for x, y in zip(found, wanted, strict=True):
        assert abs(np.asarray(y)).max() > 0
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_learnt_scalars_leave_the_reverse_loop_whole() -> None:
    xs, given = inputs(), (rnp.asarray(0.9), rnp.asarray(0.8))
    step = rx.jit(rx.grad(lambda *p: read(rx.scan, *p), (0, 1)))
    report = step.inspect(*given, xs)
    assert not report.fallbacks
    # The two loops, and a sum for each scalar.
    assert report.launches <= 4
