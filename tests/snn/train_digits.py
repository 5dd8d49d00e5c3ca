"""Train a spiking classifier of digits: `python -m tests.snn.train_digits`.

A multilayer perceptron 64-128-10, both layers of leaky integrate-and-fire neurons, sees
a constant image for 25 steps; the neuron of the output layer that spikes most often
names the digit. Pixels are scaled to [0, 1]; a fifth of the images, stratified by
class, is held out.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

import numpy as np
from attrs import fields, frozen

import rxcore as rx
import rxcore.numpy as rnp
from rxcore import optim, snn


@frozen
class Recipe:
    """What is chosen about the training.

    Args:
        steps: how long an image is seen.
        hidden: how many hidden neurons there are.
        beta: the decay of potentials per step.
        slope: `alpha` of the surrogate `lorentz`.
        gain: what counts of spikes, as a share of the steps, are multiplied by to be
            logits.
        epochs: how often all images are seen.
        batch: how many images a step of the optimizer sees.
        rate: the highest learning rate; it falls along half a cosine.
        decay: weight decay.
        noise: standard deviation of what is added to pixels in training.
    """

    steps: int = 25
    hidden: int = 128
    beta: float = 0.9
    slope: float = 2.0
    gain: float = 10.0
    epochs: int = 60
    batch: int = 64
    rate: float = 5e-3
    decay: float = 1e-4
    noise: float = 0.1


def data(seed: int) -> tuple[Any, Any, Any, Any]:
    """Return images to train and to test with, and their labels."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - only this script
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    images, labels = load_digits(return_X_y=True)
    parts: tuple[Any, Any, Any, Any] = train_test_split(
        (images / 16).astype(np.float32),
        labels.astype(np.int32),
        test_size=0.2,
        random_state=seed,
        stratify=labels,
    )
    return parts


def start(recipe: Recipe, key: Any) -> dict[str, Any]:
    """Draw the weights of both layers."""
    one, two = rx.random.split(key)
    first, second = (64, recipe.hidden), (recipe.hidden, 10)
    return {
        "w1": rx.random.normal(one, first) * (2 / first[0]) ** 0.5,
        "b1": rnp.zeros(first[1]),
        "w2": rx.random.normal(two, second) * (1 / second[0]) ** 0.5,
        "b2": rnp.zeros(second[1]),
    }


def logits(recipe: Recipe, params: dict[str, Any], images: Any) -> Any:
    """Run the network over time and count the spikes of its output."""
    neurons = {"beta": recipe.beta}
    spike = snn.surrogate.lorentz(recipe.slope)
    current = images @ params["w1"] + params["b1"]
    xs = rnp.broadcast_to(current, (recipe.steps, *current.shape))
    _, hidden = snn.lif_scan(neurons, None, xs, surrogate=spike)
    out = hidden @ params["w2"] + params["b2"]
    _, spikes = snn.lif_scan(neurons, None, out, surrogate=spike)
    return snn.decode.count(spikes) * (recipe.gain / recipe.steps)


def train(recipe: Recipe, seed: int) -> float:
    """Train once; return the share of held out images that are named rightly."""
    x, x_test, y, y_test = data(seed)
    batches = len(x) // recipe.batch
    rate = optim.cosine(recipe.rate, recipe.epochs * batches)
    optimizer = optim.adamw(rate, weight_decay=recipe.decay)

    def loss(params: Any, images: Any, labels: Any) -> Any:
        found = logits(recipe, params, images)
        right = rx.take_along_axis(found, labels[:, None], 1)[:, 0]
        return (rx.logsumexp(found, 1) - right).mean()

    @rx.jit
    def step(params: Any, state: Any, images: Any, labels: Any, key: Any) -> Any:
        images = images + recipe.noise * rx.random.normal(key, images.shape)
        return optimizer.update(rx.grad(loss)(params, images, labels), state, params)

    first, *keys = rx.random.split(rx.random.key(seed), 1 + recipe.epochs * batches)
    params = start(recipe, first)
    state, rng = optimizer.init(params), np.random.default_rng(seed)
    for _ in range(recipe.epochs):
        order = rng.permutation(len(x))[: batches * recipe.batch]
        for rows in order.reshape(batches, -1):
            params, state = step(params, state, x[rows], y[rows], keys.pop())
    found = rx.jit(partial(logits, recipe))(params, x_test)
    return float((np.asarray(found).argmax(1) == y_test).mean())


def main() -> None:
    """Train with several seeds and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    for f in fields(Recipe):
        parser.add_argument(f"--{f.name}", type=type(f.default), default=f.default)
    given = vars(parser.parse_args())
    seeds = given.pop("seeds")
    recipe, found = Recipe(**given), []
    for seed in range(seeds):
        begun = time.perf_counter()
        found.append(100 * train(recipe, seed))
        took = time.perf_counter() - begun
        print(f"seed {seed}: {found[-1]:.2f} %, {took:.1f} s", flush=True)
    print(f"mean {np.mean(found):.2f} %, standard deviation {np.std(found):.2f}")


if __name__ == "__main__":
    main()
