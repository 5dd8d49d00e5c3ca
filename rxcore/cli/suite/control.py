"""Checks of what holds programs: scans, loops and choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rxcore import numpy as rnp
from rxcore.cli.suite.check import Check, whole
from rxcore.control.cond import switch
from rxcore.control.scan import scan
from rxcore.control.while_loop import while_loop

__all__ = ["control_checks"]


def control_checks() -> list[Check]:
    """Return the checks of the family `control`."""
    return [
        Check(
            "control",
            "a scan of 50 steps over 1009 lanes",
            _neurons,
            lambda: [whole(50, 1009)],
            ("state", "spikes"),
        ),
        Check(
            "control",
            "a scan of 20 steps with a product",
            _network,
            lambda: [whole(20, 17), whole(17, 17, seed=1, most=1)],
            ("state", "history"),
        ),
        Check(
            "control",
            "a loop of 9 passes, and a choice",
            _loop,
            lambda: [whole(997, least=1), np.int32(2)],
            ("passes", "halved", "chosen"),
        ),
        Check(
            "control",
            "a scan of 10 steps over 100003 lanes",
            _neurons,
            lambda: [whole(10, 100_003)],
            ("state", "spikes"),
        ),
    ]


def _neurons(currents: Any) -> Sequence[Any]:
    """Run leaky neurons; halves of small whole numbers are exact."""

    def step(v: Any, current: Any) -> tuple[Any, Any]:
        v = 0.5 * rnp.trunc(v) + current
        spike = (v > 4).astype(rnp.float32)
        return v - 4 * spike, spike

    state, spikes = scan(step, rnp.zeros(currents.shape[1:]), currents)
    return [state, spikes]


def _network(inputs: Any, weights: Any) -> Sequence[Any]:
    def step(h: Any, x: Any) -> tuple[Any, Any]:
        h = rnp.clip(weights @ h + x, -8, 8)
        return h, h

    state, history = scan(step, rnp.zeros(weights.shape[0]), inputs)
    return [state, history]


def _loop(x: Any, which: Any) -> Sequence[Any]:
    def test(carry: Any) -> Any:
        return carry[0] < 9

    def body(carry: Any) -> Any:
        k, value = carry
        return k + 1, rnp.trunc(value * 0.5) + k.astype(rnp.float32)

    k, value = while_loop(test, body, (rnp.asarray(0, rnp.int32), x))
    branches = [lambda v: v + 1, lambda v: v * 3, lambda v: -v]
    return [k, value, switch(which, branches, x)]
