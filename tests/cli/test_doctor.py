"""The doctor: sound devices pass, planted faults are found, recorded, and avoided."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.base import dtypes
from rxcore.cli import examine as examining
from rxcore.cli.error import error_of, first_difference
from rxcore.cli.journal import Journal, journal_of
from rxcore.cli.suite import checks, families
from rxcore.ir.primitive import REGISTRY
from rxcore.runtime import assemble, verdicts
from rxcore.runtime.devices import Target
from rxcore.targets import opencl_text
from rxcore.testing import strategies, ulps_between
from rxcore.trace.capture import capture
from rxcore_kernels import opencl, opencl_fault
from tests.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[2]
DOCTOR = ("doctor", "--device", "opencl")
REDUCTIONS = (*DOCTOR, "--family", "reduction")


def largest(x: Any) -> Any:
    return rnp.max(x, axis=1)


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the maxima of a work-group's items be joined as minima."""
    right = opencl_text.combine

    def wrong(op: str, *rest: Any) -> str:
        return right("min" if op == "max" else op, *rest)

    monkeypatch.setattr(opencl_text, "combine", wrong)
    # What was printed before is right, what is printed now must not stay.
    monkeypatch.setattr(assemble, "_printed", {})


# the suite ---------------------------------------------------------------------------


def test_every_family_of_ops_has_checks() -> None:
    # The compiler's own ops are made of others; callbacks and named axes run on the
    # host by definition.
    others = {"compiler", "effect", "collective"}
    ops = {p.family for p in REGISTRY.values()} - others
    assert set(families()) == ops | {"halves", "float64", "integers"}


def test_every_dtype_that_may_fail_by_itself_is_checked() -> None:
    assert {c.dtype for c in checks()} - {""} == {
        d.name for d in verdicts.DTYPE_FAMILIES
    }


def test_each_family_is_checked_at_a_million_elements() -> None:
    for family in families():
        large = 0
        for check in checks():
            if check.family == family and large < 900_000:
                types = [rx.asarray(x).type for x in check.operands()]
                graph = capture(lambda *xs, c=check: list(c.function(*xs)), types).graph
                sizes = [t.size for t in (*graph.in_types, *graph.out_types)]
                large = max(large, *sizes)
        assert large >= 900_000, family


def test_checks_are_the_same_each_time() -> None:
    for one, other in zip(checks(), checks(), strict=True):
        assert one.name == other.name
        for a, b in zip(one.operands(), other.operands(), strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@given(st.data())
def test_errors_are_those_of_the_laws(data: Any) -> None:
    kinds = [d for d in dtypes.ALL if not dtypes.is_complex(d)]
    dtype = data.draw(st.sampled_from(kinds))
    one = np.asarray(data.draw(strategies.arrays(dtype, (5,))))
    other = np.asarray(data.draw(strategies.arrays(dtype, (5,))))
    for a, b in ((one, other), (one, one)):
        for spread in (False, True):
            assert error_of(a, b, spread) == ulps_between(a, b, spread)
        if error_of(a, b):
            assert (
                f"found {a[a != b][0]}" in first_difference(a, b) or np.isnan(a).any()
            )


# a sound device ----------------------------------------------------------------------


def test_a_sound_machine_passes(run: Run, target: Target) -> None:
    shown = run("doctor", "--json")
    assert (shown.exit_code, shown.stderr) == (0, "")
    report = json.loads(shown.stdout)
    assert set(report) == {"rxcore", "wrong", "devices", "problems", "why_none"}
    assert report["wrong"] is False
    assert [d["name"] for d in report["devices"]] == rx.devices()
    for device in report["devices"]:
        assert set(device) == {
            *("name", "description", "driver", "families", "refused", "recorded_in")
        }
        assert (device["refused"], device["recorded_in"]) == ({}, None)
        assert [f["family"] for f in device["families"]] == list(families())
        for row in device["families"]:
            assert {f["status"] for f in (row, *row["checks"])} == {"ok"}, row
            assert row["seconds"] >= 0
            assert row["ulps"] == max(c["ulps"] for c in row["checks"])
            assert row["text"] == ""
            keys = {"name", "status", "ulps", "seconds", "text", "on_host"}
            assert all(set(c) == keys for c in row["checks"])
    names = [c["name"] for f in report["devices"][0]["families"] for c in f["checks"]]
    assert names == [c.name for c in checks()]
    assert target.device.driver == report["devices"][1]["driver"]


def test_a_table_for_people(run: Run) -> None:
    shown = run("doctor", "--family", "creation", "--family", "window")
    assert (shown.exit_code, shown.stderr) == (0, "")
    lines = shown.output.splitlines()
    for name in rx.devices():
        start = next(k for k, s in enumerate(lines) if s.startswith(f"{name}: "))
        assert lines[start + 1].split() == [
            "family",
            "result",
            "worst",
            "error",
            "time",
        ]
        assert [s.split()[:2] for s in lines[start + 2 : start + 4]] == [
            ["creation", "ok"],
            ["window", "ok"],
        ]
    assert lines[-1] == "no wrong result"


def test_what_a_device_lacks_is_not_supported(tmp_path: Path) -> None:
    environment = {
        "RXCORE_OPENCL_LIMITS": "fp64=0,max_group=64",
        "RXCORE_CACHE_DIR": str(tmp_path),
    }
    shown = subprocess.run(
        [sys.executable, "-m", "rxcore", *DOCTOR, "--family", "float64", "--json"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    (row,) = json.loads(shown.stdout)["devices"][0]["families"]
    assert (row["status"], row["ulps"]) == ("not supported", None)
    assert row["text"] == "it does not compute with float64"
    assert not list(tmp_path.glob("verdicts-*"))


def test_names_that_do_not_exist(run: Run) -> None:
    shown = run("doctor", "--device", "opencl:77")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "'opencl:77' is out of range" in shown.stderr
    shown = run("doctor", "--device", "gpu")
    assert "there is no device 'gpu'; there are 'cpu', 'opencl'" in shown.stderr
    shown = run("doctor", "--family", "sorting")
    assert (shown.exit_code, shown.stdout) == (2, "")
    told = " ".join(shown.stderr.split())
    assert "there is no family 'sorting'; there are elementwise, compare" in told


# a device that computes wrongly ------------------------------------------------------


def test_a_wrong_family_is_found_recorded_avoided_and_cleared(
    run: Run, target: Target, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    call = rx.jit(largest, device="opencl")
    assert call(x).device == "opencl"
    with monkeypatch.context() as patch:
        plant(patch)
        shown = run(*REDUCTIONS, "--family", "creation", "--json")
    assert shown.exit_code == 1
    report = json.loads(shown.stdout)
    (device,) = report["devices"]
    assert report["wrong"] is True
    statuses = {r["family"]: r["status"] for r in device["families"]}
    assert statuses == {"creation": "ok", "reduction": "wrong"}
    assert list(device["refused"]) == ["reduction"]
    assert "found" in device["refused"]["reduction"]
    file = Path(device["recorded_in"])
    assert file == folder / verdicts.file_name(target.device)
    assert json.loads(file.read_text())["driver"] == target.device.driver

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = call(x)
        more = call(np.ones((5, 2), np.float32))
    assert [w.category for w in told] == [RuntimeWarning]
    assert [str(w.message) for w in told] == [
        f"opencl ({target.device.name}): `rxcore doctor` found that reduction fails on"
        " it; after an update of its driver run `rxcore doctor` again; the CPU runs"
        " this call instead (said once)"
    ]
    assert found.device == more.device == "cpu"
    assert np.asarray(found).tolist() == [3, 7, 11]
    assert rx.jit(lambda v: v + 1, device="opencl")(x).device == "opencl"
    assert "opencl does not run reduction" in run("devices").output

    assert in_another_process(folder) == "cpu"

    assert run(*REDUCTIONS).exit_code == 0
    assert not file.exists()
    assert verdicts.recorded(target.device) == {}
    assert call(x).device == "opencl"
    assert in_another_process(folder) == "opencl"


def in_another_process(folder: Path) -> str:
    """Say where a reduction for the device runs in a new process."""
    source = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import numpy as np, rxcore as rx, rxcore.numpy as rnp\n"
        "f = rx.jit(lambda x: rnp.max(x, axis=1), device='opencl')\n"
        "out = f(np.ones((2, 3), np.float32))\n"
        "assert np.asarray(out).tolist() == [1, 1]\n"
        "print(out.device)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        env={**os.environ, "RXCORE_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return shown.stdout.strip()


def test_the_table_says_what_is_wrong(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    shown = run(*REDUCTIONS, color=True)
    assert shown.exit_code == 1
    lines = shown.output.splitlines()
    assert "\x1b[31mwrong\x1b[0m" in shown.output
    told = next(s for s in lines if s.startswith("reduction: sums and extremes"))
    assert "37x1009: extreme of rows: found " in told
    assert ", expected 8.0 at [0] (37 of 37 elements differ)" in told
    assert any(s.startswith("the CPU runs these from now on, recorded") for s in lines)
    assert "1 family is wrong" in lines[-1]


def test_a_device_that_fails_is_an_error_and_not_wrong(run: Run, folder: Path) -> None:
    # Out of memory says nothing of the ops; a kernel that cannot be built does.
    for kind, refused in (("memory", []), ("build", ["window"])):
        with opencl_fault.inject(kind, times=None):
            rx.clear_caches()
            shown = run(*DOCTOR, "--family", "window", "--json")
        assert shown.exit_code == 0
        (device,) = json.loads(shown.stdout)["devices"]
        assert [r["status"] for r in device["families"]] == ["error"]
        assert list(device["refused"]) == refused
    assert len(list(folder.glob("verdicts-*"))) == 1


def test_a_driver_that_ends_the_process_is_remembered(
    run: Run, target: Target, folder: Path
) -> None:
    source = (
        "import os\n"
        "from rxcore.cli import diagnosis, main\n"
        "examine = diagnosis.examine\n"
        "def ends(prepared, target):\n"
        "    if target is not None and prepared.check.family == 'window':\n"
        "        os._exit(9)\n"
        "    return examine(prepared, target)\n"
        "diagnosis.examine = ends\n"
        "main(['doctor', '--family', 'creation', '--family', 'window'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        env={**os.environ, "RXCORE_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (9, "")
    both = (*DOCTOR, "--family", "creation", "--family", "window", "--json")
    (device,) = json.loads(run(*both).stdout)["devices"]
    statuses = {r["family"]: r["status"] for r in device["families"]}
    assert statuses == {"creation": "ok", "window": "error"}
    text = "not checked: the last doctor's process ended in 'of 37x53'"
    assert device["refused"] == {"window": text}
    # The next one tries it again.
    (device,) = json.loads(run(*both).stdout)["devices"]
    assert {r["status"] for r in device["families"]} == {"ok"}
    assert device["refused"] == {}
    assert not list(folder.glob(f"{verdicts.PREFIX}*"))
    assert not target.fault


@pytest.mark.parametrize("left", ["", "[]", '{"family": 1}', '{"process": "x"}'])
def test_an_unreadable_journal_is_none(target: Target, folder: Path, left: str) -> None:
    folder.mkdir(mode=0o700)
    file = journal_of(target.device).file
    assert file is not None
    file.write_text(left)
    assert journal_of(target.device) == Journal(file)
    with journal_of(target.device).running("sort", "of 5"):
        assert json.loads(file.read_text())["family"] == "sort"
        assert journal_of(target.device).died == ("sort", "of 5")
    assert not file.exists()


def test_a_doctor_beside_this_one_is_left_alone(target: Target, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    file = journal_of(target.device).file
    assert file is not None
    left = {"process": os.getppid(), "family": "sort", "check": "of 5"}
    file.write_text(json.dumps(left))
    made = journal_of(target.device)
    assert (made.file, made.died) == (None, None)
    assert file.exists()


def test_a_lost_device_is_not_asked_again(run: Run, target: Target) -> None:
    target.fault = ""
    try:
        with opencl_fault.inject("lost", at="transfer"):
            shown = run(*DOCTOR, "--family", "window", "--family", "creation", "--json")
        assert shown.exit_code == 0
        (device,) = json.loads(shown.stdout)["devices"]
        texts = [c["text"] for f in device["families"] for c in f["checks"]]
        first, *others = texts
        assert "a fault that was asked for" in first
        assert set(others) == {"not checked: the device was lost in 'count'"}
        assert list(device["refused"]) == ["creation"]
        assert target.fault == first
    finally:
        target.fault = ""


# the record --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b'{"schema": 1}',
        b'{"schema": 99, "families": {"reduction": "x"}}',
        b'{"schema": 1, "families": ["reduction"]}',
        b'{"schema": 1, "families": null}',
        b"[" * 100_000,
    ],
)
def test_an_unreadable_record_is_none(
    target: Target, folder: Path, content: bytes
) -> None:
    folder.mkdir(mode=0o700)
    (folder / verdicts.file_name(target.device)).write_bytes(content)
    assert verdicts.recorded(target.device) == {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rx.jit(largest, device="opencl")(np.ones((2, 3))).device == "opencl"


def test_a_record_is_read_once(target: Target, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    file = folder / verdicts.file_name(target.device)
    file.write_text('{"schema": 1, "families": {"sort": "seen"}}')
    assert verdicts.refused(target.device, ["sort"])
    assert not verdicts.refused(target.device, ["window", "control"])
    file.unlink()
    assert verdicts.recorded(target.device) == {"sort": "seen"}
    verdicts.forget()
    assert verdicts.recorded(target.device) == {}


def test_what_was_not_examined_stays_recorded(target: Target, folder: Path) -> None:
    device = target.device
    verdicts.record(device, ["sort", "window"], {"sort": "a", "window": "b"})
    file = verdicts.record(device, ["window", "control"], {"control": "c"})
    assert verdicts.recorded(device) == {"control": "c", "sort": "a"}
    assert file is not None
    assert file.parent == folder
    verdicts.forget()
    assert verdicts.recorded(device) == {"control": "c", "sort": "a"}
    assert [f.name for f in folder.iterdir()] == [file.name]
    assert verdicts.record(device, ["sort", "control"], {}) is None
    assert not list(folder.iterdir())


def test_without_a_folder_a_record_holds_in_this_process(
    target: Target, folder: Path
) -> None:
    folder.write_text("no folder")
    assert verdicts.record(target.device, ["sort"], {"sort": "seen"}) is None
    assert "sort fails on it" in verdicts.refused(target.device, ["sort"])


def test_another_driver_is_another_record(target: Target) -> None:
    device = target.device
    names = {verdicts.file_name(device)}
    for change in ({"driver": "9.9"}, {"name": "Other"}, {"platform": "Other"}):
        parts = {k: getattr(device, k) for k in ("name", "platform", "driver", "facts")}
        other = opencl.Device(**{**parts, **change}, handle=device.handle)
        names.add(verdicts.file_name(other))
    assert len(names) == 4
    assert all(Path(n).name == n and n.startswith("verdicts-") for n in names)


def test_families_of_a_program_are_those_of_bodies_and_dtypes_too() -> None:
    def step(carry: Any, x: Any) -> Any:
        return carry + rx.sort(x)[0].astype(rnp.int8), None

    def program(x: Any) -> list[Any]:
        return [rx.scan(step, rnp.zeros((), rnp.int8), x)[0]]

    graph = capture(program, [rx.asarray(np.ones((3, 4))).type]).graph
    found = list(verdicts.families_of(graph))
    assert len(found) == len(set(found))
    assert {"control", "sort", "elementwise", "int8", "float64"} <= set(found)
    assert not {"contraction", "float32", "int16"} & set(found)


# devices that round otherwise --------------------------------------------------------


def test_devices_without_subnormals_may_give_zeros(target: Target) -> None:
    check = next(c for c in checks() if c.family == "elementwise")
    made = examining.prepare(check, keeps_subnormals=False)
    least = np.float32(2.0**-126)
    for x in made.operands:
        if x.dtype == np.float32:
            assert not np.any((np.abs(x) < least) & (x != 0))
    flushing = attrs.evolve(target.facts, denormals=False)
    found = [
        np.where(np.abs(e) < least, np.zeros_like(e), e) if e.dtype == np.float32 else e
        for e in made.expected
    ]
    assert examining.compare(made, found, flushing)[0] == "ok"
    assert any(np.any(f != e) for f, e in zip(found, made.expected, strict=True))


def test_bits_are_asked_for_where_a_device_rounds_alike(target: Target) -> None:
    check = next(c for c in checks() if c.family == "elementwise")
    made = examining.prepare(check)
    exp = check.labels.index("exp")
    found = list(made.cpu())
    found[exp] = np.nextafter(found[exp], np.float32(np.inf))
    alike = attrs.evolve(
        target.facts, fused_multiply_add=True, rounded_divide=True, denormals=True
    )
    status, _, text = examining.compare(made, found, alike)
    assert status == "wrong"
    assert "exp: not the bits of the CPU: found " in text
    unlike = attrs.evolve(alike, fused_multiply_add=False)
    assert examining.compare(made, found, unlike)[0] == "ok"
