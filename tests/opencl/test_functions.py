"""Every public function of arrays, on a device: the same values, and they stay there.

Functions make arrays of their own (indices, starts of sums); those go where their
operands are, whatever computes them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.nn as nn
import rxcore.numpy as rnp
from rxcore import optim
from rxcore.testing import check_devices
from tests.nn.cases import CASES, Case
from tests.numpy.table import ROWS, Row, arrays_of, call_of
from tests.numpy.test_numpy import agree, arrays, parts
from tests.opencl.test_programs import operations
from tests.opencl.together import graph_of, prepare
from tests.ops.cases import EVERYTHING
from tests.random.table import Entry, exact, named, rounded

TAKING = [r for r in ROWS if arrays_of(r.args, r.args)]
FIRST = list({r.name: r for r in reversed(TAKING)}.values())
# Several rows are built at once.
CHUNK = 16
EXACT = [e for e in exact() if named(e) != "permutation(0)"]
# One draw of each function and dtype.
DRAWS = {
    (e[0], str(e[2].get("dtype"))): e
    for e in (*EXACT, *rounded())
    if "(2, 0)" not in named(e)
}
TRIED = TAKING if EVERYTHING else FIRST
CHUNKS = [TRIED[k : k + CHUNK] for k in range(0, len(TRIED), CHUNK)]


@pytest.mark.parametrize("rows", CHUNKS, ids=lambda rows: rows[0].name)
def test_functions_stay_on_the_device(rows: list[Row]) -> None:
    prepare("opencl", [g for r in rows if not r.eager for g in steps(r)])
    for r in rows:
        given, call = arrays(r), call_of(r, rnp)
        found = call(*rx.device_put(given, "opencl"))
        agree(found, call(*given), exact=False)
        assert {o.device for o in parts(found)} == {"opencl"}, str(r)


@pytest.mark.parametrize(
    "numbers", [[1.0, 2.0], [np.float32(1), 2], [[1, 2]]], ids=["own", "numpy", "rows"]
)
def test_lists_of_numbers_go_where_they_are_needed(numbers: Any) -> None:
    x = np.arange(4, dtype=np.float32).reshape(2, 2)
    for f in (rnp.append, rnp.outer, rnp.add, rnp.dot, rnp.isclose):
        if f is rnp.dot and np.ndim(numbers) > 1:
            continue
        found = f(rx.device_put(x, "opencl"), numbers)
        assert found.device == "opencl"
        agree(found, f(rx.asarray(x), numbers), exact=False)
    alone = rnp.asarray(numbers)
    with pytest.raises(rx.DeviceError, match="lie on different devices"):
        rx.device_put(x, "opencl") + alone


def steps(r: Row) -> Any:
    return operations(graph_of(call_of(r, rnp), arrays(r)))


def test_all_functions_are_tried() -> None:
    assert len(FIRST) > 150
    assert {r.name for r in TRIED} == {r.name for r in TAKING}


# layers and draws ---------------------------------------------------------------------

LAYERS = [CASES[k : k + CHUNK] for k in range(0, len(CASES), CHUNK)]


def in_singles(case: Case) -> list[Any]:
    return [a.astype("f") if a.dtype == np.float64 else a for a in case.arguments]


def loss(case: Case) -> Any:
    def function(*xs: Any) -> Any:
        outs = rx.tree.leaves(case.function(*xs))
        return sum((o * o).sum() for o in outs if o.dtype == np.float32)

    floats = [k for k, a in enumerate(in_singles(case)) if a.dtype == np.float32]
    return rx.grad(function, tuple(floats))


@pytest.mark.parametrize("some", LAYERS, ids=lambda some: str(some[0]))
def test_layers_and_their_gradients(some: list[Case]) -> None:
    functions = [f for c in some for f in (c.function, loss(c))]
    given = [a for c in some for a in [in_singles(c)] * 2]
    pairs = list(zip(functions, given, strict=True))
    prepare("opencl", [graph_of(partial(leaves_of, f), args) for f, args in pairs])
    for f, args in pairs:
        check_devices(f, args, ["opencl"], ulps=256, whole=True)


def leaves_of(function: Any, *xs: Any) -> list[Any]:
    return list(rx.tree.leaves(function(*xs)))


@pytest.mark.parametrize("entry", DRAWS.values(), ids=named)
def test_draws_are_those_of_the_cpu(entry: Entry) -> None:
    name, args, options = entry
    key, draw = rx.random.key(3), getattr(rx.random, name)
    found = draw(rx.device_put(key, "opencl"), *args, **options)
    expected = draw(key, *args, **options)
    assert (found.device, found.type) == ("opencl", expected.type)
    a, b = np.asarray(found), np.asarray(expected)
    if any(entry is e for e in EXACT):
        np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_allclose(a.astype("d"), b.astype("d"), 1e-5, 1e-6)


# what is made of an array's Type ------------------------------------------------------

X = np.float32([[1.0, -2.0], [0.5, 3.0]])


@pytest.fixture
def x() -> Any:
    return rx.device_put(X, "opencl")


def test_arrays_made_like_one_lie_where_it_does(x: Any) -> None:
    for made in (rnp.zeros_like(x), rnp.ones_like(x, "int32"), rnp.full_like(x, 2)):
        assert made.device == "opencl"
        assert (x + made).device == "opencl"
    assert rnp.zeros_like(x, shape=(3,)).shape == (3,)
    with rx.default_device("opencl"):
        assert rnp.zeros_like(rx.device_put(X, "cpu")).device == "opencl"


def test_places_lie_where_their_array_does(x: Any) -> None:
    (rows, columns) = rnp.nonzero(x > 0)
    assert x[rows, columns].tolist() == [1.0, 0.5, 3.0]
    values, counts = rnp.unique(x > 0, return_counts=True)
    assert values.device == counts.device == "opencl"


def test_derivatives_of_what_does_not_matter(x: Any) -> None:
    unused = rx.grad(lambda a, *_: (a * a).sum(), (0, 1))(x, x[0])
    assert [g.device for g in unused] == ["opencl"] * 2
    assert (x[0] - unused[1]).tolist() == X[0].tolist()
    _, dot = rx.jvp(lambda a: (a, 2.0 * X), (x,), (x,))
    assert (x + dot[0]).tolist() == (X + X).tolist()
    shifted = rx.vjp(lambda a: a * rnp.ones_like(a), x)[1](x)[0]
    assert (x + shifted).tolist() == (X + X).tolist()
    assert rx.vmap(lambda a: a * rnp.full_like(a, 2))(x).device == "opencl"
    _, push = rx.linearize(lambda a: (a * 2, rnp.ones_like(a)), x)
    assert [(x + d).tolist() for d in push(x)] == [(3 * X).tolist(), X.tolist()]


def test_arrays_made_of_arrays_lie_where_those_do(x: Any) -> None:
    for made in (
        rx.asarray(x, "int32"),
        rx.asarray([x[0], x[1]]),
        rnp.array([[1.0, 2.0], x[0]]),
        rnp.asarray([x[0, 0], 3.0]),
        rnp.imag(x),
        rnp.searchsorted(np.float32([]), x[0]),
    ):
        assert made.device == "opencl"
    assert rx.asarray([x[0], x[1]]).tolist() == X.tolist()
    assert rx.asarray(rx.device_put(rx.asarray(2), "opencl")).device == "opencl"


def test_a_weak_array_stays(x: Any) -> None:
    total = rx.device_put(rx.asarray(3), "opencl") * 2
    assert total.astype("float32").device == "opencl"
    assert (total.astype("int32") + x.astype("int32")).device == "opencl"


def test_layers_and_optimizers_run_where_parameters_are(x: Any) -> None:
    layer = nn.sequential(nn.dense(2, 3), nn.layer_norm((3,)), nn.dense(3, 2))
    params = rx.device_put(layer.init(rx.random.key(0)), "opencl")
    optimizer = optim.adam(0.1)
    state = optimizer.init(params)

    def squares(p: Any) -> Any:
        return (layer.apply(p, x) ** 2).mean()

    for _ in range(2):
        params, state = optimizer.update(rx.grad(squares)(params), state, params)
    found = rx.tree.leaves(params)
    assert {leaf.device for leaf in found} == {"opencl"}
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in found)
