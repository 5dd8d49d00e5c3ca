"""Predictions: the compiled function, the terms, and the fit's matrices agree."""

from __future__ import annotations

import math

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from rxcore.compiler.features import Features, Form, handmade
from rxcore.compiler.form import COUNTS
from rxcore.compiler.polynomial import Polynomial
from rxcore.runtime.cost import (
    SHIPPED,
    Limits,
    Model,
    Profile,
    compile_cost,
    shipped,
    terms,
)
from rxcore.runtime.cost.fit import Measurement, errors_of
from rxcore.runtime.cost.predict import blend
from tests.examples import examples

PROFILES = [*map(shipped, SHIPPED), evolve(shipped("cpu"), limits=Limits())]
SHAPES = ("elementwise", "row", "column", "scan", "transposed")
COUNTED = [c for c in COUNTS if c != "left"]


@st.composite
def works(draw: st.DrawFn) -> Features:
    """Draw features of a nest or of a hand-made kernel."""
    number = st.integers(0, 1 << 24)
    items = draw(st.integers(1, 1 << 20))
    if draw(st.booleans()):
        name = draw(st.sampled_from(["matmul", "sort", "nobody knows it"]))
        return handmade(name, draw(number), draw(number), items)
    counts = draw(st.lists(st.sampled_from(COUNTED), unique=True))
    n, m = Polynomial.of(0), Polynomial.of(1)
    kinds = [n, m, n * m, n * m * 0.5 + n]
    form = Form(
        draw(st.sampled_from(["cpu", "gpu"])),
        draw(st.sampled_from(SHAPES)),
        tuple((c, draw(st.sampled_from(kinds))) for c in counts),
        2,
    )
    extents = (draw(st.integers(2, 5000)), draw(st.integers(2, 5000)))
    four = [draw(number) for _ in range(4)]
    return Features(form, extents, *four, items, draw(number))


@examples(200)
@given(works(), st.sampled_from(PROFILES))
def test_three_ways_to_predict_agree(f: Features, profile: Profile) -> None:
    parts = terms(f, profile)
    compiled = compile_cost(f.form, profile)(*f.sizes)
    assert compiled == pytest.approx(parts.total, rel=1e-9)
    model = Model(profile)
    assert model.seconds([(f, 3)]) == pytest.approx(
        model.terms([(f, 3)]).total, rel=1e-9
    )
    assert model.cost(f.form) is model.cost(f.form)
    whole = model.seconds([(f, 3)])
    (ratio,) = errors_of([Measurement("", 0, ((f, 3),), whole)], profile)
    assert ratio == pytest.approx(1, rel=1e-6)


@examples(100)
@given(works(), st.sampled_from(PROFILES))
def test_terms_bound_the_total(f: Features, profile: Profile) -> None:
    t = terms(f, profile)
    parts = (t.memory, t.arithmetic, t.serial)
    assert t.launch + max(parts) <= t.total * (1 + 1e-9)
    assert t.total <= (t.launch + sum(parts)) * (1 + 1e-9)
    assert 0 <= t.spread < 1
    assert math.isfinite(t.total)
    assert getattr(t, t.limit) == max(t.launch, *parts)
    double = t + t
    assert double.total == pytest.approx((t * 2).total)
    assert double.spread == pytest.approx(t.spread)


@examples(100)
@given(works(), st.sampled_from(PROFILES), st.sampled_from(["read", "again", "left"]))
def test_more_takes_no_less_time(f: Features, profile: Profile, what: str) -> None:
    more = evolve(f, **{what: 2 * getattr(f, what) + 1000})
    assert terms(more, profile).total >= terms(f, profile).total * (1 - 1e-6)


def test_threads_and_occupancy() -> None:
    heavy = handmade("matmul", 1e10, 1e6, items=64)
    alone = evolve(shipped("cpu"), limits=Limits(threads=1))
    four = evolve(shipped("cpu"), limits=Limits(threads=4, memory_threads=4.0))
    ratio = terms(heavy, alone).total / terms(heavy, four).total
    assert ratio == pytest.approx(4, rel=0.05)
    light = handmade("matmul", 1e5, 1e3, items=64)
    assert terms(light, alone).total == terms(light, four).total
    # One piece cannot be shared.
    assert terms(evolve(heavy, items=1), four).total == terms(heavy, alone).total
    card = shipped("rx580")
    few, many = (evolve(heavy, items=n) for n in (64, 1 << 20))
    assert terms(few, card).total > 50 * terms(many, card).total


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_caches_serve_what_fits(a: int, b: int) -> None:
    limits = Limits(caches=(1 << 20, 1 << 24))
    small, large = sorted((a, b))
    for shares in (blend(small, limits), blend(large, limits)):
        assert sum(shares) == pytest.approx(1)
        assert min(shares) >= 0
    assert blend(small, limits)[2] <= blend(large, limits)[2] + 1e-12
    assert blend(1 << 16, limits)[0] > 0.99
    assert blend(1 << 30, limits)[2] > 0.99
    # A cache that is not there serves nothing.
    assert blend(1 + a, Limits(caches=(1 << 20, 0)))[1] == 0
