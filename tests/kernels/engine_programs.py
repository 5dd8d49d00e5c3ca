"""Steps, drafts of programs, and a plain interpreter that says what a program means."""

import ctypes
from collections.abc import Callable

import numpy as np
from attrs import Factory, define

from rxcore_kernels import engine, memory
from rxcore_kernels.builder import build
from rxcore_kernels.engine import Entry, OutputSpec, Slots
from rxcore_kernels.source import Source

INT64 = np.dtype(np.int64)

_LOOP = """
define i32 @{name}(ptr noalias %words, i64 %lo, i64 %hi) {{
entry:
  %x = load ptr, ptr %words
  %w1 = getelementptr i64, ptr %words, i64 1
  %y = load ptr, ptr %w1
  %w2 = getelementptr i64, ptr %words, i64 2
  %a = load i64, ptr %w2
  %w3 = getelementptr i64, ptr %words, i64 3
  %b = load i64, ptr %w3
  %any = icmp slt i64 %lo, %hi
  br i1 %any, label %loop, label %done
loop:
  %i = phi i64 [ %lo, %entry ], [ %n, %loop ]
  %px = getelementptr i64, ptr %x, i64 %i
  %py = getelementptr i64, ptr %y, i64 %i
{body}
  %n = add i64 %i, 1
  %more = icmp slt i64 %n, %hi
  br i1 %more, label %loop, label %done
done:
  ret i32 0
}}
"""

_BODIES = {
    # each element of y: a times that of x, and b more
    "affine": """
  %v = load i64, ptr %px
  %m = mul i64 %v, %a
  %s = add i64 %m, %b
  store i64 %s, ptr %py
""",
    # each element of y grows by that of x
    "accumulate": """
  %v = load i64, ptr %px
  %old = load i64, ptr %py
  %s = add i64 %old, %v
  store i64 %s, ptr %py
""",
    # y[i] += 1, also when two threads come by
    "visit": """
  %r = atomicrmw add ptr %py, i64 1 monotonic
""",
}

_TEXTS = {name: _LOOP.format(name=name, body=body) for name, body in _BODIES.items()}
# returns its first word
_TEXTS["fail"] = """
define i32 @fail(ptr noalias %words, i64 %lo, i64 %hi) {
  %status = load i64, ptr %words
  %r = trunc i64 %status to i32
  ret i32 %r
}
"""
# flag = x[0] < limit; words: x, limit, flag
_TEXTS["less"] = """
define i32 @less(ptr noalias %words, i64 %lo, i64 %hi) {
  %x = load ptr, ptr %words
  %w1 = getelementptr i64, ptr %words, i64 1
  %limit = load i64, ptr %w1
  %w2 = getelementptr i64, ptr %words, i64 2
  %flag = load ptr, ptr %w2
  %v = load i64, ptr %x
  %c = icmp slt i64 %v, %limit
  %b = zext i1 %c to i8
  store i8 %b, ptr %flag
  ret i32 0
}
"""


def step(name: str) -> int:
    """Address of one of the steps above."""
    return build([Source(_TEXTS[name], name)])[0].address


def buffer(values: np.ndarray) -> object:
    """A capsule with a copy of int64 values."""
    capsule = memory.allocate(values.nbytes)
    memory.view(capsule, INT64, values.shape, True)[...] = values
    return capsule


def values(capsule: object, size: int) -> np.ndarray:
    return memory.view(capsule, INT64, (size,))


@define
class Draft:
    """A program being written."""

    inputs: int
    outputs: list[OutputSpec]
    tables: int = 1
    arena_bytes: int = 0
    template: list[int] = Factory(list)
    relocations: list[tuple[int, int, int]] = Factory(list)
    rows: list[list[Entry]] = Factory(list)

    def __attrs_post_init__(self) -> None:
        self.rows = [[] for _ in range(self.tables)]

    @property
    def slots(self) -> Slots:
        return Slots(self.inputs, len(self.outputs))

    def words(self, *words: int | tuple[int, int]) -> int:
        """Add words; a pair (slot, offset) becomes an address."""
        start = len(self.template)
        for word in words:
            if isinstance(word, tuple):
                self.relocations.append((len(self.template), *word))
                word = 0
            self.template.append(word)
        return start

    def table(self, k: int) -> tuple[int, int]:
        return (self.slots.table(k), 0)

    @property
    def frame(self) -> tuple[int, int]:
        return (self.slots.frame, 0)

    def numbers(self, data: list[int]) -> tuple[int, int]:
        """Put literal words into the frame; return their address."""
        return (self.slots.frame, 8 * self.words(*data))

    def make(self, **more: object) -> engine.NativeProgram:
        return engine.make_program(
            self.inputs,
            self.outputs,
            self.template,
            self.relocations,
            self.rows,
            self.arena_bytes,
            **more,
        )

    def interpret(self, arguments: list[np.ndarray]) -> list[np.ndarray]:
        """Run the program as written, in Python, over NumPy memory."""
        return _Interpreter(self, arguments).run()


class _Interpreter:
    def __init__(self, draft: Draft, arguments: list[np.ndarray]) -> None:
        self.draft = draft
        self.inputs = [np.array(a, np.int64) for a in arguments]
        self.outputs = [
            self.inputs[o.alias] if o.alias >= 0 else np.zeros(o.nbytes // 8, np.int64)
            for o in draft.outputs
        ]
        self.arena = np.zeros(draft.arena_bytes // 8 + 1, np.int64)
        self.frame = np.array(draft.template, np.int64)
        bases = [a.ctypes.data for a in (*self.inputs, *self.outputs, self.arena)]
        bases.append(self.frame.ctypes.data)
        bases += range(draft.tables)  # a table's address is its number here
        for index, slot, offset in draft.relocations:
            self.frame[index] = bases[slot] + offset
        names = ("affine", "accumulate", "visit")
        self.steps: dict[int, Callable[[int, int, int], None]] = {
            **{step(name): getattr(self, name) for name in names},
            step("less"): self.less,
            engine.LOOP: self.loop,
            engine.WHILE: self.while_,
            engine.SWITCH: self.switch,
            engine.COPY: self.copy,
            engine.FILL: self.fill,
        }

    def run(self) -> list[np.ndarray]:
        self.walk(0)
        return self.outputs

    def walk(self, table: int) -> None:
        rows = self.draft.rows[table]
        k = 0
        while k < len(rows):
            e = rows[k]
            size = e.chunk or max(1, e.hi - e.lo)
            starts = range(e.lo, e.hi, size) if e.chunk else [e.lo]
            for lo in starts:
                for row in rows[k : k + e.chained + 1]:
                    self.steps[row.address](row.words, lo, min(lo + size, e.hi))
            k += e.chained + 1

    def at(self, address: int, kind: type = ctypes.c_int64) -> object:
        return kind.from_address(int(address))

    def affine(self, w: int, lo: int, hi: int) -> None:
        x, y, a, b = (int(v) for v in self.frame[w : w + 4])
        for i in range(lo, hi):
            self.at(y + 8 * i).value = self.at(x + 8 * i).value * a + b

    def accumulate(self, w: int, lo: int, hi: int) -> None:
        x, y = (int(v) for v in self.frame[w : w + 2])
        for i in range(lo, hi):
            self.at(y + 8 * i).value += self.at(x + 8 * i).value

    def visit(self, w: int, lo: int, hi: int) -> None:
        for i in range(lo, hi):
            self.at(self.frame[w + 1] + 8 * i).value += 1

    def less(self, w: int, _lo: int, _hi: int) -> None:
        x, limit, flag = (int(v) for v in self.frame[w : w + 3])
        self.at(flag, ctypes.c_int8).value = self.at(x).value < limit

    def patches(self, address: int, n: int) -> list[list[int]]:
        words = [self.at(int(address) + 8 * k).value for k in range(4 * int(n))]
        return [words[k : k + 4] for k in range(0, len(words), 4)]

    def start(self, patches: list[list[int]]) -> None:
        for _, index, a, _ in patches:
            self.frame[index] = self.frame[a]

    def advance(self, patches: list[list[int]]) -> None:
        for kind, index, a, b in patches:
            if kind == engine.ADD:
                self.frame[index] += b
            else:
                first = self.frame[index] == self.frame[a]
                self.frame[index] = self.frame[b if first else a]

    def loop(self, w: int, _lo: int, _hi: int) -> None:
        _, trips, table, _, patches, n = (int(v) for v in self.frame[w : w + 6])
        todo = self.patches(patches, n)
        self.start(todo)
        for _ in range(trips):
            self.walk(table)
            self.advance(todo)

    def while_(self, w: int, _lo: int, _hi: int) -> None:
        _, cond, _, flag, body, _, patches, n = (int(v) for v in self.frame[w : w + 8])
        todo = self.patches(patches, n)
        self.start(todo)
        while True:
            self.walk(cond)
            if not self.at(flag, ctypes.c_int8).value:
                return
            self.walk(body)
            self.advance(todo)

    def switch(self, w: int, _lo: int, _hi: int) -> None:
        _, index, n = (int(v) for v in self.frame[w : w + 3])
        chosen = min(max(self.at(index, ctypes.c_int32).value, 0), n - 1)
        self.walk(int(self.frame[w + 3 + 2 * chosen]))

    def copy(self, w: int, lo: int, hi: int) -> None:
        to, source = (int(v) for v in self.frame[w : w + 2])
        ctypes.memmove(to + lo, source + lo, hi - lo)

    def fill(self, w: int, lo: int, hi: int) -> None:
        to, value = (int(v) for v in self.frame[w : w + 2])
        ctypes.memset(to + lo, value & 255, hi - lo)
