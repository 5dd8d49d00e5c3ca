"""The placement suite compares rightly what it compares, and leaves nothing behind."""

import math
import os

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import rxcore as rx
from benchmarks import placement, placement_report
from benchmarks.measure import Effort
from benchmarks.placement_cards import CARD, CASES, DEVICE, HOST, Case, explained
from benchmarks.placement_decision import measure_decision
from benchmarks.placement_measure import (
    FOLLOWING,
    OBSERVED,
    Priced,
    Sample,
    calibrate,
    caller,
    price,
)
from benchmarks.placement_programs import (
    FIRST_SEED,
    MIXES,
    RANDOM,
    Fused,
    arguments,
    drawn,
    programs,
)
from rxcore.base import dtypes
from rxcore.control.calibration import PROGRAMS
from rxcore.ir.types import Type
from rxcore.runtime.decide import price_of
from rxcore.runtime.devices import find
from rxcore.runtime.pricing import MARKET, path_of, shipped_for
from rxcore.runtime.variants import variants_of
from rxcore.trace.capture import capture
from rxcore_kernels import cache

TINY = Effort(rounds=2, processes=1)
times = st.floats(1e-7, 10.0)


@pytest.fixture
def routed(monkeypatch):
    """Calls may be placed on PoCL, by the shipped profiles: nothing is measured."""
    monkeypatch.setattr("rxcore.runtime.pricing._calibrated", shipped_for)
    with placement.routed():
        yield find("opencl")


def sample(predicted, learnt, *seconds):
    terms = dict.fromkeys(("launch", "memory", "arithmetic", "serial"), 0.0)
    return Sample(predicted, learnt, seconds, seconds, 1, ("row",), terms)


def priced(cpu, opencl, choice="cpu", later="cpu"):
    samples = {"cpu": cpu, "opencl": opencl}
    return Priced("a program", "rows", 1000, samples, {}, choice, later)


@given(times, times)
def test_errors_are_shares(predicted, seconds):
    over, under = sample(predicted, 1.0, seconds), sample(seconds, 1.0, predicted)
    assert over.error == pytest.approx(under.error)
    assert over.error >= 0
    assert sample(seconds, seconds, seconds).error == 0
    assert sample(1.25 * seconds, 1.0, seconds).error == pytest.approx(0.25)
    assert sample(1.0, 1.25 * seconds, seconds).learnt_error == pytest.approx(0.25)


@given(times, times, st.sampled_from(["cpu", "opencl"]))
def test_regret_is_one_for_the_faster_device(cpu, opencl, choice):
    made = priced(sample(1.0, 1.0, cpu), sample(1.0, 1.0, opencl))
    assert made.regret(made.best) == 1
    assert made.regret(choice) >= 1
    assert made.regret("cpu") * made.regret("opencl") == pytest.approx(
        max(cpu, opencl) / min(cpu, opencl)
    )


@given(times, times, st.one_of(st.none(), st.floats(0.1, 1)))
def test_verdicts(value, must, share):
    aim = None if share is None else must * share
    line = placement_report.Line("a row", value, must, aim)
    assert (line.verdict == "MISSED") == (value > must)
    if aim is not None and value <= must:
        assert (line.verdict == "aim") == (value <= aim)
    assert "a row" in placement_report.table([line])
    assert placement_report.Line("nan", float("nan"), 1.0).verdict == "MISSED"


def test_short_programs_on_pocl_are_not_judged():
    short, long = (sample(1.0, 1.0, seconds) for seconds in (1e-4, 1e-3))
    kinds = {"cpu": "cpu", "opencl": "opencl-cpu"}
    found = placement_report.error_lines([priced(short, short)], kinds)
    assert ["cpu" in line.title for line in found] == [True, True]
    found = placement_report.error_lines([priced(short, long)], kinds)
    assert ["opencl" in line.title for line in found] == [False, False, True, True]


def test_a_wrong_choice_shows():
    made = [
        priced(sample(1.0, 1.0, 1.0), sample(1.0, 1.0, 3.0), "opencl", "cpu"),
        priced(sample(1.0, 1.0, 1.0), sample(1.0, 1.0, 3.0)),
    ]
    mean, worst, later, worst_later = placement_report.regret_lines(made)
    assert (mean.value, worst.value) == (2.0, 3.0)
    assert (later.value, worst_later.value) == (1.0, 1.0)
    refused = evolve(made[0], samples={"cpu": sample(1.0, 1.0, 1.0)})
    assert placement_report.regret_lines([refused]) == []
    assert "rows" in placement_report.kind_table([refused], ["cpu", "opencl"])


def test_programs_are_unseen_and_of_all_sizes():
    found = programs()
    assert len({p.name for p in found}) == len(found) == RANDOM + len(MIXES) >= 40
    assert not {p.name for p in found} & {p.name for p in PROGRAMS}
    # The laws of calibration draw from the first seeds.
    assert FIRST_SEED > 100
    kinds = {p.kind for p in found}
    assert kinds >= {"flat", "rows", "columns", "scan", "transposed"}
    assert kinds >= {"total", "matmul", "sort"}
    sizes = [p.nbytes for p in found]
    assert min(sizes) < 1e4
    assert 5e7 < max(sizes) < 3e8
    assert drawn(9)[8].graph.key == found[8].graph.key


def small():
    def function(x):
        return [(x * 2.0 + 1.0).sum(1)]

    return Fused("s", "rows", capture(function, [Type(dtypes.float32, (20, 30))]).graph)


def test_a_program_is_priced_run_and_learnt_from(routed):
    fused = small()
    made = price(fused, [None, routed], rounds=2)
    assert set(made.samples) == {"cpu", "opencl"}
    assert made.choice in made.samples
    assert made.later in made.samples
    for place, found in zip((None, routed), made.samples.values(), strict=True):
        whole = price_of(variants_of(fused.graph), place)
        assert found.predicted == whole.seconds
        # The runs that follow are noted too, after the corrected prediction was made.
        assert 0 < abs(math.log(found.learnt / found.predicted)) < math.log(64)
        assert MARKET.count(whole, place) == OBSERVED + FOLLOWING
        assert len(found.times) == 2
        assert len(found.following) == FOLLOWING
        assert min(found.times) > 0
        assert found.launches == 1


def test_both_devices_compute_the_same(routed):
    fused = small()
    args = [rx.asarray(x) for x in arguments(fused.graph)]
    variants = variants_of(fused.graph)
    here, there = (caller(variants, t, args)()[0] for t in (None, routed))
    assert (here.device, there.device) == ("cpu", "opencl")
    np.testing.assert_allclose(here, there, rtol=1e-6)


@pytest.mark.usefixtures("routed")
def test_a_calibration_is_kept_and_used():
    one = [p for p in PROGRAMS if p.name == "scale"]
    assert not path_of(None).exists()
    made = calibrate(None, 0.05, one)
    assert path_of(None).exists()
    assert made.device == "cpu"
    assert 0 < made.measured <= made.programs == len(one[0].sizes)
    used, first = MARKET.model(None).profile, shipped_for(None)
    assert used.rate("elementwise", "cache") != first.rate("elementwise", "cache")


def test_settings_and_caches_are_left_as_they_were(monkeypatch):
    monkeypatch.setenv("POCL_CACHE_DIR", "before")
    before, variables = cache.current().path, dict(os.environ)
    with placement.routed():
        assert cache.current().path != before
        assert os.environ["POCL_CACHE_DIR"] != "before"
        assert rx.config.allow_opencl_cpu
    assert cache.current().path == before
    assert dict(os.environ) == variables
    assert not rx.config.allow_opencl_cpu


@pytest.mark.parametrize("count", [1, 3])
def test_decisions_are_about_so_many_kernels(routed, count):
    made = measure_decision(count, routed, TINY)
    assert made.kernels == (count, count)
    assert made.per_kernel == made.anew.median / (2 * count)
    for timing in (made.anew, made.unsettled, made.repeated):
        assert timing.median > 0
    lines = placement_report.decision_lines([made])
    assert [line.must for line in lines] == [1e-6, 0.3e-6]


def test_cases_are_whole():
    assert len({case.title for case in CASES}) == len(CASES)
    for case in CASES:
        assert {case.host, case.device} <= {"cpu", CARD, "either"}


@pytest.mark.usefixtures("routed")
def test_choices_are_explained():
    case = Case("double", lambda x: x * 2.0, ((1 << 22,),), "cpu", CARD)
    host, device = explained(case)
    assert (host.lies, device.lies) == (HOST, DEVICE)
    assert host.card > device.card
    assert host.cpu < device.cpu
    for made in (host, device):
        assert made.choice in made.reason
        assert made.as_expected == (made.choice == made.expected)
        assert evolve(made, expected="either").as_expected
        faster = "cpu" if made.cpu <= made.card else CARD
        assert made.choice == faster
    text = placement_report.card_table([host, evolve(device, expected="cpu")])
    assert "cpu (!)" in text
