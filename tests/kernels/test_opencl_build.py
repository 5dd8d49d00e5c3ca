"""A text is compiled once, ever; limits are checked before a driver is asked."""

import os
import struct
import subprocess
import sys
import threading
import warnings

import attrs
import pytest

from rxcore_kernels import cache, opencl_build
from rxcore_kernels.launch import OpenCLSource
from rxcore_kernels.opencl import DeviceFault
from tests.kernels.opencl_kernels import GROUP, affine, fresh_device, run_affine


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "objects"
    cache.set_directory(path)
    yield path
    opencl_build.settle()
    cache.reset()


def counts(device):
    found = device.build_statistics()
    return found.compiled, found.from_disk, found.in_memory


def files(folder):
    opencl_build.settle()
    return sorted(folder.glob("*.rxb"))


def test_a_text_is_built_once_in_a_process_and_once_on_a_machine(folder):
    first = fresh_device()
    first.open()
    before = counts(first)
    run_affine(first)
    run_affine(first)
    assert tuple(map(int.__sub__, counts(first), before)) == (1, 0, 1)
    assert first.build(affine()) is first.build(affine())
    kept = files(folder)
    assert kept
    assert cache.info().files == len(kept)
    second = fresh_device()
    run_affine(second)
    assert counts(second)[:2] == (0, 1)
    assert files(folder) == kept
    cache.clear()
    assert files(folder) == []


@pytest.mark.parametrize("harm", ["short", "flipped", "empty", "other"])
def test_a_bad_binary_is_a_miss_and_is_rebuilt_silently(folder, harm, capfd):
    run_affine(fresh_device())
    for path in files(folder):
        data = bytearray(path.read_bytes())
        if harm == "short":
            data = data[:-1]
        elif harm == "flipped":
            data[-1] ^= 1
        elif harm == "empty":
            data = bytearray()
        else:  # the cache's own checks pass, the driver refuses it
            body = b"not a binary" * 10
            assert cache.current().store(path.stem, body, cache.DEVICE_SUFFIX)
            continue
        path.write_bytes(data)
    device = fresh_device()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_affine(device)
    assert counts(device)[:2] == (1, 0)
    assert capfd.readouterr() == ("", "")
    files(folder)
    again = fresh_device()
    run_affine(again)
    assert counts(again)[:2] == (0, 1)


def test_without_a_folder_nothing_is_kept():
    cache.set_directory(None)
    try:
        device = fresh_device()
        run_affine(device)
        opencl_build.settle()
        assert counts(device)[0] == 1
    finally:
        cache.reset()


def test_a_binary_serves_its_text_its_options_and_its_driver_alone():
    device = fresh_device()
    device.open()
    builder, facts = device._builder, device.facts
    names = {
        attrs.evolve(builder, identity=identity)._file_name(affine(factor), options)
        for identity in ("one driver", "another")
        for factor in (1, 2)
        for options in ("-cl-std=CL1.2", "-cl-std=CL1.2 -w")
    }
    assert len(names) == 8
    strict = opencl_build._options(attrs.evolve(facts, rounded_divide=True))
    plain = opencl_build._options(attrs.evolve(facts, rounded_divide=False))
    assert strict.split() == [*plain.split(), "-cl-fp32-correctly-rounded-divide-sqrt"]


def test_a_fault_of_the_text_says_where_and_names_no_file(capfd):
    device = fresh_device()
    before = device.build_statistics()
    text = affine().text.replace("* 3", "* missing")
    with pytest.raises(DeviceFault) as caught:
        device.build(attrs.evolve(affine(), text=text))
    assert caught.value.kind == "build"
    line = next(k for k, t in enumerate(text.splitlines(), 1) if "missing" in t)
    column = text.splitlines()[line - 1].index("missing") + 1
    assert f"{line}:{column}" in str(caught.value)
    assert "missing" in str(caught.value)
    assert os.sep + "tmp" not in str(caught.value)
    assert "tempfile" not in str(caught.value)
    assert device.build_statistics().compiled == before.compiled
    capfd.readouterr()
    with pytest.raises(DeviceFault, match="other") as caught:
        device.build(attrs.evolve(affine(), symbol="other"))
    assert caught.value.kind == "build"


def test_what_a_compiler_warns_of_is_not_shown(capfd):
    text = "#warning of nothing\n" + affine(11).text
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fresh_device().build(attrs.evolve(affine(11), text=text))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("log", "kept"),
    [
        ("error: /a/b_c.cl:1:25: use of 'y'", "error: 1:25: use of 'y'"),
        ("<kernel>:3:4: error: no", "3:4: error: no"),
        ("C:\\tmp\\x.cl:3:4: error: no", "3:4: error: no"),
        ('"/tmp/OCL1T2.cl", line 3: error: no', "line 3: error: no"),
        ("a.cl:1:2: one\n\nb.cl:3:4: two", "1:2: one\n3:4: two"),
        ("no position: at all", "no position: at all"),
    ],
)
def test_positions_stay_when_files_go(log, kept):
    assert opencl_build.without_files(log) == kept


WIDE = ("f64",) * 200


@pytest.mark.parametrize(
    ("source", "facts", "words"),
    [
        (affine(local_bytes=32769), {"local_bytes": 1 << 15}, "32769 bytes of local"),
        (affine(), {"max_group": 32}, "64 work-items"),
        (affine(), {"max_item": (32, 64, 64)}, "64 work-items along 0"),
        (affine(group=(1, 1, 128)), {"max_item": (64, 64, 64)}, "along 2"),
        (affine(scalars=WIDE), {"max_argument_bytes": 1024}, "1636 bytes of arguments"),
        (affine(fp64=True), {"fp64": False}, "no float64"),
    ],
)
def test_what_a_device_cannot_run_is_refused_before_it_is_built(source, facts, words):
    device = fresh_device()
    device = attrs.evolve(device, facts=attrs.evolve(device.facts, **facts))
    with pytest.raises(DeviceFault, match=words) as caught:
        device.build(source)
    assert caught.value.kind == "limit"
    assert device.build_statistics().compiled == 0


def test_local_memory_is_counted_as_the_compiler_does():
    text = f"""
__kernel __attribute__((reqd_work_group_size({GROUP}, 1, 1)))
void greedy(__global int* restrict x, long x_at, int base) {{
    __local int kept[10000];
    kept[get_local_id(0)] = base;
    barrier(CLK_LOCAL_MEM_FENCE);
    x[x_at + get_local_id(0)] = kept[{GROUP - 1} - get_local_id(0)];
}}
"""
    source = OpenCLSource(text, "greedy", 1, (), (GROUP, 1, 1), local_bytes=256)
    device = fresh_device()
    facts = attrs.evolve(device.facts, local_bytes=1 << 15)
    with pytest.raises(DeviceFault, match="40000 bytes of local") as caught:
        attrs.evolve(device, facts=facts).build(source)
    assert caught.value.kind == "limit"


def test_threads_build_a_text_once():
    device = fresh_device()
    device.open()
    before = counts(device)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(device.build(affine(7))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    made = tuple(map(int.__sub__, counts(device), before))
    assert made[0] + made[1] == 1
    assert made[2] == 3


def test_a_short_process_keeps_its_binary_for_the_next(tmp_path):
    code = (
        "from tests.kernels.opencl_kernels import fresh_device, run_affine\n"
        "device = fresh_device()\n"
        "run_affine(device)\n"
        "print(device.build_statistics())"
    )
    printed = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={**os.environ, "RXCORE_CACHE_DIR": str(tmp_path), "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        printed.append(done.stdout.strip())
    assert printed == [
        "BuildStatistics(compiled=1, from_disk=0, in_memory=0)",
        "BuildStatistics(compiled=0, from_disk=1, in_memory=0)",
    ]
    magic = next(tmp_path.glob("*.rxb")).read_bytes()[:8]
    assert struct.unpack("8s", magic) == (b"rxobj\x00\x00\x01",)
