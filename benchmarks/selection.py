"""Rows of scans along an axis and of order: cumsum, sort, top_k."""

import numpy as np

from benchmarks.elementwise import draw, every
from benchmarks.peers import dialect, load
from benchmarks.record import Call, Make, Ratio, Row, Tolerance

SIZE = 2**24
MANY = 2**22
CHOSEN = 2**18


def cumsum(library: str) -> Make:
    def make() -> Call:
        x = draw(SIZE)
        if library == "numpy":
            return lambda: np.cumsum(x)
        if library == "torch":
            torch = load("torch")
            t = torch.from_numpy(x)
            return lambda: torch.cumsum(t, 0)
        d = dialect(library)
        f, x = d.root.jit(d.np.cumsum), d.np.asarray(x)
        return lambda: f(x)

    return make


def sort(library: str) -> Make:
    def make() -> Call:
        x = draw(MANY)
        if library == "numpy":
            return lambda: np.sort(x)
        if library == "torch":
            torch = load("torch")
            t = torch.from_numpy(x)
            return lambda: torch.sort(t)[0]
        d = dialect(library)
        f, x = d.root.jit(d.np.sort), d.np.asarray(x)
        return lambda: f(x)

    return make


def top_k(library: str) -> Make:
    def make() -> Call:
        x = draw(MANY)
        if library == "numpy":

            def largest() -> tuple[np.ndarray, np.ndarray]:
                chosen = np.argpartition(x, MANY - CHOSEN)[MANY - CHOSEN :]
                order = chosen[np.argsort(-x[chosen])]
                return x[order], order

            return largest
        if library == "torch":
            torch = load("torch")
            t = torch.from_numpy(x)
            return lambda: torch.topk(t, CHOSEN)
        d = dialect(library)
        f, x = d.root.jit(lambda x: d.lax.top_k(x, CHOSEN)), d.np.asarray(x)
        return lambda: f(x)

    return make


def values_and_gathered(results: tuple) -> tuple:
    """Compare the values and what the indices point at.

    Equal values may come in another order of indices from NumPy and torch.
    """
    values, indices = results
    return values, draw(MANY)[np.asarray(indices)]


ROWS = (
    Row(
        name="cumsum",
        title="cumsum of 16M",
        programs=every(cumsum),
        must=(Ratio(1.0, ("jax", "numpy")),),
        aim=(Ratio(4.0, ("jax", "numpy")),),
        # A random walk of 16M steps reaches a few thousand.
        tolerance=Tolerance(rtol=1e-3, atol=0.5),
    ),
    Row(
        name="sort",
        title="sort of 4M",
        programs=every(sort),
        must=(Ratio(1.0, ("jax", "numpy")),),
        aim=(Ratio(1.8, ("jax", "numpy")),),
        tolerance=Tolerance(0.0, 0.0),
    ),
    Row(
        name="top_k",
        title="top_k, 262,144 of 4M",
        programs=every(top_k),
        must=(Ratio(1.0, ("jax", "numpy")),),
        aim=(Ratio(3.0, ("jax", "numpy")),),
        tolerance=Tolerance(0.0, 0.0),
        compared=values_and_gathered,
    ),
)
