"""profile: record what happens in a block of code, and how long it takes."""

from __future__ import annotations

import bisect
import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Self

from attrs import frozen

from rxcore.base import errors, timeline
from rxcore.base.timeline import Event, Recorder, Track
from rxcore.control.profile_table import Table, table_of
from rxcore.control.profile_trace import trace_of
from rxcore.runtime import devices
from rxcore.runtime.devices import Target
from rxcore_kernels.opencl import DeviceFault, Recording, Stamp

__all__ = ["Profile", "profile"]

# What a device's transfers are called.
_DIRECTIONS = {
    "upload": "to the device",
    "download": "from the device",
    "copy": "on the device",
    "fill": "zeros",
}


def profile(path: str | os.PathLike[str] | None = None) -> Profile:
    """Record what rxcore does in a `with` block: what, where, and how long.

    **Meaning**: calls compute the same. Each kernel is timed, which makes a call on the
    CPU slower by some microseconds for each of its kernels; before and after the block
    nothing is slower.

    The kinds of events:

    - `call`: a whole call of a jitted function; `trace`: one inside another's capture;
    - `capture`, `compile`, and in it each `pass`, `lower` (loops, schedule, text),
      `build` (a kernel is compiled) and `cache` (it was in memory or on disk);
    - `choice`: where a call runs, and why; `run`: a program on the CPU, or how it is
      enqueued on a device, with each `launch`;
    - `kernel`, `loop` (steps of a scan, a while loop, a choice), `fallback` (an op that
      runs by its NumPy reference) and `transfer`, each on its device's own time line;
    - `eager`: an op outside compiled calls; `wait`: the host waits for a device;
    - `profile`: what recording itself takes.

    Args:
        path: the file that is written at the end, whatever happens in the block. It is
            a Chrome trace: open it at ui.perfetto.dev.

    Returns:
        A context manager that gives a `Profile`: `.table()` has the totals of each
        kernel, `.events` everything in order.

    Raises:
        OSError: the file cannot be written, which is tried at once.

    Example:
        >>> import rxcore as rx
        >>> double = rx.jit(lambda x: x * 2)
        >>> with rx.profile() as p:
        ...     y = double(rx.asarray([1.0, 2.0]))
        >>> [(row.name, row.device, row.calls) for row in p.table()]
        [('mul', 'cpu', 1)]
    """
    return Profile(path)


@frozen(eq=False)
class _Queue:
    target: Target
    recording: Recording

    @property
    def track(self) -> Track:
        return Track(self.target.name, "queue")


class Profile:
    """What was recorded in one block: see `rx.profile`."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._recorder = Recorder()
        self._queues: list[_Queue] = []
        self._state = "new"
        self._events: list[Event] | None = None

    def __enter__(self) -> Self:
        if self._state != "new":
            raise errors.UserError(
                "rx.profile: this profile has recorded a block already; make another"
                " one: with rx.profile() as p: ..."
            )
        if self.path is not None:
            with self.path.open("a"):
                pass
        self._state = "open"
        devices.watchers.append(self._watch)
        for target in devices.known():
            self._watch(target)
        self._recorder.start()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        devices.watchers.remove(self._watch)
        for queue in self._queues:
            with (
                timeline.span("wait", "finish", device=queue.target.name),
                contextlib.suppress(DeviceFault),
            ):
                queue.target.device.finish()
        self._recorder.stop()
        for queue in self._queues:
            queue.target.device.recordings.remove(queue.recording)
        self._events = self.events
        self._state = "closed"
        if self.path is not None:
            self.path.write_text(json.dumps(self.trace()), encoding="utf-8")

    def _watch(self, target: Target) -> None:
        """Record a device's queue; it need not be open yet."""
        if all(queue.target is not target for queue in self._queues):
            made = _Queue(target, Recording())
            self._queues.append(made)
            target.device.recordings.append(made.recording)

    @property
    def events(self) -> list[Event]:
        """Everything so far, by time; what contains others stands before them."""
        if self._events is not None:
            return self._events
        found = list(self._recorder.events)
        launches = _Launches(found)
        for queue in self._queues:
            found += [self._told(queue, s, launches) for s in queue.recording.stamps]
        # Those that contain others were recorded after them.
        numbered = [(e.begin, -e.end, -k) for k, e in enumerate(found)]
        order = sorted(range(len(found)), key=numbered.__getitem__)
        return [found[k] for k in order]

    def _told(self, queue: _Queue, stamp: Stamp, launches: _Launches) -> Event:
        """Return a device's stamp as an event."""
        begin = max(stamp.start, self._recorder.begin)
        end = max(stamp.end, begin)
        waited = {"queued_us": (begin - stamp.queued) / 1e3}
        if stamp.work != "launch":
            way = {"bytes": stamp.nbytes, "direction": _DIRECTIONS[stamp.work]}
            kind, name, details = "transfer", stamp.name, way | waited
        else:
            known = launches.find(queue.target.device.name, stamp)
            kind, name = "kernel", known.name if known else stamp.name
            details = dict(known.details if known else {"symbol": stamp.name})
            details |= waited
            if stamp.first:
                details["first_launch"] = True
        return Event(kind, name, queue.track, begin, end, details)

    def table(self) -> Table:
        """Return the totals of each kernel, transfer and op by reference."""
        recorder = self._recorder
        end = recorder.end or perf_counter_ns()
        begin = recorder.begin if self._state != "new" else end
        return table_of(self.events, (end - begin) * 1e-9)

    def trace(self) -> dict[str, Any]:
        """Return the content of a Chrome trace file."""
        names = {q.target.name: q.target.device.name for q in self._queues}
        return trace_of(self.events, self._recorder.begin, names)

    def __repr__(self) -> str:
        return f"<Profile: {self._state}, {len(self.events)} events>"


class _Launches:
    """Finds what a kernel does: a device's stamps know no more than its symbol."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._found: dict[tuple[str, str], list[Event]] = {}
        for e in sorted(events, key=lambda e: e.begin):
            if e.kind == "launch":
                key = e.details["device"], e.details["symbol"]
                self._found.setdefault(key, []).append(e)

    def find(self, device: str, stamp: Stamp) -> Event | None:
        """Return the launch during which a kernel was enqueued."""
        found = self._found.get((device, stamp.name))
        if not found:
            return None
        k = bisect.bisect_right(found, stamp.queued, key=lambda e: e.begin)
        return found[max(k - 1, 0)]
