"""What a device did when, in the nanoseconds of `time.perf_counter_ns`."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from attrs import Factory, define, field, frozen

from rxcore_kernels.lazy import opencl as cl

__all__ = ["Recording", "Stamp", "Work", "record"]

Work = Literal["launch", "upload", "download", "copy", "fill"]


@frozen
class Stamp:
    """One command of a device.

    Args:
        work: what sort it is.
        name: the kernel's symbol, or the sort again.
        queued: when it was enqueued, in nanoseconds of `time.perf_counter_ns`.
        start: when the device began with it.
        end: when it was done.
        nbytes: bytes of a transfer, 0 of a launch.
        first: whether it is the first launch of its kernel, which on some drivers is
            when the kernel is compiled for its work-group.
    """

    work: Work
    name: str
    queued: int
    start: int
    end: int
    nbytes: int
    first: bool


@define(eq=False)
class Recording:
    """The commands of a device while it was recorded.

    Device clocks have an unknown origin. A command cannot be queued before the host
    asked for it, so the smallest difference seen between the two is the offset, up to
    the shortest time that enqueueing takes.
    """

    _pending: deque[Any] = Factory(deque)
    _raw: list[tuple[Work, str, tuple[int, int, int], int, bool]] = Factory(list)
    _offset: int | None = None
    _lock: Any = field(factory=threading.Lock)

    def note(
        self, work: Work, name: str, event: Any, asked: int, nbytes: int, first: bool
    ) -> None:
        """Keep an event that was enqueued after the host's time `asked`."""
        self._pending.append((work, name, event, asked, nbytes, first))

    def collect(self) -> None:
        """Read the stamps of the commands that are done."""
        with self._lock:
            while self._pending:
                work, name, event, asked, nbytes, first = self._pending[0]
                try:
                    if event.command_execution_status > 0:  # later ones wait too
                        return
                    profile = event.profile
                    times = profile.queued, profile.start, profile.end
                except cl.Error:  # a command that failed has no stamps
                    times = None
                self._pending.popleft()
                if times is not None:
                    difference = times[0] - asked
                    if self._offset is None or difference < self._offset:
                        self._offset = difference
                    self._raw.append((work, name, times, nbytes, first))

    @property
    def stamps(self) -> tuple[Stamp, ...]:
        """The commands that are done, in the order in which they were enqueued."""
        offset = self._offset or 0
        return tuple(
            Stamp(work, name, a - offset, b - offset, c - offset, nbytes, first)
            for work, name, (a, b, c), nbytes, first in self._raw
        )


@contextmanager
def record(device: Any) -> Iterator[Recording]:
    """Record what a device does meanwhile; waits for it at the end.

    Example:
        >>> from rxcore_kernels.opencl import devices
        >>> device = devices()[0]
        >>> with record(device) as recording:
        ...     buffer = device.allocate(64)
        ...     device.fill_zeros(buffer)
        >>> [(s.work, s.nbytes, s.queued <= s.start <= s.end) for s in recording.stamps]
        [('fill', 64, True)]
    """
    recording = Recording()
    device.open()
    device.recordings.append(recording)
    try:
        yield recording
        device.finish()
    finally:
        device.recordings.remove(recording)
