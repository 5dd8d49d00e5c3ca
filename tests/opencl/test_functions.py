"""Every public function of arrays, on a device: the same values, and they stay there.

Functions make arrays of their own (indices, starts of sums); those go where their
operands are, whatever computes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.nn as nn
import rxcore.numpy as rnp
from rxcore import optim
from tests.numpy.table import ROWS, Row, arrays_of, call_of
from tests.numpy.test_numpy import agree, arrays, parts
from tests.opencl.test_programs import operations
from tests.opencl.together import graph_of, prepare
from tests.ops.cases import EVERYTHING

TAKING = [r for r in ROWS if arrays_of(r.args, r.args)]
FIRST = list({r.name: r for r in reversed(TAKING)}.values())
# Several rows are built at once.
CHUNK = 16
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


def steps(r: Row) -> Any:
    return operations(graph_of(call_of(r, rnp), arrays(r)))


def test_all_functions_are_tried() -> None:
    assert len(FIRST) > 150
    assert {r.name for r in TRIED} == {r.name for r in TAKING}


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


def test_a_weak_array_stays(x: Any) -> None:
    total = rx.device_put(rx.asarray(3), "opencl") * 2
    assert total.astype("float32").device == "opencl"
    assert (total.astype("int32") + x.astype("int32")).device == "opencl"


def test_layers_and_optimizers_run_where_parameters_are(x: Any) -> None:
    layer = nn.sequential(nn.dense(2, 3), nn.layer_norm((3,)), nn.dense(3, 2))
    params = rx.device_put(layer.init(rx.random.key(0)), "opencl")
    optimizer = optim.adam(0.1)
    state = optimizer.init(params)

    def loss(p: Any) -> Any:
        return (layer.apply(p, x) ** 2).mean()

    for _ in range(2):
        params, state = optimizer.update(rx.grad(loss)(params), state, params)
    found = rx.tree.leaves(params)
    assert {leaf.device for leaf in found} == {"opencl"}
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in found)
