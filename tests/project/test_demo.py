"""The demo runs, says what it measured, draws its page, and repeats itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
METHODS = 7

for package in ("matplotlib", "sklearn", "tqdm"):
    pytest.importorskip(package, reason="the demo's packages are not installed")


def run(*options):
    return subprocess.run(
        [sys.executable, "-m", "rxcore", "demo", *map(str, options)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def methods_of(shown):
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)["methods"]


def test_a_short_run_repeats_itself(tmp_path):
    page = tmp_path / "new" / "page.png"
    given = ("--epochs", 3, "--seed", 5, "--json")
    first = methods_of(run(*given, "--goal", 0.8, "--output", page))
    assert page.read_bytes().startswith(b"\x89PNG")
    assert page.stat().st_size < 200_000
    again = methods_of(run(*given, "--output", tmp_path / "again.png"))
    assert len(first) == len(again) == METHODS
    for one, other in zip(first, again, strict=True):
        for same in ("name", "accuracy", "bytes"):
            assert one[same] == other[same]
        assert one["ms_1"] > 0
        assert one["ms_256"] > 0
        assert one["target"] in one["reason"]
    dense, eight, four, *_ = first
    assert eight["bytes"] < dense["bytes"] / 3.6
    assert four["bytes"] < eight["bytes"]
    assert abs(eight["accuracy"] - dense["accuracy"]) < 0.03


def test_the_table_and_a_missed_goal(tmp_path):
    shown = run("--epochs", 1, "--goal", 0.999, "--output", tmp_path / "page.png")
    assert shown.returncode == 1
    assert "below the goal of 99.90%" in shown.stderr
    for said in ("method", "smaller", "int8", "spiking", "why cpu", "s in all"):
        assert said in shown.stdout


def test_data_of_the_users_own(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 240)
    x = rng.normal(y[:, None], 0.3, (240, 12)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    given = ("--data", tmp_path / "mine.npz", "--epochs", 60, "--json")
    found = methods_of(run(*given, "--output", tmp_path / "page.png"))
    assert found[0]["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": np.zeros((20, 3))}, "there is no array y in it"),
        ({"x": np.zeros((20, 3)), "y": np.zeros(19, int)}, "expected x (count, ...)"),
        ({"x": np.zeros((20, 3)), "y": np.zeros(20)}, "dtype float64; expected"),
        ({"x": np.full((20, 3), np.nan), "y": np.arange(20)}, "NaN or infinite"),
        ({"x": np.ones((20, 3)), "y": np.arange(20)}, "20 classes up to 19 in 20 rows"),
        ({"x": np.ones((20, 3)), "y": np.arange(20) % 2 * 10**6}, "up to 1000000 in"),
        (None, "it cannot be read"),
    ],
)
def test_files_that_are_no_data(tmp_path, arrays, told):
    path = tmp_path / "bad.npz"
    if arrays is None:
        path.write_text("nothing")
    else:
        np.savez(path, **arrays)
    shown = run("--data", path, "--output", tmp_path / "page.png")
    assert shown.returncode == 1
    assert told in shown.stderr


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--output", "page.xyz"), "--output page.xyz: there is no format '.xyz'"),
        (("--seed", -1), "-1 is not in the range"),
    ],
)
def test_wrong_options_are_told_before_anything_is_trained(given, told):
    shown = run(*given)
    assert shown.returncode in (1, 2)
    assert told in shown.stderr
    assert not shown.stdout


def test_a_bare_array_is_no_data(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((20, 3)))
    shown = run("--data", tmp_path / "x.npy", "--output", tmp_path / "page.png")
    assert shown.returncode == 1
    assert "it cannot be read as .npz" in shown.stderr
