"""Sorting along the last axis: values, and stable orders."""

from __future__ import annotations

from attrs import define, field

from rxcore_kernels import host
from rxcore_kernels.host import Features
from rxcore_kernels.plan import HostStep, In, Out, Plan, Scratch, Step, Word
from rxcore_kernels.sort_host import Offsets, Pivots, SortParts, SortRows
from rxcore_kernels.sort_items import KINDS, Items
from rxcore_kernels.sort_text import (
    BLOCK,
    count_source,
    high_source,
    pack_source,
    part_source,
    repack_source,
    unkey_source,
    unpack_source,
)

__all__ = ["Steps", "begin_steps", "order_steps", "plan_argsort", "plan_sort"]

PARTED = 1 << 17
"""Elements from which a row is parted, so that threads can share it."""

PARTS = 8
"""Parts of a shared row: enough that threads which finish early find more."""

MANY_ROWS = 16
"""Rows from which each row is sorted by one thread."""


@define
class Steps:
    """A plan being written.

    Args:
        rows: number of rows.
        n: elements of a row.
        features: the processor.
    """

    rows: int
    n: int
    features: Features
    steps: list[Step | HostStep] = field(factory=list)
    scratch: list[int] = field(factory=list)

    def lanes(self, width: int) -> int:
        """Return the lanes of a vector of items of `width` bits."""
        return self.features.vector_bits // width

    @property
    def blocks(self) -> int:
        """Blocks of a row."""
        return -(-self.n // BLOCK)

    @property
    def plan(self) -> Plan:
        """The plan as it stands."""
        return Plan(tuple(self.steps), tuple(self.scratch))

    def memory(self, nbytes: int) -> Scratch:
        """Add a scratch buffer."""
        self.scratch.append(nbytes)
        return Scratch(len(self.scratch) - 1)

    def block_chunk(self, n: int) -> int:
        """Return how many blocks make a piece of about `BLOCK` elements."""
        if self.rows * n <= BLOCK:
            return 0
        return max(1, BLOCK // min(n, BLOCK))

    @property
    def row_chunk(self) -> int:
        """How many rows make a piece worth a call to Python."""
        if self.rows == 1 or self.rows * self.n <= BLOCK:
            return 0
        return -(-self.rows // PARTS)

    @property
    def parted(self) -> bool:
        """Whether threads share a row."""
        return self.n >= PARTED and self.rows < MANY_ROWS

    def sort(self, items: Items, x: Word, target: Word) -> None:
        """Append the steps that put sorted items at `target`."""
        if self.parted and items.element.bytes >= 4:
            self._sort_parts(items, x, target)
        else:
            self._sort_rows(items, x, target)

    def _sort_rows(self, items: Items, x: Word, target: Word) -> None:
        if items.form != "plain":
            words = (x, target, self.n, self.blocks, items.shift)
            units = self.rows * self.blocks
            step = Step(pack_source(items), words, 0, units, self.block_chunk(self.n))
            self.steps.append(step)
            x = target
        function = SortRows(items.sorted_dtype, self.rows, self.n)
        chunk = self.row_chunk
        self.steps.append(HostStep(function, (x, target), 0, self.rows, chunk))

    def _sort_parts(self, items: Items, x: Word, target: Word) -> None:
        """Part each row at sampled pivots, then sort the parts."""
        rows, n, blocks, parts = self.rows, self.n, self.blocks, PARTS
        pivots = self.memory(rows * (parts - 1) * items.element.bytes)
        counts = self.memory(rows * blocks * (parts - 1) * 4)
        starts = self.memory(rows * blocks * parts * 8)
        bounds = self.memory(rows * (parts + 1) * 8)
        shape = (n, blocks, items.shift)
        count = count_source(items, parts)
        # Eight lanes are too few for eight compressions.
        compress = self.features.avx512 and items.lanes > parts
        part = part_source(items, parts, compress=compress)
        choose, offsets = Pivots(items, rows, n, parts), Offsets(rows, n, parts)
        sort = SortParts(items.sorted_dtype, rows, n, parts)
        units = rows * blocks
        self.steps += [
            HostStep(choose, (x, pivots), 0, rows, 0),
            Step(count, (x, pivots, counts, *shape), 0, units, 1),
            HostStep(offsets, (counts, starts, bounds), 0, rows, 0),
            Step(part, (x, pivots, starts, target, *shape), 0, units, 1),
            HostStep(sort, (target, bounds), 0, rows * parts, 1),
        ]

    def unpack(
        self,
        items: Items,
        packed: tuple[Word, int],
        x: Word,
        order: Word | None,
        results: tuple[Word | None, Word],
        k: int,
    ) -> None:
        """Append the step that writes the first k elements and indices of each row.

        Args:
            items: what was sorted.
            packed: the sorted items, and how many a row has.
            x: the elements.
            order: what an item's index is a place in, if it is one.
            results: where the elements go, if anywhere, and the indices.
            k: how many of each row.
        """
        values, indices = results
        through = order is not None
        source = unpack_source(items, through=through, values=values is not None)
        low = (1 << items.shift) - 1
        blocks = -(-k // BLOCK)
        # A place that is not used is still an address.
        order = indices if order is None else order
        words = (*packed, order, x, self.n, indices)
        rest = (indices if values is None else values, k, blocks, low)
        units = self.rows * blocks
        chunk = self.block_chunk(k)
        self.steps.append(Step(source, (*words, *rest), 0, units, chunk))


def plan_sort(
    dtype: str, rows: int, n: int, *, features: Features | None = None
) -> Plan:
    """Plan the sorting of rows.

    **Meaning** (input and output of shape (rows, n))::

        out = np.sort(x, axis=-1)

    NaN comes last and loses its payload; -0.0 comes before 0.0.

    Args:
        dtype: NumPy's name of a real dtype, "bool", or "bfloat16".
        rows: number of rows.
        n: elements of a row.
        features: the processor to plan for; the host by default.

    Returns:
        The plan.

    Raises:
        TypeError: the dtype has no kernel.
        ValueError: a size is negative.

    Example:
        >>> import numpy as np
        >>> from rxcore_kernels.plan import run_plan
        >>> x, out = np.array([3, 1, 2], np.float32), np.empty(3, np.float32)
        >>> run_plan(plan_sort("float32", 1, 3), [x], [out])
        >>> out.tolist()
        [1.0, 2.0, 3.0]
    """
    made = begin_steps("plan_sort", dtype, rows, n, features)
    if rows * n == 0:
        return made.plan
    kind = KINDS[dtype]
    items = Items(dtype, "plain", False, made.lanes(kind.width))
    if kind.width > 8 and not kind.infinity:
        made.sort(items, In(0), Out(0))
        return made.plan
    # Floats sort as integers: NumPy's own sort of floats may change a zero's sign. And
    # it sorts 16-bit integers by vectors, but not bytes.
    items = Items(dtype, "key", False, made.lanes(max(16, kind.width)))
    keys: Word = Out(0) if kind.width > 8 else made.memory(rows * n * 2)
    made.sort(items, In(0), keys)
    chunk = BLOCK if rows * n > BLOCK else 0
    step = Step(unkey_source(items), (keys, Out(0)), 0, rows * n, chunk)
    made.steps.append(step)
    return made.plan


def plan_argsort(
    dtype: str,
    rows: int,
    n: int,
    *,
    stable: bool = True,
    descending: bool = False,
    with_values: bool = False,
    features: Features | None = None,
) -> Plan:
    """Plan the order of the elements of rows.

    **Meaning** (input (rows, n), int32 output (rows, n))::

        indices = np.argsort(x, axis=-1, stable=True)

    NaN is the largest value and -0.0 equals 0.0. With `descending` the largest comes
    first; equal elements keep their order all the same.

    Args:
        dtype: NumPy's name of a real dtype, "bool", or "bfloat16".
        rows: number of rows.
        n: elements of a row, below 2**31.
        stable: whether equal elements keep their order; they always do.
        descending: largest first.
        with_values: whether output 0 is the sorted elements and output 1 the indices;
            else the indices are output 0.
        features: the processor to plan for; the host by default.

    Returns:
        The plan.

    Raises:
        TypeError: the dtype has no kernel.
        ValueError: a size is negative or too large.

    Example:
        >>> import numpy as np
        >>> from rxcore_kernels.plan import run_plan
        >>> x, out = np.array([3, 1, 2], np.float32), np.empty(3, np.int32)
        >>> run_plan(plan_argsort("float32", 1, 3), [x], [out])
        >>> out.tolist()
        [1, 2, 0]
    """
    del stable
    made = begin_steps("plan_argsort", dtype, rows, n, features)
    if rows * n:
        values = Out(0) if with_values else None
        results = (values, Out(int(with_values)))
        order_steps(made, dtype, In(0), n, results, descending=descending)
    return made.plan


def order_steps(
    made: Steps,
    dtype: str,
    x: Word,
    k: int,
    results: tuple[Word | None, Word],
    *,
    descending: bool,
) -> None:
    """Append the steps for the first k elements and indices in each row's order."""
    size = made.rows * made.n
    items = choose_items(made, dtype, descending)
    packed = made.memory(size * items.element.bytes)
    made.sort(items, x, packed)
    if items.form != "low":
        made.unpack(items, (packed, made.n), x, None, results, k)
        return
    # Two stable passes: by the low halves of the keys, then by the high ones.
    order, high = made.memory(size * 4), made.memory(size * 4)
    made.unpack(items, (packed, made.n), x, None, (None, order), made.n)
    chunk = BLOCK if size > BLOCK else 0
    made.steps.append(Step(high_source(items), (x, high), 0, size, chunk))
    words = (high, order, packed, made.n, made.blocks)
    units, source = made.rows * made.blocks, repack_source(items.lanes)
    made.steps.append(Step(source, words, 0, units, made.block_chunk(made.n)))
    target = made.memory(size * 8) if made.parted else packed
    made.sort(Items("uint64", "plain", False, items.lanes), packed, target)
    made.unpack(items, (target, made.n), x, order, results, k)


def choose_items(made: Steps, dtype: str, descending: bool) -> Items:
    """Return the smallest items that hold a key and an index."""
    width, index = KINDS[dtype].width, max(1, (made.n - 1).bit_length())
    if width + index <= 32:
        return Items(dtype, "small", descending, made.lanes(32), index)
    form = "wide" if width <= 32 else "low"
    return Items(dtype, form, descending, made.lanes(64))


def begin_steps(
    call: str, dtype: str, rows: int, n: int, features: Features | None
) -> Steps:
    """Check the arguments of a public call and begin its plan."""
    if dtype not in KINDS:
        known = ", ".join(KINDS)
        raise TypeError(f"{call}: expected dtype to be one of {known}, got {dtype!r}")
    if rows < 0 or not 0 <= n < 1 << 31:
        raise ValueError(
            f"{call}: expected rows >= 0 and 0 <= n < 2**31, got rows={rows} n={n}"
        )
    return Steps(rows, n, features or host.features())
