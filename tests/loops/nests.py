"""Random well-formed Nests, with memories for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import define, field, frozen
from hypothesis import strategies as st

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.loops.nest import (
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
    Operand,
    Scratch,
    Size,
    Statement,
    Store,
)

REAL = (dtypes.bool_, *dtypes.REAL)
WIDE = (dtypes.float32, dtypes.float64)
COMPUTED = (*dtypes.INTEGERS, *WIDE)
UNARY = {
    "f": ("neg", "abs", "floor", "ceil", "trunc", "round", "sqrt"),
    "i": ("neg", "abs", "not"),
    "u": ("neg", "abs", "not"),
    "b": ("not",),
}
BINARY = {
    "f": ("add", "sub", "mul", "div", "rem"),
    "i": (
        *("add", "sub", "mul", "quo", "rem", "min", "max"),
        *("and", "or", "xor", "shl", "shr"),
    ),
    "b": ("and", "or", "xor", "min", "max", "add", "mul"),
}
BINARY["u"] = BINARY["i"]
COMPARES = ("lt", "le", "eq", "ne")
COMBINES = {
    "f": ("add", "mul", "min", "max"),
    "i": ("add", "mul", "min", "max", "and", "or", "xor"),
    "b": ("and", "or", "xor", "min", "max"),
}
COMBINES["u"] = COMBINES["i"]


@frozen
class Axis:
    """A range of index values: one loop, or a block and the loop inside it."""

    form: Index
    extent: int
    independent: bool


@frozen
class Case:
    """A Nest, its memories, and how closely each output is determined."""

    nest: Nest
    memories: dict[str, np.ndarray[Any, Any]]
    tolerance: dict[str, str]

    def fresh(self) -> dict[str, np.ndarray[Any, Any]]:
        return {name: m.copy() for name, m in self.memories.items()}


def random_values(
    dtype: DType, size: int, seed: int, kind: str
) -> np.ndarray[Any, Any]:
    """Return data of a kind: `wild` (special values too), `tame`, or `index`."""
    rng = np.random.default_rng(seed)
    if dtypes.is_bool(dtype):
        return rng.integers(0, 2, size).astype(dtype)
    if dtypes.is_integer(dtype):
        info = np.iinfo(dtype)
        wide = rng.integers(info.min, info.max, size, dtype, endpoint=True)
        small = rng.integers(0, 9, size).astype(dtype)
        return np.where(rng.random(size) < 0.5, wide, small)
    if kind == "tame":
        return (rng.uniform(0.9, 1.1, size) * rng.choice([-1, 1], size)).astype(dtype)
    special = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.5, 2.5, 6e-8, 3e38, 65520.0]
    values = np.ldexp(rng.normal(size=size), rng.integers(-30, 40, size))
    picked = np.where(rng.random(size) < 0.2, rng.choice(special, size), values)
    with np.errstate(all="ignore"):
        return picked.astype(dtype)


@define
class Maker:
    """Grows a Nest statement by statement; `draw` decides."""

    draw: Any
    small: int
    buffers: dict[str, list[Any]] = field(factory=dict)
    scratch: list[Scratch] = field(factory=list)
    names: list[tuple[str, DType]] = field(factory=list)
    axes: list[Axis] = field(factory=list)
    tolerance: dict[str, str] = field(factory=dict)
    count: int = 0
    inside_group: bool = False

    def pick(self, options: Any) -> Any:
        return self.draw(st.sampled_from(tuple(options)))

    def chance(self) -> bool:
        return bool(self.draw(st.booleans()))

    def fresh(self, prefix: str) -> str:
        self.count += 1
        # Names that do not sort in order of appearance.
        return f"{prefix}{(self.count * 37) % 101}_{self.count}"

    # --- memories ---------------------------------------------------------------------

    def memory(self, dtype: DType, access: str, kind: str = "wild") -> str:
        name = self.fresh("m")
        self.buffers[name] = [dtype, 1, access, kind]
        return name

    def reach(self, name: str, index: Index, axes: list[Axis]) -> Index:
        """Shift an index so that it stays inside, and let the memory hold it."""
        low = high = index.constant
        for axis in axes:
            # A form's own coefficients may be those of a block: find its factor.
            loop = axis.form.names()[-1]
            factor = index.coefficient(loop) // axis.form.coefficient(loop)
            span = factor * max(axis.extent - 1, 0)
            low, high = low + min(span, 0), high + max(span, 0)
        shift = -low if low < 0 else 0
        record = self.buffers[name]
        record[1] = max(record[1], high + shift + 1)
        return index + shift

    def read_index(self, name: str) -> Index:
        total, used = Index(self.pick((0, 0, 1, 3))), []
        for axis in self.axes:
            factor = self.pick((0, 1, 1, 1, -1, 2, 5))
            if factor:
                total = total + axis.form * factor
                used.append(axis)
        return self.reach(name, total, used)

    def write_index(self, name: str) -> Index:
        """Return an index that no two independent iterations share."""
        total, stride = Index(self.pick((0, 0, 2))), 1
        axes = [a for a in self.axes if a.independent or self.chance()]
        used = list(self.draw(st.permutations(axes)))
        for axis in used:
            sign = self.pick((1, 1, -1))
            total = total + axis.form * (sign * stride)
            stride *= max(axis.extent, 1)
        return self.reach(name, total, used)

    # --- values ----------------------------------------------------------------------

    def load(self, dtype: DType, kind: str = "wild") -> Load:
        memory, name = self.memory(dtype, "in", kind), self.fresh("v")
        index = self.read_index(memory)
        self.names.append((name, dtype))
        return Load(name, dtype, memory, index)

    def operand(self, dtype: DType, out: list[Statement]) -> Operand:
        known = [n for n, d in self.names if d == dtype]
        how = self.pick(("name", "name", "name", "constant", "load"))
        if how == "name" and known:
            return str(self.pick(known))
        if how == "constant":
            if dtype == dtypes.int64 and self.chance():
                return Size(self.pick((0, 1, -1, 7, 640)))
            options = (True, False) if dtypes.is_bool(dtype) else (0, 1, 3, 100)
            if dtypes.is_float(dtype):
                options = (0.1, -0.0, 3e38, float("inf"), float("nan"), 1.0)
            return Constant(self.pick(options), dtype)
        load = self.load(dtype)
        out.append(load)
        return load.name

    def let(self, out: list[Statement]) -> None:
        form = self.pick(("unary", "binary", "binary", "compare", "select", "cast"))
        dtype = self.pick((*COMPUTED, *WIDE, dtypes.bool_))
        kind = dtype.kind
        match form:
            case "unary":
                op, found = self.pick(UNARY[kind]), [dtype]
            case "binary":
                op, found = self.pick(BINARY[kind]), [dtype, dtype]
            case "compare":
                op, found, dtype = self.pick(COMPARES), [dtype, dtype], dtypes.bool_
            case "select":
                dtype = self.pick(REAL)
                op, found = "select", [dtypes.bool_, dtype, dtype]
            case _:
                dtype, source = self.pick(REAL), self.pick(REAL)
                op, found = "cast", [source]
                same = dtypes.bool_ not in (dtype, source)
                if same and dtype.itemsize == source.itemsize and self.chance():
                    op = "bitcast"
        operands = tuple(self.operand(d, out) for d in found)
        name = self.fresh("v")
        out.append(Let(name, dtype, op, operands))
        # A NaN's bits are not part of the meaning: do not compute on with them.
        if op != "bitcast" or not dtypes.is_float(found[0]):
            self.names.append((name, dtype))

    def loose(self, out: list[Statement]) -> None:
        """Store something that is determined up to rounding, or a zero's sign."""
        dtype = self.pick(WIDE)
        op = self.pick(("muladd", "min", "max"))
        kind = "tame" if op == "muladd" else "wild"
        loads = [self.load(dtype, kind) for _ in range(3 if op == "muladd" else 2)]
        name = self.fresh("v")
        out += loads
        out.append(Let(name, dtype, op, tuple(load.name for load in loads)))
        self.store(name, dtype, out, "close" if op == "muladd" else "zero")

    def store(
        self, operand: Operand, dtype: DType, out: list[Statement], how: str = "same"
    ) -> None:
        memory = self.memory(dtype, "out")
        out.append(Store(memory, self.write_index(memory), operand))
        self.tolerance[memory] = how

    def update(self, out: list[Statement]) -> None:
        """Load and store one element of the same memory."""
        dtype = self.pick(COMPUTED)
        memory, old, new = self.memory(dtype, "inout"), *map(self.fresh, "vv")
        index = self.write_index(memory)
        self.tolerance[memory] = "same"
        out.append(Load(old, dtype, memory, index))
        other = self.operand(dtype, out)
        out.append(Let(new, dtype, "sub", (old, other)))
        out.append(Store(memory, index, new))

    def gather(self, out: list[Statement]) -> None:
        source = self.pick((dtypes.int64, dtypes.uint8, dtypes.int32))
        numbers = self.load(source, "index")
        self.names.pop()
        wide, name = self.fresh("v"), self.fresh("v")
        dtype = self.pick(REAL)
        table = self.memory(dtype, "in")
        step = self.pick((1, 1, 3))
        self.buffers[table][1] = 8 * step + 2
        out.append(numbers)
        at = numbers.name
        if source != dtypes.int64:
            out.append(Let(wide, dtypes.int64, "cast", (at,)))
            at = wide
        out.append(Load(name, dtype, table, Index(1, ((at, step),))))
        self.names.append((name, dtype))

    # --- control ----------------------------------------------------------------------

    def extent(self) -> int:
        return int(self.pick((0, 1, 1, 2, 3, 5, self.small, self.small + 1)))

    def loop(
        self, kind: str, depth: int, out: list[Statement], extent: int | None = None
    ) -> None:
        """Add a loop (at times a blocked pair of loops) with a random body."""
        extent = self.extent() if extent is None else extent
        index, known, before = self.fresh("i"), len(self.names), self.inside_group
        self.inside_group = kind == "group"
        independent = kind != "serial"
        block = self.pick((0, 0, 4)) if kind in ("serial", "parallel", "group") else 0
        if not block:
            self.axes.append(Axis(Index.of(index), extent, independent))
            body = self.body(depth)
            out.append(Loop(index, extent, kind, tuple(body)))
        else:
            inner = self.fresh("i")
            form = Index.of(inner) + Index.of(index, block)
            self.axes.append(Axis(form, extent, independent))
            within = {"group": "item"}.get(kind, kind)
            self.inside_group = False
            body = self.body(depth)
            rest = Loop(inner, Block(index, block, extent), within, tuple(body))
            out.append(Loop(index, -(-extent // block), kind, (rest,)))
        self.axes.pop()
        del self.names[known:]
        self.inside_group = before

    def reduction(self, out: list[Statement]) -> None:
        """Add a loop, or two nested ones, that accumulate; store the result."""
        dtype = self.pick((*COMPUTED, *WIDE, dtypes.bool_))
        combine = self.pick(COMBINES[dtype.kind])
        exact = not dtypes.is_float(dtype)
        how = "same" if exact else ("close" if combine in ("add", "mul") else "zero")
        acc, known = self.fresh("a"), len(self.names)
        start = 1.0 if dtypes.is_float(dtype) else dtypes.is_bool(dtype)
        accumulator = Accumulator(acc, dtype, combine, Constant(start, dtype))
        body: list[Statement] = []
        index, second = self.fresh("i"), self.fresh("i")
        nested, extent = self.chance(), self.extent()
        self.axes.append(Axis(Index.of(index), extent, False))
        if nested:
            self.axes.append(Axis(Index.of(second), 3, False))
        value: Operand
        if exact:
            value = self.operand(dtype, body)
        else:
            load = self.load(dtype, "tame" if how == "close" else "wild")
            body.append(load)
            value = load.name
            if combine == "add" and self.chance():
                value = self.fresh("v")
                body.append(Let(value, dtype, "mul", (load.name, load.name)))
        join: Statement = Accumulate(acc, value)
        if exact and self.chance():
            condition = self.operand(dtypes.bool_, body)
            join = If(condition, (join,))
        body.append(join)
        kind = "item" if self.inside_group and not nested else "serial"
        if nested:
            self.axes.pop()
            body = [Loop(second, 3, kind, tuple(body))]
        self.axes.pop()
        del self.names[known:]
        out.append(Loop(index, extent, kind, tuple(body), (accumulator,)))
        self.store(acc, dtype, out, how)
        if exact:
            self.names.append((acc, dtype))

    def scan(self, out: list[Statement]) -> None:
        """Add a serial loop with a carry, storing the carry of each step."""
        dtype = self.pick(COMPUTED)
        acc, index, extent = self.fresh("a"), self.fresh("i"), self.extent()
        known, first = len(self.names), self.operand(dtype, out)
        mark = len(self.names)
        self.axes.append(Axis(Index.of(index), extent, False))
        body: list[Statement] = []
        other = self.operand(dtype, body)
        new = self.fresh("v")
        body.append(Let(new, dtype, "sub", (acc, other)))
        join: Statement = Accumulate(acc, new)
        if self.chance():
            join = If(self.operand(dtypes.bool_, body), (join,))
        body.append(join)
        self.store(acc, dtype, body)
        self.axes.pop()
        del self.names[mark:]
        carry = Accumulator(acc, dtype, "replace", first)
        out.append(Loop(index, extent, "serial", tuple(body), (carry,)))
        self.names.append((acc, dtype))
        assert known <= mark

    def stash(self, out: list[Statement]) -> None:
        """Fill a scratch memory in one cooperative loop, read it in another."""
        dtype, extent = self.pick(REAL), self.pick((1, 5, 40))
        name, known = self.fresh("s"), len(self.names)
        self.scratch.append(Scratch(name, dtype, extent))
        i, j, v = self.fresh("i"), self.fresh("i"), self.fresh("v")
        body: list[Statement] = []
        self.axes.append(Axis(Index.of(i), extent, True))
        value = self.operand(dtype, body)
        self.axes.pop()
        del self.names[known:]
        body.append(Store(name, Index.of(i), value))
        out.append(Loop(i, extent, "item", tuple(body)))
        back = self.chance()
        at = Index.of(j, -1) + (extent - 1) if back else Index.of(j)
        self.axes.append(Axis(Index.of(j), extent, True))
        again: list[Statement] = [Load(v, dtype, name, at)]
        self.store(v, dtype, again)
        self.axes.pop()
        out.append(Loop(j, extent, "item", tuple(again)))

    def condition(self, out: list[Statement]) -> None:
        holds = self.operand(dtypes.bool_, out)
        known, body = len(self.names), []
        was, self.inside_group = self.inside_group, False
        self.let(body)
        name, dtype = self.names[-1]
        self.store(name, dtype, body)
        self.inside_group = was
        del self.names[known:]
        out.append(If(holds, tuple(body)))

    def body(self, depth: int) -> list[Statement]:
        out: list[Statement] = [self.load(self.pick(COMPUTED))]
        options = ["let"] * 5 + ["store", "loose", "update", "gather", "if"]
        if depth > 0:
            options += ["reduction", "scan", "loop"] * 2
            options += ["stash", "items"] * 2 if self.inside_group else []
        for _ in range(self.draw(st.integers(1, 5))):
            match self.pick(options):
                case "let":
                    self.let(out)
                case "store":
                    self.store(*self.names[-1], out)
                case "loose":
                    self.loose(out)
                case "update":
                    self.update(out)
                case "gather":
                    self.gather(out)
                case "if":
                    self.condition(out)
                case "reduction":
                    self.reduction(out)
                case "scan":
                    self.scan(out)
                case "stash":
                    self.stash(out)
                case "items":
                    self.loop("item", 0, out)
                case "loop":
                    kinds = ("parallel", "serial") if self.axes else ("serial",)
                    kind = self.pick(kinds)
                    self.loop(kind, depth - 1, out)
        self.store(*self.names[-1], out)
        return out


@st.composite
def cases(draw: Any, sizes: int = 40) -> Case:
    """Draw a Nest with its memories."""
    maker = Maker(draw, draw(st.integers(2, sizes)))
    body: list[Statement] = []
    kind = maker.pick(("group", "lane", "parallel", "serial", "none"))
    if kind == "none":
        body = maker.body(1)
    else:
        maker.loop(kind, 2, body)
    buffers, memories = [], {}
    for seed, (name, (dtype, size, access, values)) in enumerate(maker.buffers.items()):
        buffers.append(Buffer(name, dtype, size, access))
        data = random_values(dtype, size, seed, values)
        memories[name] = data % 9 if values == "index" else data
        memories[name] = memories[name].astype(dtype)
    nest = Nest("random", tuple(buffers), tuple(body), tuple(maker.scratch))
    return Case(nest, memories, maker.tolerance)
