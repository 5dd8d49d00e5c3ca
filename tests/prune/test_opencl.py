"""On a device, masks and changes of connections are those of the CPU."""

from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore import optim, prune

RNG = np.random.default_rng(0)
TREE = {
    "a": RNG.standard_normal((40, 60)).astype(np.float32),
    "b": RNG.integers(-3, 4, (30, 50)).astype(np.float32),
}


def same(call: Any, *args: Any) -> None:
    there = rx.jit(call, device="opencl")(*args)
    here = rx.jit(call, device="cpu")(*args)
    assert rx.tree.structure(there) == rx.tree.structure(here)
    for a, b in zip(rx.tree.leaves(there), rx.tree.leaves(here), strict=True):
        assert a.device == "opencl"
        assert np.array_equal(a, b)


@pytest.mark.parametrize("scope", ["tensor", "global"])
@pytest.mark.parametrize("structure", [None, "filter", prune.Block((7, 8))])
def test_masks(scope: Any, structure: Any) -> None:
    options: Any = {"scope": scope, "structure": structure}
    same(lambda t: prune.prune_mask(t, 0.8, **options), TREE)


def test_some_of_many() -> None:
    for structure in (prune.NofM(2, 4, axis=0, pad=True), prune.NofM(5, 10)):
        same(lambda t, s=structure: prune.prune_mask(t, structure=s), TREE)


@pytest.mark.parametrize("step", [prune.rigl_step, prune.set_step])
def test_changes_of_connections(step: Any) -> None:
    state = prune.rigl_init(TREE, 0.8, key=rx.random.key(0), end=50, frequency=2)
    params = prune.apply(TREE, state.masks)
    opt_state = optim.adam().init(params)
    more = {"key": rx.random.key(1), "opt_state": opt_state}
    given = () if step is prune.set_step else (rx.tree.map(np.cos, TREE),)
    same(lambda s, p: step(s, p, *given, **more), state, params)


def test_gradual_pruning() -> None:
    pruner = prune.gradual(prune.cubic(0, 9, 3, 0.2, 0.9))
    same(pruner.update, TREE, pruner.init(TREE))
