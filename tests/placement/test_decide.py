"""Where calls go when the cost model decides: laws over prices and places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.runtime import decide
from rxcore.runtime.decide import options_of
from rxcore.runtime.devices import find
from rxcore.runtime.placement import place, run_at
from rxcore.runtime.pricing import MARKET, Price
from rxcore.runtime.variants import variants_of


@pytest.fixture(autouse=True)
def _routed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let calls be placed on the OpenCL CPU device; learn nothing from other tests."""
    with rx.config(allow_opencl_cpu=True, deterministic_placement=False):
        MARKET.forget()
        # Other tests describe the same device as another one.
        here = [find("opencl")]
        monkeypatch.setattr(
            "rxcore.runtime.placement.candidates",
            lambda: here if rx.config.allow_opencl_cpu else [],
        )
        # The shipped profiles: nothing is measured in a test.
        monkeypatch.setattr("rxcore.runtime.pricing._calibrated", shipped)
        monkeypatch.setattr("rxcore.runtime.pricing.path_of", lambda *_, **__: None)
        yield
        MARKET.forget()


def shipped(target: Any) -> Any:
    from rxcore.runtime.pricing import shipped_for  # noqa: PLC0415

    return shipped_for(target)


def program(scale: float = 2.0) -> Any:
    made = rx.jit(lambda x: rnp.tanh(x * scale) + x)
    return made


def variants(f: Any, *args: Any) -> Any:
    return variants_of(f.lower(*args).program.graph)


def fixed_prices(
    monkeypatch: pytest.MonkeyPatch, needs: int = 0, **seconds: float
) -> None:
    """Make a program take given seconds on `cpu` and `opencl`."""

    def price(_: Any, target: Any) -> Any:
        found = seconds[decide.name_of(target)]
        return Price((), decide.name_of(target), 10, found, needs)

    def offers(v: Any, targets: Any) -> Any:
        return tuple(decide._offer(v, t) for t in targets)

    monkeypatch.setattr(decide, "price_of", price)
    monkeypatch.setattr(decide, "offers_of", offers)


def test_the_faster_target_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    x = rnp.ones(1000)
    for cpu, device, expected in ((1e-3, 1.0, "cpu"), (1.0, 1e-3, "opencl")):
        v = variants(program(cpu), x)
        fixed_prices(monkeypatch, cpu=cpu, opencl=device)
        placed = place(v, [x], None)
        assert placed.chosen
        assert decide.name_of(placed.target) == expected
        assert placed.reason


def test_small_gains_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = rx.device_put(rnp.ones(1000), "opencl")
    v = variants(program(3.0), x)
    fixed_prices(monkeypatch, cpu=1.0, opencl=0.5)
    assert place(v, [x], None).target is not None
    fixed_prices(monkeypatch, cpu=0.45, opencl=0.5)  # 10 % is not worth a change
    assert place(v, [x], None).target is not None
    fixed_prices(monkeypatch, cpu=0.3, opencl=0.5)
    assert place(v, [x], None).target is None


def test_what_lies_elsewhere_costs_its_way() -> None:
    target = find("opencl")
    here = rnp.ones(1 << 16)
    there = rx.device_put(np.ones(1 << 16, np.float32), "opencl")
    v = variants(program(4.0), here)
    moves = {
        where: [o.moves for o in options_of(v, [x], [None, target])]
        for where, x in (("cpu", here), ("opencl", there))
    }
    assert moves["cpu"][0] == 0
    assert moves["cpu"][1] > 0
    assert moves["opencl"][0] > 0
    assert moves["opencl"][1] == 0


def test_an_argument_that_comes_again_shares_its_way() -> None:
    target = find("opencl")
    x = rnp.ones(1 << 16)
    v = variants(program(5.0), x)
    record = decide.record_of(v)
    costs = []
    for _ in range(3):
        costs.append(options_of(v, [x], [target])[0].moves)
        record.note([x])
    assert costs[0] > costs[1] > costs[2]
    record.note([rnp.ones(1 << 16)])
    other = rnp.ones(1 << 16)
    assert options_of(v, [other], [target])[0].moves == pytest.approx(costs[0])


def test_no_room_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    target = find("opencl")
    x = rnp.ones(1000)
    v = variants(program(6.0), x)
    fixed_prices(monkeypatch, needs=1 << 30, cpu=1.0, opencl=1e-6)
    assert target is not None
    monkeypatch.setattr(type(target), "room", property(lambda _: 100))
    placed = place(v, [x], None)
    assert placed.target is None
    assert "free" in placed.reason


def test_runs_are_learnt_from() -> None:
    x = rnp.ones(1 << 12)
    v = variants(program(7.0), x)
    for _ in range(5):
        run_at(v, place(v, [x], None), [x])
    where = decide.record_of(v).current
    target = None if where == "cpu" else find("opencl")
    assert MARKET.count(decide.price_of(v, target), target) >= 3


def test_a_settled_choice_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    f = program(8.0)
    x = rnp.ones(64)
    for _ in range(8):
        f(x)
    asked: list[int] = []
    monkeypatch.setattr(decide, "decide", lambda *_: asked.append(1))
    with rx.config(allow_opencl_cpu=False):
        f(x)
    assert asked == []


def test_deterministic_placement_measures_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def calibrated(_: Any) -> Any:
        raise AssertionError("a deterministic choice may not measure")

    monkeypatch.setattr("rxcore.runtime.pricing._calibrated", calibrated)
    x = rnp.ones(1 << 14)
    with rx.config(deterministic_placement=True):
        f = program(9.0)
        v = variants(f, x)
        first = place(v, [x], None)
        for _ in range(4):
            run_at(v, first, [x])
        again = place(v, [x], None)
    assert first.target is again.target
    assert first.settled
    assert again.settled


def test_results_of_a_placed_call_may_move(monkeypatch: pytest.MonkeyPatch) -> None:
    x = rnp.ones(128)
    f = program(10.0)
    fixed_prices(monkeypatch, cpu=1.0, opencl=1e-6)
    y = f(x)
    assert y.device == "opencl"
    # The user did not choose that place: an eager op with a host array is no error.
    assert np.allclose(y + np.ones(128, np.float32), np.tanh(10.0) + 2.0)
