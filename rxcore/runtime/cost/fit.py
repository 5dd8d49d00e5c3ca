"""Fit: the rates of a profile from measured times.

Least squares on the logarithm of times, with a soft L1 loss (a time that something else
disturbed pulls little), and a ridge towards the profile that one starts from: what the
measurements do not exercise stays as it was. Each rate is the first profile's, times a
factor of its count in all shapes, times one of its own, which is pulled to 1 harder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import define, evolve, frozen

from rxcore.compiler.form import Features
from rxcore.runtime.cost.predict import MEMORY, units
from rxcore.runtime.cost.rates import Limits, Profile, Rate

__all__ = ["Measurement", "errors_of", "fit", "fit_scale"]

Vector = np.ndarray[Any, np.dtype[Any]]

# Times differ from predictions by about this much (a standard deviation of logarithms).
_NOISE = 0.15
# How far factors may lie from 1: those of a count in all shapes, those of one rate,
# and those of launches and calls.
_WIDE, _NARROW, _CALLS = 1.3, 0.65, 0.5
# Rounds of a fit, and of one that begins where another one ended.
_ROUNDS, _MORE = 30, 6
_SECOND_CACHES = tuple(n << 20 for n in (6, 12, 24, 48, 96))
# Threads that still spin from the call before join at once, others after a while.
_WAKES = (3e-6, 20e-6, 60e-6)
# A spread is not believed to be smaller.
_LEAST_SPREAD = 0.03


@frozen(eq=False)
class Measurement:
    """How long a program took on a device.

    Args:
        name: the program's.
        size: its size.
        works: the features of its kernels, and how often each one runs.
        seconds: the median of several runs.
    """

    name: str
    size: int
    works: tuple[tuple[Features, int], ...]
    seconds: float


@define(eq=False)
class _Problem:
    """The measurements as matrices: what each kernel does, in units of each rate."""

    rates: list[tuple[str, str]]
    amounts: Vector  # (3 parts, kernels, rates)
    times: Vector
    items: Vector
    owner: Vector
    target: Vector
    limits: Limits

    def seconds(
        self, log_rates: Vector, launch: float, sync: float
    ) -> tuple[Vector, Vector, Vector]:
        """Return predictions, and their slopes by the rates and by launches."""
        rates = np.exp(log_rates)
        parts = self.amounts @ rates  # (3, kernels)
        limits = self.limits
        idle = np.maximum(1.0, limits.saturation / self.items)
        scale = np.stack([idle, idle, np.ones_like(idle)])
        alone, slopes = _normed(parts * scale)
        run, slopes = alone, slopes * scale
        threads = np.minimum(self.items, limits.threads)
        streams = np.maximum(np.minimum(threads, limits.memory_threads), 1.0)
        joined = scale / np.stack([streams, threads, threads])
        together, faster = _normed(parts * joined)
        many = (threads > 1) & (alone > limits.wake)
        rest = 1.0 - limits.wake / np.maximum(alone, limits.wake)
        run = np.where(many, limits.wake + together * rest, run)
        slopes = np.where(many, faster * joined * rest, slopes)
        by_rate = np.einsum("pk,pkr->kr", slopes, self.amounts) * rates
        count = len(self.target)
        total = np.full(count, sync)
        np.add.at(total, self.owner, (run + launch) * self.times)
        by_rates = np.zeros((count, len(rates)))
        np.add.at(by_rates, self.owner, by_rate * self.times[:, None])
        launches = np.bincount(self.owner, self.times, count) * launch
        return total, by_rates, launches


def _normed(parts: Vector) -> tuple[Vector, Vector]:
    whole = np.maximum((parts**4).sum(0) ** 0.25, 1e-30)
    return whole, (parts / whole) ** 3


def _problem(
    measurements: Sequence[Measurement], profile: Profile, limits: Limits
) -> _Problem:
    numbers: dict[tuple[str, str], int] = {}
    cells: list[tuple[int, int, int, float]] = []
    times: list[float] = []
    items: list[float] = []
    owner: list[int] = []
    for k, m in enumerate(measurements):
        for f, repeats in m.works:
            kernel = f.form.target == "kernel"
            shape = profile.kernel_shape(f.form.shape) if kernel else f.form.shape
            for part, amounts in enumerate(units(f, limits)):
                for count, amount in amounts.items():
                    column = numbers.setdefault((shape, count), len(numbers))
                    cells.append((part, len(owner), column, amount))
            times.append(float(repeats))
            items.append(float(f.items))
            owner.append(k)
    matrix = np.zeros((3, len(owner), len(numbers)))
    for part, row, column, amount in cells:
        matrix[part, row, column] += amount
    target = np.log([m.seconds for m in measurements])
    return _Problem(
        list(numbers),
        matrix,
        np.asarray(times),
        np.asarray(items),
        np.asarray(owner, np.intp),
        target,
        limits,
    )


@define(eq=False)
class _Solution:
    log_rates: Vector
    launch: float
    sync: float
    residuals: Vector
    loss: float
    covariance: Vector
    factors: Vector


def _solve(
    p: _Problem,
    profile: Profile,
    mixing: Vector,
    widths: Vector,
    begin: Vector | None = None,
) -> _Solution:
    """Minimise by damped Gauss-Newton steps over the factors' logarithms.

    Args:
        p: the measurements.
        profile: where to start from, and what to stay near to.
        mixing: (rates, factors): which factors a rate has.
        widths: how far from 1 each factor may lie; the last two are launch and sync.
        begin: the factors' logarithms to begin with, of a fit to much the same.
    """
    start = np.log([profile.rate(*r).seconds for r in p.rates])
    calls = np.log([profile.launch.seconds, max(profile.sync.seconds, 1e-9)])
    ridge = (_NOISE / widths) ** 2
    factors = np.zeros(len(widths)) if begin is None else begin
    best: _Solution | None = None
    damping = 1e-3
    for _ in range(_ROUNDS if begin is None else _MORE):
        log_rates = start + mixing @ factors[:-2]
        launch, sync = np.exp(calls + factors[-2:])
        seconds, by_rates, launches = p.seconds(log_rates, launch, sync)
        off = np.log(seconds) - p.target
        # Soft L1: 2 (sqrt(1 + r^2) - 1), by weights.
        soft = np.sqrt(1.0 + (off / _NOISE) ** 2)
        loss = 2 * _NOISE**2 * (soft - 1).sum() + (ridge * factors**2).sum()
        slopes = np.column_stack(
            [by_rates @ mixing, launches, np.full(len(seconds), sync)]
        )
        slopes /= seconds[:, None]
        curved = slopes.T @ (slopes / soft[:, None]) + np.diag(ridge)
        if best is None or loss < best.loss:
            gain = np.inf if best is None else best.loss - loss
            spread = np.linalg.inv(curved) * _NOISE**2
            best = _Solution(log_rates, launch, sync, off, loss, spread, factors)
            kept, down = factors, slopes.T @ (off / soft) + ridge * factors
            bent, damping = curved, max(damping / 4, 1e-6)
            if gain < 1e-6 * max(loss, 1e-9):
                break
        else:
            damping *= 8
            if damping > 1e6:
                break
        step = np.linalg.solve(bent + damping * np.diag(np.diag(bent)), down)
        factors = kept - step * min(1.0, 1.5 / max(float(np.abs(step).max()), 1e-9))
    assert best is not None
    return best


def fit(measurements: Sequence[Measurement], profile: Profile) -> Profile:
    """Return the profile that fits times best, and stays near a first one.

    Args:
        measurements: of many programs at several sizes.
        profile: where to start from: the shipped one.

    Returns:
        The same profile with other rates, launch, sync, and (on a CPU) other sizes of
        the second cache and gains by threads: those that fit best.
    """
    if not measurements:
        return profile
    limits = profile.limits
    best = _fitted(measurements, profile, limits)
    for changes in _trials(profile):
        other = evolve(best[1], **changes)
        tried = _fitted(measurements, profile, other, best[0].factors)
        best = min(best, tried, key=lambda found: found[0].loss)
    solution, limits, problem = best
    return _profile_of(solution, problem, profile, limits, measurements)


def _trials(profile: Profile) -> list[Mapping[str, Any]]:
    """Return what is tried beside the rates."""
    first, _ = profile.limits.caches
    if profile.kind == "gpu":
        return []
    trials: list[Mapping[str, Any]] = [
        {"caches": (first, size)} for size in _SECOND_CACHES if size > first
    ]
    threads = profile.limits.threads
    if threads > 1:
        trials += [{"wake": seconds} for seconds in _WAKES]
        trials += [{"memory_threads": x} for x in (1.0, 1.4, 2.0) if x <= threads]
        trials += [{"memory_threads": float(x)} for x in (3, 4, 6, 8) if x <= threads]
    return trials


def _fitted(
    measurements: Sequence[Measurement],
    profile: Profile,
    limits: Limits,
    begin: Vector | None = None,
) -> tuple[_Solution, Limits, _Problem]:
    problem = _problem(measurements, profile, limits)
    counts = list(dict.fromkeys(count for _, count in problem.rates))
    own = np.eye(len(problem.rates))
    common = np.asarray([[float(c == d) for d in counts] for _, c in problem.rates])
    widths = [_WIDE] * len(counts) + [_NARROW] * len(own) + [_CALLS] * 2
    mixing = np.hstack([common, own])
    solution = _solve(problem, profile, mixing, np.asarray(widths), begin)
    # The mixing's covariance says how sure each rate is.
    inner = solution.covariance[:-2, :-2]
    solution.covariance = np.einsum("rf,fg,rg->r", mixing, inner, mixing)
    return solution, limits, problem


def _profile_of(
    solution: _Solution,
    problem: _Problem,
    profile: Profile,
    limits: Limits,
    measurements: Sequence[Measurement],
) -> Profile:
    off = _spreads(solution.residuals, measurements)
    rates = {shape: dict(row) for shape, row in profile.rates.items()}
    values = zip(problem.rates, solution.log_rates, solution.covariance, strict=True)
    for (shape, count), log_rate, variance in values:
        own = off.get(shape, 0.3)
        spread = float(np.sqrt(own**2 + variance))
        seconds = float(np.exp(log_rate))
        rates.setdefault(shape, {})[count] = Rate(seconds, spread)
    return evolve(
        profile,
        rates=rates,
        limits=limits,
        launch=Rate(float(solution.launch), off["all"]),
        sync=Rate(float(solution.sync), off["all"]),
    )


def _spreads(
    residuals: Vector, measurements: Sequence[Measurement]
) -> dict[str, float]:
    """Return the typical error by shape: that of a normal law of this median."""
    groups: dict[str, list[float]] = {"all": [abs(float(r)) for r in residuals]}
    for m, r in zip(measurements, residuals, strict=True):
        for shape in {f.form.shape for f, _ in m.works}:
            groups.setdefault(shape, []).append(abs(float(r)))
    return {
        shape: max(float(np.median(found)) * 1.48, _LEAST_SPREAD)
        for shape, found in groups.items()
    }


def fit_scale(measurements: Sequence[Measurement], profile: Profile) -> Profile:
    """Return a profile scaled by three factors: bandwidth, arithmetic, launches.

    For a handful of measurements, which say how fast a device is and not how shapes
    and counts compare.
    """
    if not measurements:
        return profile
    problem = _problem(measurements, profile, profile.limits)
    memory = [float(c in MEMORY) for _, c in problem.rates]
    mixing = np.asarray([memory, [1.0 - x for x in memory]]).T
    solution = _solve(problem, profile, mixing, np.asarray([_WIDE] * 2 + [_CALLS] * 2))
    logs = np.log([profile.rate(*r).seconds for r in problem.rates])
    moved = solution.log_rates - logs
    by = {bool(m): float(np.exp(-x)) for m, x in zip(memory, moved, strict=True)}
    made = profile.scaled(compute=by.get(False, 1.0), bandwidth=by.get(True, 1.0))
    launch = evolve(profile.launch, seconds=float(solution.launch))
    return evolve(
        made, launch=launch, sync=evolve(profile.sync, seconds=float(solution.sync))
    )


def errors_of(measurements: Sequence[Measurement], profile: Profile) -> list[float]:
    """Return for each measurement its predicted time over its own."""
    problem = _problem(measurements, profile, profile.limits)
    logs = np.log([profile.rate(*r).seconds for r in problem.rates])
    seconds, _, _ = problem.seconds(logs, profile.launch.seconds, profile.sync.seconds)
    return [float(x) for x in seconds / np.exp(problem.target)]
