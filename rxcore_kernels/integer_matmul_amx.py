"""Text of the integer product by AMX: tiles of 16 x 16 sums in registers of their own.

Two tiles of A and two of B make four of C, so each step of 64 elements of k loads as
many tiles as it multiplies. B's panels are those of the other paths, in blocks of k
that stay in the first cache; blocks of A are packed tile by tile, since rows that lie a
power of two apart would share a few lines of it.
"""

from __future__ import annotations

import ctypes
import functools
import sys

from attrs import frozen

from rxcore_kernels.matmul_tile import word_names
from rxcore_kernels.source import Source
from rxcore_kernels.text import I8, I16, I32, I64, POINTER, Value, Writer, kernel

__all__ = ["BLOCK_K", "BLOCK_ROWS", "COLUMNS", "ROWS", "tile_source", "tiles_allowed"]

ROWS = 32
COLUMNS = 32
"""Sums of a block of four tiles."""

DEPTH = 64
"""Elements of k that a tile of A or B holds."""

BLOCK_ROWS = 128
BLOCK_K = 2048
"""The largest block of A that is packed."""

TILE_WORDS = "m n k a_batch a_row b_batch b_panel c_batch c_row block_k"

TILE_BYTES = 1024

_SHARE = 8
"""Lines of the next panel that rows ask for in each step: a quarter of its lines."""

_ARCH_PRCTL = 158
_REQUEST_PERMISSION = 0x1023
_TILE_DATA = 18


@functools.cache
def tiles_allowed() -> bool:
    """Ask the system, once for the whole process, to keep tiles for its threads."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    answer = call(*map(ctypes.c_long, (_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA)))
    return int(answer) == 0


@functools.cache
def tile_source(a_dtype: str) -> Source:
    """Return the step C = A B; a unit is a row of C, matrix by matrix.

    Panels of B hold whole tiles: 16 steps of 32 words, zeros past the last k. `block_k`
    is a multiple of 64.
    """
    symbol = f"integer_matmul_amx_{a_dtype}"
    with kernel(symbol, wide=True, direct=True) as w:
        places = [w.address(i) for i in range(3)]
        d = word_names(w, 3, TILE_WORDS)
        buffer = w.stack(I8, BLOCK_ROWS * BLOCK_K)
        spare = w.stack(I32, ROWS * COLUMNS)
        configure(w)
        position = w.slot(I64, w.lo)
        with w.repeat(lambda: position.get() < w.hi):
            unit = position.get()
            matrix = unit // d["m"]
            begin = unit - matrix * d["m"]
            end = w.minimum(d["m"], begin + w.hi - unit)
            position.set(unit + end - begin)
            a, b, c = (
                w.at(p, matrix * d[f"{name}_batch"], kind)
                for p, name, kind in zip(places, "abc", (I8, I8, I32), strict=True)
            )
            with (
                w.loop(0, w.maximum(d["k"], 1), d["block_k"]) as k0,
                w.loop(begin, end, BLOCK_ROWS) as i,
            ):
                height = w.minimum(end - i, BLOCK_ROWS)
                depth = w.minimum(d["k"] - k0, d["block_k"])
                corner = w.at(a, i * d["a_row"] + k0, I8)
                pack_rows(w, corner, buffer, height, depth, d["a_row"])
                tiles = (depth + (DEPTH - 1)) // DEPTH
                block = TileBlock(
                    *(w, a_dtype, buffer, tiles, height, tiles, k0.equals(0), spare),
                    *(d["c_row"], d["b_panel"]),
                )
                with w.loop(0, d["n"], COLUMNS) as j:
                    line = w.at(b, j // COLUMNS * d["b_panel"] + k0 * COLUMNS, I8)
                    goal = w.at(c, i * d["c_row"] + j, I32)
                    block.panel(line, goal, w.minimum(d["n"] - j, COLUMNS))
        tile_do(w, "tilerelease")
    return Source(w.text, symbol)


def tile_do(w: Writer, name: str, *operands: Value | int) -> None:
    """Print an instruction on tiles; numbers name tiles."""
    values = [o if isinstance(o, Value) else w.value(I8, o) for o in operands]
    w.intrinsic(f"llvm.x86.{name}", None, *values, overloads=[])


def configure(w: Writer) -> None:
    """Print the configuration: eight tiles of 16 rows of 64 bytes."""
    table = w.stack(I8, 64)
    w.zero(table, 64)
    w.store(w.value(I8, 1), table)
    for tile in range(8):
        w.store(w.value(I16, 64), table, 8 + tile)
        w.store(w.value(I8, 16), table, 48 + tile)
    tile_do(w, "ldtilecfg", table)


def pack_rows(
    w: Writer, corner: Value, buffer: Value, height: Value, depth: Value, row: Value
) -> None:
    """Print the packing of a block of A: tile after tile along k, then down.

    Rows past the last repeat it; elements past the last k are zero.
    """
    line_type = I8.by(DEPTH)
    tiles = (depth + (DEPTH - 1)) // DEPTH
    whole = depth // DEPTH * DEPTH
    rest = w.first_lanes(depth - whole, DEPTH)
    with w.loop(0, (height + 15) // 16 * 16) as i:
        line = w.at(corner, w.minimum(i, height - 1) * row, I8)
        goal = w.at(buffer, i // 16 * tiles * TILE_BYTES + i % 16 * DEPTH, I8)
        with w.loop(0, whole, DEPTH) as kk:
            w.store(w.load(line_type, line, kk), goal, kk * 16)
        with w.when(whole < depth):
            w.store(w.load(line_type, line, whole, mask=rest), goal, whole * 16)


@frozen
class TileBlock:
    """The product of a packed block of A with panels of B.

    Rows of A are packed 16 by 16, `a_tiles` tiles of k apart; `tiles` are multiplied.
    The sums are added to C, but not where they are the `first` for it. Of the tiles in
    registers 0 to 3 are sums, row by row, 4 and 5 are A's, 6 and 7 B's.
    """

    w: Writer
    a_dtype: str
    a: Value
    a_tiles: Value
    height: Value
    tiles: Value
    first: Value
    spare: Value
    c_row: Value
    b_panel: Value

    def panel(self, b: Value, c: Value, width: Value) -> None:
        """Print the product with one panel."""
        w = self.w
        whole = w.select(width.equals(COLUMNS), self.height // ROWS * ROWS, 0)
        with w.loop(0, whole, ROWS) as i:
            goal = w.at(c, i * self.c_row, I32)
            self.four(i, 2, b, goal, self.c_row * 4)
        with w.loop(whole, self.height, ROWS) as i:
            goal, left = w.at(c, i * self.c_row, I32), self.height - i
            rows = w.minimum(left, ROWS)
            pitch = w.value(I64, COLUMNS * 4)
            with w.when(~self.first), w.loop(0, rows) as r:
                line = w.at(goal, r * self.c_row, I32)
                w.copy(w.at(self.spare, r * COLUMNS, I32), line, width * 4)
            w.choose(
                left > 16,
                lambda: self.four(i, 2, b, self.spare, pitch),
                lambda: self.four(i, 1, b, self.spare, pitch),
            )
            with w.loop(0, rows) as r:
                line = w.at(goal, r * self.c_row, I32)
                w.copy(line, w.at(self.spare, r * COLUMNS, I32), width * 4)

    def expect(self, place: Value, writes: str, cache: str) -> None:
        """Ask for a line: to be written or not, into the first cache (3) or second."""
        hints = [Value(self.w, I32, text) for text in (writes, cache, "1")]
        self.w.intrinsic("llvm.prefetch", None, place, *hints, overloads=[POINTER])

    def four(self, i: Value, down: int, b: Value, c: Value, pitch: Value) -> None:
        """Print the sums of `down` x 2 tiles from row i; C's rows are `pitch` apart."""
        w = self.w
        sums = [
            (r * 2 + s, w.at(w.at(c, pitch * (16 * r), I8), 16 * s, I32))
            for r in range(down)
            for s in range(2)
        ]

        def begin() -> None:
            for tile, _ in sums:
                tile_do(w, "tilezero", tile)

        def resume() -> None:
            for tile, place in sums:
                tile_do(w, "tileloadd64", tile, place, pitch)

        w.choose(self.first, begin, resume)
        product = "tdpbusd" if self.a_dtype == "uint8" else "tdpbssd"
        a = w.at(self.a, i // 16 * self.a_tiles * TILE_BYTES, I8)
        # Rows share out the next panel of B, and ask for C before they store to it.
        share = i // ROWS * self.tiles * (_SHARE * 64) + self.b_panel
        ahead = w.at(b, share, I8)
        a_pitch, b_pitch = w.value(I64, DEPTH), w.value(I64, 4 * COLUMNS)
        with w.loop(0, self.tiles) as q:
            for s in range(2):
                place = w.at(b, q * (16 * 4 * COLUMNS) + 64 * s, I8)
                tile_do(w, "tileloadd64", 6 + s, place, b_pitch)
            for r in range(down):
                place = w.at(a, (self.a_tiles * r + q) * TILE_BYTES, I8)
                tile_do(w, "tileloadd64", 4 + r, place, a_pitch)
                for s in range(2):
                    tile_do(w, product, r * 2 + s, 4 + r, 6 + s)
            for r in range(2):
                row = w.at(c, pitch * ((q & 15) * 2 + r), I8)
                for s in range(2):
                    self.expect(w.at(row, 64 * s, I8), "1", "3")
            for line in range(_SHARE):
                self.expect(w.at(ahead, (q * _SHARE + line) * 64, I8), "0", "2")
        for tile, place in sums:
            tile_do(w, "tilestored64", tile, place, pitch)
