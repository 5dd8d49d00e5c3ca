"""Faults at will: whatever a device cannot do, the CPU does, and says so once."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.runtime.devices import Target, find
from rxcore.runtime.placement import Placed, run_at
from rxcore.runtime.variants import variants_of
from rxcore_kernels.opencl import DeviceFault, inject

X = np.arange(12, dtype=np.float32).reshape(3, 4) - 5
# Programs of several launches, with a loop, a choice, a call of the host, and gaps
# that hold intermediates.
PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "one": lambda x: x * 2 + 1,
    "several": lambda x: rnp.cumsum(rnp.sort(x, 1) @ x.T, 0) + x.sum(),
    "loop": lambda x: rx.scan(lambda c, r: (c @ x.T @ x + r, c.sum()), x[0], x),
    "while": lambda x: rx.while_loop(lambda v: v.sum() < 50, lambda v: v + 1, x),
    "choice": lambda x: rx.cond(x.sum() > 0, lambda v: v.sum(0), lambda v: v[0], x),
}


@pytest.fixture(autouse=True)
def target() -> Iterator[Target]:
    """Return the device; it forgets what happened to it."""
    found = find("opencl")
    assert found is not None
    found.warned.clear()
    yield found
    found.fault = ""
    found.warned.clear()


@contextmanager
def said() -> Iterator[list[str]]:
    """Collect what is warned of."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
    assert all(w.category is RuntimeWarning for w in caught)
    found += [str(w.message) for w in caught]


def fresh(name: str) -> Callable[[Any], Any]:
    """Return a program that nothing remembers."""
    rx.clear_caches()
    return rx.jit(lambda x: PROGRAMS[name](x), device="opencl")


def check(found: Any, name: str) -> None:
    expected = rx.jit(PROGRAMS[name])(X)
    for a, b in zip(rx.tree.leaves(found), rx.tree.leaves(expected), strict=True):
        assert a.type == b.type
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), 1e-5)


def where(x: Any) -> set[str]:
    return {leaf.device for leaf in rx.tree.leaves(x)}


def begins(target: Target) -> str:
    return f"opencl ({target.device.name}): "


ENDS = "; the CPU runs this call instead (said once)"


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_memory_at_any_time(target: Target, name: str) -> None:
    call = fresh(name)
    check(call(X), name)  # it is built, so that only its own memory is asked for
    for after in itertools.count():
        target.warned.clear()
        with inject("memory", after=after, times=None) as faults, said() as texts:
            found = call(X.copy())
        check(found, name)
        if not faults.fired:
            assert texts == []
            assert where(found) == {"opencl"}
            break
        (text,) = texts
        assert text.startswith(begins(target) + "allocate on")
        assert text.endswith(ENDS)
        assert where(found) == {"cpu"}
    assert after >= 2


def test_memory_is_freed_once_and_asked_for_again(target: Target) -> None:
    call, x = fresh("one"), rx.asarray(X)
    call(x)
    assert x.is_on(target)
    with inject("memory") as faults, said() as texts:
        found = call(rx.asarray(X + 1))
    assert faults.fired == 1
    assert texts == []
    assert where(found) == {"opencl"}
    assert not x.is_on(target)  # a copy of what lies on the CPU too
    check(found - 2, "one")


def test_memory_of_arrays_that_are_only_there_is_kept() -> None:
    call, x = fresh("one"), rx.device_put(X, "opencl")
    y = call(x)
    with inject("memory", times=None), said() as texts:
        z = call(y)
    assert len(texts) == 1
    assert np.asarray(z).tolist() == ((X * 2 + 1) * 2 + 1).tolist()
    assert (y.device, z.device) == ("opencl", "cpu")
    # Where `z` is was nobody's wish: it goes along.
    assert (y + z).device == "opencl"


@pytest.mark.parametrize("kind", ["memory", "build", "limit", "lost", "other"])
@pytest.mark.parametrize("at", ["allocate", "build", "launch"])
def test_eager_ops_go_on_after_a_fault(target: Target, kind: Any, at: Any) -> None:
    for after in range(6):
        target.fault = ""
        target.warned.clear()
        rx.clear_caches()
        x = rx.device_put(X, "opencl")
        assert x.tolist() == X.tolist()
        with inject(kind, at=at, after=after) as faults, said() as texts:
            found = PROGRAMS["several"](x)
        check(found, "several")
        assert len(texts) == (faults.fired if kind != "memory" else 0)


def test_a_device_that_is_lost_while_a_choice_is_learnt(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, finish, calls = rx.asarray(X), type(target.device).finish, [0]
    x.replica(target)

    def fails(device: Any) -> None:
        calls[0] += 1
        if calls[0] == due:
            raise DeviceFault("lost", "it answers no more")
        finish(device)

    monkeypatch.setattr(type(target.device), "finish", fails)
    for due in (1, 2):
        calls[0], target.fault = 0, ""
        target.warned.clear()
        graph = rx.jit(PROGRAMS["one"]).placed_entry(x)[0].graph
        with said() as texts:
            placed = Placed(target, settled=False)
            found, where = run_at(variants_of(graph), placed, [x])
        check(found[0], "one")
        assert (where, found[0].device, calls[0]) == (None, "cpu", due)
        (text,) = texts
        assert text == begins(target) + "it answers no more" + ENDS


def test_no_memory_for_device_put(target: Target) -> None:
    with inject("memory"):
        assert rx.device_put(X, "opencl").tolist() == X.tolist()
    with inject("memory", times=None), pytest.raises(rx.DeviceError) as caught:
        rx.device_put(X, "opencl")
    text = str(caught.value)
    assert text.startswith(
        "device_put: 'opencl' has no room for an array of type f32[3,4] (48 bytes): "
    )
    assert "free other arrays, or keep it on 'cpu'" in text
    assert target.fault == ""


def test_no_memory_for_new_arrays(target: Target) -> None:
    with rx.default_device("opencl"), inject("memory", times=None), said() as texts:
        x = rx.asarray(X)
        y = x + 1
    assert (x.device, y.device) == ("cpu", "cpu")
    assert len(texts) == 1
    assert texts[0].startswith(begins(target))
    assert y.tolist() == (X + 1).tolist()


@pytest.mark.parametrize("name", PROGRAMS)
def test_kernels_that_do_not_build(target: Target, name: str) -> None:
    for after in itertools.count():
        call = fresh(name)
        target.warned.clear()
        with inject("build", after=after) as faults, said() as texts:
            found = call(X)
        check(found, name)
        if not faults.fired:
            break
        (text,) = texts
        assert text.startswith(begins(target) + "build on")
        assert where(found) == {"cpu"}
        # It is not tried again: the driver would take as long to refuse it.
        with said() as texts:
            check(call(X), name)
        assert texts == []
    assert after >= 1


@pytest.mark.parametrize("at", ["launch", "transfer"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_device_that_is_lost(target: Target, name: str, at: Any) -> None:
    for after in itertools.count():
        target.fault = ""
        target.warned.clear()
        call = fresh(name)
        with inject("lost", at=at, after=after) as faults, said() as texts:
            found = call(X)
        if not faults.fired:
            check(found, name)
            break
        check(found, name)
        (text,) = texts
        assert text.startswith(f"{begins(target)}{at} on")
        assert where(found) == {"cpu"}
        assert target.fault
        # What was told to run there goes on on the CPU; nothing new is put there.
        with said() as texts:
            check(call(X), name)
        assert texts == []
        assert rx.devices() == ["cpu", "opencl:1"]
        for ask in (lambda: rx.device_put(X, "opencl"), lambda: fresh("one")):
            with pytest.raises(rx.DeviceError, match="'opencl' is not used any more"):
                ask()
    assert after >= 1


def test_what_lies_on_a_lost_device() -> None:
    call = fresh("one")
    seen, unseen = rx.device_put(X, "opencl"), call(X)
    assert seen.tolist() == X.tolist()
    with inject("lost", at="launch"), said() as texts:
        check(call(seen), "one")
    assert len(texts) == 1
    # Its elements were fetched before: nothing is lost.
    with said() as texts:
        assert (seen + 1).tolist() == (X + 1).tolist()
    assert texts == []
    with (
        inject("lost", at="transfer", times=None),
        pytest.raises(rx.DeviceError) as caught,
    ):
        unseen.tolist()
    assert str(caught.value).startswith(
        "an array of type f32[3,4] cannot be fetched from 'opencl': transfer on"
    )
    assert "keep a copy on the CPU with rx.device_put(x, 'cpu')" in str(caught.value)


def test_a_default_device_that_is_lost() -> None:
    with rx.default_device("opencl"), said() as texts:
        with inject("lost", at="launch"):
            x = rnp.ones(3) + 1
        y = rnp.arange(3) + rx.asarray([1, 2, 3])
        z = rx.jit(lambda v: v * 2)(y)
    assert x.tolist() == [2, 2, 2]
    assert z.tolist() == [2, 6, 10]
    assert z.device == "cpu"
    assert len(texts) == 1


@pytest.mark.parametrize("at", ["launch", "transfer", "allocate"])
def test_other_faults_concern_one_call(at: Any) -> None:
    call = fresh("several")
    with inject("other", at=at), said() as texts:
        found = call(X)
    check(found, "several")
    assert len(texts) == 1
    assert where(found) == {"cpu"}
    with said() as texts:
        assert where(call(X)) == {"opencl"}
    assert texts == []


def test_gradients_and_eager_ops_go_on() -> None:
    x = rx.device_put(X, "opencl")
    with inject("memory", times=None), said() as texts:
        found = rx.grad(lambda v: (rnp.tanh(v) * v).sum())(x)
    expected = rx.grad(lambda v: (rnp.tanh(v) * v).sum())(X)
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), 1e-5)
    assert len(texts) >= 1
    assert len(set(texts)) == len(texts)
