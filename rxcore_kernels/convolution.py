"""Convolutions of rank 1 to 3, and their gradients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from attrs import evolve

from rxcore_kernels import host
from rxcore_kernels.convolution_direct import (
    gradient_source,
    main_source,
    pad_source,
    table_source,
    weights_source,
)
from rxcore_kernels.convolution_geometry import Geometry, Pairs, geometry, residues
from rxcore_kernels.convolution_product import (
    PRODUCT_PARTS,
    is_product,
    plan_product,
    plan_product_gradient,
)
from rxcore_kernels.convolution_winograd import (
    winograd_finish_source,
    winograd_gradient_source,
    winograd_main_source,
    winograd_weights_source,
)
from rxcore_kernels.host import Features
from rxcore_kernels.matmul import split
from rxcore_kernels.matmul_tile import Tile, choose_tile
from rxcore_kernels.plan import In, Out, Plan, Scratch, Step, Word
from rxcore_kernels.text import F32

BLOCK_TILES = 64
"""Tiles that one block of the Winograd kernels transforms together, about."""

GRADIENT_PARTS = 8
GRADIENT_BYTES = 64 << 20
"""Most partial sums of a weight gradient, and about their most memory."""

PACKED_OUTPUTS = 24
PACKED_SUMS = 200
"""Outputs and products from which the direct kernel copies what a tile reads."""

SLACK = 256
"""Elements that a block may read, and not use, after the end of the padded images."""


def plan_convolution(
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
    features: Features | None = None,
) -> Plan:
    """Plan a convolution (as in neural networks: a correlation).

    **Meaning** (inputs x, w; output y; one space dimension, one group)::

        y[n, o, q] = sum(
            x_padded[n, c, q * stride + t * rhs_dilation] * w[o, c, t]
            for c in range(channels)
            for t in range(taps)
        )

    where x_padded has `lhs_dilation - 1` zeros between elements and `padding` zeros
    around them (negative padding cuts). 3x3 taps with stride 1 and many float32
    channels use minimal filtering, where an infinity makes NaN of its 2x2 tile; its
    pieces must begin at multiples of the planned chunk.

    Args:
        dtype: "float32" or "float64".
        x_shape: (batch, channels, space...), one to three space dimensions; dense.
        w_shape: (outputs, channels / groups, taps...), dense; with `transpose`
            (channels, outputs / groups, taps...).
        stride: step of the output, per space dimension.
        padding: zeros (before, after), per space dimension.
        lhs_dilation: spacing of the elements of x, 1 by default.
        rhs_dilation: spacing of the taps, 1 by default.
        groups: number of independent groups of channels.
        flip: reverse the taps.
        transpose: swap the roles of the weights' first two dimensions.
        features: the processor to plan for; the host by default.

    Returns:
        The plan; its output is dense (batch, outputs, out...).

    Raises:
        TypeError: the dtype has no kernel.
        ValueError: shapes or parameters do not fit together.

    Example:
        >>> import numpy as np
        >>> from rxcore_kernels.plan import run_plan
        >>> x = np.arange(4, dtype=np.float32).reshape(1, 1, 4)
        >>> w, y = np.ones((1, 1, 2), np.float32), np.empty((1, 1, 3), np.float32)
        >>> plan = plan_convolution(
        ...     "float32", (1, 1, 4), (1, 1, 2), stride=(1,), padding=[(0, 0)]
        ... )
        >>> run_plan(plan, [x, w], [y])
        >>> y.ravel().tolist()
        [1.0, 3.0, 5.0]
    """
    g = geometry(
        "plan_convolution",
        *(dtype, x_shape, w_shape, stride, padding, lhs_dilation, rhs_dilation),
        *(groups, flip, transpose),
    )
    host_features = features or host.features()
    tile = choose_tile(dtype, host_features)
    if g.batch * g.groups * g.outputs * math.prod(g.out) == 0:
        return Plan(())
    if is_product(g):
        return plan_product(dtype, g, host_features)
    if _is_winograd(tile, g):
        return _plan_winograd(tile, g)
    return _plan_direct(tile, g)


def _is_winograd(tile: Tile, g: Geometry) -> bool:
    """Whether the minimal filtering pays and its rounding error is small (float32)."""
    plain = (1, 1, 1)
    return (
        tile.masks
        and tile.element == F32
        and g.taps == (1, 3, 3)
        and g.stride == g.lhs == g.rhs == plain
        and g.groups == 1
        and min(g.channels, g.outputs) >= 16
        and min(g.out[1:]) >= 4
        and all(0 <= pad <= 2 for pad in (*g.low, *g.high))
    )


def _round(count: int, size: int) -> int:
    return -(-count // size) * size


def _block_words(g: Geometry, chunk: int) -> tuple[tuple[int, ...], int, int]:
    """Return the words of a blocked Winograd step, its tile rows and its blocks."""
    high, wide = (-(-n // 2) for n in g.out[1:])
    blocks = -(-high // max(1, BLOCK_TILES // wide))
    rows = -(-high // blocks)
    blocks = -(-high // rows)
    words = (
        *(g.channels, g.outputs, *g.space[1:], *g.out[1:], *g.low[1:]),
        *(high, wide, rows, blocks, chunk),
    )
    return words, rows * wide, blocks


def _block_scratch(
    tile: Tile, words: tuple[int, ...], slots: int, c_pitch: int, o_pitch: int
) -> tuple[int, ...]:
    """Return the bytes of the blocks: image, transformed input, transformed output."""
    wide, rows = words[9], words[10]
    before = ((rows * 2 + 2) * (wide * 2 + 2) + tile.lanes) * c_pitch
    after = (rows * 2 * wide * 2 + tile.lanes) * o_pitch
    pitches = (before + after, rows * wide * 16 * c_pitch, rows * wide * 16 * o_pitch)
    return tuple(slots * size * tile.element.bytes for size in pitches)


def _plan_winograd(tile: Tile, g: Geometry) -> Plan:
    _, _, blocks = _block_words(g, 1)
    units = g.batch * blocks
    chunk = split(units, g.work) or units
    words, _, _ = _block_words(g, chunk)
    panels = -(-g.outputs // tile.columns)
    weight_units = panels * g.channels
    weight_words: tuple[Word, ...] = (
        *(In(1), Scratch(0), g.outputs, g.channels, panels),
        *(*g.weight_strides[1:], int(g.flip)),
    )
    o_pitch = panels * tile.columns
    slots = -(-units // chunk)
    c_pitch = _round(g.channels, tile.lanes)
    blocks_bytes = _block_scratch(tile, words, slots, c_pitch, o_pitch)
    places: tuple[Word, ...] = (
        In(0),
        Scratch(0),
        Out(0),
        Scratch(1),
        Scratch(2),
        Scratch(3),
    )
    steps = (
        Step(
            *(winograd_weights_source(tile), weight_words, 0, weight_units),
            split(weight_units, weight_units * 1024),
        ),
        Step(winograd_main_source(tile), (*places, *words), 0, units, chunk),
    )
    weights = 16 * o_pitch * g.channels * tile.element.bytes
    return Plan(steps, (weights, *blocks_bytes))


def _plan_winograd_gradient(tile: Tile, g: Geometry) -> Plan:
    words, _, _ = _block_words(g, 1)
    c_pitch = _round(g.channels, tile.columns)
    part = 16 * g.outputs * c_pitch * tile.element.bytes
    # A fixed number of parts, so that no thread count changes the sum.
    most = max(2, min(GRADIENT_PARTS, GRADIENT_BYTES // part))
    images = -(-g.batch // most)
    parts = -(-g.batch // images)
    o_pitch = _round(g.outputs, tile.lanes)
    blocks_bytes = _block_scratch(tile, words, parts, c_pitch, o_pitch)
    places: tuple[Word, ...] = (
        In(0),
        In(1),
        Scratch(0),
        Scratch(1),
        Scratch(2),
        Scratch(3),
    )
    finish_words = (*(Scratch(3), Out(0), g.channels, g.outputs, parts, int(g.flip)),)
    steps = (
        Step(
            *(winograd_gradient_source(tile), (*places, *words, g.batch, images)),
            *(0, parts, 1),
        ),
        Step(
            *(winograd_finish_source(tile), finish_words, 0, g.outputs),
            split(g.outputs, part * parts // 4),
        ),
    )
    return Plan(steps, (*blocks_bytes, parts * part))


def _pad_step(tile: Tile, g: Geometry, source: Word, target: Word) -> Step:
    words: tuple[Word, ...] = (
        *(source, target, g.size, *g.space, *g.low, *g.lhs, *g.stride),
        *(*g.phases, *g.pitch),
    )
    units = g.batch * g.groups * g.channels
    return Step(pad_source(tile), words, 0, units, split(units, units * g.size * 4))


def _table_step(g: Geometry, target: Word) -> Step:
    words: tuple[Word, ...] = (
        *(target, g.channels, g.size, int(g.flip), *g.taps, 0, 0, 0),
        *(*g.rhs, *g.stride, *g.phases, *g.pitch),
    )
    return Step(table_source(), words, 0, g.k, 0)


def _plan_direct(tile: Tile, g: Geometry) -> Plan:
    if g.outputs <= 3:
        # Few outputs need more vectors to keep the adders busy.
        tile = evolve(tile, heights=(g.outputs,), vectors=(8, 4, 3)[g.outputs - 1])
    if g.stride == (1, 1, 1) and g.lhs != (1, 1, 1):
        return _plan_residues(tile, g)
    _, kh, kw = g.taps
    _, oh, ow = g.out
    weights = _weight_step(tile, g, Scratch(1), g.taps, (0, 0, 0), (kh * kw, kw, 1))
    main = _main_step(
        *(tile, g, Scratch(1), Scratch(2), g.k, g.flat, g.size, g.pitch, g.out),
        (0, oh * ow, ow, 1),
    )
    steps = (
        _pad_step(tile, g, In(0), Scratch(0)),
        _table_step(g, Scratch(2)),
        *(weights, main),
    )
    return Plan(steps, _direct_scratch(tile, g, g.size))


def _direct_scratch(tile: Tile, g: Geometry, size: int) -> tuple[int, ...]:
    """Return the bytes of the padded images, the packed weights and the table."""
    images = g.batch * g.groups * g.channels * size + SLACK
    weights = g.groups * _round(g.outputs, tile.rows) * g.k
    return images * tile.element.bytes, weights * tile.element.bytes, g.k * 8 + 8


def _weight_step(
    tile: Tile,
    g: Geometry,
    target: Word,
    taps: tuple[int, ...],
    first: tuple[int, ...],
    by: tuple[int, ...],
) -> Step:
    """Pack the taps first, first + by, ... of each dimension."""
    panels = -(-g.outputs // tile.rows)
    words: tuple[Word, ...] = (
        *(In(1), target, g.outputs, panels, g.channels, *g.weight_strides),
        *(*taps, *first, *by),
    )
    units = g.groups * panels
    chunk = split(units, units * g.channels * math.prod(taps) * tile.rows * 4)
    return Step(weights_source(tile), words, 0, units, chunk)


def _main_step(
    tile: Tile,
    g: Geometry,
    weights: Word,
    table: Word,
    k: int,
    flat: int,
    size: int,
    pitch: tuple[int, ...],
    out: tuple[int, ...],
    place: tuple[int, int, int, int],
) -> Step:
    """Compute `out` outputs per image, stored from an origin with three strides."""
    block = max(tile.columns, 512 // tile.columns * tile.columns)
    blocks = -(-flat // block)
    words: tuple[Word, ...] = (
        *(Scratch(0), weights, table, Out(0)),
        *(g.groups, blocks, block, flat, g.outputs, k),
        *(g.channels * size, g.groups * g.channels * size),
        *(*pitch[1:], *out, *place, math.prod(g.out)),
    )
    units = g.batch * g.groups * blocks
    packed = g.outputs >= PACKED_OUTPUTS and k >= PACKED_SUMS
    source = main_source(tile, strided=place[3] != 1, packed=packed)
    work = g.batch * g.groups * g.outputs * math.prod(out) * k
    return Step(source, words, 0, units, split(units, work))


def _plan_residues(tile: Tile, g: Geometry) -> Plan:
    """Plan a convolution of a dilated input without multiplying its zeros.

    Outputs whose position has one remainder by the dilation read one subset of the
    taps, without dilation: each combination of remainders is a convolution of its own.
    """
    options = [residues(g, axis) for axis in range(3)]
    low: tuple[int, ...] = tuple(
        -min([0, *(r.base for r in rs if r.taps)]) for rs in options
    )
    high = tuple(max([0, *(r.last for r in rs if r.taps)]) for rs in options)
    most = tuple(max(r.count for r in rs) for rs in options)
    parts = zip(most, low, high, strict=True)
    pitch: tuple[int, ...] = tuple(count + a + b for count, a, b in parts)
    size = _round(math.prod(pitch), 16) + 16
    flat = ((most[0] - 1) * pitch[1] + most[1] - 1) * pitch[2] + most[2]
    unit: tuple[int, ...] = (1, 1, 1)
    pad_words: tuple[Word, ...] = (
        In(0),
        Scratch(0),
        *(size, *g.space, *low, *unit, *unit, *unit, *pitch),
    )
    channels = g.batch * g.groups * g.channels
    pad = Step(
        *(pad_source(tile), pad_words, 0, channels),
        split(channels, channels * size * 4),
    )
    steps = [pad]
    done, rows = 0, g.groups * _round(g.outputs, tile.rows)
    kernel = (g.taps[1] * g.taps[2], g.taps[2], 1)
    outer = (g.out[1] * g.out[2], g.out[2], 1)
    for combined in itertools.product(*options):
        taps = tuple(r.taps for r in combined)
        out = tuple(r.count for r in combined)
        if math.prod(out) == 0:
            continue
        k = g.channels * math.prod(taps)
        weights = Scratch(1, done * rows * tile.element.bytes)
        table = Scratch(2, done * 8)
        done += k
        if k:
            base = (r.base + a for r, a in zip(combined, low, strict=True))
            table_words: tuple[Word, ...] = (
                table,
                *(g.channels, size, 0, *taps, *base),
                *(*(r.spread for r in combined), *unit, *unit, *pitch),
            )
            first = tuple(r.first * s for r, s in zip(combined, kernel, strict=True))
            by = tuple(r.step * s for r, s in zip(combined, kernel, strict=True))
            steps.append(Step(table_source(), table_words, 0, k, 0))
            steps.append(_weight_step(tile, g, weights, taps, first, by))
        origin = sum(r.index * s for r, s in zip(combined, outer, strict=True))
        depth, height, width = (d * s for d, s in zip(g.lhs, outer, strict=True))
        place = (origin, depth, height, width)
        args = (tile, g, weights, table, k, flat, size, pitch, out, place)
        steps.append(_main_step(*args))
    return Plan(tuple(steps), _direct_scratch(tile, g, size))


def plan_convolution_dx(
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
    features: Features | None = None,
) -> Plan:
    """Plan the gradient of `plan_convolution` with respect to x.

    **Meaning** (inputs dy, w; output dx): the transpose of the linear map x -> y. It is
    a convolution again: strides and the dilation of x change places, taps are reversed.

    Args:
        dtype: "float32" or "float64".
        x_shape: the shape of x and dx.
        w_shape: (outputs, channels / groups, taps...).
        stride: as in the forward convolution.
        padding: as in the forward convolution.
        lhs_dilation: as in the forward convolution.
        rhs_dilation: as in the forward convolution.
        groups: as in the forward convolution.
        flip: as in the forward convolution.
        features: the processor to plan for; the host by default.

    Returns:
        The plan of (dy, w) -> dx.

    Raises:
        TypeError: the dtype has no kernel.
        ValueError: shapes or parameters do not fit together.
    """
    g = geometry(
        "plan_convolution_dx",
        *(dtype, x_shape, w_shape, stride, padding, lhs_dilation, rhs_dilation),
        *(groups, flip, False),
    )
    rank = len(x_shape) - 2
    pads = []
    parts = (g.space, g.out, g.taps, g.stride, g.low, g.lhs, g.rhs)
    for x, y, k, s, low, dx, dk in list(zip(*parts, strict=True))[3 - rank :]:
        before = (k - 1) * dk - low
        room = (y - 1) * s + 1 if y else 0
        pads.append((before, (x - 1) * dx + (k - 1) * dk + 1 - before - room))
    y_shape = (x_shape[0], w_shape[0], *g.out[3 - rank :])
    return plan_convolution(
        *(dtype, y_shape, w_shape),
        stride=g.lhs[3 - rank :],
        padding=pads,
        lhs_dilation=g.stride[3 - rank :],
        rhs_dilation=g.rhs[3 - rank :],
        groups=groups,
        flip=not flip,
        transpose=True,
        features=features,
    )


def plan_convolution_dw(
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
    features: Features | None = None,
) -> Plan:
    """Plan the gradient of `plan_convolution` with respect to the weights.

    **Meaning** (inputs x, dy; output dw; one space dimension, one group)::

        dw[o, c, t] = sum(
            x_padded[n, c, q * stride + t * rhs_dilation] * dy[n, o, q]
            for n in range(batch)
            for q in range(out)
        )

    Args:
        dtype: "float32" or "float64".
        x_shape: (batch, channels, space...).
        w_shape: (outputs, channels / groups, taps...), the shape of dw.
        stride: as in the forward convolution.
        padding: as in the forward convolution.
        lhs_dilation: as in the forward convolution.
        rhs_dilation: as in the forward convolution.
        groups: as in the forward convolution.
        flip: as in the forward convolution.
        features: the processor to plan for; the host by default.

    Returns:
        The plan of (x, dy) -> dw. The sum is taken in a fixed order.

    Raises:
        TypeError: the dtype has no kernel.
        ValueError: shapes or parameters do not fit together.
    """
    g = geometry(
        "plan_convolution_dw",
        *(dtype, x_shape, w_shape, stride, padding, lhs_dilation, rhs_dilation),
        *(groups, flip, False),
    )
    host_features = features or host.features()
    tile = choose_tile(dtype, host_features)
    if g.groups * g.outputs * g.k == 0:
        return Plan(())
    if is_product(g) and 0 < g.batch * g.outputs * g.channels <= PRODUCT_PARTS:
        return plan_product_gradient(dtype, g, host_features)
    if g.batch and _is_winograd(tile, g):
        return _plan_winograd_gradient(tile, g)
    return _plan_gradient(tile, g)


def _plan_gradient(tile: Tile, g: Geometry) -> Plan:
    unit = (1, 1, 1)
    empty = g.batch * math.prod(g.out) == 0
    images = 0 if empty else g.batch
    # dy in the flat layout of the padded output, zeros between its rows.
    y = evolve(
        g,
        channels=g.outputs,
        space=g.out,
        taps=tuple(p - o + 1 for p, o in zip(g.pitch, g.out, strict=True)),
        stride=unit,
        low=(0, 0, 0),
        high=tuple(p - o for p, o in zip(g.pitch, g.out, strict=True)),
        lhs=unit,
        rhs=unit,
    )
    o_block, c_block = min(24, g.outputs), min(8, g.channels)
    o_blocks, c_blocks = -(-g.outputs // o_block), -(-g.channels // c_block)
    units = g.groups * o_blocks * c_blocks
    flat = -(-g.flat // 16) * 16 if not empty else 0
    words: tuple[Word, ...] = (
        *(Scratch(0), Scratch(1), Scratch(2), Out(0)),
        *(images, g.groups, o_blocks, o_block, c_blocks, c_block),
        *(g.outputs, g.channels, math.prod(g.taps), flat),
        *(g.groups * g.channels * g.size, g.size),
        *(g.groups * g.outputs * y.size, y.size),
    )
    main = Step(gradient_source(tile), words, 0, units, split(units, g.work))
    if empty:
        return Plan((main,), (8, 8, 8))
    steps = (
        _pad_step(tile, g, In(0), Scratch(0)),
        _pad_step(tile, y, In(1), Scratch(1)),
        _table_step(g, Scratch(2)),
        main,
    )
    both = [s.batch * s.groups * s.channels * s.size + SLACK for s in (g, y)]
    sizes = [count * tile.element.bytes for count in both]
    return Plan(steps, (*sizes, g.k * 8))


__all__ = [
    "Geometry",
    "plan_convolution",
    "plan_convolution_dw",
    "plan_convolution_dx",
]
