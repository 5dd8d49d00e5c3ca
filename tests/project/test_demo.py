"""The demo runs, says how well it reads, draws its figure, and repeats itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

for package in ("matplotlib", "sklearn", "tqdm"):
    pytest.importorskip(package, reason="the demo's packages are not installed")


def run(output, *options):
    command = [sys.executable, str(ROOT / "notebooks" / "digits.py")]
    return subprocess.run(
        [*command, "--output", str(output), *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def accuracy(shown):
    found = re.search(r"held-out accuracy +([\d.]+)% \((\d+) of 360\)", shown.stdout)
    assert found, shown.stdout
    assert abs(float(found[1]) - int(found[2]) / 3.6) < 0.01
    return float(found[1])


def test_a_short_run(tmp_path):
    figure = tmp_path / "new" / "digits.png"
    shown = run(figure, "--epochs", "3", "--goal", "0.8", "--seed", "5")
    assert shown.returncode == 0, shown.stderr
    assert accuracy(shown) > 85
    for said in ("time per step", "launches per call", "kernels from the cache"):
        assert said in shown.stdout
    assert "by its reference" not in shown.stdout
    assert "training: 100%" in shown.stderr
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert figure.stat().st_size < 200_000
    again = run(tmp_path / "again.png", "--epochs", "3", "--goal", "0", "--seed", "5")
    assert accuracy(again) == accuracy(shown)
    assert (tmp_path / "again.png").read_bytes() == figure.read_bytes()


def test_a_missed_goal_fails(tmp_path):
    shown = run(tmp_path / "digits.png", "--epochs", "1", "--goal", "0.999")
    assert shown.returncode == 1
    assert "is below 99.9%" in shown.stderr
