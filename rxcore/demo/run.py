"""Run the demo: train, make small, measure; every number is a result of this run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from rxcore.control.explain import explain
from rxcore.control.jit import jit
from rxcore.demo import compact, spiking, training
from rxcore.demo.data import Data
from rxcore.demo.measure import bytes_of, milliseconds
from rxcore.demo.network import Apply, Params, accuracy, apply
from rxcore.demo.record import Method, Pictures
from rxcore.runtime.array import asarray

__all__ = ["SPARSITY", "run"]

SPARSITY, HIGH = 0.9, 0.95
CALIBRATION, MANY = 512, 256

Progress = Callable[[str, Iterable[Any]], Iterable[Any]]


def run(
    data: Data, epochs: int = 60, seed: int = 0, progress: Progress = lambda _, x: x
) -> tuple[list[Method], Pictures]:
    """Train and measure every method.

    Args:
        data: images and classes.
        epochs: passes over the data, for each training.
        seed: fixes every random choice.
        progress: shows how far something is: (title, items) -> items.

    Returns:
        The methods, the dense one first, and what to draw.
    """

    def follow(title: str) -> Callable[[Iterable[Any]], Iterable[Any]]:
        return lambda items: progress(title, items)

    dense = training.train_dense(data, epochs, seed, follow("dense"))
    cut, _ = training.train_pruned(
        data, SPARSITY, epochs, seed, follow(f"pruned to {SPARSITY:.0%}")
    )
    grown, _ = training.train_sparse(
        data, SPARSITY, epochs, seed, follow(f"sparse at {SPARSITY:.0%} (RigL)")
    )
    most, _ = training.train_pruned(
        data, HIGH, epochs, seed, follow(f"pruned to {HIGH:.0%}")
    )
    spikes = spiking.train_spiking(data, epochs, seed, follow("spiking"))

    images = data.train_x[:CALIBRATION]
    eight = compact.pack_integers(dense, images)
    four = compact.pack_integers(dense, images, bits=4)
    ways: list[tuple[str, Apply, Params]] = [
        ("dense float32", apply, dense),
        ("int8", compact.predict_integers, eight),
        ("int4 weights", compact.predict_integers, four),
        ("90 % pruned", compact.predict_rows, compact.pack_rows(cut)),
        ("90 % sparse (RigL)", compact.predict_rows, compact.pack_rows(grown)),
        ("95 % + int8", compact.predict_small_rows, compact.pack_small_rows(most)),
        ("spiking, 25 steps", spiking.predict_spiking, spikes),
    ]
    methods = [
        _measured(name, predict, params, data)
        for name, predict, params in progress("measuring", ways)
    ]
    return methods, _pictures(data, methods, (dense, cut, grown, spikes))


def _measured(name: str, predict: Apply, params: Params, data: Data) -> Method:
    batch = np.resize(data.test_x, (MANY, data.features))
    told = explain(jit(predict))(params, asarray(batch))
    estimate = next(e for e in told.estimates if e.device == told.choice)
    logits = jit(predict)(params, asarray(data.test_x))
    return Method(
        name=name,
        accuracy=accuracy(logits, data.test_y),
        nbytes=bytes_of(params),
        one=milliseconds(predict, params, batch[:1]),
        many=milliseconds(predict, params, batch),
        target=told.choice,
        reason=told.reason,
        terms=_terms(estimate),
    )


def _terms(estimate: Any) -> dict[str, float]:
    names = ("launch", "memory", "arithmetic", "serial", "transfers")
    return {name: float(getattr(estimate, name)) for name in names}


def _pictures(data: Data, methods: list[Method], trained: tuple[Any, ...]) -> Pictures:
    *networks, spikes = trained
    titles = ("first layer, dense", "what pruning kept", "what RigL found")
    firsts = [np.asarray(params[0]["weight"]) for params in networks]
    raster = spiking.spikes_of(spikes, asarray(data.test_x[:1]))
    return Pictures(
        weights=tuple(zip(titles, firsts, strict=True)),
        spikes=np.asarray(raster)[:, 0],
        digit=int(data.test_y[0]),
        terms=tuple((m.name, m.terms) for m in methods),
    )
