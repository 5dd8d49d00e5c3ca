"""What the tests of profiles share: programs, and the laws of every recording."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.base import config, timeline
from rxcore.base.timeline import Event
from rxcore.control.profile import Profile

# Events of threads: one inside another. Those of queues follow each other.
HOST = "cpu"


def two_kernels(x: Any) -> Any:
    """Compute what takes two kernels and an op by its reference."""
    doubled = rnp.sort(x * 2, axis=1)
    host = rx.pure_callback(
        lambda a: np.asarray(a) + np.float32(1),
        rx.ShapeDtypeStruct(x.shape, np.float32),
        doubled,
    )
    return rnp.sum(host, axis=0)


def loops(x: Any) -> Any:
    """Compute a scan, a while loop and a choice, with products in them."""

    def step(carry: Any, row: Any) -> Any:
        return rnp.tanh(carry @ x) + row, rnp.max(carry)

    last, largest = rx.scan(step, x[0], x)
    grown = rx.while_loop(
        lambda c: rnp.sum(c) < 100, lambda c: rnp.sort(c) * 2 + 1, rnp.abs(last)
    )
    chosen = rx.cond(rnp.sum(x) > 0, lambda a: a @ x, lambda a: rnp.sort(a), grown)
    return chosen, largest


def matrix(n: int = 8, seed: int = 0) -> Any:
    """Return a square matrix."""
    draw = np.random.default_rng(seed).standard_normal((n, n))
    return rx.asarray(draw.astype(np.float32))


def of_kind(p: Profile, *kinds: str) -> list[Event]:
    """Return the events of some kinds."""
    return [e for e in p.events if e.kind in kinds]


def inside(inner: Event, outer: Event) -> bool:
    """Say whether an event lies in another one."""
    return outer.begin <= inner.begin and inner.end <= outer.end


def check_nesting(events: list[Event]) -> None:
    """Two events of one track are apart, or one contains the other.

    In the list what contains others stands before them.
    """
    tracks: dict[Any, list[Event]] = defaultdict(list)
    for e in events:
        tracks[e.track].append(e)
    for track, found in tracks.items():
        if track.place != HOST:
            for a, b in itertools.pairwise(found):
                assert a.end <= b.begin, "a queue does one thing at a time"
        around: list[Event] = []
        for e in found:
            assert e.begin <= e.end
            while around and not inside(e, around[-1]):
                assert around.pop().end <= e.begin, (track, e)
            around.append(e)


def check_file(path: Path, p: Profile) -> list[dict[str, Any]]:
    """The file is a Chrome trace of all events; return the complete ones."""
    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    named: set[tuple[str, int, int]] = set()
    complete = []
    for one in content["traceEvents"]:
        assert isinstance(one["name"], str)
        assert one["name"]
        assert isinstance(one["pid"], int)
        assert isinstance(one["tid"], int)
        assert isinstance(one["args"], dict)
        if one["ph"] == "M":
            assert one["name"] in ("process_name", "thread_name")
            named.add((one["name"], one["pid"], one["tid"]))
            continue
        assert one["ph"] == "X"
        assert one["cat"]
        assert one["ts"] >= 0
        assert one["dur"] >= 0
        complete.append(one)
    for one in complete:
        assert ("thread_name", one["pid"], one["tid"]) in named
        assert any(
            what == "process_name" and pid == one["pid"] for what, pid, _ in named
        )
    told = [(e.kind, e.name, round(e.seconds * 1e9)) for e in p.events]
    assert [(c["cat"], c["name"], round(c["dur"] * 1e3)) for c in complete] == told
    return complete


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def check_off() -> None:
    """Nobody records, and warm calls are as they were."""
    assert not timeline.active
    assert not config.unusual
    assert timeline.span("a", "b") is timeline.span("c", "d")
