"""Convolutions with one tap, as matrix products."""

from __future__ import annotations

import functools
import math

from attrs import evolve

from rxcore_kernels.convolution_geometry import Geometry
from rxcore_kernels.host import Features
from rxcore_kernels.matmul import plan_matmul, split
from rxcore_kernels.matmul_text import wide
from rxcore_kernels.matmul_tile import Tile, choose_tile
from rxcore_kernels.plan import In, Out, Plan, Scratch, Step, Word
from rxcore_kernels.source import Source
from rxcore_kernels.text import kernel

PRODUCT_PARTS = 1 << 24
"""Elements of the images' weight gradients that may be kept before they are summed."""


def is_product(g: Geometry) -> bool:
    """Whether the convolution has one tap and moves nothing."""
    plain = (1, 1, 1)
    same = g.taps == g.stride == g.lhs == plain and g.groups == 1
    return same and not any((*g.low, *g.high))


def plan_product(dtype: str, g: Geometry, features: Features) -> Plan:
    """Plan a convolution with one tap as a matrix product per image."""
    pixels = math.prod(g.space)
    _, row, channel = g.weight_strides
    plan = plan_matmul(
        dtype,
        *(g.batch, g.outputs, pixels, g.channels),
        (0, row, channel),
        (g.channels * pixels, pixels, 1),
        (g.outputs * pixels, pixels),
        features=features,
    )
    swapped: dict[Word, Word] = {In(0): In(1), In(1): In(0)}
    steps = [
        evolve(step, words=tuple(swapped.get(w, w) for w in step.words))
        for step in plan.steps
    ]
    return evolve(plan, steps=tuple(steps), by_rows=False)


def plan_product_gradient(dtype: str, g: Geometry, features: Features) -> Plan:
    """Plan the weights' gradient: a product per image, then their sum in order."""
    pixels, size = math.prod(g.space), g.outputs * g.channels
    plan = plan_matmul(
        dtype,
        *(g.batch, g.outputs, g.channels, pixels),
        (g.outputs * pixels, pixels, 1),
        (g.channels * pixels, 1, pixels),
        (size, g.channels),
        features=features,
    )
    tile = choose_tile(dtype, features)
    moved: dict[Word, Word] = {In(0): In(1), In(1): In(0)}
    moved[Out(0)] = Scratch(len(plan.scratch))
    steps = [
        evolve(step, words=tuple(moved.get(w, w) for w in step.words))
        for step in plan.steps
    ]
    words: tuple[Word, ...] = (moved[Out(0)], Out(0), g.batch, size)
    chunk = split(size, g.batch * size, 4 * tile.lanes)
    total = Step(sum_source(tile), words, 0, size, chunk)
    parts = g.batch * size * tile.element.bytes
    return Plan((*steps, total), (*plan.scratch, parts))


@functools.cache
def sum_source(tile: Tile) -> Source:
    """Return the step that adds arrays in their order; a unit is an element."""
    symbol = f"convolution_sum_{tile.name}"
    element = tile.element
    with kernel(symbol, wide=wide(tile)) as w:
        source, target = w.address(0), w.address(1)
        count, size = w.word(2), w.word(3)
        whole = w.lo + (w.hi - w.lo) // tile.lanes * tile.lanes
        for kind, start, stop in (
            (tile.vector, w.lo, whole),
            (element, whole, w.hi),
        ):
            with w.loop(start, stop, max(kind.lanes, 1)) as i:
                total = w.slot(kind, 0.0)
                with w.loop(0, count) as part:
                    spot = w.at(source, part * size + i, element)
                    total.set(total.get() + w.load(kind, spot))
                w.store(total.get(), target, i)
    return Source(w.text, symbol)
