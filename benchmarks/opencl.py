"""The suite `opencl`: rxcore on an OpenCL device, beside its CPU target and NumPy."""

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from benchmarks import device_probes, device_report, device_rows, measure, report
from benchmarks.bandwidth import measure_bandwidths
from benchmarks.device_measure import bandwidth, run_device_row, run_probe
from benchmarks.device_record import DeviceOutcome, DeviceRow, Probe
from benchmarks.measure import Effort
from benchmarks.peers import OURS
from benchmarks.suite import Report, say, select
from rxcore.runtime.devices import find

ROWS: tuple[DeviceRow | Probe, ...] = (*device_rows.ROWS, *device_probes.ROWS)


def run(options: Namespace) -> Report:
    """Measure the rows that are asked for on the device that is named."""
    chosen = select(ROWS, options.rows)
    target = find(options.device, "benchmarks")
    if target is None:
        raise SystemExit("opencl: --device takes an OpenCL device, not 'cpu'")
    is_cpu = target.device.is_cpu
    effort = measure.QUICK if options.quick else measure.FULL
    load = report.load_average()
    chosen = [row for row in chosen if is_cpu or not getattr(row, "for_cpu", False)]
    before = measure_all(target, effort)
    outcomes = run_rows(chosen, target, effort)
    after = measure_all(target, effort)
    widths = {kind: max(before[kind], after[kind]) for kind in before}
    facts = report.machine(widths, load, device_report.LIBRARIES)
    facts["device"] = device_report.describe_device(target)
    judged = device_report.judged_widths(widths, is_cpu)
    table = device_report.table(outcomes, judged)
    return Report(
        name=device_report.file_stem(target.device),
        text=f"{device_report.describe(facts)}\n\n{table}",
        remarks=report.remarks(outcomes),
        content=device_report.content(facts, outcomes, judged, options.quick),
        failed=any(OURS in outcome.failures for outcome in outcomes),
    )


def measure_all(target: Any, effort: Effort) -> dict[str, float]:
    """Return the bandwidths of the host, and of a triad on the device."""
    triad = bandwidth(device_rows.TRIAD, target, effort.rounds)
    return {**measure_bandwidths(), device_report.TRIAD: triad}


def run_rows(
    chosen: Sequence[DeviceRow | Probe], target: Any, effort: Effort
) -> list[DeviceOutcome]:
    outcomes = []
    for row in chosen:
        say(row.name)
        run_one = run_probe if isinstance(row, Probe) else run_device_row
        outcomes.append(run_one(row, target, effort))
    return outcomes
