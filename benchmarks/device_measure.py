"""How a row of the device suite is measured: agreement, counts, then rounds.

The inputs lie on the device. A call is waited for by one `finish` of the queue, which
is in order. What the device itself says it did is recorded apart from the timed rounds.
"""

import gc
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import rxcore as rx
from benchmarks.device_record import (
    CPU,
    KERNELS,
    NUMPY,
    DeviceOutcome,
    DeviceRow,
    Probe,
    RowError,
)
from benchmarks.measure import (
    Effort,
    disagreement,
    leaves,
    reason,
    summarize,
    time_block,
)
from benchmarks.peers import OURS
from benchmarks.record import Call, Timing
from rxcore_kernels.opencl import record

RECORDED = 5


def wait(results: Any) -> Any:
    """Return results once they are there."""
    leaves(results)[-1].block_until_ready()
    return results


def unwaited(results: Any) -> Any:
    return results


def on_host(tree: Any) -> Any:
    """Return nested lists of ndarrays as rxcore's arrays on the CPU."""
    if isinstance(tree, list | tuple):
        return type(tree)(on_host(item) for item in tree)
    return rx.asarray(tree)


def run_device_row(row: DeviceRow, target: Any, effort: Effort) -> DeviceOutcome:
    """Compare, count and time one program; what fails is told, never hidden."""
    try:
        with warnings.catch_warnings():
            # A call that a device hands to the CPU says so in a warning.
            warnings.simplefilter("error", RuntimeWarning)
            return measured(row, target, effort)
    except Exception as error:  # a failing row must not stop the run
        return DeviceOutcome(row, {}, failures={OURS: reason(error)})
    finally:
        gc.collect()


def measured(row: DeviceRow, target: Any, effort: Effort) -> DeviceOutcome:
    given = row.inputs()
    host = on_host(given)
    ours = rx.jit(row.program, device=target.name)
    theirs = rx.jit(row.program)
    there = wait(rx.device_put(host, target.name))
    draft = rx.inspect(ours)(*there).on(target.name)
    expected = row.compared(row.reference(*given))
    compare(row, "NumPy", result_on(target, ours(*there)), expected)
    compare(row, "NumPy, on the CPU", theirs(*host), expected)
    del expected
    peer = row.peer or row.reference
    calls: dict[str, Call] = {
        OURS: lambda: ours(*there),
        CPU: lambda: theirs(*host),
        NUMPY: lambda: peer(*given),
    }
    waits = {OURS: wait, CPU: unwaited, NUMPY: unwaited}
    times = take_turns(calls, waits, effort.rounds)
    launches, times[KERNELS] = recorded(target.device, calls[OURS])
    fallbacks = tuple(draft.fallbacks)
    failures = {OURS: f"{len(fallbacks)} ops by reference"} if fallbacks else {}
    notes = tuple(f"{op} by its reference: {why}" for op, why in fallbacks)
    if launches != draft.launches:
        notes += (f"the draft has {draft.launches} launches (loop bodies once)",)
    return DeviceOutcome(row, times, launches, fallbacks, failures, notes)


def result_on(target: Any, results: Any) -> Any:
    """Return results; raises where one is not on the device."""
    for leaf in leaves(wait(results)):
        if leaf.device != target.name:
            raise RowError(f"a result is on {leaf.device}, not on {target.name}")
    return results


def compare(row: DeviceRow, whom: str, results: Any, expected: Any) -> None:
    fault = disagreement(row.compared(results), expected, row.tolerance)
    if fault:
        raise RowError(f"differs from {whom}: {fault}")


def take_turns(
    calls: Mapping[str, Call],
    waits: Mapping[str, Callable[[Any], Any]],
    rounds: int,
) -> dict[str, Timing]:
    """Return the times of calls that take turns in each round."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for turn in range(rounds):
        first = turn % len(order)
        for name in order[first:] + order[:first]:
            samples[name].append(time_block(calls[name], waits[name], True))
    return {name: summarize(values) for name, values in samples.items()}


def recorded(device: Any, call: Call) -> tuple[int, Timing]:
    """Return how many kernels a call launches, and how long the device runs them."""
    spent, counts = [], set()
    for _ in range(RECORDED):
        with record(device) as recording:
            call()
        launched = [s for s in recording.stamps if s.work == "launch"]
        moved = [s for s in recording.stamps if s.work in ("upload", "download")]
        if moved:
            raise RowError(f"a call on resident data makes {len(moved)} transfers")
        counts.add(len(launched))
        spent.append(sum(s.end - s.start for s in launched) / 1e9)
    if len(counts) > 1:
        raise RowError(f"calls launch different numbers of kernels: {sorted(counts)}")
    return counts.pop(), summarize(spent)


def run_probe(probe: Probe, target: Any, effort: Effort) -> DeviceOutcome:
    """Measure a probe; what fails is told, never hidden."""
    try:
        made = probe.measure(target, effort)
    except Exception as error:  # a failing row must not stop the run
        return DeviceOutcome(probe, {}, failures={OURS: reason(error)})
    finally:
        gc.collect()
    return DeviceOutcome(probe, made.times, made.launches, notes=made.notes)


def alternate(calls: Mapping[str, Call], seconds: float) -> dict[str, float]:
    """Return the medians of short calls that follow each other for so long."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            spent[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in spent.items()}


def bandwidth(row: DeviceRow, target: Any, rounds: int) -> float:
    """Return the bytes per second of a row's program on the device, median."""
    call = rx.jit(row.program, device=target.name)
    there = wait(rx.device_put(on_host(row.inputs()), target.name))
    spent = [time_block(lambda: call(*there), wait, True) for _ in range(rounds)]
    return row.bytes / float(np.median(spent))
