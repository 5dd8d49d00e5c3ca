"""Rows of contractions: a product with its epilogue, a network, a convolution."""

import numpy as np

from benchmarks.elementwise import draw, every
from benchmarks.networks import jitted_step, ready_inputs, torch_step
from benchmarks.peers import dialect, load
from benchmarks.record import Call, Make, Ratio, Row, Tolerance

SIDE = 1024
IMAGES = (32, 64, 32, 32)
FILTERS = (64, 64, 3, 3)


def dense_relu(library: str) -> Make:
    def make() -> Call:
        a, b, bias = draw(SIDE, SIDE), draw(SIDE, SIDE, seed=1), draw(SIDE, seed=2)
        if library == "numpy":
            return lambda: np.maximum(a @ b + bias, 0)
        if library == "torch":
            torch = load("torch")
            ta, tb, tbias = (torch.from_numpy(x) for x in (a, b, bias))
            return lambda: torch.relu(torch.addmm(tbias, ta, tb))
        d = dialect(library)
        f = d.root.jit(lambda a, b, bias: d.np.maximum(a @ b + bias, 0))
        ready = [d.np.asarray(x) for x in (a, b, bias)]
        return lambda: f(*ready)

    return make


def train_step(library: str) -> Make:
    def make() -> Call:
        if library == "torch":
            return torch_step()
        step, args = jitted_step(library), ready_inputs(library)
        return lambda: step(*args)

    return make


def convolution(library: str) -> Make:
    def make() -> Call:
        x, w = draw(*IMAGES), draw(*FILTERS, seed=1)
        if library == "torch":
            torch = load("torch")
            tx, tw = torch.from_numpy(x), torch.from_numpy(w)
            return lambda: torch.nn.functional.conv2d(tx, tw, padding=1)
        d = dialect(library)
        f = d.root.jit(d.conv_same)
        x, w = d.np.asarray(x), d.np.asarray(w)
        return lambda: f(x, w)

    return make


def convolution_gradients(library: str) -> Make:
    def make() -> Call:
        x, w, g = draw(*IMAGES), draw(*FILTERS, seed=1), draw(*IMAGES, seed=2)
        if library == "torch":
            torch = load("torch")
            tx, tw, tg = (torch.from_numpy(a) for a in (x, w, g))
            backward = torch.ops.aten.convolution_backward
            pair, ones = [1, 1], [True, True, False]
            return lambda: backward(
                tg, tx, tw, None, pair, pair, pair, False, [0, 0], 1, ones
            )[:2]
        d = dialect(library)
        f = d.root.jit(lambda x, w, g: d.root.vjp(d.conv_same, x, w)[1](g))
        ready = [d.np.asarray(a) for a in (x, w, g)]
        return lambda: f(*ready)

    return make


def compiled(program) -> dict[str, Make]:
    """Leave NumPy out: it has no such function."""
    return {name: program(name) for name in ("rxcore", "jax", "torch")}


def loss_and_moments(results: tuple) -> tuple:
    """Leave the parameters out: Adam blows up the rounding of tiny gradients."""
    return results[0], results[2]


ROWS = (
    Row(
        name="dense_relu",
        title="relu(a @ b + bias), 1024",
        programs=every(dense_relu),
        must=(Ratio(1.0, ("jax", "numpy")),),
        aim=(Ratio(1.0, ("jax", "torch")),),
        tolerance=Tolerance(rtol=1e-4, atol=2e-3),
    ),
    Row(
        name="mlp",
        title="MLP 784-512-512-10, batch 256, step",
        programs=compiled(train_step),
        must=(Ratio(1.0, ("jax",)),),
        aim=(Ratio(1.4, ("jax",)),),
        tolerance=Tolerance(rtol=1e-4, atol=1e-6),
        compared=loss_and_moments,
    ),
    Row(
        name="conv",
        title="3x3 convolution, 32x64x32x32 to 64",
        programs=compiled(convolution),
        must=(Ratio(2.0, ("jax",)),),
        aim=(Ratio(1.8, ("torch",)),),
        tolerance=Tolerance(rtol=1e-4, atol=1e-3),
    ),
    Row(
        name="conv_gradients",
        title="its two gradients",
        programs=compiled(convolution_gradients),
        must=(Ratio(2.0, ("jax",)),),
        aim=(Ratio(1.8, ("torch",)),),
        tolerance=Tolerance(rtol=1e-3, atol=2e-2),
    ),
)
