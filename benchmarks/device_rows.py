"""The rows of the device suite that are programs, each beside its NumPy meaning."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

import rxcore as rx
import rxcore.numpy as rnp
from benchmarks.contraction import FILTERS, IMAGES, loss_and_moments
from benchmarks.device_record import DeviceRow, Launches
from benchmarks.elementwise import SIDE, SIZE, draw
from benchmarks.networks import BATCH, WIDTHS, adam, inputs, train_step
from benchmarks.peers import OURS
from benchmarks.record import Ratio, Share, Tolerance
from benchmarks.recurrent import (
    BETA,
    LIF_SHAPE,
    SLOPE,
    THRESHOLD,
    lif_currents,
    lif_run,
)
from benchmarks.rows import EPSILON, ROW_COUNT, WIDTH

PRODUCT = 1024
SORTED = 2**20
PICKED = 2**22
ADDED = 2**20


def both(program: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """Make program and reference of one function whose first argument is `numpy`."""
    return {"program": partial(program, rnp), "reference": partial(program, np)}


def arrays(*shapes: tuple[int, ...]) -> Callable[[], tuple[np.ndarray, ...]]:
    """Return the function that draws arrays of these shapes."""
    return lambda: tuple(draw(*shape, seed=k) for k, shape in enumerate(shapes))


# elementwise and rows -----------------------------------------------------------------


def exp_chain(xp: Any, x: Any, y: Any) -> Any:
    return xp.exp(x * 0.5) + y * x


def triad(xp: Any, x: Any, y: Any) -> Any:
    del xp
    return x * 3 + y


def plus_transpose(xp: Any, a: Any) -> Any:
    del xp
    return a + a.T


def softmax(xp: Any, x: Any) -> Any:
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def layer_norm(xp: Any, x: Any, scale: Any, shift: Any) -> Any:
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    variance = xp.mean(centred * centred, axis=-1, keepdims=True)
    return centred / xp.sqrt(variance + EPSILON) * scale + shift


def total(xp: Any, x: Any, axis: int | None = None) -> Any:
    return xp.sum(x, axis=axis)


def cumsum(xp: Any, x: Any) -> Any:
    return xp.cumsum(x)


def cumsum_exact(x: np.ndarray) -> np.ndarray:
    # A sum of 16M float32 in order is further off than what it would judge.
    return np.cumsum(x, dtype=np.float64)


# spiking neurons ----------------------------------------------------------------------


def lif(currents: Any) -> Any:
    return lif_run(OURS)[0](currents)


def lif_loss(currents: Any) -> Any:
    return rnp.sum(lif(currents) ** 2)


def lif_states(currents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return spikes, and potentials above the threshold, of every step."""
    v = np.zeros(currents.shape[1:], np.float32)
    spikes, above = np.empty_like(currents), np.empty_like(currents)
    for t, current in enumerate(currents):
        v = np.float32(BETA) * v + current
        above[t] = v - np.float32(THRESHOLD)
        spikes[t] = above[t] > 0
        v = v - np.float32(THRESHOLD) * spikes[t]
    return spikes, above


def lif_by_numpy(currents: np.ndarray) -> np.ndarray:
    return lif_states(currents)[0]


def lif_gradient_by_numpy(currents: np.ndarray) -> np.ndarray:
    """Return the gradient of the sum of squared spikes, by hand."""
    spikes, above = lif_states(currents)
    made = np.empty_like(currents)
    carried = np.zeros(currents.shape[1:], np.float32)
    for t in reversed(range(len(currents))):
        spiked = 2 * spikes[t] - np.float32(THRESHOLD) * carried
        slope = 1 / (1 + np.float32(SLOPE) * np.abs(above[t])) ** 2
        made[t] = carried + spiked * slope
        carried = np.float32(BETA) * made[t]
    return made


# contractions -------------------------------------------------------------------------


def product(xp: Any, a: Any, b: Any) -> Any:
    del xp
    return a @ b


def convolution(x: Any, w: Any) -> Any:
    return rx.conv(x, w, padding="SAME")


def convolution_by_numpy(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[2:], (2, 3))
    made = np.tensordot(windows, w, axes=((1, 4, 5), (1, 2, 3)))
    return np.ascontiguousarray(made.transpose(0, 3, 1, 2))


def network_inputs() -> tuple[Any, ...]:
    params, means, squares, images, labels = inputs()
    return params, means, squares, np.float32(3), images, labels


def network_step_by_numpy(
    params: list[np.ndarray],
    means: list[np.ndarray],
    squares: list[np.ndarray],
    count: np.float32,
    x: np.ndarray,
    labels: np.ndarray,
) -> tuple[Any, ...]:
    """Return what `networks.train_step` does, its gradient by hand."""
    w1, b1, w2, b2, w3, b3 = params
    h1 = np.maximum(x @ w1 + b1, 0)
    h2 = np.maximum(h1 @ w2 + b2, 0)
    logits = h2 @ w3 + b3
    logits = logits - logits.max(-1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    loss = -np.mean(np.sum(labels * log_p, -1))
    g3 = (np.exp(log_p) - labels) / np.float32(len(x))
    g2 = (g3 @ w3.T) * (h2 > 0)
    g1 = (g2 @ w2.T) * (h1 > 0)
    pairs = ((x, g1), (h1, g2), (h2, g3))
    grads = [each for h, g in pairs for each in (h.T @ g, g.sum(0))]
    moved = [
        adam(p, g, m, s, count, np.sqrt)
        for p, g, m, s in zip(params, grads, means, squares, strict=True)
    ]
    return (loss, *([each[i] for each in moved] for i in range(3)))


# order, indices, random numbers -------------------------------------------------------


def sort(xp: Any, x: Any) -> Any:
    return xp.sort(x)


def gather_inputs() -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(1)
    return draw(SIZE), generator.integers(0, SIZE, PICKED, np.int32)


def gather(xp: Any, x: Any, indices: Any) -> Any:
    return xp.take(x, indices)


def scatter_inputs() -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(1)
    indices = generator.integers(0, ADDED, ADDED, np.int32)
    return draw(ADDED), indices, draw(ADDED, seed=2)


def scatter_add(x: Any, indices: Any, values: Any) -> Any:
    return x.at[indices].add(values)


def scatter_add_by_numpy(
    x: np.ndarray, indices: np.ndarray, values: np.ndarray
) -> np.ndarray:
    made = x.copy()
    np.add.at(made, indices, values)
    return made


def normal(key: Any) -> Any:
    return rx.random.normal(key, (SIZE,))


def normal_by_numpy(key: Any) -> np.ndarray:
    """Draw the same numbers by the ops' references, which are NumPy."""
    return np.asarray(normal(rx.asarray(key)))


def sum_row(name: str, title: str, axis: int | None, launches: int) -> DeviceRow:
    return DeviceRow(
        name=name,
        title=title,
        inputs=arrays((SIZE,) if axis is None else (SIDE, SIDE)),
        **both(partial(total, axis=axis)),
        must=(Launches(launches),),
        bytes=4 * SIZE,
        # Sums of many numbers around zero: the error is that of the terms, not the sum.
        tolerance=Tolerance(rtol=1e-4, atol=0.05),
    )


TRIAD = DeviceRow(
    name="triad",
    title="x*3 + y, 16M",
    inputs=arrays((SIZE,), (SIZE,)),
    **both(triad),
    bytes=3 * 4 * SIZE,
    tolerance=Tolerance(rtol=2e-6, atol=2e-6),
)

ROWS = (
    DeviceRow(
        name="exp",
        title="exp(x*.5)+y*x, 16M",
        inputs=arrays((SIZE,), (SIZE,)),
        **both(exp_chain),
        must=(Share(0.6, "triad"), Launches(1)),
        bytes=3 * 4 * SIZE,
        tolerance=Tolerance(rtol=2e-6, atol=2e-6),
    ),
    TRIAD,
    DeviceRow(
        name="transpose_add",
        title="a + a.T, 4096x4096",
        inputs=arrays((SIDE, SIDE)),
        **both(plus_transpose),
        bytes=2 * 4 * SIDE * SIDE,
        tolerance=Tolerance(0.0, 0.0),
    ),
    DeviceRow(
        name="softmax",
        title="softmax, 4096x1024",
        inputs=arrays((ROW_COUNT, WIDTH)),
        **both(softmax),
        must=(Launches(1),),
        bytes=2 * 4 * ROW_COUNT * WIDTH,
        tolerance=Tolerance(rtol=1e-5, atol=1e-8),
    ),
    DeviceRow(
        name="layer_norm",
        title="layer norm, 4096x1024",
        inputs=arrays((ROW_COUNT, WIDTH), (WIDTH,), (WIDTH,)),
        **both(layer_norm),
        must=(Launches(1),),
        bytes=2 * 4 * ROW_COUNT * WIDTH,
        tolerance=Tolerance(rtol=1e-4, atol=1e-5),
    ),
    sum_row("sum", "sum of 16M", None, 2),
    sum_row("sum_axis0", "sum over axis 0, 4096x4096", 0, 2),
    sum_row("sum_axis1", "sum over axis 1, 4096x4096", 1, 1),
    DeviceRow(
        name="cumsum",
        title="cumsum of 16M",
        inputs=arrays((SIZE,)),
        program=partial(cumsum, rnp),
        reference=cumsum_exact,
        peer=partial(cumsum, np),
        bytes=2 * 4 * SIZE,
        # A random walk of 16M steps reaches a few thousand.
        tolerance=Tolerance(rtol=1e-3, atol=0.5),
    ),
    DeviceRow(
        name="lif",
        title="LIF scan, T=100, 64x1024",
        inputs=lambda: (lif_currents(),),
        program=lif,
        reference=lif_by_numpy,
        must=(Launches(1),),
        bytes=2 * 4 * int(np.prod(LIF_SHAPE)),
        # A potential that meets the threshold within rounding spikes or does not.
        tolerance=Tolerance(rtol=1e-5, atol=1e-5, share=1e-4),
    ),
    DeviceRow(
        name="lif_gradient",
        title="its gradient",
        inputs=lambda: (lif_currents(),),
        program=rx.grad(lif_loss),
        reference=lif_gradient_by_numpy,
        must=(Launches(2),),
        bytes=2 * 4 * int(np.prod(LIF_SHAPE)),
        # A spike that differs changes the gradient of the steps before it.
        tolerance=Tolerance(rtol=1e-3, atol=1e-4, share=1e-3),
    ),
    DeviceRow(
        name="matmul",
        title="a @ b, 1024, tiles for GPUs",
        inputs=arrays((PRODUCT, PRODUCT), (PRODUCT, PRODUCT)),
        **both(product),
        must=(Ratio(0.1, ("numpy",)),),
        flops=2 * PRODUCT**3,
        tolerance=Tolerance(rtol=1e-4, atol=2e-3),
    ),
    DeviceRow(
        name="mlp",
        title="MLP 784-512-512-10, batch 256, Adam step",
        inputs=network_inputs,
        program=train_step(OURS),
        reference=network_step_by_numpy,
        flops=6 * BATCH * sum(m * n for m, n in pairwise(WIDTHS)),
        tolerance=Tolerance(rtol=1e-4, atol=1e-6),
        compared=loss_and_moments,
    ),
    DeviceRow(
        name="conv",
        title="3x3 convolution, 32x64x32x32 to 64",
        inputs=arrays(IMAGES, FILTERS),
        program=convolution,
        reference=convolution_by_numpy,
        flops=2 * IMAGES[0] * IMAGES[2] * IMAGES[3] * int(np.prod(FILTERS)),
        tolerance=Tolerance(rtol=1e-4, atol=1e-3),
    ),
    DeviceRow(
        name="sort",
        title="sort of 1M",
        inputs=arrays((SORTED,)),
        **both(sort),
        bytes=2 * 4 * SORTED,
        tolerance=Tolerance(0.0, 0.0),
    ),
    DeviceRow(
        name="gather",
        title="x[i], 4M of 16M",
        inputs=gather_inputs,
        **both(gather),
        bytes=3 * 4 * PICKED,
        tolerance=Tolerance(0.0, 0.0),
    ),
    DeviceRow(
        name="scatter_add",
        title="x.at[i].add(v), 1M into 1M",
        inputs=scatter_inputs,
        program=scatter_add,
        reference=scatter_add_by_numpy,
        bytes=4 * 4 * ADDED,
        tolerance=Tolerance(rtol=1e-5, atol=1e-5),
    ),
    DeviceRow(
        name="normal",
        title="normal(key), 16M",
        inputs=lambda: (np.asarray(rx.random.key(0)),),
        program=normal,
        reference=normal_by_numpy,
        peer=lambda _: np.random.default_rng(0).standard_normal(SIZE, np.float32),
        bytes=4 * SIZE,
        tolerance=Tolerance(rtol=1e-5, atol=1e-6),
    ),
)
