"""Kernels and plans under construction: text around a body, launches in order."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field, frozen

from rxcore_kernels.launch import (
    In,
    Launch,
    LaunchPlan,
    OpenCLSource,
    Out,
    Scalar,
    ScalarKind,
    Scratch,
)
from rxcore_kernels.opencl_facts import Facts

__all__ = ["LIMIT", "Launches", "Memory", "TypedSource", "group_size", "kernel"]

LIMIT = (1 << 31) - (1 << 12)
"""Elements that an int counts, with the rest of the last work-group."""

TYPE_BYTES = {
    **{"char": 1, "uchar": 1, "short": 2, "ushort": 2},
    **{"int": 4, "uint": 4, "float": 4, "long": 8, "ulong": 8, "double": 8},
}

_SCALAR_TYPES: dict[str, ScalarKind] = {
    **{"int": "i32", "uint": "u32", "long": "i64", "ulong": "u64"},
}


@frozen
class Memory:
    """A memory that a kernel takes: its name and element's C type, and if it writes."""

    name: str
    type: str
    written: bool = False

    @property
    def text(self) -> str:
        """The two arguments."""
        constant = "" if self.written else "const "
        pointer = f"__global {constant}{self.type}* restrict {self.name}"
        return f"{pointer}, long {self.name}_at"


@frozen
class TypedSource:
    """A kernel, and the bytes of an element of each of its memories."""

    source: OpenCLSource
    itemsizes: tuple[int, ...]


def group_size(facts: Facts, most: int, item_bytes: int = 0) -> int:
    """Return a power of two: work-items whose local memory fits the device."""
    size = 1
    limit = min(most, facts.max_group, facts.max_item[0])
    while 2 * size <= limit and 2 * size * item_bytes <= facts.local_bytes:
        size *= 2
    return size


def kernel(
    symbol: str,
    memories: Sequence[Memory],
    scalars: Sequence[str],
    group: int,
    body: str,
    *,
    functions: str = "",
    local_bytes: int = 0,
) -> TypedSource:
    """Write one kernel: `group` and `lid` are its work-group and work-item.

    Args:
        symbol: name of the kernel.
        memories: what it reads and writes.
        scalars: "type name" of each.
        group: work-items of a work-group.
        body: statements.
        functions: what stands before the kernel.
        local_bytes: local memory that the body declares.
    """
    arguments = ",\n    ".join([*(m.text for m in memories), *scalars, "int base"])
    moved = " ".join(f"{m.name} += {m.name}_at;" for m in memories)
    fp64 = "double" in functions + body or any(m.type == "double" for m in memories)
    extension = "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n" if fp64 else ""
    text = f"""{extension}#pragma OPENCL FP_CONTRACT OFF
{functions}__kernel __attribute__((reqd_work_group_size({group}, 1, 1)))
void {symbol}(
    {arguments}) {{
  {moved}
  const int group = (int)get_group_id(0) + base, lid = (int)get_local_id(0);
{body}}}
"""
    kinds = tuple(_SCALAR_TYPES[s.split()[0]] for s in scalars)
    source = OpenCLSource(
        text, symbol, len(memories), kinds, (group, 1, 1), local_bytes, fp64
    )
    return TypedSource(source, tuple(TYPE_BYTES[m.type] for m in memories))


@define
class Launches:
    """A plan being written for a device."""

    facts: Facts
    launches: list[Launch] = field(factory=list)
    scratch: list[int] = field(factory=list)

    def memory(self, nbytes: int) -> Scratch:
        """Add a scratch buffer."""
        self.scratch.append(nbytes)
        return Scratch(len(self.scratch) - 1)

    def add(
        self,
        typed: TypedSource,
        memories: Sequence[In | Out | Scratch],
        scalars: Sequence[Scalar],
        groups: int,
        *,
        shape: str,
        flops: float,
        nbytes: float,
    ) -> None:
        """Append a launch over a line of work-groups."""
        made = Launch(
            typed.source,
            tuple(memories),
            typed.itemsizes,
            tuple(scalars),
            (groups, 1, 1),
            shape,
            float(flops),
            float(nbytes),
        )
        self.launches.append(made)

    def plan(self, *sizes: int) -> LaunchPlan | None:
        """Return the plan; None where it or a memory of `sizes` bytes does not fit."""
        fits = all(n <= self.facts.max_alloc for n in (*sizes, *self.scratch))
        return LaunchPlan(tuple(self.launches), tuple(self.scratch)) if fits else None
