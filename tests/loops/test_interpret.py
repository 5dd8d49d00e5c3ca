"""The interpreter is the meaning of a Nest: check it against NumPy by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rxcore.base import dtypes
from rxcore.base.errors import InternalError
from rxcore.loops.interpret import interpret
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
    Store,
)

I32, F64 = dtypes.int32, dtypes.float64
ZERO = Constant(0, I32)


def test_a_carry_reads_as_the_start_of_its_iteration() -> None:
    x, y = Buffer("x", I32, 5), Buffer("y", I32, 6, "out")
    step = (
        Load("v", I32, "x", Index.of("t")),
        Let("n", I32, "add", ("c", "v")),
        Accumulate("c", "n"),
        Store("y", Index.of("t"), "c"),
    )
    loop = Loop("t", 5, "serial", step, (Accumulator("c", I32, "replace", ZERO),))
    nest = Nest("scan", (x, y), (loop, Store("y", Index(5), "c")))
    data, sums = np.arange(1, 6, dtype=np.int32), np.zeros(6, np.int32)
    interpret(nest, {"x": data, "y": sums})
    np.testing.assert_array_equal(sums, np.cumsum([0, 1, 2, 3, 4, 5]))


def test_an_accumulator_crosses_nested_loops_and_branches() -> None:
    x, y = Buffer("x", I32, 12), Buffer("y", I32, 1, "out")
    body = (
        Load("v", I32, "x", Index.of("i", 4) + Index.of("j")),
        Let("odd", dtypes.bool_, "ne", ("v", ZERO)),
        If("odd", (Accumulate("m", "v"),)),
    )
    inner = Loop("j", 4, "serial", body)
    smallest = Accumulator("m", I32, "min", Constant(100, I32))
    outer = Loop("i", 3, "parallel", (inner,), (smallest,))
    nest = Nest("least", (x, y), (outer, Store("y", Index(0), "m")))
    data = np.random.default_rng(0).integers(0, 9, 12, np.int32)
    found = np.zeros(1, np.int32)
    interpret(nest, {"x": data, "y": found})
    assert found[0] == data[data != 0].min()


@pytest.mark.parametrize("total", [0, 1, 7, 8, 9])
def test_blocks_cover_a_range_once_and_scratch_is_memory(total: int) -> None:
    y = Buffer("y", F64, total, "inout")
    at = Index.of("b", 4) + Index.of("i")
    fill = (Load("v", F64, "y", at), Store("s", Index.of("i"), "v"))
    again = Index.of("b", 4) + Index.of("j")
    half = Let("h", F64, "mul", ("w", Constant(0.5, F64)))
    take = (Load("w", F64, "s", Index.of("j")), half, Store("y", again, "h"))
    extent = Block("b", 4, total)
    body = (Loop("i", extent, "item", fill), Loop("j", extent, "item", take))
    loop = Loop("b", -(-total // 4), "group", body)
    nest = Nest("halve", (y,), (loop,), (Scratch("s", F64, 4),))
    data = np.arange(total, dtype=np.float64)
    interpret(nest, {"y": data})
    np.testing.assert_array_equal(data, np.arange(total) / 2)


def test_a_piece_touches_its_units_alone() -> None:
    y = Buffer("y", I32, 9, "out")
    loop = Loop("i", 9, "lane", (Store("y", Index.of("i"), Constant(1, I32)),))
    data = np.zeros(9, np.int32)
    interpret(Nest("ones", (y,), (loop,)), {"y": data}, 2, 5)
    np.testing.assert_array_equal(data, [0, 0, 1, 1, 1, 0, 0, 0, 0])


@pytest.mark.parametrize("constant", [-1, 1])
def test_an_access_outside_raises(constant: int) -> None:
    y = Buffer("y", I32, 4, "out")
    at = Index.of("i") + constant
    nest = Nest("ones", (y,), (Loop("i", 4, "lane", (Store("y", at, ZERO),)),))
    place = -1 if constant < 0 else 4
    with pytest.raises(InternalError, match=rf"y\[{place}\], which holds 4"):
        interpret(nest, {"y": np.zeros(4, np.int32)})


def test_a_memory_that_does_not_fit_is_refused() -> None:
    nest = Nest("none", (Buffer("y", I32, 4),), ())
    for wrong in (np.zeros(3, np.int32), np.zeros(4, np.int64)):
        with pytest.raises(InternalError, match="memory 'y' of nest none: expected"):
            interpret(nest, {"y": wrong})
