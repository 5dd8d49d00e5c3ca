"""A row of sparse training: one change of the connections of a large layer."""

from typing import Any

import numpy as np

from benchmarks.elementwise import draw
from benchmarks.peers import dialect, load
from benchmarks.record import Call, Make, Ratio, Row, Tolerance

SIDE = 2048
COUNT = SIDE * SIDE
ACTIVE = COUNT // 10
FRACTION = 0.3


def inputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw weights, of which a tenth is active, and dense gradients."""
    chosen = np.random.default_rng(2).permutation(COUNT)[:ACTIVE]
    mask = np.zeros(COUNT, bool)
    mask[chosen] = True
    w = draw(COUNT) * mask
    return w, draw(COUNT, seed=1), mask


def rigl(library: str) -> Make:
    def make() -> Call:
        w, g, mask = inputs()
        dropped = int(FRACTION * ACTIVE)
        kept = ACTIVE - dropped
        if library == "numpy":
            return lambda: numpy_step(w, g, mask, kept, dropped)
        d = dialect(library)
        if library == "jax":

            def f(w: Any, g: Any, mask: Any) -> Any:
                size = d.np.where(mask, abs(w), -1.0)
                stays = d.np.zeros(COUNT, bool)
                stays = stays.at[d.lax.top_k(size, kept)[1]].set(True)
                size = d.np.where(stays, -1.0, abs(g))
                new = stays.at[d.lax.top_k(size, dropped)[1]].set(True)
                return d.np.where(new & mask, w, 0.0), new

            f = d.root.jit(f)
            ready = [d.np.asarray(a) for a in (w, g, mask)]
            return lambda: f(*ready)
        weights, grads = d.np.asarray(w), d.np.asarray(g)
        state = d.root.prune.rigl_init(
            weights, 0.9, allocation="uniform", select=lambda p: p, fraction=FRACTION
        )
        state = state_with(state, d.np.asarray(mask))

        def step(state: Any, w: Any, g: Any) -> Any:
            state, w, _ = d.root.rigl_step(state, w, g)
            return w, state.masks

        step = d.root.jit(step)
        return lambda: step(state, weights, grads)

    return make


def state_with(state: Any, mask: Any) -> Any:
    """Return a state with another mask of as many active weights."""
    attrs = load("attrs")
    active = load("rxcore.numpy").asarray(ACTIVE)
    return attrs.evolve(state, masks=mask, active=active)


def numpy_step(
    w: np.ndarray, g: np.ndarray, mask: np.ndarray, kept: int, dropped: int
) -> tuple[np.ndarray, np.ndarray]:
    size = np.where(mask, np.abs(w), -1.0)
    stays = np.zeros(COUNT, bool)
    stays[np.argpartition(size, COUNT - kept)[COUNT - kept :]] = True
    size = np.where(stays, -1.0, np.abs(g))
    new = stays.copy()
    new[np.argpartition(size, COUNT - dropped)[COUNT - dropped :]] = True
    return np.where(new & mask, w, 0.0), new


ROWS = (
    Row(
        name="rigl_step",
        title="rigl_step, 4M weights, 90 % sparse",
        programs={n: rigl(n) for n in ("rxcore", "jax", "numpy")},
        must=(Ratio(5.0, ("jax",)), Ratio(3.0, ("numpy",))),
        aim=(Ratio(40.0, ("jax",)), Ratio(15.0, ("numpy",))),
        tolerance=Tolerance(0.0, 0.0),
    ),
)
