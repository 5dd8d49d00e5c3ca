"""Profiles: what is stored comes back, and what is wrong in a file is said exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rxcore.base.errors import DeviceError
from rxcore.compiler.form import COUNTS, WAVE
from rxcore.runtime.cost import (
    SHIPPED,
    dumps,
    host_profile,
    load,
    loads,
    measured,
    profile_for,
    profile_path,
    save,
    shipped,
)
from rxcore_kernels import cache
from rxcore_kernels.opencl_facts import Facts


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles(name: str) -> None:
    profile = shipped(name)
    assert {"elementwise", "row", "column", "scan", "transposed"} <= set(profile.rates)
    for shape in profile.rates:
        for count in (*COUNTS, "cache", "shared", "memory"):
            assert 1e-17 < profile.rate(shape, count).seconds < 1e-4
    # Each number says where it comes from.
    said = " ".join(profile.sources)
    assert "rates" in said
    assert "launch" in said
    assert "limits" in said
    assert (profile.facts is None) == (name == "cpu")
    assert dumps(loads(dumps(profile))) == dumps(profile)


def test_stored_profiles_come_back(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "profile.json"
    save(shipped("rx580"), path)
    assert dumps(load(path)) == dumps(shipped("rx580"))
    assert [p.name for p in path.parent.iterdir()] == ["profile.json"]


def _changed(path: str, value: Any) -> str:
    data = json.loads(dumps(shipped("rx580")))
    *outer, last = path.split(".")
    inside = data
    for key in outer:
        inside = inside[key]
    if value is None:
        del inside[last]
    else:
        inside[last] = value
    return json.dumps(data)


# The field, what it is made to be (None: left out), and what is said.
WRONG: list[tuple[str, Any, str]] = [
    ("schema", 7, "schema: expected 1, found 7"),
    ("device", None, "device: expected a value, found nothing"),
    ("device", 3, "device: expected a text, found 3"),
    ("kind", "tpu", "kind: expected one of cpu, opencl-cpu, gpu, found 'tpu'"),
    ("color", 1, "color: expected one of the fields schema, device, kind,"),
    ("limits", [], "limits: expected an object {...}, found []"),
    ("limits.threads", 1.5, "limits.threads: expected a whole number of at least 0,"),
    ("limits.caches", [1], "limits.caches: expected a list of 2 items, found [1]"),
    ("launch", [1], "launch: expected [seconds, spread], two numbers, found [1]"),
    ("launch", [0, 1], "launch[0]: expected a number above 0, found 0"),
    ("sync", ["x", 1], "sync[0]: expected a number above 0, found 'x'"),
    ("rates.row.left", [True, 1], "rates.row.left[0]: expected a number above 0,"),
    ("rates.row.speed", [1, 1], "rates.row.speed: expected one of the fields"),
    ("rates.elementwise.memory", None, "rates.elementwise.memory: expected [seconds,"),
    ("rates.kernel", None, "rates.kernel.muladd: expected [seconds, spread], found"),
    ("transfer.up", [-1, 0], "transfer.up[0]: expected a number of at least 0,"),
    ("transfer.down", None, "transfer.down: expected a value, found nothing"),
    ("facts.fp64", 1, "facts.fp64: expected true or false, found 1"),
    ("facts.kind", "npu", "facts.kind: expected gpu or cpu, found 'npu'"),
    ("corrections", [["a", 1]], "corrections[0]: expected a list of 4 items, found"),
]


@pytest.mark.parametrize(("path", "value", "said"), WRONG)
def test_what_is_wrong_in_a_file(path: str, value: Any, said: str) -> None:
    with pytest.raises(DeviceError) as caught:
        loads(_changed(path, value), "mine.json")
    text = str(caught.value)
    assert text.startswith(f"profile mine.json: field {said}")
    assert text.endswith("or delete the file so that the device is measured again")


def test_files_that_are_no_profiles(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"mine\.json: expected JSON"):
        loads("{", "mine.json")
    with pytest.raises(DeviceError, match=r"field \(top\): expected an object"):
        loads("[]")
    with pytest.raises(DeviceError, match="expected a readable file, found none"):
        load(tmp_path / "none.json")
    with pytest.raises(DeviceError, match="expected one of cpu, pocl, rx580"):
        shipped("rx9999")


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe", b'{"schema": 0}'])
def test_an_unreadable_cached_profile_is_the_default(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "profile.json"
    if content is not None:
        path.write_bytes(content)
    assert measured(path, lambda: shipped("pocl")) is shipped("pocl")
    assert measured(None, lambda: shipped("pocl")) is shipped("pocl")
    save(shipped("rx580"), path)
    assert measured(path, lambda: shipped("pocl")).device == shipped("rx580").device


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="cannot be written"):
        save(shipped("cpu"), tmp_path / "file" / "profile.json")


def test_profiles_of_devices() -> None:
    facts = Facts(units=36, global_bytes=4 << 30, max_alloc=1 << 30)
    known = profile_for("AMD Radeon RX 580 Series", facts)
    assert known.limits.memory_bytes == 4 << 30
    assert known.facts is facts
    assert known.rate("row", "simple") == shipped("rx580").rate("row", "simple")
    assert profile_for("gfx900", facts).rates == shipped("vega64").rates
    twice = profile_for("some card", Facts(units=72))
    assert twice.rate("row", "simple").seconds == pytest.approx(
        shipped("rx580").rate("row", "simple").seconds / 2
    )
    assert profile_for("a processor", Facts(kind="cpu")).kind == "opencl-cpu"
    for kind in ("cpu", "gpu"):
        # A group for each unit keeps it busy, whatever its size is.
        facts = Facts(kind=kind, units=8)
        assert profile_for("pthread-a processor", facts).limits.saturation == 8 * WAVE
    assert host_profile(3).limits.threads == 3


def test_where_measured_profiles_are(tmp_path: Path) -> None:
    before = cache.current()
    try:
        cache.set_directory(tmp_path)
        path = profile_path("Radeon RX 580 (TM)", "2639.3", "0.1.0")
        assert path == tmp_path / "profile-Radeon_RX_580_TM-2639.3-0.1.0-1.json"
        cache.set_directory(None)
        assert profile_path("a", "b", "c") is None
    finally:
        cache.set_directory(before.path)
