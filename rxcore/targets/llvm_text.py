"""Print a Nest as LLVM IR text: statements, loops, and the argument block.

The text depends on the structure of the Nest only. Names become numbers in order of
appearance; 0, 1, -1 and the sizes of Blocks stay; every other integer that came from
a shape is lifted into a word of the argument block, equal integers into one word. So
equal text is the same kernel at any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.loops.grid import grid_loop
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
    Scratch,
    Size,
    Statement,
    Store,
    walk,
)
from rxcore.targets.llvm_facts import (
    block_sizes,
    fused_products,
    is_plain,
    updated,
    widest_bytes,
)
from rxcore.targets.llvm_module import Printed, assemble
from rxcore.targets.llvm_scalar import (
    REASSOCIATE,
    Lines,
    constant,
    memory_type,
    scalar_type,
)

__all__ = ["print_nest"]

_INDEPENDENT = ("parallel", "lane", "item")
_KEPT = (0, 1, -1)
# Bodies of up to so many statements are interleaved twice.
_SHORT = 40


def print_nest(nest: Nest, vector_bits: int) -> Printed:
    """Print a verified Nest; ask LLVM for vectors of this many bits."""
    printer = _Printer(nest, vector_bits)
    printer.print_body(nest.body)
    return assemble(
        nest,
        printer.out,
        printer.words,
        {name: (word, d) for (_, d), (name, word) in printer.numbers.items()},
        printer.strides,
        printer.metadata,
        vector_bits,
    )


@define
class _Printer:
    """The state of printing one Nest."""

    nest: Nest
    vector_bits: int
    out: Lines = field(factory=Lines)
    words: dict[int, str] = field(factory=dict)
    numbers: dict[tuple[int, DType], tuple[str, str]] = field(factory=dict)
    values: dict[str, str] = field(factory=dict)
    kinds: dict[str, DType] = field(factory=dict)
    order: dict[str, int] = field(factory=dict)
    running: dict[str, str] = field(factory=dict)
    combines: dict[str, Accumulator] = field(factory=dict)
    memories: dict[str, Buffer | Scratch] = field(init=False)
    places: dict[str, str] = field(init=False)
    offsets: dict[object, str] = field(factory=dict)
    metadata: list[str] = field(factory=list)
    blocks: dict[str, int] = field(init=False)
    products: dict[str, Let] = field(init=False)
    grid: Loop | None = field(init=False)
    strides: dict[str, None] = field(factory=dict)
    innermost: str = ""
    label: str = "entry"
    group: str = ""
    depth: int = 0
    private: bool = False

    def __attrs_post_init__(self) -> None:
        every: tuple[Buffer | Scratch, ...] = (*self.nest.buffers, *self.nest.scratch)
        self.memories = {m.name: m for m in every}
        self.places = {b.name: f"%b{i}" for i, b in enumerate(self.nest.buffers)}
        self.places |= {s.name: f"%s{i}" for i, s in enumerate(self.nest.scratch)}
        self.grid = grid_loop(self.nest)
        self.products = fused_products(self.nest.body)
        self.blocks = block_sizes(self.nest)

    # --- operands ------------------------------------------------------------------

    def word(self, integer: int) -> str:
        """Return an integer that came from a shape: kept or lifted."""
        if integer in _KEPT:
            return str(integer)
        return self.words.setdefault(integer, f"%w{len(self.words)}")

    def number(self, number: Number) -> str:
        """Return a float of the program, lifted by its bits."""
        key = (number.bits, number.dtype)
        if key not in self.numbers:
            word = self.words.setdefault(number.bits, f"%w{len(self.words)}")
            self.numbers[key] = (f"%number{len(self.numbers)}", word)
        return self.numbers[key][0]

    def operand(self, operand: Operand) -> str:
        match operand:
            case Constant():
                return constant(operand)
            case Size():
                return self.word(operand.value)
            case Number():
                return self.number(operand)
        return self.values[operand]

    def kind(self, operand: Operand) -> DType:
        match operand:
            case Constant():
                return operand.dtype
            case Size():
                return dtypes.int64
            case Number():
                return operand.dtype
        return self.kinds[operand]

    def name(self, name: str, dtype: DType, value: str) -> None:
        self.order[name] = len(self.order)
        self.kinds[name] = dtype
        self.values[name] = value

    def offset(self, index: Index) -> str:
        """Print an affine form, outer names first so that LLVM can hoist its parts."""
        terms = [
            (self.values[n], n, c)
            for n, c in sorted(index.terms, key=lambda term: self.order[term[0]])
        ]
        total = self.word(index.constant)
        for value, name, factor in terms:
            if value == "0":
                continue
            # A coefficient that is the block's own size stays in the text with it.
            kept = self.blocks.get(name) == factor
            coefficient = str(factor) if kept else self.word(factor)
            if name == self.innermost and coefficient.startswith("%"):
                self.strides.setdefault(coefficient)
            total = self._add_term(total, value, coefficient)
        return total

    def _add_term(self, total: str, value: str, coefficient: str) -> str:
        key = (total, value, coefficient)
        found = self.offsets.get(key)
        if found is not None:
            return found
        if coefficient == "-1":
            made = self.out.line(f"sub nsw i64 {total}, {value}")
        else:
            term = value
            if coefficient != "1":
                term = self.out.line(f"mul nsw i64 {value}, {coefficient}")
            made = term
            if total != "0":
                made = self.out.line(f"add nsw i64 {total}, {term}")
        self.offsets[key] = made
        return made

    def place(self, memory: str, index: Index) -> str:
        offset = self.offset(index)
        base = self.places[memory]
        if offset == "0":
            return base
        key = (memory, offset)
        if key not in self.offsets:
            t = memory_type(self.memories[memory].dtype)
            text = f"getelementptr inbounds {t}, ptr {base}, i64 {offset}"
            self.offsets[key] = self.out.line(text)
        return self.offsets[key]

    def tail(self, memory: str) -> str:
        """Return the mark that says an access takes part in an independent loop."""
        private = self.private and isinstance(self.memories[memory], Scratch)
        return "" if private or not self.group else f", !llvm.access.group {self.group}"

    # --- statements ----------------------------------------------------------------

    def print_body(self, body: tuple[Statement, ...]) -> None:
        for statement in body:
            match statement:
                case Let():
                    self._let(statement)
                case Load():
                    dtype = statement.dtype
                    place = self.place(statement.buffer, statement.index)
                    tail = self.tail(statement.buffer)
                    self.name(statement.name, dtype, self.out.load(dtype, place, tail))
                case Store():
                    value = self.operand(statement.operand)
                    place = self.place(statement.buffer, statement.index)
                    dtype = self.memories[statement.buffer].dtype
                    self.out.store(dtype, value, place, self.tail(statement.buffer))
                case Accumulate():
                    self._accumulate(statement)
                case If():
                    self._if(statement)
                case Loop():
                    self._loop(statement)

    def _let(self, s: Let) -> None:
        if s.name in self.products:
            self.kinds[s.name] = s.dtype
            return
        first = s.operands[1] if s.op == "select" else s.operands[0]
        operands = tuple(map(self.operand, s.operands))
        if s.op in ("quo", "rem") and isinstance(s.operands[1], Size):
            size = s.operands[1].value
            if size not in _KEPT:
                made = self.out.divide_by_size(s.op, *operands)
                self.name(s.name, s.dtype, made)
                return
        made = self.out.operation(s.op, s.dtype, self.kind(first), operands)
        self.name(s.name, s.dtype, made)

    def _accumulate(self, s: Accumulate) -> None:
        accumulator = self.combines[s.name]
        dtype, old = accumulator.dtype, self.running[s.name]
        product = self.products.get(s.operand) if isinstance(s.operand, str) else None
        if accumulator.combine == "replace":
            self.running[s.name] = self.operand(s.operand)
            return
        flags = REASSOCIATE if dtypes.is_float(dtype) else ""
        if product is not None:
            a, b = map(self.operand, product.operands)
            made = self.out.muladd(dtype, a, b, old, flags)
        else:
            value = self.operand(s.operand)
            made = self.out.join(accumulator.combine, dtype, old, value, flags)
        self.running[s.name] = made

    @contextmanager
    def _scope(self) -> Iterator[None]:
        """Forget at the end what was computed inside."""
        offsets = self.offsets
        self.offsets = dict(offsets)
        yield
        self.offsets = offsets

    def _begin(self, label: str) -> None:
        self.out.text.append(f"{label}:")
        self.label = label

    def _jump(self, text: str) -> None:
        self.out.text.append(f"  br {text}")

    def _if(self, s: If) -> None:
        yes, after = self.out.fresh("yes"), self.out.fresh("after")
        before, old = self.label, dict(self.running)
        condition = self.operand(s.condition)
        self._jump(f"i1 {condition}, label %{yes}, label %{after}")
        self._begin(yes)
        with self._scope():
            self.print_body(s.body)
        last = self.label
        self._jump(f"label %{after}")
        self._begin(after)
        for name, value in old.items():
            if self.running[name] != value:
                t = scalar_type(self.combines[name].dtype)
                ways = f"[ {value}, %{before} ], [ {self.running[name]}, %{last} ]"
                self.running[name] = self.out.line(f"phi {t} {ways}")

    # --- loops ---------------------------------------------------------------------

    def _range(self, s: Loop) -> tuple[str, str]:
        if s is self.grid:
            return "%lo", "%hi"
        return "0", self._extent(s.extent)

    def _extent(self, extent: Extent) -> str:
        if not isinstance(extent, Block):
            return self.word(extent)
        rest = self.word(extent.total)
        block = self.values[extent.loop]
        if block != "0":
            done = self._add_term("0", block, str(extent.size))
            rest = self.out.line(f"sub nsw i64 {rest}, {done}")
        size = ("i64", str(extent.size))
        return self.out.intrinsic("llvm.smin.i64", "i64", ("i64", rest), size)

    def _loop(self, s: Loop) -> None:
        for a in s.accumulators:
            self.running[a.name] = self.operand(a.initial)
            self.combines[a.name] = a
            self.kinds[a.name] = a.dtype
        outer, self.innermost = self.innermost, s.index
        self.depth += 1
        with self._scope():
            if s.extent == 1:
                self._once(s)
            elif s.extent != 0 or s is self.grid:
                self._repeat(s)
        self.depth -= 1
        self.innermost = outer
        for a in s.accumulators:
            self.name(a.name, a.dtype, self.running.pop(a.name))

    def _once(self, s: Loop) -> None:
        # No loop for one iteration: every loop costs compile time.
        self.name(s.index, dtypes.int64, "0")
        for a in s.accumulators:
            self.name(a.name, a.dtype, self.running[a.name])
        if s is not self.grid:
            self.print_body(s.body)
            return
        body, after = self.out.fresh("body"), self.out.fresh("after")
        some = self.out.line("icmp slt i64 %lo, %hi")
        self._jump(f"i1 {some}, label %{body}, label %{after}")
        self._begin(body)
        self.print_body(s.body)
        self._jump(f"label %{after}")
        self._begin(after)

    def _repeat(self, s: Loop) -> None:
        first, last = self._range(s)
        head, latch, after = (self.out.fresh(x) for x in ("head", "latch", "after"))
        before = self.label
        some = self.out.line(f"icmp slt i64 {first}, {last}")
        self._jump(f"i1 {some}, label %{head}, label %{after}")
        self._begin(head)
        index, following = self.out.fresh("%i"), self.out.fresh("%n")
        head_at = len(self.out.text)
        changed = updated(s, self.running)
        starts = {name: self.running[name] for name in changed}
        phis = {name: self.out.fresh("%a") for name in changed}
        self.running |= phis
        self.name(s.index, dtypes.int64, index)
        for a in s.accumulators:
            self.name(a.name, a.dtype, self.running[a.name])
        outer_group, self.group = self.group, self._independent(s)
        mark = self.group
        self.print_body(s.body)
        self.group = outer_group
        self._jump(f"label %{latch}")
        ends = {name: self.running[name] for name in changed}
        lines = [
            f"  {index} = phi i64 [ {first}, %{before} ], [ {following}, %{latch} ]"
        ]
        for name, phi in phis.items():
            t = scalar_type(self.combines[name].dtype)
            ways = f"[ {starts[name]}, %{before} ], [ {ends[name]}, %{latch} ]"
            lines.append(f"  {phi} = phi {t} {ways}")
        self.out.text[head_at:head_at] = lines
        self._begin(latch)
        self.out.text.append(f"  {following} = add nuw nsw i64 {index}, 1")
        done = self.out.line(f"icmp eq i64 {following}, {last}")
        notes = self._notes(s, mark)
        self._jump(f"i1 {done}, label %{after}, label %{head}, !llvm.loop {notes}")
        self._begin(after)
        for name in changed:
            t = scalar_type(self.combines[name].dtype)
            ways = f"[ {starts[name]}, %{before} ], [ {ends[name]}, %{latch} ]"
            self.running[name] = self.out.line(f"phi {t} {ways}")

    def _independent(self, s: Loop) -> str:
        """Return an access group for an innermost loop of independent iterations."""
        inner = any(
            isinstance(x, Loop) and x.extent not in (0, 1) for x in walk(s.body)
        )
        if inner or s.kind not in _INDEPENDENT:
            return ""
        # Scratch is private to an iteration of the outermost loop, which the stack
        # is not: there it takes no part.
        self.private = self.depth == 1
        return self._node("distinct !{}")

    def _node(self, text: str) -> str:
        self.metadata.append(text)
        return f"!{len(self.metadata) - 1}"

    def _shared(self, text: str) -> str:
        if text in self.metadata:
            return f"!{self.metadata.index(text)}"
        return self._node(text)

    def _notes(self, s: Loop, mark: str) -> str:
        """Return the metadata of a loop.

        Unrolling only costs compile time (it also stops LLVM from interleaving). A
        long elementwise loop gets its width from us: LLVM then makes no second vector
        loop for the rest, which saves a fifth of the compile time. Short rows need
        that second loop, and what may not vectorize would print a remark.
        """
        notes = [self._shared('!{!"llvm.loop.unroll.disable"}')]
        if mark:
            notes.append(self._node(f'!{{!"llvm.loop.parallel_accesses", {mark}}}'))
        if mark and s is self.grid and is_plain(s):
            width = self.vector_bits // 8 // widest_bytes(s)
            count = 2 if len(s.body) <= _SHORT else 1
            for name, number in (
                ("vectorize.width", width),
                ("interleave.count", count),
            ):
                notes.append(self._shared(f'!{{!"llvm.loop.{name}", i32 {number}}}'))
        own = f"!{len(self.metadata)}"
        return self._node(f"distinct !{{{', '.join([own, *notes])}}}")
