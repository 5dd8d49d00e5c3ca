"""What the project says of itself is true: lock file, imports, layers, documents."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
MARKER = r"[a-z_]+ (==|!=) '\w+'"
PIN = re.compile(rf"([a-z0-9-]+)==([0-9][0-9a-z.]*)( ; {MARKER}( and {MARKER})*)?")
PINS = [PIN.fullmatch(line) for line in LOCK if not line.startswith("#")]


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def required(requirements):
    return {normalized(re.match(r"[\w-]+", text)[0]) for text in requirements}


def run_python(source, **environment):
    return subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_line_of_the_lock_is_a_plain_pin():
    assert all(PINS), "requirements.lock holds `name==version` lines, no host, no path"


@pytest.mark.parametrize("group", ["dependencies", "demo", "test"])
def test_the_lock_covers(group):
    extras = PROJECT["optional-dependencies"]
    wanted = required(PROJECT[group] if group == "dependencies" else extras[group])
    assert wanted <= {pin[1] for pin in PINS}


def test_import_loads_nothing_heavy():
    heavy = ("numba", "llvmlite", "pyopencl", "scipy", "jax", "torch", "matplotlib")
    shown = run_python(
        f"import sys, rxcore; print([m for m in {heavy} if m in sys.modules])"
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip() == "[]"


def test_import_is_silent():
    shown = run_python("import rxcore, rxcore_kernels")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "", "")


@pytest.mark.parametrize("package", ["rxcore", "rxcore_kernels"])
def test_package_is_typed(package):
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize("package", ["rxcore", "rxcore_kernels"])
def test_modules_keep_their_size(package):
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / package).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 600
    }
    assert not long, "split these modules"


@pytest.mark.parametrize("package", ["rxcore", "rxcore_kernels"])
def test_no_module_is_a_drawer(package):
    drawers = {"utils", "util", "common", "misc", "helpers", "helper"}
    names = {path.stem for path in (ROOT / package).rglob("*.py")}
    assert not names & drawers


def test_version_is_said_once():
    shown = run_python("import rxcore; print(rxcore.__version__)")
    assert shown.stdout.strip() == PROJECT["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{PROJECT['version']}]" in changelog


def test_every_make_target_is_told_by_help():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    told = set(re.findall(r'@echo "make ([a-z-]+) ', text))
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())
    assert told == phony - {"help", "setup"}
