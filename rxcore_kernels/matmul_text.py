"""Text of the blocked matrix product over rows of C, or over panels of its columns.

The loops are those of Goto and van de Geijn, "Anatomy of High-Performance Matrix
Multiplication" (ACM TOMS 2008), with the rows of C outermost, so that pieces of rows
are independent. One text serves all layouts: strides are words.
"""

from __future__ import annotations

import functools

from attrs import frozen

from rxcore_kernels.matmul_pack import Panel, pack
from rxcore_kernels.matmul_tile import (
    Operand,
    Tile,
    column_masks,
    multiply,
    wide,
    word_names,
)
from rxcore_kernels.source import Source
from rxcore_kernels.text import I1, I64, Value, Writer, kernel

__all__ = ["product_source", "wide"]

PRODUCT_WORDS = (
    "m n k a_batch a_row a_step b_batch b_step b_panel c_batch c_row block_k units "
    "by_rows packs"
)


@functools.cache
def product_source(tile: Tile) -> Source:
    """Return the step C = A B over rows, or over panels of columns, of all matrices.

    A unit is a row of C, matrix by matrix (`by_rows` is 1, `units` is m), or a panel of
    `tile.columns` columns (0, the number of panels). Where `packs` is not 0, blocks of
    A are packed; B is read in place (`b_panel` is `tile.columns`) or packed.
    """
    symbol = f"matmul_{tile.name}"
    element = tile.element
    with kernel(symbol, wide=wide(tile), direct=True) as w:
        places = [w.address(i) for i in range(3)]
        d = word_names(w, 3, PRODUCT_WORDS)
        buffer = w.stack(element, tile.block_rows * tile.block_k + tile.lanes)
        spare = w.stack(element, tile.rows * tile.columns)
        by_rows = d["by_rows"].differs(0)
        position = w.slot(I64, w.lo)
        with w.repeat(lambda: position.get() < w.hi):
            unit = position.get()
            batch = unit // d["units"]
            start = unit - batch * d["units"]
            stop = w.minimum(d["units"], start + w.hi - unit)
            position.set(unit + stop - start)
            strides = (d["a_batch"], d["b_batch"], d["c_batch"])
            a, b, c = (
                w.at(p, batch * s, element)
                for p, s in zip(places, strides, strict=True)
            )
            rows = w.select(by_rows, start, 0), w.select(by_rows, stop, d["m"])
            panel = w.select(by_rows, w.value(I64, 0), start)
            last = w.select(by_rows, d["n"], stop * tile.columns)
            b = w.at(b, panel * d["b_panel"], element)
            c = w.at(c, panel * tile.columns, element)
            width = w.minimum(d["n"], last) - panel * tile.columns
            with (
                w.loop(0, d["k"], d["block_k"]) as k0,
                w.loop(*rows, tile.block_rows) as i,
            ):
                height = w.minimum(rows[1] - i, tile.block_rows)
                depth = w.minimum(d["k"] - k0, d["block_k"])
                place = w.at(a, i * d["a_row"] + k0 * d["a_step"], element)
                operand = _operand(w, tile, place, buffer, height, depth, d)
                line = w.at(b, k0 * d["b_step"], element)
                goal = w.at(c, i * d["c_row"], element)
                first = k0.equals(0)
                block = _Block(w, tile, operand, height, depth, first, spare, d)
                block.panels(line, goal, width)
    return Source(w.text, symbol)


@frozen
class _Rows:
    """A block of A: tile `i` begins `outer` elements times i after `pointer`."""

    pointer: Value
    outer: Value
    row: Value
    step: Value


def _operand(
    w: Writer,
    tile: Tile,
    place: Value,
    buffer: Value,
    height: Value,
    depth: Value,
    d: dict[str, Value],
) -> _Rows:
    """Print the packing of a block of A, if it is to be; return where to read it."""
    packs = d["packs"].differs(0)
    size = tile.rows
    with w.when(packs), w.loop(0, height, size) as i:
        panel = Panel(place, d["a_row"], d["a_step"], i, height - 1, depth)
        goal = w.at(buffer, i * tile.block_k, tile.element)
        pack(w, tile, panel, goal, size)
    one, outer = w.value(I64, 1), w.value(I64, tile.block_k)
    return _Rows(
        w.select(packs, buffer, place),
        w.select(packs, outer, d["a_row"]),
        w.select(packs, one, d["a_row"]),
        w.select(packs, w.value(I64, size), d["a_step"]),
    )


@frozen
class _Block:
    """The product of one block of A with all panels of B."""

    w: Writer
    tile: Tile
    a: _Rows
    height: Value
    depth: Value
    first: Value
    spare: Value
    d: dict[str, Value]

    def panels(self, b: Value, c: Value, n: Value) -> None:
        """Print the loops over panels of columns, the last narrow, and over tiles."""
        w, tile = self.w, self.tile
        with w.loop(0, n, tile.columns) as j:
            line = w.at(b, j // tile.columns * self.d["b_panel"], tile.element)
            width = w.minimum(n - j, tile.columns)
            masks = column_masks(w, tile, width, tile.vectors) if tile.masks else []
            position = w.slot(I64, 0)
            with w.repeat(lambda: position.get() < self.height):
                i = position.get()
                goal = w.at(c, i * self.d["c_row"] + j, tile.element)
                rows = self.products(line, goal, i, width, masks)
                position.set(i + rows)
                self.finish(goal, width, w.minimum(self.height - i, rows), masks)

    def products(
        self, b: Value, c: Value, i: Value, width: Value, masks: list[Value]
    ) -> Value:
        """Print the sums of one tile, to be stored; return its number of rows.

        Tall tiles, half as wide where only one vector of columns is there, then short
        ones for the rows left.
        """
        w, tile = self.w, self.tile
        size = w.slot(I64, tile.rows)

        def print_tile(rows: int, vectors: int) -> None:
            size.set(rows)
            self.sums(b, c, i, rows, masks[:vectors], vectors)

        full = functools.partial(print_tile, tile.rows, tile.vectors)
        narrow = functools.partial(print_tile, tile.rows, 1)
        w.choose(
            self.height - i >= tile.rows,
            (lambda: w.choose(width > tile.lanes, full, narrow)) if masks else full,
            functools.partial(print_tile, tile.rows // 3, tile.vectors),
        )
        return size.get()

    def sums(
        self, b: Value, c: Value, i: Value, rows: int, masks: list[Value], vectors: int
    ) -> None:
        """Print the inner loop of a tile from row `i`; its sums go to the stack."""
        w, tile = self.w, self.tile
        whole = rows == tile.rows
        inside = w.value(I64, 0) if whole else i % tile.rows
        begin = i - inside
        place = w.at(self.a.pointer, begin * self.a.outer, tile.element)
        last = None if whole else self.height - 1 - begin
        operand = Operand(place, self.a.row, self.a.step, 0 if whole else inside, last)
        sums = [[w.slot(tile.vector, 0.0) for _ in range(vectors)] for _ in range(rows)]
        if whole:
            self.prefetch(c, vectors)
        ahead = [self.ahead(b, i)] if whole else []
        step = self.d["b_step"]
        multiply(w, tile, operand, b, step, self.depth, sums, masks, ahead)
        for r, row in enumerate(sums):
            for v, slot in enumerate(row):
                w.store(slot.get(), self.spare, r * tile.columns + v * tile.lanes)

    def ahead(self, b: Value, i: Value) -> tuple[Value, Value]:
        """Return the lines of the next panel of B, of which this tile asks its share.

        A packed panel is one run of lines; in place, each row has some.
        """
        w, tile = self.w, self.tile
        line = 64 // tile.element.bytes
        step, index = self.d["b_step"], i // tile.rows
        packed = step.equals(tile.columns)
        share = w.select(packed, index * self.depth, index & 1) * line
        place = w.at(b, self.d["b_panel"] + share, tile.element)
        return place, w.select(packed, w.value(I64, line), step)

    def prefetch(self, c: Value, vectors: int) -> None:
        """Ask for the tile of C, which is far away when C is large."""
        w, tile = self.w, self.tile
        with w.loop(0, tile.rows) as i:
            line = w.at(c, i * self.d["c_row"], tile.element)
            for j in range(vectors):
                w.prefetch(line, j * tile.lanes, tile.element)

    def finish(self, c: Value, width: Value, count: Value, masks: list[Value]) -> None:
        """Store `count` rows; after the first block of k, add them to C.

        Summing each block apart keeps the error that of a blocked sum.
        """
        w, tile = self.w, self.tile
        with w.loop(0, count) as i:
            line = w.at(c, i * self.d["c_row"], tile.element)
            found = w.at(self.spare, i * tile.columns, tile.element)
            none = w.value(I1.by(tile.lanes), 0)
            for j, mask in enumerate(masks):
                place = j * tile.lanes
                kept = w.select(self.first, none, mask)
                value = w.load(tile.vector, found, place)
                value = value + w.load(tile.vector, line, place, mask=kept)
                w.store(value, line, place, mask=mask)
            if not masks:
                whole = w.select(width.equals(tile.columns), width, 0)
                with w.loop(0, whole, tile.lanes) as column:
                    self.add(found, line, column, tile.lanes)
                with w.loop(whole, width) as column:
                    self.add(found, line, column, 0)

    def add(self, found: Value, line: Value, j: Value, lanes: int) -> None:
        """Print line[j] = found[j], plus line[j] after the first block of k."""
        w = self.w
        kind = self.tile.element.by(lanes)
        before = w.select(self.first, w.value(kind, 0.0), w.load(kind, line, j))
        w.store(w.load(kind, found, j) + before, line, j)
