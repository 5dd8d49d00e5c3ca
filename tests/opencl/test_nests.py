"""Random nests: scheduled for groups, printed and built, they do what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from rxcore.compiler.nest_passes import spread
from rxcore.compiler.nest_passes.anatomy import stores
from rxcore.compiler.nest_passes.narrow import narrow
from rxcore.compiler.schedule import schedule
from rxcore.loops.nest import Load, Nest, walk
from rxcore.loops.verify import verify
from rxcore.runtime.devices import find
from rxcore.targets import opencl, opencl_text
from rxcore_kernels.opencl import Device
from tests.compiler.test_schedule_laws import NESTS, SMALL, inputs, run
from tests.examples import examples
from tests.opencl.together import build_together

GROUPS = (64, 16, 1)
# Launches predicted to take longer are cut at each half of a second.
PIECE = 0.5
Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(params=["small", "default", "wide"], scope="module", autouse=True)
def _thresholds(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set thresholds so small that a nest of a few elements is split and shared.

    "wide" has small ones too, and 64-bit indices.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "default":
            for module, values in (*SMALL, (spread, {"_SHORT": 2, "_WASTE": 1.0})):
                for name, value in values.items():
                    patch.setattr(module, name, value)
        if request.param == "wide":
            patch.setattr(opencl_text, "_WIDE", 1)
        yield


def device() -> Device:
    target = find("opencl")
    assert target is not None
    return target.device


def scheduled(nest: Nest, group: int, memories: int = 40) -> tuple[Nest, ...]:
    capabilities = opencl.capabilities(device().facts)
    made = schedule(nest, evolve(capabilities, group=group, memories=memories))
    for one in made:
        verify(one)
    return made


def launched(nests: tuple[Nest, ...], arrays: Arrays, pieces: int) -> Arrays:
    """Run kernels one after another, each as so many launches."""
    arrays = {name: array.copy() for name, array in arrays.items()}
    on = device()
    for nest in nests:
        for b in nest.buffers:
            arrays.setdefault(b.name, np.full(b.size, 99, b.dtype))
        made = opencl.emit(nest)
        if 0 in made.groups:
            # Not even built: its text may divide by the empty loop's extent.
            continue
        there = {b.name: on.upload(arrays[b.name]) for b in nest.buffers}
        on.launch(
            on.build(made.source),
            [(there[name], 0) for name in made.buffers],
            made.scalars,
            made.groups,
            seconds=pieces * PIECE,
        )
        for b in nest.buffers:
            on.download(there[b.name], arrays[b.name])
    return arrays


@examples(60)
@given(NESTS, st.integers(1, 4))
def test_narrow_nests_do_the_same(nest: Nest, most: int) -> None:
    capabilities = evolve(opencl.capabilities(device().facts), memories=most)
    made = narrow(nest, capabilities)
    for one in made:
        verify(one)
    arrays = inputs(nest, 7)
    expected, found = run((nest,), arrays), run(made, arrays)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=str(made))
    written = {b.name for b in nest.buffers if b.access != "in"}
    assert written == {b.name for n in made for b in n.buffers if b.access != "in"}
    loaded = {s.buffer for s in walk(nest.body) if isinstance(s, Load)}
    if len(nest.buffers) > most and not written & loaded:
        assert len(made) <= len(stores(nest.body))
        assert all(len(n.buffers) <= most or len(stores(n.body)) == 1 for n in made)


@examples(8)
@given(
    st.lists(st.tuples(NESTS, st.sampled_from(GROUPS), st.integers(1, 3)), max_size=8)
)
def test_a_kernel_does_what_its_nest_means(drawn: list[tuple[Nest, int, int]]) -> None:
    made = [scheduled(nest, group) for nest, group, _ in drawn]
    emissions = [opencl.emit(n) for nests in made for n in nests]
    build_together(device(), [e.source for e in emissions if 0 not in e.groups])
    for (nest, _, pieces), nests in zip(drawn, made, strict=True):
        arrays = inputs(nest, 7)
        expected = run((nest,), arrays)
        interpreted, found = run(nests, arrays), launched(nests, arrays, pieces)
        text = f"{nest}\n" + "\n".join(map(str, nests))
        for name, array in expected.items():
            np.testing.assert_array_equal(interpreted[name], array, err_msg=text)
            np.testing.assert_array_equal(found[name], array, err_msg=text)


@examples(60)
@given(NESTS, st.sampled_from(GROUPS))
def test_equal_nests_have_equal_texts(nest: Nest, group: int) -> None:
    once, again = ([opencl.emit(n) for n in scheduled(nest, group)] for _ in range(2))
    assert once == again
