"""A spiking classifier: leaky integrate-and-fire neurons see an image for a while."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rxcore import numpy as rnp
from rxcore import optim, random, snn
from rxcore.demo.data import Data
from rxcore.demo.network import Params, adam_step, loss_of
from rxcore.demo.training import Follow, _silent, steps_of, train
from rxcore.ops.mathematics import logistic
from rxcore.ops.shape import broadcast_to

__all__ = ["STEPS", "predict_spiking", "spikes_of", "train_spiking"]

STEPS, HIDDEN = 25, 128
BETA = 0.9
RATE, DECAY = 5e-3, 1e-4


def start(seed: int, data: Data) -> Params:
    """Return the first parameters; each hidden neuron learns its decay too."""
    keys = random.split(random.key(seed))
    layers = []
    widths = (data.features, HIDDEN, data.classes)
    for k, gain in enumerate((2.0, 1.0)):
        m, n = widths[k : k + 2]
        weight = random.normal(keys[k], (m, n)) * math.sqrt(gain / m)
        layers.append({"weight": weight, "bias": rnp.zeros((n,))})
    slope = rnp.full((HIDDEN,), math.log(BETA / (1 - BETA)))
    return {"layers": tuple(layers), "slope": slope, "threshold": rnp.ones((HIDDEN,))}


def spikes_of(params: Params, x: Any) -> Any:
    """Return the hidden neurons' spikes (steps, count, HIDDEN) for constant images."""
    first = params["layers"][0]
    current = x @ first["weight"] + first["bias"]
    xs = broadcast_to(current, (STEPS, *current.shape))
    cells = {"beta": logistic(params["slope"]), "threshold": params["threshold"]}
    surrogate = snn.surrogate.lorentz(2.0)
    return snn.lif_scan(cells, None, xs, surrogate=surrogate)[1]


def predict_spiking(params: Params, x: Any) -> Any:
    """Return the mean potentials of output neurons that do not spike."""
    last = params["layers"][1]
    currents = spikes_of(params, x) @ last["weight"] + last["bias"]
    cells = {"beta": BETA}
    potentials = snn.lif_scan(cells, None, currents, reset="none", output="trace")[1]
    return rnp.mean(potentials, 0)


def train_spiking(
    data: Data, epochs: int = 60, seed: int = 0, follow: Follow = _silent
) -> Params:
    """Train through the spikes, by a surrogate of their derivative.

    Paper: Neftci, Mostafa and Zenke, "Surrogate gradient learning in spiking neural
    networks", 2019.
    """
    params = start(seed, data)
    rate = optim.cosine(RATE, steps_of(data, epochs))
    optimizer = optim.adamw(rate, weight_decay=DECAY)
    step: Callable[..., Any] = adam_step(optimizer, loss_of(predict_spiking))
    carry = (params, optimizer.init(params))
    return train(data, carry, step, epochs, seed, follow)[0]
