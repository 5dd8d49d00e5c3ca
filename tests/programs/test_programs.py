"""Laws of transforms over random programs: each way to run one agrees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

import rxcore as rx
from rxcore.compiler.graph_passes.cse import cse
from rxcore.compiler.graph_passes.dce import dce
from rxcore.compiler.graph_passes.inline import inline
from rxcore.compiler.graph_passes.separate import separate
from rxcore.compiler.graph_passes.simplify import simplify
from rxcore.compiler.graph_passes.tidy_scans import tidy_scans
from rxcore.compiler.pipeline import PASSES, Pass
from rxcore.ops.reduce import sum_
from rxcore.runtime.program import compile_graph
from rxcore.testing import Program, assert_same, check_grads, programs
from rxcore.trace.capture import capture
from tests.examples import examples

LANES = 3


def same(found: Any, expected: Any) -> None:
    for f, e in zip(found, expected, strict=True):
        assert f.type.strong() == e.type.strong()
        np.testing.assert_array_equal(np.asarray(f), np.asarray(e))


def close(found: Any, expected: Any) -> None:
    for f, e in zip(found, expected, strict=True):
        assert f.type.strong() == e.type.strong()
        np.testing.assert_allclose(np.asarray(f), np.asarray(e), 1e-9, 1e-9)


def lanes(program: Program) -> list[Any]:
    return [
        rx.asarray(np.stack([np.asarray(x) for x in column]))
        for column in zip(*map(program.arguments, range(LANES)), strict=True)
    ]


def total(program: Program) -> Any:
    """Return the program as a function of its float arguments to one number."""

    def function(*args: Any) -> Any:
        outs = program(*args)
        return sum((sum_(o * 0.5) for o in outs), start=0.0 * outs[0].sum())

    return function


# eager = jit -------------------------------------------------------------------------


@examples(250)
@given(programs(control=False))
def test_compiled_gives_what_eager_gives(program: Program) -> None:
    assert_same(program, *program.arguments())


@examples(120)
@given(programs())
def test_compiled_gives_what_eager_gives_with_control(program: Program) -> None:
    assert_same(program, *program.arguments())


@examples(40)
@given(programs(control=False, max_steps=40))
def test_compiled_gives_what_eager_gives_in_long_programs(program: Program) -> None:
    assert_same(program, *program.arguments())


# derivatives -------------------------------------------------------------------------


@examples(100)
@given(programs(smooth=True, loops=False))
def test_derivatives_are_differences(program: Program) -> None:
    check_grads(program, program.arguments())


@examples(25)
@given(programs(smooth=True, loops=False, max_steps=5))
def test_second_derivatives_are_differences(program: Program) -> None:
    check_grads(program, program.arguments(), order=2, tolerance=1e-5)


@examples(60)
@given(programs(smooth=True, loops=False))
def test_grad_and_jit_change_places(program: Program) -> None:
    function, args = total(program), program.arguments()
    numbers = tuple(range(len(args) - 1))
    expected = rx.grad(function, numbers)(*args)
    close(rx.jit(rx.grad(function, numbers))(*args), expected)
    close(rx.grad(rx.jit(function), numbers)(*args), expected)


# batching ----------------------------------------------------------------------------


@examples(120)
@given(programs())
def test_vmap_is_a_loop(program: Program) -> None:
    wholes = lanes(program)
    mapped = rx.vmap(program)(*wholes)
    for lane in range(LANES):
        one = program(*program.arguments(lane))
        same([rx.asarray(np.asarray(m)[lane]) for m in mapped], one)
    same(rx.jit(rx.vmap(program))(*wholes), mapped)
    same(rx.vmap(rx.jit(program))(*wholes), mapped)


@examples(60)
@given(programs())
def test_an_argument_that_is_not_mapped_is_repeated(program: Program) -> None:
    wholes, args = lanes(program), program.arguments()
    axes = (None, *(0 for _ in args[1:])) if len(args) > 1 else (0,)
    given_ = [args[0], *wholes[1:]] if len(args) > 1 else wholes
    mapped = rx.jit(rx.vmap(program, in_axes=axes))(*given_)
    for lane in range(LANES):
        rest = program.arguments(lane)
        one = program(*(args[:1] if len(args) > 1 else rest[:1]), *rest[1:])
        same([rx.asarray(np.asarray(m)[lane]) for m in mapped], one)


@examples(40)
@given(programs(smooth=True, loops=False))
def test_grad_of_a_mapped_function(program: Program) -> None:
    wholes, count = lanes(program), len(program.inputs) - 1
    numbers = tuple(range(count))
    gradient = rx.grad(total(program), numbers)
    mapped = rx.jit(rx.vmap(gradient))(*wholes)
    for lane in range(LANES):
        one = gradient(*program.arguments(lane))
        close([rx.asarray(np.asarray(m)[lane]) for m in mapped], one)


# passes ------------------------------------------------------------------------------

OPTIONAL = (simplify, cse, dce, tidy_scans)
WITHOUT = {
    f"without {gone.__name__}": tuple(p for p in PASSES if p is not gone)
    for gone in OPTIONAL
}
VARIANTS: dict[str, tuple[Pass, ...]] = {
    **WITHOUT,
    "fused only": (inline, PASSES[-1]),
    "separate": (*PASSES[:-1], separate),
    "separate only": (inline, separate),
    "twice": (*PASSES[:-1], *PASSES),
}


@pytest.mark.parametrize("name", VARIANTS)
@examples(40)
@given(program=programs())
def test_passes_keep_the_meaning(name: str, program: Program) -> None:
    args = program.arguments()
    made = capture(program, [a.type for a in args])
    compiled = compile_graph(made.graph, VARIANTS[name])
    same(compiled.run([*args, *made.constants]), program(*args))
