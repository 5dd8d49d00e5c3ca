"""Schedule: shape the plain loops of a Nest for a device.

Each pass is a pure function from a Nest to Nests that do the same: a substitution on
affine indices, or a new kind for a loop. A pass that does not apply gives its Nest
back. What comes out for a CPU is at most one outermost loop of kind `group` or
`lane`, which threads share in pieces of `chunk` iterations, around `item` (vector)
and `serial` loops.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_

from rxcore.base.errors import InternalError
from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.block_lanes import block_lanes
from rxcore.compiler.nest_passes.block_wide_rows import block_wide_rows
from rxcore.compiler.nest_passes.choose_chunk import choose_chunk
from rxcore.compiler.nest_passes.collapse import collapse
from rxcore.compiler.nest_passes.drop_unit_loops import drop_unit_loops
from rxcore.compiler.nest_passes.hoist import hoist
from rxcore.compiler.nest_passes.interchange import interchange
from rxcore.compiler.nest_passes.merge_outer import merge_outer
from rxcore.compiler.nest_passes.narrow import narrow
from rxcore.compiler.nest_passes.part import part
from rxcore.compiler.nest_passes.sink import sink
from rxcore.compiler.nest_passes.split_reductions import split_reductions
from rxcore.compiler.nest_passes.spread import spread
from rxcore.compiler.nest_passes.tile_transposes import tile_transposes
from rxcore.compiler.nest_passes.vectorize import vectorize
from rxcore.loops.nest import Nest

__all__ = ["PASSES", "Pass", "schedule"]

Pass = Callable[[Nest, Capabilities], tuple[Nest, ...]]

# The first half makes loops few and well ordered, `split_reductions` parts nests
# (so what it makes is put in order again), the last half gives loops their kinds.
PASSES: dict[str, tuple[Pass, ...]] = {
    "cpu": (
        drop_unit_loops,
        sink,
        interchange,
        collapse,
        split_reductions,
        sink,
        interchange,
        collapse,
        tile_transposes,
        block_wide_rows,
        block_lanes,
        merge_outer,
        vectorize,
        hoist,
        choose_chunk,
    ),
    "gpu": (
        narrow,
        drop_unit_loops,
        sink,
        interchange,
        collapse,
        split_reductions,
        sink,
        interchange,
        collapse,
        part,
        tile_transposes,
        spread,
        hoist,
    ),
}


# What need not run again on Nests that did not change since.
_ORDER: tuple[Pass, ...] = (sink, interchange, collapse)


def schedule(nest: Nest, capabilities: Capabilities) -> tuple[Nest, ...]:
    """Shape a Nest for a device.

    Args:
        nest: plain `parallel` and `serial` loops with their true extents.
        capabilities: what the device can do.

    Returns:
        The Nests to run, in order: mostly one. Buffers that the given Nest does not
        have are temporaries between them, to be made as their `size` and `dtype` say.

    Raises:
        InternalError: there are no passes for this kind of device.

    Example:
        >>> from rxcore.base import dtypes
        >>> from rxcore.loops.nest import Buffer, Index, Load, Loop, Store
        >>> x, y = Buffer("x", dtypes.int8, 6), Buffer("y", dtypes.int8, 6, "out")
        >>> place = Index.of("i", 3) + Index.of("j")
        >>> body = (Load("v", dtypes.int8, "x", place), Store("y", place, "v"))
        >>> inner = Loop("j", 3, "parallel", body)
        >>> copy = Nest("copy", (x, y), (Loop("i", 2, "parallel", (inner,)),))
        >>> print(schedule(copy, Capabilities())[0])
        nest copy
          in x: i8[6]
          out y: i8[6]
          lane j < 6:
            v: i8 = x[j]
            y[j] = v
    """
    nests: tuple[Nest, ...] = (nest,)
    if capabilities.kind not in PASSES:
        known = ", ".join(PASSES)
        raise InternalError(
            f"schedule: no passes for devices of kind {capabilities.kind!r}, "
            f"only for {known}"
        )
    ordered: tuple[Nest, ...] = ()
    for each in PASSES[capabilities.kind]:
        if each in _ORDER and _same(nests, ordered):
            continue
        nests = tuple([new for old in nests for new in each(old, capabilities)])
        if each is _ORDER[-1]:
            ordered = nests
    return nests


def _same(nests: tuple[Nest, ...], others: tuple[Nest, ...]) -> bool:
    return len(nests) == len(others) and all(map(is_, nests, others))
