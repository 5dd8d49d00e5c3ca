"""Stamps: the time of each kernel of a program on the CPU.

While somebody records, a program runs as a variant of itself: between any two rows of
its tables stands one that calls Python, which looks at the clock. The kernels, their
pieces and their order are the same, and so are the results. Rows that are chained run
piece by piece in turn, so they are one event.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

from attrs import define, field, frozen

from rxcore.base import timeline
from rxcore.base.collector import paused
from rxcore.runtime.array import Array
from rxcore.runtime.places import plan_arena
from rxcore.runtime.program import Program, assembled, bind, sources_of
from rxcore.runtime.subjects import Subject, joined, subject_of
from rxcore.runtime.tables import Assembly, Row
from rxcore_kernels import builder, engine
from rxcore_kernels.source import Source

__all__ = ["Stamped", "run", "stamped"]

# What a stamp says: a table begins; a row has ended; a control row begins, or ends.
_START, _ROW, _OPEN, _CLOSE = "start", "row", "open", "close"


@frozen
class Mark:
    """What the stamps of one number mean.

    Args:
        sort: `start`, `row`, `open` or `close`.
        kind: the event's kind.
        name: the event's name.
        details: what is known of it.
    """

    sort: str
    kind: str = ""
    name: str = ""
    details: dict[str, Any] = field(factory=dict)


@frozen(eq=False)
class Stamped:
    """A program that tells when its rows run.

    Args:
        native: the native program.
        marks: what the stamps mean.
    """

    native: engine.NativeProgram
    marks: tuple[Mark, ...]


class _Here(threading.local):
    stamps: list[tuple[int, int, int]] | None = None


_here = _Here()


def _stamp(words: Any, number: int, hi: int) -> None:
    """Note that a row of this number is reached, and when Python was left again."""
    del words, hi
    reached = perf_counter_ns()
    stamps = _here.stamps
    if stamps is not None:
        stamps.append((number, reached, perf_counter_ns()))


_callbacks: list[tuple[int, object]] = []


def _address() -> int:
    if not _callbacks:
        _callbacks.append(engine.callback(_stamp))
    return _callbacks[0][0]


# Making -----------------------------------------------------------------------------

_made: weakref.WeakKeyDictionary[Program, Stamped] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def stamped(program: Program) -> Stamped:
    """Return the variant of a program, made once."""
    found = _made.get(program)
    if found is None:
        with timeline.span("profile", "add stamps"):
            made = _stamped(program)
        with _lock:
            found = _made.setdefault(program, made)
    return found


@paused()
def _stamped(program: Program) -> Stamped:
    made, specs = assembled(program.optimized)
    kernels = builder.build(sources_of(made))
    arena = plan_arena(made.memories)
    marks = _Inserter(made).marks
    inputs = len(program.graph.inputs)
    return Stamped(bind(made, kernels, inputs, specs, arena), tuple(marks))


@define
class _Inserter:
    """Puts stamps between the rows of all tables."""

    made: Assembly
    marks: list[Mark] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        tables = self.made.tables
        tables[:] = [self.table(rows) for rows in tables]

    def table(self, rows: Sequence[Row]) -> list[Row]:
        """Return a table's rows with stamps."""
        found = [self.stamp(Mark(_START))]
        k = 0
        while k < len(rows):
            group = rows[k : k + rows[k].chained + 1]
            k += len(group)
            kind, name, details = _told(group)
            if kind == "loop":
                found += [self.stamp(Mark(_OPEN, kind, name, details)), *group]
                found.append(self.stamp(Mark(_CLOSE, kind, name, details)))
            else:
                found += [*group, self.stamp(Mark(_ROW, kind, name, details))]
        return found

    def stamp(self, mark: Mark) -> Row:
        """Return a row that stamps."""
        self.marks.append(mark)
        return Row(_address(), 0, lo=len(self.marks) - 1, hi=0)


def _told(group: Sequence[Row]) -> tuple[str, str, dict[str, Any]]:
    """Return the kind, the name and the details of rows that run together."""
    first = group[0]
    if first.kernel in (engine.LOOP, engine.WHILE, engine.SWITCH):
        subject = subject_of(first.equation, None, "loop")
        return "loop", subject.name, subject.details
    if first.kernel == engine.COPY:
        return "kernel", "copy", {"symbol": "copy", "bytes": 2 * (first.hi - first.lo)}
    subject = joined([_subject(row) for row in group])
    if first.reason:
        details = {**subject.details, "reason": first.reason}
        return "fallback", subject.name, details
    return "kernel", subject.name, {"symbol": _symbol(group), **subject.details}


def _subject(row: Row) -> Subject:
    return subject_of(row.equation, row.nest, "kernel")


def _symbol(group: Sequence[Row]) -> str:
    texts = (row.kernel for row in group)
    return " + ".join(t.symbol if isinstance(t, Source) else "host" for t in texts)


# Running ----------------------------------------------------------------------------


class Run(timeline.Span):
    """The run of a program on the CPU, with the stamps that it has left so far."""

    __slots__ = ("marks", "stamps")

    def __init__(self, program: Program) -> None:
        types = [v.type for v in program.graph.inputs]
        details = {"arguments": types, "results": list(program.out_types)}
        super().__init__("run", "program", details)
        self.marks: tuple[Mark, ...] = ()
        self.stamps: list[tuple[int, int, int]] = []

    def events(self, now: int) -> list[timeline.Event]:
        """Return what has run, and the run itself."""
        return [*self.inner(now), *super().events(now)]

    def inner(self, now: int) -> list[timeline.Event]:
        """Return the events of the rows."""
        found: list[timeline.Event] = []
        begin = 0
        opened: list[tuple[Mark, int]] = []
        for number, reached, left in tuple(self.stamps):
            mark = self.marks[number]
            if mark.sort == _OPEN:
                opened.append((mark, left))
            elif mark.sort == _CLOSE:
                found.append(self.event(*opened.pop(), reached))
            elif mark.sort == _ROW:
                found.append(self.event(mark, begin, reached))
            begin = left
        # Loops that have not ended.
        found += [self.event(*one, now) for one in reversed(opened)]
        return found

    def event(self, mark: Mark, begin: int, end: int) -> timeline.Event:
        """Return the event of a row."""
        details = dict(mark.details)
        return timeline.Event(mark.kind, mark.name, self.track, begin, end, details)


def run(program: Program, args: Sequence[Array]) -> list[Array]:
    """Launch a program on arrays, and record when each of its kernels runs."""
    with Run(program) as told:
        variant = stamped(program)
        buffers = [a.ensure_buffer() for a in args]
        told.marks = variant.marks
        outer, _here.stamps = _here.stamps, told.stamps
        try:
            made = variant.native.run(*buffers)
        finally:
            _here.stamps = outer
        return [Array(t, b) for t, b in zip(program.out_types, made, strict=True)]
