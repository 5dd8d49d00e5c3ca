"""How long a launch may run: displays reset a card that does not answer for seconds."""

from __future__ import annotations

from typing import Any

from rxcore.compiler.count import estimate
from rxcore.loops.nest import Nest
from rxcore.runtime.cost import Model, profile_for
from rxcore.runtime.devices import Unsupported
from rxcore.runtime.workload import workload
from rxcore_kernels.opencl import Device

__all__ = ["checked_seconds", "expected_seconds"]

# Less work than this takes no device half a second: bytes, or operations by ten.
_MUCH = 1e9
# Drivers differ, and this must not be too short.
_CAUTION = 4.0
# What one work-group may take on a card: a launch is cut between groups only.
_MOST = 2.0


def checked_seconds(cost: Any, groups: int, device: Device) -> float | None:
    """Return how long a launch may take at most, None where it is surely short.

    Raises:
        Unsupported: it may take too long for a card with a display, however it is cut.
    """
    found = expected_seconds(cost, device)
    if found is not None and not device.is_cpu and found / max(groups, 1) > _MOST:
        raise Unsupported(
            f"a launch may run for {found / _CAUTION:.0f} s and cannot be cut: displays"
            " reset cards that do not answer for so long"
        )
    return found


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
