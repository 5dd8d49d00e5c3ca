"""Tables under construction: rows of steps, the words that they read, and memories.

What an assembler writes into while it walks a Graph: it knows places and loops, and
nothing of equations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import define, field

from rxcore.compiler.capabilities import Capabilities
from rxcore.ir.graph import Equation
from rxcore.ir.types import Type
from rxcore.loops.nest import Nest
from rxcore.runtime.places import (
    ConstantMemory,
    Fixed,
    Flipped,
    Memory,
    Place,
    Stepped,
    memories,
)
from rxcore_kernels import engine
from rxcore_kernels.source import Source

__all__ = ["Assembly", "Row", "Tables", "Word"]

Word = Place | int


@define(eq=False)
class Row:
    """A table's row before addresses are known: words are given one by one.

    `equation` is what it stems from, `reason` why it calls a reference.
    """

    kernel: Source | int
    words: int
    lo: int = 0
    hi: int = 1
    chunk: int = 0
    chained: int = 0
    equation: Equation | None = None
    nest: Nest | None = None
    reason: str = ""


@define(eq=False)
class Assembly:
    """Everything that a native program needs.

    Args:
        tables: rows of steps; table 0 is the main one.
        words: the frame: integers, and places still to be resolved.
        patches: for each loop the words it changes after a pass.
        memories: the arena's memories.
        nests: scheduled Nests, for inspection.
        fallbacks: ops that run by their reference, with the reason.
        launches: how many kernels one call launches, outside loops.
        works: what runs, for those who estimate how long it takes: a Nest, a
            hand-made kernel's equation or launch, or the equation of a reference,
            with how often one call runs it (a while loop counts as once).
        alive: what must live as long as the program.
    """

    tables: list[list[Row]] = field(factory=lambda: [[]])
    words: list[Word | tuple[str, int]] = field(factory=list)
    patches: dict[int, list[tuple[int, int, int, int]]] = field(factory=dict)
    memories: list[Memory] = field(factory=list)
    nests: list[Nest] = field(factory=list)
    fallbacks: list[tuple[str, str]] = field(factory=list)
    launches: int = 0
    works: list[tuple[Any, int]] = field(factory=list)
    alive: list[Any] = field(factory=list)


class Tables:
    """The tables of one program, while they are written."""

    def __init__(self, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self.made = Assembly()
        self.clock = 0
        self.loops: tuple[int, ...] = ()
        self.count = 0
        self.pending: dict[int, list[Memory]] = {}
        self.table = 0
        self.times = 1
        # The equation whose steps are being written.
        self.subject: Equation | None = None

    # Memory and words ----------------------------------------------------------

    def memory(self, nbytes: int) -> Fixed:
        """Return a new intermediate."""
        made = Memory(nbytes, self.clock, self.loops, self.clock)
        self.made.memories.append(made)
        return Fixed(made)

    def touch(self, place: Place) -> None:
        """Note that a place is used now; in a loop, until the loop ends."""
        for m in memories(place):
            m.death = max(m.death, self.clock)
            if len(self.loops) > len(m.loops):
                self.pending[self.loops[len(m.loops)]].append(m)

    def constant(self, value: Any, type: Type) -> Fixed:
        """Return memory that holds a number for ever."""
        host = np.full(max(type.size, 1), value, type.dtype)
        self.made.alive.append(host)
        return Fixed(ConstantMemory(host.__array_interface__["data"][0]))

    def words_of(self, words: Sequence[Word | tuple[str, int]]) -> int:
        """Append words that stand together; a moving place is patched by its loop."""
        begin = len(self.made.words)
        self.made.words.extend(0 for _ in words)
        for index, w in enumerate(words, begin):
            if isinstance(w, Stepped):
                start = self.words_of([w.start])
                patch = (engine.ADD, index, start, w.stride)
                self.made.patches[w.loop].append(patch)
            elif isinstance(w, Flipped):
                even, odd = self.words_of([w.even]), self.words_of([w.odd])
                self.made.patches[w.loop].append((engine.FLIP, index, even, odd))
            else:
                self.made.words[index] = w
        return begin

    def row(
        self,
        kernel: Source | int,
        words: Sequence[Word | tuple[str, int]],
        lo: int = 0,
        hi: int = 1,
        chunk: int = 0,
    ) -> Row:
        """Append a step to the current table."""
        for w in words:
            if isinstance(w, Fixed | Stepped | Flipped):
                self.touch(w)
        begin = self.words_of(words)
        row = Row(kernel, begin, lo, hi, chunk, equation=self.subject)
        self.made.tables[self.table].append(row)
        self.clock += 1
        return row

    def copy(self, target: Place, source: Place, nbytes: int) -> None:
        """Append a copy of bytes."""
        if nbytes:
            self.row(engine.COPY, [target, source], 0, nbytes)

    # Control -------------------------------------------------------------------

    def within(self, table: int, write: Callable[[], Any], times: int = 1) -> None:
        """Write into another table, which runs a number of times."""
        before = self.table, self.times
        self.table, self.times = table, self.times * times
        try:
            write()
        finally:
            self.table, self.times = before

    def work(self, what: Any) -> None:
        """Note what a step does, and how often a call runs it."""
        self.made.works.append((what, self.times))

    def new_table(self) -> int:
        """Return the number of a new table."""
        self.made.tables.append([])
        return len(self.made.tables) - 1

    def open_loop(self) -> int:
        """Return the number of a new loop, around all that follows."""
        self.count += 1
        self.loops = (*self.loops, self.count)
        self.pending[self.count] = []
        self.made.patches[self.count] = []
        return self.count

    def close_loop(self, loop: int) -> None:
        """End a loop: what it uses from outside lives until here."""
        self.loops = self.loops[:-1]
        for m in self.pending.pop(loop):
            m.death = max(m.death, self.clock)
            if len(self.loops) > len(m.loops):
                self.pending[self.loops[len(m.loops)]].append(m)

    def loop_row(self, loop: int, length: int, table: int) -> None:
        """Append a step that runs a table a number of times."""
        words: list[Any] = [("frame", 0), length, ("table", table), ("rows", table)]
        words += [("patches", loop), ("count", loop)]
        self.row(engine.LOOP, words)

    def while_row(self, loop: int, asked: int, flag: Place, table: int) -> None:
        """Append a step that runs a table as long as another one sets a flag."""
        words: list[Any] = [("frame", 0), ("table", asked), ("rows", asked), flag]
        words += [("table", table), ("rows", table), ("patches", loop), ("count", loop)]
        self.row(engine.WHILE, words)

    def switch_row(self, index: Place, tables: Sequence[int]) -> None:
        """Append a step that runs the table of a number."""
        words: list[Any] = [("frame", 0), index, len(tables)]
        for table in tables:
            words += [("table", table), ("rows", table)]
        self.row(engine.SWITCH, words)
