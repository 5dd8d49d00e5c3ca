"""The benchmarks judge as they say: rows are whole, wrong results are seen."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import core, device_report, device_rows, field_digits, fields, opencl
from benchmarks.device_measure import run_device_row, run_probe
from benchmarks.device_record import (
    OVERHEAD,
    DeviceOutcome,
    DeviceRow,
    Launches,
    Measured,
    Over,
    Probe,
    RowError,
)
from benchmarks.measure import Effort, disagreement, leaves
from benchmarks.peers import OURS, OWN, PEERS, SPECIAL
from benchmarks.record import AtMost, Outcome, Ratio, Row, Share, Timing, Tolerance
from benchmarks.report import judge, line, replace_table, table
from benchmarks.suite import SUITES, load, select
from rxcore.runtime.devices import find

ROWS = [pytest.param(row, id=row.name) for row in core.ROWS]
FIELD_ROWS = [pytest.param(r, id=r.name) for r in fields.ROWS if isinstance(r, Row)]
DEVICE_ROWS = [pytest.param(row, id=row.name) for row in opencl.ROWS]
WIDTHS = {"read": 1e9, "copy": 1e9, "triad": 1e9, device_report.TRIAD: 2e9}
TINY = Effort(rounds=1, processes=1)


def outcome(row, **seconds):
    times = {name: Timing(value, value, value, 7) for name, value in seconds.items()}
    return Outcome(row, times)


def test_names_are_unique():
    for rows in (core.ROWS, opencl.ROWS, fields.ROWS):
        assert len({row.name for row in rows}) == len(rows)


@pytest.mark.parametrize("row", FIELD_ROWS)
def test_field_row_is_whole(row):
    assert row.must
    assert row.aim
    assert OURS in row.programs
    assert set(row.programs) <= {OURS, *PEERS, *SPECIAL, *OWN}
    for goal in row.must + row.aim:
        if isinstance(goal, Share):
            assert row.bytes > 0
        if isinstance(goal, Ratio):
            assert set(goal.against) <= set(row.programs)
    assert line(outcome(row), WIDTHS)[-1] in ("MISSED", "not judged")


def test_accuracies_are_reached_for_each_seed():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    found = field_digits.reach(seeds=range(2), epochs=2)
    assert [r.goal for r in found] == list(field_digits.GOALS.values())
    for r in found:
        assert len(r.values) == 2
        assert r.verdict in ("MISSED", "must", "aim")
        assert r.cells()[-1] == r.verdict
    by_title = {r.goal.title: r for r in found}
    assert min(by_title["digits, dense"].values) > 0.7
    assert min(by_title["bytes, int8 model"].values) > 3.6


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_is_a_module_that_runs(suite):
    assert callable(load(suite).run)


@pytest.mark.parametrize("row", ROWS)
def test_row_is_whole(row):
    assert row.must
    assert row.aim
    if isinstance(row, Row):
        assert {OURS, "jax"} <= set(row.programs) <= {OURS, *PEERS}
    for goal in row.must + row.aim:
        if isinstance(goal, Share):
            assert row.bytes > 0
            assert goal.kind in WIDTHS
        if isinstance(goal, Ratio) and isinstance(row, Row):
            assert set(goal.against) <= set(row.programs)


@pytest.mark.parametrize("row", ROWS)
def test_row_can_be_printed_whatever_came(row):
    some = outcome(row, rxcore=0.5, jax=1.0)
    for each in (some, outcome(row), Outcome(row, {}, {OURS: "broken"})):
        assert row.title in table([each], WIDTHS)
    assert line(Outcome(row, {}, {OURS: "broken"}), WIDTHS)[-1] == "FAILED"


@given(ours=st.floats(1e-6, 1e3), peer=st.floats(1e-6, 1e3), least=st.floats(0.1, 20))
def test_ratio_is_the_best_peer_over_ours(ours, peer, least):
    row = select(core.ROWS, ["exp"])[0]
    judged = judge(
        Ratio(least, ("jax", "numpy")),
        outcome(row, rxcore=ours, jax=peer, numpy=2 * peer),
        WIDTHS,
    )
    assert judged.met == (peer / ours >= least)


@given(ours=st.floats(1e-6, 1e3), limit=st.floats(1e-6, 1e3))
def test_limits_and_shares(ours, limit):
    row = select(core.ROWS, ["exp"])[0]
    came = outcome(row, rxcore=ours)
    assert judge(AtMost(limit), came, WIDTHS).met == (ours <= limit)
    share = row.bytes / ours / WIDTHS["triad"]
    assert judge(Share(0.9, "triad"), came, WIDTHS).met == (share >= 0.9)
    assert judge(Ratio(1.0, ("jax",)), came, WIDTHS).met is None


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1), st.data())
def test_disagreement_sees_one_wrong_element(values, data):
    right = np.asarray(values, np.float32)
    wrong = right.copy()
    place = data.draw(st.integers(0, right.size - 1))
    wrong[place] = data.draw(st.sampled_from([math.nan, math.inf, 2e6]))
    assert disagreement((right,), (right.copy(),), Tolerance()) is None
    assert disagreement((wrong,), (right,), Tolerance()) is not None
    assert disagreement((right,), (wrong,), Tolerance()) is not None
    assert disagreement((right, right), (right,), Tolerance()) is not None


def test_equal_infinities_agree_and_nans_do_not():
    infinite = np.asarray([math.inf, -math.inf], np.float32)
    assert disagreement(infinite, infinite.copy(), Tolerance()) is None
    nan = np.asarray([math.nan], np.float32)
    assert disagreement(nan, nan.copy(), Tolerance()) is not None


def test_leaves_keep_their_order():
    assert leaves(({"b": 2, "a": 1}, [3, (4,)])) == [1, 2, 3, 4]


# The device suite ---------------------------------------------------------------------


def timings(**seconds):
    return {name: Timing(value, value, value, 7) for name, value in seconds.items()}


@pytest.mark.parametrize("row", DEVICE_ROWS)
def test_device_row_is_whole(row):
    for goal in row.must:
        if isinstance(goal, Share):
            assert row.bytes > 0
            assert goal.kind in WIDTHS
        if isinstance(goal, Ratio):
            assert set(goal.against) <= {"numpy", "cpu"}


@pytest.mark.parametrize("row", DEVICE_ROWS)
def test_device_row_can_be_printed_whatever_came(row):
    times = timings(rxcore=0.5, kernels=0.4, cpu=1.0, numpy=1.0, overhead=1e-6)
    for each in (
        DeviceOutcome(row, times, 1, ()),
        DeviceOutcome(row, {}),
        DeviceOutcome(row, {}, failures={OURS: "broken"}),
    ):
        assert row.title in device_report.table([each], WIDTHS)
        facts = device_report.content({}, [each], WIDTHS, True)
        assert facts["rows"][0]["name"] == row.name
    assert device_report.line(each, WIDTHS)[-1] == "FAILED"


@given(counted=st.integers(0, 9), most=st.integers(1, 9), extra=st.floats(0, 1e-3))
def test_device_goals(counted, most, extra):
    row = select(opencl.ROWS, ["exp"])[0]
    came = DeviceOutcome(row, timings(rxcore=1.0, **{OVERHEAD: extra}), counted)
    assert device_report.judge(Launches(most), came, WIDTHS).met == (counted <= most)
    assert device_report.judge(Over(3e-5), came, WIDTHS).met == (extra <= 3e-5)
    nothing = DeviceOutcome(row, {})
    assert device_report.judge(Launches(most), nothing, WIDTHS).met is False
    assert device_report.judge(Over(3e-5), nothing, WIDTHS).met is False


def test_a_graphics_card_is_judged_by_its_own_triad():
    assert device_report.judged_widths(WIDTHS, is_cpu=True)["triad"] == 1e9
    assert device_report.judged_widths(WIDTHS, is_cpu=False)["triad"] == 2e9


def small_row(**changes):
    def inputs():
        return (np.arange(64, dtype=np.float32), [np.ones(64, np.float32)])

    given = {"program": lambda x, ys: x * 2 + ys[0], "must": (Launches(1),), **changes}
    return DeviceRow(
        name="small",
        title="small",
        inputs=inputs,
        reference=lambda x, ys: x * 2 + ys[0],
        bytes=3 * 4 * 64,
        **given,
    )


def test_a_device_row_is_compared_counted_and_timed():
    outcome = run_device_row(small_row(), find("opencl"), TINY)
    assert outcome.failures == {}
    assert outcome.launches == 1
    assert outcome.fallbacks == ()
    assert set(outcome.times) == {OURS, "kernels", "cpu", "numpy"}
    assert all(timing.median > 0 for timing in outcome.times.values())
    assert device_report.verdict(outcome, WIDTHS)[1] == "must"


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (lambda x, ys: x * 2 - ys[0], "differs from NumPy"),
        (lambda x, ys: (x, ys[0]), "2 results against 1"),
        (lambda x, ys: (x + ys[0]).no_such_method(), "AttributeError"),
    ],
)
def test_a_wrong_device_row_fails(program, why):
    outcome = run_device_row(small_row(program=program), find("opencl"), TINY)
    assert why in outcome.failures[OURS]
    assert device_report.verdict(outcome, WIDTHS)[1] == "FAILED"


def test_a_probe_that_raises_fails():
    def probe(times):
        def measure(target, effort):
            if target != "device" or effort != TINY:
                raise RowError("not the same")
            return Measured(timings(**times), launches=3)

        return Probe("p", "p", measure, must=(AtMost(2.0),))

    failed = run_probe(probe({"rxcore": 1.0}), "another", TINY)
    assert "not the same" in failed.failures[OURS]
    assert device_report.verdict(failed, WIDTHS)[1] == "FAILED"
    for seconds, said in ((1.0, "must"), (3.0, "MISSED")):
        came = run_probe(probe({"rxcore": seconds}), "device", TINY)
        assert came.launches == 3
        assert device_report.verdict(came, WIDTHS)[1] == said


@given(st.integers(0, 2**32 - 1))
def test_the_last_step_of_neurons_has_one_way_to_the_loss(seed):
    # A step's current moves its own spike by the slope; the last has no other effect.
    currents = np.random.default_rng(seed).uniform(0, 2, (3, 5)).astype(np.float32)
    spikes, above = device_rows.lif_states(currents)
    gradient = device_rows.lif_gradient_by_numpy(currents)
    slope = 1 / (1 + device_rows.SLOPE * np.abs(above[-1])) ** 2
    np.testing.assert_allclose(gradient[-1], 2 * spikes[-1] * slope, rtol=1e-5)


def test_replacing_one_table_leaves_the_other(tmp_path):
    readme = tmp_path / "README.md"
    parts = "a\n<!-- table -->\n<!-- end of table -->\nb\n"
    parts += "<!-- opencl table -->\nold\n<!-- end of opencl table -->\nc\n"
    readme.write_text(parts)
    replace_table(readme, "one", "core")
    replace_table(readme, "two", "opencl")
    expected = parts.replace("<!-- table -->", "<!-- table -->\none", 1)
    expected = expected.replace("\nold\n", "\ntwo\n")
    assert readme.read_text() == expected
