"""The benchmarks judge as they say: rows are whole, wrong results are seen."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measure import disagreement, leaves
from benchmarks.peers import OURS, PEERS
from benchmarks.record import AtMost, Outcome, Ratio, Row, Share, Timing, Tolerance
from benchmarks.report import judge, line, table
from benchmarks.suite import SUITES, select

ROWS = [pytest.param(row, id=row.name) for rows in SUITES.values() for row in rows]
WIDTHS = {"read": 1e9, "copy": 1e9, "triad": 1e9}


def outcome(row, **seconds):
    times = {name: Timing(value, value, value, 7) for name, value in seconds.items()}
    return Outcome(row, times)


def test_names_are_unique():
    for rows in SUITES.values():
        assert len({row.name for row in rows}) == len(rows)


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
    row = select("core", ["exp"])[0]
    judged = judge(
        Ratio(least, ("jax", "numpy")),
        outcome(row, rxcore=ours, jax=peer, numpy=2 * peer),
        WIDTHS,
    )
    assert judged.met == (peer / ours >= least)


@given(ours=st.floats(1e-6, 1e3), limit=st.floats(1e-6, 1e3))
def test_limits_and_shares(ours, limit):
    row = select("core", ["exp"])[0]
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
