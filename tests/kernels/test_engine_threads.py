"""Pieces run exactly once, whoever runs them; calls, forks and signals do not mix."""

import _thread
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels import engine, host, memory, native, workers
from rxcore_kernels.engine import Entry, ExecutionError, OutputSpec
from tests.kernels.engine_programs import Draft, buffer, step, values

SIZE = 500


@pytest.fixture(autouse=True)
def _default_threads():
    yield
    workers.set_count(None)


def visits(lo: int, hi: int, chunk: int, release: bool = False) -> tuple:
    """A program that visits [lo, hi) twice in a chain, and then sums both."""
    draft = Draft(0, [OutputSpec(8 * SIZE)] * 2)
    slots = draft.slots
    one, two = (slots.output(0), 0), (slots.output(1), 0)
    draft.rows[0] += [
        Entry(engine.FILL, draft.words(one, 0), 0, 8 * SIZE),
        Entry(engine.FILL, draft.words(two, 0), 0, 8 * SIZE),
        Entry(step("visit"), draft.words(0, one, 0, 0), lo, hi, chunk, 2),
        Entry(step("affine"), draft.words(one, two, 10, 1)),
        Entry(step("visit"), draft.words(0, one, 0, 0)),
        Entry(step("accumulate"), draft.words(one, two, 0, 0), lo, hi, chunk),
    ]
    return draft.make(release_gil=release)


def test_a_thread_keeps_one_exception_at_most():
    native.keep_exception(ValueError(1))
    status = native.keep_exception(ValueError(2))
    with pytest.raises(ValueError, match="2"):
        native._raise_status(status)
    with pytest.raises(ExecutionError):
        native._raise_status(status)


@given(
    threads=st.integers(1, 4),
    data=st.data(),
    lo=st.integers(0, SIZE),
    chunk=st.sampled_from([1, 2, 3, 7, 64, 499, 500, 10_000]),
    release=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_pieces_cover_the_range_once_for_any_thread_count(
    threads, data, lo, chunk, release
):
    hi = data.draw(st.integers(lo, SIZE))
    workers.set_count(threads)
    program = visits(lo, hi, chunk, release)
    inside = np.zeros(SIZE, bool)
    inside[lo:hi] = True
    for _ in range(5):
        one, two = program.run()
        np.testing.assert_array_equal(values(one, SIZE), np.where(inside, 2, 0))
        np.testing.assert_array_equal(values(two, SIZE), np.where(inside, 13, 0))
    assert workers.running() == threads - 1


def test_workers_take_pieces_when_the_work_is_long():
    workers.set_count(2)
    seen = set()

    def piece(_words, _lo, _hi):
        seen.add(threading.get_ident())
        time.sleep(0.002)

    address, keep = engine.callback(piece)
    draft = Draft(0, [])
    draft.rows[0].append(Entry(address, draft.words(0), 0, 50, 1))
    program = draft.make(release_gil=True, keep_alive=keep)
    time.sleep(0.01)  # the worker of an earlier test is asleep by now
    for _ in range(50):  # a busy machine may give the second thread no core for long
        program.run()
        if len(seen) == 2:
            break
    assert len(seen) == 2


@pytest.mark.parametrize("threads", [1, 3])
def test_a_status_of_any_piece_comes_out(threads):
    workers.set_count(threads)

    def piece(words, lo, _hi):
        time.sleep(0.0005)
        if lo in (words[0], words[0] + 1):
            raise LookupError(lo)

    address, keep = engine.callback(piece)
    for bad in (0, 17, 39):
        draft = Draft(0, [])
        draft.rows[0].append(Entry(address, draft.words(bad), 0, 40, 1))
        program = draft.make(release_gil=True, keep_alive=keep)
        with pytest.raises(LookupError):
            program.run()
    draft = Draft(0, [])
    draft.rows[0].append(Entry(step("fail"), draft.words(9), 0, 40, 1))
    with pytest.raises(ExecutionError, match="status 9"):
        draft.make().run()
    assert len(native._exceptions) <= threads - 1


@pytest.mark.parametrize("release", [False, True])
def test_calls_from_many_threads_do_not_mix(release):
    workers.set_count(3)
    draft = Draft(1, [OutputSpec(8 * SIZE)], arena_bytes=8 * SIZE)
    slots = draft.slots
    middle = (slots.arena, 0)
    words = draft.words((0, 0), middle, 3, 1)
    draft.rows[0] += [
        Entry(step("affine"), words, 0, SIZE, 50),
        Entry(step("affine"), draft.words(middle, (1, 0), 2, 5), 0, SIZE, 7),
    ]
    program = draft.make(release_gil=release)
    wrong = []

    def call(seed: int) -> None:
        data = np.arange(SIZE) + 1000 * seed
        mine = buffer(data)
        for _ in range(300):
            (result,) = program.run(mine)
            if not (values(result, SIZE) == (data * 3 + 1) * 2 + 5).all():
                wrong.append(seed)

    threads = [threading.Thread(target=call, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_count_may_change_while_programs_run():
    program = visits(0, SIZE, 5, release=True)
    stop = threading.Event()
    sums = set()

    def call() -> None:
        while not stop.is_set():
            sums.add(int(values(program.run()[1], SIZE).sum()))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for count in (1, 2, 4, 2, 1, 3):
        workers.set_count(count)
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert sums == {13 * SIZE}


def test_workers_are_pinned_and_the_caller_is_not():
    before = host.allowed_cpus()
    workers.set_count(2)
    visits(0, SIZE, 5).run()
    assert host.allowed_cpus() == before
    if len(before) < 2 or not hasattr(os, "sched_getaffinity"):
        return
    (thread,) = workers._threads
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if len(os.sched_getaffinity(thread.native_id)) == 1:
            break
        time.sleep(0.001)
    assert len(os.sched_getaffinity(thread.native_id)) == 1


def test_cores_are_those_after_the_caller(monkeypatch):
    class Library:
        @staticmethod
        def sched_getcpu() -> int:
            return 5

    class Engine:
        library = Library

    monkeypatch.setattr(workers, "native", Engine)
    monkeypatch.setattr(host, "allowed_cpus", lambda: (1, 3, 5, 7))
    assert workers._cores(2) == [7, 1]
    assert workers._cores(3) == [7, 1, 3]
    assert workers._cores(4) == [None] * 4


def test_a_system_without_semaphores_or_threads_works_alone(monkeypatch):
    program = visits(0, SIZE, 5)
    for lacking in ("semaphores", "threads"):
        workers.set_count(4)
        with monkeypatch.context() as patch:
            if lacking == "semaphores":
                patch.setattr(workers, "_new_semaphore", lambda: 0)
            else:
                patch.setattr(threading.Thread, "start", no_more_threads)
            assert values(program.run()[1], SIZE).sum() == 13 * SIZE
            assert workers.running() == 0


def no_more_threads(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_wrong_thread_counts_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="at least 1"):
        workers.set_count(0)
    monkeypatch.setenv("RXCORE_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="RXCORE_NUM_THREADS"):
        workers.count()
    monkeypatch.setenv("RXCORE_NUM_THREADS", "3")
    assert workers.count() == 3
    monkeypatch.delenv("RXCORE_NUM_THREADS")
    assert workers.count() == host.available_cpus()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_child_starts_its_own_workers():
    workers.set_count(2)
    program = visits(3, SIZE, 5, release=True)
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            program.run()

    thread = threading.Thread(target=call)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    forgotten = workers.running() == 0
                    sums = {int(values(program.run()[1], SIZE).sum()) for _ in range(9)}
                    own = workers.running() == 1
                    if forgotten and own and sums == {13 * (SIZE - 3)}:
                        status = 0
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        thread.join()


def endless(table_of_body: list[Entry], release: bool) -> engine.NativeProgram:
    draft = Draft(0, [], 3)
    draft.rows[2] += table_of_body
    flag = draft.numbers([1])
    draft.rows[0].append(
        Entry(
            engine.WHILE,
            draft.words(
                draft.frame,
                draft.table(1),
                0,
                flag,
                draft.table(2),
                len(table_of_body),
                draft.frame,
                0,
            ),
        )
    )
    return draft.make(release_gil=release)


@pytest.fixture
def interruptible():
    """Let Ctrl-C interrupt: a process started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send_and_run(sender: subprocess.Popen, program: engine.NativeProgram) -> None:
    sender.stdin.write(b"go\n")
    sender.stdin.flush()
    program.run()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("release", [False, True])
@pytest.mark.parametrize("body", ["nothing", "copy"])
def test_ctrl_c_ends_an_endless_loop(release, body):
    rows = [] if body == "nothing" else [Entry(engine.COPY, 0, 0, 0)]
    program = endless(rows, release)
    before = memory.statistics().in_use_bytes
    # A real signal from outside: with the lock held no other thread can send one.
    command = (
        "import os, sys, time; sys.stdin.readline(); time.sleep(0.1);"
        f"os.kill({os.getpid()}, {signal.SIGINT})"
    )
    arguments = [sys.executable, "-S", "-c", command]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE) as sender:
        with pytest.raises(KeyboardInterrupt):
            send_and_run(sender, program)
        sender.wait()
    assert memory.statistics().in_use_bytes == before


@pytest.mark.usefixtures("interruptible")
def test_other_threads_run_while_the_lock_is_released():
    program = endless([Entry(engine.COPY, 0, 0, 0)], release=True)
    ticks = []
    begin = threading.Event()

    def tick() -> None:
        begin.wait()
        while len(ticks) < 5:
            ticks.append(1)
            time.sleep(0.001)
        _thread.interrupt_main()

    def run() -> None:
        begin.set()
        program.run()

    thread = threading.Thread(target=tick)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run()
    thread.join()
    assert len(ticks) == 5


def test_a_process_ends_quietly_with_workers_and_capsules_alive():
    code = """
import numpy as np
from rxcore_kernels import workers
from tests.kernels.test_engine_threads import visits
workers.set_count(3)
kept = visits(0, 500, 5).run()
assert workers.running() == 2
import builtins
builtins.kept = kept
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
