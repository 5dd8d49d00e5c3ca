"""Rows measured in fresh processes: compilation, disk cache, new batch size, import."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks.measure import Effort, summarize
from benchmarks.peers import OURS, PEERS, present
from benchmarks.record import AtMost, Goal, Outcome, Ratio, Timing

ROOT = Path(__file__).resolve().parents[1]
# JAX's own cache on disk is off unless it is asked for; nothing may ask for it here.
# And every library runs from bytecode, as installed ones do.
NOT_INHERITED = (
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_ENABLE_COMPILATION_CACHE",
    "PYTHONDONTWRITEBYTECODE",
)


@frozen
class ProcessRow:
    """A row that one process per sample measures.

    Args:
        name: Unique name, given to `--rows`.
        title: What is measured, for the table.
        key: Which number of the process's report it is.
        second: Whether it is the second process on the same cache.
        must: Goals that have to be met.
        aim: Goals that one would like to meet.
    """

    name: str
    title: str
    key: str
    second: bool
    must: tuple[Goal, ...]
    aim: tuple[Goal, ...]
    bytes: int = 0


ROWS = (
    ProcessRow(
        name="cold_compile",
        title="cold compile of the MLP step",
        key="first_call",
        second=False,
        must=(Ratio(1.0, ("jax",)),),
        aim=(Ratio(2.0, ("jax",)),),
    ),
    ProcessRow(
        name="second_process",
        title="the same, second process, disk cache",
        key="first_call",
        second=True,
        must=(Ratio(4.0, ("own cold",)),),
        aim=(Ratio(20.0, ("own cold",)),),
    ),
    ProcessRow(
        name="new_batch",
        title="the same function, new batch size",
        key="new_batch",
        second=False,
        must=(AtMost(25e-3),),
        aim=(AtMost(8e-3),),
    ),
    ProcessRow(
        name="import",
        title="import",
        key="import",
        second=False,
        must=(AtMost(0.25),),
        aim=(AtMost(0.1),),
    ),
)


class ProcessError(RuntimeError):
    """A measured process ended with an error; the message is its last line."""


def run_process(
    module: str, arguments: Sequence[str], variables: dict[str, str]
) -> dict[str, Any]:
    """Return what a module prints as JSON, run with variables of its environment."""
    environment = {k: v for k, v in os.environ.items() if k not in NOT_INHERITED}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise ProcessError(lines[-1][:200])
    return json.loads(done.stdout.splitlines()[-1])


def reports(library: str, what: str) -> Iterator[dict[str, Any]]:
    """Yield the reports of one sample: the cold process, for ours a second one too."""
    with tempfile.TemporaryDirectory(prefix="rxcore-bench-") as cache:
        own = {"RXCORE_CACHE_DIR": cache}
        start = "benchmarks.cold_start"
        if what == "import":
            yield run_process(start, [library, "import"], own)
            return
        yield run_process(start, [library], own)
        if library == OURS:
            yield run_process(start, [library], own)


def run_process_rows(rows: list[ProcessRow], effort: Effort) -> list[Outcome]:
    """Measure these rows; the libraries take turns, every sample has an empty cache."""
    kinds = {"import" if row.key == "import" else "compile" for row in rows}
    samples: dict[tuple[str, str], list[list[dict[str, Any]]]] = {}
    failures: dict[tuple[str, str], str] = {}
    for kind in sorted(kinds):
        wanted = (OURS, *PEERS) if kind == "import" else (OURS, "jax")
        libraries = [n for n in present() if n in wanted]
        for _ in range(effort.processes):
            for library in libraries:
                if (kind, library) in failures:
                    continue
                try:
                    sample = list(reports(library, kind))
                except ProcessError as error:
                    failures[kind, library] = str(error)
                else:
                    samples.setdefault((kind, library), []).append(sample)
    return [outcome(row, samples, failures) for row in rows]


def outcome(
    row: ProcessRow,
    samples: dict[tuple[str, str], list[list[dict[str, Any]]]],
    failures: dict[tuple[str, str], str],
) -> Outcome:
    kind = "import" if row.key == "import" else "compile"
    times: dict[str, Timing] = {}
    for (measured, library), runs in samples.items():
        if measured != kind or (row.second and library != OURS):
            continue
        times[library] = summarize([run[int(row.second)][row.key] for run in runs])
    if row.second and (kind, OURS) in samples:
        cold = [run[0][row.key] for run in samples[kind, OURS]]
        times["own cold"] = summarize(cold)
    failed = {library: why for (of, library), why in failures.items() if of == kind}
    if row.second:
        failed = {library: why for library, why in failed.items() if library == OURS}
    ours = samples.get((kind, OURS), [])
    notes = notes_of(row, ours) if kind == "compile" else ()
    if row.key == "new_batch" and any(run[0]["new_batch_kernels"] for run in ours):
        failed[OURS] = "compiled a kernel for a new batch size"
    return Outcome(row, times, failed, notes)


def notes_of(row: ProcessRow, ours: list[list[dict[str, Any]]]) -> tuple[str, ...]:
    """Tell what the time holds, Numba's loading apart."""
    if not ours:
        return ()
    report = ours[-1][int(row.second)]
    if row.key == "new_batch":
        return (f"{report['new_batch_kernels']} kernels compiled",)
    loading = summarize([run[int(row.second)]["numba_import"] for run in ours]).median
    kernels = report["kernels"]
    return (f"loading Numba {loading * 1e3:.0f} ms, {kernels} kernels compiled",)
