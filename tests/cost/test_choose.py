"""Choices: the fastest device that has room, with no change for little gain."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from rxcore.base import dtypes
from rxcore.compiler.features import features
from rxcore.compiler.form import Features, handmade
from rxcore.compiler.lower import lower
from rxcore.compiler.schedule import schedule
from rxcore.control.calibration import PROGRAMS
from rxcore.ir.primitive import Fusion
from rxcore.ir.types import Type
from rxcore.runtime.cost import (
    Choice,
    Limits,
    Model,
    Option,
    Transfer,
    choose,
    shipped,
    upload_seconds,
)
from rxcore.runtime.program import capabilities, optimized_of
from rxcore.targets import opencl
from rxcore.trace.capture import capture
from tests.examples import examples

NAMES = ("cpu", "opencl", "opencl:1")
time = st.floats(1e-6, 1.0)


@st.composite
def options(draw: st.DrawFn) -> list[Option]:
    """Draw an option for each of some devices."""
    count = draw(st.integers(1, 3))
    room = st.one_of(st.none(), st.integers(0, 100))
    why = st.sampled_from(["", "", "it does not compute with float64"])
    needs = st.integers(0, 100)
    return [
        Option(name, draw(time), draw(time), draw(needs), draw(room), draw(why))
        for name in NAMES[:count]
    ]


@examples(200)
@given(options(), st.sampled_from([None, *NAMES]), st.booleans())
def test_laws_of_choices(found: list[Option], current: Any, fixed: bool) -> None:
    made = choose(found, current, fixed)
    mine = next(o for o in found if o.device == made.device)
    able = [o for o in found if not o.reason_against]
    assert made.options == found
    assert made.seconds == mine.seconds
    assert made.reason.startswith(made.device)
    if not able:
        assert made.device == found[0].device
        assert "no device can take it" in made.reason
        return
    least = min(o.seconds for o in able)
    assert mine in able
    if made.device != current or fixed:
        assert mine.seconds == least
    if fixed:
        assert made == choose(found, None, True)
    # Who stays loses little.
    gain = mine.seconds - least
    assert gain <= max(0.15 * mine.seconds, 20e-6) + 1e-12
    for o in found:
        if o is not mine and o.reason_against and not made.rival:
            assert o.reason_against in made.reason


def test_hysteresis() -> None:
    def at(cpu: float, gpu: float, current: str | None) -> Choice:
        return choose([Option("cpu", cpu), Option("opencl", gpu)], current)

    assert at(100e-6, 90e-6, None).device == "opencl"
    stays = at(100e-6, 90e-6, "cpu")
    assert stays.device == "cpu"
    assert stays.rival == "opencl"
    assert stays.reason == (
        "cpu: it ran there before, and opencl would gain only 10 us of 100 us"
    )
    assert at(100e-6, 78e-6, "cpu").device == "opencl"  # 22 us, 22 %
    assert at(100e-6, 81e-6, "cpu").device == "cpu"  # less than 20 us
    assert at(1.0, 0.9, "cpu").device == "cpu"  # less than 15 %
    assert at(1.0, 0.8, "cpu").device == "opencl"
    # What cannot run any more is left whatever it gains.
    full = Option("opencl", 1e-6, needs=2, room=1)
    assert choose([Option("cpu", 1.0), full], "opencl").device == "cpu"


def test_reasons() -> None:
    card = Option("opencl", 1e-6, needs=3 << 30, room=1 << 30)
    assert choose([Option("cpu", 2e-3), card]).reason == (
        "cpu: 2000 us not opencl: it needs 3.0 GiB, 1.0 GiB are free"
    )
    assert choose([Option("cpu", 2e-3)]).reason == "cpu: 2000 us, the only one"


@given(st.integers(1, 1 << 30), st.integers(1, 50))
def test_copies_are_shared_by_their_uses(nbytes: int, uses: int) -> None:
    link = Transfer(1e-5, 1e-10)
    whole = upload_seconds([(nbytes, 1)], link)
    assert upload_seconds([(nbytes, uses)], link) == pytest.approx(whole / uses)
    assert upload_seconds([], link) == upload_seconds([(0, 1)], link) == 0


# A machine that is not here: two cores beside an RX 580 ------------------------------

CPU = Model(
    evolve(
        shipped("cpu"),
        limits=Limits(threads=2, memory_threads=1.5, caches=(2 << 20, 24 << 20)),
    )
)
CARD = Model(shipped("rx580"))


def run(function: Any, types: list[Type], resident: bool) -> str:
    """Return where a function of arrays runs, which lie on the card or on the host."""
    graph = optimized_of(capture(function, types).graph)
    works: dict[str, list[tuple[Features, int]]] = {"cpu": [], "card": []}
    facts = CARD.profile.facts
    assert facts is not None
    for e in graph.equations:
        if isinstance(e.primitive.lower, Fusion):
            nest = lower(e)
            made = schedule(nest, capabilities())
            works["cpu"] += [(features(n), 1) for n in made]
            made = schedule(nest, opencl.capabilities(facts))
            works["card"] += [(features(n), 1) for n in made]
        else:
            m, n = e.outputs[0].type.shape
            k = e.inputs[0].type.shape[1]
            moved = 4.0 * (m * k + k * n + m * n)
            work = handmade("matmul", 2.0 * m * n * k, moved, m * n)
            works["cpu"].append((work, 1))
            works["card"].append((work, 1))
    ins = [v.type.nbytes for v in graph.inputs]
    outs = [o.type.nbytes for o in graph.outputs]
    profile = CARD.profile
    moves = sum(map(profile.up.seconds, ins)) + sum(map(profile.down.seconds, outs))
    home = sum(map(profile.down.seconds, ins))
    made_choice = choose(
        [
            Option("cpu", CPU.seconds(works["cpu"]), home if resident else 0.0),
            Option("opencl", CARD.seconds(works["card"]), 0.0 if resident else moves),
        ]
    )
    return made_choice.device


def f32(*shape: int) -> Type:
    return Type(dtypes.float32, shape)


@pytest.mark.parametrize("n", [1 << 10, 1 << 16, 1 << 20, 1 << 24])
def test_elementwise_work_stays_with_its_data(n: int) -> None:
    def add(x: Any, y: Any) -> list[Any]:
        return [x + y * 2.0]

    assert run(add, [f32(n), f32(n)], resident=False) == "cpu"
    if n >= 1 << 16:
        assert run(add, [f32(n), f32(n)], resident=True) == "opencl"


def test_products_go_to_the_card_from_some_size_on() -> None:
    product = next(p for p in PROGRAMS if p.name == "matmul")

    def at(n: int, resident: bool) -> str:
        return run(product.function, [f32(n, n), f32(n, n)], resident)

    assert [at(n, False) for n in (64, 128, 256)] == ["cpu"] * 3
    assert [at(n, False) for n in (1024, 2048)] == ["opencl"] * 2
    assert [at(n, True) for n in (512, 1024)] == ["opencl"] * 2


def test_scans_of_many_lanes_stay_on_the_card() -> None:
    neurons = next(p for p in PROGRAMS if p.name == "neurons").function

    def at(lanes: int, resident: bool) -> str:
        return run(neurons, [f32(100, lanes), f32(lanes)], resident)

    assert at(65_536, False) == "cpu"
    assert at(65_536, True) == "opencl"
    assert run(neurons, [f32(5000, 16), f32(16)], False) == "cpu"
