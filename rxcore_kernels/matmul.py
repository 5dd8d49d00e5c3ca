"""Matrix products of floating-point arrays with any strides."""

from __future__ import annotations

import functools

from attrs import frozen

from rxcore_kernels import host
from rxcore_kernels.host import Features
from rxcore_kernels.matmul_narrow import NARROW, plan_narrow
from rxcore_kernels.matmul_pack import pack_source
from rxcore_kernels.matmul_text import product_source
from rxcore_kernels.matmul_tile import ELEMENTS, Tile, choose_tile
from rxcore_kernels.matmul_vector import dots_source, line_source, sweep_source
from rxcore_kernels.plan import In, Out, Plan, Scratch, Step, Word
from rxcore_kernels.source import Source
from rxcore_kernels.text import kernel

SERIAL_WORK = 1 << 19
"""Multiply-adds below which a second thread does not pay."""


@frozen
class _Shape:
    """One batched product, strides in elements."""

    batch: int
    m: int
    n: int
    k: int
    a: tuple[int, int, int]
    b: tuple[int, int, int]
    c: tuple[int, int]

    @property
    def work(self) -> int:
        return self.batch * self.m * self.n * self.k


def plan_matmul(
    dtype: str,
    batch: int,
    m: int,
    n: int,
    k: int,
    a_strides: tuple[int, int, int],
    b_strides: tuple[int, int, int],
    c_strides: tuple[int, int],
    *,
    features: Features | None = None,
) -> Plan:
    """Plan C = A @ B for a batch of matrices.

    **Meaning** (inputs A, B; output C)::

        C[s, i, j] = sum(A[s, i, l] * B[s, l, j] for l in range(k))

    The sum over k is taken in one fixed order for a given shape, whatever the pieces.

    Args:
        dtype: "float32", "float64", "bfloat16" or "float16"; the two last are widened
            to float32 and rounded once.
        batch: number of matrices.
        m: rows of A and C.
        n: columns of B and C.
        k: columns of A, rows of B; 0 gives zeros.
        a_strides: element strides of A by (batch, row, k); 0 broadcasts.
        b_strides: element strides of B by (batch, k, column).
        c_strides: element strides of C by (batch, row); its columns are contiguous.
        features: the processor to plan for; the host by default.

    Returns:
        The plan. Where `by_rows` holds, the last step's units are rows of C in order
        (unit s * m + i is row i of matrix s); otherwise they are columns (of a product
        with one row) or panels of columns.

    Raises:
        TypeError: the dtype has no kernel.
        ValueError: a size is negative.

    Example:
        >>> import numpy as np
        >>> from rxcore_kernels.plan import run_plan
        >>> a, b = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
        >>> c = np.empty((2, 4), np.float32)
        >>> plan = plan_matmul("float32", 1, 2, 4, 3, (0, 3, 1), (0, 4, 1), (0, 4))
        >>> run_plan(plan, [a, b], [c])
        >>> c[1, 2].item()
        3.0
    """
    if dtype not in ELEMENTS and dtype not in NARROW:
        known = ", ".join((*ELEMENTS, *NARROW))
        raise TypeError(f"plan_matmul: expected dtype {known}, got {dtype}")
    if min(batch, m, n, k) < 0:
        raise ValueError(
            f"plan_matmul: expected sizes >= 0, got batch={batch} m={m} n={n} k={k}"
        )
    features = features or host.features()
    if dtype in NARROW and batch * m * n:
        multiply = functools.partial(plan_matmul, features=features)
        strides = (a_strides, b_strides, c_strides)
        return plan_narrow(dtype, (batch, m, n, k), strides, features, multiply, split)
    tile = choose_tile(dtype if dtype in ELEMENTS else "float32", features)
    shape = _merge(_Shape(batch, m, n, k, a_strides, b_strides, c_strides))
    if shape.batch * m * n == 0:
        return Plan((), by_rows=True)
    if k == 0:
        return _plan_zeros(tile, shape)
    return _plan_vector(tile, shape) or _plan_blocked(tile, shape)


def _merge(s: _Shape) -> _Shape:
    """Make one tall matrix of a batch that shares B."""
    rows_follow = s.a[0] == s.m * s.a[1] and s.c[0] == s.m * s.c[1]
    if s.batch > 1 and s.b[0] == 0 and (rows_follow or s.m == 1):
        a, c = (s.a, s.c) if s.m > 1 else ((0, s.a[0], s.a[2]), (0, s.c[0]))
        return _Shape(1, s.batch * s.m, s.n, s.k, a, s.b, c)
    return s


def _plan_zeros(tile: Tile, s: _Shape) -> Plan:
    words: tuple[Word, ...] = (Out(0), s.m, s.n, *s.c)
    source = _zero_source(tile)
    return Plan((Step(source, words, 0, s.batch * s.m, 0),), by_rows=True)


@functools.cache
def _zero_source(tile: Tile) -> Source:
    symbol = f"matmul_zero_{tile.name}"
    with kernel(symbol) as w:
        c = w.address(0)
        m, n, c_batch, c_row = (w.word(i) for i in range(1, 5))
        with w.loop(w.lo, w.hi) as row:
            offset = row // m * c_batch + row % m * c_row
            w.zero(w.at(c, offset, tile.element), n * tile.element.bytes)
    return Source(w.text, symbol)


def _plan_blocked(tile: Tile, s: _Shape) -> Plan:
    """Plan the tiled product, with B and A packed where that pays."""
    b_step = s.b[1]
    in_place = _reads_b_in_place(tile, s)
    block_k = -(-s.k // -(-s.k // tile.block_k))
    steps: tuple[Step, ...] = ()
    scratch: tuple[int, ...] = ()
    b_words: tuple[Word, ...] = (s.b[0], b_step, tile.columns)
    b_place: Word = In(1)
    if not in_place:
        panels, blocks = -(-s.n // tile.columns), -(-s.k // block_k)
        count = s.batch if s.b[0] else 1
        words: tuple[Word, ...] = (
            *(In(1), Scratch(0), s.n, s.k, *s.b),
            *(panels, blocks, block_k),
        )
        units = count * panels * blocks
        chunk = split(units, units * block_k * tile.columns * 8, 1)
        steps = (Step(pack_source(tile), words, 0, units, chunk),)
        size = panels * s.k * tile.columns
        scratch = ((count * size + tile.lanes) * tile.element.bytes,)
        b_words = (size if s.b[0] else 0, tile.columns, s.k * tile.columns)
        b_place = Scratch(0)
    # A short, wide result has too few rows to share: its columns are.
    short = s.batch * s.m < 4 * tile.rows and s.n >= 4 * tile.columns
    by_rows = not short or s.work < SERIAL_WORK
    units = s.m if by_rows else -(-s.n // tile.columns)
    words = (
        *(In(0), b_place, Out(0), s.m, s.n, s.k),
        *(*s.a, *b_words, *s.c, block_k),
        *(units, int(by_rows), int(_packs_a(tile, s))),
    )
    units *= s.batch
    chunk = split(units, s.work, 4 if by_rows else 1)
    step = Step(product_source(tile), words, 0, units, chunk)
    return Plan((*steps, step), scratch, by_rows)


def _plan_vector(tile: Tile, s: _Shape) -> Plan | None:
    """Plan the product of matrices with vectors, if it is one with a good order."""
    places: tuple[Word, Word]
    if s.n == 1:
        # C's column is A's rows times B's column.
        matrix, x, y = s.a, s.b[:2], s.c
        outputs, by_rows, places = s.m, True, (In(0), In(1))
    elif s.m == 1:
        matrix, x = (s.b[0], s.b[2], s.b[1]), (s.a[0], s.a[2])
        y, outputs, by_rows, places = (s.c[0], 1), s.n, False, (In(1), In(0))
    else:
        return None
    units = s.batch * outputs
    sizes = (outputs, s.k, *matrix)
    if matrix[1] == 1 and y[1] == 1:
        words: tuple[Word, ...] = (*places, Out(0), *sizes, *x, *y)
        chunk = split(units, units * s.k, 4 * tile.lanes)
        step = Step(sweep_source(tile), words, 0, units, chunk)
        return Plan((step,), by_rows=by_rows)
    if matrix[2] != 1:
        return None
    chunk = split(units, units * s.k, 4)
    if x[1] == 1:
        words = (*places, Out(0), *sizes, *x, *y)
        step = Step(dots_source(tile), words, 0, units, chunk)
        return Plan((step,), by_rows=by_rows)
    lines = s.batch if x[0] else 1
    copy = Step(line_source(tile), (places[1], Scratch(0), s.k, *x), 0, lines, 0)
    words = (places[0], Scratch(0), Out(0), *sizes, s.k if x[0] else 0, 1, *y)
    step = Step(dots_source(tile), words, 0, units, chunk)
    return Plan((copy, step), (lines * s.k * tile.element.bytes,), by_rows)


def _reads_b_in_place(tile: Tile, s: _Shape) -> bool:
    if s.b[2] != 1 or not (tile.masks or s.n % tile.columns == 0):
        return False
    return s.k * s.n <= 1 << 18 or s.m <= 16


def _packs_a(tile: Tile, s: _Shape) -> bool:
    small = s.k * s.m <= 1 << 16 or s.n <= 2 * tile.columns
    return not small or 1 not in s.a[1:]


def split(units: int, work: int, multiple: int = 1) -> int:
    """Return the units of a piece: an even number of equal pieces, none too small.

    Args:
        units: how many there are.
        work: multiply-adds (or as much time) of all of them.
        multiple: what a piece must be a multiple of.

    Returns:
        The chunk of a step; 0 where one thread is faster.
    """
    if work < SERIAL_WORK or units <= multiple:
        return 0
    pieces = min(_most_pieces(), 2 * (work // SERIAL_WORK))
    size = -(-units // max(pieces, 2))
    return -(-size // multiple) * multiple


@functools.cache
def _most_pieces() -> int:
    return 4 * max(2, host.available_cpus())
