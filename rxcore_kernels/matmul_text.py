"""Texts of the blocked matrix product: packing B, and the product over rows of C.

The loops are those of Goto and van de Geijn, "Anatomy of High-Performance Matrix
Multiplication" (ACM TOMS 2008), with the rows of C outermost, so that pieces of rows
are independent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from rxcore_kernels.matmul_tile import (
    Operand,
    Tile,
    column_masks,
    copy_transposed,
    cover_rows,
    multiply,
    nothing,
    product,
    word_names,
)
from rxcore_kernels.source import Source
from rxcore_kernels.text import I64, Slot, Value, Writer, kernel

PRODUCT_WORDS = (
    "m n k a_batch a_row a_step b_batch b_step b_panel c_batch c_row block_k"
)
PACK_WORDS = "n k b_batch b_step b_column panels blocks block_k"


def wide(tile: Tile) -> bool:
    """Whether the tile's vectors need 512-bit registers."""
    return tile.lanes * tile.element.bytes == 64


@functools.cache
def pack_source(tile: Tile, kind: str) -> Source:
    """Return the step that packs B into panels of `tile.columns` columns.

    A unit is a block of k of one panel of one matrix: unit (batch * panels + panel) *
    blocks + block. Columns past the last repeat it: their products are never stored.

    Args:
        tile: the block sizes.
        kind: "rows" (unit column stride), "columns" (unit k stride) or "any".
    """
    symbol = f"matmul_pack_{kind}_{tile.name}"
    with kernel(symbol, wide=wide(tile)) as w:
        source, target = w.address(0), w.address(1)
        d = word_names(w, 2, PACK_WORDS)
        with w.loop(w.lo, w.hi) as unit:
            flat, block = unit // d["blocks"], unit % d["blocks"]
            batch, panel = flat // d["panels"], flat % d["panels"]
            k0, j0 = block * d["block_k"], panel * tile.columns
            count = w.minimum(d["k"] - k0, d["block_k"])
            offset = batch * d["b_batch"] + k0 * d["b_step"]
            start = w.at(source, offset, tile.element)
            packed = (flat * d["k"] + k0) * tile.columns
            goal = w.at(target, packed, tile.element)
            _pack_panel(w, tile, kind, start, goal, j0, count, d)
    return Source(w.text, symbol)


def _pack_panel(
    w: Writer,
    tile: Tile,
    kind: str,
    start: Value,
    goal: Value,
    j0: Value,
    count: Value,
    d: dict[str, Value],
) -> None:
    element, n = tile.element, d["n"]
    columns = [w.minimum(j0 + j, n - 1) for j in range(tile.columns)]
    if kind == "columns":
        rows = [w.at(start, j * d["b_column"], element) for j in columns]
        copy_transposed(w, tile, rows, count, goal, tile.columns)
        return

    def scattered() -> None:
        offsets = [product(j, d["b_column"]) for j in columns]
        with w.loop(0, count) as kk:
            line = w.at(start, kk * d["b_step"], element)
            place = w.at(goal, kk * tile.columns, element)
            for j, offset in enumerate(offsets):
                w.store(w.load(element, line, offset), place, j)

    def vectors(masks: Sequence[Value] | None) -> None:
        with w.loop(0, count) as kk:
            line = w.at(start, kk * d["b_step"] + j0, element)
            place = w.at(goal, kk * tile.columns, element)
            for j in range(tile.vectors):
                mask = masks[j] if masks else None
                part = w.load(tile.vector, line, j * tile.lanes, mask=mask)
                w.store(part, place, j * tile.lanes)

    if kind == "any":
        scattered()
    elif tile.masks:
        vectors(column_masks(w, tile, n - j0, tile.vectors))
    else:
        w.choose(n - j0 >= tile.columns, lambda: vectors(None), scattered)


@functools.cache
def product_source(tile: Tile, kind: str, *, by_rows: bool = True) -> Source:
    """Return the step C = A B over rows, or over panels of columns, of all matrices.

    Args:
        tile: the block sizes.
        kind: how A is read: in place by "rows" (unit k stride) or "columns" (unit row
            stride), or packed from "packed_rows", "packed_columns", "packed_any".
        by_rows: units are rows of C, matrix by matrix; else panels of `tile.columns`
            columns, matrix by matrix.
    """
    symbol = f"matmul_{kind}_{'rows' if by_rows else 'panels'}_{tile.name}"
    element = tile.element
    with kernel(symbol, wide=wide(tile)) as w:
        places = [w.address(i) for i in range(3)]
        d = word_names(w, 3, PRODUCT_WORDS)
        size = tile.block_rows * tile.block_k + tile.lanes
        packed = kind.startswith("packed")
        buffer = w.stack(element, size) if packed else None
        panels = (d["n"] + (tile.columns - 1)) // tile.columns
        units = d["m"] if by_rows else panels
        position = w.slot(I64, w.lo)
        with w.repeat(lambda: position.get() < w.hi):
            unit = position.get()
            batch = unit // units
            start = unit - batch * units
            stop = w.minimum(units, start + w.hi - unit)
            position.set(unit + stop - start)
            strides = (d["a_batch"], d["b_batch"], d["c_batch"])
            a, b, c = (
                w.at(p, batch * s, element)
                for p, s in zip(places, strides, strict=True)
            )
            rows: tuple[Value | int, Value] = (start, stop)
            part = d
            if not by_rows:
                rows = (0, d["m"])
                b = w.at(b, start * d["b_panel"], element)
                c = w.at(c, start * tile.columns, element)
                width = w.minimum(d["n"], stop * tile.columns)
                part = {**d, "n": width - start * tile.columns}
            with (
                w.loop(0, d["k"], d["block_k"]) as k0,
                w.loop(*rows, tile.block_rows) as i,
            ):
                height = w.minimum(rows[1] - i, tile.block_rows)
                depth = w.minimum(d["k"] - k0, d["block_k"])
                place = w.at(a, i * d["a_row"] + k0 * d["a_step"], element)
                if buffer is not None:
                    _pack_rows(w, tile, kind, place, buffer, height, depth, d)
                    place = buffer
                block = _Block(w, tile, kind, place, height, depth, k0.equals(0), part)
                line = w.at(b, k0 * d["b_step"], element)
                block.panels(line, w.at(c, i * d["c_row"], element))
    return Source(w.text, symbol)


def _pack_rows(
    w: Writer,
    tile: Tile,
    kind: str,
    corner: Value,
    buffer: Value,
    height: Value,
    depth: Value,
    d: dict[str, Value],
) -> None:
    """Pack a block of A into panels of `tile.rows` rows, k outermost in each."""
    element, size = tile.element, tile.rows
    with w.loop(0, height, size) as i:
        goal = w.at(buffer, i * tile.block_k, element)
        ids = [w.minimum(i + r, height - 1) for r in range(size)]
        if kind == "packed_rows":
            rows = [w.at(corner, r * d["a_row"], element) for r in ids]
            copy_transposed(w, tile, rows, depth, goal, size)
        elif kind == "packed_any":
            _pack_scattered(w, tile, corner, goal, ids, depth, d)
        else:
            w.choose(
                height - i >= size,
                functools.partial(_pack_whole, w, tile, corner, goal, i, depth, d),
                functools.partial(
                    _pack_scattered, w, tile, corner, goal, ids, depth, d
                ),
            )


def _pack_scattered(
    w: Writer,
    tile: Tile,
    corner: Value,
    goal: Value,
    ids: list[Value],
    depth: Value,
    d: dict[str, Value],
) -> None:
    offsets = [product(r, d["a_row"]) for r in ids]
    with w.loop(0, depth) as kk:
        line = w.at(corner, kk * d["a_step"], tile.element)
        place = w.at(goal, kk * tile.rows, tile.element)
        for r, offset in enumerate(offsets):
            w.store(w.load(tile.element, line, offset), place, r)


def _pack_whole(
    w: Writer,
    tile: Tile,
    corner: Value,
    goal: Value,
    i: Value,
    depth: Value,
    d: dict[str, Value],
) -> None:
    with w.loop(0, depth) as kk:
        line = w.at(corner, kk * d["a_step"] + i, tile.element)
        place = w.at(goal, kk * tile.rows, tile.element)
        w.copy(place, line, tile.rows * tile.element.bytes)


class _Block:
    """The product of one block of A with all panels of B."""

    def __init__(
        self,
        w: Writer,
        tile: Tile,
        kind: str,
        place: Value,
        height: Value,
        depth: Value,
        first: Value,
        d: dict[str, Value],
    ) -> None:
        self.w, self.tile, self.kind, self.place = w, tile, kind, place
        self.height, self.depth, self.first, self.d = height, depth, first, d
        self.spare = None if tile.masks else w.stack(tile.element, 32 * tile.columns)

    def operand(self, panel: Value, extra: Value | int) -> Operand:
        """Return A's rows from `panel + extra`, where `panel` begins a packed panel."""
        element, tile = self.tile.element, self.tile
        if self.kind.startswith("packed"):
            offset = panel * tile.block_k + extra
            return Operand(self.w.at(self.place, offset, element), 1, tile.rows)
        plain = {
            "rows": Operand(self.place, self.d["a_row"], 1),
            "columns": Operand(self.place, 1, self.d["a_step"]),
        }[self.kind]
        return plain.from_row(self.w, panel + extra, element)

    def panels(self, b: Value, c: Value) -> None:
        """Print the loop over panels of columns; the last may be narrow."""
        w, tile, d = self.w, self.tile, self.d
        n, size = d["n"], tile.columns

        def panel(j: Value, vectors: int, edge: bool) -> None:
            line = w.at(b, j // size * d["b_panel"], tile.element)
            goal = w.at(c, j, tile.element)
            self.rows(line, goal, n - j, vectors, edge)

        # With free masks one text serves full and partial panels.
        stop = n - tile.lanes if tile.masks else n - (size - 1)
        with w.loop(0, stop, size) as j:
            panel(j, tile.vectors, edge=tile.masks)
        j = (n - 1) // size * size
        narrow = n - j <= tile.lanes if tile.masks else n - j < size
        with w.when(narrow):
            panel(j, 1 if tile.masks else tile.vectors, edge=True)

    def rows(self, b: Value, c: Value, width: Value, vectors: int, edge: bool) -> None:
        """Print the loop over rows of one panel, then the smaller tiles."""
        w, tile = self.w, self.tile
        masks = column_masks(w, tile, width, vectors) if tile.masks and edge else None
        size = tile.rows

        def tall(height: int, panel: Value, extra: Value | int) -> None:
            goal = w.at(c, (panel + extra) * self.d["c_row"], tile.element)
            sums = [
                [w.slot(tile.vector, 0.0) for _ in range(vectors)]
                for _ in range(height)
            ]
            operand = self.operand(panel, extra)
            if height == size:
                self.prefetch(sums, goal)
            step = self.d["b_step"]
            ahead = self.ahead(b, panel) if height == size else ()
            multiply(w, tile, operand, b, step, self.depth, sums, masks, ahead)
            if edge and not tile.masks:
                self.finish_partial(sums, goal, width)
            else:
                self.finish(sums, goal, masks)

        cover_rows(w, tile.heights, self.height, tall)

    def ahead(self, b: Value, panel: Value) -> list[tuple[Value, Value | int]]:
        """Return the lines of the next panels of B, of which this tile asks its share.

        A packed panel is one run of lines; in place, each row has some.
        """
        w, element, size = self.w, self.tile.element, self.tile.columns
        line = 64 // element.bytes
        if self.kind.startswith("packed"):
            done = panel * (self.depth * line) // self.tile.rows
            return [(w.at(b, self.d["b_panel"] + done, element), line)]
        step = self.d["b_step"]
        return [(w.at(b, j, element), step) for j in range(size, 2 * size, line)]

    def prefetch(self, sums: list[list[Slot]], c: Value) -> None:
        """Ask for the tile of C, which is far away when C is large."""
        for i, row in enumerate(sums):
            line = self.w.at(c, product(i, self.d["c_row"]), self.tile.element)
            for j in range(len(row)):
                self.w.prefetch(line, j * self.tile.lanes, self.tile.element)

    def finish(
        self, sums: list[list[Slot]], c: Value, masks: Sequence[Value] | None
    ) -> None:
        """Store the tile; after the first block of k, add it to C.

        Summing each block apart keeps the error that of a blocked sum.
        """
        if masks is not None:
            none = nothing(self.w, self.tile)
            kept = [self.w.select(self.first, none, mask) for mask in masks]
            self.store(sums, c, masks, kept)
        else:
            fresh = functools.partial(self.store, sums, c, None, None)
            add = functools.partial(self.store, sums, c, None, [])
            self.w.choose(self.first, fresh, add)

    def store(
        self,
        sums: list[list[Slot]],
        c: Value,
        masks: Sequence[Value] | None,
        kept: Sequence[Value] | None,
    ) -> None:
        """Store the tile, added to what is in C (in the lanes `kept`, or all)."""
        w, tile = self.w, self.tile
        for i, row in enumerate(sums):
            line = w.at(c, product(i, self.d["c_row"]), tile.element)
            for j, slot in enumerate(row):
                value, place = slot.get(), j * tile.lanes
                if kept is not None:
                    mask = kept[j] if kept else None
                    value = value + w.load(tile.vector, line, place, mask=mask)
                mask = masks[j] if masks else None
                w.store(value, line, place, mask=mask)

    def finish_partial(self, sums: list[list[Slot]], c: Value, width: Value) -> None:
        """Store a narrow tile through the stack, where masks are not to be had."""
        w, tile = self.w, self.tile
        assert self.spare is not None
        for i, row in enumerate(sums):
            for j, slot in enumerate(row):
                index = i * tile.columns + j * tile.lanes
                w.store(slot.get(), self.spare, index)
        spare = self.spare

        def copy(combine: Callable[[Value, Value], Value]) -> None:
            with w.loop(0, width) as j:
                for i in range(len(sums)):
                    place = w.at(c, product(i, self.d["c_row"]), tile.element)
                    part = w.load(tile.element, spare, j + i * tile.columns)
                    w.store(combine(part, w.at(place, j, tile.element)), place, j)

        def add(part: Value, place: Value) -> Value:
            return w.load(tile.element, place) + part

        w.choose(self.first, lambda: copy(lambda part, _: part), lambda: copy(add))
