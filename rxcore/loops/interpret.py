"""Interpret a Nest one statement at a time: the meaning of the loop language.

Every emitter is tested against this. It is slow (some 100,000 statements a second)
and checks each access against the bounds of its memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import define, field

from rxcore.base.dtypes import DType
from rxcore.base.errors import InternalError
from rxcore.loops.grid import grid_extent, grid_loop
from rxcore.loops.nest import (
    Accumulate,
    Accumulator,
    Block,
    Buffer,
    Constant,
    Extent,
    If,
    Index,
    Let,
    Load,
    Loop,
    Nest,
    Number,
    Operand,
    Size,
    Statement,
    Store,
)
from rxcore.loops.scalar import OPERATIONS

__all__ = ["interpret"]

Memory = np.ndarray[Any, np.dtype[Any]]


def interpret(
    nest: Nest,
    memories: Mapping[str, Memory],
    lo: int | None = None,
    hi: int | None = None,
) -> None:
    """Run a verified Nest on flat arrays, in place.

    Args:
        nest: the Nest.
        memories: for each buffer's name a flat array of its dtype and size.
        lo: the first unit of the outermost independent loop; 0 when not given.
        hi: one past its last unit; all of them when not given.

    Raises:
        InternalError: when a memory does not fit its buffer, or an access lies
            outside.

    Example:
        >>> from rxcore.base import dtypes
        >>> from rxcore.loops.nest import Buffer, Index, Let, Load, Loop, Nest, Store
        >>> x = Buffer("x", dtypes.float32, 3, "inout")
        >>> at = Index.of("i")
        >>> body = (
        ...     Load("v", dtypes.float32, "x", at),
        ...     Let("w", dtypes.float32, "add", ("v", "v")),
        ...     Store("x", at, "w"),
        ... )
        >>> data = np.float32([1, 2, 3])
        >>> interpret(Nest("twice", (x,), (Loop("i", 3, "lane", body),)), {"x": data})
        >>> data
        array([2., 4., 6.], dtype=float32)
    """
    for buffer in nest.buffers:
        _check_memory(nest, buffer, memories)
    scratch = {s.name: np.zeros(s.size, s.dtype) for s in nest.scratch}
    last = grid_extent(nest) if hi is None else hi
    run = _Run(nest, {**memories, **scratch}, grid_loop(nest), (lo or 0, last))
    with np.errstate(all="ignore"):
        run.body(nest.body)


def _check_memory(nest: Nest, buffer: Buffer, memories: Mapping[str, Memory]) -> None:
    found = memories[buffer.name]
    if found.dtype != buffer.dtype or found.shape != (buffer.size,):
        raise InternalError(
            f"memory {buffer.name!r} of nest {nest.name}: expected "
            f"{buffer.dtype}[{buffer.size}], got {found.dtype}{list(found.shape)}"
        )


@define
class _Run:
    nest: Nest
    memories: Mapping[str, Memory]
    grid: Loop | None
    piece: tuple[int, int]
    values: dict[str, Any] = field(factory=dict)
    # An accumulator's name reads as its value at the start of the iteration; what
    # has joined it since is kept here.
    running: dict[str, Any] = field(factory=dict)
    combines: dict[str, Accumulator] = field(factory=dict)

    def operand(self, operand: Operand) -> Any:
        match operand:
            case Constant() | Number():
                return np.asarray(operand.value).astype(operand.dtype)[()]
            case Size():
                return np.int64(operand.value)
        return self.values[operand]

    def element(self, memory: str, index: Index) -> int:
        at = index.constant + sum(c * int(self.values[n]) for n, c in index.terms)
        size = self.memories[memory].size
        if not 0 <= at < size:
            shown = {n: int(self.values[n]) for n in index.names()}
            raise InternalError(
                f"access outside of memory: {memory}[{at}], which holds {size} "
                f"elements, at {shown}\n{self.nest}"
            )
        return at

    def body(self, body: tuple[Statement, ...]) -> None:
        for s in body:
            match s:
                case Let():
                    found = [self.operand(o) for o in s.operands]
                    self.values[s.name] = apply(s.op, s.dtype, found)
                case Load():
                    at = self.element(s.buffer, s.index)
                    self.values[s.name] = self.memories[s.buffer][at]
                case Store():
                    at = self.element(s.buffer, s.index)
                    self.memories[s.buffer][at] = self.operand(s.operand)
                case Accumulate():
                    self.accumulate(s)
                case If():
                    if self.operand(s.condition):
                        self.body(s.body)
                case Loop():
                    self.loop(s)

    def accumulate(self, s: Accumulate) -> None:
        accumulator = self.combines[s.name]
        value = self.operand(s.operand)
        if accumulator.combine != "replace":
            pair = [self.running[s.name], value]
            value = apply(accumulator.combine, accumulator.dtype, pair)
        self.running[s.name] = value

    def loop(self, s: Loop) -> None:
        first, last = 0, 0
        if s is self.grid:
            first, last = self.piece
        else:
            last = self.extent(s.extent)
        for a in s.accumulators:
            self.combines[a.name] = a
            self.running[a.name] = self.operand(a.initial)
        for i in range(first, last):
            self.values[s.index] = np.int64(i)
            for a in s.accumulators:
                self.values[a.name] = self.running[a.name]
            self.body(s.body)
        for a in s.accumulators:
            self.values[a.name] = self.running.pop(a.name)

    def extent(self, extent: Extent) -> int:
        if isinstance(extent, Block):
            done = extent.size * int(self.values[extent.loop])
            return min(extent.size, extent.total - done)
        return extent


def apply(op: str, dtype: DType, operands: list[Any]) -> Any:
    """Compute one scalar operation on NumPy scalars, as `scalar.OPERATIONS` says."""
    meaning = OPERATIONS[op].meaning
    if op in ("cast", "bitcast"):
        return np.asarray(meaning(operands[0], dtype))[()]
    return np.asarray(meaning(*operands), dtype)[()]
