"""How long a launch may run: displays reset a card that does not answer for seconds."""

from __future__ import annotations

from typing import Any

from rxcore.compiler.count import estimate
from rxcore.loops.nest import Nest
from rxcore.runtime.cost import Model, profile_for
from rxcore.runtime.workload import workload
from rxcore_kernels.opencl import Device

__all__ = ["expected_seconds"]

# Less work than this takes no device half a second: bytes, or operations by ten.
_MUCH = 1e9
# Drivers differ, and this must not be too short.
_CAUTION = 4.0


def expected_seconds(cost: Any, device: Device) -> float | None:
    """Return how long a launch may take at most, None where it is surely short.

    Args:
        cost: the Nest that it runs, or a hand-made kernel's launch.
        device: where.
    """
    if cost is None or _weight(cost) < _MUCH:
        return None
    # The shipped profile: to measure the device first would launch kernels, too.
    model = Model(profile_for(device.name, device.facts))
    return _CAUTION * model.seconds(workload([(cost, 1)]))


def _weight(cost: Any) -> float:
    if isinstance(cost, Nest):
        return estimate(cost).weight
    return max(float(cost.nbytes), float(cost.flops) / 10)
