"""Calibrate: run programs on a device, and fit its profile to their times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from rxcore.base import dtypes
from rxcore.ir.graph import Graph
from rxcore.ir.types import Type
from rxcore.runtime.array import Array, asarray
from rxcore.runtime.cost.fit import Measurement, fit, fit_scale
from rxcore.runtime.cost.rates import Profile
from rxcore.runtime.device_program import bind, draft
from rxcore.runtime.program import compile_graph
from rxcore.runtime.workload import workload

__all__ = [
    "CpuRunner",
    "DeviceRunner",
    "Runner",
    "Subject",
    "calibrate",
    "calibrate_quickly",
    "measure",
]

# What a full and a quick calibration may take, in seconds.
FULL, QUICK = 10.0, 0.3
# A measurement ends after so many seconds and at least so many runs; a run that is
# shorter than the clock can tell is repeated.
_EACH, _RUNS, _MOST_RUNS, _SHORT = 12e-3, 3, 60, 100e-6


class Subject(Protocol):
    """A program to measure: `rxcore/control/calibration.py` has the list."""

    @property
    def name(self) -> str:
        """What to call it."""
        ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes to run it at."""
        ...

    def graph(self, size: int) -> Graph:
        """Return its Graph at a size."""
        ...


class Runner(Protocol):
    """Whoever runs programs on a device and says how long they take."""

    def time(self, subject: Subject, size: int) -> Measurement | None:
        """Run a program at a size; None where the device cannot."""
        ...


class CpuRunner:
    """Runs programs on this machine's CPU.

    Args:
        seconds: how long to repeat one measurement.
    """

    def __init__(self, seconds: float = _EACH) -> None:
        self.seconds = seconds
        self._arguments = _Arguments()

    def time(self, subject: Subject, size: int) -> Measurement | None:
        """Compile and run a program at a size."""
        program = compile_graph(subject.graph(size))
        buffers = [
            self._arguments.of(v.type).ensure_buffer() for v in program.graph.inputs
        ]
        run = program.native.run
        best = shortest(lambda: run(*buffers), self.seconds)
        return Measurement(subject.name, size, workload(program.works), best)


class DeviceRunner:
    """Runs programs on an OpenCL device.

    Args:
        target: a Target of `rxcore/runtime/devices.py`.
        seconds: how long to repeat one measurement.
    """

    def __init__(self, target: Any, seconds: float = _EACH) -> None:
        self.target = target
        self.seconds = seconds
        self._arguments = _Arguments()

    def time(self, subject: Subject, size: int) -> Measurement | None:
        """Build and run a program at a size, waiting for its results."""
        made = draft(subject.graph(size), self.target.facts)
        if made.fallbacks:
            return None
        program = bind(made, self.target.device)
        arguments = [self._arguments.of(v.type) for v in made.graph.inputs]
        with self.target.device.lock:
            buffers = [a.replica(self.target) for a in arguments]

        def run() -> None:
            with self.target.device.lock:
                program.run(buffers)
                self.target.finish()

        best = shortest(run, self.seconds)
        return Measurement(subject.name, size, workload(made.works), best)


class _Arguments:
    """Arguments of programs, made once for each Type: numbers near 1."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._made: dict[Type, Array] = {}

    def of(self, type: Type) -> Array:
        """Return an Array of a Type."""
        found = self._made.get(type)
        if found is None:
            found = self._made[type] = asarray(self._draw(type))
        return found

    def _draw(self, type: Type) -> Any:
        # A block repeated: random numbers cost more than most programs.
        count = min(type.size, 1 << 16)
        block: Any = self._rng.integers(1, 100, count)
        if dtypes.is_float(type.dtype):
            block = self._rng.uniform(0.5, 1.5, count)
        return np.resize(block.astype(type.dtype), type.shape)


def shortest(run: Callable[[], object], seconds: float) -> float:
    """Return the shortest time of a function that is run for so many seconds."""
    run()
    clock = time.perf_counter
    begin = clock()
    run()
    repeats = max(1, int(_SHORT / max(clock() - begin, 1e-7)))
    best = float("inf")
    end = clock() + seconds
    for count in range(_MOST_RUNS):
        begin = clock()
        for _ in range(repeats):
            run()
        now = clock()
        best = min(best, (now - begin) / repeats)
        if count + 1 >= _RUNS and now > end:
            break
    return best


def measure(
    runner: Runner, subjects: Sequence[Subject], seconds: float = FULL
) -> list[Measurement]:
    """Run programs at their sizes for so many seconds.

    The middle sizes of all programs come first, so that what time is left out for is
    the same for each.
    """
    end = time.perf_counter() + seconds
    found: list[Measurement] = []
    for subject, size in _ordered(subjects):
        if time.perf_counter() > end:
            break
        made = runner.time(subject, size)
        if made is not None and made.works:
            found.append(made)
    return found


def _ordered(subjects: Sequence[Subject]) -> Iterable[tuple[Subject, int]]:
    most = max((len(s.sizes) for s in subjects), default=0)
    middle = most // 2
    for rank in sorted(range(most), key=lambda k: (abs(k - middle), k)):
        for s in subjects:
            if rank < len(s.sizes):
                yield s, s.sizes[rank]


def calibrate(
    runner: Runner,
    subjects: Sequence[Subject],
    profile: Profile,
    seconds: float = FULL,
) -> Profile:
    """Return a device's profile, measured.

    Args:
        runner: runs programs there.
        subjects: the programs.
        profile: the shipped profile, which what is not measured keeps.
        seconds: how long to measure.
    """
    return fit(measure(runner, subjects, seconds), profile)


def calibrate_quickly(
    runner: Runner,
    subjects: Sequence[Subject],
    profile: Profile,
    seconds: float = QUICK,
) -> Profile:
    """Return a profile scaled by how fast a few programs are.

    Args:
        runner: runs programs there.
        subjects: a few programs.
        profile: the shipped profile.
        seconds: how long to measure.
    """
    return fit_scale(measure(runner, subjects, seconds), profile)
