"""How a row is timed: agreement first, then rounds in which the libraries take turns.

Rules, each of which was a wrong number before it was a rule:

- A library's idle worker threads spin for a while and steal a core from the next one.
  So a block begins with a pause and one untimed call.
- Results are waited for and dropped inside the timed region, as a user's loop does:
  giving fresh memory back to the system is part of a library's time.
- The libraries take turns within each round, so that a slow minute hits all of them.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from attrs import frozen

from benchmarks.peers import OURS, OWN, load, present
from benchmarks.record import Call, Outcome, Row, Timing, Tolerance

PAUSE_SECONDS = 0.05
BLOCK_SECONDS = 0.03
SHORT_SECONDS = 1e-3


@frozen
class Effort:
    """How often things are repeated."""

    rounds: int
    processes: int


FULL = Effort(rounds=9, processes=7)
QUICK = Effort(rounds=3, processes=1)


def leaves(tree: Any) -> list[Any]:
    """List the arrays of nested tuples, lists and dicts, in order."""
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in leaves(tree[key])]
    if isinstance(tree, tuple | list):
        return [leaf for item in tree for leaf in leaves(item)]
    return [tree]


def to_numpy(leaf: Any) -> np.ndarray:
    return leaf.detach().numpy() if hasattr(leaf, "detach") else np.asarray(leaf)


def wait_for(library: str) -> Callable[[Any], Any]:
    """Return the function that waits until a library's results are there."""
    if library in (OURS, "jax"):
        return load(library).block_until_ready
    if library in OWN:
        return load(OURS).block_until_ready
    return lambda results: results


def disagreement(ours: Any, theirs: Any, tolerance: Tolerance) -> str | None:
    """Say in which way two results differ, or None."""
    pair = leaves(ours), leaves(theirs)
    if len(pair[0]) != len(pair[1]):
        return f"{len(pair[0])} results against {len(pair[1])}"
    for position, (x, y) in enumerate(zip(*map(to_all_numpy, pair), strict=True)):
        if x.shape != y.shape:
            return f"result {position}: shape {x.shape} against {y.shape}"
        with np.errstate(invalid="ignore"):  # an infinity minus itself
            distance = np.abs(x - y)
        near = distance <= tolerance.atol + tolerance.rtol * np.abs(y)
        wrong = ~(near & np.isfinite(y)) & (x != y)
        if wrong.sum() > tolerance.share * x.size:
            worst = np.unravel_index(np.argmax(np.where(wrong, distance, -1)), x.shape)
            return (
                f"result {position}: {wrong.sum()} of {x.size} elements differ, "
                f"worst {x[worst]} against {y[worst]}"
            )
    return None


def to_all_numpy(items: Iterable[Any]) -> list[np.ndarray]:
    """Widen to float64, in which every float32 and int32 is exact."""
    return [to_numpy(item).astype(np.float64) for item in items]


def reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


def run_row(row: Row, effort: Effort) -> Outcome:
    """Prepare, compare and time one row; what fails is told, never hidden."""
    calls: dict[str, Call] = {}
    failures: dict[str, str] = {}
    results: dict[str, Any] = {}
    for library in present():
        if library not in row.programs:
            continue
        try:
            call = row.programs[library]()
            results[library] = row.compared(wait_for(library)(call()))
            calls[library] = call
        except Exception as error:  # a failing library must not stop the run
            failures[library] = reason(error)
    if OURS not in row.programs:
        failures[OURS] = "no program"
    notes = compare(row, results, failures)
    calls = {name: call for name, call in calls.items() if name not in failures}
    results.clear()
    samples = time_rounds(row, calls, effort.rounds)
    calls.clear()
    gc.collect()
    times = {name: summarize(values) for name, values in samples.items()}
    return Outcome(row, times, failures, notes)


def compare(
    row: Row, results: dict[str, Any], failures: dict[str, str]
) -> tuple[str, ...]:
    """Compare ours with every comparable peer; a mismatch fails ours."""
    comparable = [
        name
        for name in results
        if name != OURS and (row.against is None or name in row.against)
    ]
    if OURS in results:
        for name in comparable:
            fault = disagreement(results[OURS], results[name], row.tolerance)
            if fault:
                failures[OURS] = f"differs from {name}: {fault}"
        return ()
    faults = [
        f"{name} differs from {comparable[0]}: {fault}"
        for name in comparable[1:]
        if (fault := disagreement(results[name], results[comparable[0]], row.tolerance))
    ]
    return tuple(faults)


def time_rounds(
    row: Row, calls: dict[str, Call], rounds: int
) -> dict[str, list[float]]:
    """Return the seconds per call of each library, one median per round and block."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for turn in range(rounds):
        first = turn % max(1, len(order))
        for name in order[first:] + order[:first]:
            samples[name].append(time_block(calls[name], wait_for(name), row.wait_each))
    return samples


def time_block(call: Call, wait: Callable[[Any], Any], wait_each: bool) -> float:
    """Return the median seconds of the calls in one block."""
    time.sleep(PAUSE_SECONDS)
    start = time.perf_counter()
    wait(call())
    estimate = time.perf_counter() - start
    if not wait_each:
        count = max(1, int(BLOCK_SECONDS / max(estimate, 1e-6)))
        start = time.perf_counter()
        for _ in range(count - 1):
            call()
        wait(call())
        return (time.perf_counter() - start) / count
    spent: list[float] = []
    while sum(spent) < BLOCK_SECONDS:
        start = time.perf_counter()
        wait(call())
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def summarize(values: list[float]) -> Timing:
    low, _, high = (
        statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    )
    return Timing(statistics.median(values), low, high, len(values))
