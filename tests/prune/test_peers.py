"""Masks as other libraries make them, where those are installed."""

import numpy as np
import pytest

import rxcore as rx
from rxcore import prune
from rxcore.prune import score

RNG = np.random.default_rng(0)
W = RNG.standard_normal((24, 36)).astype(np.float32)
C = RNG.standard_normal((12, 6, 3, 3)).astype(np.float32)


def torch_mask(method, w, **options):
    torch = pytest.importorskip("torch")
    pruning = pytest.importorskip("torch.nn.utils.prune")
    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(torch.from_numpy(w.copy()))
    getattr(pruning, method)(module, "weight", **options)
    return module.weight_mask.numpy().astype(bool)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("w", [W, C])
def test_magnitudes_as_torch(w, share):
    want = torch_mask("l1_unstructured", w, amount=share)
    got = prune.prune_mask(score.magnitude(w), share)
    assert np.array_equal(got, want)


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("share", [0.25, 0.75])
@pytest.mark.parametrize(
    ("w", "dim", "structure"),
    [(C, 0, "filter"), (C, 1, "channel"), (W, 1, "filter"), (W, 0, "channel")],
)
def test_structures_as_torch(w, dim, structure, share, norm):
    want = torch_mask("ln_structured", w, amount=share, n=norm, dim=dim)
    of = score.l1 if norm == 1 else score.l2
    got = prune.prune_mask(of(w), share, structure=structure)
    assert np.array_equal(got, want)


def test_all_layers_together_as_torch():
    torch = pytest.importorskip("torch")
    pruning = pytest.importorskip("torch.nn.utils.prune")
    layers = [torch.nn.Linear(30, 20), torch.nn.Linear(20, 50)]
    given = [m.weight.detach().numpy().copy() for m in layers]
    pruning.global_unstructured(
        [(m, "weight") for m in layers], pruning.L1Unstructured, amount=0.8
    )
    masks = prune.prune_mask(score.magnitude(given), 0.8, scope="global")
    for m, mask in zip(layers, masks, strict=True):
        assert np.array_equal(mask, m.weight_mask.numpy().astype(bool))


@pytest.mark.parametrize("size", [5000, 100_000])
def test_a_change_of_connections_as_jax_would_write_it(size):
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    w, g = (RNG.standard_normal(size).astype(np.float32) for _ in range(2))
    state = prune.rigl_init(w, 0.9, key=rx.random.key(0), select=lambda p: p)
    w = np.asarray(prune.apply(w, state.masks))
    mask = np.asarray(state.masks)
    active = int(mask.sum())
    dropped = int(0.3 * active)
    size_of = jnp.where(mask, jnp.abs(w), -1)
    kept = jnp.zeros(size, bool)
    kept = kept.at[jax.lax.top_k(size_of, active - dropped)[1]].set(True)
    steep = jnp.where(kept, -1, jnp.abs(g))
    new = kept.at[jax.lax.top_k(steep, dropped)[1]].set(True)
    later, moved, _ = prune.rigl_step(state, w, g)
    assert np.array_equal(later.masks, new)
    assert np.array_equal(moved, jnp.where(new & mask, w, 0))
