"""Matrix products of 8-bit integers, summed exactly in 32 bits."""

from __future__ import annotations

from attrs import frozen

from rxcore_kernels import host
from rxcore_kernels import integer_matmul_amx as amx
from rxcore_kernels import integer_matmul_medium as medium
from rxcore_kernels import integer_matmul_short as short
from rxcore_kernels.host import Features
from rxcore_kernels.integer_matmul_pack import (
    HELD,
    RUN,
    line_source,
    pack_source,
    sums_source,
)
from rxcore_kernels.integer_matmul_text import product_source
from rxcore_kernels.integer_matmul_tile import (
    PATHS,
    DotTile,
    choose_tile,
    fastest_path,
)
from rxcore_kernels.matmul import SERIAL_WORK, split
from rxcore_kernels.plan import In, Out, Plan, Scratch, Step, Word

__all__ = ["A_DTYPES", "B_DTYPES", "available_paths", "plan_integer_matmul"]

A_DTYPES = ("uint8", "int8")
B_DTYPES = ("int8", "int4", "uint4")

SHORT = {"generic": 8, "avx2": 8, "vnni": 24, "amx": 12}
"""Rows of A up to which B is read in place."""

_PACK_BLOCK = 64
"""Steps of a panel that a thread packs at a time."""


@frozen
class _Product:
    """One product of a batch of dense matrices."""

    signed: bool
    format: str
    batch: int
    m: int
    n: int
    k: int

    @property
    def a_dtype(self) -> str:
        """The dtype of A."""
        return "int8" if self.signed else "uint8"

    @property
    def b_rows(self) -> int:
        """Rows of bytes of B."""
        return -(-self.k // HELD[self.format])

    def panel_bytes(self, tile: DotTile, steps: int) -> int:
        """Return the size of packed B."""
        panels = -(-self.n // tile.columns)
        return max(64, self.batch * panels * steps * tile.panel_step)

    def by_rows(self, rows: int, panels: int) -> bool:
        """Whether rows of C are shared out, and not panels of columns."""
        tall = self.batch * self.m >= 4 * rows
        return tall or panels < 4 or self.work < SERIAL_WORK

    @property
    def reading(self) -> int:
        """Elements of B, counted as multiply-adds that would take as long."""
        return self.batch * self.k * self.n

    @property
    def work(self) -> int:
        """Multiply-adds, counted as if each took as long as a float32 one."""
        return self.batch * self.m * self.n * self.k // 4


def available_paths(features: Features | None = None) -> tuple[str, ...]:
    """Return the paths that a processor (by default the host) can run."""
    best = fastest_path(features or host.features())
    if best == "amx" and not amx.tiles_allowed():
        best = "vnni"
    return PATHS[: PATHS.index(best) + 1]


def plan_integer_matmul(
    a_dtype: str,
    b_dtype: str,
    batch: int,
    m: int,
    n: int,
    k: int,
    *,
    shared: bool = False,
    path: str | None = None,
    features: Features | None = None,
) -> Plan:
    """Plan C = A @ B for a batch of dense matrices of bytes.

    **Meaning** (inputs A, B; output C, int32)::

        C = np.matmul(A.astype(np.int32), B.astype(np.int32))

    Sums past 32 bits wrap around, as NumPy's do.

    Args:
        a_dtype: "uint8" or "int8", of A (batch, m, k).
        b_dtype: "int8", of B (batch, k, n); or "int4" (-8..7) or "uint4" (0..15), of B
            (batch, ceil(k / 2), n), bytes of which the low half holds even k.
        batch: number of matrices.
        m: rows of A and C.
        n: columns of B and C.
        k: columns of A, rows of B; 0 gives zeros.
        shared: whether there is one B (k, n) for all A.
        path: one of `available_paths(features)`; the fastest by default.
        features: the processor to plan for; the host by default.

    Returns:
        The plan. Where `by_rows` holds, the last step's units are rows of C in order.

    Raises:
        TypeError: a dtype has no kernel.
        ValueError: a size is negative, or the processor lacks the path.

    Example:
        >>> import numpy as np
        >>> from rxcore_kernels.plan import run_plan
        >>> a, b = np.full((2, 3), 255, np.uint8), np.full((3, 4), -128, np.int8)
        >>> c = np.empty((2, 4), np.int32)
        >>> run_plan(plan_integer_matmul("uint8", "int8", 1, 2, 4, 3), [a, b], [c])
        >>> c[1, 2].item()
        -97920
    """
    if a_dtype not in A_DTYPES or b_dtype not in B_DTYPES:
        raise TypeError(
            f"plan_integer_matmul: expected a_dtype {' or '.join(A_DTYPES)} and b_dtype"
            f" {' or '.join(B_DTYPES)}, got {a_dtype} and {b_dtype}"
        )
    if min(batch, m, n, k) < 0:
        raise ValueError(
            "plan_integer_matmul: expected sizes >= 0, got"
            f" batch={batch} m={m} n={n} k={k}"
        )
    paths = available_paths(features)
    path = path or paths[-1]
    if path not in paths:
        raise ValueError(
            "plan_integer_matmul: expected a path of this processor,"
            f" {', '.join(paths)}; got {path}"
        )
    if shared:
        batch, m = 1, batch * m
    product = _Product(a_dtype == "int8", b_dtype, batch, m, n, k)
    if batch * m * n == 0:
        return Plan((), by_rows=True)
    if m <= SHORT[path]:
        return _plan_strips(choose_tile(path), product)
    if path == "amx":
        return _plan_tiles(product)
    return _plan_dots(choose_tile(path), product)


def _plan_strips(tile: DotTile, p: _Product) -> Plan:
    """Plan a product of few rows, with B read in place."""
    groups = -(-p.k // short.GROUP)
    bytes_each = short.GROUP * 4 // tile.group
    rows, starts = p.m, 0
    if tile.group == 4:
        rows += short.needs_ones(p.a_dtype, p.format)
        starts = p.batch * rows * 4
    # Strips enough for all threads, of equal width.
    most = min(1024, short.SUMS // rows // short.LINE * short.LINE)
    strips = max(-(-p.n // most), min(4, -(-p.n // (4 * short.LINE))))
    strip = -(-p.n // strips)
    strip = -(-strip // short.LINE) * short.LINE
    strips = -(-p.n // strip)
    lines = p.batch * rows
    chunk = split(lines, lines * p.k // 4, 1)
    if tile.group == 4:
        source = short.arrange_source(p.a_dtype, p.format)
        words: tuple[Word, ...] = (In(0), Scratch(0), Scratch(1), p.m, rows, p.k)
        step, row = rows * bytes_each, bytes_each
    else:
        source = line_source(tile, p.a_dtype)
        words = (In(0), Scratch(0), p.k, groups * short.GROUP)
        step, row = bytes_each, groups * bytes_each
    arrange = Step(source, words, 0, lines, chunk)
    a_batch = groups * rows * bytes_each
    product = Step(
        short.strip_source(tile, p.a_dtype, p.format),
        (
            *(Scratch(0), In(1), Out(0), Scratch(1), p.m, rows, p.n, p.k),
            *(a_batch, step, row, p.b_rows * p.n, strip, strips),
        ),
        *(0, p.batch * strips, split(p.batch * strips, p.reading, 1)),
    )
    sizes = (max(64, p.batch * a_batch), max(64, starts))
    return Plan((arrange, product), sizes)


def _plan_tiles(p: _Product) -> Plan:
    """Plan packing B and the product by AMX; of few rows, both at once."""
    tile, panels = choose_tile("amx"), -(-p.n // amx.COLUMNS)
    tiles = -(-p.k // amx.DEPTH)
    if p.m <= medium.MOST_ROWS:
        return _plan_runs(tile, p, tiles, panels)
    steps = tiles * 16
    blocks = max(1, -(-p.k // amx.BLOCK_K))
    block_k = max(1, -(-tiles // blocks)) * amx.DEPTH
    panel_bytes = steps * tile.panel_step
    words: tuple[Word, ...] = (
        *(In(0), Scratch(0), Out(0), p.m, p.n, p.k, p.m * p.k, p.k),
        *(panels * panel_bytes, panel_bytes, p.m * p.n, p.n, block_k),
    )
    units = p.batch * p.m
    chunk = split(units, p.work, amx.ROWS)
    step = Step(amx.tile_source(p.a_dtype), words, 0, units, chunk)
    sizes = (p.panel_bytes(tile, steps),)
    return Plan((_pack(tile, p, steps, panels), step), sizes, by_rows=True)


def _plan_runs(tile: DotTile, p: _Product, tiles: int, panels: int) -> Plan:
    """Plan the product of some dozens of rows by AMX."""
    groups = -(-p.m // 16)
    a_batch = groups * tiles * amx.TILE_BYTES
    units = p.batch * groups
    rows = Step(
        medium.rows_source(),
        (In(0), Scratch(0), p.m, p.k, groups),
        *(0, units, split(units, p.batch * p.m * p.k // 8, 1)),
    )
    run = max(1, min(medium.RUN, panels // 4))
    runs = -(-panels // run)
    units = p.batch * runs
    words: tuple[Word, ...] = (
        *(Scratch(0), In(1), Out(0), p.m, p.n, p.k, a_batch, p.b_rows * p.n),
        *(panels, runs, run),
    )
    source = medium.run_source(tile, p.a_dtype, p.format)
    step = Step(source, words, 0, units, split(units, p.reading, 1))
    return Plan((rows, step), (max(64, p.batch * a_batch),))


def _plan_dots(tile: DotTile, p: _Product) -> Plan:
    """Plan packing and the product by dot products of words."""
    steps, panels = tile.steps(p.k), -(-p.n // tile.columns)
    made, scratch = [_pack(tile, p, steps, panels)], [p.panel_bytes(tile, steps)]
    a_place: Word = In(0)
    starts: Word = 0
    words: tuple[Word, ...]
    biased = p.signed and tile.group == 4
    if biased or tile.group == 2 or p.k % tile.group:
        units = p.batch * p.m
        a_place = Scratch(len(scratch))
        scratch.append(units * steps * 4)
        words = (In(0), a_place, p.k, steps * tile.group)
        source = line_source(tile, p.a_dtype)
        made.append(Step(source, words, 0, units, split(units, units * p.k, 1)))
    if biased:
        units = p.batch * panels
        starts = Scratch(len(scratch))
        scratch.append(units * tile.columns * 4)
        chunk = split(units, units * tile.columns * steps, 1)
        words = (Scratch(0), starts, steps)
        made.append(Step(sums_source(tile), words, 0, units, chunk))
    by_rows = p.by_rows(tile.rows, panels)
    each = p.m if by_rows else panels
    chunk = split(p.batch * each, p.work, tile.rows if by_rows else 1)
    words = (
        *(a_place, Scratch(0), Out(0), starts, p.m, p.n, steps),
        *(p.m * steps * 4, steps * 4),
        *(panels * steps * tile.panel_step, steps * tile.panel_step),
        *(p.m * p.n, p.n, panels * tile.columns, each, int(by_rows)),
    )
    source = product_source(tile, biased=biased)
    made.append(Step(source, words, 0, p.batch * each, chunk))
    return Plan(tuple(made), tuple(scratch), by_rows)


def _pack(tile: DotTile, p: _Product, steps: int, panels: int) -> Step:
    blocks = max(1, -(-steps // _PACK_BLOCK))
    runs = -(-panels // RUN)
    units = p.batch * runs * blocks
    words: tuple[Word, ...] = (
        *(In(1), Scratch(0), p.n, p.k, p.b_rows * p.n, p.n),
        *(panels, runs, steps, blocks, _PACK_BLOCK),
    )
    chunk = split(units, p.batch * panels * steps * tile.columns, 1)
    return Step(pack_source(tile, p.format), words, 0, units, chunk)
