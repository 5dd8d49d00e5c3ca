"""OpenCL programs: compiled once, kept on disk as the driver's binaries.

Taking a binary out of a driver may cost as much as compiling (51 ms a kernel on PoCL,
which compiles a second variant for it), so it happens in a thread, after the first
result was waited for, and never in a call.
"""

import atexit
import contextlib
import ctypes
import hashlib
import math
import os
import re
import threading
import time
from typing import Any

import numpy as np
from attrs import Factory, define, field, frozen

from rxcore_kernels import cache
from rxcore_kernels.launch import OpenCLSource
from rxcore_kernels.lazy import opencl as cl
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_fault import DeviceFault, fault_of

__all__ = ["BuildStatistics", "Builder", "Kernel", "argument_bytes", "settle"]

# Raised whenever the same text is built in another way.
SCHEMA = 1
_POINTER_BYTES = 8
_OFFSET_BYTES = 8
_BASE_BYTES = 4
_SCALARS: dict[str, Any] = {
    "i32": np.int32,
    "i64": np.int64,
    "u32": np.uint32,
    "u64": np.uint64,
    "f32": np.float32,
    "f64": np.float64,
}
# A process that ends takes binaries for this much longer, and then leaves the rest; it
# waits a little more for the one that is being taken.
_EXIT_SECONDS = 1.0
_GRACE_SECONDS = 5.0
_BINARY_SIZES = 0x1165
_BINARIES = 0x1166


@frozen
class BuildStatistics:
    """How the kernels of a device were come by, counted since it was opened.

    Args:
        compiled: from their text.
        from_disk: from a binary of an earlier process.
        in_memory: asked for again.
    """

    compiled: int = 0
    from_disk: int = 0
    in_memory: int = 0


@define(eq=False)
class Kernel:
    """A built kernel, held with its arguments' types set.

    Args:
        source: what it was built from.
        handle: PyOpenCL's kernel. Its arguments are shared state: they are set and
            used under the device's lock.
        launched: whether it was launched before: a first launch may compile.
    """

    source: OpenCLSource
    handle: Any
    launched: bool = False


@define(eq=False)
class Builder:
    """Builds kernels for one device, each text once.

    Args:
        context: PyOpenCL's context.
        device: PyOpenCL's device.
        name: the device's name, for messages.
        identity: everything but text and options that a binary depends on.
    """

    context: Any
    device: Any
    name: str
    identity: str
    compiled: int = 0
    from_disk: int = 0
    in_memory: int = 0
    _kernels: dict[tuple[str, str, str], Kernel] = Factory(dict)
    _fresh: list[tuple[str, Any]] = Factory(list)
    _lock: Any = field(factory=threading.RLock)

    def build(self, source: OpenCLSource, facts: Facts) -> Kernel:
        """Return the kernel of a text.

        Raises:
            DeviceFault: `limit` where it asks for more than the device has, `build`
                where it does not compile.
        """
        _check(source, facts, self.name)
        options = _options(facts)
        key = source.key, source.symbol, options
        with self._lock:
            found = self._kernels.get(key)
            if found is not None:
                self.in_memory += 1
                return found
            try:
                found = self._make(source, options, facts)
            except cl.Error as error:
                raise fault_of(error, f"{source.symbol} on {self.name}") from None
            self._kernels[key] = found
            return found

    def statistics(self) -> BuildStatistics:
        """Return how the kernels were come by."""
        return BuildStatistics(self.compiled, self.from_disk, self.in_memory)

    def keep(self) -> None:
        """Take the binaries of what was compiled since, in the background."""
        if self._fresh:
            with self._lock:
                fresh, self._fresh = self._fresh, []
            _keeper.take(fresh)

    def _make(self, source: OpenCLSource, options: str, facts: Facts) -> Kernel:
        name = self._file_name(source, options)
        program = self._from_disk(name, options)
        if program is None:
            program = self._compile(source, options)
            self.compiled += 1
            self._fresh.append((name, program))
        else:
            self.from_disk += 1
        handle = cl.Kernel(program, source.symbol)
        handle.set_scalar_arg_dtypes(_argument_types(source))
        self._check_built(source, handle, facts)
        return Kernel(source, handle)

    def _file_name(self, source: OpenCLSource, options: str) -> str:
        material = f"schema {SCHEMA}\n{self.identity}\n{options}\n{source.text}"
        return hashlib.sha256(material.encode()).hexdigest()

    def _from_disk(self, name: str, options: str) -> Any:
        """Return the program of a binary on disk, None where there is no good one."""
        binary = cache.current().load(name, cache.DEVICE_SUFFIX)
        if binary is None:
            return None
        try:
            program = cl._cl._Program(self.context, [self.device], [binary])
            program._build(options.encode())
        except cl.Error:  # made by another driver after all
            return None
        return program

    def _compile(self, source: OpenCLSource, options: str) -> Any:
        # PyOpenCL's own `Program` would write the binary to its cache at once, warn of
        # what the compiler says, and leave the text of what fails in a file.
        program = cl._cl._Program(self.context, source.text)
        try:
            program._build(options.encode())
        except cl.Error as error:
            fault = fault_of(error, f"{source.symbol} on {self.name}")
            log = ""
            with contextlib.suppress(cl.Error):
                log = program.get_build_info(self.device, cl.program_build_info.LOG)
            if fault.kind != "build" or not log.strip():
                raise fault from None
            raise DeviceFault("build", f"{fault}\n{without_files(log)}") from None
        return program

    def _check_built(self, source: OpenCLSource, handle: Any, facts: Facts) -> None:
        """Compare what the compiler made of it with what the device has."""
        info = cl.kernel_work_group_info
        most = handle.get_work_group_info(info.WORK_GROUP_SIZE, self.device)
        _within(source, self.name, "work-items", math.prod(source.group), most)
        used = handle.get_work_group_info(info.LOCAL_MEM_SIZE, self.device)
        _within(source, self.name, "bytes of local memory", used, facts.local_bytes)


def without_files(log: str) -> str:
    """Return a compiler's log with line and column, but without its files' names."""
    log = re.sub(r"(?:<[^<>\n]*>|(?:[A-Za-z]:)?[^\s:<>\"']+):(?=\d+:\d+)", "", log)
    log = re.sub(r"\"[^\"\n]*[/\\][^\"\n]*\", (?=line \d+)", "", log)  # AMD's way
    return "\n".join(line.rstrip() for line in log.splitlines() if line.strip())


# ------------------------------------------------------------------ limits


def argument_bytes(source: OpenCLSource) -> int:
    """Return how many bytes the arguments of a kernel take."""
    scalars = sum(int(kind[1:]) // 8 for kind in source.scalars)
    return source.memories * (_POINTER_BYTES + _OFFSET_BYTES) + scalars + _BASE_BYTES


def _check(source: OpenCLSource, facts: Facts, name: str) -> None:
    """Refuse what the device cannot run: drivers often say nothing.

    PoCL accepts any amount of local memory and of arguments.
    """
    if source.fp64 and not facts.fp64:
        raise DeviceFault("limit", f"{source.symbol}: {name} has no float64")
    for axis, (asked, most) in enumerate(
        zip(source.group, facts.max_item, strict=True)
    ):
        _within(source, name, f"work-items along {axis}", asked, most)
    _within(source, name, "work-items", math.prod(source.group), facts.max_group)
    _within(
        source, name, "bytes of local memory", source.local_bytes, facts.local_bytes
    )
    asked = argument_bytes(source)
    _within(source, name, "bytes of arguments", asked, facts.max_argument_bytes)


def _within(source: OpenCLSource, name: str, what: str, asked: int, most: int) -> None:
    if asked > most:
        raise DeviceFault(
            "limit", f"{source.symbol} needs {asked} {what}; {name} has {most}"
        )


def _options(facts: Facts) -> str:
    # -w: what a compiler warns of goes to the user's terminal on some drivers.
    options = "-cl-std=CL1.2 -w"
    if facts.rounded_divide:
        options += " -cl-fp32-correctly-rounded-divide-sqrt"
    return options


def _argument_types(source: OpenCLSource) -> list[Any]:
    found: list[Any] = []
    for _ in range(source.memories):
        found += [None, np.int64]
    found += [_SCALARS[kind] for kind in source.scalars]
    return [*found, np.int32]


# ------------------------------------------------------------------ binaries


class _Keeper:
    """Writes binaries to disk in a thread that lives as long as there are any."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start over: after a fork the thread is gone."""
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, Any]] = []
        self._thread: threading.Thread | None = None
        self._deadline = math.inf

    def take(self, programs: list[tuple[str, Any]]) -> None:
        """Take these binaries soon."""
        if cache.current().path is None:
            return
        with self._lock:
            self._waiting += programs
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, name="rxcore-binaries", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # no more threads, or Python is ending
                    self._waiting.clear()
                else:
                    self._thread = thread

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or time.monotonic() > self._deadline:
                    self._thread = None
                    return
                name, program = self._waiting.pop(0)
            binary = _binary(program)
            if binary:
                cache.current().store(name, binary, cache.DEVICE_SUFFIX)

    def settle(self, seconds: float) -> None:
        """Wait until nothing is left to take; after `seconds` leave the rest."""
        endless = math.isinf(seconds)
        with self._lock:
            thread = self._thread
            self._deadline = time.monotonic() + seconds
        if thread is not None:
            thread.join(None if endless else seconds + _GRACE_SECONDS)
        self._deadline = math.inf


def _binary(program: Any) -> bytes | None:
    """Return the binary of a program for its one device, None if there is none.

    PyOpenCL keeps Python's lock meanwhile (60 ms a kernel on PoCL), so the driver is
    called beside it; a library that is linked otherwise is asked through PyOpenCL.
    """
    try:
        ask = ctypes.CDLL(cl._cl.__file__).clGetProgramInfo
    except (AttributeError, OSError):
        try:
            binaries = program.get_info(cl.program_info.BINARIES)
        except cl.Error:
            return None
        return bytes(binaries[0])
    word, pointer = ctypes.c_size_t, ctypes.c_void_p
    ask.argtypes = [pointer, ctypes.c_uint32, word, pointer, pointer]
    size = word()
    handle = program.int_ptr
    if ask(handle, _BINARY_SIZES, ctypes.sizeof(word), ctypes.byref(size), None) != 0:
        return None
    body = ctypes.create_string_buffer(max(1, size.value))
    places = (pointer * 1)(ctypes.addressof(body))
    if ask(handle, _BINARIES, ctypes.sizeof(places), places, None) != 0:
        return None
    return body.raw[: size.value]


_keeper = _Keeper()


def settle() -> None:
    """Wait until every binary that is being taken is on disk."""
    _keeper.settle(math.inf)


atexit.register(_keeper.settle, _EXIT_SECONDS)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keeper.forget)
