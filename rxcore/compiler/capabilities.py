"""What a device can do: the only thing that `schedule` knows of it."""

from __future__ import annotations

from typing import Literal

from attrs import frozen


@frozen
class Capabilities:
    """The facts of a device that decide how loops are shaped for it.

    Args:
        kind: `cpu` (loops over threads, vectors inside) or `gpu` (work-groups).
        vector_bytes: the width of a vector register.
        cache_bytes: the private cache of one core (L2).
        units: cores or compute units.
        fp64: whether float64 is computed with.
        fp16: whether float16 is computed with (else storage only).
        group: work-items of a work-group.
        local_bytes: local memory of a work-group.
        max_alloc: the largest single buffer in bytes.
        memories: how many memories a kernel may touch.
    """

    kind: Literal["cpu", "gpu"] = "cpu"
    vector_bytes: int = 64
    cache_bytes: int = 1 << 20
    units: int = 1
    fp64: bool = True
    fp16: bool = True
    group: int = 1
    local_bytes: int = 1 << 15
    max_alloc: int = 1 << 62
    memories: int = 1 << 30
