"""The loops of a scatter: start the result, then join one update after the other."""

from __future__ import annotations

from collections.abc import Sequence

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.compiler.address import strides_of
from rxcore.ir.types import Type
from rxcore.loops.nest import (
    Buffer,
    Constant,
    If,
    Index,
    Let,
    Load,
    Loop,
    Nest,
    Operand,
    Size,
    Statement,
    Store,
)
from rxcore.ops.gather import kept_axes

__all__: list[str] = []


class Body:
    """Statements under construction, with fresh names."""

    def __init__(self) -> None:
        self.count = 0
        self.statements: list[Statement] = []

    def name(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def let(self, dtype: DType, op: str, *operands: Operand) -> str:
        name = self.name()
        self.statements.append(Let(name, dtype, op, operands))
        return name

    def load(self, buffer: str, dtype: DType, index: Index) -> str:
        name = self.name()
        self.statements.append(Load(name, dtype, buffer, index))
        return name

    def take(self) -> tuple[Statement, ...]:
        found, self.statements = tuple(self.statements), []
        return found


def _offset(names: Sequence[str], shape: Sequence[int], chosen: Sequence[int]) -> Index:
    """Return the flat index of a dense shape whose axes `chosen` run over names."""
    strides = strides_of(shape)
    total = Index()
    for name, axis in zip(names, chosen, strict=True):
        total = total + Index.of(name, strides[axis])
    return total


def joining_nest(
    body: Body,
    start: Loop,
    types: Sequence[Type],
    out: Type,
    first: int,
    axes: tuple[int, ...],
    place: int,
    combine: str,
    mode: str,
) -> Nest:
    """Follow the loop that starts the result by one that joins the updates to it.

    `first` is the number of the updates' operand; the indices follow it.
    """
    updates, indices = types[first], types[first + 1 :]
    buffers = (
        *(Buffer(f"in{k}", t.dtype, t.size) for k, t in enumerate(types)),
        Buffer("out0", out.dtype, out.size, "inout"),
    )
    if not updates.size or any(out.shape[a] == 0 for a in axes):
        return Nest("scatter", buffers, (start,))
    batch = [f"b{i}" for i in range(indices[0].ndim)]
    kept = kept_axes(out.ndim, axes)
    window = [f"w{i}" for i in kept]
    sizes = [out.shape[a] for a in axes]
    where, inside = _places(body, indices, first + 1, sizes, batch, mode)
    outer = body.take()
    strides = strides_of(out.shape)
    target = _offset(window, out.shape, kept)
    for name, axis in zip(where, axes, strict=True):
        target = target + Index.of(name, strides[axis])
    names = [*window[:place], *batch, *window[place:]]
    source = _offset(names, updates.shape, range(updates.ndim))
    value = body.load(f"in{first}", out.dtype, source)
    _join(body, combine, out.dtype, value, target)
    inner = body.take()
    for name, axis in reversed(list(zip(window, kept, strict=True))):
        inner = (Loop(name, out.shape[axis], "parallel", inner),)
    if inside is not None:
        inner = (If(inside, inner),)
    full: tuple[Statement, ...] = (*outer, *inner)
    for name, size in reversed(list(zip(batch, indices[0].shape, strict=True))):
        full = (Loop(name, size, "serial", full),)
    if not batch:
        full = (Loop("once", 1, "serial", full),)
    return Nest("scatter", buffers, (start, *full))


def _places(
    body: Body,
    indices: Sequence[Type],
    first: int,
    sizes: Sequence[int],
    batch: Sequence[str],
    mode: str,
) -> tuple[list[str], str | None]:
    """Load the indices of one update; say whether all are in range."""
    found: list[str] = []
    inside: str | None = None
    zero = Constant(0, dtypes.int64)
    for k, (type, size) in enumerate(zip(indices, sizes, strict=True), first):
        offset = _offset(batch, type.shape, range(type.ndim))
        read = body.load(f"in{k}", type.dtype, offset)
        # A uint64 above the range of int64 becomes negative: out of range, too.
        where = body.let(dtypes.int64, "cast", read)
        if mode == "clip":
            top = Size(size - 1)
            if type.dtype == dtypes.uint64:
                where = _clip_unsigned(body, where, top)
            where = body.let(dtypes.int64, "max", where, zero)
            where = body.let(dtypes.int64, "min", where, top)
        else:
            low = body.let(dtypes.bool_, "le", zero, where)
            high = body.let(dtypes.bool_, "lt", where, Size(size))
            both = body.let(dtypes.bool_, "and", low, high)
            inside = both if inside is None else _and(body, inside, both)
        found.append(where)
    return found, inside


def _clip_unsigned(body: Body, where: str, top: Size) -> str:
    """Take what wrapped into the negative for the largest index."""
    negative = body.let(dtypes.bool_, "lt", where, Constant(0, dtypes.int64))
    return body.let(dtypes.int64, "select", negative, top, where)


def _and(body: Body, a: str, b: str) -> str:
    return body.let(dtypes.bool_, "and", a, b)


def _join(body: Body, combine: str, dtype: DType, value: str, target: Index) -> None:
    if combine != "set":
        before = body.load("out0", dtype, target)
        op = combine
        if dtypes.is_bool(dtype):
            op = "or" if combine in ("add", "max") else "and"
        if dtype in dtypes.HALVES:
            # Only min and max come here: exact in float32.
            wide = dtypes.float32
            a = body.let(wide, "cast", before)
            b = body.let(wide, "cast", value)
            value = body.let(dtype, "cast", body.let(wide, op, a, b))
        else:
            value = body.let(dtype, op, before, value)
    body.statements.append(Store("out0", target, value))
