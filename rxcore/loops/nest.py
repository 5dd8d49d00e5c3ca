"""The Nest: a small loop language, one level below ops and one above text.

    Nest      = (name, buffers, scratch, body)        one name per memory, all noalias
    Statement = Let(name, dtype, op, operands)
              | Load(name, buffer, Index) | Store(buffer, Index, operand)
              | Loop(index, Extent, kind, accumulators, body)
              | Accumulate(name, operand) | If(name, body)
    operand   = name | Constant(value, dtype) | Size(integer) | Number(value, dtype)
    Index     = constant + sum(coefficient * name)    affine; names are loop indices
                                                      or int64 Lets (a gather)
    Extent    = integer | Block(loop, size, total)    min(size, total - size * loop)
    Accumulator = (name, dtype, combine, initial)     combine: add mul min max and or
                                                      replace

Straight SSA: a name is defined once, before its uses, in the scope of its loop.
Loop indices are int64 values and may be operands. An accumulator belongs to a loop;
`Accumulate` updates it, from nested loops too. Inside the loop its name reads as the
value at the start of the iteration of the loop that owns it, after the loop as the
final value. Every integer that came from a shape appears as an extent, in an Index,
or as a `Size`: emitters lift those into the argument block, so that one text serves
every size. `Number`s, the program's own floats (a mean's divisor, a learning rate),
are lifted too; `Constant`s stay in the text.

Loop kinds: `lower` makes `parallel` and `serial`; `schedule` refines parallel into
`lane` (independent), `group` (a work-group, or a chunk over threads) and `item`
(cooperative inside a group; a plain vector loop on the CPU).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
from attrs import field, frozen

from rxcore.base import dtypes
from rxcore.base.dtypes import DType

__all__ = [
    "Accumulate",
    "Accumulator",
    "Block",
    "Buffer",
    "Constant",
    "Extent",
    "If",
    "Index",
    "Let",
    "Load",
    "Loop",
    "Nest",
    "Number",
    "Operand",
    "Scratch",
    "Size",
    "Statement",
    "Store",
    "substitute",
    "walk",
]

Kind = Literal["parallel", "serial", "lane", "group", "item"]
COMBINES = ("add", "mul", "min", "max", "and", "or", "xor", "replace")


@frozen
class Constant:
    """A number that stays in the text."""

    value: int | float | bool
    dtype: DType

    def _key(self) -> tuple[object, ...]:
        # Tell -0.0 from 0.0 and let NaN equal itself, as text does.
        return (repr(self.value), self.dtype)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


@frozen
class Size:
    """An int64 that came from a shape: a word of the argument block."""

    value: int


@frozen
class Number:
    """A float of the program: a word of the argument block."""

    value: float
    dtype: DType

    @property
    def bits(self) -> int:
        """The bits as an unsigned integer of the dtype's size."""
        kind = f"u{self.dtype.itemsize}"
        return int(np.asarray(self.value).astype(self.dtype).view(kind))


Operand = str | Constant | Size | Number


def _tidy(
    terms: Mapping[str, int] | tuple[tuple[str, int], ...],
) -> tuple[tuple[str, int], ...]:
    pairs = terms.items() if isinstance(terms, Mapping) else terms
    kept = [pair for pair in pairs if pair[1] != 0]
    if len(kept) > 1:
        kept.sort()
    return tuple(kept)


@frozen
class Index:
    """An affine form: `constant + sum(coefficient * name)`."""

    constant: int = 0
    terms: tuple[tuple[str, int], ...] = field(default=(), converter=_tidy)

    @classmethod
    def of(cls, name: str, coefficient: int = 1) -> Index:
        """Return `coefficient * name`."""
        return cls(0, ((name, coefficient),))

    def coefficient(self, name: str) -> int:
        """Return the coefficient of a name (0 where it does not occur)."""
        return dict(self.terms).get(name, 0)

    def names(self) -> tuple[str, ...]:
        """Return the names that occur."""
        return tuple(n for n, _ in self.terms)

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.constant + other, self.terms)
        total = dict(self.terms)
        for name, c in other.terms:
            total[name] = total.get(name, 0) + c
        return Index(self.constant + other.constant, tuple(total.items()))

    def __mul__(self, factor: int) -> Index:
        return Index(
            self.constant * factor, tuple((n, c * factor) for n, c in self.terms)
        )

    def replace(self, changes: Mapping[str, Index]) -> Index:
        """Substitute affine forms for names."""
        for n, _ in self.terms:
            if n in changes:
                break
        else:
            return self
        constant = self.constant
        total: dict[str, int] = {}
        for name, c in self.terms:
            change = changes.get(name)
            if change is None:
                total[name] = total.get(name, 0) + c
                continue
            constant += change.constant * c
            for other, factor in change.terms:
                total[other] = total.get(other, 0) + factor * c
        return Index(constant, tuple(total.items()))


@frozen
class Block:
    """The extent of block number `loop` of a range: min(size, total - size * loop)."""

    loop: str
    size: int
    total: int


Extent = int | Block


@frozen
class Buffer:
    """A memory that the Nest reads or writes.

    Args:
        name: its name in the Nest.
        dtype: what an element is.
        size: how many elements it holds (for checks; never in the text).
        access: `in`, `out`, or `inout`.
    """

    name: str
    dtype: DType
    size: int
    access: Literal["in", "out", "inout"] = "in"


@frozen
class Scratch:
    """A small memory private to one iteration of the outermost loop."""

    name: str
    dtype: DType
    size: int


@frozen
class Let:
    """`name = op(operands)`, a scalar of `dtype`."""

    name: str
    dtype: DType
    op: str
    operands: tuple[Operand, ...]


@frozen
class Load:
    """`name = buffer[index]`."""

    name: str
    dtype: DType
    buffer: str
    index: Index


@frozen
class Store:
    """`buffer[index] = operand`."""

    buffer: str
    index: Index
    operand: Operand


@frozen
class Accumulator:
    """A scalar carried by a loop; `combine` says how values join it."""

    name: str
    dtype: DType
    combine: str
    initial: Operand


@frozen
class Accumulate:
    """Join an operand to an accumulator of an enclosing loop."""

    name: str
    operand: Operand


@frozen
class Loop:
    """`for index in range(extent)`, of a kind that says what may run at once."""

    index: str
    extent: Extent
    kind: Kind
    body: tuple[Statement, ...]
    accumulators: tuple[Accumulator, ...] = ()


@frozen
class If:
    """Run the body where the (bool) operand holds."""

    condition: Operand
    body: tuple[Statement, ...]


Statement = Let | Load | Store | Loop | Accumulate | If


@frozen(repr=False)
class Nest:
    """Plain loops of scalar statements over named memories.

    Args:
        name: what to call it in dumps.
        buffers: the memories it reads and writes, one name per memory.
        body: its statements.
        scratch: small private memories.
        chunk: how many iterations of the outermost loop one thread takes at a time;
            0 runs all of them at once. Set by `schedule`, never in the text.
        group: work-items of a work-group, set by `schedule` for a GPU; in the text.
    """

    name: str
    buffers: tuple[Buffer, ...]
    body: tuple[Statement, ...]
    scratch: tuple[Scratch, ...] = ()
    chunk: int = 0
    group: int = 0

    def __repr__(self) -> str:
        return "\n".join(_lines(self))


def _lines(nest: Nest) -> Iterator[str]:
    yield f"nest {nest.name}"
    for b in nest.buffers:
        yield f"  {b.access} {b.name}: {dtypes.short(b.dtype)}[{b.size}]"
    for s in nest.scratch:
        yield f"  scratch {s.name}: {dtypes.short(s.dtype)}[{s.size}]"
    yield from _show_body(nest.body, "  ")


def _show_body(body: tuple[Statement, ...], indent: str) -> Iterator[str]:
    for s in body:
        match s:
            case Let():
                operands = " ".join(map(_show_operand, s.operands))
                yield f"{indent}{s.name}: {dtypes.short(s.dtype)} = {s.op} {operands}"
            case Load():
                kind = dtypes.short(s.dtype)
                yield f"{indent}{s.name}: {kind} = {s.buffer}[{_show_index(s.index)}]"
            case Store():
                value = _show_operand(s.operand)
                yield f"{indent}{s.buffer}[{_show_index(s.index)}] = {value}"
            case Accumulate():
                yield f"{indent}{s.name} <- {_show_operand(s.operand)}"
            case If():
                yield f"{indent}if {_show_operand(s.condition)}:"
                yield from _show_body(s.body, indent + "  ")
            case Loop():
                carried = "".join(
                    f", {a.name}: {dtypes.short(a.dtype)} {a.combine}"
                    f" from {_show_operand(a.initial)}"
                    for a in s.accumulators
                )
                extent = _show_extent(s.extent)
                yield f"{indent}{s.kind} {s.index} < {extent}{carried}:"
                yield from _show_body(s.body, indent + "  ")


def _show_operand(operand: Operand) -> str:
    match operand:
        case Constant():
            return f"{operand.value!r}"
        case Size():
            return f"#{operand.value}"
        case Number():
            return f"#{operand.value!r}"
    return operand


def _show_extent(extent: Extent) -> str:
    if isinstance(extent, Block):
        return f"block({extent.loop}, {extent.size}, {extent.total})"
    return str(extent)


def _show_index(index: Index) -> str:
    parts = [n if c == 1 else f"{c}*{n}" for n, c in index.terms]
    if index.constant or not parts:
        parts.append(str(index.constant))
    return " + ".join(parts)


_HOLDERS = (Loop, If)


def walk(body: tuple[Statement, ...]) -> list[Statement]:
    """Return every statement, outer before inner."""
    # A list, not a generator: this runs for every question of every pass.
    found: list[Statement] = []
    _collect(body, found)
    return found


def _collect(body: tuple[Statement, ...], found: list[Statement]) -> None:
    for s in body:
        found.append(s)
        if isinstance(s, _HOLDERS):
            _collect(s.body, found)


def substitute(
    body: tuple[Statement, ...],
    indices: Mapping[str, Index],
    names: Mapping[str, Operand] | None = None,
) -> tuple[Statement, ...]:
    """Substitute affine forms for loop indices, and operands for names.

    A name of `indices` must not be used as a scalar operand (only inside an Index or
    as the loop of a Block, where it must map to a single name).
    """
    renames = names or {}

    def operand(o: Operand) -> Operand:
        return renames.get(o, o) if isinstance(o, str) else o

    def one(s: Statement) -> Statement:
        match s:
            case Let():
                if not renames:
                    return s
                return Let(s.name, s.dtype, s.op, tuple(map(operand, s.operands)))
            case Load():
                return Load(s.name, s.dtype, s.buffer, s.index.replace(indices))
            case Store():
                return Store(s.buffer, s.index.replace(indices), operand(s.operand))
            case Accumulate():
                return Accumulate(s.name, operand(s.operand))
            case If():
                return If(operand(s.condition), tuple(map(one, s.body)))
            case Loop():
                accumulators = tuple(
                    [
                        Accumulator(a.name, a.dtype, a.combine, operand(a.initial))
                        for a in s.accumulators
                    ]
                )
                body = tuple(map(one, s.body))
                return Loop(s.index, s.extent, s.kind, body, accumulators)

    return tuple(map(one, body))
