"""The ways to train: dense, pruned step by step, sparse from the first step, spiking.

Each one returns parameters; all follow the digits protocol of the literature on small
networks: Adam at 1e-3, batches of 64, 60 epochs, no other regularization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from rxcore import numpy as rnp
from rxcore import optim, prune, random
from rxcore.base import tree
from rxcore.demo.data import Data
from rxcore.demo.network import Params, adam_step, epoch_of, init, loss_of, orders
from rxcore.runtime.array import asarray
from rxcore.transforms.grad import grad

__all__ = ["HIDDEN", "train_dense", "train_pruned", "train_sparse"]

HIDDEN = (256, 128)
RATE = 1e-3
# Shares of training: where pruning begins, and where masks stay as they are.
BEGIN, END = 0.2, 0.75
EVERY = 20
# Steps from one removal to the next: small ones often beat large ones seldom.
REMOVED_EVERY = 10
# Small networks want many weights tried: half of the active ones at first, and as many
# small negative ones as small positive ones.
FRACTION = 0.5

Follow = Callable[[Iterable[Any]], Iterable[Any]]


def _silent(epochs: Iterable[Any]) -> Iterable[Any]:
    return epochs


def widths_of(data: Data) -> tuple[int, ...]:
    """Return the widths of the network for some data."""
    return (data.features, *HIDDEN, data.classes)


def steps_of(data: Data, epochs: int) -> int:
    """Return how many batches there are in all."""
    return sum(len(order) for order in orders(data, epochs, 0))


def train(
    data: Data, carry: Any, step: Any, epochs: int, seed: int, follow: Follow
) -> Any:
    """Run a step over all batches; `follow` shows how far it is."""
    epoch = epoch_of(step)
    x, y = asarray(data.train_x), asarray(data.train_y)
    for order in follow(orders(data, epochs, seed)):
        carry = epoch(carry, x, y, order)
    return carry


def train_dense(
    data: Data, epochs: int = 60, seed: int = 0, follow: Follow = _silent
) -> Params:
    """Return the parameters of the dense network."""
    params = init(seed, widths_of(data))
    optimizer = optim.adam(RATE)
    step = adam_step(optimizer, loss_of())
    carry = (params, optimizer.init(params))
    return train(data, carry, step, epochs, seed, follow)[0]


def train_pruned(
    data: Data,
    sparsity: float,
    epochs: int = 60,
    seed: int = 0,
    follow: Follow = _silent,
) -> tuple[Params, Any]:
    """Train, and remove the smallest weights by a cubic schedule, over all layers.

    Returns:
        Parameters and masks.

    Paper: Zhu and Gupta, "To prune, or not to prune", 2017.
    """
    params = init(seed, widths_of(data))
    optimizer = optim.adam(RATE)
    total = steps_of(data, epochs)
    begin = int(BEGIN * total)
    every = REMOVED_EVERY
    end = begin + max(int((END - BEGIN) * total) // every, 1) * every
    schedule = prune.cubic(begin, end, every, final=sparsity)
    pruner = prune.gradual(schedule)
    moved = adam_step(optimizer, loss_of())

    def step(carry: Any, x: Any, y: Any) -> Any:
        params, state, pruning = carry
        params, state = moved((params, state), x, y)
        params, pruning = pruner.update(params, pruning)
        return params, state, pruning

    carry = (params, optimizer.init(params), pruner.init(params))
    params, _, pruning = train(data, carry, step, epochs, seed, follow)
    return params, pruning.masks


def train_sparse(
    data: Data,
    sparsity: float,
    epochs: int = 60,
    seed: int = 0,
    follow: Follow = _silent,
    grow: Literal["gradient", "random"] = "gradient",
) -> tuple[Params, Any]:
    """Train a network that is sparse from its first step, and moves its connections.

    Args:
        data: what to learn from.
        sparsity: the fraction of weights that is absent at any time.
        epochs: passes over the data.
        seed: of everything random.
        follow: shows how far it is.
        grow: "gradient" (RigL) or "random" (SET).

    Returns:
        Parameters and masks.

    Paper: Evci et al., "Rigging the lottery", 2020; Mocanu et al., "Scalable training
    of artificial neural networks with adaptive sparse connectivity", 2018.
    """
    params = init(seed, widths_of(data))
    optimizer = optim.adam(RATE)
    end = max(int(END * steps_of(data, epochs)), EVERY + 1)
    key = random.key(seed)
    state = prune.rigl_init(
        params,
        sparsity,
        key=key,
        begin=EVERY,
        end=end,
        frequency=EVERY,
        fraction=FRACTION,
        drop="signed",
    )
    params = prune.apply(params, state.masks)
    loss = loss_of()

    def step(carry: Any, x: Any, y: Any) -> Any:
        state, params, moments = carry
        return prune.train_step(
            state,
            params,
            moments,
            lambda p: grad(loss)(p, x, y),
            optimizer.update,
            key=random.fold_in(key, state.step),
            grow=grow,
        )

    carry = (state, params, optimizer.init(params))
    state, params, _ = train(data, carry, step, epochs, seed, follow)
    return params, state.masks


def weights_kept(masks: Any) -> float:
    """Return the share of weights that masks keep."""
    leaves = tree.leaves(masks)
    kept = sum(int(rnp.sum(m)) for m in leaves)
    return float(kept / max(sum(m.size for m in leaves), 1))
