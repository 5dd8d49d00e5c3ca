"""From the device suite's outcomes to its table and its JSON file."""

import re
from collections.abc import Sequence
from typing import Any

from attrs import asdict, evolve

from benchmarks import report
from benchmarks.device_record import (
    CPU,
    KERNELS,
    NUMPY,
    OVERHEAD,
    DeviceOutcome,
    DeviceRow,
    Goal,
    Launches,
    Over,
)
from benchmarks.peers import OURS
from benchmarks.report import Judged, seconds

LIBRARIES = (OURS, "numpy", "pyopencl", "pocl-binary-distribution")
TRIAD = "device triad"
HEADER = (
    "row",
    "OpenCL",
    "its kernels",
    "rxcore CPU",
    "NumPy",
    "rate",
    "of triad",
    "launches",
    "must",
    "verdict",
)


def judge(goal: Goal, outcome: DeviceOutcome, widths: dict[str, float]) -> Judged:
    """Hold an outcome against one goal."""
    if isinstance(goal, Launches):
        text = f"{goal.most} launch{'es' * (goal.most > 1)}"
        if outcome.launches is None:
            return Judged(text, "-", False)
        return Judged(text, str(outcome.launches), outcome.launches <= goal.most)
    if isinstance(goal, Over):
        text = f"+{seconds(goal.seconds)}"
        timing = outcome.times.get(OVERHEAD)
        if timing is None:
            return Judged(text, "-", False)
        reached = f"+{seconds(timing.median)}"
        return Judged(text, reached, timing.median <= goal.seconds)
    return report.judge(goal, outcome, widths)


def verdict(outcome: DeviceOutcome, widths: dict[str, float]) -> tuple[str, str]:
    """Return the goals with what was reached, and what comes of it."""
    judged = [judge(goal, outcome, widths) for goal in outcome.row.must]
    text = ", ".join(f"{each.text} ({each.reached})" for each in judged) or "-"
    if OURS in outcome.failures:
        return text, "FAILED"
    if not judged:
        return text, "-"
    return text, "must" if all(each.met for each in judged) else "MISSED"


def rate(outcome: DeviceOutcome) -> str:
    """Return bytes or operations per second, of those that the row names."""
    ours, row = outcome.times.get(OURS), outcome.row
    if ours is None or not (row.bytes or row.flops):
        return "-"
    if row.bytes:
        return f"{row.bytes / ours.median / 1e9:.3g} GB/s"
    return f"{row.flops / ours.median / 1e9:.3g} GFLOP/s"


def share(outcome: DeviceOutcome, widths: dict[str, float]) -> float | None:
    """Return which part of the device's triad bandwidth a program reaches."""
    ours, row = outcome.times.get(OURS), outcome.row
    if ours is None or not row.bytes or not isinstance(row, DeviceRow):
        return None
    return row.bytes / ours.median / widths[TRIAD]


def line(outcome: DeviceOutcome, widths: dict[str, float]) -> tuple[str, ...]:
    """Make the cells of one row."""
    cells = [outcome.row.title]
    for name in (OURS, KERNELS, CPU, NUMPY):
        timing = outcome.times.get(name)
        failed = "failed" if name in outcome.failures else "-"
        cells.append(seconds(timing.median) if timing else failed)
    part = share(outcome, widths)
    return (
        *cells,
        rate(outcome),
        "-" if part is None else f"{part:.2f}",
        "-" if outcome.launches is None else str(outcome.launches),
        *verdict(outcome, widths),
    )


def table(outcomes: Sequence[DeviceOutcome], widths: dict[str, float]) -> str:
    """Print all rows as one aligned Markdown table."""
    return report.align([HEADER, *(line(outcome, widths) for outcome in outcomes)])


def judged_widths(widths: dict[str, float], is_cpu: bool) -> dict[str, float]:
    """Return the bandwidths that goals are held against.

    A CPU device is judged by what the host's loops reach, any other by its own triad.
    """
    return widths if is_cpu else {**widths, "triad": widths[TRIAD]}


def describe_device(target: Any) -> dict[str, Any]:
    """Return the facts of a device, for the JSON file."""
    device = target.device
    return {
        "name": device.name,
        "platform": device.platform,
        "driver": device.driver,
        "version": device.version,
        "type": "cpu" if device.is_cpu else "gpu",
        "facts": asdict(device.facts),
    }


def describe(facts: dict[str, Any]) -> str:
    """Say machine, versions, bandwidths, load and device."""
    device = facts["device"]
    return (
        f"{report.describe(facts)}\n"
        f"device: {device['name']} ({device['platform']}, driver {device['driver']}), "
        f"{device['facts']['units']} units"
    )


def file_stem(device: Any) -> str:
    """Name the file of results: an OpenCL device on the CPU needs no name."""
    if device.is_cpu:
        return "opencl"
    return f"opencl-{re.sub(r'[^a-z0-9]+', '-', device.name.lower()).strip('-')}"


def content(
    facts: dict[str, Any],
    outcomes: Sequence[DeviceOutcome],
    widths: dict[str, float],
    quick: bool,
) -> dict[str, Any]:
    """Return everything that was measured."""
    rows = []
    for outcome in outcomes:
        must, said = verdict(outcome, widths)
        told = {"must": must, "verdict": said, "share": share(outcome, widths)}
        made = asdict(evolve(outcome, row=None))
        del made["row"]
        named = {"name": outcome.row.name, "title": outcome.row.title}
        counted = {"bytes": outcome.row.bytes, "flops": outcome.row.flops}
        rows.append({**named, **counted, **told, **made})
    return {"machine": facts, "quick": quick, "rows": rows}
