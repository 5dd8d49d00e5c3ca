"""Rows of reductions and of programs over the rows of a matrix."""

import numpy as np

from benchmarks.elementwise import draw, every
from benchmarks.peers import dialect, load
from benchmarks.record import Call, Make, Ratio, Row, Share, Tolerance

ROW_COUNT, WIDTH = 4096, 1024
SIZE = 2**24
SIDE = 4096
EPSILON = 1e-5


def softmax(library: str) -> Make:
    def make() -> Call:
        x = draw(ROW_COUNT, WIDTH)
        if library == "numpy":

            def numpy_softmax() -> np.ndarray:
                e = np.exp(x - x.max(axis=-1, keepdims=True))
                return e / e.sum(axis=-1, keepdims=True)

            return numpy_softmax
        if library == "torch":
            torch = load("torch")
            t = torch.from_numpy(x)
            return lambda: torch.softmax(t, -1)
        d = dialect(library)

        def f(x):
            e = d.np.exp(x - d.np.max(x, axis=-1, keepdims=True))
            return e / d.np.sum(e, axis=-1, keepdims=True)

        f, x = (
            d.root.jit(load("jax").nn.softmax if library == "jax" else f),
            d.np.asarray(x),
        )
        return lambda: f(x)

    return make


def layer_norm(library: str) -> Make:
    def make() -> Call:
        x, scale, shift = (
            draw(ROW_COUNT, WIDTH),
            draw(WIDTH, seed=1),
            draw(WIDTH, seed=2),
        )
        if library == "torch":
            torch = load("torch")
            args = [torch.from_numpy(a) for a in (x, scale, shift)]
            norm = torch.nn.functional.layer_norm
            return lambda: norm(args[0], (WIDTH,), args[1], args[2], EPSILON)
        np_ = np if library == "numpy" else dialect(library).np

        def f(x, scale, shift):
            centred = x - np_.mean(x, axis=-1, keepdims=True)
            variance = np_.mean(centred * centred, axis=-1, keepdims=True)
            return centred / np_.sqrt(variance + EPSILON) * scale + shift

        if library == "numpy":
            return lambda: f(x, scale, shift)
        f = dialect(library).root.jit(f)
        ready = [np_.asarray(a) for a in (x, scale, shift)]
        return lambda: f(*ready)

    return make


def total(axis: int | None) -> dict[str, Make]:
    def program(library: str) -> Make:
        def make() -> Call:
            x = draw(SIZE) if axis is None else draw(SIDE, SIDE)
            if library == "numpy":
                return lambda: np.sum(x, axis=axis)
            if library == "torch":
                torch = load("torch")
                t = torch.from_numpy(x)
                return lambda: torch.sum(t) if axis is None else torch.sum(t, axis)
            d = dialect(library)
            f, x = d.root.jit(lambda x: d.np.sum(x, axis=axis)), d.np.asarray(x)
            return lambda: f(x)

        return make

    return every(program)


def sum_row(name: str, title: str, axis: int | None) -> Row:
    return Row(
        name=name,
        title=title,
        programs=total(axis),
        must=(Ratio(0.9, ("jax", "numpy")),),
        aim=(Share(0.9, "read"),),
        bytes=4 * SIZE,
        # Sums of many numbers around zero: the error is that of the terms, not the sum.
        tolerance=Tolerance(rtol=1e-4, atol=0.05),
    )


ROWS = (
    Row(
        name="softmax",
        title="softmax, 4096x1024",
        programs=every(softmax),
        must=(Ratio(0.9, ("jax",)),),
        aim=(Ratio(1.2, ("torch",)),),
        tolerance=Tolerance(rtol=1e-5, atol=1e-8),
    ),
    Row(
        name="layer_norm",
        title="layer norm, 4096x1024",
        programs=every(layer_norm),
        must=(Ratio(0.9, ("jax",)),),
        aim=(Ratio(1.8, ("torch",)),),
        tolerance=Tolerance(rtol=1e-4, atol=1e-5),
    ),
    sum_row("sum", "sum of 16M", None),
    sum_row("sum_axis0", "sum over axis 0, 4096x4096", 0),
    sum_row("sum_axis1", "sum over axis 1, 4096x4096", 1),
)
