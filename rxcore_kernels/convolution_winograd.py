"""Texts of the 3x3 convolution by Winograd's minimal filtering F(2x2, 3x3).

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016). Lanes
are channels: a block of image rows is transposed to (row, column, channel), where every
transform is plain arithmetic on vectors, and the sixteen products run on the tiles of
the matrix product. A block is small enough to stay in the second-level cache.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from rxcore_kernels.matmul_text import wide
from rxcore_kernels.matmul_tile import (
    Operand,
    Tile,
    cover_rows,
    multiply,
    transpose,
    word_names,
)
from rxcore_kernels.source import Source
from rxcore_kernels.text import I64, Slot, Value, Writer, kernel

WEIGHT_WORDS = "outputs channels panels by_row by_channel flip"
MAIN_WORDS = (
    "channels outputs height width out_height out_width low_height low_width "
    "tiles_high tiles_wide rows blocks chunk"
)
GRADIENT_WORDS = MAIN_WORDS + " batch images"
FINISH_WORDS = "channels outputs parts flip"

Grid = list[list[Value]]


def _round(value: Value, size: int) -> Value:
    return (value + (size - 1)) // size * size


def _both_ways(grid: Grid, step: str) -> Grid:
    """Apply a transform to the columns and then to the rows of a grid."""
    transform = _TRANSFORMS[step]
    columns = [transform(list(column)) for column in zip(*grid, strict=True)]
    return [transform(list(row)) for row in zip(*columns, strict=True)]


def _flat(grid: Grid) -> list[Value]:
    return [value for row in grid for value in row]


def _image(d: list[Value]) -> list[Value]:
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _filter(g: list[Value]) -> list[Value]:
    ends = (g[0] + g[2]) * 0.5
    middle = g[1] * 0.5
    return [g[0], ends + middle, ends - middle, g[2]]


def _result(m: list[Value]) -> list[Value]:
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _result_back(y: list[Value]) -> list[Value]:
    return [y[0], y[0] + y[1], y[0] - y[1], -y[1]]


def _filter_back(m: list[Value]) -> list[Value]:
    total, difference = (m[1] + m[2]) * 0.5, (m[1] - m[2]) * 0.5
    return [m[0] + total, difference, total + m[3]]


_TRANSFORMS = {
    "image": _image,
    "filter": _filter,
    "result": _result,
    "result_back": _result_back,
    "filter_back": _filter_back,
}


@functools.cache
def winograd_weights_source(tile: Tile) -> Source:
    """Return the step that transforms and packs weights; a unit is (panel, channel).

    The target is (position, panel, channel, lane of the panel).
    """
    symbol = f"winograd_weights_{tile.name}"
    element, lanes = tile.element, tile.lanes
    with kernel(symbol, wide=wide(tile)) as w:
        source, target = w.address(0), w.address(1)
        d = word_names(w, 2, WEIGHT_WORDS)
        size = d["panels"] * d["channels"] * tile.columns
        index = I64.by(lanes)
        with w.loop(w.lo, w.hi) as unit:
            panel, channel = unit // d["channels"], unit % d["channels"]
            line = w.at(source, channel * d["by_channel"], element)
            for j in range(tile.vectors):
                first = w.broadcast(panel * tile.columns + j * lanes, lanes)
                last = w.broadcast(d["outputs"] - 1, lanes)
                ids = w.minimum(w.lanes(index) + first, last)
                offsets = ids * w.broadcast(d["by_row"], lanes)

                def tap(t: int, line: Value = line, offsets: Value = offsets) -> Value:
                    place = d["flip"] * (8 - 2 * t) + t
                    return w.gather(tile.vector, w.at(line, place, element), offsets)

                grid = [[tap(3 * r + c) for c in range(3)] for r in range(3)]
                goal = w.at(target, unit * tile.columns + j * lanes, element)
                for p, value in enumerate(_flat(_both_ways(grid, "filter"))):
                    w.store(value, goal, size * p)
    return Source(w.text, symbol)


def _rows_to_lanes(
    w: Writer,
    tile: Tile,
    x: Value,
    target: Value,
    channels: Value,
    size: tuple[Value, Value],
    first: Value,
    rows: Value,
    low: Value | int,
    width: Value,
    pitch: Value,
) -> None:
    """Copy image rows to target[row, column, channel], zeros outside the image.

    Rows begin at image row `first`, columns at -`low`; `width` columns are written, and
    up to a vector of columns more, which the next row then overwrites.
    """
    element, lanes = tile.element, tile.lanes
    low = w.value(I64, low)
    zero = w.value(tile.vector, 0.0)
    with w.loop(0, channels, lanes) as c:
        planes = [
            w.at(x, w.minimum(c + i, channels - 1) * (size[0] * size[1]), element)
            for i in range(lanes)
        ]
        with w.loop(0, rows) as r:
            goal = w.at(target, r * width * pitch + c, element)
            row = first + r

            def clear(start: Value | int, stop: Value, goal: Value = goal) -> None:
                with w.loop(start, stop) as column:
                    w.store(zero, goal, column * pitch)

            def fill(
                row: Value = row, goal: Value = goal, planes: list[Value] = planes
            ) -> None:
                clear(0, low)
                with w.loop(0, size[1], lanes) as q:
                    mask = w.first_lanes(size[1] - q, lanes)
                    place = row * size[1] + q
                    parts = [w.load(tile.vector, p, place, mask=mask) for p in planes]
                    spot = w.at(goal, (low + q) * pitch, element)
                    for i, part in enumerate(transpose(w, parts)):
                        w.store(part, spot, pitch * i)
                clear(low + size[1], width)

            inside = (row >= 0) & (row < size[0])
            w.choose(inside, fill, functools.partial(clear, 0, width))


def _lanes_to_rows(
    w: Writer,
    tile: Tile,
    source: Value,
    y: Value,
    outputs: Value,
    size: tuple[Value, Value],
    first: Value,
    rows: Value,
    width: Value,
    pitch: Value,
) -> None:
    """Copy source[row, column, channel] to the image's rows that begin at `first`."""
    element, lanes = tile.element, tile.lanes
    none = w.first_lanes(w.value(I64, 0), lanes)
    with w.loop(0, outputs, lanes) as o:
        planes = [
            w.at(y, w.minimum(o + i, outputs - 1) * (size[0] * size[1]), element)
            for i in range(lanes)
        ]
        last = w.minimum(rows, size[0] - first)
        with w.loop(0, last) as r, w.loop(0, size[1], lanes) as q:
            mask = w.first_lanes(size[1] - q, lanes)
            spot = w.at(source, (r * width + q) * pitch + o, element)
            parts = [w.load(tile.vector, spot, pitch * i) for i in range(lanes)]
            place = (first + r) * size[1] + q
            for i, part in enumerate(transpose(w, parts)):
                kept = w.select(outputs - o > i, mask, none)
                w.store(part, planes[i], place, mask=kept)


def _transform_block(
    w: Writer,
    tile: Tile,
    source: Value,
    target: Value,
    step: str,
    shape: tuple[int, int],
    tiles: tuple[Value, Value],
    width: Value,
    pitch: Value,
    position: Value,
) -> None:
    """Transform patches of an image block to target[position, tile, channel]."""
    element, (high, wide_) = tile.element, shape
    with (
        w.loop(0, tiles[0]) as ty,
        w.loop(0, tiles[1]) as tx,
        w.loop(0, pitch, tile.lanes) as c,
    ):
        corner = (ty * 2 * width + tx * 2) * pitch + c
        spot = w.at(source, corner, element)
        grid = [
            [w.load(tile.vector, spot, (width * i + j) * pitch) for j in range(wide_)]
            for i in range(high)
        ]
        goal = w.at(target, (ty * tiles[1] + tx) * pitch + c, element)
        for p, value in enumerate(_flat(_both_ways(grid, step))):
            w.store(value, goal, position * p)


def _restore_block(
    w: Writer,
    tile: Tile,
    source: Value,
    target: Value,
    tiles: tuple[Value, Value],
    width: Value,
    pitch: Value,
    position: Value,
) -> None:
    """Transform source[position, tile, channel] back to an image block."""
    element = tile.element
    with (
        w.loop(0, tiles[0]) as ty,
        w.loop(0, tiles[1]) as tx,
        w.loop(0, pitch, tile.lanes) as c,
    ):
        spot = w.at(source, (ty * tiles[1] + tx) * pitch + c, element)
        values = [w.load(tile.vector, spot, position * p) for p in range(16)]
        grid = [values[i : i + 4] for i in range(0, 16, 4)]
        corner = (ty * 2 * width + tx * 2) * pitch + c
        goal = w.at(target, corner, element)
        for i, row in enumerate(_both_ways(grid, "result")):
            for j, value in enumerate(row):
                w.store(value, goal, (width * i + j) * pitch)


def _zeros(w: Writer, tile: Tile, height: int) -> list[list[Slot]]:
    return [
        [w.slot(tile.vector, 0.0) for _ in range(tile.vectors)] for _ in range(height)
    ]


def _store_tile(
    w: Writer,
    tile: Tile,
    sums: Sequence[Sequence[Slot]],
    goal: Value,
    row_step: Value,
    *,
    add: bool,
) -> None:
    for i, row in enumerate(sums):
        line = w.at(goal, row_step * i, tile.element)
        for j, slot in enumerate(row):
            value = slot.get()
            if add:
                value = value + w.load(tile.vector, line, j * tile.lanes)
            w.store(value, line, j * tile.lanes)


@functools.cache
def winograd_main_source(tile: Tile) -> Source:
    """Return the step of the forward convolution; a unit is a block of tile rows.

    Its scratch is shared by the units of a piece, so pieces must begin at multiples of
    the word `chunk`.
    """
    symbol = f"winograd_main_{tile.name}"
    element = tile.element
    with kernel(symbol, wide=wide(tile)) as w:
        x, weights, y, images, before, after = (w.address(i) for i in range(6))
        d = word_names(w, 6, MAIN_WORDS)
        channels, outputs = d["channels"], d["outputs"]
        c_pitch, o_pitch = _round(channels, tile.lanes), _round(outputs, tile.columns)
        wide_tiles = d["tiles_wide"]
        in_width, out_width = wide_tiles * 2 + 2, wide_tiles * 2
        tiles_most = d["rows"] * wide_tiles
        c_size, o_size = tiles_most * c_pitch, tiles_most * o_pitch
        slot = w.lo // d["chunk"]
        image_size = block_size(tile, d["rows"], wide_tiles, c_pitch, o_pitch)
        image = w.at(images, slot * image_size, element)
        v = w.at(before, slot * c_size * 16, element)
        m = w.at(after, slot * o_size * 16, element)
        in_size, out_size = (
            (d["height"], d["width"]),
            (d["out_height"], d["out_width"]),
        )
        with w.loop(w.lo, w.hi) as unit:
            batch, block = unit // d["blocks"], unit % d["blocks"]
            first = block * d["rows"]
            high = w.minimum(d["rows"], d["tiles_high"] - first)
            tiles = (high, wide_tiles)
            source = w.at(x, batch * channels * in_size[0] * in_size[1], element)
            goal = w.at(y, batch * outputs * out_size[0] * out_size[1], element)
            _rows_to_lanes(
                *(w, tile, source, image, channels, in_size),
                *(first * 2 - d["low_height"], high * 2 + 2, d["low_width"]),
                *(in_width, c_pitch),
            )
            _transform_block(
                *(w, tile, image, v, "image", (4, 4), tiles, in_width),
                *(c_pitch, c_size),
            )
            with w.loop(0, 16) as p, w.loop(0, o_pitch, tile.columns) as o:
                panel = w.at(weights, (p * o_pitch + o) * channels, element)
                left = w.at(v, p * c_size, element)
                right = w.at(m, p * o_size + o, element)

                def tall(
                    height: int,
                    start: Value,
                    extra: Value | int,
                    panel: Value = panel,
                    left: Value = left,
                    right: Value = right,
                ) -> None:
                    row = start + extra
                    sums = _zeros(w, tile, height)
                    place = w.at(left, row * c_pitch, element)
                    operand = Operand(place, c_pitch, 1)
                    multiply(w, tile, operand, panel, tile.columns, channels, sums)
                    spot = w.at(right, row * o_pitch, element)
                    _store_tile(w, tile, sums, spot, o_pitch, add=False)

                cover_rows(w, tile.heights, high * wide_tiles, tall)
            _restore_block(w, tile, m, image, tiles, out_width, o_pitch, o_size)
            _lanes_to_rows(
                *(w, tile, image, goal, outputs, out_size),
                *(first * 2, high * 2, out_width, o_pitch),
            )
    return Source(w.text, symbol)


def block_size(
    tile: Tile, rows: Value, tiles_wide: Value, c_pitch: Value, o_pitch: Value
) -> Value:
    """Return the elements of the image block of one slot (input, then output)."""
    before = ((rows * 2 + 2) * (tiles_wide * 2 + 2) + tile.lanes) * c_pitch
    after = (rows * 2 * tiles_wide * 2 + tile.lanes) * o_pitch
    return before + after


@functools.cache
def winograd_gradient_source(tile: Tile) -> Source:
    """Return the step of the weights' gradient; a unit is `images` images.

    Each unit sums into its own (position, output, channel) array, so that the result
    does not depend on who runs which unit.
    """
    symbol = f"winograd_gradient_{tile.name}"
    element = tile.element
    with kernel(symbol, wide=wide(tile)) as w:
        x, y, images, before, after, parts = (w.address(i) for i in range(6))
        d = word_names(w, 6, GRADIENT_WORDS)
        channels, outputs = d["channels"], d["outputs"]
        c_pitch, o_pitch = _round(channels, tile.columns), _round(outputs, tile.lanes)
        wide_tiles = d["tiles_wide"]
        in_width, out_width = wide_tiles * 2 + 2, wide_tiles * 2
        tiles_most = d["rows"] * wide_tiles
        c_size, o_size = tiles_most * c_pitch, tiles_most * o_pitch
        image_size = block_size(tile, d["rows"], wide_tiles, c_pitch, o_pitch)
        in_size, out_size = (
            (d["height"], d["width"]),
            (d["out_height"], d["out_width"]),
        )
        with w.loop(w.lo, w.hi) as unit:
            slot = unit // d["chunk"]
            image = w.at(images, slot * image_size, element)
            v = w.at(before, slot * c_size * 16, element)
            m = w.at(after, slot * o_size * 16, element)
            part_size = outputs * c_pitch
            part = w.at(parts, unit * part_size * 16, element)
            w.zero(part, part_size * (16 * element.bytes))
            last = w.minimum((unit + 1) * d["images"], d["batch"])
            with (
                w.loop(unit * d["images"], last) as batch,
                w.loop(0, d["tiles_high"], d["rows"]) as first,
            ):
                high = w.minimum(d["rows"], d["tiles_high"] - first)
                tiles = (high, wide_tiles)
                source = w.at(x, batch * channels * in_size[0] * in_size[1], element)
                back = w.at(y, batch * outputs * out_size[0] * out_size[1], element)
                _rows_to_lanes(
                    *(w, tile, source, image, channels, in_size),
                    *(first * 2 - d["low_height"], high * 2 + 2, d["low_width"]),
                    *(in_width, c_pitch),
                )
                _transform_block(
                    *(w, tile, image, v, "image", (4, 4), tiles, in_width),
                    *(c_pitch, c_size),
                )
                _rows_to_lanes(
                    *(w, tile, back, image, outputs, out_size),
                    *(first * 2, high * 2, 0, out_width, o_pitch),
                )
                _transform_block(
                    *(w, tile, image, m, "result_back", (2, 2), tiles, out_width),
                    *(o_pitch, o_size),
                )
                with w.loop(0, 16) as p, w.loop(0, c_pitch, tile.columns) as c:
                    panel = w.at(v, p * c_size + c, element)
                    left = w.at(m, p * o_size, element)
                    right = w.at(part, p * part_size + c, element)

                    def tall(
                        height: int,
                        start: Value,
                        extra: Value | int,
                        panel: Value = panel,
                        left: Value = left,
                        right: Value = right,
                        count: Value = high * wide_tiles,
                    ) -> None:
                        row = start + extra
                        sums = _zeros(w, tile, height)
                        operand = Operand(w.at(left, row, element), 1, o_pitch)
                        multiply(w, tile, operand, panel, c_pitch, count, sums)
                        spot = w.at(right, row * c_pitch, element)
                        _store_tile(w, tile, sums, spot, c_pitch, add=True)

                    cover_rows(w, tile.heights, outputs, tall)
    return Source(w.text, symbol)


@functools.cache
def winograd_finish_source(tile: Tile) -> Source:
    """Return the step that adds the parts and transforms back; a unit is an output.

    Parts are added in their order.
    """
    symbol = f"winograd_finish_{tile.name}"
    element, lanes = tile.element, tile.lanes
    with kernel(symbol, wide=wide(tile)) as w:
        source, target = w.address(0), w.address(1)
        d = word_names(w, 2, FINISH_WORDS)
        channels = d["channels"]
        c_pitch = _round(channels, tile.columns)
        size = d["outputs"] * c_pitch
        spare = w.stack(element, 9 * lanes)
        with w.loop(w.lo, w.hi) as o, w.loop(0, channels, lanes) as c:
            sums = [w.slot(tile.vector, 0.0) for _ in range(16)]
            with w.loop(0, d["parts"]) as part:
                place = part * size * 16 + o * c_pitch + c
                spot = w.at(source, place, element)
                for p, slot in enumerate(sums):
                    slot.set(slot.get() + w.load(tile.vector, spot, size * p))
            values = [slot.get() for slot in sums]
            grid = [values[i : i + 4] for i in range(0, 16, 4)]
            for t, value in enumerate(_flat(_both_ways(grid, "filter_back"))):
                w.store(value, spare, t * lanes)
            with w.loop(0, w.minimum(channels - c, lanes)) as i:
                goal = w.at(target, (o * channels + c + i) * 9, element)
                for t in range(9):
                    place = d["flip"] * (8 - 2 * t) + t
                    w.store(w.load(element, spare, i + t * lanes), goal, place)
    return Source(w.text, symbol)
