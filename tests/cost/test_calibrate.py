"""Calibration recovers how fast a device is from how long programs take on it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from attrs import evolve, frozen

from rxcore.compiler.form import handmade
from rxcore.control.calibration import PROGRAMS, QUICK, CalibrationProgram
from rxcore.ir.graph import Graph
from rxcore.runtime.cost import Limits, Model, Profile, Rate, shipped
from rxcore.runtime.cost.calibrate import (
    CpuRunner,
    calibrate,
    calibrate_quickly,
    measure,
)
from rxcore.runtime.cost.fit import Measurement, errors_of, fit, fit_scale
from rxcore.runtime.program import compile_graph
from rxcore.runtime.workload import Workload, workload
from tests.cost.unseen import unseen

ONE = evolve(shipped("cpu"), limits=Limits(threads=1, caches=(2 << 20, 24 << 20)))


@pytest.fixture(scope="module")
def works() -> dict[tuple[str, int], Workload]:
    """What the programs do, at two sizes each."""
    return {
        (p.name, size): workload(compile_graph(p.graph(size)).works)
        for p in PROGRAMS
        for size in p.sizes[:4:3]
    }


@frozen
class Imagined:
    """Runs programs on a device that is a profile."""

    model: Model
    works: dict[tuple[str, int], Workload]
    noise: float = 0.0

    def time(self, subject: CalibrationProgram, size: int) -> Measurement | None:
        if (subject.name, size) not in self.works:
            return None
        done = self.works[subject.name, size]
        # Each time is off in its own way: what sizes share would be taken for a rate.
        rng = np.random.default_rng([size, zlib.crc32(subject.name.encode())])
        seconds = self.model.seconds(done) * np.exp(self.noise * rng.normal())
        return Measurement(subject.name, size, done, seconds)


def another(seed: int) -> Profile:
    """Return a device whose rates are other ones."""
    rng = np.random.default_rng(seed)
    common = {c: np.exp(rng.normal(0, 0.5)) for c in ONE.rates["elementwise"]}
    rates = {
        shape: {
            c: Rate(r.seconds * common[c] * np.exp(rng.normal(0, 0.2)))
            for c, r in row.items()
        }
        for shape, row in ONE.rates.items()
    }
    return evolve(ONE, rates=rates, launch=Rate(5e-8), sync=Rate(2e-7))


def errors(profile: Profile, found: Sequence[Measurement]) -> np.ndarray[Any, Any]:
    return np.abs(np.log(errors_of(found, profile)))


@pytest.mark.parametrize("seed", [1, 2])
def test_an_imagined_device_is_measured_right(works: Any, seed: int) -> None:
    device = Imagined(Model(another(seed)), works, noise=0.03)
    found = calibrate(device, PROGRAMS, ONE, seconds=60.0)
    seen = measure(device, PROGRAMS, 60.0)
    assert len(seen) == len(works)
    assert np.median(errors(found, seen)) < 0.04
    assert np.median(errors(ONE, seen)) > 3 * np.median(errors(found, seen))
    # Programs that it was not measured with.
    fresh = []
    for k in range(16):
        done = workload(compile_graph(unseen(k, 10, 16).graph).works)
        fresh.append(Measurement("", 0, done, device.model.seconds(done)))
    assert np.median(errors(found, fresh)) < 0.12
    assert np.median(errors(found, fresh)) < 0.5 * np.median(errors(ONE, fresh))


def test_what_is_not_measured_stays(works: Any) -> None:
    flat = [p for p in PROGRAMS if p.name in ("add", "scale")]
    device = Imagined(Model(another(3)), works)
    found = fit(measure(device, flat, 9.0), ONE)
    for count in ("divide", "integer_divide", "serial"):
        assert found.rate("row", count) == ONE.rate("row", count)
    for row in found.rates.values():
        assert all(1e-14 < r.seconds < 1e-6 for r in row.values())
    assert fit([], ONE) is ONE
    assert fit_scale([], ONE) is ONE


def test_one_disturbed_time_pulls_little(works: Any) -> None:
    device = Imagined(Model(another(4)), works)
    seen = measure(device, PROGRAMS, 60.0)
    wrong = [evolve(seen[0], seconds=50 * seen[0].seconds), *seen[1:]]
    clean, disturbed = fit(seen, ONE), fit(wrong, ONE)
    rest = seen[1:]
    assert np.median(errors(disturbed, rest)) < np.median(errors(clean, rest)) + 0.02


def test_a_quick_look_finds_the_scale(works: Any) -> None:
    slow = ONE.scaled(compute=0.5, bandwidth=0.25)
    device = Imagined(Model(slow), works)
    found = calibrate_quickly(device, QUICK, ONE, seconds=60.0)
    for count, ratio in (("simple", 2), ("memory", 4)):
        before, after = (p.rate("row", count).seconds for p in (ONE, found))
        assert after / before == pytest.approx(ratio, rel=0.3)
    seen = measure(device, PROGRAMS, 60.0)
    assert np.median(errors(found, seen)) < 0.1


def test_rates_carry_how_sure_they_are(works: Any) -> None:
    calm, noisy = (
        fit(measure(Imagined(Model(another(5)), works, n), PROGRAMS, 60.0), ONE)
        for n in (0.01, 0.3)
    )
    for shape in ("elementwise", "row"):
        less, more = (p.rate(shape, "memory").spread for p in (calm, noisy))
        assert 0 < less < more


def test_time_is_kept_to() -> None:
    calls = []

    class Slow:
        def time(self, subject: Any, size: int) -> Measurement:
            calls.append((subject.name, size))
            return Measurement(subject.name, size, ((handmade("m", 1, 1), 1),), 1.0)

    assert measure(Slow(), PROGRAMS, seconds=-1.0) == []
    assert calls == []
    assert len(measure(Slow(), PROGRAMS, seconds=60.0)) == sum(
        len(p.sizes) for p in PROGRAMS
    )
    # The middle sizes of all come before any other size.
    assert len({name for name, _ in calls[: len(PROGRAMS) - 1]}) == len(PROGRAMS) - 1


def test_the_cpu_runs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CpuRunner(seconds=0.0)
    for p in QUICK:
        made = runner.time(p, p.sizes[0])
        assert made is not None
        assert made.seconds > 0
        assert made.works
    # A program is made ready once.
    graphs: list[Graph] = []
    monkeypatch.setattr(runner, "prepare", graphs.append)
    assert runner.time(QUICK[0], QUICK[0].sizes[0]) is not None
    assert not graphs


def test_programs_cover_every_shape_and_count(works: Any) -> None:
    shapes = {f.form.shape for done in works.values() for f, _ in done}
    assert {"elementwise", "row", "column", "scan", "transposed"} <= shapes
    assert {"matmul", "sort"} <= shapes
    counted = {c for done in works.values() for f, _ in done for c in f.counts()}
    # What a loop does not move is loaded before it.
    kept = {"cache", "shared", "memory", "broadcast"}
    assert counted == set(ONE.rates["elementwise"]) - kept
    names = [p.name for p in PROGRAMS]
    assert len(set(names)) == len(names)
