"""A printer of LLVM IR text with explicit vectors.

Values carry Python operators, so a kernel reads like the arithmetic that it does; loops
and conditions are ``with`` blocks. Everything is printed at once, in order; nothing is
analysed. LLVM promotes the stack slots to registers and does the rest.

Addresses become pointers once (`Writer.address`) and then move by typed `getelementptr`
only: arithmetic on integers that were pointers is miscompiled by LLVM 22.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from attrs import define, field, frozen

from rxcore_kernels.source import DIRECT
from rxcore_kernels.text_type import (
    BF16,
    F16,
    F32,
    F64,
    I1,
    I8,
    I16,
    I32,
    I64,
    POINTER,
    Number,
    Type,
    constant,
)

__all__ = [
    "BF16",
    "F16",
    "F32",
    "F64",
    "I1",
    "I8",
    "I16",
    "I32",
    "I64",
    "POINTER",
    "Slot",
    "Type",
    "Value",
    "Writer",
    "constant",
    "kernel",
]


@frozen(eq=False)
class Value:
    """One SSA value; operators print one instruction each.

    ``//`` and ``%`` truncate toward zero, ``>>`` keeps the sign; integers compare as
    signed, floats as ordered.
    """

    writer: Writer
    type: Type
    name: str

    def _binary(self, other: Value | Number, real: str, whole: str) -> Value:
        op = real if self.type.floating else whole
        if not op:
            raise TypeError(f"no such operation on {self.type}")
        return self.writer.binary(op, self, other)

    def _reversed(self, other: Number, real: str, whole: str) -> Value:
        left = self.writer.value(self.type, other)
        return left._binary(self, real, whole)

    def __add__(self, other: Value | Number) -> Value:
        return self._binary(other, "fadd", "add")

    def __radd__(self, other: Number) -> Value:
        return self._binary(other, "fadd", "add")

    def __sub__(self, other: Value | Number) -> Value:
        return self._binary(other, "fsub", "sub")

    def __rsub__(self, other: Number) -> Value:
        return self._reversed(other, "fsub", "sub")

    def __mul__(self, other: Value | Number) -> Value:
        return self._binary(other, "fmul", "mul")

    def __rmul__(self, other: Number) -> Value:
        return self._binary(other, "fmul", "mul")

    def __truediv__(self, other: Value | Number) -> Value:
        return self._binary(other, "fdiv", "")

    def __floordiv__(self, other: Value | Number) -> Value:
        return self._binary(other, "", "sdiv")

    def __mod__(self, other: Value | Number) -> Value:
        return self._binary(other, "", "srem")

    def __and__(self, other: Value | Number) -> Value:
        return self._binary(other, "", "and")

    def __or__(self, other: Value | Number) -> Value:
        return self._binary(other, "", "or")

    def __xor__(self, other: Value | Number) -> Value:
        return self._binary(other, "", "xor")

    def __lshift__(self, other: Value | Number) -> Value:
        return self._binary(other, "", "shl")

    def __rshift__(self, other: Value | Number) -> Value:
        return self._binary(other, "", "ashr")

    def __invert__(self) -> Value:
        return self ^ (1 if self.type.element == I1 else -1)

    def __neg__(self) -> Value:
        if not self.type.floating:
            return 0 - self
        return self.writer.emit(self.type, f"fneg {self.type} {self.name}")

    def __lt__(self, other: Value | Number) -> Value:
        return self._compare("lt", other)

    def __le__(self, other: Value | Number) -> Value:
        return self._compare("le", other)

    def __gt__(self, other: Value | Number) -> Value:
        return self._compare("gt", other)

    def __ge__(self, other: Value | Number) -> Value:
        return self._compare("ge", other)

    def _compare(self, order: str, other: Value | Number) -> Value:
        prefix = "o" if self.type.floating else "s"
        return self.writer.compare(prefix + order, self, other)

    def equals(self, other: Value | Number) -> Value:
        """Lanes that are equal (NaN equals nothing)."""
        order = "oeq" if self.type.floating else "eq"
        return self.writer.compare(order, self, other)

    def differs(self, other: Value | Number) -> Value:
        """Lanes that are not equal (NaN differs from all)."""
        order = "une" if self.type.floating else "ne"
        return self.writer.compare(order, self, other)

    def unsigned_shift(self, count: Value | Number) -> Value:
        """Shift right and fill with zeros."""
        return self.writer.binary("lshr", self, count)


@frozen(eq=False)
class Slot:
    """A variable: a stack cell that LLVM turns into a register."""

    writer: Writer
    type: Type
    pointer: Value

    def get(self) -> Value:
        """Return the value now held."""
        return self.writer.load(self.type, self.pointer)

    def set(self, value: Value | Number) -> None:
        """Hold `value` from here on."""
        self.writer.store(self.writer.value(self.type, value), self.pointer)


@define(eq=False)
class Writer:
    """The body of one kernel being printed."""

    symbol: str
    wide: bool = True
    direct: bool = False
    _entry: list[str] = field(factory=list)
    _lines: list[str] = field(factory=list)
    _declared: dict[str, str] = field(factory=dict)
    _metadata: list[str] = field(factory=list)
    _names: int = 0
    _block: str = "start"

    def fresh(self, stem: str = "v") -> str:
        """Return a name not used before."""
        self._names += 1
        return f"{stem}{self._names}"

    def emit(self, type: Type, instruction: str) -> Value:
        """Print an instruction with a result."""
        name = f"%{self.fresh()}"
        self._lines.append(f"  {name} = {instruction}")
        return Value(self, type, name)

    def do(self, instruction: str) -> None:
        """Print an instruction without a result."""
        self._lines.append(f"  {instruction}")

    def value(self, type: Type, value: Value | Number) -> Value:
        """Return `value` as a Value of `type`; a scalar is broadcast to its lanes."""
        if isinstance(value, int | float):
            return Value(self, type, constant(type, value))
        if value.type == type:
            return value
        if type.lanes and value.type == type.element:
            return self.broadcast(value, type.lanes)
        raise TypeError(f"{self.symbol}: expected a value of {type}, got {value.type}")

    def binary(
        self, op: str, a: Value, b: Value | Number, flags: Sequence[str] = ()
    ) -> Value:
        """Print `op` on two values of one type."""
        other = self.value(a.type, b)
        words = " ".join((op, *flags))
        return self.emit(a.type, f"{words} {a.type} {a.name}, {other.name}")

    def compare(self, order: str, a: Value, b: Value | Number) -> Value:
        """Compare by LLVM's name of the order (`slt`, `ult`, `olt`, `uno`, ...)."""
        other = self.value(a.type, b)
        op = "fcmp" if a.type.floating else "icmp"
        text = f"{op} {order} {a.type} {a.name}, {other.name}"
        return self.emit(Type("i1", a.type.lanes), text)

    def select(self, condition: Value, yes: Value, no: Value | Number) -> Value:
        """Return `yes` where the condition holds, else `no`."""
        other = self.value(yes.type, no)
        text = f"select {condition.type} {condition.name}, {yes.type} {yes.name}, "
        return self.emit(yes.type, text + f"{other.type} {other.name}")

    def minimum(self, a: Value, b: Value | Number) -> Value:
        """Return the smaller of two signed integers (or float lanes, NaN kept)."""
        name = "llvm.minimum" if a.type.floating else "llvm.smin"
        return self.intrinsic(name, a.type, a, self.value(a.type, b))

    def maximum(self, a: Value, b: Value | Number) -> Value:
        """Return the larger of two signed integers (or float lanes, NaN kept)."""
        name = "llvm.maximum" if a.type.floating else "llvm.smax"
        return self.intrinsic(name, a.type, a, self.value(a.type, b))

    def muladd(self, a: Value, b: Value, c: Value) -> Value:
        """Return a * b + c, fused where the machine can."""
        return self.intrinsic("llvm.fmuladd", c.type, a, b, c)

    def cast(self, op: str, value: Value, type: Type) -> Value:
        """Convert by LLVM's name of the conversion (`fpext`, `sext`, `trunc`, ...)."""
        return self.emit(type, f"{op} {value.type} {value.name} to {type}")

    def intrinsic(
        self,
        name: str,
        result: Type | None,
        *operands: Value,
        overloads: Sequence[Type] | None = None,
        flags: str = "",
    ) -> Value:
        """Call an LLVM intrinsic, by default overloaded on the result's type only."""
        types = overloads if overloads is not None else [result] if result else []
        full = ".".join([name, *(t.suffix for t in types)])
        back = str(result) if result else "void"
        parameters = ", ".join(str(v.type) for v in operands)
        self._declared[full] = f"declare {back} @{full}({parameters})"
        arguments = ", ".join(f"{v.type} {v.name}" for v in operands)
        text = " ".join(filter(None, ["call", flags, back, f"@{full}({arguments})"]))
        if result is None:
            self.do(text)
            return Value(self, I64, "0")
        return self.emit(result, text)

    def broadcast(self, value: Value, lanes: int) -> Value:
        """Return a vector with `value` in each lane."""
        first = self.insert(Value(self, value.type.by(lanes), "poison"), value, 0)
        text = f"shufflevector {first.type} {first.name}, {first.type} poison, "
        return self.emit(first.type, text + f"<{lanes} x i32> zeroinitializer")

    def insert(self, vector: Value, value: Value | Number, lane: Value | int) -> Value:
        """Return `vector` with one lane replaced."""
        part, at = self.value(vector.type.element, value), self.value(I64, lane)
        text = f"insertelement {vector.type} {vector.name}, {part.type} {part.name}, "
        return self.emit(vector.type, text + f"i64 {at.name}")

    def extract(self, vector: Value, lane: Value | int) -> Value:
        """Return one lane."""
        at = self.value(I64, lane)
        text = f"extractelement {vector.type} {vector.name}, i64 {at.name}"
        return self.emit(vector.type.element, text)

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """Pick lanes out of a and b laid end to end; -1 leaves a lane undefined."""
        mask = ", ".join(f"i32 {i}" if i >= 0 else "i32 poison" for i in lanes)
        text = f"shufflevector {a.type} {a.name}, {b.type} {b.name}, "
        return self.emit(a.type.by(len(lanes)), text + f"<{len(lanes)} x i32> <{mask}>")

    def lanes(self, type: Type) -> Value:
        """Return the integer vector 0, 1, 2, ..."""
        parts = ", ".join(f"{type.scalar} {i}" for i in range(type.lanes))
        return Value(self, type, f"<{parts}>")

    def first_lanes(self, count: Value, lanes: int) -> Value:
        """Return the mask of the lanes below `count` (an i64, negative or large too).

        Made from bits, since LLVM would move a comparison into the loops that use it.
        """
        kept = self.minimum(self.maximum(count, 0), lanes)
        if lanes >= 64:
            narrow = self.cast("trunc", kept, I8)
            return self.lanes(I8.by(lanes)) < self.broadcast(narrow, lanes)
        bits = (self.value(I64, 1) << kept) - 1
        return self.cast(
            "bitcast", self.cast("trunc", bits, Type(f"i{lanes}")), I1.by(lanes)
        )

    def reduce(self, op: str, vector: Value) -> Value:
        """Combine all lanes (`add`, `fadd`, `smax`, ...); a sum is a tree."""
        name, result = f"llvm.vector.reduce.{op}", vector.type.element
        if op not in ("fadd", "fmul"):
            return self.intrinsic(name, result, vector, overloads=[vector.type])
        start = self.value(result, -0.0 if op == "fadd" else 1.0)
        return self.intrinsic(
            name, result, start, vector, overloads=[vector.type], flags="reassoc"
        )

    def word(self, index: Value | int) -> Value:
        """Return word `index` of the argument block as an integer."""
        return self.load(I64, Value(self, POINTER, "%words"), index)

    def address(self, index: Value | int) -> Value:
        """Return word `index` of the argument block as a pointer."""
        return self.cast("inttoptr", self.word(index), POINTER)

    def at(self, pointer: Value, index: Value | int, element: Type) -> Value:
        """Return the address `index` elements after `pointer`."""
        if isinstance(index, int) and index == 0:
            return pointer
        offset = self.value(I64, index).name
        text = f"getelementptr inbounds {element}, ptr {pointer.name}, i64 {offset}"
        return self.emit(POINTER, text)

    def load(
        self,
        type: Type,
        pointer: Value,
        index: Value | int = 0,
        *,
        mask: Value | None = None,
        align: int = 0,
    ) -> Value:
        """Load at `index` elements after `pointer`; lanes not in `mask` are zero."""
        place = self.at(pointer, index, type.element)
        align = align or type.bytes
        if mask is None:
            return self.emit(type, f"load {type}, ptr {place.name}, align {align}")
        name = f"llvm.masked.load.{type.suffix}.p0"
        self._declared[name] = f"declare {type} @{name}(ptr, {mask.type}, {type})"
        text = f"call {type} @{name}(ptr align {align} {place.name}, "
        text += f"{mask.type} {mask.name}, {type} zeroinitializer)"
        return self.emit(type, text)

    def store(
        self,
        value: Value,
        pointer: Value,
        index: Value | int = 0,
        *,
        mask: Value | None = None,
        align: int = 0,
        streaming: bool = False,
    ) -> None:
        """Store at `index` elements after `pointer`; `streaming` bypasses the caches.

        A streaming store needs the whole vector aligned.
        """
        place = self.at(pointer, index, value.type.element)
        align = align or value.type.bytes
        if mask is not None:
            name = f"llvm.masked.store.{value.type.suffix}.p0"
            self._declared[name] = (
                f"declare void @{name}({value.type}, ptr, {mask.type})"
            )
            text = f"call void @{name}({value.type} {value.name}, ptr align {align} "
            self.do(text + f"{place.name}, {mask.type} {mask.name})")
            return
        if streaming:
            align = value.type.bytes * max(value.type.lanes, 1)
        tail = f", !nontemporal {self.metadata('!{i32 1}')}" if streaming else ""
        self.do(
            f"store {value.type} {value.name}, ptr {place.name}, align {align}{tail}"
        )

    def gather(self, type: Type, pointer: Value, indices: Value) -> Value:
        """Load one element per lane at `indices` (a vector of i32 or i64)."""
        offsets = f"{indices.type} {indices.name}"
        text = f"getelementptr inbounds {type.element}, ptr {pointer.name}, {offsets}"
        places = self.emit(POINTER.by(type.lanes), text)
        every = self.value(I1.by(type.lanes), 1)
        name = f"llvm.masked.gather.{type.suffix}.v{type.lanes}p0"
        vectors = f"{places.type}, {every.type}, {type}"
        self._declared[name] = f"declare {type} @{name}({vectors})"
        text = f"call {type} @{name}({places.type} align {type.bytes} {places.name}, "
        return self.emit(type, text + f"{every.type} {every.name}, {type} poison)")

    def zero(self, pointer: Value, count: Value | int) -> None:
        """Set `count` bytes to zero."""
        self._bytes("llvm.memset", pointer, Value(self, I8, "0"), count)

    def copy(self, target: Value, source: Value, count: Value | int) -> None:
        """Copy `count` bytes between places that do not overlap."""
        self._bytes("llvm.memcpy", target, source, count)

    def _bytes(
        self, name: str, target: Value, other: Value, count: Value | int
    ) -> None:
        size, plain = self.value(I64, count), Value(self, I1, "false")
        kinds = [t for t in (POINTER, other.type, I64) if t != I8]
        self.intrinsic(name, None, target, other, size, plain, overloads=kinds)

    def prefetch(self, pointer: Value, index: Value | int, element: Type) -> None:
        """Ask for the line at `index` elements after `pointer`."""
        place = self.at(pointer, index, element)
        hints = [Value(self, I32, text) for text in ("0", "3", "1")]
        self.intrinsic("llvm.prefetch", None, place, *hints, overloads=[POINTER])

    def stack(self, element: Type, count: int, align: int = 64) -> Value:
        """Return `count` elements of the stack, there for the whole call."""
        name = f"%{self.fresh('stack')}"
        self._entry.append(f"  {name} = alloca [{count} x {element}], align {align}")
        return Value(self, POINTER, name)

    def slot(self, type: Type, initial: Value | Number) -> Slot:
        """Return a variable that holds `initial`."""
        name = f"%{self.fresh('slot')}"
        self._entry.append(f"  {name} = alloca {type}")
        slot = Slot(self, type, Value(self, POINTER, name))
        slot.set(initial)
        return slot

    def metadata(self, node: str) -> str:
        """Return the name of a metadata node with this text."""
        if node.startswith("distinct") or node not in self._metadata:
            self._metadata.append(node)
            return f"!{len(self._metadata) - 1}"
        return f"!{self._metadata.index(node)}"

    def label(self, name: str) -> None:
        """Begin a block."""
        self._lines.append(f"{name}:")
        self._block = name

    def _loop_tail(self, unroll: bool, vectorize: bool) -> str:
        notes = []
        if not unroll:
            notes.append(self.metadata('!{!"llvm.loop.unroll.disable"}'))
        if not vectorize:
            node = '!{!"llvm.loop.vectorize.enable", i1 false}'
            notes.append(self.metadata(node))
        own = f"!{len(self._metadata)}"
        self.metadata(f"distinct !{{{', '.join([own, *notes])}}}")
        return f", !llvm.loop {own}"

    @contextmanager
    def loop(
        self,
        start: Value | int,
        stop: Value | int,
        step: Value | int = 1,
        *,
        unroll: bool = False,
        vectorize: bool = False,
    ) -> Iterator[Value]:
        """Count from `start` while below `stop`; the block gets the counter."""
        first, last = self.value(I64, start), self.value(I64, stop)
        by = self.value(I64, step)
        head, body, tail = (self.fresh(s) for s in ("head", "body", "after"))
        before = self._block
        counter, following = (f"%{self.fresh(s)}" for s in ("i", "next"))
        latch = self.fresh("latch")
        self.do(f"br label %{head}")
        self.label(head)
        ways = f"[ {first.name}, %{before} ], [ {following}, %{latch} ]"
        self.do(f"{counter} = phi i64 {ways}")
        more = Value(self, I64, counter) < last
        self.do(f"br i1 {more.name}, label %{body}, label %{tail}")
        self.label(body)
        yield Value(self, I64, counter)
        self.do(f"br label %{latch}")
        self.label(latch)
        self.do(f"{following} = add nsw i64 {counter}, {by.name}")
        self.do(f"br label %{head}{self._loop_tail(unroll, vectorize)}")
        self.label(tail)

    @contextmanager
    def repeat(self, condition: Callable[[], Value]) -> Iterator[None]:
        """Repeat the block while `condition()`, printed at its head, holds."""
        head, body, tail = (self.fresh(s) for s in ("head", "body", "after"))
        self.do(f"br label %{head}")
        self.label(head)
        more = condition()
        self.do(f"br i1 {more.name}, label %{body}, label %{tail}")
        self.label(body)
        yield
        self.do(f"br label %{head}{self._loop_tail(unroll=False, vectorize=False)}")
        self.label(tail)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Run the block only if the condition holds."""
        yes, after = self.fresh("yes"), self.fresh("after")
        self.do(f"br i1 {condition.name}, label %{yes}, label %{after}")
        self.label(yes)
        yield
        self.do(f"br label %{after}")
        self.label(after)

    def choose(
        self, condition: Value, yes: Callable[[], None], no: Callable[[], None]
    ) -> None:
        """Print two blocks, of which one runs."""
        labels = [self.fresh(s) for s in ("yes", "no", "after")]
        self.do(f"br i1 {condition.name}, label %{labels[0]}, label %{labels[1]}")
        for label, body in zip(labels, (yes, no), strict=False):
            self.label(label)
            body()
            self.do(f"br label %{labels[2]}")
        self.label(labels[2])

    @property
    def lo(self) -> Value:
        """The first unit of this piece."""
        return Value(self, I64, "%lo")

    @property
    def hi(self) -> Value:
        """One past the last unit of this piece."""
        return Value(self, I64, "%hi")

    @property
    def text(self) -> str:
        """The module printed so far."""
        widths = '"prefer-vector-width"="512" "min-legal-vector-width"="512"'
        notes = [widths] if self.wide else []
        notes += [DIRECT] if self.direct else []
        attributes = " ".join(["nounwind", *notes])
        head = f"define i32 @{self.symbol}(ptr noalias %words, i64 %lo, i64 %hi) #0 {{"
        nodes = [f"!{i} = {node}" for i, node in enumerate(self._metadata)]
        declared = [self._declared[name] for name in sorted(self._declared)]
        body = ["entry:", *self._entry, "  br label %start", "start:", *self._lines]
        foot = ["  ret i32 0", "}", *declared, f"attributes #0 = {{ {attributes} }}"]
        return "\n".join([head, *body, *foot, *nodes, ""])


@contextmanager
def kernel(symbol: str, *, wide: bool = True, direct: bool = False) -> Iterator[Writer]:
    """Print one step ``i32 symbol(words, lo, hi)``; read `Writer.text` at the end.

    Args:
        symbol: the name of the function.
        wide: whether to ask for 512-bit vectors.
        direct: whether the text needs no optimisation, only tidying: its vectors and
            what it hoists are printed already. Compiles in half the time or less.

    Example:
        >>> with kernel("halve") as w:
        ...     x = w.address(0)
        ...     with w.loop(w.lo, w.hi) as i:
        ...         w.store(w.load(F32, x, i) * 0.5, x, i)
        >>> w.text.splitlines()[0]
        'define i32 @halve(ptr noalias %words, i64 %lo, i64 %hi) #0 {'
    """
    yield Writer(symbol, wide, direct)
