"""Rows of random numbers."""

import numpy as np

from benchmarks.elementwise import every
from benchmarks.peers import dialect, load
from benchmarks.record import Call, Make, Ratio, Row, Tolerance

SIZE = 2**24


def normal(library: str) -> Make:
    def make() -> Call:
        if library == "numpy":
            generator = np.random.default_rng(0)
            return lambda: generator.standard_normal(SIZE, np.float32)
        if library == "torch":
            torch = load("torch")
            return lambda: torch.randn(SIZE)
        d = dialect(library)
        f = d.root.jit(lambda key: d.root.random.normal(key, (SIZE,)))
        key = d.root.random.key(0)
        return lambda: f(key)

    return make


ROWS = (
    Row(
        name="normal",
        title="normal(key), 16M",
        programs=every(normal),
        must=(Ratio(3.0, ("jax",)),),
        aim=(Ratio(12.0, ("jax",)),),
        # The bits are the same as JAX's; log and sqrt may round differently.
        tolerance=Tolerance(rtol=1e-5, atol=1e-6),
        against=("jax",),
    ),
)
