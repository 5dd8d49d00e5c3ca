"""Text of the integer product of rows with packed panels, by dot products of words."""

from __future__ import annotations

import functools

from attrs import frozen

from rxcore_kernels.integer_matmul_tile import DotTile
from rxcore_kernels.matmul_tile import word_names
from rxcore_kernels.source import Source
from rxcore_kernels.text import I8, I32, I64, Slot, Value, Writer, kernel

__all__ = ["product_source"]

PRODUCT_WORDS = (
    "m n words a_batch a_row b_batch b_panel c_batch c_row start_batch units by_rows"
)


@functools.cache
def product_source(tile: DotTile, *, biased: bool) -> Source:
    """Return the step C = A B over rows, or over panels of columns, of all matrices.

    A unit is a row of C, matrix by matrix (`by_rows` is 1, `units` is m), or a panel
    (0, the number of panels). Words of addresses: A (rows of `words` words), panels of
    B, C, and what the sums of columns start from where A is `biased`.
    """
    symbol = f"integer_matmul_{tile.path}" + ("_biased" if biased else "")
    with kernel(symbol, wide=tile.wide, direct=True) as w:
        places = [w.address(i) for i in range(4)]
        d = word_names(w, 4, PRODUCT_WORDS)
        spare = w.stack(I32, tile.rows * tile.columns)
        by_rows = d["by_rows"].differs(0)
        position = w.slot(I64, w.lo)
        with w.repeat(lambda: position.get() < w.hi):
            unit = position.get()
            matrix = unit // d["units"]
            begin = unit - matrix * d["units"]
            end = w.minimum(d["units"], begin + w.hi - unit)
            position.set(unit + end - begin)
            zero = w.value(I64, 0)
            rows = w.select(by_rows, begin, 0), w.select(by_rows, end, d["m"])
            panel = w.select(by_rows, zero, begin)
            last = w.select(by_rows, d["n"], end * tile.columns)
            stop = w.minimum(d["n"], last)
            a, b, c, starts = (
                w.at(p, matrix * d[name], kind)
                for p, name, kind in zip(
                    places,
                    ("a_batch", "b_batch", "c_batch", "start_batch"),
                    (I8, I8, I32, I32),
                    strict=True,
                )
            )
            with w.loop(panel * tile.columns, stop, tile.columns) as j:
                index = j // tile.columns
                block = _Panel(
                    w,
                    tile,
                    w.at(a, rows[0] * d["a_row"], I8),
                    w.at(b, index * d["b_panel"], I8),
                    w.at(c, rows[0] * d["c_row"] + j, I32),
                    w.at(starts, index * tile.columns, I32) if biased else None,
                    w.minimum(d["n"] - j, tile.columns),
                    spare,
                    d,
                )
                block.tiles(rows[1] - rows[0])
    return Source(w.text, symbol)


@frozen
class _Panel:
    """The product of some rows of A with one panel of B."""

    w: Writer
    tile: DotTile
    a: Value
    b: Value
    c: Value
    starts: Value | None
    width: Value
    spare: Value
    d: dict[str, Value]

    def tiles(self, count: Value) -> None:
        """Print the tiles of `count` rows: tall ones, then shorter ones."""
        done = self.w.value(I64, 0)
        for height in self.tile.heights:
            with self.w.loop(done, count - (height - 1), height) as start:
                self.tile_at(height, start)
            done = count // height * height

    def tile_at(self, height: int, start: Value) -> None:
        """Print the tile of `height` rows from row `start`."""
        w, d = self.w, self.d
        ids = [start + r for r in range(height)]
        rows = [w.at(self.a, i * d["a_row"], I8) for i in ids]
        sums = [[self.first(v) for v in range(self.tile.vectors)] for _ in rows]
        with w.loop(0, d["words"]) as step:
            self.add(step, [w.load(I32, row, step, align=1) for row in rows], sums)
        full = self.width.equals(self.tile.columns)
        lines = [w.at(self.c, i * d["c_row"], I32) for i in ids]
        w.choose(
            full,
            lambda: self.store(lines, sums),
            lambda: self.store_part(lines, sums),
        )

    def first(self, vector: int) -> Slot:
        """Return a vector of sums at their start."""
        w, tile = self.w, self.tile
        if self.starts is None:
            return w.slot(tile.vector, 0)
        return w.slot(
            tile.vector, w.load(tile.vector, self.starts, vector * tile.lanes)
        )

    def add(self, step: Value, words: list[Value], sums: list[list[Slot]]) -> None:
        """Print one step: every row's word with all vectors of the panel."""
        w, tile = self.w, self.tile
        place = step * tile.columns
        panel = [
            w.load(tile.vector, self.b, place + v * tile.lanes)
            for v in range(tile.vectors)
        ]
        for word, slots in zip(words, sums, strict=True):
            value = w.broadcast(word, tile.lanes)
            for slot, part in zip(slots, panel, strict=True):
                slot.set(tile.dot(w, slot.get(), value, part))

    def store(self, lines: list[Value], sums: list[list[Slot]]) -> None:
        """Print the stores of a whole tile."""
        for line, slots in zip(lines, sums, strict=True):
            for v, slot in enumerate(slots):
                self.w.store(slot.get(), line, v * self.tile.lanes)

    def store_part(self, lines: list[Value], sums: list[list[Slot]]) -> None:
        """Print the stores of a tile of which some columns are there."""
        w, tile = self.w, self.tile
        for line, slots in zip(lines, sums, strict=True):
            for v, slot in enumerate(slots):
                w.store(slot.get(), self.spare, v * tile.lanes)
            w.copy(line, self.spare, self.width * 4)
