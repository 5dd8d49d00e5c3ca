"""Launches: an OpenCL kernel call as data, before it is bound to a device's memory.

The counterpart of `plan`: a `LaunchPlan` is a list of launches in order. A kernel's
arguments are, for each memory a pointer and its first element (an int64, so that a
slice of a buffer can be passed), then scalars, and last an int32 `base`, which is
added to the group's number along dimension 0: a launch may be cut into several.
"""

import hashlib
from typing import Literal

from attrs import field, frozen

from rxcore_kernels.plan import In, Out, Scratch

__all__ = ["In", "Launch", "LaunchPlan", "OpenCLSource", "Out", "Scalar", "Scratch"]

ScalarKind = Literal["i32", "i64", "u32", "u64", "f32", "f64"]


@frozen
class OpenCLSource:
    """One kernel as OpenCL C text.

    **Meaning.** ``text`` is a whole program with one kernel, ``symbol``, whose
    arguments are, in order: ``__global T* restrict p, long p_at`` for each memory,
    a scalar for each of ``scalars``, and ``int base``. It says its work-group by
    ``reqd_work_group_size``.

    Args:
        text: OpenCL C 1.2.
        symbol: name of the kernel.
        memories: how many memories it takes.
        scalars: the kinds of its scalars, without `base`.
        group: the work-group along three dimensions.
        local_bytes: how much local memory it uses.
        fp64: whether it computes with float64.
    """

    text: str
    symbol: str
    memories: int
    scalars: tuple[ScalarKind, ...]
    group: tuple[int, int, int]
    local_bytes: int = 0
    fp64: bool = False
    key: str = field(init=False, eq=False, repr=False)
    """SHA-256 of the text in hexadecimal: equal text is the same kernel."""

    @key.default
    def _hash(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


Scalar = int | float


@frozen
class Launch:
    """A kernel over a grid of work-groups.

    Args:
        source: the kernel.
        memories: where each memory is; an offset is in bytes and a multiple of the
            memory's `itemsize`.
        itemsizes: the bytes of an element of each memory.
        scalars: the numbers, without `base`.
        groups: work-groups along three dimensions; nothing runs if one is 0.
        shape: what kind of loop it is, for the cost model: `elementwise`, `row`,
            `scan`, `transposed`, or a hand-made kernel's name.
        flops: arithmetic operations of the whole launch.
        nbytes: bytes moved to and from memory by the whole launch.
    """

    source: OpenCLSource
    memories: tuple[In | Out | Scratch, ...]
    itemsizes: tuple[int, ...]
    scalars: tuple[Scalar, ...]
    groups: tuple[int, int, int]
    shape: str = "elementwise"
    flops: float = 0.0
    nbytes: float = 0.0


@frozen
class LaunchPlan:
    """Launches in order, and the bytes of each scratch buffer."""

    launches: tuple[Launch, ...]
    scratch: tuple[int, ...] = ()
