"""Calibration: what is measured is stored, and what cannot be run is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rxcore.cli.calibrate import Runner
from rxcore.control.calibration import PROGRAMS, QUICK
from rxcore.runtime.cost import load
from rxcore.runtime.devices import Target, Unsupported
from rxcore.runtime.pricing import path_of
from rxcore_kernels import cache
from rxcore_kernels.opencl import DeviceFault
from tests.cli.conftest import Run

MOST = sum(len(p.sizes) for p in QUICK)


def test_a_quick_calibration_scales_what_is_shipped(run: Run, folder: Path) -> None:
    shown = run("calibrate", "--quick", "--device", "cpu", "--json")
    assert (shown.exit_code, shown.stderr) == (0, "")
    report = json.loads(shown.stdout)
    assert set(report) == {"rxcore", "devices"}
    (device,) = report["devices"]
    assert set(device) == {"name", "programs", "seconds", "file", "profile"}
    assert device["name"] == "cpu"
    assert 0 < device["programs"] <= MOST
    file = Path(device["file"])
    assert file.parent == folder
    assert file == path_of(None, quick=True)
    assert load(file).kind == device["profile"]["kind"] == "cpu"
    assert json.loads(file.read_text()) == device["profile"]
    kinds = json.loads(run("cache", "info", "--json").stdout)["kinds"]
    assert kinds["profiles"]["files"] == 1
    run("cache", "clear", "profiles")
    assert not file.exists()


def test_a_device_is_measured_by_its_own_name(run: Run, target: Target) -> None:
    shown = run("calibrate", "--device", "opencl", "--seconds", "0.5")
    assert (shown.exit_code, shown.stderr) == (0, "")
    head, line = shown.stdout.splitlines()
    titles = "name programs time memory arithmetic launch profile"
    assert head.split() == titles.split()
    assert line.startswith("opencl")
    made = load(line.split()[-1])
    assert line.split()[-1] == str(path_of(target))
    assert made.device == target.device.name
    assert made.facts == target.facts


def test_nothing_is_measured_where_nothing_can_be_kept(run: Run, folder: Path) -> None:
    folder.write_text("no folder")
    cache.reset()
    shown = run("calibrate", "--quick")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr.startswith("Error: there is no cache on disk: ")


@pytest.mark.parametrize("seconds", ["0", "-1", "601", "soon"])
def test_seconds_are_checked(run: Run, seconds: str) -> None:
    shown = run("calibrate", "--seconds", seconds)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert "'--seconds'" in shown.stderr


@pytest.mark.parametrize(
    "raised", [Unsupported("no float64"), DeviceFault("build", "no compiler")]
)
def test_what_a_device_cannot_run_is_left_out(raised: Exception) -> None:
    class Inner:
        def time(self, subject: Any, size: int) -> Any:
            if subject is PROGRAMS[0]:
                raise raised
            return subject.name, size

    told: list[tuple[float, str]] = []
    runner = Runner(Inner(), lambda part, name: told.append((part, name)), 1e9, 0.0)
    assert runner.time(PROGRAMS[0], 8) is None
    assert runner.time(PROGRAMS[1], 8) == (PROGRAMS[1].name, 8)
    assert [name for _, name in told] == [p.name for p in PROGRAMS[:2]]
    assert all(0 <= part <= 1 for part, _ in told)
