"""Calibrate: run programs on a device, and fit its profile to their times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any, Protocol

import numpy as np

from rxcore.base import dtypes
from rxcore.ir.graph import Graph
from rxcore.ir.types import Type
from rxcore.runtime.array import Array, asarray
from rxcore.runtime.cost.fit import Measurement, fit, fit_scale
from rxcore.runtime.cost.rates import Profile
from rxcore.runtime.device_program import bind, draft
from rxcore.runtime.devices import Target, Unsupported
from rxcore.runtime.program import compile_graph
from rxcore.runtime.workload import Workload, workload

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
# With the fit behind it a full one takes no more than ten.
FULL, QUICK = 7.5, 0.3
# A measurement ends after so many seconds and at least so many runs; a run that is
# shorter than the clock can tell is repeated.
_EACH, _RUNS, _MOST_RUNS, _SHORT = 6e-3, 3, 60, 100e-6
_PASSES = 4


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


# A program ready to run, and what it does; None: it cannot run there.
Ready = tuple[Callable[[], object], Workload] | None


class _Prepared:
    """What runners share: each program is made ready once, and timed again and again.

    Args:
        seconds: how long to repeat one measurement.
    """

    def __init__(self, seconds: float = _EACH) -> None:
        self.seconds = seconds
        self.arguments = _Arguments()
        self._ready: dict[tuple[str, int], Ready] = {}

    def prepare(self, graph: Graph) -> Ready:
        """Compile a Graph."""
        raise NotImplementedError

    def time(self, subject: Subject, size: int) -> Measurement | None:
        """Run a program at a size; None where the device cannot."""
        key = (subject.name, size)
        if key not in self._ready:
            self._ready[key] = self.prepare(subject.graph(size))
        ready = self._ready[key]
        if ready is None:
            return None
        run, works = ready
        return Measurement(subject.name, size, works, typical(run, self.seconds))


class CpuRunner(_Prepared):
    """Runs programs on this machine's CPU."""

    def prepare(self, graph: Graph) -> Ready:
        """Compile a Graph."""
        program = compile_graph(graph)
        args = [self.arguments.of(v.type) for v in graph.inputs]
        # As calls run it, and as their times are learnt from: with what Python takes.
        return (lambda: program.run(args)), workload(program.works)


class DeviceRunner(_Prepared):
    """Runs programs on an OpenCL device, and waits for their results.

    Args:
        target: a Target of `rxcore/runtime/devices.py`.
        seconds: how long to repeat one measurement.
    """

    def __init__(self, target: Target, seconds: float = _EACH) -> None:
        super().__init__(seconds)
        self.target = target

    def prepare(self, graph: Graph) -> Ready:
        """Compile a Graph for the device."""
        try:
            made = draft(graph, self.target.facts)
        except Unsupported:
            return None
        if made.fallbacks:
            return None
        lock = self.target.device.lock
        with lock:
            program = bind(made, self.target.device)
            buffers = [
                self.arguments.of(v.type).replica(self.target) for v in graph.inputs
            ]

        def run() -> None:
            with lock:
                program.run(buffers)
                self.target.finish()

        return run, workload(made.works)


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


def typical(run: Callable[[], object], seconds: float) -> float:
    """Return the median time of a function that is run for so many seconds.

    Where threads must be woken, as on PoCL, the shortest time is one that calls hardly
    ever take.
    """
    run()
    clock = time.perf_counter
    begin = clock()
    run()
    repeats = max(1, int(_SHORT / max(clock() - begin, 1e-7)))
    spent: list[float] = []
    end = clock() + seconds
    while len(spent) < _MOST_RUNS:
        begin = clock()
        for _ in range(repeats):
            run()
        now = clock()
        spent.append((now - begin) / repeats)
        if len(spent) >= _RUNS and now > end:
            break
    return median(spent)


def measure(
    runner: Runner, subjects: Sequence[Subject], seconds: float = FULL
) -> list[Measurement]:
    """Run programs at their sizes for so many seconds.

    The middle sizes of all programs come first, so that what there is no time for is
    the same for each. While there is time all are run again, and the shorter time
    counts: what disturbs one pass is gone in the next.
    """
    end = time.perf_counter() + seconds
    found: dict[tuple[str, int], Measurement] = {}
    for _ in range(_PASSES):
        for subject, size in _ordered(subjects):
            if time.perf_counter() > end:
                return list(found.values())
            made = runner.time(subject, size)
            if made is None or not made.works:
                continue
            before = found.get((subject.name, size))
            if before is None or made.seconds < before.seconds:
                found[subject.name, size] = made
    return list(found.values())


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
