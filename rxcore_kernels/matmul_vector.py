"""Texts of the product of a matrix with a vector: by dot products, or by sweeps.

Both read each element of the matrix once, in the order in which it lies, so that the
hardware's prefetchers follow; a unit is one element of the result.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from rxcore_kernels.matmul_text import wide
from rxcore_kernels.matmul_tile import Tile, word_names
from rxcore_kernels.source import Source
from rxcore_kernels.text import I64, Value, Writer, kernel

VECTOR_WORDS = "outputs k a_batch a_out a_step x_batch x_step y_batch y_out"
SWEEP_BLOCK = 2048
SWEEP_ROWS = (8, 2, 1)


def _segments(
    w: Writer,
    tile: Tile,
    body: Callable[[Value, Value, Value, Value, Value, dict[str, Value]], None],
) -> None:
    """Print the loop over the matrices that the piece touches."""
    places = [w.address(i) for i in range(3)]
    d = word_names(w, 3, VECTOR_WORDS)
    position = w.slot(I64, w.lo)
    with w.repeat(lambda: position.get() < w.hi):
        unit = position.get()
        batch = unit // d["outputs"]
        first = unit - batch * d["outputs"]
        last = w.minimum(d["outputs"], first + w.hi - unit)
        position.set(unit + last - first)
        strides = (d["a_batch"], d["x_batch"], d["y_batch"])
        a, x, y = (
            w.at(p, batch * s, tile.element)
            for p, s in zip(places, strides, strict=True)
        )
        body(a, x, y, first, last, d)


@functools.cache
def dots_source(tile: Tile) -> Source:
    """Return the step y[i] = sum(A[i, :] * x) where A and x have unit k stride."""
    symbol = f"matmul_dots_{tile.name}"
    with kernel(symbol, wide=wide(tile)) as w:

        def body(
            a: Value, x: Value, y: Value, i0: Value, i1: Value, d: dict[str, Value]
        ) -> None:
            whole = i1 - (i1 - i0) % 4
            for start, stop, rows in ((i0, whole, 4), (whole, i1, 1)):
                with w.loop(start, stop, rows) as i:
                    lines = [
                        w.at(a, (i + r) * d["a_out"], tile.element) for r in range(rows)
                    ]
                    sums = _dot_rows(w, tile, lines, x, d["k"])
                    for r, value in enumerate(sums):
                        w.store(value, y, (i + r) * d["y_out"])

        _segments(w, tile, body)
    return Source(w.text, symbol)


def _dot_rows(
    w: Writer, tile: Tile, lines: list[Value], x: Value, k: Value
) -> list[Value]:
    """Print the dot products of some rows with x, four accumulators each."""
    parts = 4
    vector, size = tile.vector, tile.lanes
    sums = [[w.slot(vector, 0.0) for _ in range(parts)] for _ in lines]
    whole = k // (parts * size) * (parts * size)
    with w.loop(0, whole, parts * size) as kk:
        for p in range(parts):
            right = w.load(vector, x, kk + p * size)
            for line, row in zip(lines, sums, strict=True):
                left = w.load(vector, line, kk + p * size)
                row[p].set(w.muladd(left, right, row[p].get()))
    tails = [w.slot(tile.element, 0.0) for _ in lines]
    if tile.masks:
        with w.loop(whole, k, size) as kk:
            mask = w.first_lanes(k - kk, size)
            right = w.load(vector, x, kk, mask=mask)
            for line, row in zip(lines, sums, strict=True):
                left = w.load(vector, line, kk, mask=mask)
                row[0].set(w.muladd(left, right, row[0].get()))
    else:
        with w.loop(whole, k) as kk:
            right = w.load(tile.element, x, kk)
            for line, tail in zip(lines, tails, strict=True):
                left = w.load(tile.element, line, kk)
                tail.set(w.muladd(left, right, tail.get()))
    found = []
    for row, tail in zip(sums, tails, strict=True):
        total = row[0].get()
        for slot in row[1:]:
            total = total + slot.get()
        found.append(w.reduce("fadd", total) + tail.get())
    return found


@functools.cache
def sweep_source(tile: Tile) -> Source:
    """Return the step y[j] = sum(A[j, k] * x[k]) where A and y have unit j stride."""
    symbol = f"matmul_sweep_{tile.name}"
    with kernel(symbol, wide=wide(tile)) as w:

        def body(
            a: Value, x: Value, y: Value, j0: Value, j1: Value, d: dict[str, Value]
        ) -> None:
            with w.loop(j0, j1, SWEEP_BLOCK) as j:
                width = w.minimum(j1 - j, SWEEP_BLOCK)
                goal = w.at(y, j, tile.element)
                corner = w.at(a, j, tile.element)
                w.zero(goal, width * tile.element.bytes)
                start: Value | int = 0
                for rows in SWEEP_ROWS:
                    stop = d["k"] // rows * rows
                    with w.loop(start, stop, rows) as kk:
                        _add_rows(w, tile, corner, x, goal, kk, rows, width, d)
                    start = stop

        _segments(w, tile, body)
    return Source(w.text, symbol)


def _add_rows(
    w: Writer,
    tile: Tile,
    corner: Value,
    x: Value,
    goal: Value,
    kk: Value,
    rows: int,
    width: Value,
    d: dict[str, Value],
) -> None:
    """Print goal[j] += sum over a few k of x[k] * A[j, k], for j in [0, width)."""
    element, size = tile.element, tile.lanes
    lines = [w.at(corner, (kk + r) * d["a_step"], element) for r in range(rows)]
    scalars = [w.load(element, x, (kk + r) * d["x_step"]) for r in range(rows)]
    vectors = [w.broadcast(value, size) for value in scalars]

    def add(j: Value, factors: list[Value], mask: Value | None) -> None:
        kind = factors[0].type
        # Two chains hide the latency of the additions.
        totals = [w.load(kind, goal, j, mask=mask), w.value(kind, 0.0)]
        for r, (line, factor) in enumerate(zip(lines, factors, strict=True)):
            part = w.load(kind, line, j, mask=mask)
            totals[r % 2] = w.muladd(part, factor, totals[r % 2])
        total = totals[0] + totals[1] if rows > 1 else totals[0]
        w.store(total, goal, j, mask=mask)

    whole = width // size * size
    with w.loop(0, whole, size) as j:
        add(j, vectors, None)
    if tile.masks:
        with w.when(whole < width):
            add(whole, vectors, w.first_lanes(width - whole, size))
    else:
        with w.loop(whole, width) as j:
            add(j, scalars, None)


@functools.cache
def line_source(tile: Tile) -> Source:
    """Return the step that copies strided vectors side by side; a unit is a vector."""
    symbol = f"matmul_line_{tile.name}"
    with kernel(symbol, wide=wide(tile)) as w:
        source, target = w.address(0), w.address(1)
        d = word_names(w, 2, "k x_batch x_step")
        with w.loop(w.lo, w.hi) as batch:
            line = w.at(source, batch * d["x_batch"], tile.element)
            goal = w.at(target, batch * d["k"], tile.element)
            with w.loop(0, d["k"]) as kk:
                value = w.load(tile.element, line, kk * d["x_step"])
                w.store(value, goal, kk)
    return Source(w.text, symbol)
