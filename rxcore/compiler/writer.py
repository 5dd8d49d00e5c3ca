"""Write Nests: a builder with scopes that hoists and shares as it goes.

An operation goes to the outermost scope that has its operands, before the loop that
is open there; an equal one already there is used again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.loops.nest import (
    Accumulate,
    Accumulator,
    Block,
    Constant,
    If,
    Index,
    Kind,
    Let,
    Load,
    Loop,
    Operand,
    Size,
    Statement,
    Store,
)
from rxcore.loops.scalar import OPERATIONS, Term


@define(eq=False)
class Scope:
    """A list of statements being written."""

    depth: int
    statements: list[Statement] = field(factory=list)
    made: dict[Any, str] = field(factory=dict)
    alive: bool = True


class Writer:
    """Builds the body of a Nest."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = [Scope(0)]
        self.home: dict[str, Scope] = {}
        self.extents: dict[str, int] = {}
        self.count = 0

    def fresh(self, prefix: str) -> str:
        """Return a new name."""
        self.count += 1
        return f"{prefix}{self.count}"

    def define(self, name: str, scope: Scope | None = None) -> str:
        """Say that a name lives in a scope (default: the innermost)."""
        self.home[name] = scope or self.scopes[-1]
        return name

    def _scope_of(self, names: Iterable[str]) -> Scope:
        found = self.scopes[0]
        for name in names:
            home = self.home[name]
            if home.depth > found.depth:
                found = home
        return found

    def alive(self, term: Term) -> bool:
        """Say whether a Term's name is still in scope."""
        name = term.operand
        return not isinstance(name, str) or self.home[name].alive

    # Builder protocol ----------------------------------------------------------

    def emit(self, op: str, dtype: DType, operands: tuple[Operand, ...]) -> Operand:
        """Write `Let`, in the outermost scope that has the operands."""
        if OPERATIONS[op].commutes:
            operands = _ordered(operands)
        scope = self._scope_of([o for o in operands if isinstance(o, str)])
        key = (op, dtype, operands)
        found = scope.made.get(key)
        if found is None:
            found = self.define(self.fresh("v"), scope)
            scope.made[key] = found
            scope.statements.append(Let(found, dtype, op, operands))
        return found

    def constant(self, value: Any, dtype: DType) -> Operand:
        """Return a constant of the text."""
        if dtypes.is_bool(dtype):
            return Constant(bool(value), dtype)
        if dtypes.is_integer(dtype):
            wrapped = int(value) & ((1 << dtype.itemsize * 8) - 1)
            if dtypes.is_signed(dtype) and wrapped >> (dtype.itemsize * 8 - 1):
                wrapped -= 1 << dtype.itemsize * 8
            return Constant(wrapped, dtype)
        return Constant(float(dtype.type(value)), dtype)

    # Memory --------------------------------------------------------------------

    def load(
        self, buffer: str, dtype: DType, index: Index, pinned: bool = False
    ) -> Term:
        """Read an element; `pinned` reads here and now, since the buffer changes."""
        scope = self.scopes[-1] if pinned else self._scope_of(index.names())
        key = ("load", buffer, index)
        found = scope.made.get(key)
        if found is None:
            found = self.define(self.fresh("x"), scope)
            scope.made[key] = found
            scope.statements.append(Load(found, dtype, buffer, index))
        return Term(self, found, dtype)

    def store(self, buffer: str, index: Index, term: Term) -> None:
        """Write an element, here."""
        self.scopes[-1].statements.append(Store(buffer, index, term.operand))

    # Indices as numbers --------------------------------------------------------

    def number(self, index: Index) -> Term:
        """Return the int64 value of an affine index."""
        total: Term | None = None
        for name, c in index.terms:
            term = Term(self, name, dtypes.int64)
            if c != 1:
                term = term * Term(self, Size(c), dtypes.int64)
            total = term if total is None else total + term
        if total is None:
            return Term(self, Size(index.constant), dtypes.int64)
        if index.constant:
            total = total + Term(self, Size(index.constant), dtypes.int64)
        return total

    # Structure -----------------------------------------------------------------

    @contextmanager
    def loop(
        self,
        extent: int | Block,
        kind: Kind,
        accumulators: tuple[Accumulator, ...] = (),
        prefix: str = "i",
    ) -> Iterator[str]:
        """Open a loop; its statement is written when it closes."""
        outer = self.scopes[-1]
        scope = Scope(outer.depth + 1)
        self.scopes.append(scope)
        name = self.define(self.fresh(prefix))
        for a in accumulators:
            self.define(a.name)
        if isinstance(extent, int):
            self.extents[name] = extent
        yield name
        self.scopes.pop()
        scope.alive = False
        for a in accumulators:
            self.define(a.name)
        body = tuple(scope.statements)
        self.scopes[-1].statements.append(Loop(name, extent, kind, body, accumulators))

    @contextmanager
    def when(self, condition: Term) -> Iterator[None]:
        """Open an `If`."""
        scope = Scope(self.scopes[-1].depth + 1)
        self.scopes.append(scope)
        yield
        self.scopes.pop()
        scope.alive = False
        body = tuple(scope.statements)
        self.scopes[-1].statements.append(If(condition.operand, body))

    def accumulate(self, name: str, term: Term) -> None:
        """Join a value to an accumulator, here."""
        self.scopes[-1].statements.append(Accumulate(name, term.operand))

    def body(self) -> tuple[Statement, ...]:
        """Return what was written."""
        return tuple(self.scopes[0].statements)


def _ordered(operands: tuple[Operand, ...]) -> tuple[Operand, ...]:
    """Sort by `_order`; of two operands, one name or more is the usual case."""
    if len(operands) == 2:
        a, b = operands
        if isinstance(a, str):
            return (b, a) if isinstance(b, str) and b < a else operands
        if isinstance(b, str):
            return (b, a)
    return tuple(sorted(operands, key=_order))


def _order(operand: Operand) -> tuple[int, str]:
    if isinstance(operand, str):
        return (0, operand)
    return (1, repr(operand))
