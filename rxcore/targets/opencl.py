"""The OpenCL target: Nests become OpenCL C, and launches of it."""

from __future__ import annotations

from attrs import frozen

from rxcore.base import config, dtypes
from rxcore.compiler.capabilities import Capabilities
from rxcore.loops.nest import Nest
from rxcore.loops.verify import verify
from rxcore.targets.opencl_text import print_nest
from rxcore_kernels.launch import OpenCLSource, Scalar, ScalarKind
from rxcore_kernels.opencl_facts import Facts

__all__ = ["Emission", "capabilities", "emit"]

# Work-items of a group: a whole wave of any GPU, whose barriers then cost next to
# nothing; larger groups gain nothing for loops without local memory.
_GROUP = 64
# What a memory takes of a kernel's arguments (its pointer and its first element), and
# what is left for numbers.
_MEMORY, _FOR_NUMBERS = 16, 384


@frozen
class Emission:
    """A Nest as text, and what a launch of it is given.

    Args:
        source: the text; equal for Nests of equal structure, whatever their sizes.
        buffers: the names of the memories, in the order of the arguments.
        scalars: the numbers that follow.
        groups: work-groups.
    """

    source: OpenCLSource
    buffers: tuple[str, ...]
    scalars: tuple[Scalar, ...]
    groups: tuple[int, int, int]


def capabilities(facts: Facts) -> Capabilities:
    """Return what `schedule` wants to know of an OpenCL device."""
    most = min(facts.max_group, facts.max_item[0])
    group = 1 << (min(max(_GROUP, facts.wave), most).bit_length() - 1)
    return Capabilities(
        kind="gpu",
        units=facts.units,
        fp64=facts.fp64,
        fp16=facts.fp16,
        group=group,
        local_bytes=facts.local_bytes,
        max_alloc=facts.max_alloc,
        memories=(facts.max_argument_bytes - _FOR_NUMBERS) // _MEMORY,
    )


def emit(nest: Nest) -> Emission:
    """Print a scheduled Nest as OpenCL C.

    Args:
        nest: one loop nest whose outermost loops are lanes or groups.

    Returns:
        The text, and the arguments of a launch.

    Raises:
        InternalError: when the Nest is not well formed.

    Example:
        >>> from rxcore.loops.nest import Buffer, Index, Load, Loop, Nest, Store
        >>> x, y = Buffer("x", dtypes.float32, 8), Buffer("y", dtypes.float32, 8, "out")
        >>> at = Index.of("i")
        >>> copy = (Load("v", dtypes.float32, "x", at), Store("y", at, "v"))
        >>> made = emit(Nest("copy", (x, y), (Loop("i", 8, "lane", copy),), group=64))
        >>> made.buffers, made.scalars, made.groups
        (('x', 'y'), (8,), (1, 1, 1))
    """
    if config.current().verify:
        verify(nest)
    printed = print_nest(nest)
    whole: ScalarKind = "i64" if printed.wide else "i32"
    kinds: list[ScalarKind] = [whole] * len(printed.integers)
    kinds += ["f32" if n.dtype == dtypes.float32 else "f64" for n in printed.numbers]
    source = OpenCLSource(
        printed.text,
        printed.symbol,
        len(nest.buffers),
        tuple(kinds),
        (printed.group, 1, 1),
        printed.local_bytes,
        "double" in printed.text,
    )
    return Emission(
        source,
        tuple(b.name for b in nest.buffers),
        (*printed.integers, *(n.value for n in printed.numbers)),
        (printed.groups, 1, 1),
    )
