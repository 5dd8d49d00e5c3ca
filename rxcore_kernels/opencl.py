"""OpenCL devices: found, opened on first use, and what can be done with them.

A `Device` owns one in-order queue and a pool of buffers. Everything that goes wrong
on it comes out as a `DeviceFault`, told apart by OpenCL's error codes.
"""

import threading
from typing import Any, Literal

import numpy as np
from attrs import define, field, frozen

from rxcore_kernels.launch import Launch, LaunchPlan, OpenCLSource, Out, In, Scratch
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.lazy import opencl as cl

__all__ = ["Device", "DeviceFault", "Kernel", "devices", "run_launches"]

FaultKind = Literal["memory", "build", "lost", "limit", "other"]


class DeviceFault(Exception):  # noqa: N818 - OpenCL's own word for what is no bug
    """Something a device could not do; `kind` says what."""

    def __init__(self, kind: FaultKind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@frozen(eq=False)
class Kernel:
    """A built kernel, held with its arguments' types set."""

    source: OpenCLSource
    handle: Any


@define(eq=False)
class Device:
    """One OpenCL device."""

    name: str
    platform: str
    driver: str
    facts: Facts
    handle: Any
    context: Any = None
    queue: Any = None
    lock: Any = field(factory=threading.RLock)
    kernels: dict[str, Kernel] = field(factory=dict)

    def open(self) -> None:
        if self.queue is None:
            self.context = cl.Context([self.handle])
            self.queue = cl.CommandQueue(
                self.context, properties=cl.command_queue_properties.PROFILING_ENABLE
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

    def download(self, buffer: Any, host: Any) -> None:
        """Fill a contiguous ndarray from a buffer; waits for it."""
        if host.nbytes:
            cl.enqueue_copy(self.queue, host, buffer, is_blocking=True)

    def build(self, source: OpenCLSource) -> Kernel:
        """Return the built kernel of a text, built once."""
        self.open()
        found = self.kernels.get(source.key)
        if found is None:
            options = ["-cl-std=CL1.2"]
            if self.facts.rounded_divide:
                options.append("-cl-fp32-correctly-rounded-divide-sqrt")
            program = cl.Program(self.context, source.text).build(options=options)
            handle = cl.Kernel(program, source.symbol)
            handle.set_scalar_arg_dtypes(_argument_types(source))
            found = self.kernels[source.key] = Kernel(source, handle)
        return found

    def launch(
        self,
        kernel: Kernel,
        memories: list[tuple[Any, int]],
        scalars: tuple[Any, ...],
        groups: tuple[int, int, int],
    ) -> None:
        """Enqueue a kernel on (buffer, first element) pairs."""
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


_SCALARS = {
    "i32": np.int32, "i64": np.int64, "u32": np.uint32, "u64": np.uint64,
    "f32": np.float32, "f64": np.float64,
}


def _argument_types(source: OpenCLSource) -> list[Any]:
    found: list[Any] = []
    for _ in range(source.memories):
        found += [None, np.int64]
    found += [_SCALARS[kind] for kind in source.scalars]
    return [*found, np.int32]


_found: list[Device] = []


def devices() -> tuple[Device, ...]:
    """Return the OpenCL devices of this machine."""
    if not _found:
        for platform in cl.get_platforms():
            for handle in platform.get_devices():
                _found.append(_device(platform, handle))
    return tuple(_found)


def _device(platform: Any, handle: Any) -> Device:
    config = handle.single_fp_config
    flags = cl.device_fp_config
    facts = Facts(
        kind="gpu",
        max_group=handle.max_work_group_size,
        max_item=tuple(handle.max_work_item_sizes[:3]),
        wave=64,
        local_bytes=handle.local_mem_size,
        units=handle.max_compute_units,
        max_alloc=handle.max_mem_alloc_size,
        global_bytes=handle.global_mem_size,
        max_argument_bytes=handle.max_parameter_size,
        fp64="cl_khr_fp64" in handle.extensions,
        denormals=bool(config & flags.DENORM),
        rounded_divide=bool(config & flags.CORRECTLY_ROUNDED_DIVIDE_SQRT),
        fused_multiply_add=bool(config & flags.FMA),
        atomics64="cl_khr_int64_base_atomics" in handle.extensions,
    )
    return Device(handle.name, platform.name, handle.driver_version, facts, handle)


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
