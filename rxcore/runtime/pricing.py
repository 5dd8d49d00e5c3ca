"""Pricing: what a program would take on each target, by profiles and by what was seen.

One `Market` holds a model for the CPU and for each device, made when it is first asked
for: from the profile that was measured, else a quick calibration of the shipped one.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from rxcore.base import config
from rxcore.base.errors import DeviceError
from rxcore.runtime.cost import (
    Corrections,
    Model,
    Profile,
    bucket_of,
    host_profile,
    measured,
    profile_for,
    profile_path,
    save,
)
from rxcore.runtime.devices import Target, calibrators
from rxcore.runtime.workload import Workload, workload
from rxcore_kernels import host

__all__ = ["MARKET", "Market", "Price", "path_of"]


@frozen(eq=False)
class Price:
    """What one program would take on one target.

    Args:
        works: the features of its kernels, and how often each runs.
        key: what programs of equal kernels share.
        bucket: the power of two of the bytes it moves.
        seconds: the prediction, uncorrected.
        needs: bytes of memory that a call needs there.
    """

    works: Workload
    key: str
    bucket: int
    seconds: float
    needs: int


def path_of(target: Target | None, *, quick: bool = False) -> Path | None:
    """Return the file of a target's measured profile; None: nowhere."""
    version = importlib.metadata.version("rxcore") + ("-quick" if quick else "")
    if target is None:
        driver = f"llvmlite {importlib.metadata.version('llvmlite')}"
        return profile_path(host.features().name, driver, version)
    kind = "-as-cpu" if target.facts.kind == "cpu" else ""
    return profile_path(target.device.name + kind, target.device.driver, version)


def shipped_for(target: Target | None) -> Profile:
    """Return what is expected of a target that was not measured."""
    if target is None:
        return host_profile(config.current().num_threads)
    return profile_for(target.device.name, target.facts)


def _calibrated(target: Target | None) -> Profile:
    """Scale the shipped profile by a quick measurement, and keep that."""
    profile = shipped_for(target)
    for calibrate in calibrators:
        profile = calibrate(target, profile)
    path = path_of(target, quick=True)
    if path is not None:
        with contextlib.suppress(DeviceError):  # a cache that cannot be written to
            save(profile, path)
    return profile


@define(eq=False)
class Market:
    """Models of all targets, and what was learnt from runs."""

    corrections: Corrections = field(factory=Corrections)
    _models: dict[Any, Model] = field(factory=dict)
    _lock: Any = field(factory=threading.RLock)

    def model(self, target: Target | None) -> Model:
        """Return a target's model (None: the CPU)."""
        fixed = config.current().deterministic_placement
        kind = None if target is None else target.facts.kind
        key = (target, kind, fixed)
        found = self._models.get(key)
        if found is None:
            with self._lock:
                found = self._models.get(key)
                if found is None:
                    made = Model(self._profile(target, fixed))
                    found = self._models[key] = made
        return found

    def _profile(self, target: Target | None, fixed: bool) -> Profile:
        if fixed:
            return shipped_for(target)

        def quick() -> Profile:
            return measured(path_of(target, quick=True), lambda: _calibrated(target))

        return measured(path_of(target), quick)

    def forget(self) -> None:
        """Read profiles again when they are next asked for; forget what was learnt."""
        with self._lock:
            self._models.clear()
            self.corrections = Corrections()

    def price(
        self,
        model: Model,
        works: Sequence[tuple[Any, int]],
        sources: Sequence[Any],
        needs: int,
    ) -> Price:
        """Return the price of a program's steps."""
        found = workload(works)
        moved = sum((f.read + f.written) * times for f, times in found)
        text = "".join(s.key for s in sources)
        shapes = "".join(f.form.shape for f, _ in found)
        key = hashlib.sha256((text + shapes).encode()).hexdigest()[:24]
        return Price(found, key, bucket_of(moved), model.seconds(found), needs)

    def label(self, target: Target | None) -> Any:
        """Return what stands for a target where runs are noted."""
        return "cpu" if target is None else target

    def corrected(self, price: Price, target: Target | None) -> float:
        """Return a prediction with what was learnt from equal programs."""
        if config.current().deterministic_placement:
            return price.seconds
        name = self.label(target)
        return price.seconds * self.corrections.factor(price.key, name, price.bucket)

    def observe(self, price: Price, target: Target | None, seconds: float) -> None:
        """Learn from a run; the first ones of a program are not believed."""
        name = self.label(target)
        self.corrections.observe(
            price.key, name, price.bucket, predicted=price.seconds, seconds=seconds
        )

    def count(self, price: Price, target: Target | None) -> int:
        """Return how many runs were learnt from."""
        name = self.label(target)
        return self.corrections.count(price.key, name, price.bucket)


MARKET = Market()
