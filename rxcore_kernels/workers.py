"""Worker threads: Python daemon threads that live in the engine's worker loop.

They start with the first program that has rows cut into pieces, each pinned to its own
core (the caller is never pinned), spin briefly between rows and then sleep on a
semaphore. A forked child has none of them and starts its own.
"""

import atexit
import contextlib
import ctypes
import os
import threading
import time

from rxcore_kernels import host
from rxcore_kernels.native import native, on_start

__all__ = ["count", "prepare", "running", "set_count", "stop"]

# A worker waits this long for the next row before it sleeps: about what waking costs.
_SPIN_SECONDS = 50e-6
# Waking takes 10-80 us: below this much predicted work the caller goes on alone.
_WAKE_SECONDS = 130e-6
# A caller that waits longer for a piece in a worker's hands lets others run.
_YIELD_SECONDS = 20e-6
# How often a running program asks Python about Ctrl-C.
_POLL_SECONDS = 50e-3

_STARTED = 1
_STEP = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)
_JOIN_SECONDS = 5.0
_SEMAPHORE_FUNCTIONS = ("sem_init", "sem_post", "sem_wait")

_lock = threading.RLock()
_threads: list[threading.Thread] = []
_wanted: int | None = None
_exiting = False
_prepared = False
# The semaphore's memory; never freed, a worker of a lost process image may wait on it.
_semaphores: list[ctypes.Array[ctypes.c_char]] = []


def count() -> int:
    """Return how many threads a parallel row may use, the caller's included."""
    if _wanted is not None:
        return _wanted
    text = os.environ.get("RXCORE_NUM_THREADS", "").strip()
    if not text:
        return host.available_cpus()
    if not text.isdigit() or int(text) == 0:
        raise ValueError(
            f"RXCORE_NUM_THREADS: expected a whole number of threads, got {text!r}"
        )
    return int(text)


def running() -> int:
    """Return how many workers have been started (0 before the first parallel row)."""
    return len(_threads)


def set_count(threads: int | None) -> None:
    """Use this many threads from now on, the caller's included; None for the default.

    Results do not depend on it. Workers are stopped here and started again by the
    next parallel program.
    """
    global _wanted
    if threads is not None and threads < 1:
        raise ValueError(f"set_count: expected at least 1 thread, got {threads}")
    with _lock:
        stop()
        _wanted = threads


def prepare() -> None:
    """Set the engine's clock rates and the function that starts workers, once."""
    global _prepared
    if _prepared:
        return
    with _lock:
        if not _prepared:
            on_start(_start)
            _calibrate()
            _prepared = True


def stop() -> None:
    """Send all workers home and wait for them.

    The row that is running finishes first: pieces in a worker's hands are never
    dropped. The next parallel program starts workers again.

    Raises:
        RuntimeError: A row ran on for longer than this waits.
    """
    with _lock:
        if not _prepared:
            return
        engine = native()
        ticks = int(_JOIN_SECONDS * engine.word("tune.spin").value / _SPIN_SECONDS)
        # Without Python's lock: the row that is waited for may need it.
        if _STEP(engine.addresses["crew.close"])(None, 0, ticks) != 0:
            raise RuntimeError(
                f"workers.stop: expected the running row to end within "
                f"{_JOIN_SECONDS:g} s, it did not; call this when no program runs"
            )
        engine.step("crew.dismiss")
        for thread in _threads:
            thread.join(_JOIN_SECONDS)
        _threads.clear()
        _reset(0, 0)


def _start() -> None:
    """Start the workers; called by the engine with Python's lock held."""
    with _lock:
        if _threads or _exiting:
            return
        workers = count() - 1
        semaphore = _new_semaphore() if workers > 0 else 0
        if semaphore == 0:
            workers = 0  # this system has no semaphores: the caller works alone
        _reset(_STARTED, semaphore)
        for core in _cores(workers):
            thread = threading.Thread(
                target=_work, args=(core,), name="rxcore-worker", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # the system gives no more threads
                break
            _threads.append(thread)
        native().word("crew.workers").value = len(_threads)


def _work(core: int | None) -> None:
    if core is not None:
        with contextlib.suppress(OSError):  # the core may be gone meanwhile
            os.sched_setaffinity(0, {core})  # 0 is this thread alone
    _STEP(native().addresses["crew.worker"])(None, 0, 0)


def _cores(workers: int) -> list[int | None]:
    """Cores to pin workers to, never the one that the caller is on."""
    allowed = list(host.allowed_cpus())
    try:
        here = native().library.sched_getcpu()
    except AttributeError:
        here = allowed[0]
    # The cores after the caller's first: processes that use a part of the machine each
    # should not all choose the same part.
    after = [core for core in allowed if core > here]
    others = after + [core for core in allowed if core < here]
    if workers > len(others) or not hasattr(os, "sched_setaffinity"):
        return [None] * workers  # more threads than cores, or no way to pin them
    return list(others[:workers])


def _new_semaphore() -> int:
    """Address of a fresh semaphore, 0 where the system has none without a name."""
    library = native().library
    if not all(hasattr(library, name) for name in _SEMAPHORE_FUNCTIONS):
        return 0
    memory = ctypes.create_string_buffer(256)
    if library.sem_init(memory, 0, 0) != 0:
        return 0
    _semaphores.append(memory)
    return ctypes.addressof(memory)


def _reset(state: int, semaphore: int) -> None:
    native().step("crew.reset", state, 0, semaphore)


def _calibrate() -> None:
    """Set the engine's times, which are in ticks of its own clock."""
    engine = native()
    ticks = _ticks_per_second()
    engine.word("tune.spin").value = int(_SPIN_SECONDS * ticks)
    engine.word("tune.wake").value = int(_WAKE_SECONDS * ticks)
    engine.word("tune.yield").value = int(_YIELD_SECONDS * ticks)
    engine.word("tune.poll").value = int(_POLL_SECONDS * ticks)


def _ticks_per_second() -> float:
    """Rate of the clock, over one millisecond: good to well below a percent."""
    engine = native()
    start = time.perf_counter_ns()
    first = engine.step("step.ticks", 0)[0]
    while time.perf_counter_ns() - start < 1_000_000:
        pass
    last = engine.step("step.ticks", 0)[0]
    gone = time.perf_counter_ns() - start
    return max(1.0, (last - first) * 1e9 / gone)


def _stop_at_exit() -> None:
    global _exiting
    _exiting = True
    # A row that never ends in a daemon thread: the process ends without it.
    with contextlib.suppress(RuntimeError):
        stop()


def _forget() -> None:
    """After a fork only the forking thread is left: start over when asked."""
    global _lock
    _lock = threading.RLock()
    _threads.clear()
    if _prepared:
        _reset(0, 0)
        ctypes.c_int32.from_address(native().addresses["pool.lock"]).value = 0


atexit.register(_stop_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
