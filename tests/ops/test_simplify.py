"""Rewrites keep every bit, and do what they are for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rxcore.compiler.graph_passes.dce import dce
from rxcore.compiler.graph_passes.simplify import simplify
from rxcore.ir.interpret import interpret
from rxcore.ops.compare import select
from rxcore.ops.convert import convert
from rxcore.ops.elementwise import neg
from rxcore.ops.stop import stop_gradient
from rxcore.runtime.array import asarray
from rxcore.trace.capture import capture

VALUES = np.float32([0.0, -0.0, 1.0, -1.5, 3e-45, 1e-39, 3e38, np.inf, -np.inf, np.nan])

# (what is written, how many equations remain)
REWRITTEN: dict[str, tuple[Callable[[Any], Any], int]] = {
    "x + -0.0": (lambda x: x + -0.0, 0),
    "x + 0.0 is not x": (lambda x: x + 0.0, 1),
    "x - 0": (lambda x: x - 0.0, 0),
    "x * 1": (lambda x: 1 * x, 0),
    "x * -1": (lambda x: neg(x * -1), 0),
    "x * 0 stays": (lambda x: x * 0, 1),
    "x / 1": (lambda x: x / 1, 0),
    "x / 3 stays": (lambda x: x / 3, 1),
    "-(-x)": (lambda x: neg(neg(x)), 0),
    "x + (-x)": (lambda x: x + (-x), 1),
    "x - (-x)": (lambda x: x - (-x), 1),
    "there and back": (lambda x: convert(convert(x, "float64"), "float32"), 0),
    "lossy stays": (lambda x: convert(convert(x, "float16"), "float32"), 2),
    "select of one": (lambda x: select(x > 0, x, x), 0),
    "stop_gradient": (stop_gradient, 0),
}


@pytest.mark.parametrize("name", REWRITTEN)
def test_a_rewrite_keeps_every_bit(name: str) -> None:
    function, remaining = REWRITTEN[name]
    x = asarray(VALUES)
    graph = capture(lambda v: [function(v)], [x.type]).graph
    simpler = dce(simplify(graph))
    assert len(simpler.equations) == remaining, simpler
    (before,), (after,) = interpret(graph, [VALUES]), interpret(simpler, [VALUES])
    ordered = ~np.isnan(before)
    assert np.array_equal(ordered, ~np.isnan(after))
    assert before[ordered].tobytes() == after[ordered].tobytes()
