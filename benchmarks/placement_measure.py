"""Predictions beside what is measured: calibrate, then price and run each program.

The CPU and an OpenCL device of type CPU share the processor: both are measured with the
kernels that they would be given where calls may be placed on either.
"""

import gc
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
from attrs import frozen

import rxcore as rx
from benchmarks.measure import PAUSE_SECONDS
from benchmarks.placement_programs import Fused, arguments
from rxcore.control.calibration import PROGRAMS, CalibrationProgram
from rxcore.runtime import decide
from rxcore.runtime.cost import choose, save
from rxcore.runtime.cost.calibrate import CpuRunner, DeviceRunner, measure
from rxcore.runtime.cost.fit import errors_of, fit
from rxcore.runtime.devices import Target
from rxcore.runtime.pricing import MARKET, path_of, shipped_for
from rxcore.runtime.variants import Variants, run_on, variants_of

# What a fit takes comes on top; both together are to take at most 10 s.
CALIBRATION_SECONDS = 7.5
# Runs that corrections are learnt from, and those before, which are not believed.
OBSERVED, UNBELIEVED = 3, 2
# Runs after them that the corrected prediction is held against.
FOLLOWING = 9
BLOCK_SECONDS, LEAST_RUNS, MOST_RUNS = 0.02, 3, 200

Place = Target | None


@frozen
class Calibration:
    """How a device was calibrated.

    Args:
        device: its name.
        compiling: seconds to build the programs, before the clock starts.
        measuring: seconds of running them.
        fitting: seconds of the fit.
        measured: programs at a size that were measured.
        programs: those that there are.
        error: the median error of the fit to its own measurements.
    """

    device: str
    compiling: float
    measuring: float
    fitting: float
    measured: int
    programs: int
    error: float


def calibrate(
    target: Place,
    seconds: float = CALIBRATION_SECONDS,
    subjects: Sequence[CalibrationProgram] = PROGRAMS,
) -> Calibration:
    """Calibrate a device afresh, and keep the profile where placement finds it."""
    clock = time.perf_counter
    runner = CpuRunner(0.0) if target is None else DeviceRunner(target, 0.0)
    usual = type(runner)(*([] if target is None else [target])).seconds
    begin = clock()
    for subject in subjects:
        for size in subject.sizes:
            runner.time(subject, size)
    runner.seconds = usual
    ready = clock()
    found = measure(runner, subjects, seconds)
    done = clock()
    profile = fit(found, shipped_for(target))
    fitted = clock()
    path = path_of(target)
    if path is None:
        raise RuntimeError("a calibration needs a cache on disk")
    save(profile, path)
    MARKET.forget()
    off = np.abs(np.log(errors_of(found, profile)))
    return Calibration(
        decide.name_of(target),
        ready - begin,
        done - ready,
        fitted - done,
        len(found),
        sum(len(s.sizes) for s in subjects),
        float(np.median(off)),
    )


@frozen
class Sample:
    """One program on one device; times in seconds.

    Args:
        predicted: before it ever ran.
        learnt: after so many runs as are believed.
        following: what the runs right after those took.
        times: of later runs, a median for each round.
        launches: kernels of a call.
        shapes: the loop shapes of its kernels.
        terms: the prediction's parts.
    """

    predicted: float
    learnt: float
    following: tuple[float, ...]
    times: tuple[float, ...]
    launches: int
    shapes: tuple[str, ...]
    terms: dict[str, float]

    @property
    def seconds(self) -> float:
        """What a run takes."""
        return median(self.times)

    @property
    def error(self) -> float:
        """The prediction's error, as a share: 0.25 is a quarter too long or short."""
        return _apart(self.predicted, self.seconds)

    @property
    def learnt_error(self) -> float:
        """The corrected prediction's error, for the runs that follow."""
        return _apart(self.learnt, median(self.following))


def _apart(one: float, other: float) -> float:
    return max(one, other) / min(one, other) - 1.0


@frozen
class Priced:
    """A program, priced and measured on several devices.

    Args:
        name: the program's.
        kind: what kind of loops it has.
        nbytes: bytes of its arguments and results.
        samples: by device; without those that cannot run it.
        refused: by device, why.
        choice: the device that is chosen before any run.
        later: the one that is chosen once runs were learnt from.
    """

    name: str
    kind: str
    nbytes: int
    samples: dict[str, Sample]
    refused: dict[str, str]
    choice: str
    later: str

    @property
    def best(self) -> str:
        """The fastest device."""
        return min(self.samples, key=lambda name: self.samples[name].seconds)

    def regret(self, choice: str) -> float:
        """Return the time of a choice over the best time."""
        return self.samples[choice].seconds / self.samples[self.best].seconds


def price(fused: Fused, targets: Sequence[Place], rounds: int) -> Priced:
    """Price a program on each target, run it there, learn, and price it again."""
    variants = variants_of(fused.graph)
    args = [rx.asarray(x) for x in arguments(fused.graph)]
    for target in targets:
        if target is not None:
            # Arguments lie on both sides, so that kernels alone are compared.
            for a in args:
                a.replica(target)
    refused, able = {}, []
    for target in targets:
        found = decide.price_of(variants, target)
        if isinstance(found, str):
            refused[decide.name_of(target)] = found
        else:
            able.append(target)
    before = choose(decide.options_of(variants, args, targets)).device
    calls = {target: caller(variants, target, args) for target in able}
    learnt = {target: learn(variants, target, calls[target]) for target in able}
    after = choose(decide.options_of(variants, args, targets)).device
    times: dict[Place, list[float]] = {target: [] for target in able}
    for turn in range(rounds):
        for target in able[turn % len(able) :] + able[: turn % len(able)]:
            times[target].append(block(calls[target]))
    samples = {
        decide.name_of(t): sampled(variants, t, learnt[t], times[t]) for t in able
    }
    made = Priced(fused.name, fused.kind, fused.nbytes, samples, refused, before, after)
    del args, calls
    gc.collect()
    return made


def sampled(
    variants: Variants,
    target: Place,
    learnt: tuple[float, list[float]],
    times: list[float],
) -> Sample:
    found = decide.price_of(variants, target)
    model = MARKET.model(target)
    told = model.terms(found.works)
    parts = ("launch", "memory", "arithmetic", "serial")
    return Sample(
        found.seconds,
        learnt[0],
        tuple(learnt[1]),
        tuple(times),
        sum(n for _, n in found.works),
        tuple(f.form.shape for f, _ in found.works),
        {name: getattr(told, name) for name in parts},
    )


def caller(variants: Variants, target: Place, args: Sequence[Any]) -> Callable[[], Any]:
    """Return a call that is waited for."""
    if target is None:
        return lambda: variants.run_cpu(args)

    def call() -> Any:
        made, where = run_on(variants, target, args)
        if where is not target:
            raise RuntimeError(f"{target.name} handed a call to the CPU")
        target.finish()
        return made

    return call


def learn(
    variants: Variants, target: Place, call: Callable[[], Any]
) -> tuple[float, list[float]]:
    """Let the market observe runs; return the corrected prediction, and later times.

    The later runs are noted too, as those of users are: a call of two microseconds
    takes twice as long behind other Python code as in a loop of its own.
    """
    found = decide.price_of(variants, target)
    for _ in range(UNBELIEVED + OBSERVED):
        MARKET.observe(found, target, timed(call))
    if MARKET.count(found, target) != OBSERVED:
        raise RuntimeError("an observation is missing")
    learnt, following = MARKET.corrected(found, target), []
    for _ in range(FOLLOWING):
        following.append(timed(call))
        MARKET.observe(found, target, following[-1])
    return learnt, following


def timed(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def block(call: Callable[[], Any]) -> float:
    """Return the median of runs that follow each other."""
    time.sleep(PAUSE_SECONDS)
    call()
    spent: list[float] = []
    until = time.perf_counter() + BLOCK_SECONDS
    while len(spent) < LEAST_RUNS or (
        time.perf_counter() < until and len(spent) < MOST_RUNS
    ):
        spent.append(timed(call))
    return median(spent)
