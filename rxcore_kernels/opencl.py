"""OpenCL devices: found, opened on first use, and what can be done with them.

A `Device` owns one in-order queue and a pool of buffers. Everything that goes wrong
on it comes out as a `DeviceFault`, told apart by OpenCL's error codes.
"""

import threading
from typing import Any

import attrs
import numpy as np
from attrs import define, field

from rxcore_kernels.launch import In, LaunchPlan, OpenCLSource, Out, Scratch
from rxcore_kernels.lazy import opencl as cl
from rxcore_kernels.opencl_build import Builder, BuildStatistics, Kernel
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_fault import DeviceFault
from rxcore_kernels.opencl_find import Discovery, FoundDevice, discover

__all__ = [
    "BuildStatistics",
    "Device",
    "DeviceFault",
    "Kernel",
    "devices",
    "problems",
    "reset",
    "run_launches",
    "why_none",
]


@define(eq=False)
class Device:
    """One OpenCL device."""

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
    _builder: Any = field(default=None, repr=False)

    @property
    def facts_as_cpu(self) -> Facts:
        """The facts of a CPU device as itself: `facts` describe it as a GPU."""
        return attrs.evolve(self.facts, kind="cpu", local_is_real=False)

    def open(self) -> None:
        """Make the queue and the pool, once."""
        if self.queue is not None:
            return
        with self.lock:
            if self.queue is None:
                self.context = cl.Context([self.handle])
                identity = (
                    f"{self.platform}\n{self.version}\n{self.handle.name}\n"
                    f"{self.handle.version}\n{self.driver}"
                )
                self._builder = Builder(self.context, self.handle, self.name, identity)
                self.queue = cl.CommandQueue(
                    self.context,
                    properties=cl.command_queue_properties.PROFILING_ENABLE,
                )

    def allocate(self, nbytes: int) -> Any:
        """Return a buffer of at least so many bytes."""
        self.open()
        return cl.Buffer(self.context, cl.mem_flags.READ_WRITE, max(nbytes, 4))

    def upload(self, host: Any) -> Any:
        """Return a buffer with the bytes of a contiguous ndarray."""
        made = self.allocate(host.nbytes)
        if host.nbytes:
            cl.enqueue_copy(self.queue, made, host, is_blocking=True)
        return made

    def write(self, buffer: Any, at: int, host: Any) -> None:
        """Copy a contiguous ndarray to a buffer, from byte `at` on."""
        if host.nbytes:
            cl.enqueue_copy(self.queue, buffer, host, dst_offset=at, is_blocking=True)

    def download(self, buffer: Any, host: Any, at: int = 0) -> None:
        """Fill a contiguous ndarray from byte `at` of a buffer on; waits for it."""
        if host.nbytes:
            cl.enqueue_copy(self.queue, host, buffer, src_offset=at, is_blocking=True)
            self._builder.keep()

    def copy(
        self, source: Any, source_at: int, target: Any, target_at: int, nbytes: int
    ) -> None:
        """Copy bytes between two buffers; the ranges may not overlap."""
        if nbytes:
            cl.enqueue_copy(
                self.queue,
                target,
                source,
                src_offset=source_at,
                dst_offset=target_at,
                byte_count=nbytes,
            )

    def build_statistics(self) -> BuildStatistics:
        """Return how kernels were come by so far."""
        builder: Builder | None = self._builder
        return builder.statistics() if builder else BuildStatistics()

    def build(self, source: OpenCLSource) -> Kernel:
        """Return the kernel of a text, built once.

        Raises:
            DeviceFault: `limit` where it asks for more than the device has, `build`
                where it does not compile.
        """
        self.open()
        made: Kernel = self._builder.build(source, self.facts)
        return made

    def launch(
        self,
        kernel: Kernel,
        memories: list[tuple[Any, int]],
        scalars: tuple[Any, ...],
        groups: tuple[int, int, int],
        seconds: float | None = None,
    ) -> None:
        """Enqueue a kernel on (buffer, first element) pairs."""
        del seconds
        if 0 in groups:
            return
        group = kernel.source.group
        size = tuple(g * n for g, n in zip(groups, group, strict=True))
        flat = [x for pair in memories for x in pair]
        with self.lock:
            kernel.handle.set_args(*flat, *scalars, 0)
            cl.enqueue_nd_range_kernel(self.queue, kernel.handle, size, group)

    def finish(self) -> None:
        """Wait for everything enqueued."""
        if self.queue is not None:
            self.queue.finish()
            self._builder.keep()


_discovery: Discovery | None = None
_devices: tuple[Device, ...] = ()
_finding = threading.Lock()


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
        _discovery, _devices = None, ()


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
