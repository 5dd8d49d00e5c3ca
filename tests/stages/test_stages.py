"""At each border the same meaning: Graph, Nest, and kernel, before and after passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given

import rxcore as rx
from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.lower import lower
from rxcore.compiler.pipeline import PASSES, optimize
from rxcore.compiler.schedule import schedule
from rxcore.ir.graph import Equation, Graph, Literal, Value, subgraphs
from rxcore.ir.interpret import interpret
from rxcore.ir.primitive import Fusion
from rxcore.ir.verify import verify
from rxcore.loops import interpret as nests
from rxcore.loops.grid import grid_extent
from rxcore.loops.nest import If, Loop, Nest
from rxcore.loops.verify import verify as verify_nest
from rxcore.runtime.program import compile_graph
from rxcore.targets import cpu
from rxcore.testing import Program, programs
from rxcore.trace.capture import capture
from tests.examples import examples

CPU = Capabilities()
PLAIN = Capabilities(vector_bytes=16, cache_bytes=1 << 12, units=4)


def captured(program: Program) -> tuple[Graph, list[Any]]:
    args = program.arguments()
    made = capture(program, [a.type for a in args])
    return made.graph, [np.asarray(a) for a in (*args, *made.constants)]


def same(found: Sequence[Any], expected: Sequence[Any], what: Any) -> None:
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(f), np.asarray(e), err_msg=str(what))


def groups(graph: Graph) -> Iterator[Equation]:
    """Yield the fused groups of a Graph, in the bodies of control ops too."""
    for e in graph.equations:
        if isinstance(e.primitive.lower, Fusion):
            yield e
        else:
            for inner in subgraphs(e.params):
                yield from groups(inner)


def operands(e: Equation) -> list[Any]:
    """Return small whole numbers for a group's operands: sums are exact."""
    rng = np.random.default_rng(3)
    made = []
    for o in e.inputs:
        low = 0 if o.type.dtype.kind in "ub" else -3
        made.append(
            np.asarray(o.value, o.type.dtype)
            if isinstance(o, Literal)
            else rng.integers(low, 4, o.type.shape).astype(o.type.dtype)
        )
    return made


def memories(nest: Nest, args: Sequence[Any], e: Equation) -> dict[str, Any]:
    made = {f"in{k}": a.reshape(-1).copy() for k, a in enumerate(args)}
    made |= {f"out{k}": np.zeros(v.type.size, v.type.dtype) for k, v in outs(e)}
    for b in nest.buffers:
        made.setdefault(b.name, np.zeros(b.size, b.dtype))
    return made


def outs(e: Equation) -> Iterator[tuple[int, Value]]:
    seen: set[Value] = set()
    for k, (v, inner) in enumerate(
        zip(e.outputs, e.params["graph"].outputs, strict=True)
    ):
        if isinstance(inner, Value) and inner not in seen:
            seen.add(inner)
            yield k, v


def in_order(s: Any) -> Any:
    """Say `serial` for `parallel`: a plain nest is interpreted whole."""
    body = tuple(map(in_order, s.body)) if hasattr(s, "body") else ()
    if isinstance(s, Nest | If):
        return evolve(s, body=body)
    if isinstance(s, Loop):
        return evolve(s, kind="serial", body=body)
    return s


def run_nests(made: Sequence[Nest], args: Sequence[Any], e: Equation) -> list[Any]:
    store: dict[str, Any] = {}
    for nest in made:
        verify_nest(nest)
        store = {**memories(nest, args, e), **store}
        nests.interpret(nest, {b.name: store[b.name] for b in nest.buffers})
    whole = {**memories(made[0], args, e), **store}
    return [whole[f"out{k}"].reshape(v.type.shape) for k, v in outs(e)]


def run_kernels(made: Sequence[Nest], args: Sequence[Any], e: Equation) -> list[Any]:
    store: dict[str, Any] = {}
    for nest in made:
        store = {**memories(nest, args, e), **store}
        emission = cpu.emit(nest)
        (kernel,) = cpu.build([emission])
        launch(kernel, emission, store, grid_extent(nest))
    whole = {**memories(made[0], args, e), **store}
    return [whole[f"out{k}"].reshape(v.type.shape) for k, v in outs(e)]


def launch(kernel: Any, emission: Any, store: dict[str, Any], extent: int) -> None:
    words = [
        w
        if isinstance(w, int)
        else store[w.name].__array_interface__["data"][0] + w.offset
        for w in emission.words
    ]
    assert kernel(words, 0, extent) == 0


@examples(80)
@given(programs())
def test_passes_keep_what_a_graph_means(program: Program) -> None:
    graph, args = captured(program)
    verify(graph, "capture")
    expected = interpret(graph, args)
    same(expected, program(*program.arguments()), graph)
    for each in PASSES:
        graph = verify(each(graph), each.__name__)
        same(interpret(graph, args), expected, f"{each.__name__}\n{graph}")


@examples(120)
@given(programs())
def test_a_nest_means_what_its_group_means(program: Program) -> None:
    graph, _ = captured(program)
    for e in groups(optimize(graph)):
        args = operands(e)
        expected = interpret(e.params["graph"], args)
        wanted = [expected[k] for k, _ in outs(e)]
        plain = lower(e)
        verify_nest(plain)
        same(
            run_nests([in_order(plain)], args, e),
            wanted,
            f"{e.params['graph']}\n{plain}",
        )
        for target in (CPU, PLAIN):
            made = schedule(plain, target)
            same(run_nests(made, args, e), wanted, "\n".join(map(str, made)))


@examples(60)
@given(programs())
def test_a_kernel_does_what_its_nest_means(program: Program) -> None:
    graph, _ = captured(program)
    for e in groups(optimize(graph)):
        args, made = operands(e), schedule(lower(e), CPU)
        expected = run_nests(made, args, e)
        same(run_kernels(made, args, e), expected, "\n".join(map(str, made)))


@examples(60)
@given(programs())
def test_a_program_does_what_its_graph_means(program: Program) -> None:
    graph, args = captured(program)
    with rx.config(verify=True):
        compiled = compile_graph(graph)
    found = compiled.run([rx.asarray(a) for a in args])
    same(found, interpret(graph, args), compiled.optimized)


@pytest.mark.parametrize("smooth", [False, True])
@examples(40)
@given(program=programs(loops=False, smooth=True))
def test_graphs_of_derivatives_are_well_formed(smooth: bool, program: Program) -> None:
    args = program.arguments()

    def derivative(*xs: Any) -> list[Any]:
        outs_, pull = rx.vjp(program, *xs)
        found = pull(outs_)
        return [f for f in found if f is not None]

    made = capture(derivative if smooth else program, [a.type for a in args])
    graph = verify(made.graph, "capture")
    arrays = [np.asarray(a) for a in (*args, *made.constants)]
    expected = interpret(graph, arrays)
    for each in PASSES:
        graph = verify(each(graph), each.__name__)
    for f, e in zip(interpret(graph, arrays), expected, strict=True):
        np.testing.assert_allclose(f, e, 1e-9, 1e-9)
