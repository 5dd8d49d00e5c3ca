"""Corrections learn from times, within bounds, and are not misled by one of them."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxcore.runtime.cost import Corrections, bucket_of
from tests.examples import examples

seconds = st.floats(1e-7, 10)


def learnt(predicted: float, times: list[float], *, first: bool = True) -> Corrections:
    """Return what is learnt from times, behind two that do not count."""
    made = Corrections()
    for t in [1000.0, 500.0] * first + times:
        made.observe("f", "cpu", 10, predicted=predicted, seconds=t)
    return made


@examples(100)
@given(seconds, st.lists(seconds, max_size=9))
def test_factors_are_bounded(predicted: float, times: list[float]) -> None:
    factor = learnt(predicted, times).factor("f", "cpu", 10)
    most = 4 if len(times) < 3 else 64
    assert 1 / most - 1e-9 <= factor <= most + 1e-9
    if not times:
        assert factor == 1


@examples(100)
@given(seconds, st.floats(0.26, 3.9), st.integers(1, 20))
def test_weight_of_equal_times(predicted: float, ratio: float, count: int) -> None:
    made = learnt(predicted, [predicted * ratio] * count)
    wanted = ratio ** (count / (count + 0.1))
    assert made.factor("f", "cpu", 10) == pytest.approx(wanted)
    assert made.count("f", "cpu", 10) == count


@given(st.floats(10, 1e6), st.integers(0, 4))
def test_one_outlier_does_not_matter(outlier: float, at: int) -> None:
    times = [2.0] * 5
    times[at] = outlier
    wanted = 2 ** (5 / 5.1)
    assert learnt(1.0, times).factor("f", "cpu", 10) == pytest.approx(wanted)


@given(st.lists(st.floats(1.0, 3.9), min_size=1, max_size=4))
def test_times_that_were_disturbed_do_not_count(slower: list[float]) -> None:
    made = learnt(1.0, [*slower, 1.0])
    assert made.factor("f", "cpu", 10) <= min(slower) + 1e-9
    if len(slower) < 4:
        assert made.factor("f", "cpu", 10) == 1


def test_one_pause_rules_no_device_out_and_a_wild_prediction_is_put_right() -> None:
    factor = learnt(1.0, [40.0]).factor("f", "cpu", 10)
    assert 3 < factor <= 4
    assert learnt(1.0, [40.0, 1.0]).factor("f", "cpu", 10) == 1
    assert learnt(1.0, [40.0] * 3).factor("f", "cpu", 10) > 30


def test_the_first_runs_of_a_size_say_nothing() -> None:
    made = Corrections()
    for _ in range(2):
        made.observe("f", "cpu", 10, predicted=1, seconds=3)
        assert made.factor("f", "cpu", 10) == 1
        assert made.count("f", "cpu", 10) == 0
    made.observe("f", "cpu", 12, predicted=1, seconds=3, first=False)
    assert made.count("f", "cpu", 12) == 1
    made.observe("f", "cpu", 12, predicted=1, seconds=1e-9, first=True)
    assert made.count("f", "cpu", 12) == 1


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_times_that_are_none(bad: float) -> None:
    made = learnt(1.0, [2.0])
    before = made.factor("f", "cpu", 10)
    made.observe("f", "cpu", 10, predicted=1.0, seconds=bad)
    made.observe("f", "cpu", 10, predicted=0.0, seconds=1.0)
    assert made.factor("f", "cpu", 10) == before


def test_other_sizes_borrow_and_others_do_not() -> None:
    made = learnt(1.0, [2.0] * 3)
    own = made.factor("f", "cpu", 10)
    assert 1 < made.factor("f", "cpu", 12) < made.factor("f", "cpu", 11) < own
    assert made.factor("f", "cpu", 20) == 1
    assert made.factor("g", "cpu", 10) == made.factor("f", "opencl", 10) == 1


def test_what_was_learnt_can_be_stored() -> None:
    made = learnt(1.0, [2.0] * 3)
    again = Corrections()
    again.restore(made.export(), "cpu")
    assert again.factor("f", "cpu", 10) == pytest.approx(
        made.factor("f", "cpu", 10), rel=1e-3
    )
    assert made.export() == (("f", 10, 3, 0.6931),)


def test_threads_learn_together() -> None:
    made = Corrections()

    def work(k: int) -> None:
        for _ in range(200):
            made.observe("f", "cpu", k % 2, predicted=1, seconds=2, first=False)
            made.factor("f", "cpu", 1)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert made.count("f", "cpu", 0) == made.count("f", "cpu", 1) == 400


def test_keys_are_forgotten_when_there_are_very_many() -> None:
    made = Corrections()
    for k in range(5000):
        made.observe(k, "cpu", 1, predicted=1, seconds=2, first=False)
    assert made.count(0, "cpu", 1) == 0
    assert made.count(4999, "cpu", 1) == 1


@given(st.integers(1, 1 << 50))
def test_buckets_are_powers_of_two(n: int) -> None:
    assert 2 ** (bucket_of(n) - 1) <= n < 2 ** bucket_of(n)
