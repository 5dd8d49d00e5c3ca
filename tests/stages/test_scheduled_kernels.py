"""Random nests: what is scheduled, printed and built does what the nest means."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxcore.compiler.schedule import schedule
from rxcore.loops.grid import grid_extent, grid_loop
from rxcore.loops.nest import Nest
from rxcore.targets import cpu
from tests.compiler.test_schedule_laws import CPU, NESTS, SMALL, inputs, run
from tests.examples import examples


@pytest.fixture(params=["small", "default"], scope="module", autouse=True)
def _thresholds(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "small":
            for module, values in SMALL:
                for name, value in values.items():
                    patch.setattr(module, name, value)
        yield


def launched(nests: tuple[Nest, ...], arrays: dict[str, Any], pieces: int) -> Any:
    """Run kernels one after another, the pieces of each backwards."""
    arrays = {name: array.copy() for name, array in arrays.items()}
    emissions = [cpu.emit(n) for n in nests]
    for nest, emission, kernel in zip(
        nests, emissions, cpu.build(emissions), strict=True
    ):
        for b in nest.buffers:
            arrays.setdefault(b.name, np.full(b.size, 99, b.dtype))
        words = [
            w
            if isinstance(w, int)
            else arrays[w.name].__array_interface__["data"][0] + w.offset
            for w in emission.words
        ]
        total = grid_extent(nest)
        whole = grid_loop(nest) is None
        cuts = [0, total] if whole else [total * k // pieces for k in range(pieces + 1)]
        for lo, hi in reversed(list(itertools.pairwise(cuts))):
            if hi > lo:
                assert kernel(words, lo, hi) == 0
    return arrays


@examples(120)
@given(NESTS, st.integers(1, 3))
def test_a_scheduled_kernel_does_what_its_nest_means(nest: Nest, pieces: int) -> None:
    arrays = inputs(nest, 7)
    made = schedule(nest, CPU)
    expected = run((nest,), arrays)
    found = launched(made, arrays, pieces)
    for name, array in expected.items():
        np.testing.assert_array_equal(
            found[name], array, err_msg=f"{nest}\n" + "\n".join(map(str, made))
        )
