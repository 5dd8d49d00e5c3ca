"""Register tiles of matrix products: their sizes, their inner loop, and transposes.

A tile is `rows` x (`vectors` * `lanes`) accumulators. Each step of k loads `vectors`
vectors of B and broadcasts `rows` elements of A.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from rxcore_kernels.host import Features
from rxcore_kernels.text import F32, F64, I64, Slot, Type, Value, Writer

ELEMENTS = {"float32": F32, "float64": F64}


@frozen
class Tile:
    """The block sizes that fit one processor and element type.

    Args:
        element: type of one element.
        lanes: elements of one vector register.
        vectors: vectors across a tile.
        heights: rows of the tiles, tallest first; smaller ones finish the rest.
        masks: whether masked loads and stores cost nothing (AVX-512).
        block_rows: rows of A that are packed together.
        block_k: steps of k between two visits of C.
    """

    element: Type
    lanes: int
    vectors: int
    heights: tuple[int, ...]
    masks: bool
    block_rows: int
    block_k: int

    @property
    def rows(self) -> int:
        """Rows of the tallest tile."""
        return self.heights[0]

    @property
    def columns(self) -> int:
        """Columns of a full tile."""
        return self.lanes * self.vectors

    @property
    def vector(self) -> Type:
        """The type of one vector register."""
        return self.element.by(self.lanes)

    @property
    def name(self) -> str:
        """A suffix for the symbols of kernels that use it."""
        short = "f32" if self.element == F32 else "f64"
        return f"{short}x{self.lanes}" + ("m" if self.masks else "")


def choose_tile(dtype: str, features: Features) -> Tile:
    """Return the tile for a dtype on a processor.

    Twelve rows of two vectors take 24 of 32 registers (AVX-512, AArch64), six rows 12
    of 16 (AVX2, SSE). A panel of B (`block_k` x `columns`) and a block of A
    (`block_rows` x `block_k`) stay in the second-level cache.
    """
    element = ELEMENTS[dtype]
    lanes = features.vector_bits // 8 // element.bytes
    # Few visits of C: 1024^3 took 4.57 ms so, 4.68 with 96 x 256.
    block_rows, block_k = (48, 512) if element == F32 else (96, 192)
    if features.avx512:
        return Tile(element, lanes, 2, (12, 8, 4, 2, 1), True, block_rows, block_k)
    if "neon" in features:
        return Tile(element, lanes, 2, (12, 8, 4, 2, 1), False, block_rows, block_k)
    return Tile(element, lanes, 2, (6, 4, 2, 1), False, block_rows, block_k)


@frozen
class Operand:
    """A's rows as the inner loop reads them: element (i, kk) is at i*row + kk*step.

    Args:
        pointer: element (0, 0).
        row: elements between rows.
        step: elements between steps of k.
        first: the first row to read.
        last: the last row that exists, where fewer may be left than are read.
    """

    pointer: Value
    row: Value | int
    step: Value | int
    first: Value | int = 0
    last: Value | None = None

    def rows(self, w: Writer, count: int, element: Type) -> list[Value]:
        """Return where `count` rows from `first` begin; `last` is repeated."""
        ids: list[Value | int] = [self.first + r for r in range(count)]
        if self.last is not None:
            ids = [w.minimum(w.value(I64, i), self.last) for i in ids]
        return [w.at(self.pointer, product(i, self.row), element) for i in ids]


def product(a: Value | int, b: Value | int) -> Value | int:
    """Return a * b; numbers stay numbers."""
    if isinstance(a, Value):
        return a if isinstance(b, int) and b == 1 else a * b
    return b if a == 1 else b * a


def multiply(
    w: Writer,
    tile: Tile,
    a: Operand,
    b: Value,
    b_step: Value | int,
    count: Value,
    sums: Sequence[Sequence[Slot]],
    masks: Sequence[Value] | None = None,
    ahead: Sequence[tuple[Value, Value | int]] = (),
) -> None:
    """Print sums[i][j] += A[i, kk] * B[kk, vector j] for kk in [0, count).

    Args:
        w: the kernel being printed.
        tile: gives the vector type.
        a: the rows of A.
        b: the first row of B's panel; vectors are side by side.
        b_step: elements from one row of B to the next.
        count: steps of k.
        sums: accumulators, one sequence per row.
        masks: the columns that exist, where B is read in place.
        ahead: places, and elements between steps, of lines to ask for ahead of use.
    """
    element, vector = tile.element, tile.vector
    rows = a.rows(w, len(sums), element)
    with w.loop(0, count) as kk:
        line = w.at(b, product(kk, b_step), element)
        panel = [
            w.load(vector, line, j * tile.lanes, mask=masks[j] if masks else None)
            for j in range(len(sums[0]))
        ]
        for pointer, between in ahead:
            w.prefetch(pointer, product(kk, between), element)
        place = product(kk, a.step)
        for row, row_sums in zip(rows, sums, strict=True):
            value = w.broadcast(w.load(element, row, place), tile.lanes)
            for slot, part in zip(row_sums, panel, strict=True):
                slot.set(w.muladd(value, part, slot.get()))


def cover_rows(
    w: Writer,
    heights: Sequence[int],
    count: Value,
    body: Callable[[int, Value, Value | int], None],
) -> None:
    """Print tiles that cover `count` rows: many tall ones, then one of each that fits.

    `body(height, start, extra)` prints a tile at row start + extra, where start is a
    multiple of the tallest height.
    """
    size = heights[0]
    with w.loop(0, count - (size - 1), size) as i:
        body(size, i, 0)
    done = count // size * size
    extra = w.slot(I64, 0)
    for height in heights[1:]:
        with w.when(count - done - extra.get() >= height):
            body(height, done, extra.get())
            extra.set(extra.get() + height)


def wide(tile: Tile) -> bool:
    """Whether the tile's vectors need 512-bit registers."""
    return tile.lanes * tile.element.bytes == 64


def column_masks(w: Writer, tile: Tile, count: Value, vectors: int) -> list[Value]:
    """Return the masks of the first `count` columns of a tile."""
    return [w.first_lanes(count - j * tile.lanes, tile.lanes) for j in range(vectors)]


def transpose(w: Writer, rows: Sequence[Value]) -> list[Value]:
    """Transpose a square of vectors in registers, one shuffle per vector and level.

    First inside 128-bit lanes (pairs of elements, then of pairs), then the lanes.
    """
    lanes = rows[0].type.lanes
    inner = min(16 // rows[0].type.bytes, lanes)
    values = list(rows)
    width = 1
    while width < inner:
        values = _interleave(w, values, inner, width)
        width *= 2
    group = lanes // inner
    # values[g * inner + q] holds in 128-bit lane l column l * inner + q of rows
    # g * inner and on.
    columns: list[Value] = [values[0]] * lanes
    for q in range(inner):
        parts = [[values[g * inner + q]] for g in range(group)]
        found = _gather_lanes(w, [p[0] for p in parts], inner)
        for lane, value in enumerate(found):
            columns[lane * inner + q] = value
    return columns


def _interleave(w: Writer, values: list[Value], inner: int, width: int) -> list[Value]:
    """Combine rows `width` apart inside each 128-bit lane (unpack low and high)."""
    out = list(values)
    lanes = values[0].type.lanes
    for base in range(0, len(values), 2 * width):
        for i in range(width):
            a, b = values[base + i], values[base + i + width]
            low, high = _pair_lanes(lanes, inner, width)
            out[base + 2 * i] = w.shuffle(a, b, low)
            out[base + 2 * i + 1] = w.shuffle(a, b, high)
    return out


def _pair_lanes(lanes: int, inner: int, width: int) -> tuple[list[int], list[int]]:
    """Lanes of unpack-low and unpack-high of groups of `width` elements."""
    low: list[int] = []
    high: list[int] = []
    half = inner // 2
    for start in range(0, lanes, inner):
        for k in range(0, half, width):
            group = range(start + k, start + k + width)
            low += [*group, *(lanes + g for g in group)]
            high += [half + g for g in group]
            high += [lanes + half + g for g in group]
    return low, high


def _gather_lanes(w: Writer, parts: list[Value], inner: int) -> list[Value]:
    """Turn g vectors of g 128-bit lanes into their transpose."""
    count = len(parts)
    if count == 1:
        return parts
    lanes = parts[0].type.lanes
    groups = [range(s, s + inner) for s in range(0, 2 * lanes, inner)]
    even = [lane for g in groups[0::2] for lane in g]
    odd = [lane for g in groups[1::2] for lane in g]
    evens, odds = [], []
    for a, b in zip(parts[0::2], parts[1::2], strict=True):
        evens.append(w.shuffle(a, b, even))
        odds.append(w.shuffle(a, b, odd))
    low, high = _gather_lanes(w, evens, inner), _gather_lanes(w, odds, inner)
    return [v for pair in zip(low, high, strict=True) for v in pair]


def turn(w: Writer, parts: Sequence[Value]) -> list[Value]:
    """Return the columns of rows of 128 bits each, one vector per column.

    Rows a block apart are laid end to end, so that one shuffle turns all blocks.
    """
    block = parts[0].type.lanes
    values = [_join(w, parts[r::block]) for r in range(block)]
    width = 1
    while width < block:
        values = _interleave(w, values, block, width)
        width *= 2
    return values


def _join(w: Writer, parts: Sequence[Value]) -> Value:
    """Lay vectors end to end."""
    while len(parts) > 1:
        lanes = range(2 * parts[0].type.lanes)
        pairs = zip(parts[0::2], parts[1::2], strict=True)
        parts = [w.shuffle(a, b, lanes) for a, b in pairs]
    return parts[0]


def word_names(w: Writer, first: int, names: str) -> dict[str, Value]:
    """Return the integer words that begin at `first`, by name."""
    return {name: w.word(first + i) for i, name in enumerate(names.split())}


__all__ = [
    "I64",
    "Operand",
    "Tile",
    "choose_tile",
    "column_masks",
    "cover_rows",
    "multiply",
    "product",
    "transpose",
    "turn",
    "wide",
    "word_names",
]
