"""The timeline: what happened when, while somebody records it.

Whoever does something worth telling wraps it in a `span`; without a recorder that is
a look at an empty list. Times are nanoseconds of `time.perf_counter_ns`. A recorder
gets all that overlaps its own time: what began before it or has not ended when it
stops is clipped, so spans nest in every recorder, and none is lost.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, Self, TypeVar

from attrs import evolve, field, frozen

from rxcore.base import config

__all__ = [
    "Event",
    "Idle",
    "Recorder",
    "Span",
    "Track",
    "active",
    "come_by",
    "here",
    "mark",
    "span",
    "timed",
]

R = TypeVar("R")

# The recorders that listen. While there are some, warm calls take the slow path.
active: list[Recorder] = config.watching


@frozen
class Track:
    """Where things happen one after another: a thread, or a device's queue.

    Args:
        place: `cpu`, or the name of a device.
        name: the thread's or the queue's name.
        number: tells threads of one name apart.
    """

    place: str
    name: str
    number: int = 0


@frozen
class Event:
    """Something that happened.

    Args:
        kind: what sort it is: `call`, `capture`, `pass`, `kernel`, ...
        name: what it was.
        track: where.
        begin: when, in nanoseconds of `time.perf_counter_ns`.
        end: until when.
        details: what else is known; values are shown by `str`.
    """

    kind: str
    name: str
    track: Track
    begin: int
    end: int
    details: dict[str, Any] = field(factory=dict)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end - self.begin) * 1e-9

    def within(self, low: int, high: int) -> Event:
        """Return the part of it between two times."""
        begin, end = max(self.begin, low), min(self.end, high)
        if begin == self.begin and end == self.end:
            return self
        return evolve(self, begin=begin, end=max(begin, end))


# One lock for all of it: a span that ends hands itself over while no recorder stops.
_lock = threading.RLock()
_open: dict[int, Span] = {}


def here() -> Track:
    """Return the track of this thread."""
    thread = threading.current_thread()
    return Track("cpu", thread.name, thread.ident or 0)


class Span:
    """Something that takes time; a context manager, used in one thread."""

    __slots__ = ("begin", "details", "kind", "name", "track")

    def __init__(self, kind: str, name: str, details: dict[str, Any]) -> None:
        self.kind = kind
        self.name = name
        self.details = details

    def note(self, **details: Any) -> None:
        """Add what has come to be known."""
        self.details.update(details)

    def events(self, now: int) -> list[Event]:
        """Return what is to be told, if it ends now: inner events come first."""
        details = dict(self.details)
        return [Event(self.kind, self.name, self.track, self.begin, now, details)]

    def __enter__(self) -> Self:
        self.track = here()
        self.begin = perf_counter_ns()
        with _lock:
            _open[id(self)] = self
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        now = perf_counter_ns()
        if error is not None:
            self.note(error=f"{type(error).__name__}: {error}")
        with _lock:
            _open.pop(id(self), None)
            found = self.events(now)
            for recorder in active:
                recorder.take(found, now)


class Idle:
    """The span of a time when nobody records."""

    __slots__ = ()

    def note(self, **details: Any) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        """Do nothing."""


_IDLE = Idle()


def span(kind: str, name: str, **details: Any) -> Span | Idle:
    """Return what records the time of a `with` block.

    Example:
        >>> recorder = Recorder()
        >>> recorder.start()
        >>> with span("pass", "fuse") as told:
        ...     told.note(equations=3)
        >>> recorder.stop()
        >>> [(e.kind, e.name, e.details) for e in recorder.events]
        [('pass', 'fuse', {'equations': 3})]
    """
    return Span(kind, name, details) if active else _IDLE


def mark(kind: str, name: str, **details: Any) -> None:
    """Record something that takes no time."""
    if active:
        with Span(kind, name, details):
            pass


def timed(
    function: Callable[..., R], kind: str, name: str, **details: Any
) -> Callable[..., R]:
    """Return a function whose calls are recorded."""

    def told(*args: Any, **kwargs: Any) -> R:
        with span(kind, name, **details):
            return function(*args, **kwargs)

    return told


def come_by(
    symbol: str, work: Callable[[], R], counts: Callable[[], tuple[int, int]]
) -> R:
    """Do the work that yields a kernel, and record how it was come by.

    Args:
        symbol: the kernel's name.
        work: builds it, or finds it.
        counts: how many kernels were compiled so far, and how many came from disk.
    """
    if not active:
        return work()
    with Span("build", symbol, {"symbol": symbol}) as told:
        compiled, loaded = counts()
        made = work()
        now_compiled, now_loaded = counts()
        if now_compiled == compiled:
            origin = "disk" if now_loaded > loaded else "memory"
            told.kind, told.name = "cache", f"{origin} hit"
        return made


class Recorder:
    """Collects what happens from `start` to `stop`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.begin = self.end = 0

    def start(self) -> None:
        """Begin to listen."""
        with _lock:
            self.begin = perf_counter_ns()
            active.append(self)
            config.mark_unusual()

    def stop(self) -> None:
        """Listen no more; what has not ended yet is taken as it stands."""
        with _lock:
            self.end = perf_counter_ns()
            for one in reversed(tuple(_open.values())):
                self.take(one.events(self.end), self.end)
            active.remove(self)
            config.mark_unusual()

    def take(self, found: list[Event], now: int) -> None:
        """Take events, clipped to the time of this recorder."""
        self.events += [e.within(self.begin, now) for e in found if e.end > self.begin]


def _renew() -> None:
    """A thread that held the lock is not there in a forked child."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
