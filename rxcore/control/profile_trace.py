"""Chrome's trace format, which Perfetto opens: one object for each event.

Google, "Trace Event Format", 2016: complete events (`X`) with times in microseconds,
and metadata events (`M`) that name processes and threads. A process is a device here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rxcore.base.timeline import Event, Track

__all__ = ["trace_of"]


def trace_of(
    events: Sequence[Event], begin: int, names: Mapping[str, str]
) -> dict[str, Any]:
    """Return the content of a trace file.

    Args:
        events: by time; what contains others stands before them.
        begin: the time that becomes 0.
        names: what devices are called by their makers.
    """
    numbers = _Numbers(names)
    found = []
    for e in events:
        pid, tid = numbers.of(e.track)
        found.append(
            {
                "name": e.name,
                "cat": e.kind,
                "ph": "X",
                "ts": (e.begin - begin) / 1e3,
                "dur": (e.end - e.begin) / 1e3,
                "pid": pid,
                "tid": tid,
                "args": {key: _plain(value) for key, value in e.details.items()},
            }
        )
    return {"displayTimeUnit": "ns", "traceEvents": [*numbers.metadata, *found]}


class _Numbers:
    """Numbers places and their tracks in the order in which they come."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names
        self.places: dict[str, int] = {}
        self.tracks: dict[Track, int] = {}
        self.metadata: list[dict[str, Any]] = []

    def of(self, track: Track) -> tuple[int, int]:
        """Return the numbers of a track's place and of the track."""
        place = track.place
        if place not in self.places:
            self.places[place] = len(self.places) + 1
            more = self.names.get(place)
            self._name("process_name", track, f"{place}: {more}" if more else place)
        if track not in self.tracks:
            self.tracks[track] = len(self.tracks) + 1
            self._name("thread_name", track, track.name)
        return self.places[place], self.tracks[track]

    def _name(self, what: str, track: Track, name: str) -> None:
        pid, tid = self.places[track.place], self.tracks.get(track, 0)
        args = {"name": name}
        event = {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": args}
        self.metadata.append(event)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        # JSON has no infinity and no NaN.
        return value if abs(value) < float("inf") else str(value)
    return str(value)
