"""Convolutions of rank 1 to 3 and their gradients, on OpenCL devices.

All three are one product whose second operand is read through a window (see
`convolution_opencl_text`). A dilated input is cut into the residues of its dilation, so
that its zeros are not multiplied: each is such a product with fewer taps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from attrs import evolve, field, frozen

from rxcore_kernels import matmul_opencl
from rxcore_kernels.convolution_geometry import Geometry, Pairs, geometry
from rxcore_kernels.convolution_opencl_text import (
    scalar_names,
    window_direct_source,
    window_tile_source,
)
from rxcore_kernels.convolution_product import is_product
from rxcore_kernels.launch import In, Launch, LaunchPlan, Out, Scalar, Scratch
from rxcore_kernels.matmul_opencl import SPLIT_TILE, fits, has_kernel, sum_launch
from rxcore_kernels.matmul_opencl_text import ELEMENT_BYTES, GROUP, Blocks
from rxcore_kernels.opencl_facts import Facts

__all__ = ["plan_opencl", "plan_opencl_dw", "plan_opencl_dx"]

LEAST_SIDE = 8
"""Rows or columns of a product below which a tile would mostly be empty."""

PRODUCT_PIXELS = 256
"""Pixels of an image from which one tap is better left to the matrix product."""

Axes = tuple[int, ...]


@frozen
class Window:
    """A product through a window: sizes, strides in elements, steps in x.

    The names are those of `convolution_opencl_text`. The axes of `a` are the rows', the
    axes of `c` the columns'; x is dense.
    """

    dtype: str
    groups: int
    m: int
    outer_columns: int
    outer_rows: int
    columns: Axes
    rows: Axes
    column_step: Axes
    row_step: Axes
    low: Axes
    space: Axes
    x: tuple[int, int, int]
    """Strides by (group, outer column, outer row)."""
    a: tuple[int, int, int]
    """Strides by (group, i, outer row)."""
    a_axes: Axes
    c: tuple[int, int, int]
    """Strides by (group, i, outer column)."""
    c_axes: Axes
    sizes: tuple[int, int, int]
    """Elements of a, x and c."""
    lhs: Axes = (1, 1, 1)
    """Spacing of the elements of x; 1 in a product that a kernel can compute."""
    a_first: int = field(default=0)
    c_first: int = field(default=0)

    @property
    def n(self) -> int:
        """Columns in all."""
        return self.outer_columns * math.prod(self.columns)

    @property
    def k(self) -> int:
        """Rows in all; none if x has no elements to read."""
        return self.outer_rows * math.prod(self.rows) if self.sizes[1] else 0

    @property
    def work(self) -> int:
        """Multiply-adds."""
        return self.groups * self.m * self.n * self.k

    @property
    def nbytes(self) -> int:
        """Bytes of what is read, once, and of the result."""
        read = self.groups * self.m * self.k + (self.sizes[1] if self.k else 0)
        return (read + self.groups * self.m * self.n) * ELEMENT_BYTES[self.dtype]


def plan_opencl(
    facts: Facts,
    dtype: str,
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    *,
    stride: Sequence[int],
    padding: Pairs,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    groups: int = 1,
    flip: bool = False,
    transpose: bool = False,
) -> LaunchPlan | None:
    """Plan a convolution on an OpenCL device.

    **Meaning**: that of `convolution.plan_convolution` (inputs x, w; output y), summed
    tap by tap in one fixed order for given sizes and facts.

    Args:
        facts: the device to plan for.
        dtype: "float32" or "float64".
        x_shape: (batch, channels, space...), one to three space dimensions; dense.
        w_shape: (outputs, channels / groups, taps...), dense; with `transpose`
            (channels, outputs / groups, taps...).
        stride: step of the output, per space dimension.
        padding: zeros (before, after), per space dimension; negative cuts.
        lhs_dilation: spacing of the elements of x, 1 by default.
        rhs_dilation: spacing of the taps, 1 by default.
        groups: number of independent groups of channels.
        flip: reverse the taps.
        transpose: swap the roles of the weights' first two dimensions.

    Returns:
        The launches, or None where the device has no kernel for the dtype.

    Raises:
        TypeError: the dtype has no kernel on any device.
        ValueError: shapes or parameters do not fit together.

    Example:
        >>> plan = plan_opencl(
        ...     Facts(), "float32", (1, 1, 4), (1, 1, 2), stride=(1,), padding=[(0, 0)]
        ... )
        >>> [launch.flops for launch in plan.launches]
        [12.0]
    """
    g = geometry(
        "plan_opencl",
        *(dtype, x_shape, w_shape, stride, padding, lhs_dilation, rhs_dilation),
        *(groups, flip, transpose),
    )
    if not has_kernel(facts, dtype):
        return None
    pixels = math.prod(g.space)
    if is_product(g) and (facts.kind == "cpu" or pixels >= PRODUCT_PIXELS):
        return _plan_product(facts, dtype, g)
    group, output, channel = g.weight_strides
    window = Window(
        dtype,
        g.groups,
        g.outputs,
        *(g.batch, g.channels, g.out, g.taps, g.stride, g.rhs, g.low, g.space),
        x=(g.channels * pixels, g.groups * g.channels * pixels, pixels),
        a=(group, output, channel),
        a_axes=_dense(g.taps),
        c=_strides(g.outputs, g.groups, g.out),
        c_axes=_dense(g.out),
        sizes=_sizes(g),
        lhs=g.lhs,
    )
    if flip:
        window = evolve(
            window,
            a_axes=tuple(-step for step in window.a_axes),
            a_first=math.prod(g.taps) - 1,
        )
    return _plan(facts, window)


def plan_opencl_dx(
    facts: Facts,
    dtype: str,
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    *,
    stride: Sequence[int],
    padding: Pairs,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    groups: int = 1,
    flip: bool = False,
) -> LaunchPlan | None:
    """Plan the gradient of `plan_opencl` with respect to x: (dy, w) -> dx.

    It is a convolution again: strides and the dilation of x change places, and taps are
    reversed.

    Args:
        facts: the device to plan for.
        dtype: "float32" or "float64".
        x_shape: the shape of x and dx.
        w_shape: (outputs, channels / groups, taps...).
        stride: as in the forward convolution.
        padding: as in the forward convolution.
        lhs_dilation: as in the forward convolution.
        rhs_dilation: as in the forward convolution.
        groups: as in the forward convolution.
        flip: as in the forward convolution.

    Returns:
        The launches, or None where the device has no kernel for the dtype.

    Raises:
        TypeError: the dtype has no kernel on any device.
        ValueError: shapes or parameters do not fit together.
    """
    g = geometry(
        "plan_opencl_dx",
        *(dtype, x_shape, w_shape, stride, padding, lhs_dilation, rhs_dilation),
        *(groups, flip, False),
    )
    kept = slice(5 - len(x_shape), 3)
    pads = []
    parts = (g.space, g.out, g.taps, g.stride, g.low, g.lhs, g.rhs)
    for x, y, k, s, low, dx, dk in list(zip(*parts, strict=True))[kept]:
        before = (k - 1) * dk - low
        room = (y - 1) * s + 1 if y else 0
        pads.append((before, (x - 1) * dx + (k - 1) * dk + 1 - before - room))
    return plan_opencl(
        *(facts, dtype, (x_shape[0], w_shape[0], *g.out[kept]), w_shape),
        stride=g.lhs[kept],
        padding=pads,
        lhs_dilation=g.stride[kept],
        rhs_dilation=g.rhs[kept],
        groups=groups,
        flip=not flip,
        transpose=True,
    )


def plan_opencl_dw(
    facts: Facts,
    dtype: str,
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    *,
    stride: Sequence[int],
    padding: Pairs,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    groups: int = 1,
    flip: bool = False,
) -> LaunchPlan | None:
    """Plan the gradient of `plan_opencl` with respect to w: (x, dy) -> dw.

    Args:
        facts: the device to plan for.
        dtype: "float32" or "float64".
        x_shape: (batch, channels, space...).
        w_shape: (outputs, channels / groups, taps...), the shape of dw.
        stride: as in the forward convolution.
        padding: as in the forward convolution.
        lhs_dilation: as in the forward convolution.
        rhs_dilation: as in the forward convolution.
        groups: as in the forward convolution.
        flip: as in the forward convolution.

    Returns:
        The launches, or None where the device has no kernel for the dtype. The sum is
        taken in a fixed order.

    Raises:
        TypeError: the dtype has no kernel on any device.
        ValueError: shapes or parameters do not fit together.
    """
    g = geometry(
        "plan_opencl_dw",
        *(dtype, x_shape, w_shape, stride, padding, lhs_dilation, rhs_dilation),
        *(groups, flip, False),
    )
    if not has_kernel(facts, dtype):
        return None
    pixels = math.prod(g.space)
    y_group, y_output, y_batch = _strides(g.outputs, g.groups, g.out)
    y_size, x_size, w_size = (_sizes(g)[i] for i in (2, 1, 0))
    window = Window(
        dtype,
        g.groups,
        g.outputs,
        *(g.channels, g.batch, g.taps, g.out, g.rhs, g.stride, g.low, g.space),
        x=(g.channels * pixels, pixels, g.groups * g.channels * pixels),
        a=(y_group, y_output, y_batch),
        a_axes=_dense(g.out),
        c=g.weight_strides,
        c_axes=_dense(g.taps),
        sizes=(y_size, x_size, w_size),
        lhs=g.lhs,
    )
    if flip:
        window = evolve(
            window,
            c_axes=tuple(-step for step in window.c_axes),
            c_first=math.prod(g.taps) - 1,
        )
    return _plan(facts, window)


def _dense(sizes: Axes) -> Axes:
    return (sizes[1] * sizes[2], sizes[2], 1)


def _strides(channels: int, groups: int, space: Axes) -> tuple[int, int, int]:
    """Return the strides of dense images by (group, channel, image)."""
    pixels = math.prod(space)
    return channels * pixels, pixels, groups * channels * pixels


def _sizes(g: Geometry) -> tuple[int, int, int]:
    """Return the elements of the weights, the input and the output."""
    weights = g.groups * g.channels * g.outputs * math.prod(g.taps)
    images = g.batch * g.groups
    x = images * g.channels * math.prod(g.space)
    return weights, x, images * g.outputs * math.prod(g.out)


def _plan_product(facts: Facts, dtype: str, g: Geometry) -> LaunchPlan | None:
    """Plan a convolution with one tap as a matrix product per image."""
    pixels = math.prod(g.space)
    _, row, channel = g.weight_strides
    plan = matmul_opencl.plan_opencl(
        facts,
        dtype,
        *(g.batch, g.outputs, pixels, g.channels),
        (0, row, channel),
        (g.channels * pixels, pixels, 1),
        (g.outputs * pixels, pixels),
    )
    if plan is None:
        return None
    swapped: dict[In | Out | Scratch, In] = {In(0): In(1), In(1): In(0)}
    launches = (
        evolve(each, memories=tuple(swapped.get(p, p) for p in each.memories))
        for each in plan.launches
    )
    return evolve(plan, launches=tuple(launches))


# residues of a dilated input ---------------------------------------------------------


@frozen
class _Residue:
    """The columns index, index + by, ... of an axis, and the rows that they read."""

    index: int
    by: int
    count: int
    first: int
    step: int
    rows: int
    column_step: int
    row_step: int
    low: int


def _residues(w: Window, axis: int) -> list[_Residue]:
    """Return the residues of one axis; x has no dilation for any of them."""
    lhs, low = w.lhs[axis], w.low[axis]
    columns, column_step = w.columns[axis], w.column_step[axis]
    rows, row_step = w.rows[axis], w.row_step[axis]
    by, step = lhs // math.gcd(lhs, column_step), lhs // math.gcd(lhs, row_step)
    found = []
    for index in range(min(by, columns)):
        places = (index * column_step + r * row_step - low for r in range(rows))
        kept = [r for r, place in enumerate(places) if place % lhs == 0]
        first = kept[0] if kept else 0
        base = (index * column_step + first * row_step - low) // lhs
        count = -(-(columns - index) // by)
        steps = (by * column_step // lhs, step * row_step // lhs)
        found.append(_Residue(index, by, count, first, step, len(kept), *steps, -base))
    return found


def _undilated(w: Window) -> list[Window]:
    """Return the products that make up one with a dilated input."""
    found = []
    for parts in itertools.product(*(_residues(w, axis) for axis in range(3))):
        a_axes, c_axes = w.a_axes, w.c_axes
        found.append(
            evolve(
                w,
                lhs=(1, 1, 1),
                columns=tuple(r.count for r in parts),
                rows=tuple(r.rows for r in parts),
                column_step=tuple(r.column_step for r in parts),
                row_step=tuple(r.row_step for r in parts),
                low=tuple(r.low for r in parts),
                a_first=w.a_first + _dot([r.first for r in parts], a_axes),
                c_first=w.c_first + _dot([r.index for r in parts], c_axes),
                a_axes=tuple(r.step * s for r, s in zip(parts, a_axes, strict=True)),
                c_axes=tuple(r.by * s for r, s in zip(parts, c_axes, strict=True)),
            )
        )
    return found


def _dot(left: Sequence[int], right: Sequence[int]) -> int:
    return sum(a * b for a, b in zip(left, right, strict=True))


# launches ----------------------------------------------------------------------------


def _plan(facts: Facts, w: Window) -> LaunchPlan:
    """Plan a product; each residue is cut into the same number of parts."""
    if w.sizes[2] == 0:
        return LaunchPlan(())
    windows = _undilated(w)
    chosen = [_choose(facts, each) for each in windows]
    parts = max(_parts(facts, each, t) for each, t in zip(windows, chosen, strict=True))
    launches = [
        _launch(each, t, parts) for each, t in zip(windows, chosen, strict=True)
    ]
    if parts == 1:
        return LaunchPlan(tuple(launches))
    size = w.sizes[2]
    total = sum_launch(w.dtype, parts, (1, 1, size), (size, size))
    return LaunchPlan((*launches, total), (parts * size * ELEMENT_BYTES[w.dtype],))


def _choose(facts: Facts, w: Window) -> Blocks | None:
    """Return the tile for a product, None for one without."""
    if min(w.m, w.n) < LEAST_SIDE or w.k < LEAST_SIDE:
        return None
    rows = 64 if w.m > 32 else 32 if w.m > 16 else 16
    width, pad = (4, 4) if facts.local_is_real else (8, 0)
    t = Blocks(rows, GROUP, 16, rows // 8, 8, width, pad)
    return t if fits(facts, t, w.dtype) else None


def _tiles(w: Window, t: Blocks | None) -> tuple[int, int]:
    """Return the tiles along the rows and columns of c, in one group of channels.

    Without tiles all groups of channels are counted, in groups of work-items.
    """
    if t is None:
        return 1, -(-w.groups * w.m * w.n // GROUP)
    return -(-w.m // t.rows), -(-w.n // t.columns)


def _parts(facts: Facts, w: Window, t: Blocks | None) -> int:
    """Return into how many parts k is cut, so that a device has enough to do."""
    groups = math.prod(_tiles(w, t)) * (w.groups if t else 1)
    wanted = (2 if t else 8) * facts.units
    room = facts.max_alloc // (w.sizes[2] * ELEMENT_BYTES[w.dtype])
    return max(1, min(-(-wanted // groups), w.k // SPLIT_TILE, room))


def _launch(w: Window, t: Blocks | None, parts: int) -> Launch:
    flat = w.columns[0] == w.rows[0] == w.space[0] == 1 and w.low[0] == 0
    axes = "yx" if flat else "zyx"
    wide = max(w.sizes) >= 1 << 31
    if t is None:
        source = window_direct_source(w.dtype, axes, wide)
    else:
        source = window_tile_source(t, w.dtype, axes, wide)
    tiles = _tiles(w, t)
    multiple = t.depth if t else 1
    depth = -(-w.k // parts)
    depth = max(1, -(-depth // multiple) * multiple)
    each = ELEMENT_BYTES[w.dtype]
    target = Out(0) if parts == 1 else Scratch(0)
    return Launch(
        source,
        (In(1), In(0), target),
        (each,) * 3,
        _scalars(w, axes, tiles, depth),
        (parts * math.prod(tiles) * (w.groups if t else 1), 1, 1),
        "convolution",
        2.0 * w.work,
        w.nbytes + (parts - 1) * w.groups * w.m * w.n * each,
    )


def _scalars(
    w: Window, axes: str, tiles: tuple[int, int], depth: int
) -> tuple[Scalar, ...]:
    """Return the scalars in the order of `scalar_names`."""
    named = {
        **{"m": w.m, "n": w.n, "k": w.k, "groups": w.groups, "depth": depth},
        **{"tiles_m": tiles[0], "tiles_n": tiles[1], "c_part": w.sizes[2]},
        **dict(zip(("x_group", "x_column", "x_row"), w.x, strict=True)),
        **dict(zip(("a_group", "a_row", "a_outer"), w.a, strict=True)),
        **dict(zip(("c_group", "c_row", "c_outer"), w.c, strict=True)),
        **{"a_first": w.a_first, "c_first": w.c_first},
    }
    by_axis = {
        **{"columns": w.columns, "low": w.low, "space": w.space},
        # Nothing is divided by zero where there are no rows.
        "rows": tuple(max(n, 1) for n in w.rows),
        **{"column_step": w.column_step, "row_step": w.row_step},
        **{"a": w.a_axes, "c": w.c_axes},
    }
    for name, values in by_axis.items():
        named |= {f"{name}_{p}": v for p, v in zip("zyx", values, strict=True)}
    return tuple(named[name] for part in scalar_names(axes) for name in part.split())
