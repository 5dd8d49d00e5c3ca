"""The network of the demo, and how it is trained: pure functions all the way.

A network is a tuple of layers, each a mapping of `weight` (in, out) and `bias`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from rxcore import nn, optim, random
from rxcore import numpy as rnp
from rxcore.control.jit import jit
from rxcore.control.scan import scan
from rxcore.demo.data import Data
from rxcore.transforms.grad import grad

__all__ = ["Apply", "accuracy", "apply", "epoch_of", "init", "loss_of", "orders"]

BATCH = 64

Params = Any
Apply = Callable[[Params, Any], Any]
# What a method carries (parameters, an optimizer's state, ...), images, classes -> the
# same after one batch, or after a pass over batches.
Step = Callable[[Any, Any, Any], Any]
Epoch = Callable[[Any, Any, Any, Any], Any]


def init(seed: int, widths: tuple[int, ...]) -> Params:
    """Return the first parameters: normal numbers by He's rule, and zeros."""
    keys = random.split(random.key(seed), len(widths) - 1)
    normal = nn.initializers.he_normal()
    return tuple(
        {"weight": normal(keys[k], (m, n)), "bias": rnp.zeros((n,))}
        for k, (m, n) in enumerate(pairwise(widths))
    )


def apply(params: Params, x: Any) -> Any:
    """Return the logits of images: products, biases, and a relu between layers."""
    for k, layer in enumerate(params):
        x = x @ layer["weight"] + layer["bias"]
        if k + 1 < len(params):
            x = nn.relu(x)
    return x


def loss_of(forward: Apply = apply) -> Callable[[Params, Any, Any], Any]:
    """Return the mean cross entropy of a network as a function."""
    return lambda params, x, y: nn.softmax_cross_entropy(forward(params, x), y)


def adam_step(
    optimizer: optim.Optimizer, loss: Callable[[Params, Any, Any], Any]
) -> Step:
    """Return the step that moves (params, state) against a loss's gradient."""

    def step(carry: Any, x: Any, y: Any) -> Any:
        params, state = carry
        return optimizer.update(grad(loss)(params, x, y), state, params)

    return step


def epoch_of(step: Step) -> Epoch:
    """Return a compiled pass over batches: (carry, x, y, order) -> carry.

    `order` (batches, size) holds the rows of each batch. The whole pass is one call.
    """

    @functools.partial(jit, donate_argnums=(0,))
    def epoch(carry: Any, x: Any, y: Any, order: Any) -> Any:
        def body(carry: Any, rows: Any) -> Any:
            return step(carry, x[rows], y[rows]), None

        return scan(body, carry, order)[0]

    made: Epoch = epoch
    return made


def orders(data: Data, epochs: int, seed: int) -> Iterator[Any]:
    """Yield for each epoch the rows of its batches, shuffled."""
    rng = np.random.default_rng(seed)
    count = len(data.train_x)
    size = min(BATCH, count)
    whole = count // size * size
    for _ in range(epochs):
        yield rng.permutation(count)[:whole].reshape(-1, size).astype(np.int32)


def accuracy(logits: Any, y: Any) -> float:
    """Return the share of images whose largest logit is that of their class."""
    return float((np.asarray(logits).argmax(1) == y).mean())
