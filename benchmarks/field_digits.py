"""Accuracies on scikit-learn's digits, and bytes, by the protocol of the demo.

X / 16, stratified 80/20, seeds 0 to 4, a network of 64-256-128-10, Adam at 1e-3,
batches of 64, 60 epochs. The choices that the protocol leaves open (how many
connections move at first, and which; how often weights are removed) were made on the
splits of seeds 5 to 18.
"""

from collections.abc import Callable, Sequence
from statistics import mean, stdev
from typing import Any

from attrs import frozen

from rxcore.control.jit import jit
from rxcore.demo import compact, spiking, training
from rxcore.demo.data import Data, digits
from rxcore.demo.measure import bytes_of
from rxcore.demo.network import accuracy, apply

SEEDS = range(5)
CALIBRATION = 512


@frozen
class Goal:
    """What must be reached, and what one would like to reach.

    Args:
        title: what is told.
        must: at least this.
        aim: what one would like; None: the same.
        unit: `%` for accuracies, `x` for bytes.
    """

    title: str
    must: float
    aim: float | None = None
    unit: str = "%"


GOALS = {
    "dense": Goal("digits, dense", 0.978),
    "int8": Goal("digits, int8, calibrated", 0.977),
    "int4": Goal("digits, int4 weights per channel", 0.972, 0.982),
    "cubic 90": Goal("digits, 90 % pruned, cubic, global", 0.975, 0.98),
    "rigl 90": Goal("digits, 90 % sparse, RigL", 0.966, 0.975),
    "set 90": Goal("digits, 90 % sparse, SET", 0.968, 0.975),
    "cubic 95": Goal("digits, 95 % pruned, cubic, global", 0.968, 0.98),
    "rigl 95": Goal("digits, 95 % sparse, RigL", 0.957, 0.975),
    "set 95": Goal("digits, 95 % sparse, SET", 0.963, 0.975),
    "spiking": Goal("digits, spiking, T=25", 0.967, 0.978),
    "bytes int8": Goal("bytes, int8 model", 3.6, unit="x"),
    "bytes sparse": Goal("bytes, 95 % sparse + int8 model", 12.0, unit="x"),
}


@frozen
class Reached:
    """What a goal's values were, a value for each seed."""

    goal: Goal
    values: tuple[float, ...]

    @property
    def verdict(self) -> str:
        """What comes of it."""
        reached = mean(self.values)
        if reached < self.goal.must:
            return "MISSED"
        aim = self.goal.must if self.goal.aim is None else self.goal.aim
        return "aim" if reached >= aim else "must"

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the table."""
        goal, spread = self.goal, ""
        if goal.unit == "%" and len(self.values) > 1:
            spread = f" +- {100 * stdev(self.values):.2f}"
        shown = [_shown(x, goal.unit) for x in (mean(self.values), goal.must)]
        aim = "-" if goal.aim is None else _shown(goal.aim, goal.unit)
        return goal.title, shown[0] + spread, shown[1], aim, self.verdict


def _shown(value: float, unit: str) -> str:
    return f"{100 * value:.2f} %" if unit == "%" else f"{value:.1f}x"


def reach(seeds: Sequence[int] = SEEDS, epochs: int = 60) -> list[Reached]:
    """Train and judge every method, for each seed."""
    values: dict[str, list[float]] = {name: [] for name in GOALS}
    for seed in seeds:
        for name, value in _of_seed(digits(seed), epochs, seed).items():
            values[name].append(value)
    return [Reached(goal, tuple(values[name])) for name, goal in GOALS.items()]


def _of_seed(data: Data, epochs: int, seed: int) -> dict[str, float]:
    def judged(predict: Callable[[Any, Any], Any], params: Any) -> float:
        return accuracy(jit(predict)(params, data.test_x), data.test_y)

    dense = training.train_dense(data, epochs, seed)
    images = data.train_x[:CALIBRATION]
    eight = compact.pack_integers(dense, images)
    four = compact.pack_integers(dense, images, bits=4)
    found = {
        "dense": judged(apply, dense),
        "int8": judged(compact.predict_integers, eight),
        "int4": judged(compact.predict_integers, four),
        "bytes int8": bytes_of(dense) / bytes_of(eight),
    }
    for sparsity in (0.9, 0.95):
        pruned, _ = training.train_pruned(data, sparsity, epochs, seed)
        found[f"cubic {sparsity * 100:.0f}"] = judged(apply, pruned)
        for name, grow in (("rigl", "gradient"), ("set", "random")):
            moved, _ = training.train_sparse(data, sparsity, epochs, seed, grow=grow)
            found[f"{name} {sparsity * 100:.0f}"] = judged(apply, moved)
    small = compact.pack_small_rows(pruned)
    found["bytes sparse"] = bytes_of(dense) / bytes_of(small)
    spikes = spiking.train_spiking(data, epochs, seed)
    found["spiking"] = judged(spiking.predict_spiking, spikes)
    return found
