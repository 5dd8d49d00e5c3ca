"""The verifier takes what is well formed and names what is not."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from rxcore.base import dtypes
from rxcore.base.errors import InternalError
from rxcore.loops.grid import grid_extent, grid_loop
from rxcore.loops.nest import (
    Accumulate,
    Accumulator,
    Block,
    Buffer,
    Constant,
    If,
    Index,
    Let,
    Load,
    Loop,
    Nest,
    Scratch,
    Size,
    Statement,
    Store,
)
from rxcore.loops.verify import verify
from tests.loops import nests

F32, I64, BOOL, F16 = dtypes.float32, dtypes.int64, dtypes.bool_, dtypes.float16
AT = Index.of("i")
BUFFERS = (
    Buffer("x", F32, 8),
    Buffer("h", F16, 8),
    Buffer("k", dtypes.int32, 8),
    Buffer("p", BOOL, 8),
    Buffer("y", F32, 8, "out"),
    Buffer("z", F32, 8, "inout"),
)
X = Load("v", F32, "x", AT)
H = Load("w", F16, "h", AT)
K = Load("n", dtypes.int32, "k", AT)
P = Load("c", BOOL, "p", AT)
ONE = Constant(1.0, F32)
SUM = Accumulator("a", F32, "add", ONE)


def in_loop(*body: Statement, kind: str = "lane", scratch: tuple = ()) -> Nest:
    loop = Loop("i", 8, kind, body)  # type: ignore[arg-type]
    return Nest("n", BUFFERS, (loop,), scratch)


@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(nests.cases())
def test_well_formed_nests_pass(case: nests.Case) -> None:
    verify(case.nest)
    assert grid_extent(case.nest) >= 0


FAULTS = {
    "'v' is defined twice": in_loop(X, X),
    "'v' is not defined": in_loop(Store("y", AT, "v")),
    "'u' is out of scope here": in_loop(
        P, If("c", (Load("u", F32, "x", AT),)), Store("y", AT, "u")
    ),
    "'j' is out of scope here": in_loop(
        Loop("j", 8, "serial", ()), Load("u", F32, "x", Index.of("j"))
    ),
    "memory 'q' is not declared": in_loop(Load("u", F32, "q", AT)),
    "'x' is an input": in_loop(Store("x", AT, ONE)),
    "'y' is an output": in_loop(Load("u", F32, "y", AT)),
    "memory 'x' is declared twice": in_loop(X, scratch=(Scratch("x", F32, 4),)),
    "index name 'n' is i32, expected i64": in_loop(
        K, Load("u", F32, "x", Index.of("n"))
    ),
    "the loaded value is f64, expected f32": in_loop(
        Load("u", dtypes.float64, "x", AT)
    ),
    "the stored value is i32, expected f32": in_loop(K, Store("y", AT, "n")),
    "the stored value is i64, expected f32": in_loop(Store("y", AT, Size(5))),
    "'frob' is no scalar operation": in_loop(X, Let("u", F32, "frob", ("v",))),
    "add takes 2 operands, not 1": in_loop(X, Let("u", F32, "add", ("v",))),
    "operand 2 is i32, expected f32": in_loop(X, K, Let("u", F32, "add", ("v", "n"))),
    "the result of a comparison is f32, expected bool": in_loop(
        X, Let("u", F32, "lt", ("v", "v"))
    ),
    "the condition is f32, expected bool": in_loop(
        X, Let("u", F32, "select", ("v", "v", "v"))
    ),
    "add does not exist for f16": in_loop(H, Let("u", F16, "add", ("w", "w"))),
    "lt does not exist for f16": in_loop(H, Let("u", BOOL, "lt", ("w", "w"))),
    "xor does not exist for f32": in_loop(X, Let("u", F32, "xor", ("v", "v"))),
    "div does not exist for i32": in_loop(K, Let("u", dtypes.int32, "div", ("n", "n"))),
    "sub does not exist for bool": in_loop(P, Let("u", BOOL, "sub", ("c", "c"))),
    "bitcast from f32 to f16": in_loop(X, Let("u", F16, "bitcast", ("v",))),
    "condition is f32, expected bool": in_loop(X, If("v", ())),
    "'a' is no accumulator of an enclosing loop": in_loop(
        Loop("j", 8, "serial", (), (SUM,)), Accumulate("a", ONE)
    ),
    "the operand is i32, expected f32": in_loop(
        K, Loop("j", 8, "serial", (Accumulate("a", "n"),), (SUM,))
    ),
    "its loop must be serial": in_loop(
        Loop("j", 8, "parallel", (), (Accumulator("a", F32, "replace", ONE),))
    ),
    "'mean' is no way to combine": in_loop(
        Loop("j", 8, "serial", (), (Accumulator("a", F32, "mean", ONE),))
    ),
    "initial value of 'a' is bool, expected f32": in_loop(
        Loop(
            "j", 8, "serial", (), (Accumulator("a", F32, "add", Constant(True, BOOL)),)
        )
    ),
    "add does not exist for bf16": in_loop(
        Loop(
            "j",
            8,
            "serial",
            (),
            (Accumulator("a", dtypes.bfloat16, "add", Constant(0.0, dtypes.bfloat16)),),
        )
    ),
    "the block's loop 'b' does not enclose it": in_loop(
        Loop("j", Block("b", 4, 8), "serial", ())
    ),
    "block size 0 is not positive": in_loop(Loop("j", Block("i", 0, 8), "serial", ())),
    "extent -1 is negative": in_loop(Loop("j", -1, "serial", ())),
    "'vector' is no kind of loop": in_loop(kind="vector"),
    "an item loop may not stand under an if": in_loop(
        P, If("c", (Loop("j", 8, "item", ()),)), kind="group"
    ),
    "an item loop may not stand in a loop of kind lane": in_loop(
        Loop("j", 8, "item", ())
    ),
    "'a' is complex": in_loop(Let("a", dtypes.complex64, "cast", (ONE,))),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_fault_is_named_and_the_nest_is_shown(message: str) -> None:
    nest = FAULTS[message]
    with pytest.raises(InternalError) as caught:
        verify(nest)
    assert message in str(caught.value)
    assert str(nest) in str(caught.value)


def test_an_output_may_be_read_after_it_was_stored() -> None:
    verify(in_loop(X, Store("y", AT, "v"), Load("u", F32, "y", AT)))
    with pytest.raises(InternalError, match="before any store"):
        verify(in_loop(X, Load("u", F32, "y", AT), Store("y", AT, "v")))


def test_the_grid_is_the_one_outer_loop_that_can_be_cut() -> None:
    loop = Loop("i", 8, "lane", (X, Store("y", AT, "v")))
    assert grid_extent(Nest("n", BUFFERS, (loop,))) == 8
    carried = Loop("i", 8, "parallel", (X, Accumulate("a", "v")), (SUM,))
    store = Store("y", Index(0), "a")
    assert grid_loop(Nest("n", BUFFERS, (carried, store))) is None
    assert grid_extent(Nest("n", BUFFERS, (carried, store))) == 1
    for beside in (Loop("j", 8, "lane", ()), Store("z", Index(0), ONE)):
        with pytest.raises(InternalError, match="nothing beside it may store"):
            grid_loop(Nest("n", BUFFERS, (loop, beside)))
