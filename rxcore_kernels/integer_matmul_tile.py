"""Integer dot products of a processor, and the register tiles made of them.

A vector register holds 32-bit words. A word of A or B is `group` neighbouring elements
along k; one step multiplies a word of A, in every lane, with words of B and adds all
products to 32-bit sums. No step saturates.
"""

from __future__ import annotations

from attrs import frozen

from rxcore_kernels.host import Features
from rxcore_kernels.text import I8, I16, I32, Type, Value, Writer

__all__ = ["PATHS", "DotTile", "choose_tile", "fastest_path"]

PATHS = ("generic", "avx2", "vnni", "amx")
"""The ways to multiply, slowest first."""


@frozen
class DotTile:
    """How one processor multiplies bytes.

    Args:
        path: one of `PATHS`.
        group: elements of a word: 4 bytes, or 2 numbers of 16 bits.
        lanes: words of a vector register.
        vectors: vectors across a tile.
        heights: rows of the tiles, tallest first.
    """

    path: str
    group: int
    lanes: int
    vectors: int
    heights: tuple[int, ...]

    @property
    def columns(self) -> int:
        """Columns of a tile, and of a packed panel of B."""
        return self.lanes * self.vectors

    @property
    def rows(self) -> int:
        """Rows of the tallest tile."""
        return self.heights[0]

    @property
    def vector(self) -> Type:
        """The type of one register of words or sums."""
        return I32.by(self.lanes)

    @property
    def element(self) -> Type:
        """The type of an element in a packed word."""
        return I8 if self.group == 4 else I16

    @property
    def panel_step(self) -> int:
        """Bytes of the words of one step of a packed panel."""
        return 4 * self.columns

    @property
    def wide(self) -> bool:
        """Whether the registers have 512 bits."""
        return self.lanes == 16

    def steps(self, k: int) -> int:
        """Return the words of a line of k elements."""
        return -(-k // self.group)

    def dot(self, w: Writer, sums: Value, a: Value, b: Value) -> Value:
        """Print sums + the products of the elements of a's and b's words."""
        if self.path == "vnni":
            name = "llvm.x86.avx512.vpdpbusd.512"
            bytes_each = I8.by(4 * self.lanes)
            parts = [w.cast("bitcast", v, bytes_each) for v in (a, b)]
            return w.intrinsic(name, self.vector, sums, *parts, overloads=[])
        halves = I16.by(2 * self.lanes)
        left, right = (w.cast("bitcast", v, halves) for v in (a, b))
        if self.path == "avx2":
            name = "llvm.x86.avx2.pmadd.wd"
            return sums + w.intrinsic(name, self.vector, left, right, overloads=[])
        wider = I32.by(2 * self.lanes)
        products = w.cast("sext", left, wider) * w.cast("sext", right, wider)
        even = w.shuffle(products, products, range(0, 2 * self.lanes, 2))
        odd = w.shuffle(products, products, range(1, 2 * self.lanes, 2))
        return sums + (even + odd)


def fastest_path(features: Features) -> str:
    """Return the fastest path that a processor has instructions for."""
    if features.vnni and features.avx512:
        return "amx" if features.amx_int8 else "vnni"
    return "avx2" if features.avx2 else "generic"


def choose_tile(path: str) -> DotTile:
    """Return the tile of a path; that of AMX is used where its tiles do not pay.

    Twelve rows of two vectors take 24 of 32 registers, four rows of two 8 of 16, with
    the products of 16-bit numbers waiting in others to be added.
    """
    if path in ("vnni", "amx"):
        return DotTile("vnni", 4, 16, 2, (12, 4, 1))
    lanes = 8 if path == "avx2" else 4
    return DotTile(path, 2, lanes, 2, (4, 1))
