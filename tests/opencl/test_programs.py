"""Random programs: an OpenCL device gives what the CPU gives.

Exact programs agree bit for bit, whatever they do. In others elementwise arithmetic
does: the polynomials are the same, and so is where a product joins a sum. Sums of
numbers that are not whole agree to rounding, since they are added in another order.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxcore as rx
from rxcore.base import dtypes
from rxcore.ir.graph import Graph, Literal, subgraphs
from rxcore.ir.types import Type
from rxcore.runtime.assemble_device import Unsupported
from rxcore.runtime.devices import find
from rxcore.runtime.placement import graph_of as graph_of_op
from rxcore.runtime.variants import variants_of
from rxcore.testing import Program, programs
from rxcore.testing.programs import Composing
from tests.examples import examples
from tests.opencl.together import graph_of, prepare

Function = Callable[..., Any]
# Rows that the items of a group share, and columns of more than one group.
LONG = (40, 1, 70, 3, 33, 0, 129)
SHORT = (3, 1, 4, 2, 5, 0)


def some(most: int = 5, **kinds: Any) -> st.SearchStrategy[list[Program]]:
    """Draw several programs: their kernels are built together."""
    return st.lists(programs(max_steps=7, **kinds), min_size=1, max_size=most)


def why_not(name: str, graph: Graph) -> str:
    """Say why a device cannot run a Graph, or nothing."""
    target = find(name)
    assert target is not None
    try:
        variants_of(graph).draft(target)
    except Unsupported as reason:
        return str(reason)
    return ""


def types_of(graph: Graph) -> list[Type]:
    found = [v.type for v in graph.inputs]
    for e in graph.equations:
        found += [v.type for v in e.outputs]
        for inner in subgraphs(e.params):
            found += types_of(inner)
    return found


def run(name: str, function: Function, args: Sequence[Any]) -> list[Any]:
    """Run a function compiled for a device, or on the CPU with one warning."""
    target = find(name)
    assert target is not None
    target.warned.clear()
    why = why_not(name, graph_of(function, args))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = rx.jit(function, device=name)(*args)
    assert [str(w.message) for w in caught] == [
        f"{name} ({target.device.name}): {why}; the CPU runs this call instead"
        " (said once)"
    ] * bool(why)
    outs = list(out) if isinstance(out, list | tuple) else [out]
    assert {o.device for o in outs} <= {"cpu" if why else name}
    return outs


def same(found: Sequence[Any], expected: Sequence[Any], what: Any) -> None:
    for f, e in zip(found, expected, strict=True):
        assert f.type.strong() == e.type.strong()
        a, b = np.asarray(f), np.asarray(e)
        np.testing.assert_array_equal(a, b, err_msg=str(what))


@pytest.mark.parametrize("name", ["opencl", "opencl:1"])
@examples(16)
@given(drawn=st.one_of(some(), some(4, sizes=LONG)))
def test_exact_programs(name: str, drawn: list[Program]) -> None:
    cases = [(p, p.arguments()) for p in drawn]
    graphs = [graph_of(*case) for case in cases]
    prepare(name, graphs)
    for (program, args), graph in zip(cases, graphs, strict=True):
        double = any(t.dtype == dtypes.float64 for t in types_of(graph))
        why = why_not(name, graph)
        assert why == "" or (double and why == "it does not compute with float64")
        expected = rx.jit(program)(*args)
        same(run(name, program, args), expected, program)
        with rx.default_device(name), warnings.catch_warnings(record=True):
            same(rx.jit(program)(*args), expected, program)


def operations(graph: Graph) -> list[Graph]:
    """Return the Graph of each op by itself, as eager calls have it."""
    found = []
    for e in graph.equations:
        types = [o.type for o in e.inputs]
        weak = [
            Type(t.dtype, t.shape, True) if isinstance(o, Literal) else t
            for o, t in zip(e.inputs, types, strict=True)
        ]
        found.append(graph_of_op(e.primitive, weak, dict(e.params)))
    return found


# Not `choose`: its mask is an array on the CPU, which eager ops do not move.
MOVING = (
    *("unary", "binary", "move", "together", "apart", "reduction", "running"),
    *("product", "read", "window", "write", "change_dtype", "place_of_largest"),
)


@examples(6)
@given(some(3, kinds=MOVING))
def test_programs_run_op_by_op(drawn: list[Program]) -> None:
    cases = [(p, p.arguments()) for p in drawn]
    prepare("opencl", [g for case in cases for g in operations(graph_of(*case))])
    for program, args in cases:
        expected = program(*args)
        found = program(*rx.device_put(args, "opencl"))
        same(found, expected, program)
        for f, k in zip(found, program.outputs, strict=True):
            assert f.device == "opencl" or k not in depending(program)


def depending(program: Program) -> set[int]:
    """Return the values that were made from arguments."""
    found = set(range(len(program.inputs)))
    count = len(program.inputs)
    for s in program.steps:
        if found & set(s.operands):
            found |= set(range(count, count + len(s.types)))
        count += len(s.types)
    return found


# numbers that are not whole -----------------------------------------------------------

ELEMENTWISE = ("unary", "unary", "binary", "binary", "choose", "move")


def as_singles(program: Program) -> tuple[Function, list[Any]]:
    """Return the program in float32."""
    args = [
        a.astype("float32") if a.dtype == dtypes.float64 else a
        for a in program.arguments()
    ]
    return program, args


@examples(10)
@given(
    st.sampled_from([SHORT, LONG]).flatmap(
        lambda sizes: some(6, smooth=True, kinds=ELEMENTWISE, sizes=sizes)
    ),
    st.booleans(),
)
def test_elementwise_bits_are_those_of_the_cpu(
    drawn: list[Program], single: bool
) -> None:
    cases = [as_singles(p) if single else (p, p.arguments()) for p in drawn]
    prepare("opencl", [graph_of(*case) for case in cases])
    for program, args in cases:
        same(run("opencl", program, args), rx.jit(program)(*args), program)


def close(found: Sequence[Any], expected: Sequence[Any], what: Any) -> None:
    for f, e in zip(found, expected, strict=True):
        assert f.type.strong() == e.type.strong()
        a, b = np.asarray(f), np.asarray(e)
        scale = max(float(np.max(np.abs(b), initial=0.0)), 1.0)
        np.testing.assert_allclose(a, b, 1e-10, 1e-10 * scale, err_msg=str(what))


@examples(8)
@given(st.one_of(some(smooth=True), some(4, smooth=True, sizes=LONG)))
def test_sums_agree_to_rounding(drawn: list[Program]) -> None:
    cases = [(p, p.arguments()) for p in drawn]
    prepare("opencl", [graph_of(*case) for case in cases])
    for program, args in cases:
        close(run("opencl", program, args), rx.jit(program)(*args), program)


def gradient(program: Program) -> Function:
    """Return the program's pullback of ones."""

    def function(*args: Any) -> list[Any]:
        outs, pull = rx.vjp(program, *args)
        return [c for c in pull(outs) if c is not None]

    return function


@examples(8)
@given(some(4, smooth=True, loops=False))
def test_gradients(drawn: list[Program]) -> None:
    cases = [(gradient(p), p.arguments()) for p in drawn]
    prepare("opencl", [graph_of(*case) for case in cases])
    for program, (function, args) in zip(drawn, cases, strict=True):
        close(run("opencl", function, args), rx.jit(function)(*args), program)


def test_kinds_of_steps_are_those_there_are() -> None:
    assert all(hasattr(Composing, kind) for kind in (*ELEMENTWISE, *MOVING))
