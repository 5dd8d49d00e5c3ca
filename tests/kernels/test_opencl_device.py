"""A device is used by many threads, leaves when it fails, and is not inherited."""

import os
import subprocess
import sys
import threading
import time

import attrs
import numpy as np
import pyopencl as cl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels import opencl, opencl_check
from rxcore_kernels.opencl import DeviceFault, device_stamp, inject, record
from tests.kernels.opencl_kernels import (
    GROUP,
    affine,
    fresh_device,
    groups,
    run_affine,
)


@pytest.fixture
def device():
    made = fresh_device()
    made.open()
    yield made
    opencl.reset()


class Broken:
    """A queue whose driver answers every call with an error."""

    def __init__(self, code):
        self.code = code

    def finish(self):
        raise coded(self.code)


class CodedError(cl.RuntimeError):
    code = 0


def coded(code):
    error = CodedError("clFinish failed")
    error.code = code
    return error


# ------------------------------------------------------------------ opening


def test_a_device_is_checked_when_it_is_opened(monkeypatch):
    device = fresh_device()
    expected = opencl_check._expected

    def other(x, u, group):
        y, v = expected(x, u, group)
        return y, v + (u == 0.25)

    monkeypatch.setattr(opencl_check, "_expected", other)
    with pytest.raises(DeviceFault, match="wrong floats in a first check") as caught:
        device.allocate(8)
    assert caught.value.kind == "other"
    assert device not in opencl.devices()
    assert (device.name, "its driver computes wrong floats in a first check") in (
        opencl.problems()
    )
    assert opencl.why_none().startswith(device.name)
    for use in (device.open, lambda: device.build(affine())):
        with pytest.raises(DeviceFault, match="wrong floats") as caught:
            use()
        assert caught.value.kind == "lost"
    monkeypatch.undo()
    opencl.reset()
    run_affine(opencl.devices()[0])


def test_the_check_runs_in_small_groups_too():
    device = fresh_device()
    facts = attrs.evolve(device.facts, max_group=16, max_item=(4, 4, 4))
    attrs.evolve(device, facts=facts).open()


def test_a_context_that_cannot_be_made_is_a_problem(monkeypatch):
    device = fresh_device()

    def refuse(_devices):
        raise coded(-2)

    monkeypatch.setattr(cl, "Context", refuse)
    with pytest.raises(DeviceFault) as caught:
        device.open()
    assert caught.value.kind == "lost"
    assert device not in opencl.devices()
    opencl.reset()


def test_a_device_that_answers_no_more_is_left(device, monkeypatch):
    queue = device.queue
    device.launch(device.build(affine()), *nothing(device))
    monkeypatch.setattr(device, "queue", Broken(-9999))
    with pytest.raises(DeviceFault, match="after affine") as caught:
        device.finish()
    assert caught.value.kind == "lost"
    assert device not in opencl.devices()
    monkeypatch.setattr(device, "queue", queue)
    for use in (
        device.finish,
        lambda: device.allocate(8),
        lambda: device.build(affine()),
        lambda: device.launch(None, [], (), (1, 1, 1)),
    ):
        with pytest.raises(DeviceFault, match="not used any more") as caught:
            use()
        assert caught.value.kind == "lost"


def test_one_refused_command_does_not_end_a_device(device):
    fault = device._fault(coded(-34), "doing it")
    assert (fault.kind, str(fault)) == ("other", "doing it: clFinish failed")
    assert device in opencl.devices()
    run_affine(device)


def test_a_stamp_is_a_part_of_a_files_name(device):
    stamp = device_stamp(device)
    assert set(stamp) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
    assert len(stamp) < 150
    others = {
        device_stamp(attrs.evolve(device, **{name: "x / y " * 50}))
        for name in ("name", "platform", "driver", "version")
    }
    assert len(others | {stamp}) == 5


# ------------------------------------------------------------------ launches


def nothing(device):
    """The arguments of a launch over no elements."""
    buffer = device.allocate(64)
    return [(buffer, 0), (buffer, 0)], (0, 0), groups(1)


@given(
    n=st.integers(1, 40 * GROUP),
    seconds=st.none() | st.floats(0, 1e6, allow_nan=False),
)
@settings(max_examples=60)
def test_a_launch_is_cut_and_every_element_is_visited(n, seconds):
    device = opencl.devices()[0]
    with record(device) as recording:
        run_affine(device, n, seconds=seconds)
    pieces = sum(s.work == "launch" for s in recording.stamps)
    most = groups(n)[0]
    assert 1 <= pieces <= most
    if seconds is None or seconds <= 0.5:
        assert pieces == 1
    else:
        # Pieces are whole groups; none is longer than the one that rounds up.
        length = -(-most // pieces)
        assert pieces == most or seconds * (length - 1) / most <= 0.5


@given(
    groups=st.tuples(st.integers(1, 10**9), st.integers(1, 9), st.integers(1, 9)),
    seconds=st.floats(0.51, 500),
)
def test_pieces_cover_a_grid_once(groups, seconds):
    pieces = opencl._pieces(groups, seconds)
    assert pieces[0][0] == 0
    ends = [base + part[0] for base, part in pieces]
    assert [base for base, _ in pieces[1:]] == ends[:-1]
    assert ends[-1] == groups[0]
    assert all(part[0] > 0 and part[1:] == groups[1:] for _, part in pieces)
    allowed = 0.5 * groups[0] / seconds + 1
    assert all(part[0] <= allowed for _, part in pieces)


@pytest.mark.parametrize("empty", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_nothing_is_launched_over_nothing(device, empty):
    kernel = device.build(affine())
    memories, scalars, _ = nothing(device)
    with record(device) as recording, inject("lost"):
        device.launch(kernel, memories, scalars, empty)
    assert recording.stamps == ()


def test_threads_share_a_device(device):
    errors = []

    def work(seed):
        try:
            for k in range(40):
                run_affine(device, 200 + seed, factor=2 + k % 3, shift=seed * 100 + k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


# ------------------------------------------------------------------ recordings


def test_commands_are_recorded_in_order_and_in_the_hosts_time(device):
    run_affine(device, factor=9)
    begin = time.perf_counter_ns()
    with record(device) as recording:
        run_affine(device)
        device.finish()
        run_affine(device)
        buffer = device.allocate(100)
        device.fill_zeros(buffer)
        device.copy(buffer, 0, buffer, 50, 50)
    end = time.perf_counter_ns()
    stamps = recording.stamps
    assert [(s.work, s.name, s.nbytes, s.first) for s in stamps] == [
        ("upload", "upload", 4000, False),
        ("launch", "affine", 0, True),
        ("download", "download", 4000, False),
        ("upload", "upload", 4000, False),
        ("launch", "affine", 0, False),
        ("download", "download", 4000, False),
        ("fill", "fill", 100, False),
        ("copy", "copy", 50, False),
    ]
    for one, following in zip(stamps, [*stamps[1:], None], strict=True):
        assert begin <= one.queued <= one.start <= one.end
        assert following is None or one.end <= following.end
    # The clocks run at one rate; the offset is known up to an enqueueing.
    assert stamps[-1].end <= end + 1_000_000
    run_affine(device)
    assert recording.stamps == stamps
    assert not device.recordings


def test_recordings_may_overlap(device):
    with record(device) as outer:
        run_affine(device)
        with record(device) as inner:
            run_affine(device)
    assert len(inner.stamps) == 3
    assert [s.work for s in outer.stamps] == [s.work for s in inner.stamps] * 2


# ------------------------------------------------------------------ processes


def in_process(code):
    """Run code in a new Python that must end by itself; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout.split("\n")[:-1]


FORK = """
import gc, os, sys, warnings
import numpy as np
from rxcore_kernels import opencl
from tests.kernels.opencl_kernels import *
{before}
with warnings.catch_warnings():  # a newer Python warns of any fork beside threads
    warnings.simplefilter("ignore")
    child = os.fork()
if child == 0:
    print(opencl.devices(), opencl.why_none(), opencl.problems())
    for use in ({uses}):
        try:
            use()
        except opencl.DeviceFault as fault:
            print(fault.kind, fault)
    opencl.reset()
    print(opencl.devices())
    device = kernel = buffer = None
    gc.collect()
    sys.stdout.flush()
    sys.exit(0)
assert os.waitpid(child, 0) == (child, 0)
run_affine(opencl.devices()[0])
print("parent goes on")
"""


def test_a_forked_process_leaves_devices_to_its_parent():
    before = (
        "device = opencl.devices()[0]; run_affine(device)\n"
        "kernel = device.build(affine()); buffer = device.upload(np.arange(9))"
    )
    uses = (
        "lambda: device.allocate(8), lambda: device.build(affine()), device.finish,"
        "lambda: device.launch(kernel, [(buffer, 0)] * 2, (0, 0), (1, 1, 1)),"
        "lambda: device.download(buffer, np.zeros(1)), device.open"
    )
    first, *faults, last, parent = in_process(FORK.format(before=before, uses=uses))
    assert first.startswith("() this process was forked after OpenCL was used")
    assert len(faults) == 6
    assert all(f.startswith("lost this process was forked") for f in faults)
    assert (last, parent) == ("()", "parent goes on")


def test_a_forked_process_waits_for_no_thread_of_its_parent():
    before = (
        "import threading; device = opencl.devices()[0]\n"
        "{open}kernel = buffer = None; held = threading.Event()\n"
        "thread = threading.Thread(\n"
        "    target=lambda: (device.lock.acquire(), held.set(), stop.wait()))\n"
        "stop = threading.Event(); thread.start(); held.wait()"
    )
    uses = "device.open, lambda: device.build(affine()), device.lock.acquire"
    for opened in ("", "device.open(); "):
        code = FORK.format(before=before.format(open=opened), uses=uses)
        code = code.replace("run_affine(opencl.devices()[0])\n", "stop.set()\n")
        _, *faults, last, parent = in_process(code)
        assert len(faults) == 2
        assert all(f.startswith("lost this process was forked") for f in faults)
        assert (last, parent) == ("()", "parent goes on")


def test_a_process_that_was_forked_before_opencl_was_used_has_devices():
    lines = in_process(
        FORK.format(before="", uses="lambda: run_affine(opencl.devices()[0]),").replace(
            "print(opencl.devices(), ", "print(len(opencl.devices()), "
        )
    )
    assert lines[0] == "1  ()"
    assert lines[-1] == "parent goes on"


def test_a_process_ends_while_work_is_under_way():
    code = (
        "from tests.kernels.opencl_kernels import *\n"
        "device = fresh_device()\n"
        "x = device.upload(np.arange(1 << 20, dtype=np.int32))\n"
        "y = device.allocate(4 << 20)\n"
        "kernel = device.build(affine())\n"
        "for _ in range(50):\n"
        "    device.launch(kernel, [(x, 0), (y, 0)], (1, 1 << 20), groups(1 << 20))\n"
        "print('done')"
    )
    assert in_process(code) == ["done"]


def test_nothing_waits_for_python_threads():
    device = opencl.devices()[0]
    buffer = device.upload(np.zeros(1 << 20, np.int32))
    kernel = device.build(affine())
    ticks, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            ticks[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    for _ in range(200):
        pair = [(buffer, 0), (buffer, 0)]
        device.launch(kernel, pair, (0, 1 << 19), groups(1 << 19))
    before = ticks[0]
    device.finish()
    after = ticks[0]
    stop.set()
    thread.join()
    assert after > before
