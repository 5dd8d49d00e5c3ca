"""Traces say what applying a primitive does; tracers are the values that they follow.

One trace is current in each thread. A primitive is processed by the current trace; a
trace that does not recognise any operand as its own passes the call to its parent.
At the bottom `Eager` computes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from rxcore.base import errors
from rxcore.ir.graph import Source
from rxcore.ir.operators import Numeric
from rxcore.ir.primitive import Primitive
from rxcore.ir.types import Type


class Trace:
    """Decides what applying a primitive means."""

    parent: Trace | None = None
    alive: bool = True
    # Said in errors: the transform that made this trace.
    transform: str = "tracing"

    def process(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> Sequence[Any]:
        """Apply a primitive; always returns a sequence of results."""
        raise NotImplementedError

    def ancestors(self) -> Iterator[Trace]:
        """Yield this trace and those below it."""
        trace: Trace | None = self
        while trace is not None:
            yield trace
            trace = trace.parent


class Tracer(Numeric):
    """A value that a trace follows instead of computing."""

    __slots__ = ("__weakref__", "source", "trace", "type")

    trace: Trace
    type: Type
    source: Source | None

    def __init__(self, trace: Trace, type: Type, source: Source | None = None) -> None:
        self.trace = trace
        self.type = type
        self.source = source

    def __repr__(self) -> str:
        return f"Tracer<{self.type}, {self.trace.transform}>"

    def _refuse(self, what: str, fix: str) -> NoReturn:
        made = f"; it was made at {self.source}" if self.source else ""
        raise errors.ConcretizationError(
            f"{what} needs the number of a traced value of type {self.type}, which"
            f" does not exist while {self.trace.transform} runs{made}. {fix}"
        )

    def concrete(self) -> Any:
        """Return the array behind this tracer, where there is one."""
        return None

    def numbers(self) -> Any:
        """Return an array of all numbers it stands for, of every lane, where known."""
        return self.concrete()

    def _number(self, what: str, fix: str) -> Any:
        value = self.concrete()
        if value is None:
            self._refuse(what, fix)
        return value

    def __bool__(self) -> bool:
        fix = "Use rx.cond, rx.while_loop or rnp.where, or a static argument."
        return bool(self._number("bool()", fix))

    def __int__(self) -> int:
        return int(self._number("int()", "Pass it as a static argument of rx.jit."))

    def __float__(self) -> float:
        fix = "Keep it an array, or pass it as a static argument of rx.jit."
        return float(self._number("float()", fix))

    def __complex__(self) -> complex:
        return complex(self._number("complex()", "Keep it an array."))

    def __index__(self) -> int:
        fix = "Use x[i] with an array index, rx.dynamic_slice, or a static argument."
        return self._number("indexing with __index__", fix).__index__()  # type: ignore[no-any-return]

    def item(self, *args: int) -> Any:
        """Return the number, where there is one."""
        return self._number("item()", "Keep it an array.").item(*args)

    def tolist(self) -> Any:
        """Return nested lists of numbers, where there are some."""
        return self._number("tolist()", "Keep it an array.").tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        fix = "Use rxcore.numpy in place of NumPy, or rx.pure_callback."
        return self._number("a NumPy function", fix).__array__(dtype, copy)

    def __len__(self) -> int:
        if not self.type.shape:
            raise TypeError("len() of an array of rank 0")
        return self.type.shape[0]


class _Current(threading.local):
    trace: Trace
    # How many traces were entered, those of parents for a moment included, and how
    # many Graphs are applied.
    depth: int = 0


_current = _Current()
_bottom: list[Trace] = []


def install_bottom(trace: Trace) -> None:
    """Install the trace that computes; called once."""
    _bottom.append(trace)


def current() -> Trace:
    """Return the trace that is current in this thread."""
    try:
        return _current.trace
    except AttributeError:
        _current.trace = _bottom[0]
        return _current.trace


@contextmanager
def entered(trace: Trace) -> Iterator[None]:
    """Make a trace current for a while."""
    before = current()
    _current.trace = trace
    _current.depth += 1
    try:
        yield
    finally:
        _current.trace = before
        _current.depth -= 1


@contextmanager
def working() -> Iterator[None]:
    """Say that the ops of a `with` block are a transform's, and not a user's own."""
    _current.depth += 1
    try:
        yield
    finally:
        _current.depth -= 1


def transforming() -> bool:
    """Say whether a transform is at work in this thread, whose trace is current."""
    return _current.depth > 0


def escaped(tracer: Tracer) -> errors.TraceError:
    """Build the error for a tracer that outlived its trace."""
    made = f" It was made at {tracer.source}." if tracer.source else ""
    return errors.TraceError(
        f"A traced value of type {tracer.type} escaped from {tracer.trace.transform}:"
        f" it was kept in a list, a global or an object by a side effect and used"
        f" after the function had returned.{made} Return it from the function instead."
    )
