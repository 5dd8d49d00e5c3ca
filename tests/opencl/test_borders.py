"""Programs at the borders, on devices: very long, very wide, empty, of many axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.runtime.devices import find
from rxcore.runtime.variants import variants_of
from rxcore.testing import check_devices
from tests.opencl.together import graph_of, prepare

X = rx.asarray(np.arange(6, dtype="f").reshape(2, 3))
MANY = [X + k for k in range(150)]
NOTHING = rx.asarray(np.zeros((3, 0), "f"))
AXES = rx.asarray(np.arange(1024, dtype="f").reshape((2,) * 10))


def chain(x: Any) -> Any:
    for _ in range(300):
        x = x * 0.999 + 0.5
    return x


def costly(x: Any) -> Any:
    for _ in range(60):
        x = rnp.tanh(x) + 0.5
    return x.sum()


CASES: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "long": (chain, [X]),
    "costly": (rx.grad(costly), [rx.asarray(np.ones(3, "f"))]),
    "many results": (lambda *v: [x * 2 for x in v], MANY),
    "many arguments": (lambda *v: sum(v), MANY),
    "many pieces": (lambda *v: rnp.concatenate(v, 1) + 1, MANY),
    "many rows": (lambda *v: rnp.stack([x * 2 for x in v]), MANY),
    "many sums": (lambda *v: [x.sum(1) for x in v], MANY),
    "axes": (lambda x: (x * 2).transpose(*range(9, -1, -1)).sum((0, 3, 5)) + 1, [AXES]),
    "nothing": (lambda x: rnp.concatenate([x * 2, x, x], 1), [NOTHING]),
    "pieces of nothing": (lambda x: rnp.concatenate([x, X.T], 1) + 1, [NOTHING]),
    "sums of nothing": (lambda x: (x.sum(1), x.sum(), (x > 0).all(1)), [NOTHING]),
    "steps of no lanes": (
        lambda x: rx.scan(lambda c, r: (c + 1, r * c), 0.0, x),
        [NOTHING],
    ),
    "no steps": (lambda x: rx.scan(lambda c, r: (c + r, c), X[0], x), [X[:0]]),
    "pieces of sums": (lambda x: rnp.concatenate([x.sum(1), x.max(1)]), [X]),
    "places": (lambda x: rnp.stack([x.argmin(0), x.argmax(0)]), [X]),
    "wide numbers": (lambda x: x.astype("int64") * (1 << 40) - (1 << 62), [X]),
    "one element": (lambda x: (x.sum(), x.max(0), rnp.sort(x, 0)), [X[:1, :1]]),
}


@pytest.mark.parametrize("name", CASES)
def test_programs_at_the_borders(name: str) -> None:
    function, args = CASES[name]
    graph = graph_of(flat(function), args)
    for device in ("opencl", "opencl:1"):
        target = find(device)
        assert target is not None
        assert variants_of(graph).draft(target).fallbacks == ()
        prepare(device, [graph])
    check_devices(function, args, ulps=1000 if name == "costly" else 64)


def flat(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs: list(rx.tree.leaves(function(*xs)))


def test_arguments_fit_the_smallest_device() -> None:
    """A kilobyte is what OpenCL promises, and what older cards have."""
    for function, args in CASES.values():
        for device in ("opencl", "opencl:1"):
            target = find(device)
            assert target is not None
            made = variants_of(graph_of(flat(function), args)).draft(target)
            for s in made.sources:
                assert 16 * s.memories + 8 * len(s.scalars) + 4 <= 1024
