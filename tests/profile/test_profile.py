"""Laws of `rx.profile`: what it records, and that results stay the same."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.base import timeline
from rxcore.control.profile import Profile
from rxcore.control.profile_table import COUNTED
from rxcore.runtime import stamps
from rxcore.testing import Program, programs
from rxcore_kernels import cache
from tests.examples import examples
from tests.profile.recorded import (
    check_file,
    check_nesting,
    check_off,
    inside,
    loops,
    matrix,
    of_kind,
    two_kernels,
)

PLACES = ("cpu", "opencl")
WORK = ("kernel", "transfer")


def wait(x: Any) -> Any:
    """Wait for results on a device."""
    for leaf in rx.tree.leaves(x):
        leaf.block_until_ready()
    return x


def bits(x: Any) -> list[bytes]:
    """Return what results are, to the bit."""
    return [np.asarray(leaf).tobytes() for leaf in rx.tree.leaves(x)]


@pytest.fixture
def own_cache(cache_dir: Path) -> Iterator[Path]:
    """Give a test an empty object cache, and read the environment again afterwards."""
    cache.reset()
    yield cache_dir
    cache.reset()


# What is recorded --------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_a_cold_call_tells_everything(
    place: str, tmp_path: Path, own_cache: Path
) -> None:
    path = tmp_path / "trace.json"
    rx.clear_caches()
    f = rx.jit(two_kernels, device=place)
    x = matrix(9)
    with rx.profile(path) as p:
        y = wait(f(x))
        again = wait(f(x))
        eager = x + 1
    if place == "cpu":
        assert any(own_cache.iterdir())
    assert bits(y) == bits(again) == bits(rx.jit(two_kernels)(x))
    assert eager.shape == x.shape
    complete = check_file(path, p)
    check_nesting(p.events)
    assert len(complete) == len(p.events)
    kinds = {e.kind for e in p.events}
    expected = {"call", "capture", "compile", "pass", "lower", "choice", "run"}
    expected |= {"kernel", "fallback", "eager"}
    assert kinds >= expected
    assert kinds & {"build", "cache"}
    if place == "opencl":
        assert kinds >= {"launch", "transfer", "wait"}
    calls = of_kind(p, "call")
    assert [c.name for c in calls] == ["two_kernels"] * 2
    assert all(__file__ in str(c.details["source"]) for c in calls)
    for kind in ("capture", "compile", "pass", "lower", "build"):
        assert all(inside(e, calls[0]) for e in of_kind(p, kind))
    (fallback,) = {e.name for e in of_kind(p, "fallback")}
    assert fallback == "pure_callback"
    choices = of_kind(p, "choice")
    assert [c.details["device"] for c in choices] == [place] * 2
    assert all(c.details["reason"] for c in choices)
    kernels = of_kind(p, "kernel")
    assert {k.track.place for k in kernels} == {place}
    assert {"sum", "mul"} <= {word for k in kernels for word in k.name.split(", ")}
    for k in kernels:
        assert k.details["symbol"]
        assert "f32" in k.details["types"] or k.name == "copy"
    own = [k for k in kernels if k.name == "sum"]
    assert all("recorded.py" in k.details["lines"][0] for k in own)
    assert all(k.details["bytes"] >= 4 * 9 * 9 for k in own)


def test_how_kernels_are_come_by(own_cache: Path) -> None:
    # A text that no other test has: how it is come by is up to this one.
    def f(x: Any) -> Any:
        return rnp.sum(x * 3.25 - rnp.tanh(x) / 7.5, axis=0)

    x = matrix(5)
    found = []
    for clear in (True, True, False):
        if clear:
            rx.clear_caches()
        with rx.profile() as p:
            # A function anew: it is captured again.
            rx.jit(lambda x: f(x))(x)
        found.append([(e.kind, e.name) for e in of_kind(p, "build", "cache")])
    assert any(own_cache.iterdir())
    compiled, loaded, known = found
    assert [kind for kind, _ in compiled] == ["build"]
    assert loaded == [("cache", "disk hit")]
    assert known == [("cache", "memory hit")]


@pytest.mark.parametrize("place", PLACES)
def test_kernels_run_inside_their_calls(place: str) -> None:
    x = matrix(8)
    f = rx.jit(loops, device=place)
    with rx.profile() as p:
        for _ in range(3):
            wait(f(x))
    check_nesting(p.events)
    runs, calls = of_kind(p, "run"), of_kind(p, "call")
    assert len(runs) == len(calls) == 3
    assert all(inside(r, c) for r, c in zip(runs, calls, strict=True))
    work = of_kind(p, *WORK)
    first, last = p.events[0].begin, max(e.end for e in p.events)
    if place == "cpu":
        for k in work:
            assert sum(inside(k, r) for r in runs) == 1
        counts = Counter(
            next(i for i, r in enumerate(runs) if inside(k, r)) for k in work
        )
        assert counts[0] == counts[1] == counts[2]
    else:
        # Each is enqueued in a call, and done when the results were waited for.
        waits = of_kind(p, "wait")
        for k in work:
            queued = k.begin - k.details["queued_us"] * 1e3
            assert first - 1 <= queued <= k.begin
            assert k.end <= waits[-1].end
        launches = of_kind(p, "launch")
        kernels = of_kind(p, "kernel")
        told = Counter((e.name, e.details["symbol"]) for e in launches)
        assert told == Counter((e.name, e.details["symbol"]) for e in kernels)
    assert last <= p._recorder.end


def test_every_pass_of_a_loop_is_told() -> None:
    def f(x: Any) -> Any:
        return rx.scan(lambda c, row: (rnp.sort(c) + row, rnp.max(c)), x[0], x)

    x = matrix(11)
    with rx.profile() as p:
        rx.jit(f)(x)
    (loop,) = of_kind(p, "loop")
    inner = [k for k in of_kind(p, "kernel") if inside(k, loop)]
    counts = Counter((k.name, k.details["symbol"]) for k in inner)
    assert loop.name == "scan"
    assert counts
    assert set(counts.values()) == {11}


def test_a_traced_call_is_no_call() -> None:
    inner = rx.jit(lambda x: x * 2)
    with rx.profile() as p:
        rx.jit(lambda x: inner(x) + 1)(matrix(3))
    assert len(of_kind(p, "call")) == 1
    (trace,) = of_kind(p, "trace")
    assert inside(trace, of_kind(p, "capture")[0])


# The table ---------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_the_table_adds_up(place: str) -> None:
    x = matrix(7)
    f = rx.jit(loops, device=place)
    g = rx.jit(two_kernels, device=place)
    with rx.profile() as p:
        wait(f(x))
        wait(g(x))
        wait(g(x))
        _ = np.asarray(x + 1)
    table = p.table()
    counted = of_kind(p, *COUNTED)
    assert sum(row.calls for row in table) == len(counted)
    assert math.isclose(table.total, sum(e.seconds for e in counted))
    assert math.isclose(sum(row.share for row in table), 1)
    assert [r.total for r in table] == sorted((r.total for r in table), reverse=True)
    for row in table:
        own = [
            e
            for e in counted
            if (e.kind, e.name, e.track.place) == (row.kind, row.name, row.device)
            and e.details.get("symbol", "") == row.symbol
        ]
        assert row.calls == len(own)
        assert math.isclose(row.total, sum(e.seconds for e in own))
        assert math.isclose(row.mean * row.calls, row.total)
        if row.bytes is not None:
            assert row.bytes == sum(e.details["bytes"] for e in own)
    text, html = str(table), table._repr_html_()
    assert len(text.splitlines()) == len(table) + 2
    assert html.count("<tr>") == len(table) + 1
    for row in table:
        assert row.name in text
    assert "GB/s" in html


def test_rates_are_of_what_kernels_do() -> None:
    n = 1000
    x = rx.asarray(np.ones(n, np.float32))
    f = rx.jit(lambda x: x * 2 + 1)
    with rx.profile() as p:
        for _ in range(4):
            f(x)
    (row,) = p.table()
    assert row.bytes == 4 * 2 * 4 * n
    assert row.operations == 4 * 2 * n or row.operations == 4 * n
    assert row.gigabytes_per_second == pytest.approx(row.bytes / row.total / 1e9)
    assert row.gigaflops == pytest.approx(row.operations / row.total / 1e9)


def test_a_profile_that_recorded_nothing_yet_says_so() -> None:
    assert "0 us were recorded" in str(rx.profile().table())


def test_nothing_is_a_table_too() -> None:
    with rx.profile() as p:
        pass
    assert {e.kind for e in p.events} <= {"wait"}
    assert len(p.table()) == 0
    assert p.table().total == 0
    assert "0 runs" in str(p.table())
    assert "0 runs" in p.table()._repr_html_()


# Results, and what happens around -----------------------------------------------------


@examples(60)
@given(programs())
def test_results_are_the_same(program: Program) -> None:
    args = program.arguments()
    f = rx.jit(program)
    expected = bits(f(*args))
    with rx.profile() as p:
        found = f(*args)
        again = f(*args)
    assert bits(found) == bits(again) == expected
    assert bits(f(*args)) == expected
    check_nesting(p.events)


@pytest.mark.parametrize("make", [loops, two_kernels], ids=["loops", "two"])
def test_results_in_pieces_are_the_same(make: Callable[..., Any]) -> None:
    x = matrix(260)
    f = rx.jit(lambda x: (make(x), rnp.tanh(x @ x + 1) * 2))
    expected = bits(f(x))
    with rx.profile() as p:
        found = bits(f(x))
    assert found == expected
    chained = [k for k in of_kind(p, "kernel") if " + " in k.name]
    assert chained
    assert all(" + " in k.details["symbol"] for k in chained)


def test_nothing_is_recorded_when_nobody_asks() -> None:
    x = matrix(4)
    f = rx.jit(lambda x: x * 5 - 2)
    f(x)
    check_off()
    with rx.profile() as p:
        f(x)
    check_off()
    before = list(p.events)
    f(x)
    _ = x + 1
    rx.jit(lambda x: x * 6)(x)
    assert p.events == before
    assert len(of_kind(p, "call")) == 1
    # A program that was never recorded has no stamps.
    count = len(stamps._made)
    rx.jit(lambda x: x * 7)(x)
    assert len(stamps._made) <= count


def test_calls_are_short_again_afterwards() -> None:
    x = matrix(4)
    made = rx.jit(lambda x: x * 9 - 2)
    fast = made.lower.__self__.fast
    with rx.profile():
        made(x)
        assert not fast
    made(x)
    assert len(fast) == 1


def test_settings_do_not_end_a_recording() -> None:
    x = matrix(4)
    f = rx.jit(lambda x: x * 11)
    f(x)
    with rx.profile() as p:
        with rx.config(verify=True):
            f(x)
        f(x)
    assert len(of_kind(p, "call")) == 2
    check_off()


# Errors ------------------------------------------------------------------------------


def test_an_error_in_the_block_writes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    p = rx.profile(path)
    f = rx.jit(lambda x: x + 3)

    def block() -> None:
        with p:
            f(matrix(3))
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        block()
    check_off()
    assert check_file(path, p)
    assert len(of_kind(p, "call")) == 1


def test_an_error_in_a_call_is_told(tmp_path: Path) -> None:
    def fail(_: Any) -> Any:
        raise ValueError("mine")

    def f(x: Any) -> Any:
        def step(c: Any, row: Any) -> Any:
            c = rx.pure_callback(fail, rx.ShapeDtypeStruct(c.shape, np.float32), c)
            return rnp.sort(c) + row, None

        return rx.scan(step, rnp.sort(x[0]), x)[0]

    path = tmp_path / "trace.json"
    p = rx.profile(path)
    with pytest.raises(ValueError, match="mine"), p:
        rx.jit(f)(matrix(3))
    check_off()
    check_file(path, p)
    check_nesting(p.events)
    (call,), (run,), (loop,) = (of_kind(p, k) for k in ("call", "run", "loop"))
    assert inside(run, call)
    assert inside(loop, run)
    assert "mine" in run.details["error"]
    assert any(k.begin < loop.begin for k in of_kind(p, "kernel"))


def test_a_file_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    entered = False
    p = rx.profile(tmp_path / "missing" / "trace.json")
    with pytest.raises(FileNotFoundError, match="missing"), p:
        entered = True
    assert not entered
    check_off()


def test_a_profile_records_one_block() -> None:
    with rx.profile() as p:
        pass
    with pytest.raises(rx.UserError, match="make another"), p:
        pass
    check_off()


# Several at once ---------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_profiles_that_overlap_lose_nothing(place: str) -> None:
    x = matrix(6)
    functions = [rx.jit(lambda x, k=k: x * k + 1, device=place) for k in (2, 3, 4)]
    for f in functions:
        wait(f(x))
    first, second = rx.profile(), rx.profile()
    first.__enter__()
    wait(functions[0](x))
    second.__enter__()
    wait(functions[1](x))
    first.__exit__(None, None, None)
    wait(functions[2](x))
    second.__exit__(None, None, None)
    check_off()

    def lines(p: Profile) -> list[Any]:
        return [e.details["source"].line for e in of_kind(p, "call")]

    assert lines(first)[1:] == lines(second)[:1]
    assert len(lines(first)) == len(lines(second)) == 2
    for p in (first, second):
        assert len(of_kind(p, "kernel")) == 2
        check_nesting(p.events)


def test_profiles_nest() -> None:
    x = matrix(6)
    f = rx.jit(lambda x: x * 2 - 1)
    with rx.profile() as outer:
        f(x)
        with rx.profile() as inner:
            f(x)
        f(x)
    check_off()
    assert len(of_kind(outer, "kernel")) == 3
    (only,) = of_kind(inner, "kernel")
    assert only in outer.events


def test_a_call_inside_a_call() -> None:
    inner = rx.jit(lambda x: x * 2)

    def callback(a: Any) -> Any:
        return np.asarray(inner(rx.asarray(a)))

    def f(x: Any) -> Any:
        y = rx.pure_callback(callback, rx.ShapeDtypeStruct(x.shape, np.float32), x)
        return rnp.sort(y) + 1

    x = matrix(4)
    with rx.profile() as p:
        y = rx.jit(f)(x)
    np.testing.assert_array_equal(np.asarray(y), np.sort(np.asarray(x) * 2) + 1)
    check_nesting(p.events)
    outer, within = of_kind(p, "call")
    (fallback,) = of_kind(p, "fallback")
    assert inside(within, fallback)
    assert inside(fallback, outer)


@pytest.mark.parametrize("place", PLACES)
def test_threads_have_their_own_lines(place: str, tmp_path: Path) -> None:
    x = matrix(40)
    f = rx.jit(loops, device=place)
    expected = bits(f(x))
    barrier = threading.Barrier(3)
    results: list[list[bytes]] = []

    def work() -> None:
        barrier.wait()
        results.extend([bits(wait(f(x))) for _ in range(4)])

    path = tmp_path / "trace.json"
    with rx.profile(path) as p:
        threads = [threading.Thread(target=work, name=f"mine {k}") for k in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert results == [expected] * 12
    complete = check_file(path, p)
    check_nesting(p.events)
    calls = of_kind(p, "call")
    assert Counter(c.track.name for c in calls) == {f"mine {k}": 4 for k in range(3)}
    assert len({one["tid"] for one in complete if one["cat"] == "call"}) == 3
    if place == "cpu":
        counts = Counter(k.track.name for k in of_kind(p, "kernel"))
        assert len(counts) == 3
        assert len(set(counts.values())) == 1


def test_a_profile_may_end_while_a_call_runs() -> None:
    entered, leave = threading.Event(), threading.Event()

    def callback(a: Any) -> Any:
        entered.set()
        leave.wait()
        return np.asarray(a)

    def f(x: Any) -> Any:
        y = rnp.sort(x)
        y = rx.pure_callback(callback, rx.ShapeDtypeStruct(x.shape, np.float32), y)
        return rnp.sort(y) + 1

    made: list[Any] = []
    thread = threading.Thread(target=lambda: made.append(rx.jit(f)(matrix(4))))
    with rx.profile() as p:
        thread.start()
        entered.wait()
    leave.set()
    thread.join()
    np.testing.assert_array_equal(
        np.asarray(made[0]), np.sort(np.asarray(matrix(4))) + 1
    )
    (call,) = of_kind(p, "call")
    assert call.end == p._recorder.end
    # What had run by then is there.
    assert of_kind(p, "kernel")
    check_nesting(p.events)
    assert not timeline.active
