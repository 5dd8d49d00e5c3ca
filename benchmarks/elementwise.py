"""Rows of one loop: elementwise chains, a transposed sum, one small call."""

import numpy as np

from benchmarks.peers import GELU, dialect, load
from benchmarks.record import AtMost, Call, Make, Ratio, Row, Share, Tolerance

SIZE = 2**24
SIDE = 4096


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    """Draw standard normal float32 numbers, the same ones for every library."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def exp_chain(library: str) -> Make:
    def make() -> Call:
        x, y = draw(SIZE), draw(SIZE, seed=1)
        if library == "numpy":
            return lambda: np.exp(x * 0.5) + y * x
        if library == "torch":
            torch = load("torch")
            tx, ty = torch.from_numpy(x), torch.from_numpy(y)
            return lambda: torch.exp(tx * 0.5) + ty * tx
        d = dialect(library)
        f = d.root.jit(lambda x, y: d.np.exp(x * 0.5) + y * x)
        x, y = d.np.asarray(x), d.np.asarray(y)
        return lambda: f(x, y)

    return make


def gelu(library: str) -> Make:
    def make() -> Call:
        x = draw(SIZE)
        if library == "numpy":
            return lambda: 0.5 * x * (1 + np.tanh(GELU * (x + 0.044715 * x * x * x)))
        if library == "torch":
            torch = load("torch")
            t = torch.from_numpy(x)
            return lambda: torch.nn.functional.gelu(t, approximate="tanh")
        d = dialect(library)
        f, x = d.root.jit(d.gelu), d.np.asarray(x)
        return lambda: f(x)

    return make


def plus_transpose(library: str) -> Make:
    def make() -> Call:
        a = draw(SIDE, SIDE)
        if library == "numpy":
            return lambda: a + a.T
        if library == "torch":
            t = load("torch").from_numpy(a)
            return lambda: t + t.T
        d = dialect(library)
        f, a = d.root.jit(lambda a: a + a.T), d.np.asarray(a)
        return lambda: f(a)

    return make


def small_call(library: str) -> Make:
    def make() -> Call:
        x, y = draw(8), draw(8, seed=1)
        if library == "numpy":
            return lambda: x * 2 + y
        if library == "torch":
            torch = load("torch")
            tx, ty = torch.from_numpy(x), torch.from_numpy(y)
            return lambda: tx * 2 + ty
        d = dialect(library)
        f = d.root.jit(lambda x, y: x * 2 + y)
        x, y = d.np.asarray(x), d.np.asarray(y)
        return lambda: f(x, y)

    return make


def every(program) -> dict[str, Make]:
    return {name: program(name) for name in ("rxcore", "jax", "numpy", "torch")}


ROWS = (
    Row(
        name="exp",
        title="exp(x*.5)+y*x, 16M",
        programs=every(exp_chain),
        must=(Ratio(2.0, ("jax",)),),
        aim=(Share(0.9, "triad"),),
        bytes=3 * 4 * SIZE,
        tolerance=Tolerance(rtol=2e-6, atol=2e-6),
    ),
    Row(
        name="gelu",
        title="tanh-gelu, 16M",
        programs=every(gelu),
        must=(Ratio(2.5, ("jax",)), Ratio(1.0, ("torch",))),
        aim=(Share(0.9, "copy"),),
        bytes=2 * 4 * SIZE,
        tolerance=Tolerance(rtol=1e-5, atol=2e-6),
    ),
    Row(
        name="transpose_add",
        title="a + a.T, 4096x4096",
        programs=every(plus_transpose),
        must=(Ratio(3.0, ("jax", "numpy")),),
        aim=(Ratio(9.0, ("torch",)),),
        bytes=2 * 4 * SIDE * SIDE,
        tolerance=Tolerance(0.0, 0.0),
    ),
)

SMALL = (
    Row(
        name="warm_call",
        title="warm call of x*2+y, 8 elements",
        programs=every(small_call),
        must=(Ratio(1.0, ("jax",)),),
        aim=(AtMost(2e-6),),
        tolerance=Tolerance(rtol=1e-6),
        wait_each=False,
    ),
)
