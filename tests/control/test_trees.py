"""Calls with pytrees of arrays take a short way, and give what the long one gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.control import jit as module


def affine(p: Any, x: Any) -> Any:
    return {"y": p["w"] * x + p["b"], "w": p["w"]}


def given(n: int = 4, dtype: Any = rnp.float32) -> Any:
    return {"w": rnp.arange(n, dtype=dtype), "b": rnp.ones(n, dtype)}


@pytest.fixture
def slow_calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note the calls that take the long way."""
    seen: list[Any] = []
    long_way = module._Jitted.general

    def general(self: Any, args: Any, kwargs: Any) -> Any:
        if self.function is affine:
            seen.append(args)
        return long_way(self, args, kwargs)

    monkeypatch.setattr(module._Jitted, "general", general)
    return seen


def check(f: Any, p: Any, x: Any) -> None:
    found, wanted = f(p, x), affine(p, x)
    assert set(found) == {"y", "w"}
    for name in found:
        np.testing.assert_array_equal(found[name], wanted[name])
        assert found[name].dtype == wanted[name].dtype


def test_the_second_call_is_short_and_equal(slow_calls: list[Any]) -> None:
    f, x, p = rx.jit(affine), rnp.full(4, 2.0), given()
    for _ in range(3):
        check(f, p, x)
    assert len(slow_calls) == 1


def test_what_differs_takes_the_long_way_once(slow_calls: list[Any]) -> None:
    f = rx.jit(affine)
    x = rnp.full(4, 2.0)
    check(f, given(), x)
    others = [
        (given(5), rnp.ones(5)),  # another size
        (given(4, rnp.int32), rnp.ones(4, rnp.int32)),  # another dtype
        ({**given(), "more": rnp.ones(1)}, x),  # another structure
    ]
    for p, y in others:
        for _ in range(2):
            check(f, p, y)
    assert len(slow_calls) == 1 + len(others)


def test_leaves_that_are_no_arrays(slow_calls: list[Any]) -> None:
    f, x = rx.jit(affine), rnp.full(4, 2.0)
    check(f, given(), x)
    p = {"w": np.arange(4, dtype=np.float32), "b": 1.0}
    for _ in range(2):
        np.testing.assert_array_equal(f(p, x)["y"], affine(p, x)["y"])
    assert len(slow_calls) == 3
    gradient = rx.grad(lambda p: f(p, x)["y"].sum())(given())
    np.testing.assert_array_equal(gradient["w"], np.full(4, 2.0))
    rows = rx.vmap(f)({"w": rnp.ones((3, 4)), "b": rnp.ones((3, 4))}, rnp.ones((3, 4)))
    assert rows["y"].shape == (3, 4)


def test_an_array_that_was_donated_is_refused_all_the_same() -> None:
    f, x, p = rx.jit(affine), rnp.full(4, 2.0), given()
    check(f, p, x)
    rx.jit(lambda w: w + 1, donate_argnums=0)(p["w"])
    with pytest.raises(rx.RxError, match="donat"):
        f(p, x)


def test_settings_hold_on_the_short_way() -> None:
    f, x = rx.jit(affine), rnp.full(4, 2.0)
    check(f, given(), x)
    with rx.config(disable_jit=True):
        check(f, given(), x)
    f.clear_cache()
    check(f, given(), x)
