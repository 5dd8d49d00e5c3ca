"""What is sorted: elements themselves, or unsigned integers made of them.

An element's key is an unsigned integer of the same width in the same order; -0.0 and
0.0 share one, and all NaNs share the largest. A key with the element's index in the low
bits is an item: sorting items sorts the keys stably, with any algorithm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen

from rxcore_kernels.text import (
    I8,
    I16,
    I32,
    I64,
    Type,
    Value,
    Writer,
)

__all__ = ["KINDS", "Items", "Kind", "key_bits", "keys"]

Array = np.ndarray[Any, np.dtype[Any]]


@frozen
class Kind:
    """How a dtype's bits are ordered.

    Args:
        bits: type of the bits.
        signed: whether the first bit is a sign.
        infinity: the bits of infinity, 0 for integers.
    """

    bits: Type
    signed: bool
    infinity: int = 0

    @property
    def width(self) -> int:
        """Number of bits."""
        return self.bits.bytes * 8

    @property
    def sign(self) -> int:
        """The sign bit, as LLVM prints it."""
        return -(1 << (self.width - 1))


KINDS = {
    "bool": Kind(I8, False),
    "uint8": Kind(I8, False),
    "uint16": Kind(I16, False),
    "uint32": Kind(I32, False),
    "uint64": Kind(I64, False),
    "int8": Kind(I8, True),
    "int16": Kind(I16, True),
    "int32": Kind(I32, True),
    "int64": Kind(I64, True),
    "float16": Kind(I16, True, 0x7C00),
    "bfloat16": Kind(I16, True, 0x7F80),
    "float32": Kind(I32, True, 0x7F800000),
    "float64": Kind(I64, True, 0x7FF0000000000000),
}


def key_bits(w: Writer, dtype: str, bits: Value, *, merge: bool = True) -> Value:
    """Return the keys of elements given as bits.

    Args:
        w: the writer.
        dtype: NumPy's name of the dtype.
        bits: the elements as integers.
        merge: whether -0.0 and 0.0 share a key; else -0.0 comes first.
    """
    kind = KINDS[dtype]
    if not kind.infinity:
        return bits ^ kind.sign if kind.signed else bits
    size = bits & ~kind.sign
    ordered = bits
    if merge:
        ordered = w.select(size.equals(0), size, bits)
    ordered = ordered ^ ((ordered >> (kind.width - 1)) | kind.sign)
    return w.select(size > kind.infinity, w.value(bits.type, -1), ordered)


def keys(dtype: str, values: Array) -> Array:
    """Return the keys of elements as unsigned integers of their width."""
    kind = KINDS[dtype]
    unsigned = np.dtype(f"u{kind.bits.bytes}")
    bits = values.view(unsigned)
    sign = unsigned.type(1 << (kind.width - 1))
    if not kind.infinity:
        return bits ^ sign if kind.signed else bits
    size = bits & ~sign
    flip = np.where(bits >= sign, ~unsigned.type(0), sign)
    ordered = np.where(size == 0, sign, bits ^ flip)
    nan = size > unsigned.type(kind.infinity)
    made: Array = np.where(nan, ~unsigned.type(0), ordered)
    return made


@frozen
class Items:
    """What is sorted.

    Args:
        dtype: NumPy's name of the dtype of the elements.
        form: "plain": the elements, which are integers. "key": keys, in 16 bits at
            least, -0.0 before 0.0. "small": key and index in 32 bits. "wide": key and
            index in 64. "low": the low half of a 64-bit key, and the index.
        descending: whether the largest key comes first.
        lanes: elements of a vector.
        shift: bits of an index in a small item.
    """

    dtype: str
    form: str
    descending: bool
    lanes: int
    shift: int = 32

    @property
    def sorted_dtype(self) -> str:
        """The dtype that is sorted."""
        if self.form == "plain":
            return self.dtype
        if self.form == "key":
            return f"uint{max(16, KINDS[self.dtype].width)}"
        return "uint32" if self.form == "small" else "uint64"

    @property
    def element(self) -> Type:
        """The type of an item."""
        return KINDS[self.sorted_dtype].bits

    @property
    def vector(self) -> Type:
        """The type of a vector of items."""
        return self.element.by(self.lanes)

    @property
    def bytes(self) -> int:
        """Bytes of an element of the input."""
        return KINDS[self.dtype].bits.bytes

    @property
    def name(self) -> str:
        """A suffix for symbols."""
        way = "_descending" if self.descending else ""
        return f"{self.form}_{self.dtype}x{self.lanes}{way}"

    def less(self, a: Value, b: Value) -> Value:
        """Compare items."""
        signed = KINDS[self.sorted_dtype].signed
        return a.writer.compare("slt" if signed else "ult", a, b)

    def keys_of(self, element: Value) -> Value:
        """Return the keys of a vector of elements, in the order asked for."""
        merge = self.form != "key"
        key = key_bits(element.writer, self.dtype, element, merge=merge)
        return ~key if self.descending else key

    def load(
        self, x: Value, row: Value, at: Value, shift: Value, mask: Value | None
    ) -> Value:
        """Make a vector of items.

        Args:
            x: address of the elements.
            row: where the row starts, in elements.
            at: the vector's first element, in the row.
            shift: bits of an index in a small item.
            mask: the lanes that are there.
        """
        w = x.writer
        if self.form == "plain":
            return w.load(self.vector, x, row + at, mask=mask)
        bits = KINDS[self.dtype].bits.by(self.lanes)
        key = self.keys_of(w.load(bits, x, row + at, mask=mask))
        if self.form == "key":
            return self._cast("zext", key, self.element)
        if self.form == "small":
            index = w.broadcast(w.cast("trunc", at, I32), self.lanes)
            index = index + w.lanes(I32.by(self.lanes))
            moved = self._cast("zext", key, I32) << w.cast("trunc", shift, I32)
            return moved | index
        return self.pack(key, at)

    def pack(self, key: Value, at: Value) -> Value:
        """Return 64-bit items of keys and of indices from `at` on."""
        w = key.writer
        index = w.broadcast(at, self.lanes) + w.lanes(I64.by(self.lanes))
        return self._cast("zext", key, I64) << 32 | index

    def _cast(self, op: str, value: Value, element: Type) -> Value:
        if value.type.element == element:
            return value
        return value.writer.cast(op, value, element.by(self.lanes))

    def sample(self, x: Array, places: Array) -> Array:
        """Make the items at some places of each row, as `load` makes them.

        Args:
            x: the elements, by rows; as unsigned integers unless the form is "plain".
            places: indices in a row.
        """
        found = x[:, places]
        if self.form == "plain":
            return found
        key = keys(self.dtype, found)
        key = ~key if self.descending else key
        if self.form == "key":
            return key.astype(self.sorted_dtype)
        if self.form == "small":
            made: Array = key.astype(np.uint32) << np.uint32(self.shift)
            return made | places.astype(np.uint32)
        made = key.astype(np.uint64) << np.uint64(32)
        return made | places.astype(np.uint64)
