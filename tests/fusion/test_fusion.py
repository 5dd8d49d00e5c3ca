"""What is fused, by the number of launches; and what must not be, by why not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.ir.primitive import Fusion
from rxcore.loops.nest import Loop, walk
from rxcore.testing import assert_same

RNG = np.random.default_rng(0)


def drawn(*shape: int) -> Any:
    return rx.asarray(RNG.standard_normal(shape).astype("f"))


X, Y, ROW, SQUARE = drawn(64, 48), drawn(64, 48), drawn(48), drawn(40, 40)
LEFT, RIGHT = drawn(64, 32), drawn(32, 48)
MANY = drawn(512, 256)


def launches(function: Any, *args: Any) -> int:
    """Return the launches of a function whose compiled result is right."""
    assert_same(function, *args, ulps=64, whole=True)
    made = rx.inspect(function)(*args)
    assert made.fallbacks == ()
    return int(made.launches)


def stored(function: Any, *args: Any) -> list[Any]:
    """Return the Types of what the groups of a function store."""
    found = []
    for e in rx.inspect(function)(*args).optimized.equations:
        if isinstance(e.primitive.lower, Fusion):
            found += [v.type for v in e.outputs]
    return found


def softmax(x: Any) -> Any:
    e = rnp.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def layer_norm(x: Any) -> Any:
    d = x - x.mean(1, keepdims=True)
    return d / rnp.sqrt((d * d).mean(1, keepdims=True) + 1e-5) * ROW + 1


def adam(p: Any, m: Any, v: Any, g: Any, t: Any) -> Any:
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    step = m / (1 - 0.9**t) / (rnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p - 1e-3 * step, m, v


def dense(a: Any, w: Any, b: Any) -> Any:
    return rnp.maximum(a @ w + b, 0)


# 1. chains and index maps ------------------------------------------------------------

CHAINS = {
    "elementwise": (lambda x, y: rnp.exp(x * 0.5) + y * x - rnp.tanh(y), X, Y),
    "broadcast": (lambda x, r: x * r + r, X, ROW),
    "transposed read": (lambda a: a + a.T, SQUARE),
    "slice": (lambda x: x[1:, ::2] * 2 + x[:-1, 1::2], X),
    "reverse": (lambda x: x[::-1] - x[:, ::-1], X),
    "reshape": (lambda x: (x * 2).reshape(32, 2, 48) + 1, X),
    "reshape of memory": (lambda x: x.reshape(32, 96) + 1, X),
    "concatenate": (lambda x, y: rnp.concatenate([x * 2, rnp.exp(y)], 1), X, Y),
    "read of concatenate": (lambda x, y: rnp.concatenate([x, y], 0)[3:] * 2, X, Y),
    "pad": (lambda x: rnp.pad(x * 2, ((1, 1), (0, 2))) + 1, X),
    "gather": (lambda x, i: x[i] * 2, X, rx.asarray([3, 1, 1])),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_one_loop(name: str) -> None:
    function, *args = CHAINS[name]
    assert launches(function, *args) == 1


def test_a_reshape_moves_nothing() -> None:
    assert launches(lambda x: x.reshape(-1), X) == 0
    assert launches(lambda x: (x + 1).reshape(2, -1), X) == 1


def test_a_reshape_that_is_not_affine_stores_its_operand() -> None:
    """Which row an element was in is no affine function of where it goes."""
    assert launches(lambda x: (x * 2).reshape(32, 96)[:, ::2] + 1, X) == 2
    assert launches(lambda x: rnp.exp(x.T[:, 1:].reshape(-1)), X) == 2


# 2. reductions and row programs ------------------------------------------------------

ROWS = {
    "producer": (lambda x, y: (rnp.exp(x) * y).sum(1), X, Y),
    "consumer": (lambda x: rnp.sqrt((x * x).sum(1) + 1), X),
    "softmax": (softmax, X),
    "softmax of columns": (lambda x: softmax(x.T).T, X),
    "log softmax": (lambda x: x - rx.logsumexp(x, 1, keepdims=True), X),
    "layer norm": (layer_norm, X),
    "gradient of softmax": (rx.grad(lambda x: (softmax(x) * Y).sum()), X),
    "several": (lambda x: (x.sum(1), (x * x).sum(1), x.max(1)), X),
    "columns": (lambda x: x - x.mean(0), X),
    "argmax": (lambda x: x.argmax(1), X),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_program_is_one_kernel(name: str) -> None:
    function, *args = ROWS[name]
    expected = 2 if name == "softmax of columns" else 1
    assert launches(function, *args) == expected


def test_sums_over_different_axes_are_two_loops() -> None:
    """One goes along rows, the other across them."""
    assert launches(lambda x: ((x * x).sum(0), (x * x).sum(1)), X) == 2


def test_a_sum_of_all_is_split_and_not_joined_with_a_store() -> None:
    """Few results of many elements are added up in fixed chunks, then those."""
    assert launches(lambda x: (x * 2).sum(), MANY) == 2
    assert launches(lambda x: ((x * 2).sum(), x * 2), MANY) == 3


def test_a_result_that_is_transposed_is_stored_first() -> None:
    """Its loops run over another shape than the rows that it needs."""
    assert launches(lambda x: (x / (x * x).sum(1, keepdims=True)).T, X) == 2


# 3. siblings -------------------------------------------------------------------------


def test_an_update_of_a_leaf_is_one_loop() -> None:
    t = rx.asarray(3.0)
    assert launches(adam, X, Y, X, Y, t) == 1
    (group,) = rx.inspect(adam)(X, Y, X, Y, t).optimized.equations
    assert len(group.outputs) == 3


def test_siblings_of_other_shapes_stay_apart() -> None:
    assert launches(lambda x, y: (x * 2, y[:, :7] * 2), X, Y) == 2


def test_a_value_through_a_kernel_and_beside_it() -> None:
    """e feeds the product and what uses the product: no loop can be both."""

    def f(x: Any) -> Any:
        e = rnp.exp(x)
        return e + rnp.sin((e @ RIGHT.T).sum(1)[:, None])

    names = [str(e.primitive) for e in rx.inspect(f)(X).optimized.equations]
    assert names.index("product") == 1
    assert names.count("fused") >= 2
    assert_same(f, X, ulps=64, whole=True)


# 4. epilogues ------------------------------------------------------------------------


def test_bias_and_activation_follow_the_product_in_cache() -> None:
    assert launches(dense, LEFT, RIGHT, ROW) == 1
    assert launches(lambda a, w, b: softmax(a @ w + b), LEFT, RIGHT, ROW) == 1


def test_what_reads_other_rows_of_a_product_does_not_follow_it() -> None:
    assert launches(lambda a, w: (a @ w).T + 1, LEFT, RIGHT) == 2
    assert launches(lambda a, w: (a @ w)[::-1] * 2, LEFT, RIGHT) == 2


# 5. lane scans -----------------------------------------------------------------------


def fire(v: Any, i: Any) -> Any:
    u = 0.9 * v + i
    s = (u > 1).astype("float32")
    return u - s, s


def soft(v: Any, i: Any) -> Any:
    u = 0.9 * v + rnp.tanh(i)
    return u * 0.5, u * v


def test_an_elementwise_scan_is_one_launch() -> None:
    zero = rnp.zeros(48)
    assert launches(lambda x: rx.scan(fire, zero, x), X) == 1
    assert launches(lambda x: rx.scan(fire, zero, x * 2 + 1, reverse=True)[1], X) == 1


def test_its_gradient_is_at_most_two() -> None:
    def loss(x: Any) -> Any:
        return rx.scan(soft, rnp.zeros(48), x)[1].sum()

    assert rx.inspect(rx.grad(loss))(X).launches <= 2


def test_a_scan_that_mixes_lanes_is_a_loop_of_steps() -> None:
    def step(v: Any, i: Any) -> Any:
        return rnp.tanh(v @ SQUARE[:8, :8] + i), v.sum()

    made = rx.inspect(lambda x: rx.scan(step, rnp.zeros(8), x))(X[:, :8])
    assert "scan" in [str(e.primitive) for e in made.optimized.equations]
    assert_same(lambda x: rx.scan(step, rnp.zeros(8), x), X[:, :8], ulps=64, whole=True)


# what is stored ----------------------------------------------------------------------


def test_a_costly_value_with_several_users_is_stored_once() -> None:
    """exp costs more than a load, and its users have other domains."""

    def f(x: Any) -> Any:
        e = rnp.exp(x)
        return e.T + 1, e[:3] * 2, e[:, :5]

    assert stored(f, X).count(X.type) == 1
    text = rx.inspect(f)(X).optimized
    assert str(text).count("= exp") == 1


def test_a_cheap_value_is_computed_again() -> None:
    def f(x: Any) -> Any:
        d = x * 2
        return d.T + 1, d[:3] - 1

    assert X.type not in stored(f, X)


def test_a_value_that_only_its_own_rows_use_is_not_stored() -> None:
    assert stored(softmax, X) == [X.type]
    assert stored(lambda x: x - x.mean(0), X) == [X.type]


def test_a_transposed_read_is_tiled() -> None:
    (nest,) = rx.inspect(lambda a: a + a.T)(drawn(300, 300)).nests
    assert nest.scratch
    assert any(isinstance(s, Loop) and s.kind == "item" for s in walk(nest.body))
