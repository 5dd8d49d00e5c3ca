"""Register tiles of matrix products: their sizes, their inner loop, and transposes.

A tile is `rows` x (`vectors` * `lanes`) accumulators. Each step of k loads `vectors`
vectors of B and broadcasts `rows` elements of A.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from rxcore_kernels.host import Features
from rxcore_kernels.text import F32, F64, I1, I64, Slot, Type, Value, Writer

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
    of 16 (AVX2, SSE). A panel of B (`block_k` x `columns`) stays in the first-level
    cache, a block of A (`block_rows` x `block_k`) in the second.
    """
    element = ELEMENTS[dtype]
    lanes = features.vector_bits // 8 // element.bytes
    block_k = 256 if element == F32 else 192
    if features.avx512:
        return Tile(element, lanes, 2, (12, 8, 4, 2, 1), True, 96, block_k)
    if "neon" in features:
        return Tile(element, lanes, 2, (12, 8, 4, 2, 1), False, 96, block_k)
    return Tile(element, lanes, 2, (6, 4, 2, 1), False, 96, block_k)


@frozen
class Operand:
    """A's rows as the inner loop reads them: element (i, kk) is at i*row + kk*step."""

    pointer: Value
    row: Value | int
    step: Value | int

    def from_row(self, writer: Writer, row: Value | int, element: Type) -> Operand:
        """Return the same operand starting `row` rows further."""
        offset = product(row, self.row)
        place = writer.at(self.pointer, offset, element)
        return Operand(place, self.row, self.step)


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
    rows = [w.at(a.pointer, product(i, a.row), element) for i in range(len(sums))]
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


def column_masks(w: Writer, tile: Tile, count: Value, vectors: int) -> list[Value]:
    """Return the masks of the first `count` columns of a tile."""
    return [w.first_lanes(count - j * tile.lanes, tile.lanes) for j in range(vectors)]


def nothing(w: Writer, tile: Tile) -> Value:
    """Return the mask of no lane."""
    return w.value(I1.by(tile.lanes), 0)


def transpose(w: Writer, rows: Sequence[Value]) -> list[Value]:
    """Transpose a square of vectors in registers, one shuffle per vector and level.

    First inside 128-bit lanes (pairs of elements, then of pairs), then the lanes.
    """
    lanes = rows[0].type.lanes
    inner = min(16 // rows[0].type.bytes, lanes)
    values = list(rows)
    width = 1
    while width < inner:
        values = _interleave(w, values, lanes, inner, width)
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


def _interleave(
    w: Writer, values: list[Value], lanes: int, inner: int, width: int
) -> list[Value]:
    """Combine rows `width` apart inside each 128-bit lane (unpack low and high)."""
    out = list(values)
    for base in range(0, lanes, 2 * width):
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


def copy_transposed(
    w: Writer,
    tile: Tile,
    rows: Sequence[Value],
    count: Value,
    target: Value,
    target_step: int,
) -> None:
    """Print target[kk * target_step + i] = rows[i][kk] for kk in [0, count).

    `rows` are pointers to contiguous elements. Rows are taken `lanes` at a time; the
    lanes of a last, smaller group spill over into what the next step of kk writes, so
    the target needs `lanes` elements of slack.
    """
    element, lanes = tile.element, tile.lanes
    whole = count // lanes * lanes
    groups = [list(rows[i : i + lanes]) for i in range(0, len(rows), lanes)]
    groups = [g + [g[-1]] * (lanes - len(g)) for g in groups]
    with w.loop(0, whole, lanes) as kk:
        turned = [
            transpose(w, [w.load(tile.vector, row, kk) for row in group])
            for group in groups
        ]
        place = w.at(target, kk * target_step, element)
        for step in range(lanes):
            for g, columns in enumerate(turned):
                w.store(columns[step], place, step * target_step + g * lanes)
    with w.loop(whole, count) as kk:
        place = w.at(target, kk * target_step, element)
        for i, row in enumerate(rows):
            w.store(w.load(element, row, kk), place, i)


def word_names(w: Writer, first: int, names: str) -> dict[str, Value]:
    """Return the integer words that begin at `first`, by name."""
    return {name: w.word(first + i) for i, name in enumerate(names.split())}


__all__ = [
    "I64",
    "Operand",
    "Tile",
    "choose_tile",
    "column_masks",
    "copy_transposed",
    "cover_rows",
    "multiply",
    "nothing",
    "product",
    "transpose",
    "word_names",
]
