"""Commands: their help, what they print, errors, exit codes, JSON, colours."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

import rxcore
from rxcore.cli import main
from rxcore.cli.explain import ARGUMENT, FUNCTION
from rxcore.control.effects import ShapeDtypeStruct
from rxcore.runtime.devices import Target
from rxcore_kernels import cache, opencl
from tests.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[2]


def shell(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rxcore", *args],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def commands(
    command: click.Command = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))


EVERY = list(commands())


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_help_says_what_a_command_does(run: Run, path: tuple[str, ...]) -> None:
    for option in ("--help", "-h"):
        shown = run(*path, option)
        assert shown.exit_code == 0
        assert shown.output.startswith(f"Usage: rxcore {' '.join(path)}".rstrip())
        assert max(map(len, shown.output.splitlines())) <= 88
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help
    if not isinstance(command, click.Group):
        assert "Examples:\n" in shown.output
        assert f"  rxcore {' '.join(path)}" in shown.output.partition("Examples:")[2]


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_unknown_options_are_usage_errors(run: Run, path: tuple[str, ...]) -> None:
    shown = run(*path, "--nothing-of-the-kind")
    assert shown.exit_code == 2
    assert "No such option" in shown.stderr
    assert shown.stdout == ""


def test_version(run: Run) -> None:
    assert run("--version").output == f"rxcore, version {rxcore.__version__}\n"


def test_python_runs_the_package_and_help_loads_nothing_heavy() -> None:
    source = (
        "import sys; sys.argv = ['rxcore', '--help']\n"
        "from rxcore.cli import main\n"
        "try: main(prog_name='rxcore')\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = ('numba', 'llvmlite', 'pyopencl', 'hypothesis', 'scipy')\n"
        "sys.exit(code or str([m for m in heavy if m in sys.modules]))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stderr.strip() == "[]"
    asked = shell("--help")
    assert (asked.returncode, asked.stdout) == (0, shown.stdout)


# devices -----------------------------------------------------------------------------


def test_devices_are_those_of_the_library(run: Run, target: Target) -> None:
    shown = run("devices")
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    names = [line.split()[0] for line in lines[1 : 1 + len(rxcore.devices())]]
    assert names == rxcore.devices()
    assert target.device.driver in shown.output


def test_devices_as_json(run: Run, target: Target) -> None:
    shown = run("devices", "--json")
    assert (shown.exit_code, shown.stderr) == (0, "")
    found = json.loads(shown.stdout)
    assert set(found) == {"devices", "problems", "why_none"}
    assert [d["name"] for d in found["devices"]] == rxcore.devices()
    for d in found["devices"]:
        assert set(d) == {
            *("name", "description", "kind", "memory", "units", "fp64", "driver"),
            *("platform", "facts", "refused"),
        }
        assert d["memory"] > 0
        assert d["units"] > 0
    assert found["devices"][1]["facts"]["fp64"] == target.facts.fp64
    assert found["problems"] == [
        {"where": where, "why": why} for where, why in opencl.problems()
    ]


def test_no_device_is_told_in_one_line(tmp_path: Path) -> None:
    nothing = {"RXCORE_OPENCL_PLATFORM": "no such platform"}
    place = {"RXCORE_CACHE_DIR": str(tmp_path)}
    for command in (("devices",), ("doctor", "--family", "creation")):
        shown = shell(*command, **nothing, **place)
        assert (shown.returncode, shown.stderr) == (0, "")
        told = [s for s in shown.stdout.splitlines() if "no OpenCL device" in s]
        assert len(told) == 1
        assert "not asked for by RXCORE_OPENCL_PLATFORM" in told[0]
    report = json.loads(shell("devices", "--json", **nothing, **place).stdout)
    assert [d["name"] for d in report["devices"]] == ["cpu"]
    assert report["why_none"]


@pytest.mark.parametrize(
    "words",
    [("devices",), ("doctor", "--device", "cpu", "--family", "compare")],
    ids=["devices", "doctor"],
)
def test_limits_that_cannot_be_read_are_a_usage_error(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    shown = shell(*words, RXCORE_OPENCL_LIMITS="much=1", RXCORE_CACHE_DIR=str(tmp_path))
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "RXCORE_OPENCL_LIMITS: expected field=value" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_colours_only_where_they_are_wanted(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in run("devices", color=True).output
    assert "\x1b[" not in run("devices").output
    assert "\x1b[" not in run("devices", "--json", color=True).output
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run("devices", color=True).output


# cache -------------------------------------------------------------------------------

FILES = {
    "kernels": "0a.rxo",
    "binaries": "0a.rxb",
    "profiles": "profile-a.json",
    "verdicts": "verdicts-a.json",
}


def fill(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    for k, name in enumerate((*FILES.values(), ".x.part", "not ours.txt"), 1):
        (folder / name).write_bytes(b"x" * k)


def test_cache_info_counts_by_kind(run: Run, folder: Path) -> None:
    fill(folder)
    found = json.loads(run("cache", "info", "--json").stdout)
    assert (found["path"], found["usable"], found["reason"]) == (str(folder), True, "")
    assert found["bytes"] == 10
    assert found["kinds"] == {
        kind: {"files": 1, "bytes": k} for k, kind in enumerate(FILES, 1)
    }
    lines = run("cache", "info").output.splitlines()
    assert lines[0] == str(folder)
    assert [line.split()[:2] for line in lines[2:]] == [[k, "1"] for k in FILES]


@pytest.mark.parametrize("kinds", [(), ("kernels",), ("verdicts", "binaries")])
def test_cache_clear_removes_what_is_named(
    run: Run, folder: Path, kinds: tuple[str, ...]
) -> None:
    fill(folder)
    shown = run("cache", "clear", *kinds, "--json")
    named = [k for k in FILES if not kinds or k in kinds]
    assert list(json.loads(shown.stdout)["removed"]) == named
    left = {f.name for f in folder.iterdir()}
    kept = {name for kind, name in FILES.items() if kind not in named}
    assert left == {*kept, "not ours.txt"}
    fill(folder)
    told = run("cache", "clear", *kinds).output
    assert re.fullmatch(rf"removed {len(named)} files \(\d+ B\) from .*\n", told)


def test_cache_that_is_refused(run: Run, folder: Path) -> None:
    folder.write_text("no folder")
    cache.reset()
    shown = run("cache", "info")
    assert (shown.exit_code, shown.stdout.count("\n")) == (0, 1)
    assert shown.stdout.startswith("there is no cache on disk: ")
    assert json.loads(run("cache", "info", "--json").stdout)["usable"] is False
    shown = run("cache", "clear")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr.startswith("Error: there is no cache on disk: ")


def test_cache_kind_that_does_not_exist(run: Run) -> None:
    shown = run("cache", "clear", "profile")
    assert shown.exit_code == 2
    assert "'profile' is not one of 'kernels', 'binaries'" in shown.stderr


# explain -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f32[1024,1024]", ShapeDtypeStruct((1024, 1024), "float32")),
        ("i32[]", ShapeDtypeStruct((), "int32")),
        (" bf16[8, 3] ", ShapeDtypeStruct((8, 3), "bfloat16")),
        ("float64[0]", ShapeDtypeStruct((0,), "float64")),
        ("bool[7]", ShapeDtypeStruct((7,), "bool")),
        ("3", 3),
        ("-2.5", -2.5),
    ],
)
def test_arguments_are_types_or_numbers(text: str, expected: Any) -> None:
    found = ARGUMENT.convert(text, None, None)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("f33[2]", "'f33[2]': there is no dtype 'f33'; use bool, i8"),
        ("f32[2", "'f32[2' is neither a type like 'f32[1024,1024]' or 'i32[]'"),
        ("f32[-1]", "'f32[-1]' is neither a type"),
        ("x", "'x' is neither a type"),
    ],
)
def test_arguments_that_are_neither(run: Run, text: str, told: str) -> None:
    shown = run("explain", "math:sqrt", text)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert told in " ".join(shown.stderr.split())


def test_functions_by_module_and_by_file(tmp_path: Path) -> None:
    assert FUNCTION.convert("numpy:linalg.norm", None, None) is np.linalg.norm
    file = tmp_path / "a_script.py"
    file.write_text("from beside import two\ndef f(x): return x * two\n")
    (tmp_path / "beside.py").write_text("two = 2\n")
    assert FUNCTION.convert(f"{file}:f", None, None)(4) == 8


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("math", "'math' is not MODULE:FUNCTION or FILE.py:FUNCTION"),
        ("math:", "'math:' is not MODULE:FUNCTION"),
        ("no_such_module:f", "no_such_module: No module named 'no_such_module'"),
        ("nothing.py:f", "nothing.py: there is no such file"),
        ("math:nothing", "math has no 'nothing'"),
        ("math:pi", "math:pi is no function but 3.14"),
    ],
)
def test_functions_that_are_not_there(run: Run, text: str, told: str) -> None:
    shown = run("explain", text, "f32[2]")
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert told in " ".join(shown.stderr.split())


def test_explain_wants_a_type_for_each_argument(run: Run) -> None:
    shown = run("explain", "rxcore.nn:mse", "f32[2]")
    assert (shown.exit_code, shown.stdout) == (2, "")
    told = " ".join(shown.stderr.split())
    assert "does not take 1 arguments" in told
    assert "missing a required argument: 'targets'" in told


class Explained:
    def as_dict(self) -> dict[str, str]:
        return {"choice": "cpu"}

    def __str__(self) -> str:
        return "it runs on the cpu"


def test_explain_asks_the_library(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def explain(function: Any, **options: Any) -> Any:
        def explained(*args: Any) -> Explained:
            asked.append((function, options, args))
            return Explained()

        return explained

    monkeypatch.setattr(rxcore, "explain", explain, raising=False)
    given = ("explain", "numpy:add", "f32[2]", "1.5")
    assert run(*given).output == "it runs on the cpu\n"
    named = run(*given, "--device", "cpu", "--device", "rx580", "--json")
    assert json.loads(named.stdout) == {"choice": "cpu"}
    args = (ShapeDtypeStruct((2,), "float32"), 1.5)
    assert asked == [
        (np.add, {}, args),
        (np.add, {"devices": ("cpu", "rx580")}, args),
    ]


def test_explain_compares_devices_that_are_not_here(run: Run) -> None:
    given = ("explain", "rxcore:exp", "f32[1024]", "--device", "cpu")
    shown = run(*given, "--device", "rx580")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "rx580 (simulated)" in shown.stdout
    assert " runs on 'cpu': " in shown.stdout
    found = json.loads(run(*given, "--device", "rx580", "--json").stdout)
    assert [e["device"] for e in found["estimates"]] == ["cpu", "rx580"]
    shown = run(*given, "--device", "rx999")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "there is no device 'rx999'" in shown.stderr


def test_an_error_of_the_user_is_a_message(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explain(function: Any) -> Any:
        raise rxcore.ShapeError(f"{function.__name__}: shapes do not fit")

    monkeypatch.setattr(rxcore, "explain", explain, raising=False)
    shown = run("explain", "math:sqrt", "f32[2]")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr == "Error: sqrt: shapes do not fit\n"
