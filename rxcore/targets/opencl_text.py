"""Print a Nest as OpenCL C: statements, loops, and how work-items share them.

The outermost loops of kind `lane` or `group` become the grid, counted by one number,
the group's: it is parted into loop indices in the text, uniformly for the group. An
`item` loop is walked by the items of a group together and ends with its accumulators
joined in local memory. As on the CPU, 0, 1, -1 and the sizes of Blocks stay in the
text, every other integer is an argument: equal text is the same kernel at any size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field, frozen

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.compiler.nest_passes.anatomy import identity, reads
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
from rxcore.targets.llvm_facts import block_sizes, fused_products
from rxcore.targets.opencl_grid import Grid, grid_of
from rxcore.targets.opencl_hazards import Hazards, barrier
from rxcore.targets.opencl_scalar import (
    combine,
    constant,
    memory_type,
    needed_functions,
    operation,
    scalar_type,
)

__all__ = ["Printed", "print_nest"]

_KEPT = (0, 1, -1)
# From so many elements or work-items on, indices are 64-bit integers.
_WIDE = 1 << 31
_HEAD = "#pragma OPENCL FP_CONTRACT OFF\n"
_FP64 = "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n"


@frozen
class Printed:
    """A kernel's text, its name, and the numbers lifted out of it.

    Args:
        text: OpenCL C.
        symbol: the kernel's name.
        integers: the lifted integers, in the order of the arguments.
        numbers: the lifted floats, which follow them.
        wide: whether integers are 64-bit.
        group: work-items of a work-group.
        groups: work-groups to launch.
        local_bytes: local memory of a group.
    """

    text: str
    symbol: str
    integers: tuple[int, ...]
    numbers: tuple[Number, ...]
    wide: bool
    group: int
    groups: int
    local_bytes: int


def print_nest(nest: Nest) -> Printed:
    """Print a verified Nest that was scheduled for groups of work-items."""
    # Products of extents count work-items, so they must fit as well.
    sizes = [b.size for b in nest.buffers]
    grid = grid_of(nest)
    wide = max([*sizes, grid.items], default=0) >= _WIDE
    printer = _Printer(nest, grid, "long" if wide else "int")
    printer.print_all()
    return printer.finish(wide)


@define
class _Printer:
    """The state of printing one Nest."""

    nest: Nest
    grid: Grid
    index: str
    lines: list[str] = field(factory=list)
    indent: int = 1
    words: dict[int, str] = field(factory=dict)
    numbers: dict[tuple[int, DType], tuple[str, Number]] = field(factory=dict)
    values: dict[str, str] = field(factory=dict)
    kinds: dict[str, DType] = field(factory=dict)
    # Names that hold loop indices: of the index type, though they mean int64.
    narrow: set[str] = field(factory=set)
    running: dict[str, str] = field(factory=dict)
    combines: dict[str, Accumulator] = field(factory=dict)
    memories: dict[str, Buffer | Scratch] = field(init=False)
    places: dict[str, str] = field(init=False)
    blocks: dict[str, int] = field(init=False)
    products: dict[str, Let] = field(init=False)
    trees: dict[tuple[str, int], str] = field(factory=dict)
    # What items of the group may not see yet; None outside of groups.
    hazards: Hazards | None = None
    count: int = 0

    def __attrs_post_init__(self) -> None:
        every: tuple[Buffer | Scratch, ...] = (*self.nest.buffers, *self.nest.scratch)
        self.memories = {m.name: m for m in every}
        self.places = {b.name: f"b{i}" for i, b in enumerate(self.nest.buffers)}
        self.places |= {s.name: f"s{i}" for i, s in enumerate(self.nest.scratch)}
        self.blocks = block_sizes(self.nest)
        self.products = fused_products(self.nest.body)

    # --- lines and operands ----------------------------------------------------------

    def line(self, text: str) -> None:
        self.lines.append("  " * self.indent + text)

    @contextmanager
    def block(self, opening: str) -> Iterator[None]:
        self.line(opening + " {")
        self.indent += 1
        yield
        self.indent -= 1
        self.line("}")

    def fresh(self, prefix: str = "v") -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def word(self, integer: int) -> str:
        """Return an integer that came from a shape: kept or lifted."""
        if integer in _KEPT:
            return str(integer)
        return self.words.setdefault(integer, f"w{len(self.words)}")

    def operand(self, operand: Operand) -> str:
        match operand:
            case Constant():
                return constant(operand)
            case Size():
                return f"(long){self.word(operand.value)}"
            case Number():
                key = (operand.bits, operand.dtype)
                made = (f"n{len(self.numbers)}", operand)
                return self.numbers.setdefault(key, made)[0]
        value = self.values[operand]
        return f"(long){value}" if operand in self.narrow else value

    def kind(self, operand: Operand) -> DType:
        match operand:
            case Constant() | Number():
                return operand.dtype
            case Size():
                return dtypes.int64
        return self.kinds[operand]

    def name(self, name: str, dtype: DType, value: str, *, narrow: bool = False) -> str:
        """Define a name as a new variable; return the variable."""
        made = self.fresh()
        kind = self.index if narrow else scalar_type(dtype)
        self.line(f"const {kind} {made} = {value};")
        self.bind(name, dtype, made, narrow=narrow)
        return made

    def bind(self, name: str, dtype: DType, value: str, *, narrow: bool) -> None:
        self.values[name], self.kinds[name] = value, dtype
        (self.narrow.add if narrow else self.narrow.discard)(name)

    def offset(self, index: Index, fixed: bool = False) -> str:
        """Print an affine form; of scratch, whose size is fixed, in numbers."""
        parts = []
        for name, factor in index.terms:
            value = self.values[name]
            if name not in self.narrow and self.index == "int":
                value = f"(int){value}"
            # A coefficient that is the block's own size stays in the text with it.
            kept = fixed or self.blocks.get(name) == factor
            by = str(factor) if kept else self.word(factor)
            parts.append(value if by == "1" else f"{value} * {by}")
        if index.constant or not parts:
            constant = index.constant
            parts.append(str(constant) if fixed else self.word(constant))
        return " + ".join(parts)

    def place(self, memory: str, index: Index) -> str:
        fixed = isinstance(self.memories[memory], Scratch)
        return f"{self.places[memory]}[{self.offset(index, fixed)}]"

    # --- statements ------------------------------------------------------------------

    def print_all(self) -> None:
        """Print the grid, then the body, of the whole Nest."""
        self.line("const int lid = get_local_id(0);")
        for s in self.nest.body:
            if s is self.grid.top:
                self._grid()
            else:
                self.statement(s)

    def _grid(self) -> None:
        """Part the group's number into the indices of the grid's loops."""
        rest = self.fresh("g")
        self.line(f"const {self.index} {rest} = ({self.index})get_group_id(0) + base;")
        loops = list(self.grid.loops)
        last = loops[-1]
        lanes = last.kind == "lane"
        counts = [self.grid.count(x) for x in loops]
        for loop, count in reversed(list(zip(loops[1:], counts[1:], strict=True))):
            by = self.word(count)
            value = "0" if by == "1" else f"{rest} % {by}"
            if by != "1":
                left = self.fresh("g")
                self.line(f"const {self.index} {left} = {rest} / {by};")
            self._grid_index(loop, value, lanes=lanes and loop is last)
            rest = rest if by == "1" else left
        self._grid_index(loops[0], rest, lanes=lanes and loops[0] is last)
        if lanes:
            guard = f"{self.values[last.index]} < {self.word(self.grid.extent(last))}"
            with self.block(f"if ({guard})"):
                self.print_body(last.body)
            return
        self.hazards = Hazards()
        self.print_body(last.body)
        self.hazards = None

    def _grid_index(self, loop: Loop, value: str, *, lanes: bool) -> None:
        if lanes:
            value = f"({value}) * {self.nest.group} + lid"
        self.name(loop.index, dtypes.int64, value, narrow=True)

    def print_body(self, body: tuple[Statement, ...]) -> None:
        for s in body:
            if self.hazards is not None and not isinstance(s, Loop):
                self._wait(s)
            self.statement(s)

    def _wait(self, s: Statement) -> None:
        """Put a barrier before a statement that depends on what other items did."""
        assert self.hazards is not None
        if self.hazards.conflict((s,)):
            self.line(barrier(self.hazards.clear(), self.nest))
        self.hazards.note((s,))

    def statement(self, s: Statement) -> None:
        match s:
            case Let():
                self._let(s)
            case Load():
                value = self.place(s.buffer, s.index)
                if dtypes.is_bool(s.dtype):
                    value = f"{value} != 0"
                self.name(s.name, s.dtype, value)
            case Store():
                self._store(s)
            case Accumulate():
                self._accumulate(s)
            case If():
                with self.block(f"if ({self.operand(s.condition)})"):
                    for inner in s.body:
                        self.statement(inner)
            case Loop():
                self._loop(s)

    def _store(self, s: Store) -> None:
        target, value = self.place(s.buffer, s.index), self.operand(s.operand)
        if self.hazards is not None:
            # Outside of item loops all items of a group hold the same.
            target = f"if (lid == 0) {target}"
        self.line(f"{target} = {value};")

    def _let(self, s: Let) -> None:
        if s.name in self.products:
            self.kinds[s.name] = s.dtype
            return
        first = s.operands[1] if s.op == "select" else s.operands[0]
        if s.op in ("quo", "rem") and self._counts(s):
            a = self.values[str(s.operands[0])]
            by = s.operands[1]
            assert isinstance(by, Size | Constant)
            size = self.word(by.value) if isinstance(by, Size) else str(by.value)
            sign = "/" if s.op == "quo" else "%"
            self.name(s.name, s.dtype, f"{a} {sign} {size}", narrow=True)
            return
        operands = tuple(map(self.operand, s.operands))
        self.name(s.name, s.dtype, operation(s.op, s.dtype, self.kind(first), operands))

    def _counts(self, s: Let) -> bool:
        """Say whether a quotient or remainder parts a loop index: it is positive."""
        a, b = s.operands
        size = isinstance(b, Size) or (isinstance(b, Constant) and int(b.value) > 0)
        return a in self.narrow and size

    def _accumulate(self, s: Accumulate) -> None:
        accumulator, old = self.combines[s.name], self.running[s.name]
        product = None
        if isinstance(s.operand, str):
            product = self.products.get(s.operand)
        if accumulator.combine == "replace":
            # Others of the same iteration read the old value by its own name.
            self.line(f"{old} = {self.operand(s.operand)};")
        elif product is not None:
            a, b = map(self.operand, product.operands)
            name = f"muladd_f{accumulator.dtype.itemsize * 8}"
            self.line(f"{old} = {name}({a}, {b}, {old});")
        else:
            value = self.operand(s.operand)
            made = combine(accumulator.combine, accumulator.dtype, old, value)
            self.line(f"{old} = {made};")

    # --- loops -----------------------------------------------------------------------

    def extent(self, extent: Extent) -> str:
        if not isinstance(extent, Block):
            return self.word(extent)
        rest = f"{self.word(extent.total)} - {self.values[extent.loop]} * {extent.size}"
        made = self.fresh("e")
        self.line(f"const {self.index} {made} = {rest};")
        return f"({made} < {extent.size} ? {made} : {extent.size})"

    def _loop(self, s: Loop) -> None:
        cooperative = s.kind == "item"
        outer = self.hazards
        if outer is not None:
            if outer.conflict((s,)):
                self.line(barrier(outer.clear(), self.nest))
            outer.note((s,))
        for a in s.accumulators:
            variable = self.fresh("a")
            start = self.operand(a.initial)
            if cooperative:
                start = constant(identity(a.combine, a.dtype))
            self.line(f"{scalar_type(a.dtype)} {variable} = {start};")
            self.running[a.name], self.combines[a.name] = variable, a
            self.kinds[a.name] = a.dtype
        trees = set(self.trees.values())
        self.hazards = None if cooperative or outer is None else outer.inside(trees)
        i = self.fresh("i")
        first, step = ("lid", str(self.nest.group)) if cooperative else ("0", "1")
        last = self.extent(s.extent)
        head = f"for ({self.index} {i} = {first}; {i} < {last}; {i} += {step})"
        with self.block(head):
            self.bind(s.index, dtypes.int64, i, narrow=True)
            for a in s.accumulators:
                self._name_start(a, s)
            self.print_body(s.body)
            if self.hazards is not None and self.hazards.repeats(
                s.body, set(self.trees.values())
            ):
                self.line(barrier(self.hazards.clear(), self.nest))
        if self.hazards is not None and outer is not None:
            outer.take(self.hazards)
        self.hazards = outer
        for a in s.accumulators:
            variable = self.running.pop(a.name)
            if cooperative and outer is not None:
                variable = self._joined(a, variable)
            self.bind(a.name, a.dtype, variable, narrow=False)

    def _name_start(self, a: Accumulator, s: Loop) -> None:
        """Keep the value at the start of an iteration, for those who read it."""
        if a.name in reads(s.body):
            self.name(a.name, a.dtype, self.running[a.name])

    def _joined(self, a: Accumulator, variable: str) -> str:
        """Join an accumulator over the items of a group by a tree in local memory."""
        assert self.hazards is not None
        size, t = self.nest.group, scalar_type(a.dtype)
        if size == 1:
            return self._from_start(a, variable)
        tree = self.trees.setdefault(
            (memory_type(a.dtype), a.dtype.itemsize), f"t{len(self.trees)}"
        )
        if self.hazards.uses(tree):
            self.line(barrier(self.hazards.clear(), self.nest))
        self.line(f"{tree}[lid] = {variable};")
        self.line("barrier(CLK_LOCAL_MEM_FENCE);")
        k = self.fresh("k")
        with self.block(f"for (int {k} = {size // 2}; {k} > 0; {k} >>= 1)"):
            pair = combine(a.combine, a.dtype, f"{tree}[lid]", f"{tree}[lid + {k}]")
            self.line(f"if (lid < {k}) {tree}[lid] = {pair};")
            self.line("barrier(CLK_LOCAL_MEM_FENCE);")
        self.hazards.clear_local(self.nest)
        self.hazards.used.add(tree)
        made = self.fresh()
        whole = f"{tree}[0] != 0" if t == "bool" else f"{tree}[0]"
        self.line(f"const {t} {made} = {whole};")
        return self._from_start(a, made)

    def _from_start(self, a: Accumulator, value: str) -> str:
        """Join where a loop began, unless it began from nothing."""
        if a.initial == identity(a.combine, a.dtype):
            return value
        made = self.fresh()
        whole = combine(a.combine, a.dtype, self.operand(a.initial), value)
        self.line(f"const {scalar_type(a.dtype)} {made} = {whole};")
        return made

    # --- the whole -------------------------------------------------------------------

    def finish(self, wide: bool) -> Printed:
        """Put the program together around the printed lines."""
        arguments = []
        written = {s.buffer for s in walk(self.nest.body) if isinstance(s, Store)}
        for b in self.nest.buffers:
            access = "" if b.name in written else "const "
            t, name = memory_type(b.dtype), self.places[b.name]
            arguments.append(f"__global {access}{t}* restrict {name}, long {name}_at")
        arguments += [f"{self.index} {name}" for name in self.words.values()]
        arguments += [
            f"{scalar_type(n.dtype)} {name}" for name, n in self.numbers.values()
        ]
        arguments.append("int base")
        local, local_bytes = [], 0
        for s in self.nest.scratch:
            local.append((memory_type(s.dtype), self.places[s.name], s.size))
            local_bytes += s.size * s.dtype.itemsize
        for (t, itemsize), name in self.trees.items():
            local.append((t, name, self.nest.group))
            local_bytes += self.nest.group * itemsize
        moves = [f"  {n} += {n}_at;" for n in map(self._place_of, self.nest.buffers)]
        size = self.nest.group
        body = "\n".join(
            [
                f"__kernel __attribute__((reqd_work_group_size({size}, 1, 1)))",
                "void SYMBOL(" + ",\n    ".join(arguments) + ")",
                "{",
                *(f"  __local {t} {name}[{n}];" for t, name, n in local),
                *moves,
                *self.lines,
                "}",
                "",
            ]
        )
        text = needed_functions(body) + body
        double = _FP64 if "double" in text else ""
        text = double + _HEAD + text
        symbol = f"nest_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        return Printed(
            text.replace("SYMBOL", symbol),
            symbol,
            tuple(self.words),
            tuple(n for _, n in self.numbers.values()),
            wide,
            size,
            self.grid.groups,
            local_bytes,
        )

    def _place_of(self, b: Buffer) -> str:
        return self.places[b.name]
