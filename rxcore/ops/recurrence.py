"""The loops of a running value: a carry that is replaced and stored at each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import frozen

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.compiler.address import strides_of
from rxcore.compiler.writer import Writer
from rxcore.ir.types import Type
from rxcore.loops import scalar
from rxcore.loops.nest import Accumulator, Buffer, Constant, Index, Nest
from rxcore.loops.scalar import Term

__all__: list[str] = []

Step = Callable[..., Term]


def lowest(dtype: DType) -> Any:
    """Return the smallest number of a dtype."""
    return int(np.iinfo(dtype).min) if dtypes.is_integer(dtype) else -math.inf


def highest(dtype: DType) -> Any:
    """Return the largest number of a dtype."""
    return int(np.iinfo(dtype).max) if dtypes.is_integer(dtype) else math.inf


@frozen
class Keys:
    """Integers in the order of floats: one cycle to compare, where NaN takes many.

    Args:
        nan: the key of every NaN, as an offset from the lowest (0) or highest (-1).
    """

    nan: int

    def dtype(self, wide: DType) -> DType:
        """Return the dtype of the keys of a dtype."""
        if not dtypes.is_float(wide):
            return wide
        return dtypes.int64 if wide == dtypes.float64 else dtypes.int32

    def _flip(self, bits: Term) -> Term:
        # Magnitudes of negative numbers count downwards.
        top = bits.dtype.itemsize * 8 - 1
        return bits ^ ((bits >> top) & ((1 << top) - 1))

    def encode(self, x: Term) -> Term:
        """Return the key of an element."""
        if not dtypes.is_float(x.dtype):
            return x
        key = self._flip(scalar.bitcast(x, self.dtype(x.dtype)))
        end = highest(key.dtype) if self.nan else lowest(key.dtype)
        return scalar.select(x != x, key.constant(end), key)

    def decode(self, key: Term, wide: DType) -> Term:
        """Return the element of a key: the ends are the bits of a NaN."""
        if not dtypes.is_float(wide):
            return key
        return scalar.bitcast(self._flip(key), wide)


def recurrence(
    name: str,
    types: Sequence[Type],
    axis: int,
    reverse: bool,
    initial: Callable[[DType], Any],
    step: Step,
    keys: Keys | None = None,
) -> Nest:
    """Write the Nest of a running value: `carry = step(first, carry, *elements)`.

    The carry is an accumulator that is replaced and stored at each step; halves carry
    float32. With `keys`, it carries the elements' keys instead.
    """
    shape, dtype = types[0].shape, types[0].dtype
    wide = dtypes.float32 if dtype in dtypes.HALVES else dtype
    held = keys.dtype(wide) if keys else wide
    writer = Writer()
    buffers = [Buffer(f"in{k}", dtype, t.size, "in") for k, t in enumerate(types)]
    strides = strides_of(shape)

    def along(offset: Index, others: Sequence[int]) -> None:
        if others:
            with writer.loop(shape[others[0]], "parallel") as i:
                along(offset + Index.of(i, strides[others[0]]), others[1:])
            return
        carry = writer.fresh("carry")
        start = Constant(initial(held), held)
        carries = (Accumulator(carry, held, "replace", start),)
        with writer.loop(shape[axis], "serial", carries) as k:
            way = Index.of(k, -strides[axis] if reverse else strides[axis])
            last = (shape[axis] - 1) * strides[axis] if reverse else 0
            at = offset + way + last
            first = Term(writer, k, dtypes.int64) == 0
            read = [scalar.cast(writer.load(b.name, dtype, at), wide) for b in buffers]
            if keys:
                read = [keys.encode(x) for x in read]
            value = step(first, Term(writer, carry, held), *read)
            writer.accumulate(carry, value)
            shown = keys.decode(value, wide) if keys else value
            writer.store("out0", at, scalar.cast(shown, dtype))

    along(Index(), [i for i in range(len(shape)) if i != axis])
    out = Buffer("out0", dtype, types[0].size, "out")
    return Nest(name, (*buffers, out), writer.body())
