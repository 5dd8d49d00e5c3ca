"""A small device: no float64, little local memory, small groups, small buffers.

It is the first device under other facts. Queue, memory and built kernels are the
same, so what is printed alike for both is compiled once.
"""

from __future__ import annotations

from functools import cache

from attrs import evolve

from rxcore_kernels.opencl import Device
from rxcore_kernels.opencl_facts import Facts

__all__ = ["both", "small_facts"]


def small_facts(facts: Facts) -> Facts:
    """Return the facts of the smallest device that everything must run on."""
    return evolve(
        facts,
        max_group=64,
        max_item=(64, 64, 64),
        local_bytes=1 << 15,
        max_alloc=1 << 28,
        max_argument_bytes=1024,
        fp64=False,
    )


@cache
def both(device: Device) -> tuple[Device, Device]:
    """Return a device, and the same described as a small one."""
    device.open()
    small = Device(
        f"small {device.name}",
        device.platform,
        device.driver,
        small_facts(device.facts),
        device.handle,
        version=device.version,
        is_cpu=device.is_cpu,
        context=device.context,
        queue=device.queue,
        lock=device.lock,
        memory=device.memory,
        builder=device._builder,
    )
    small._enqueue = device._enqueue
    return device, small
