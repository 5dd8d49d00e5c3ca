"""Texts of the direct convolution: a flat image, a table of offsets, a tiled product.

Each channel is copied once, with its padding, into as many phases as the strides have
remainders. Then output position q of a tap reads element q + offset(tap) of a channel,
for all q of the flat, padded output: every load is contiguous, whatever the stride,
dilation or rank, and the convolution is a matrix product whose rows of B overlap. The
positions between the end of one output row and the start of the next are computed and
not stored.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from attrs import frozen

from rxcore_kernels.matmul_text import wide
from rxcore_kernels.matmul_tile import (
    Operand,
    Tile,
    cover_rows,
    multiply,
    product,
    word_names,
)
from rxcore_kernels.source import Source
from rxcore_kernels.text import I64, Slot, Value, Writer, kernel

SPACE = "depth", "height", "width"
PACKED_TILES = 10
"""Tiles of outputs that share one packed block."""

PAD_WORDS = " ".join(
    ["size"]
    + [f"{name}_{d}" for name in ("in", "low", "dilate", "stride") for d in SPACE]
    + [f"{name}_{d}" for name in ("phases", "out") for d in SPACE]
)
TABLE_WORDS = " ".join(
    ["channels", "size", "flip"]
    + [f"{name}_{d}" for name in ("taps", "base", "dilate", "stride") for d in SPACE]
    + [f"{name}_{d}" for name in ("phases", "out") for d in SPACE]
)
WEIGHT_WORDS = " ".join(
    ["rows panels channels by_group by_row by_channel"]
    + [f"{name}_{d}" for name in ("taps", "first", "by") for d in SPACE]
)
MAIN_WORDS = (
    "groups blocks block flat outputs k group_size image_size "
    "pitch_height pitch_width out_depth out_height out_width "
    "origin by_depth by_height by_width out_size"
)
GRADIENT_WORDS = (
    "images groups o_blocks o_block c_blocks c_block outputs channels taps "
    "flat x_image x_channel y_image y_channel"
)


@functools.cache
def pad_source(tile: Tile) -> Source:
    """Return the step that copies channels into padded phases; a unit is a channel."""
    symbol = f"convolution_pad_{tile.name}"
    element = tile.element
    with kernel(symbol, wide=wide(tile)) as w:
        source, target = w.address(0), w.address(1)
        d = word_names(w, 2, PAD_WORDS)
        plane = d["in_height"] * d["in_width"]
        phase_size = d["out_depth"] * d["out_height"] * d["out_width"]
        with w.loop(w.lo, w.hi) as channel:
            x = w.at(source, channel * d["in_depth"] * plane, element)
            goal = w.at(target, channel * d["size"], element)
            w.zero(goal, d["size"] * element.bytes)
            with w.loop(0, d["in_depth"]) as z:
                z_index, z_phase, z_kept = _place(d, "depth", z)
                with w.when(z_kept), w.loop(0, d["in_height"]) as y:
                    y_index, y_phase, y_kept = _place(d, "height", y)
                    with w.when(y_kept):
                        phase = z_phase * d["phases_height"] + y_phase
                        place = phase * d["phases_width"] * phase_size
                        line = z_index * d["out_height"] + y_index
                        row = w.at(goal, place + line * d["out_width"], element)
                        start = z * plane + y * d["in_width"]
                        _pad_row(w, tile, w.at(x, start, element), row, phase_size, d)
    return Source(w.text, symbol)


def _place(d: dict[str, Value], space: str, index: Value) -> tuple[Value, Value, Value]:
    """Return where a row goes: index in its phase, phase, and whether it is kept."""
    position = index * d[f"dilate_{space}"] + d[f"low_{space}"]
    place = position // d[f"stride_{space}"]
    phase = position % d[f"stride_{space}"]
    kept = (place < d[f"out_{space}"]) & (phase < d[f"phases_{space}"])
    return place, phase, kept & (position >= 0)


def _pad_row(
    w: Writer, tile: Tile, x: Value, row: Value, phase_size: Value, d: dict[str, Value]
) -> None:
    element = tile.element
    low, stride, dilate = d["low_width"], d["stride_width"], d["dilate_width"]

    def plain() -> None:
        with w.loop(0, d["phases_width"]) as phase:
            first = w.maximum((low - phase + (stride - 1)) // stride, 0)
            last = (d["in_width"] - 1 + low - phase + stride) // stride
            stop = w.minimum(last, d["out_width"])
            goal = w.at(row, phase * phase_size, element)
            offset = phase - low

            def copy() -> None:
                count = w.maximum(stop - first, 0) * element.bytes
                w.copy(
                    w.at(goal, first, element), w.at(x, first + offset, element), count
                )

            def pick() -> None:
                with w.loop(first, stop) as j:
                    w.store(w.load(element, x, j * stride + offset), goal, j)

            def pick_even() -> None:
                # Stride 2 is common: two vectors make one of every second element.
                size = tile.lanes
                with w.loop(first, stop, size) as j:
                    begin = j * 2 + offset
                    left = d["in_width"] - begin
                    parts = [
                        w.load(
                            tile.vector,
                            *(x, begin + i),
                            mask=w.first_lanes(left - i, size),
                        )
                        for i in (0, size)
                    ]
                    even = w.shuffle(parts[0], parts[1], range(0, 2 * size, 2))
                    w.store(even, goal, j, mask=w.first_lanes(stop - j, size))

            def stepped() -> None:
                two = pick_even if tile.masks else pick
                w.choose(stride.equals(2), two, pick)

            w.choose(stride.equals(1), copy, stepped)

    def dilated() -> None:
        begin = w.maximum((dilate - 1 - low) // dilate, 0)
        position = low + begin * dilate
        place, phase = w.slot(I64, position // stride), w.slot(I64, position % stride)
        with w.loop(begin, d["in_width"]) as j:
            inside = place.get() < d["out_width"]
            with w.when(inside & (phase.get() < d["phases_width"])):
                offset = phase.get() * phase_size + place.get()
                w.store(w.load(element, x, j), row, offset)
            following = phase.get() + dilate % stride
            carried = following >= stride
            carry = w.cast("zext", carried, I64)
            place.set(place.get() + dilate // stride + carry)
            phase.set(following - carry * stride)

    w.choose(dilate.equals(1), plain, dilated)


@functools.cache
def table_source() -> Source:
    """Return the step that writes the offset of each (channel, tap) into a table."""
    symbol = "convolution_table"
    with kernel(symbol, wide=False) as w:
        target = w.address(0)
        d = word_names(w, 1, TABLE_WORDS)
        count = d["taps_depth"] * d["taps_height"] * d["taps_width"]
        phase_size = d["out_depth"] * d["out_height"] * d["out_width"]
        with w.loop(w.lo, w.hi) as unit:
            channel, tap = unit // count, unit % count
            tap = tap + d["flip"] * (count - 1 - tap - tap)
            plane = d["taps_height"] * d["taps_width"]
            parts = {
                "depth": tap // plane,
                "height": tap // d["taps_width"] % d["taps_height"],
                "width": tap % d["taps_width"],
            }
            phase, place = w.value(I64, 0), w.value(I64, 0)
            for space in SPACE:
                position = parts[space] * d[f"dilate_{space}"] + d[f"base_{space}"]
                stride = d[f"stride_{space}"]
                phase = phase * d[f"phases_{space}"] + position % stride
                place = place * d[f"out_{space}"] + position // stride
            w.store(channel * d["size"] + phase * phase_size + place, target, unit)
    return Source(w.text, symbol)


@functools.cache
def weights_source(tile: Tile) -> Source:
    """Return the step that packs weights into panels of rows; a unit is a panel."""
    symbol = f"convolution_weights_{tile.rows}_{tile.name}"
    element = tile.element
    with kernel(symbol, wide=wide(tile)) as w:
        source, target = w.address(0), w.address(1)
        d = word_names(w, 2, WEIGHT_WORDS)
        with w.loop(w.lo, w.hi) as unit:
            group, panel = unit // d["panels"], unit % d["panels"]
            start = w.at(source, group * d["by_group"], element)
            taps = d["taps_depth"] * d["taps_height"] * d["taps_width"]
            place = w.slot(I64, unit * d["channels"] * taps * tile.rows)
            ids = [
                w.minimum(panel * tile.rows + i, d["rows"] - 1)
                for i in range(tile.rows)
            ]
            offsets = [product(i, d["by_row"]) for i in ids]
            with (
                w.loop(0, d["channels"]) as c,
                w.loop(0, d["taps_depth"]) as z,
                w.loop(0, d["taps_height"]) as y,
                w.loop(0, d["taps_width"]) as x,
            ):
                index = c * d["by_channel"]
                for space, tap in zip(SPACE, (z, y, x), strict=True):
                    index = index + d[f"first_{space}"] + tap * d[f"by_{space}"]
                line = w.at(start, index, element)
                goal = w.at(target, place.get(), element)
                for i, offset in enumerate(offsets):
                    w.store(w.load(element, line, offset), goal, i)
                place.set(place.get() + tile.rows)
    return Source(w.text, symbol)


@functools.cache
def main_source(tile: Tile, *, strided: bool = False, packed: bool = False) -> Source:
    """Return the step that computes blocks of the flat output.

    Unit (image * groups + group) * blocks + block is `block` flat positions of all
    outputs of one group of one image.

    Args:
        tile: the block sizes.
        strided: neighbours in a row of outputs are `by_width` apart: the outputs of
            one residue of a dilated input.
        packed: copy what a tile reads to the stack, for many outputs and k > 0.
    """
    kind = ("strided" if strided else "dense") + ("_packed" if packed else "")
    symbol = f"convolution_{kind}_{tile.rows}_{tile.name}"
    element = tile.element
    with kernel(symbol, wide=wide(tile)) as w:
        x, weights, table, y = (w.address(i) for i in range(4))
        d = word_names(w, 4, MAIN_WORDS)
        direct = tile.masks and not strided
        spare = None if direct else w.stack(element, tile.rows * tile.columns)
        room = tile.block_k + PACKED_TILES * tile.rows if packed else 0
        buffer = w.stack(element, max(room, 1) * tile.columns)
        with w.loop(w.lo, w.hi) as unit:
            batch, block = unit // d["blocks"], unit % d["blocks"]
            image, group = batch // d["groups"], batch % d["groups"]
            offset = image * d["image_size"] + group * d["group_size"]
            source = w.at(x, offset, element)
            panels = (d["outputs"] + (tile.rows - 1)) // tile.rows
            start = group * panels * d["k"] * tile.rows
            first_weight = w.at(weights, start, element)
            place = batch * d["outputs"] * d["out_size"] + d["origin"]
            goal = w.at(y, place, element)
            stop = w.minimum(d["flat"], (block + 1) * d["block"])
            with w.loop(block * d["block"], stop, tile.columns) as f:
                column = _Column(w, tile, d, f, first_weight, goal, spare)
                line = w.at(source, f, element)
                if packed:
                    column.compute_packed(line, table, buffer)
                else:
                    column.compute(line, table)
    return Source(w.text, symbol)


@frozen
class _Column:
    """All outputs of one group at `tile.columns` flat positions from `f`."""

    w: Writer
    tile: Tile
    d: dict[str, Value]
    f: Value
    weights: Value
    y: Value
    spare: Value | None

    def compute(self, x: Value, table: Value) -> None:
        """Print one pass over k per tile, reading x through the table."""
        w, tile, d = self.w, self.tile, self.d

        def tall(height: int, o: Value, extra: Value | int) -> None:
            panel = w.at(self.weights, o * d["k"] + extra, tile.element)
            sums = _accumulate(w, tile, height, x, panel, table, d["k"])
            self.store(sums, o + extra)

        cover_rows(w, tile.heights, d["outputs"], tall)

    def compute_packed(self, x: Value, table: Value, buffer: Value) -> None:
        """Print blocks of k: copy x side by side, multiply, keep sums on the stack."""
        w, tile, d = self.w, self.tile, self.d
        element, most = tile.element, PACKED_TILES * tile.rows
        partial = w.at(buffer, tile.block_k * tile.columns, element)
        with (
            w.loop(0, d["outputs"], most) as first,
            w.loop(0, d["k"], tile.block_k) as k0,
        ):
            depth = w.minimum(d["k"] - k0, tile.block_k)
            entries = w.at(table, k0, I64)
            with w.loop(0, depth) as kk:
                line = w.at(x, w.load(I64, entries, kk), element)
                for j in range(0, tile.columns, tile.lanes):
                    part = w.load(tile.vector, line, j)
                    w.store(part, buffer, kk * tile.columns + j)

            def tall(height: int, o: Value, extra: Value | int) -> None:
                sums = _zeros(w, tile, height)
                place = (first + o) * d["k"] + k0 * tile.rows + extra
                operand = Operand(w.at(self.weights, place, element), 1, tile.rows)
                multiply(w, tile, operand, buffer, tile.columns, depth, sums)
                kept = w.at(partial, (o + extra) * tile.columns, element)
                with w.when(k0 > 0):
                    for index, slot in _vectors(tile, sums):
                        slot.set(slot.get() + w.load(tile.vector, kept, index))

                def keep() -> None:
                    for index, slot in _vectors(tile, sums):
                        w.store(slot.get(), kept, index)

                done = k0 + depth >= d["k"]
                store = functools.partial(self.store, sums, first + o + extra)
                w.choose(done, store, keep)

            count = w.minimum(d["outputs"] - first, most)
            cover_rows(w, tile.heights, count, tall)

    def store(self, sums: list[list[Slot]], first: Value) -> None:
        """Store a tile's rows, which are outputs from `first`."""
        size = self.d["out_size"]
        rows = [
            self.w.at(self.y, (first + i) * size, self.tile.element)
            for i in range(len(sums))
        ]
        _store_rows(self.w, self.tile, sums, rows, self.f, self.spare, self.d)


def _zeros(w: Writer, tile: Tile, height: int) -> list[list[Slot]]:
    return [
        [w.slot(tile.vector, 0.0) for _ in range(tile.vectors)] for _ in range(height)
    ]


def _vectors(tile: Tile, sums: list[list[Slot]]) -> Iterator[tuple[int, Slot]]:
    """Yield each accumulator with its place in a dense tile."""
    for i, row in enumerate(sums):
        for j, slot in enumerate(row):
            yield i * tile.columns + j * tile.lanes, slot


def _accumulate(
    w: Writer,
    tile: Tile,
    height: int,
    x: Value,
    weights: Value,
    table: Value,
    k: Value,
) -> list[list[Slot]]:
    """Print sums[i][j] = sum over kk of weights[kk][i] * x[table[kk] + vector j]."""
    sums = _zeros(w, tile, height)
    with w.loop(0, k) as kk:
        line = w.at(x, w.load(I64, table, kk), tile.element)
        panel = [w.load(tile.vector, line, j * tile.lanes) for j in range(tile.vectors)]
        place = w.at(weights, kk * tile.rows, tile.element)
        for i, row in enumerate(sums):
            value = w.broadcast(w.load(tile.element, place, i), tile.lanes)
            for slot, part in zip(row, panel, strict=True):
                slot.set(w.muladd(value, part, slot.get()))
    return sums


def _store_rows(
    w: Writer,
    tile: Tile,
    sums: list[list[Slot]],
    rows: Sequence[Value],
    f: Value,
    spare: Value | None,
    d: dict[str, Value],
) -> None:
    """Store a tile of flat positions f... into the dense rows that they lie in."""
    element, pitch, width = tile.element, d["pitch_width"], d["out_width"]
    if spare is not None:
        for index, slot in _vectors(tile, sums):
            w.store(slot.get(), spare, index)
    first, last = f // pitch, (f + (tile.columns - 1)) // pitch
    with w.loop(first, last + 1) as line:
        z, y = line // d["pitch_height"], line % d["pitch_height"]
        inside = (z < d["out_depth"]) & (y < d["out_height"])
        with w.when(inside):
            # Position f is column `start` of this row; it may lie before its first.
            start = f - line * pitch
            place = z * d["by_depth"] + y * d["by_height"] + start * d["by_width"]
            goals = [w.at(row, place, element) for row in rows]
            if spare is None:
                _store_masked(w, tile, sums, goals, start, width)
            else:
                begin = w.maximum(0 - start, 0)
                end = w.minimum(width - start, tile.columns)
                with w.loop(begin, end) as column:
                    for row_index, goal in enumerate(goals):
                        spot = column + row_index * tile.columns
                        part = w.load(element, spare, spot)
                        w.store(part, goal, column * d["by_width"])


def _store_masked(
    w: Writer,
    tile: Tile,
    sums: Sequence[Sequence[Slot]],
    goals: Sequence[Value],
    start: Value,
    width: Value,
) -> None:
    """Store the lanes whose column start + lane is in [0, width)."""
    for j in range(tile.vectors):
        column = start + j * tile.lanes
        below = w.first_lanes(0 - column, tile.lanes)
        mask = w.first_lanes(width - column, tile.lanes) & ~below
        for row, goal in zip(sums, goals, strict=True):
            w.store(row[j].get(), goal, j * tile.lanes, mask=mask)


@functools.cache
def gradient_source(tile: Tile) -> Source:
    """Return the step of the gradient with respect to the weights.

    Both operands lie flat, the output's gradient with zeros between its rows; each
    weight's gradient is then a sum of dot products, one per image. Unit (group *
    o_blocks + o_block) * c_blocks + c_block owns a block of the weights.
    """
    symbol = f"convolution_gradient_{tile.name}"
    element = tile.element
    height, width = (6, 4) if tile.rows > 6 else (3, 3)
    with kernel(symbol, wide=wide(tile)) as w:
        x, y, table, target = (w.address(i) for i in range(4))
        d = word_names(w, 4, GRADIENT_WORDS)
        k = d["channels"] * d["taps"]
        with w.loop(w.lo, w.hi) as unit:
            c_block, rest = unit % d["c_blocks"], unit // d["c_blocks"]
            o_block, group = rest % d["o_blocks"], rest // d["o_blocks"]
            o0, c0 = o_block * d["o_block"], c_block * d["c_block"]
            o1 = w.minimum(o0 + d["o_block"], d["outputs"])
            k0 = c0 * d["taps"]
            k1 = w.minimum(c0 + d["c_block"], d["channels"]) * d["taps"]
            goal = w.at(target, group * d["outputs"] * k, element)
            with w.loop(o0, o1) as o:
                w.zero(w.at(goal, o * k + k0, element), (k1 - k0) * element.bytes)
            with w.loop(0, d["images"]) as image:
                x_place = image * d["x_image"] + group * d["channels"] * d["x_channel"]
                y_place = image * d["y_image"] + group * d["outputs"] * d["y_channel"]
                xs, ys = w.at(x, x_place, element), w.at(y, y_place, element)
                o_whole = o1 - (o1 - o0) % height
                k_whole = k1 - (k1 - k0) % width
                for o_range, tall in (((o0, o_whole), height), ((o_whole, o1), 1)):
                    with w.loop(*o_range, tall) as o:
                        for k_range, broad in (
                            ((k0, k_whole), width),
                            ((k_whole, k1), 1),
                        ):
                            with w.loop(*k_range, broad) as kk:
                                place = w.at(goal, o * k + kk, element)
                                lines = [
                                    w.at(ys, (o + i) * d["y_channel"], element)
                                    for i in range(tall)
                                ]
                                shifted = [
                                    w.at(xs, w.load(I64, table, kk + j), element)
                                    for j in range(broad)
                                ]
                                _add_dots(w, tile, lines, shifted, place, k, d["flat"])
    return Source(w.text, symbol)


def _add_dots(
    w: Writer,
    tile: Tile,
    lines: Sequence[Value],
    shifted: Sequence[Value],
    place: Value,
    k: Value,
    flat: Value,
) -> None:
    """Print place[i * k + j] += dot(lines[i], shifted[j]) over `flat` elements."""
    vector = tile.vector
    sums = [[w.slot(vector, 0.0) for _ in shifted] for _ in lines]
    with w.loop(0, flat, tile.lanes) as f:
        right = [w.load(vector, line, f) for line in shifted]
        for line, row in zip(lines, sums, strict=True):
            left = w.load(vector, line, f)
            for slot, part in zip(row, right, strict=True):
                slot.set(w.muladd(left, part, slot.get()))
    for i, row in enumerate(sums):
        goal = w.at(place, product(i, k), tile.element)
        for j, slot in enumerate(row):
            total = w.load(tile.element, goal, j) + w.reduce("fadd", slot.get())
            w.store(total, goal, j)
