"""The suite `placement`: how right the cost model is, and how long it takes."""

import os
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

import rxcore as rx
from benchmarks import measure, placement_report, report
from benchmarks.bandwidth import measure_bandwidths
from benchmarks.device_probes import DRIVER_CACHES
from benchmarks.device_report import describe, describe_device
from benchmarks.measure import Effort, reason
from benchmarks.placement_cards import place_cases
from benchmarks.placement_decision import KERNELS, measure_decision
from benchmarks.placement_measure import Priced, calibrate, price
from benchmarks.placement_programs import Fused, programs
from benchmarks.suite import Report, say, select
from rxcore.runtime.devices import Target, find
from rxcore.runtime.pricing import MARKET
from rxcore_kernels import cache


@frozen
class Part:
    """What `--rows` can ask for."""

    name: str


ROWS = (Part("decision"), Part("programs"), Part("cards"))


def run(options: Namespace) -> Report:
    """Measure the parts that are asked for; calibrations come before all of them."""
    wanted = {part.name for part in select(ROWS, options.rows)}
    effort = measure.QUICK if options.quick else measure.FULL
    load = report.load_average()
    with routed():
        target = find(options.device, "benchmarks")
        if target is None:
            raise SystemExit("placement: --device takes an OpenCL device, not 'cpu'")
        widths = measure_bandwidths()
        facts = report.machine(widths, load, placement_report.LIBRARIES)
        facts["device"] = describe_device(target)
        lines, parts, failures = measured(wanted, target, effort)
    facts["load_after"] = report.load_average()
    tables = [placement_report.table(lines)]
    if parts["programs"]:
        devices = ["cpu", target.name]
        tables.append(placement_report.kind_table(parts["programs"], devices))
    if parts["cards"]:
        tables.append(placement_report.card_table(parts["cards"]))
    told = f"{describe(facts)}\nload after the run: {facts['load_after']}"
    return Report(
        name="placement",
        text="\n\n".join([told, *tables]),
        remarks="\n".join(f"{name}: FAILED: {why}" for name, why in failures.items()),
        content=placement_report.content(facts, lines, parts, options.quick),
        failed=bool(failures),
    )


@contextmanager
def routed() -> Iterator[None]:
    """Let calls be placed on OpenCL CPU devices; keep profiles and kernels apart."""
    before, variables = cache.current().path, dict(os.environ)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ.update(dict.fromkeys(DRIVER_CACHES, folder))
        cache.set_directory(Path(folder) / "rxcore")
        MARKET.forget()
        try:
            with rx.config(allow_opencl_cpu=True):
                yield
        finally:
            os.environ.clear()
            os.environ.update(variables)
            cache.set_directory(before)
            MARKET.forget()


def measured(
    wanted: set[str], target: Target, effort: Effort
) -> tuple[list[placement_report.Line], dict[str, Any], dict[str, str]]:
    """Calibrate, and measure the parts; what fails is told, never hidden."""
    calibrations = []
    for place in (None, target):
        say(f"calibration of {place or 'cpu'}")
        calibrations.append(calibrate(place))
    kinds = {str(p or "cpu"): MARKET.model(p).profile.kind for p in (None, target)}
    priced: list[Priced] = []
    failures: dict[str, str] = {}
    if "programs" in wanted:
        chosen = programs()
        for k, fused in enumerate(chosen):
            if k % 10 == 0:
                say(f"programs {k} to {min(k + 10, len(chosen))} of {len(chosen)}")
            price_into(fused, target, effort, priced, failures)
    decisions = []
    if "decision" in wanted:
        say("decisions")
        decisions = [measure_decision(count, target, effort) for count in KERNELS]
    cards = place_cases() if "cards" in wanted else []
    lines = [
        *placement_report.decision_lines(decisions),
        *placement_report.calibration_lines(calibrations),
        *placement_report.error_lines(priced, kinds),
        *placement_report.regret_lines(priced),
    ]
    parts = {
        "calibrations": calibrations,
        "decisions": decisions,
        "programs": priced,
        "cards": cards,
    }
    return lines, parts, failures


def price_into(
    fused: Fused,
    target: Target,
    effort: Effort,
    priced: list[Priced],
    failures: dict[str, str],
) -> None:
    try:
        priced.append(price(fused, [None, target], effort.rounds))
    except Exception as error:  # a failing program must not stop the run
        failures[fused.name] = reason(error)
