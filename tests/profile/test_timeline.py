"""Laws of recorders: each gets what overlaps its time, clipped, and nothing else."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from rxcore.base import timeline
from rxcore.base.timeline import Recorder, Span
from tests.profile.recorded import check_nesting, check_off


@given(st.lists(st.sampled_from(["open", "close", "start", "stop"]), max_size=30))
def test_recorders_get_what_overlaps_their_time(moves: list[str]) -> None:
    spans: list[Span] = []
    recorders: list[Recorder] = []
    stopped: list[Recorder] = []
    expected: dict[int, set[str]] = {}
    count = 0
    for move in [*moves, *["close"] * 30, *["stop"] * 30]:
        if move == "open":
            count += 1
            found = timeline.span("kind", str(count))
            if isinstance(found, Span):
                spans.append(found.__enter__())
            assert isinstance(found, Span) == bool(recorders)
            for r in recorders:
                expected[id(r)].add(str(count))
        elif move == "close" and spans:
            spans.pop().__exit__(None, None, None)
        elif move == "start":
            recorders.append(Recorder())
            recorders[-1].start()
            expected[id(recorders[-1])] = {s.name for s in spans}
        elif move == "stop" and recorders:
            # The oldest first, so that recorders overlap.
            stopped.append(recorders.pop(0))
            stopped[-1].stop()
    for r in stopped:
        assert {e.name for e in r.events} == expected[id(r)]
        assert len(r.events) == len(expected[id(r)])
        assert all(r.begin <= e.begin <= e.end <= r.end for e in r.events)
        order = sorted(
            enumerate(r.events), key=lambda p: (p[1].begin, -p[1].end, -p[0])
        )
        check_nesting([e for _, e in order])
    check_off()


def test_a_span_of_another_thread_is_not_lost() -> None:
    recorder = Recorder()
    recorder.start()
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        with timeline.span("call", "long"):
            entered.set()
            leave.wait()

    thread = threading.Thread(target=work, name="worker")
    thread.start()
    entered.wait()
    recorder.stop()
    leave.set()
    thread.join()
    (event,) = recorder.events
    assert (event.name, event.track.name) == ("long", "worker")
    assert event.end == recorder.end


def test_an_error_is_noted_and_goes_on() -> None:
    recorder = Recorder()
    recorder.start()
    try:
        with timeline.span("call", "bad"):
            raise ValueError("no")
    except ValueError as error:
        caught = str(error)
    recorder.stop()
    assert caught == "no"
    assert recorder.events[0].details == {"error": "ValueError: no"}


def test_how_a_kernel_is_come_by() -> None:
    state = {"compiled": 0, "disk": 0}

    def counts() -> tuple[int, int]:
        return state["compiled"], state["disk"]

    def work(what: str) -> str:
        if what in state:
            state[what] += 1
        return what

    recorder = Recorder()
    recorder.start()
    for what in ("compiled", "disk", "memory"):
        assert timeline.come_by("symbol", lambda w=what: work(w), counts) == what
    recorder.stop()
    assert timeline.come_by("symbol", lambda: work("disk"), counts) == "disk"
    told = [(e.kind, e.name, e.details["symbol"]) for e in recorder.events]
    assert told == [
        ("build", "symbol", "symbol"),
        ("cache", "disk hit", "symbol"),
        ("cache", "memory hit", "symbol"),
    ]
