"""From outcomes to the printed table, the JSON file and the table in the README."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, frozen

from benchmarks.environment import THREADS
from benchmarks.peers import OURS, PEERS
from benchmarks.record import AtMost, Goal, Outcome, Ratio

SHORT = {"jax": "JAX", "numpy": "NumPy", "scipy": "SciPy", "snntorch": "snnTorch"}


@frozen
class Judged:
    """A goal, what was reached (in the goal's unit), and whether that is enough.

    `reached` is None where the peers that the goal names are missing: not judged.
    """

    text: str
    reached: str
    met: bool | None


def seconds(value: float) -> str:
    if value < 1e-4:
        return f"{value * 1e6:.2f} us"
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.2f} s"


def judge(goal: Goal, outcome: Outcome, bandwidths: dict[str, float]) -> Judged:
    """Hold an outcome against one goal."""
    ours = outcome.times.get(OURS)
    if isinstance(goal, AtMost):
        met = ours is not None and ours.median <= goal.seconds
        reached = seconds(ours.median) if ours else "-"
        return Judged(f"{seconds(goal.seconds)}", reached, met)
    if isinstance(goal, Ratio):
        text = f"{goal.least:g}x {'/'.join(SHORT.get(n, n) for n in goal.against)}"
        peers = [outcome.times[n].median for n in goal.against if n in outcome.times]
        if ours and not peers:
            return Judged(text, "-", None)
        if ours is None:
            return Judged(text, "-", False)
        ratio = min(peers) / ours.median
        return Judged(text, f"{ratio:.2f}x", ratio >= goal.least)
    text = f"{goal.least:g} {goal.kind}"
    if ours is None:
        return Judged(text, "-", False)
    share = outcome.row.bytes / ours.median / bandwidths[goal.kind]
    return Judged(text, f"{share:.2f}", share >= goal.least)


def goals(chosen: Sequence[Goal], outcome: Outcome, widths: dict) -> tuple[str, Any]:
    """Return the text of several goals with what was reached, and if all are met."""
    judged = [judge(goal, outcome, widths) for goal in chosen]
    text = ", ".join(f"{each.text} ({each.reached})" for each in judged)
    marks = [each.met for each in judged]
    return text, False if False in marks else None if None in marks else True


def verdict(outcome: Outcome, must: bool | None, aim: bool | None) -> str:
    if OURS in outcome.failures:
        return "FAILED"
    if must is None:
        return "not judged"
    if not must:
        return "MISSED"
    return "aim" if aim else "must"


def line(
    outcome: Outcome,
    bandwidths: dict[str, float],
    libraries: Sequence[str] = PEERS,
) -> tuple[str, ...]:
    """Make the cells of one row."""
    cells = [outcome.row.title]
    for library in (OURS, *libraries):
        timing = outcome.times.get(library)
        failed = "failed" if library in outcome.failures else "-"
        cells.append(seconds(timing.median) if timing else failed)
    must_text, must = goals(outcome.row.must, outcome, bandwidths)
    aim_text, aim = goals(outcome.row.aim, outcome, bandwidths)
    peers = [outcome.times[n].median for n in libraries if n in outcome.times]
    ours = outcome.times.get(OURS)
    ratio = f"{min(peers) / ours.median:.2f}" if peers and ours else "-"
    return (*cells, ratio, must_text, aim_text, verdict(outcome, must, aim))


def table(
    outcomes: Sequence[Outcome],
    bandwidths: dict[str, float],
    libraries: Sequence[str] = PEERS,
) -> str:
    """Print all rows as one aligned Markdown table, with columns for these peers."""
    head = ("row", OURS, *libraries, "best/ours", "must", "aim", "verdict")
    return align([head, *(line(each, bandwidths, libraries) for each in outcomes)])


def align(rows: list[tuple[str, ...]]) -> str:
    """Print cells as a Markdown table, the header first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows = [rows[0], tuple("-" * width for width in widths), *rows[1:]]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def remarks(outcomes: Sequence[Outcome]) -> str:
    """Tell failures and notes in full, one line each."""
    told = []
    for outcome in outcomes:
        told += [f"{outcome.row.name}: {note}" for note in outcome.notes]
        told += [
            f"{outcome.row.name}: {library} FAILED: {why}"
            for library, why in outcome.failures.items()
        ]
    return "\n".join(told)


def load_average() -> float | None:
    """Return the load of the last minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def machine(
    bandwidths: dict[str, float],
    load: float | None,
    libraries: Sequence[str] = (OURS, *PEERS, "numba"),
) -> dict[str, Any]:
    """Describe where and with what was measured."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "threads": THREADS,
        "load_before": load,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in libraries},
        "bandwidth_gb_per_s": {k: round(v / 1e9, 1) for k, v in bandwidths.items()},
    }


def cpu_name() -> str:
    """Name the processor; Linux alone tells more than its architecture."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for text in info.read_text(encoding="utf-8").splitlines():
            if text.startswith("model name"):
                return text.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def describe(facts: dict[str, Any]) -> str:
    """Say machine, versions, bandwidths and load in four lines."""
    versions = ", ".join(f"{k} {v}" for k, v in facts["versions"].items() if v)
    widths = ", ".join(f"{k} {v}" for k, v in facts["bandwidth_gb_per_s"].items())
    return (
        f"{facts['date']}: {facts['cpu']}, {facts['threads']} threads, "
        f"{facts['system']}, Python {facts['python']}\n"
        f"{versions}\n"
        f"bandwidth in GB/s (Numba loops on two threads): {widths}\n"
        f"load before the run: {facts['load_before']}"
    )


def content(
    facts: dict[str, Any], outcomes: Sequence[Outcome], quick: bool
) -> dict[str, Any]:
    """Return everything that was measured."""
    bandwidths = {k: v * 1e9 for k, v in facts["bandwidth_gb_per_s"].items()}
    rows = []
    for outcome in outcomes:
        _, must = goals(outcome.row.must, outcome, bandwidths)
        _, aim = goals(outcome.row.aim, outcome, bandwidths)
        rows.append(
            {
                "name": outcome.row.name,
                "title": outcome.row.title,
                "verdict": verdict(outcome, must, aim),
                **asdict(evolve(outcome, row=None)),
            }
        )
        del rows[-1]["row"]
    return {"machine": facts, "quick": quick, "rows": rows}


def write_json(path: Path, made: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def replace_table(readme: Path, text: str, suite: str = "core") -> None:
    """Put the text between the README's two markers of a suite."""
    name = "table" if suite == "core" else f"{suite} table"
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = readme.read_text(encoding="utf-8").split(begin, 1)
    after = rest.split(end, 1)[1]
    readme.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
