"""Count what a Nest does: bytes moved, scalar operations, iterations."""

from __future__ import annotations

from attrs import frozen

from rxcore.loops.nest import (
    Accumulate,
    Block,
    Extent,
    If,
    Let,
    Load,
    Loop,
    Nest,
    Statement,
    Store,
)
from rxcore.loops.scalar import OPERATIONS

__all__ = ["Work", "estimate", "scalar_cost"]

# One processor spends about as long on a vectorized operation as on this many bytes.
_BYTES_PER_OPERATION = 1.0


@frozen
class Work:
    """What running a piece of a Nest takes.

    Args:
        load_bytes: bytes loaded from buffers (a place read twice counts twice).
        store_bytes: bytes stored to buffers.
        operations: scalar operations, each times its cost.
        iterations: how often bodies of innermost loops run.
    """

    load_bytes: float = 0.0
    store_bytes: float = 0.0
    operations: float = 0.0
    iterations: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.load_bytes + other.load_bytes,
            self.store_bytes + other.store_bytes,
            self.operations + other.operations,
            self.iterations + other.iterations,
        )

    def __mul__(self, times: float) -> Work:
        return Work(
            self.load_bytes * times,
            self.store_bytes * times,
            self.operations * times,
            self.iterations * times,
        )

    @property
    def weight(self) -> float:
        """The work as one number: about the bytes that a thread could stream."""
        moved = self.load_bytes + self.store_bytes
        return moved + self.operations * _BYTES_PER_OPERATION


def estimate(nest: Nest) -> Work:
    """Count the work of a whole Nest.

    A Block counts as the mean over its blocks, so that a blocked Nest counts as the
    one that it was made from. Scratch is free: it stays in the first cache. What may
    or may not run (an If) counts as running.

    Args:
        nest: the Nest, scheduled or not.

    Returns:
        The counts, over all iterations of all loops.

    Example:
        >>> from rxcore.base import dtypes
        >>> from rxcore.loops.nest import Buffer, Index
        >>> x, y = Buffer("x", dtypes.float32, 8), Buffer("y", dtypes.float32, 8, "out")
        >>> at = Index.of("i")
        >>> body = (
        ...     Load("v", dtypes.float32, "x", at),
        ...     Let("w", dtypes.float32, "sqrt", ("v",)),
        ...     Store("y", at, "w"),
        ... )
        >>> estimate(Nest("roots", (x, y), (Loop("i", 8, "parallel", body),)))
        Work(load_bytes=32.0, store_bytes=32.0, operations=48.0, iterations=8.0)
    """
    return _Counter(nest).body(nest.body)


def scalar_cost(body: tuple[Statement, ...]) -> float:
    """Return the cost of one run of a body's own operations (loops count once)."""
    total = 0.0
    for s in body:
        if isinstance(s, Let):
            total += OPERATIONS[s.op].cost
        elif isinstance(s, Accumulate):
            total += 1
        elif isinstance(s, (Loop, If)):
            total += scalar_cost(s.body)
    return total


class _Counter:
    def __init__(self, nest: Nest) -> None:
        self.sizes = {b.name: b.dtype.itemsize for b in nest.buffers}
        self.counts: dict[str, int] = {}

    def body(self, body: tuple[Statement, ...]) -> Work:
        total = Work()
        for s in body:
            total = total + self.statement(s)
        return total

    def statement(self, s: Statement) -> Work:
        match s:
            case Let():
                return Work(operations=OPERATIONS[s.op].cost)
            case Load():
                return Work(load_bytes=self.sizes.get(s.buffer, 0))
            case Store():
                return Work(store_bytes=self.sizes.get(s.buffer, 0))
            case Accumulate():
                return Work(operations=1)
            case If():
                return self.body(s.body)
            case Loop():
                return self.loop(s)

    def loop(self, s: Loop) -> Work:
        if isinstance(s.extent, int):
            self.counts[s.index] = s.extent
        once = self.body(s.body)
        if not any(isinstance(x, Loop) for x in s.body):
            once = once + Work(iterations=1)
        return once * self.extent(s.extent)

    def extent(self, extent: Extent) -> float:
        """Return an extent, of a Block the mean over its blocks."""
        if isinstance(extent, Block):
            return extent.total / max(self.counts.get(extent.loop, 1), 1)
        return extent
