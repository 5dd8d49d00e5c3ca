"""Schedules take the values that their formulas say, traced and batched."""

import re

import numpy as np
import pytest

import rxcore as rx
from rxcore import optim
from rxcore.base import errors

T = np.arange(130, dtype=np.int32)


def half_cosine(share):
    return (1 + np.cos(np.pi * np.minimum(share, 1))) / 2


SCHEDULES = {
    "constant": (optim.constant(0.3), np.full(130, 0.3)),
    "linear_warmup": (
        optim.linear_warmup(0.5, 40, start=0.1),
        0.1 + 0.4 * np.minimum(T / 40, 1),
    ),
    "polynomial": (
        optim.polynomial(1.0, 0.2, 100, power=3),
        0.2 + 0.8 * (1 - np.minimum(T / 100, 1)) ** 3,
    ),
    "polynomial rising": (
        optim.polynomial(0.0, 0.2, 100, power=0.5),
        0.2 - 0.2 * (1 - np.minimum(T / 100, 1)) ** 0.5,
    ),
    "cosine": (optim.cosine(0.5, 100, end=0.1), 0.1 + 0.4 * half_cosine(T / 100)),
    "cosine with warm-up": (
        optim.cosine(0.5, 100, warmup=20, start=0.01),
        np.where(T < 20, 0.01 + 0.49 * T / 20, 0.5 * half_cosine((T - 20) / 80)),
    ),
    "join": (
        optim.join(
            [optim.constant(1.0), optim.polynomial(0.5, 0.0, 10), optim.constant(0.1)],
            [30, 50],
        ),
        np.where(T < 30, 1, np.where(T < 50, 0.5 - 0.05 * np.clip(T - 30, 0, 10), 0.1)),
    ),
}
every_schedule = pytest.mark.parametrize("name", SCHEDULES)


@every_schedule
def test_values(name):
    schedule, expected = SCHEDULES[name]
    for run in (schedule, rx.jit(schedule), rx.vmap(schedule)):
        found = run(T)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, 1e-5, 1e-6)


@every_schedule
def test_one_step_gives_a_number(name):
    schedule, expected = SCHEDULES[name]
    for step in (7, rx.asarray(7), np.int64(7), np.uint8(7)):
        value = schedule(step)
        assert value.shape == ()
        assert abs(float(value) - expected[7]) < 1e-6


def test_float64_by_default_dtype():
    with rx.config(default_float=np.float64):
        found = optim.cosine(0.5, 100)(rx.asarray(T))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, 0.5 * half_cosine(T / 100), 1e-13, 1e-13)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: optim.cosine(1.0, 10, warmup=10),
            errors.UserError,
            "optim.cosine: warmup=10 of steps=10; expected 0 <= warmup < steps",
        ),
        (
            lambda: optim.linear_warmup(1.0, 0),
            errors.UserError,
            "optim.linear_warmup: steps=0; expected steps > 0",
        ),
        (
            lambda: optim.polynomial(1.0, 0.0, 5, power=0),
            errors.UserError,
            "optim.polynomial: power=0; expected power > 0",
        ),
        (
            lambda: optim.join([optim.constant(1.0)], [3]),
            errors.UserError,
            "optim.join: 1 schedules and 1 boundaries; expected one boundary fewer",
        ),
        (
            lambda: optim.join([optim.constant(1.0)] * 3, [5, 5]),
            errors.UserError,
            "optim.join: boundaries (5, 5); expected positive, rising steps",
        ),
        (
            lambda: optim.constant(1.0)(0.5),
            errors.DTypeError,
            "optim.constant: a schedule takes an integer step, got float32 (shape ())",
        ),
    ],
)
def test_message(call, kind, text):
    with pytest.raises(kind, match=re.escape(text)):
        call()
