"""Launches that a display would not wait for: cut, or left to the CPU."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from rxcore.runtime.devices import Unsupported
from rxcore.runtime.watchdog import checked_seconds, expected_seconds
from rxcore_kernels import opencl
from rxcore_kernels.launch import In, Launch, OpenCLSource

SOURCE = OpenCLSource("", "work", 1, (), (64, 1, 1))


def launch(groups: int, flops: float) -> Launch:
    return Launch(SOURCE, (In(0),), (4,), (), (groups, 1, 1), "matmul", flops, 0.0)


@pytest.fixture
def card() -> Any:
    return attrs.evolve(opencl.devices()[0], is_cpu=False)


def test_short_launches_are_not_priced(card: Any) -> None:
    assert checked_seconds(launch(1, 1e6), 1, card) is None


def test_long_ones_that_can_be_cut_are_cut(card: Any) -> None:
    found = checked_seconds(launch(1 << 20, 1e14), 1 << 20, card)
    assert found is not None
    assert found > 1


def test_what_cannot_be_cut_is_left_to_the_cpu(card: Any) -> None:
    with pytest.raises(Unsupported, match="cannot be cut"):
        checked_seconds(launch(1, 1e14), 1, card)


def test_the_cpu_has_no_display() -> None:
    device = opencl.devices()[0]
    assert device.is_cpu
    cost = launch(1, 1e14)
    assert checked_seconds(cost, 1, device) == expected_seconds(cost, device)
