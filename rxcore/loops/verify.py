"""Verify that a Nest is well formed, and say where it is not.

An emitter trusts a verified Nest: LLVM aborts the process on much of what is refused
here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from attrs import define, field

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.base.errors import InternalError
from rxcore.loops.nest import (
    COMBINES,
    Accumulate,
    Accumulator,
    Block,
    Buffer,
    Constant,
    If,
    Index,
    Let,
    Load,
    Loop,
    Nest,
    Number,
    Operand,
    Scratch,
    Size,
    Statement,
    Store,
)
from rxcore.loops.scalar import OPERATIONS

__all__ = ["verify"]

_KINDS = ("parallel", "serial", "lane", "group", "item")
_STORAGE_OPS = ("cast", "bitcast", "select")
_FLOAT_OPS = ("div", "floor", "ceil", "trunc", "round", "sqrt")
_INTEGER_OPS = ("quo", "shl", "shr")
_BIT_OPS = ("and", "or", "xor", "not")
_NOT_BOOL_OPS = ("neg", "abs", "sub", "muladd", "rem")


def verify(nest: Nest) -> None:
    """Check that a Nest keeps the rules of the loop language.

    Raises:
        InternalError: with the statement at fault, what is wrong, and the Nest.
    """
    _Verifier(nest).run()


@define
class _Verifier:
    nest: Nest
    scope: dict[str, DType] = field(factory=dict)
    defined: set[str] = field(factory=set)
    memories: dict[str, Buffer | Scratch] = field(factory=dict)
    stored: set[str] = field(factory=set)
    open: list[Loop | If] = field(factory=list)
    at: Statement | None = None

    def fail(self, reason: str) -> NoReturn:
        where = "" if self.at is None else f" at `{_show(self.at)}`"
        raise InternalError(f"malformed nest{where}: {reason}\n{self.nest}")

    def run(self) -> None:
        every: tuple[Buffer | Scratch, ...] = (*self.nest.buffers, *self.nest.scratch)
        for memory in every:
            if memory.name in self.memories:
                self.fail(f"memory {memory.name!r} is declared twice")
            if dtypes.is_complex(memory.dtype):
                self.fail(f"memory {memory.name!r} is complex: split it in two")
            if memory.size < 0:
                self.fail(f"memory {memory.name!r} has a negative size")
            self.memories[memory.name] = memory
        self.body(self.nest.body)

    # --- names and operands ----------------------------------------------------------

    def define(self, name: str, dtype: DType) -> None:
        if name in self.defined:
            self.fail(f"{name!r} is defined twice")
        if dtypes.is_complex(dtype):
            self.fail(f"{name!r} is complex: a scalar is real")
        self.defined.add(name)
        self.scope[name] = dtype

    def use(self, operand: Operand) -> DType:
        match operand:
            case Constant() | Number():
                return operand.dtype
            case Size():
                return dtypes.int64
        if operand not in self.scope:
            why = "out of scope here" if operand in self.defined else "not defined"
            self.fail(f"{operand!r} is {why}")
        return self.scope[operand]

    def index(self, index: Index) -> None:
        for name in index.names():
            dtype = self.use(name)
            if dtype != dtypes.int64:
                kind = dtypes.short(dtype)
                self.fail(f"index name {name!r} is {kind}, expected i64")

    def memory(self, name: str) -> Buffer | Scratch:
        if name not in self.memories:
            self.fail(f"memory {name!r} is not declared")
        return self.memories[name]

    def expect(self, what: str, found: DType, *allowed: DType) -> None:
        if found not in allowed:
            wanted = " or ".join(map(dtypes.short, allowed))
            self.fail(f"{what} is {dtypes.short(found)}, expected {wanted}")

    # --- statements ------------------------------------------------------------------

    def body(self, body: Iterable[Statement]) -> None:
        outer = dict(self.scope)
        for statement in body:
            self.at = statement
            match statement:
                case Let():
                    self.let(statement)
                case Load():
                    self.load(statement)
                case Store():
                    self.store(statement)
                case Accumulate():
                    self.accumulate(statement)
                case If():
                    self.expect("condition", self.use(statement.condition), _BOOL)
                    self.inside(statement)
                case Loop():
                    self.loop(statement)
                case _:
                    self.fail(f"{type(statement).__name__} is no statement")
        self.scope = outer

    def inside(self, statement: Loop | If) -> None:
        self.open.append(statement)
        self.body(statement.body)
        self.open.pop()
        self.at = statement

    def load(self, s: Load) -> None:
        memory = self.memory(s.buffer)
        self.index(s.index)
        self.expect("the loaded value", s.dtype, memory.dtype)
        unread = isinstance(memory, Buffer) and memory.access == "out"
        if unread and s.buffer not in self.stored:
            self.fail(f"{s.buffer!r} is an output: it is loaded before any store")
        self.define(s.name, s.dtype)

    def store(self, s: Store) -> None:
        memory = self.memory(s.buffer)
        self.index(s.index)
        self.expect("the stored value", self.use(s.operand), memory.dtype)
        if isinstance(memory, Buffer) and memory.access == "in":
            self.fail(f"{s.buffer!r} is an input: it may not be stored to")
        self.stored.add(s.buffer)

    def accumulate(self, s: Accumulate) -> None:
        found = [a for a in self.open_accumulators() if a.name == s.name]
        if not found:
            self.fail(f"{s.name!r} is no accumulator of an enclosing loop")
        self.expect("the operand", self.use(s.operand), found[0].dtype)

    def open_accumulators(self) -> list[Accumulator]:
        return [a for x in self.open if isinstance(x, Loop) for a in x.accumulators]

    def loop(self, s: Loop) -> None:
        if s.kind not in _KINDS:
            self.fail(f"{s.kind!r} is no kind of loop")
        self.extent(s)
        self.cooperation(s)
        outer = dict(self.scope)
        for a in s.accumulators:
            self.accumulator(s, a)
        self.define(s.index, dtypes.int64)
        self.inside(s)
        self.scope = outer | {a.name: a.dtype for a in s.accumulators}

    def extent(self, s: Loop) -> None:
        if not isinstance(s.extent, Block):
            if s.extent < 0:
                self.fail(f"extent {s.extent} is negative")
            return
        loops = {x.index for x in self.open if isinstance(x, Loop)}
        if s.extent.loop not in loops:
            self.fail(f"the block's loop {s.extent.loop!r} does not enclose it")
        if s.extent.size <= 0:
            self.fail(f"block size {s.extent.size} is not positive")

    def cooperation(self, s: Loop) -> None:
        # All items of a group must reach a cooperative loop together.
        if s.kind != "item":
            return
        for x in self.open:
            if isinstance(x, If):
                self.fail("an item loop may not stand under an if")
            if x.kind in ("item", "lane"):
                self.fail(f"an item loop may not stand in a loop of kind {x.kind}")

    def accumulator(self, s: Loop, a: Accumulator) -> None:
        if a.combine not in COMBINES:
            self.fail(f"{a.combine!r} is no way to combine")
        if a.combine == "replace" and s.kind != "serial":
            self.fail(f"{a.name!r} is replaced, so its loop must be serial")
        self.expect(f"initial value of {a.name!r}", self.use(a.initial), a.dtype)
        if a.combine != "replace":
            self.arithmetic(a.combine, a.dtype)
        self.define(a.name, a.dtype)

    # --- scalar operations -----------------------------------------------------------

    def let(self, s: Let) -> None:
        if s.op not in OPERATIONS:
            self.fail(f"{s.op!r} is no scalar operation")
        operation = OPERATIONS[s.op]
        if len(s.operands) != operation.arity:
            count = f"{operation.arity} operands, not {len(s.operands)}"
            self.fail(f"{s.op} takes {count}")
        found = [self.use(operand) for operand in s.operands]
        if s.op == "bitcast":
            self.bitcast(found[0], s.dtype)
        elif s.op == "select":
            self.expect("the condition", found[0], _BOOL)
            self.same(found[1:], s.dtype)
        elif operation.compares:
            self.expect("the result of a comparison", s.dtype, _BOOL)
            self.same(found, found[0])
            self.arithmetic(s.op, found[0])
        elif s.op != "cast":
            self.same(found, s.dtype)
            self.arithmetic(s.op, s.dtype)
        self.define(s.name, s.dtype)

    def same(self, found: Iterable[DType], dtype: DType) -> None:
        for number, one in enumerate(found, 1):
            self.expect(f"operand {number}", one, dtype)

    def bitcast(self, source: DType, target: DType) -> None:
        if _BOOL in (source, target) or source.itemsize != target.itemsize:
            pair = f"{dtypes.short(source)} to {dtypes.short(target)}"
            self.fail(f"bitcast from {pair}: sizes differ, or one is bool")

    def arithmetic(self, op: str, dtype: DType) -> None:
        """Check that an operation exists for a dtype."""
        if dtype in dtypes.HALVES:
            allowed = False
        elif dtypes.is_float(dtype):
            allowed = op not in (*_INTEGER_OPS, *_BIT_OPS)
        elif dtypes.is_bool(dtype):
            allowed = op not in (*_FLOAT_OPS, *_INTEGER_OPS, *_NOT_BOOL_OPS)
        else:
            allowed = op not in _FLOAT_OPS
        if not allowed and op not in _STORAGE_OPS:
            self.fail(f"{op} does not exist for {dtypes.short(dtype)}")


_BOOL = dtypes.bool_


def _show(statement: Statement) -> str:
    """Return the first line of a statement's dump."""
    return str(Nest("", (), (statement,))).splitlines()[1].strip()
