"""Matrix products of floating-point arrays with any strides, on OpenCL devices.

Small cards differ in what they like, so there is no single tile: `choose` takes one by
the device's facts and the sizes. A sum over k that would leave the device idle is
split, and its parts are added in order: results depend on the device, not on chance.
"""

from __future__ import annotations

import math

from attrs import evolve, frozen

from rxcore_kernels.launch import (
    In,
    Launch,
    LaunchPlan,
    OpenCLSource,
    Out,
    Scalar,
    Scratch,
)
from rxcore_kernels.matmul_opencl_text import (
    ELEMENT_BYTES,
    GROUP,
    Blocks,
    Panels,
    direct_source,
    dots_source,
    pack_source,
    panel_source,
    sum_source,
    tile_source,
)
from rxcore_kernels.opencl_facts import Facts

__all__ = ["plan_opencl"]

DIRECT_DEPTH = 8
"""Steps of k up to which a tile would mostly wait."""

DIRECT_TILE = 256
"""Elements of C up to which a tile would mostly be empty."""

PANEL_WORK = 1 << 18
"""Multiply-adds from which a CPU packs its operands."""

SPLIT_TILE = 64
SPLIT_DOTS = 1024
"""The fewest steps of k in a part, for a work-item and for a work-group."""

LARGE_UNITS = 16
"""Compute units from which a card is large."""

Memory = In | Out | Scratch


@frozen
class Product:
    """One batched product, strides in elements."""

    dtype: str
    batch: int
    m: int
    n: int
    k: int
    a: tuple[int, int, int]
    b: tuple[int, int, int]
    c: tuple[int, int]

    @property
    def work(self) -> int:
        """Multiply-adds."""
        return self.batch * self.m * self.n * self.k

    @property
    def size(self) -> int:
        """Elements of the result."""
        return self.batch * self.m * self.n

    @property
    def wide(self) -> bool:
        """Whether places in one matrix of an operand need 64 bits."""
        spans = (
            _span((self.m, self.a[1]), (self.k, self.a[2])),
            _span((self.k, self.b[1]), (self.n, self.b[2])),
            _span((self.m, self.c[1]), (self.n, 1)),
        )
        return max(spans) >= 1 << 31

    @property
    def nbytes(self) -> int:
        """Bytes of the operands, what is broadcast once, and of the result."""
        a = _distinct((self.batch, self.m, self.k), self.a)
        b = _distinct((self.batch, self.k, self.n), self.b)
        return (a + b + self.size) * ELEMENT_BYTES[self.dtype]


def _span(*axes: tuple[int, int]) -> int:
    return 1 + sum((size - 1) * abs(stride) for size, stride in axes)


def _distinct(sizes: tuple[int, int, int], strides: tuple[int, int, int]) -> int:
    return math.prod(n for n, step in zip(sizes, strides, strict=True) if step)


def plan_opencl(
    facts: Facts,
    dtype: str,
    batch: int,
    m: int,
    n: int,
    k: int,
    a_strides: tuple[int, int, int],
    b_strides: tuple[int, int, int],
    c_strides: tuple[int, int],
) -> LaunchPlan | None:
    """Plan C = A @ B for a batch of matrices on an OpenCL device.

    **Meaning** (inputs A, B; output C)::

        C[s, i, j] = sum(A[s, i, l] * B[s, l, j] for l in range(k))

    The sum over k is taken in one fixed order for given sizes and facts.

    Args:
        facts: the device to plan for.
        dtype: "float32" or "float64".
        batch: number of matrices.
        m: rows of A and C.
        n: columns of B and C.
        k: columns of A, rows of B; 0 gives zeros.
        a_strides: element strides of A by (batch, row, k); 0 broadcasts.
        b_strides: element strides of B by (batch, k, column).
        c_strides: element strides of C by (batch, row); its columns are contiguous.

    Returns:
        The launches, or None where the device has no kernel for the dtype.

    Raises:
        ValueError: a size is negative.

    Example:
        >>> facts = Facts()
        >>> plan = plan_opencl(
        ...     facts, "float32", 1, 300, 40, 70, (0, 70, 1), (0, 40, 1), (0, 40)
        ... )
        >>> [launch.shape for launch in plan.launches]
        ['matmul']
        >>> plan_opencl(facts, "float64", 1, 1, 1, 1, (0, 1, 1), (0, 1, 1), (0, 1))
    """
    if min(batch, m, n, k) < 0:
        raise ValueError(
            f"plan_opencl: expected sizes >= 0, got batch={batch} m={m} n={n} k={k}"
        )
    if not has_kernel(facts, dtype):
        return None
    product = merge(Product(dtype, batch, m, n, k, a_strides, b_strides, c_strides))
    if product.size == 0:
        return LaunchPlan(())
    if _likes_dots(product):
        return _plan_dots(facts, product)
    small = product.k <= DIRECT_DEPTH or product.m * product.n <= DIRECT_TILE
    if facts.kind == "cpu" and not small and product.work >= PANEL_WORK:
        found = _plan_panels(facts, product)
        if found is not None:
            return found
    blocks = choose(facts, product)
    if blocks is None or small or min(product.m, product.n) == 1:
        return _plan_direct(facts, product)
    return _plan_tiles(facts, product, blocks)


def has_kernel(facts: Facts, dtype: str) -> bool:
    """Whether the device computes with a dtype in groups of the usual size."""
    if dtype not in ELEMENT_BYTES or min(facts.max_group, facts.max_item[0]) < GROUP:
        return False
    return dtype != "float64" or facts.fp64


def merge(p: Product) -> Product:
    """Make one tall matrix of a batch that shares B."""
    follows = p.a[0] == p.m * p.a[1] and p.c[0] == p.m * p.c[1]
    if p.batch == 1 or p.b[0] or not (follows or p.m == 1):
        return p
    a, c = (p.a, p.c) if p.m > 1 else ((0, p.a[0], p.a[2]), (0, p.c[0]))
    return evolve(p, batch=1, m=p.batch * p.m, a=a, c=c)


def _likes_dots(p: Product) -> bool:
    """Whether C is a vector whose elements are sums along contiguous lines."""
    lines = (p.n == 1 and p.a[2] == 1) or (p.m == 1 and p.b[1] == 1)
    return lines and p.k >= 2 * GROUP


# tiles -------------------------------------------------------------------------------


def choose(facts: Facts, p: Product) -> Blocks | None:
    """Return the tile for a product, None where none fits the device.

    The small one is for results that are small or thin, the large one (best on large
    cards) for results that keep every unit busy even so. Where local memory is no
    memory of its own barriers are dear, as the sums are put away at each: fewer,
    longer vectors help there and a large group does not.
    """
    real = facts.local_is_real
    width, pad = (4, 4) if real else (8, 0)
    usual = Blocks(64, 64, 16, 8, 8, width, pad)
    large = Blocks(128, 128, 16, 8, 8, 4, 4)
    small = Blocks(32, 32, 16, 2, 4, 4, 4 if real else 0)
    if not real or facts.max_group < small.group:
        small = Blocks(32, 32, 16, 4, 4, 4, 4 if real else 0)
    order = [usual, small]
    if min(p.m, p.n) <= 32 or _groups(p, usual) < facts.units:
        order = [small, usual]
    elif real and _keeps_busy(facts, p, large, usual):
        order = [large, usual, small]
    return next((t for t in order if fits(facts, t, p.dtype)), None)


def _keeps_busy(facts: Facts, p: Product, large: Blocks, usual: Blocks) -> bool:
    """Whether a large card has enough large tiles, and few are mostly empty."""
    groups = _groups(p, large)
    enough = groups >= 4 * facts.units and facts.units >= LARGE_UNITS
    return enough and 3.5 * groups <= _groups(p, usual)


def fits(facts: Facts, t: Blocks, dtype: str) -> bool:
    """Whether a device has room for a tile."""
    limit = min(facts.max_group, facts.max_item[0])
    return t.group <= limit and t.local_bytes(dtype) <= facts.local_bytes


def _groups(p: Product, t: Blocks) -> int:
    return p.batch * -(-p.m // t.rows) * -(-p.n // t.columns)


def _plan_tiles(facts: Facts, p: Product, t: Blocks) -> LaunchPlan:
    groups = _groups(p, t)
    parts, depth = split(facts, p, groups, 2 * facts.units, SPLIT_TILE, t.depth)
    target, c_strides = _target(p, parts)
    source = tile_source(t, p.dtype, p.a[2] == 1, p.b[1] == 1 != p.b[2], p.wide)
    sizes = (p.m, p.n, p.k, -(-p.m // t.rows), -(-p.n // t.columns), p.batch, depth)
    far = (p.a[0], p.b[0], c_strides[0], c_strides[2])
    near = (*p.a[1:], *p.b[1:], c_strides[1])
    return _finish(p, source, target, (*sizes, *far, *near), parts * groups, parts)


def split(
    facts: Facts, p: Product, groups: int, wanted: int, least: int, multiple: int
) -> tuple[int, int]:
    """Cut k into parts where a device would have too few groups.

    Args:
        facts: the device.
        p: the product; its parts must fit a buffer.
        groups: how many groups there are without.
        wanted: how many there should be.
        least: the fewest steps of k in a part.
        multiple: what a part is a multiple of.

    Returns:
        The number of parts and the steps of each.
    """
    room = facts.max_alloc // (p.size * ELEMENT_BYTES[p.dtype])
    parts = max(1, min(-(-wanted // groups), p.k // least, room))
    if parts == 1:
        return 1, max(p.k, 1)
    depth = -(-p.k // parts)
    depth = -(-depth // multiple) * multiple
    return -(-p.k // depth), depth


def _target(p: Product, parts: int) -> tuple[Memory, tuple[int, int, int]]:
    """Return where a product goes, and its strides by (batch, row, part)."""
    if parts == 1:
        return Out(0), (*p.c, 0)
    return Scratch(0), (p.m * p.n, p.n, p.size)


def _finish(
    p: Product,
    source: OpenCLSource,
    target: Memory,
    scalars: tuple[Scalar, ...],
    groups: int,
    parts: int,
) -> LaunchPlan:
    """Make the plan of a product, and of the sum of its parts."""
    each = ELEMENT_BYTES[p.dtype]
    product = Launch(
        source,
        (In(0), In(1), target),
        (each,) * 3,
        scalars,
        (groups, 1, 1),
        "matmul",
        2.0 * p.work,
        p.nbytes + (parts - 1) * p.size * each,
    )
    if parts == 1:
        return LaunchPlan((product,))
    total = sum_launch(p.dtype, parts, (p.batch, p.m, p.n), p.c)
    return LaunchPlan((product, total), (parts * p.size * each,))


def sum_launch(
    dtype: str, parts: int, sizes: tuple[int, int, int], strides: tuple[int, int]
) -> Launch:
    """Return the launch that adds the parts in `Scratch(0)` into `Out(0)`."""
    size, each = math.prod(sizes), ELEMENT_BYTES[dtype]
    return Launch(
        sum_source(dtype),
        (Scratch(0), Out(0)),
        (each, each),
        (parts, *sizes[1:], size, *strides),
        (-(-size // GROUP), 1, 1),
        "elementwise",
        float(parts * size),
        (parts + 1.0) * size * each,
    )


# without tiles -----------------------------------------------------------------------


def _plan_direct(facts: Facts, p: Product) -> LaunchPlan:
    groups = -(-p.size // GROUP)
    parts, depth = split(facts, p, groups, 8 * facts.units, SPLIT_TILE, 1)
    target, c_strides = _target(p, parts)
    scalars = (p.m, p.n, p.k, p.batch, depth, groups, *p.a, *p.b, *c_strides)
    return _finish(p, direct_source(p.dtype), target, scalars, parts * groups, parts)


def _plan_dots(facts: Facts, p: Product) -> LaunchPlan:
    parts, depth = split(facts, p, p.size, 8 * facts.units, SPLIT_DOTS, GROUP)
    target, c_strides = _target(p, parts)
    scalars = (p.m, p.n, p.k, p.batch, depth, *p.a, *p.b, *c_strides)
    return _finish(p, dots_source(p.dtype), target, scalars, parts * p.size, parts)


# on a CPU ----------------------------------------------------------------------------


def _plan_panels(facts: Facts, p: Product) -> LaunchPlan | None:
    """Plan packed operands and one work-item per block of C, None if too large."""
    t = Panels(8, 2, 64 // ELEMENT_BYTES[p.dtype], 256)
    each = ELEMENT_BYTES[p.dtype]
    a_size = -(-p.m // t.rows) * t.rows * p.k
    b_size = -(-p.n // t.columns) * t.columns * p.k
    a_count, b_count = (p.batch if strides[0] else 1 for strides in (p.a, p.b))
    scratch = (a_count * a_size * each, b_count * b_size * each)
    if max(scratch) > facts.max_alloc:
        return None
    a_strides = (p.a[0], p.a[1], p.a[2], a_size)
    b_strides = (p.b[0], p.b[2], p.b[1], b_size)
    rows, columns = _block(facts, p, t)
    blocks = (-(-p.m // rows), -(-p.n // columns))
    batches = (a_size if p.a[0] else 0, b_size if p.b[0] else 0)
    product = Launch(
        panel_source(t, p.dtype),
        (Scratch(0), Scratch(1), Out(0)),
        (each,) * 3,
        (p.m, p.n, p.k, *blocks, rows, columns, *batches, *p.c),
        (p.batch * math.prod(blocks), 1, 1),
        "matmul",
        2.0 * p.work,
        p.nbytes,
    )
    packs = (
        _pack(p, 0, t.rows, p.m, a_count, a_strides),
        _pack(p, 1, t.columns, p.n, b_count, b_strides),
    )
    return LaunchPlan((*packs, product), scratch)


def _block(facts: Facts, p: Product, t: Panels) -> tuple[int, int]:
    """Return the rows and columns of a block of C: smaller where units would idle."""
    rows, columns = 128, 256
    while p.batch * -(-p.m // rows) * -(-p.n // columns) < 2 * facts.units:
        if columns > t.columns and columns >= rows:
            columns //= 2
        elif rows > t.rows:
            rows //= 2
        else:
            break
    return rows, columns


def _pack(
    p: Product,
    which: int,
    lines: int,
    size: int,
    count: int,
    strides: tuple[int, int, int, int],
) -> Launch:
    panels, depth = -(-size // lines), 256
    pieces = -(-p.k // depth)
    each = ELEMENT_BYTES[p.dtype]
    return Launch(
        pack_source(p.dtype, lines),
        (In(which), Scratch(which)),
        (each, each),
        (size, p.k, panels, depth, pieces, *strides),
        (count * panels * pieces, 1, 1),
        "transposed",
        0.0,
        2.0 * count * panels * lines * p.k * each,
    )
