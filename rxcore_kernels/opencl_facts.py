"""What an OpenCL device is and can do, as plain facts: text depends on these alone."""

from typing import Literal

from attrs import frozen

__all__ = ["Facts"]


@frozen
class Facts:
    """The facts of an OpenCL device that decide how kernels are shaped for it.

    Args:
        kind: `gpu`, or `cpu` for an OpenCL implementation that runs on the CPU.
        max_group: the largest work-group.
        max_item: the largest work-group along each of three dimensions.
        wave: the preferred multiple of work-group sizes.
        local_bytes: local memory of a work-group.
        local_is_real: whether local memory is apart from global memory.
        units: compute units.
        max_alloc: the largest single buffer in bytes.
        global_bytes: the device's memory in bytes.
        max_argument_bytes: the most that a kernel's arguments may take.
        fp64: whether the device computes with float64.
        fp16: whether the device computes with float16 (else it is storage only).
        denormals: whether float32 keeps subnormal numbers.
        rounded_divide: whether float32 division and roots can be rounded correctly.
        fused_multiply_add: whether float32 `fma` is as fast as a product.
        int_dot: whether 8-bit integer dot products are accelerated.
        atomics64: whether 64-bit integers have atomic operations.
        unified_memory: whether device and host share memory.
    """

    kind: Literal["gpu", "cpu"] = "gpu"
    max_group: int = 256
    max_item: tuple[int, int, int] = (256, 256, 256)
    wave: int = 64
    local_bytes: int = 1 << 15
    local_is_real: bool = True
    units: int = 1
    max_alloc: int = 1 << 28
    global_bytes: int = 1 << 30
    max_argument_bytes: int = 1024
    fp64: bool = False
    fp16: bool = False
    denormals: bool = False
    rounded_divide: bool = False
    fused_multiply_add: bool = False
    int_dot: bool = False
    atomics64: bool = False
    unified_memory: bool = False
