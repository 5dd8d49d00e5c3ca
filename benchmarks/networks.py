"""The training step of a small network, written once for rxcore and JAX."""

from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.elementwise import draw
from benchmarks.peers import dialect, load
from benchmarks.record import Call

WIDTHS = (784, 512, 512, 10)
BATCH = 256
RATE, DECAY1, DECAY2, EPSILON = 1e-3, 0.9, 0.999, 1e-8


def inputs(batch: int = BATCH) -> tuple[list, list, list, np.ndarray, np.ndarray]:
    """Draw parameters, Adam's moments, images and one-hot labels."""
    params = []
    for layer, (m, n) in enumerate(pairwise(WIDTHS)):
        params += [
            draw(m, n, seed=layer) / np.float32(m) ** 0.5,
            np.zeros(n, np.float32),
        ]
    means = [np.full_like(p, 1e-3) for p in params]
    squares = [np.full_like(p, 1e-4) for p in params]
    # No unit of this draw lies within rounding of relu's kink, where gradients jump.
    images = draw(batch, WIDTHS[0], seed=10)
    labels = np.eye(WIDTHS[-1], dtype=np.float32)[np.arange(batch) % WIDTHS[-1]]
    return params, means, squares, images, labels


def adam(p: Any, g: Any, m: Any, s: Any, count: Any, sqrt: Any) -> tuple[Any, Any, Any]:
    """Kingma and Ba 2015, for one array."""
    m = DECAY1 * m + (1 - DECAY1) * g
    s = DECAY2 * s + (1 - DECAY2) * g * g
    scaled = m / (1 - DECAY1**count)
    return p - RATE * scaled / (sqrt(s / (1 - DECAY2**count)) + EPSILON), m, s


def jitted_step(library: str) -> Any:
    """Return loss, gradient and Adam's update in one jitted function."""
    return dialect(library).root.jit(train_step(library))


def train_step(library: str) -> Any:
    """Return loss, gradient and Adam's update in one function."""
    d = dialect(library)

    def loss(params: list, x: Any, labels: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = params
        h = d.np.maximum(x @ w1 + b1, 0)
        h = d.np.maximum(h @ w2 + b2, 0)
        logits = h @ w3 + b3
        log_p = logits - d.logsumexp(logits, -1)[:, None]
        return -d.np.mean(d.np.sum(labels * log_p, axis=-1))

    def step(params, means, squares, count, x, labels):
        value, grads = d.root.value_and_grad(loss)(params, x, labels)
        moved = [
            adam(p, g, m, s, count, d.np.sqrt)
            for p, g, m, s in zip(params, grads, means, squares, strict=True)
        ]
        params, means, squares = ([each[i] for each in moved] for i in range(3))
        return value, params, means, squares

    return step


def ready_inputs(library: str, batch: int = BATCH) -> tuple:
    """Return the step's arguments as arrays of the library."""
    d = dialect(library)
    params, means, squares, x, labels = inputs(batch)
    lists = [[d.np.asarray(a) for a in group] for group in (params, means, squares)]
    return *lists, d.np.asarray(np.float32(3)), d.np.asarray(x), d.np.asarray(labels)


def torch_step() -> Call:
    """Return the same step in eager torch."""
    torch = load("torch")
    params, means, squares, x, labels = inputs()
    params, means, squares = (
        [torch.from_numpy(a) for a in group] for group in (params, means, squares)
    )
    for p in params:
        p.requires_grad_(True)
    x, labels, count = torch.from_numpy(x), torch.from_numpy(labels), 3.0

    def step() -> tuple:
        w1, b1, w2, b2, w3, b3 = params
        h = torch.relu(torch.addmm(b1, x, w1))
        h = torch.relu(torch.addmm(b2, h, w2))
        log_p = torch.log_softmax(torch.addmm(b3, h, w3), -1)
        loss = -(labels * log_p).sum(-1).mean()
        grads = torch.autograd.grad(loss, params)
        with torch.no_grad():
            moved = [
                adam(p, g, m, s, count, torch.sqrt)
                for p, g, m, s in zip(params, grads, means, squares, strict=True)
            ]
        new_params, new_means, new_squares = (
            [each[i] for each in moved] for i in range(3)
        )
        return loss, new_params, new_means, new_squares

    return step
