"""OpenCL devices: found, opened on first use, and what can be done with them.

A `Device` owns one in-order queue and a pool of buffers; any thread may use it.
Everything that goes wrong on it comes out as a `DeviceFault`, told apart by OpenCL's
error codes.
"""

import ctypes
import hashlib
import os
import re
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from attrs import define, field

from rxcore_kernels.launch import In, LaunchPlan, OpenCLSource, Out, Scratch
from rxcore_kernels.lazy import opencl as cl
from rxcore_kernels.opencl_build import Builder, BuildStatistics, Kernel
from rxcore_kernels.opencl_check import wrong_results
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_fault import (
    DeviceFault,
    fault_of,
    inject,
    injections,
    strike,
)
from rxcore_kernels.opencl_find import Discovery, FoundDevice, discover
from rxcore_kernels.opencl_memory import DeviceBuffer, DeviceMemory, budget
from rxcore_kernels.opencl_profile import Recording, Stamp, Work, record

__all__ = [
    "BuildStatistics",
    "Device",
    "DeviceBuffer",
    "DeviceFault",
    "Kernel",
    "Recording",
    "Stamp",
    "device_stamp",
    "devices",
    "inject",
    "problems",
    "record",
    "reset",
    "run_launches",
    "why_none",
]

# A display's watchdog ends kernels that run for some seconds; half a second also keeps
# a desktop alive.
_PIECE_SECONDS = 0.5
# How many launches are named when a wait fails: the fault may be of any of them.
_NAMED = 8
_FORKED = (
    "this process was forked after OpenCL was used, and its devices stay with the "
    "parent; start processes by 'spawn' to use them there"
)

# (base, work-groups) of each launch of a grid.
Pieces = tuple[tuple[int, tuple[int, int, int]], ...]


@define(eq=False)
class Device:
    """One OpenCL device.

    Args:
        name: the card's name.
        platform: its platform's name.
        driver: its driver's version.
        facts: what it can do, for those who shape kernels.
        handle: PyOpenCL's device.
        version: its platform's version.
        is_cpu: whether it runs on the CPU, whatever the facts are made to say.
        recordings: the recordings that are open (`record`).
    """

    name: str
    platform: str
    driver: str
    facts: Facts
    handle: Any = field(repr=False)
    version: str = ""
    is_cpu: bool = False
    context: Any = field(default=None, repr=False)
    queue: Any = field(default=None, repr=False)
    lock: Any = field(factory=threading.RLock, repr=False)
    recordings: list[Recording] = field(factory=list, repr=False)
    memory: DeviceMemory = field(default=None, repr=False)
    _builder: Builder = field(default=None, repr=False)
    _gone: str = field(default="", repr=False)
    _enqueue: Any = field(default=None, repr=False)
    _uploads: deque[Any] = field(factory=deque, repr=False)
    _recent: deque[str] = field(factory=lambda: deque(maxlen=_NAMED), repr=False)

    @property
    def facts_as_cpu(self) -> Facts:
        """The facts of a CPU device as itself: `facts` describe it as a GPU."""
        return attrs.evolve(self.facts, kind="cpu", local_is_real=False)

    def open(self) -> None:
        """Make the queue and the pool and run a first check, once.

        Raises:
            DeviceFault: It cannot be opened, or computes wrong numbers; it is left out
                of `devices()` from then on.
        """
        if self.queue is not None and not self._gone:
            return
        with self.lock:
            self._present()
            if self.queue is None:
                try:
                    self._open()
                except cl.Error as error:
                    fault = fault_of(error, f"opening {self.name}")
                    if fault.kind != "memory":
                        self._leave(str(fault))
                    raise fault from None

    def _open(self) -> None:
        self.context = cl.Context([self.handle])
        properties = cl.command_queue_properties.PROFILING_ENABLE
        queue = cl.CommandQueue(self.context, properties=properties)
        identity = "\n".join(
            (self.platform, self.version, self.handle.name, self.handle.version)
        )
        made = (self.context, self.handle, self.name, f"{identity}\n{self.driver}")
        checking = Builder(*made)  # one of its own: it is not counted
        wrong = wrong_results(queue, checking, self.facts)
        checking.keep()
        if wrong:
            self._leave(wrong)
            raise DeviceFault("other", f"{self.name} is not used: {wrong}")
        self._builder = Builder(*made)
        self.memory = DeviceMemory(queue, self.name, budget(self.facts))
        self._enqueue = cl.enqueue_nd_range_kernel
        _opened.add(self)
        self.queue = queue

    # -------------------------------------------------------------- memory

    def allocate(self, nbytes: int) -> DeviceBuffer:
        """Return a buffer of at least so many bytes.

        Raises:
            DeviceFault: `memory`, after a second try without what the pool keeps.
        """
        self.open()
        if injections:
            strike("allocate", self.name)
        handle = self.memory.allocate(nbytes, self.facts.max_alloc)
        return DeviceBuffer(self, nbytes, handle)

    def upload(self, host: Any) -> DeviceBuffer:
        """Return a buffer with the bytes of an ndarray; see `write`."""
        made = self.allocate(host.nbytes)
        self.write(made, 0, host)
        return made

    def write(self, buffer: DeviceBuffer, at: int, host: Any) -> None:
        """Copy an ndarray to a buffer, from byte `at` on.

        Does not wait: the array is kept, and must not be changed, until the copy was
        made, which is certain after the next `finish` or `download`.
        """
        _inside(buffer, at, host.nbytes)
        if host.nbytes == 0:
            return
        asked = self._begin("transfer")
        data = _bytes(host)
        try:
            with self.lock:
                self._forget_uploads()
                event = cl.enqueue_copy(
                    self.queue, buffer.handle, data, dst_offset=at, is_blocking=False
                )
                self._uploads.append(event)
        except cl.Error as error:
            raise self._fault(error, f"upload to {self.name}") from None
        self._note("upload", "upload", event, asked, host.nbytes)

    def download(self, buffer: DeviceBuffer, host: Any, at: int = 0) -> None:
        """Fill a contiguous ndarray from byte `at` of a buffer on; waits for it."""
        _inside(buffer, at, host.nbytes)
        if not host.flags.c_contiguous:
            raise ValueError("download: expected a contiguous array")
        if host.nbytes == 0:
            return
        asked = self._begin("transfer")
        try:
            event = cl.enqueue_copy(
                self.queue, _bytes(host), buffer.handle, src_offset=at, is_blocking=True
            )
        except cl.Error as error:
            raise self._fault(error, f"download from {self.name}") from None
        self._note("download", "download", event, asked, host.nbytes)
        self._settled()

    def copy(
        self,
        source: DeviceBuffer,
        source_at: int,
        target: DeviceBuffer,
        target_at: int,
        nbytes: int,
    ) -> None:
        """Copy bytes between two buffers; within one the ranges may not overlap."""
        _inside(source, source_at, nbytes)
        _inside(target, target_at, nbytes)
        if nbytes == 0:
            return
        asked = self._begin("transfer")
        try:
            event = cl.enqueue_copy(
                self.queue,
                target.handle,
                source.handle,
                src_offset=source_at,
                dst_offset=target_at,
                byte_count=nbytes,
            )
        except cl.Error as error:
            raise self._fault(error, f"copy on {self.name}") from None
        self._note("copy", "copy", event, asked, nbytes)

    def fill_zeros(
        self, buffer: DeviceBuffer, at: int = 0, nbytes: int | None = None
    ) -> None:
        """Set bytes of a buffer to zero, by default all from `at` on."""
        count = buffer.nbytes - at if nbytes is None else nbytes
        _inside(buffer, at, count)
        if count == 0:
            return
        asked = self._begin("transfer")
        width = next(w for w in (16, 4, 1) if at % w == 0 and count % w == 0)
        try:
            event = cl.enqueue_fill_buffer(
                self.queue, buffer.handle, _ZEROS[:width], at, count
            )
        except cl.Error as error:
            raise self._fault(error, f"fill on {self.name}") from None
        self._note("fill", "fill", event, asked, count)

    # -------------------------------------------------------------- kernels

    def build(self, source: OpenCLSource) -> Kernel:
        """Return the kernel of a text, built once.

        Raises:
            DeviceFault: `limit` where it asks for more than the device has, `build`
                where it does not compile.
        """
        self.open()
        if injections:
            strike("build", self.name)
        return self._builder.build(source, self.facts)

    def build_statistics(self) -> BuildStatistics:
        """Return how kernels were come by so far."""
        opened = self.queue is not None
        return self._builder.statistics() if opened else BuildStatistics()

    def launch(
        self,
        kernel: Kernel,
        memories: Sequence[tuple[DeviceBuffer, int]],
        scalars: Sequence[Any],
        groups: tuple[int, int, int],
        seconds: float | None = None,
    ) -> None:
        """Enqueue a kernel.

        Args:
            kernel: from `build`.
            memories: a buffer and the first element in it, for each memory.
            scalars: the numbers, without `base`.
            groups: work-groups along three dimensions; nothing runs if one is 0.
            seconds: how long it may run, as predicted. It is cut along dimension 0
                into launches of at most half a second, for the display's watchdog.
        """
        if 0 in groups:
            return
        if self._gone:
            raise DeviceFault("lost", self._gone)
        if injections:
            strike("launch", self.name)
        arguments: list[Any] = []
        for buffer, first in memories:
            arguments += (buffer.handle, first)
        arguments += scalars
        pieces: Pieces = ((0, groups),)
        if seconds is not None and seconds > _PIECE_SECONDS:
            pieces = _pieces(groups, seconds)
        asked = time.perf_counter_ns() if self.recordings else 0
        source, handle = kernel.source, kernel.handle
        self._recent.append(source.symbol)
        try:
            with self.lock:
                for base, part in pieces:
                    handle.set_args(*arguments, base)
                    event = self._enqueue(
                        self.queue, handle, part, source.group, None, None, True
                    )
                    if self.recordings:
                        first = not kernel.launched
                        self._note("launch", source.symbol, event, asked, 0, first)
                    kernel.launched = True
        except cl.Error as error:
            raise self._fault(error, f"launch of {source.symbol}") from None

    def flush(self) -> None:
        """Hand over what is enqueued, without waiting: some drivers hold it back."""
        if self.queue is not None and not self._gone:
            self.queue.flush()

    def finish(self) -> None:
        """Wait for everything enqueued.

        Raises:
            DeviceFault: Something enqueued earlier has failed; the last launches are
                named.
        """
        if self.queue is None:
            return
        self._present()
        try:
            self.queue.finish()
        except cl.Error as error:
            raise self._fault(error, f"waiting for {self.name}") from None
        self._settled()

    @property
    def is_gone(self) -> bool:
        """Whether it answers no more, or stays with the process that forked this."""
        return bool(self._gone)

    # -------------------------------------------------------------- within

    def _present(self) -> None:
        if self._gone:
            raise DeviceFault("lost", self._gone)

    def _begin(self, point: Any) -> int:
        """Refuse a device that is gone; return the time if it is recorded."""
        if self._gone:
            raise DeviceFault("lost", self._gone)
        if injections:
            strike(point, self.name)
        return time.perf_counter_ns() if self.recordings else 0

    def _note(
        self,
        work: Work,
        name: str,
        event: Any,
        asked: int,
        nbytes: int,
        first: bool = False,
    ) -> None:
        if asked:  # a recording that began since knows nothing of this one
            for recording in self.recordings:
                recording.note(work, name, event, asked, nbytes, first)

    def _settled(self) -> None:
        """After a wait: all that was enqueued before it is done."""
        with self.lock:
            self._forget_uploads()
        self._recent.clear()
        self._builder.keep()
        for recording in tuple(self.recordings):
            recording.collect()

    def _forget_uploads(self) -> None:
        """Let go of the arrays whose copies were made."""
        uploads = self._uploads
        while uploads and uploads[0].command_execution_status <= 0:
            uploads.popleft()

    def _fault(self, error: Any, doing: str) -> DeviceFault:
        """Return what an error stands for; a device that answers no more is left."""
        recent = ", ".join(self._recent)
        doing = f"{doing} (after {recent})" if recent else doing
        fault = fault_of(error, doing)
        if fault.kind == "lost":
            try:
                self.queue.finish()
            except cl.Error:
                self._leave(str(fault))
            else:  # one command was refused, the device goes on
                fault = DeviceFault("other", str(fault))
        return fault

    def _leave(self, why: str) -> None:
        self._gone = f"{self.name} is not used any more: {why}"
        _leave_out(self, why)


_ZEROS = np.zeros(16, np.uint8)


def _inside(buffer: DeviceBuffer, at: int, nbytes: int) -> None:
    if not 0 <= at <= at + nbytes <= buffer.nbytes:
        raise ValueError(
            f"bytes {at} to {at + nbytes} are not all inside a buffer of "
            f"{buffer.nbytes}"
        )


def _bytes(host: Any) -> Any:
    """The bytes of an ndarray; extended dtypes have no buffer protocol of their own."""
    return host.reshape(-1).view(np.uint8)


def _pieces(groups: tuple[int, int, int], seconds: float) -> Pieces:
    """Cut a grid along dimension 0."""
    count = min(groups[0], -int(-seconds // _PIECE_SECONDS))
    size = -(-groups[0] // count)
    return tuple(
        (base, (min(size, groups[0] - base), groups[1], groups[2]))
        for base in range(0, groups[0], size)
    )


# ------------------------------------------------------------------ all devices

_discovery: Discovery | None = None
_devices: tuple[Device, ...] = ()
_finding = threading.RLock()
_opened: "weakref.WeakSet[Device]" = weakref.WeakSet()


def devices() -> tuple[Device, ...]:
    """Return the OpenCL devices of this machine: GPUs first, CPUs last.

    Drivers are asked on the first call; none of their failures is raised (`problems`
    tells them). Nothing is opened or built yet.

    Raises:
        ValueError: `RXCORE_OPENCL_LIMITS` cannot be read.
    """
    _discovered()
    return _devices


def why_none() -> str:
    """Return in one line why there are no devices; empty if there are."""
    return _discovered().why_none


def problems() -> tuple[tuple[str, str], ...]:
    """Return (device or platform, one line) for each that cannot be used."""
    return _discovered().problems


def reset() -> None:
    """Forget the devices: the next use asks drivers and environment again."""
    global _discovery, _devices
    with _finding:
        if _discovery is not None and _discovery.why_none != _FORKED:
            _discovery, _devices = None, ()


def device_stamp(device: Device) -> str:
    """Return platform, name and driver version as a stable part of a file's name.

    Example:
        >>> stamp = device_stamp(devices()[0])
        >>> stamp.startswith("portable-computing-language-pthread-")
        True
        >>> stamp == device_stamp(devices()[0])
        True
    """
    parts = (device.platform, device.name, device.driver)
    exact = "\n".join((*parts, device.version, device.handle.version))
    short = hashlib.sha256(exact.encode()).hexdigest()[:8]
    words = re.sub(r"[^a-z0-9.]+", "-", "-".join(parts).lower()).strip("-.")
    return f"{words[:120]}-{short}"


def _discovered() -> Discovery:
    global _discovery, _devices
    found = _discovery
    if found is None:
        with _finding:
            found = _discovery
            if found is None:
                found = discover()
                _devices = tuple(_device(one) for one in found.devices)
                _discovery = found
    return found


def _device(found: FoundDevice) -> Device:
    return Device(
        found.name,
        found.platform,
        found.driver,
        found.facts,
        found.handle,
        version=found.version,
        is_cpu=found.is_cpu,
    )


def _leave_out(device: Device, why: str) -> None:
    """Take a device that cannot be used out of the list, and say why."""
    global _discovery, _devices
    with _finding:
        if _discovery is None or device not in _devices:
            return
        _devices = tuple(one for one in _devices if one is not device)
        known = (*_discovery.problems, (device.name, why))
        none = "" if _devices else f"{device.name}: {why}"
        _discovery = attrs.evolve(_discovery, problems=known, why_none=none)


def _stay_with_parent() -> None:
    """After a fork: a driver's threads and locks did not come along.

    Nothing of it may be touched here, not even released; so devices live for ever.
    """
    global _discovery, _devices, _finding
    _finding = threading.RLock()
    if _discovery is None:
        return
    there, _devices = _devices, ()
    _discovery = Discovery((), (("OpenCL", _FORKED),), _FORKED)
    for device in {*there, *_opened}:
        device._gone = _FORKED
        # A thread that held it, to enqueue or to open the device, did not come along.
        device.lock = threading.RLock()
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(device))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_stay_with_parent)


def run_launches(
    device: Device, plan: LaunchPlan, inputs: list[Any], outputs: list[Any]
) -> None:
    """Run a plan on host arrays: upload, launch, download. For tests and timing."""
    ins = [device.upload(np.ascontiguousarray(a)) for a in inputs]
    outs = [device.upload(a) for a in outputs]
    scratch = [device.allocate(n) for n in plan.scratch]
    places = {In: ins, Out: outs, Scratch: scratch}
    for each in plan.launches:
        memories = [
            (places[type(m)][m.index], m.offset // size)
            for m, size in zip(each.memories, each.itemsizes, strict=True)
        ]
        device.launch(device.build(each.source), memories, each.scalars, each.groups)
    for buffer, host in zip(outs, outputs, strict=True):
        device.download(buffer, host)
