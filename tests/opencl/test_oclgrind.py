"""Kernels under Oclgrind: no access outside of a memory, no race.

Only in `make test-all`, where a missing simulator is a failure. Its exit code says
nothing, and no error reaches Python: a run is clean when the simulator's log is empty
and the results are right.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.opencl.simulated import FAULTY, GENERATED, HAND_MADE, PARTED

ROOT = Path(__file__).parents[2]
# Not `--uninitialized`: it does not know an instruction of integer division, and
# leaves kernels that have it out without a word.
# Nor does it know what an optimizer makes of rotated bits.
OPTIONS = (
    *("--build-options", "-cl-opt-disable"),
    *("--data-races", "--uniform-writes", "--max-wgsize", "64"),
    *("--local-mem-size", "32768"),
)


def simulate(tmp_path: Path, *command: str) -> tuple[str, str]:
    """Run a Python command under the simulator; return what it and its log say."""
    program = shutil.which("oclgrind")
    assert program, "oclgrind is not installed: apt-get install oclgrind"
    log = tmp_path / "log"
    made = subprocess.run(
        [program, *OPTIONS, "--log", str(log), sys.executable, *command],
        env={
            **os.environ,
            "RXCORE_OPENCL_PLATFORM": "oclgrind",
            "RXCORE_CACHE_DIR": str(tmp_path / "cache"),
            "RXCORE_TEST_ALL": "0",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout, log.read_text(encoding="utf-8", errors="replace")


def run(tmp_path: Path, *names: str) -> tuple[dict[str, Any], str]:
    out, log = simulate(tmp_path, "-m", "tests.opencl.simulated", *names)
    lines = [json.loads(line) for line in out.splitlines()]
    return {line.pop("name"): line for line in lines}, log


@pytest.mark.parametrize("group", [GENERATED, PARTED], ids=["plain", "parted"])
def test_generated_kernels_are_clean(tmp_path: Path, group: dict[str, Any]) -> None:
    found, log = run(tmp_path, *group)
    assert set(found) == set(group)
    for name, one in found.items():
        assert one["wrong"] == [], name
        assert one["fallbacks"] == [], name
        assert one["launches"] > (name in PARTED), name
    assert log == ""


@pytest.mark.parametrize("name", HAND_MADE)
def test_hand_made_kernels_are_clean(tmp_path: Path, name: str) -> None:
    found, log = run(tmp_path, name)
    assert found[name]["wrong"] == []
    assert found[name]["fallbacks"] == []
    assert log == ""


def test_random_nests_are_clean(tmp_path: Path) -> None:
    out, log = simulate(
        tmp_path,
        *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *("--hypothesis-profile=ci", "tests/opencl/test_nests.py"),
    )
    assert " passed" in out
    assert log == ""


@pytest.mark.parametrize("name", FAULTY)
def test_faults_are_seen(tmp_path: Path, name: str) -> None:
    _, log = run(tmp_path, name)
    word = "Invalid write" if name == "outside" else "race"
    assert word in log
