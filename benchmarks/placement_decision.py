"""What a decision takes: for a new size, an unsettled call, and a repeated one."""

import gc
import timeit
from collections.abc import Callable
from typing import Any

from attrs import frozen

import rxcore as rx
import rxcore.numpy as rnp
from benchmarks.measure import Effort, summarize
from benchmarks.placement_measure import OBSERVED, UNBELIEVED
from benchmarks.record import Timing
from rxcore.runtime import decide
from rxcore.runtime.cost import Model, Option, choose
from rxcore.runtime.devices import Target
from rxcore.runtime.pricing import MARKET
from rxcore.runtime.variants import Variants

KERNELS = (1, 5, 10)
BATCH_SECONDS = 0.02


@frozen
class Decision:
    """The times of decisions on one program.

    Args:
        kernels: those of the program on each target, in the targets' order.
        anew: predicted, corrected and chosen from the features of each target's
            kernels; the counting of features, which is compilation, is done before.
        unsettled: what a call that runs are still learnt from does: options from
            prices that are there, the choice, and noting the arguments.
        repeated: the dictionary hit that a warm jitted call does.
    """

    kernels: tuple[int, ...]
    anew: Timing
    unsettled: Timing
    repeated: Timing

    @property
    def per_kernel(self) -> float:
        """Seconds of a decision anew, for each kernel and device."""
        return self.anew.median / sum(self.kernels)


def steps(count: int) -> Any:
    """Return a function of so many kernels: each needs all of the one before."""

    def function(x: Any) -> Any:
        for k in range(count):
            x = x / (rnp.sum(abs(x), k % 2, keepdims=True) + 1.0)
        return x

    return rx.jit(function)


def measure_decision(count: int, target: Target, effort: Effort) -> Decision:
    """Time decisions between the CPU and a device."""
    jitted, x = steps(count), rnp.ones((96, 160))
    entry, leaves = jitted.placed_entry(x)
    places = [None, target]
    prices = [decide.price_of(entry.variants, place) for place in places]
    for place, found in zip(places, prices, strict=True):
        # Runs to be learnt from, so that there is something to correct.
        for _ in range(UNBELIEVED + OBSERVED):
            MARKET.observe(found, place, found.seconds * 1.1)
    kernels = tuple(sum(times for _, times in found.works) for found in prices)
    other = rnp.ones((96, 168))
    return Decision(
        kernels,
        repeat(anew(jitted.placed_entry(other)[0].variants, places), effort),
        repeat(lambda: decide.decide(entry.variants, leaves, [target]), effort),
        repeat(repeated(), effort),
    )


def anew(variants: Variants, places: list[Any]) -> Callable[[], Any]:
    """Return a decision that starts from the features of a new size."""
    known: list[tuple[str, Model, Any, tuple[Any, ...], int]] = []
    for place in places:
        found = decide.price_of(variants, place)
        seen = (found.key, MARKET.label(place), found.bucket)
        model = MARKET.model(place)
        known.append((decide.name_of(place), model, found.works, seen, found.needs))
    factor = MARKET.corrections.factor

    def decision() -> Any:
        options = [
            Option(name, model.seconds(works) * factor(*seen), 0.0, needs)
            for name, model, works, seen, needs in known
        ]
        return choose(options, "cpu")

    return decision


def repeated() -> Callable[[], Any]:
    """Return the look-up of a jitted call: a tuple of interned types, and a hit."""
    args = (rnp.ones(8), rnp.ones(8))
    entries = {tuple([a.type for a in args]): ("handle", (), "build")}

    def hit() -> Any:
        return entries[tuple([a.type for a in args])]

    return hit


def repeat(call: Callable[[], Any], effort: Effort) -> Timing:
    """Return the time of one call, from batches; the clock's own is taken off."""
    timer, empty = timeit.Timer(call), timeit.Timer(lambda: None)
    count, _ = timer.autorange()
    count = max(1, int(count * BATCH_SECONDS / 0.2))
    gc.collect()
    found = []
    for _ in range(max(effort.rounds, 5)):
        bare = empty.timeit(count) / count
        found.append(timer.timeit(count) / count - bare)
    return summarize(found)
