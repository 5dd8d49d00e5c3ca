"""Carries that a loop only updates are changed where they lie."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore.runtime.updates import updated_carries
from rxcore.trace.capture import capture


def set_next(c: Any, i: Any) -> Any:
    return c.at[i + 1].set(c[i] * 0.5 + i), c[i]


def read_late(c: Any, i: Any) -> Any:
    y = c.at[i].add(2.0)
    return y, (y - c).sum()


def read_early(c: Any, i: Any) -> Any:
    total = c.sum()
    return c.at[i].set(total), total


def slide(c: Any, i: Any) -> Any:
    box = rx.dynamic_slice(c, (i,), (2,))
    return rx.dynamic_update_slice(c, box * 2.0, (i + 1,)), box.sum()


def reshaped(c: Any, i: Any) -> Any:
    y = c.at[i].mul(3.0)
    return y, rx.reshape(c, (3, 4)).sum() + y[0]


BODIES = (set_next, read_late, read_early, slide, reshaped)


def unrolled(body: Callable[..., Any], x: Any, steps: int) -> tuple[Any, Any]:
    c, ys = rx.asarray(x), []
    for i in range(steps):
        c, y = body(c, rx.asarray(np.int32(i)))
        ys.append(float(y))
    return np.asarray(c), np.array(ys, np.float32)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_a_loop_of_updates_is_the_loop_unrolled(body: Any, steps: int) -> None:
    x = np.linspace(-1, 1, 12).astype(np.float32)
    count = rx.iota("int32", steps)
    carry, ys = rx.jit(lambda x: rx.scan(body, x, count))(x)
    wanted, seen = unrolled(body, x, steps)
    np.testing.assert_allclose(carry, wanted, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ys, seen, rtol=1e-5, atol=1e-6)


def test_a_while_loop_of_updates() -> None:
    def run(x: Any) -> Any:
        def body(state: Any) -> Any:
            i, c = state
            return i + 1, c.at[i].set(c[i - 1] + 1.0)

        return rx.while_loop(lambda s: s[0] < 7, body, (1, x))[1]

    np.testing.assert_array_equal(
        rx.jit(run)(np.zeros(9, np.float32))[:8], [0, 1, 2, 3, 4, 5, 6, 0]
    )


def test_only_what_nothing_reads_later_shares_its_buffer() -> None:
    n = 100_000

    def peak(body: Any) -> int:
        count = rx.iota("int32", 3)
        run = rx.jit(lambda x: rx.scan(body, x, count))
        return int(run.inspect(np.zeros(n, np.float32)).peak_bytes)

    # The result, and one buffer where the carry is updated in place, else two.
    assert peak(set_next) < 2.5 * 4 * n < peak(read_late)


def test_a_carry_that_is_also_a_result_keeps_its_value() -> None:
    types = [rx.asarray(np.zeros(4, np.float32)).type]
    graph = capture(lambda c: [c.at[0].set(1.0), c], types).graph
    assert updated_carries(graph, 0, 1) == set()
