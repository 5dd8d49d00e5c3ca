"""The law of an emitter: the built kernel does what the interpreter does."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rxcore.base import dtypes
from rxcore.base.errors import InternalError
from rxcore.loops.grid import grid_extent
from rxcore.loops.interpret import interpret
from rxcore.loops.math_exponential import exp
from rxcore.loops.nest import (
    Accumulate,
    Accumulator,
    Buffer,
    Constant,
    Index,
    Let,
    Load,
    Loop,
    Nest,
    Scratch,
    Statement,
    Store,
)
from rxcore.loops.scalar import Evaluator, Term
from rxcore.loops.verify import verify
from rxcore.targets import cpu
from rxcore_kernels import host, lazy
from rxcore_kernels.source import Source
from tests.loops import nests

Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(autouse=True)
def _quiet(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """LLVM prints a remark where it was asked for a vector loop it cannot make."""
    yield
    assert capfd.readouterr().err == ""


def launch(nest: Nest, memories: Arrays, pieces: list[tuple[int, int]]) -> None:
    """Build a Nest and run it piece by piece."""
    emission = cpu.emit(nest)
    kernel = cpu.build([emission])[0]
    words = [
        memories[w.name].ctypes.data + w.offset if isinstance(w, cpu.BufferWord) else w
        for w in emission.words
    ]
    for lo, hi in pieces:
        assert kernel(words, lo, hi) == 0


def assert_same(
    got: np.ndarray[Any, Any], want: np.ndarray[Any, Any], how: str
) -> None:
    """Compare bits; `zero` forgives a zero's sign, `close` rounding."""
    if not dtypes.is_float(got.dtype):
        np.testing.assert_array_equal(got, want)
        return
    with np.errstate(invalid="ignore"):  # signalling NaNs
        wide = [a.astype(np.float64) for a in (got, want)]
    if how == "close":
        tolerance = 1e-4 if got.dtype == np.float32 else 1e-11
        np.testing.assert_allclose(*wide, rtol=tolerance, atol=tolerance)
        return
    np.testing.assert_array_equal(*wide)
    if how == "same":
        numbers = ~np.isnan(wide[0])
        signs = [np.signbit(w[numbers]) for w in wide]
        np.testing.assert_array_equal(*signs)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(case=nests.cases(), cut=st.integers(0, 7))
def test_a_kernel_does_what_the_interpreter_does(case: nests.Case, cut: int) -> None:
    verify(case.nest)
    want, got = case.fresh(), case.fresh()
    interpret(case.nest, want)
    units = grid_extent(case.nest)
    middle = min(cut, units) if units > 1 else 0
    pieces = [(middle, units), (0, middle)] if middle else [(0, units)]
    launch(case.nest, got, pieces)
    for name, how in case.tolerance.items():
        assert_same(got[name], want[name], how)


# --- scalar operations, each on every dtype -------------------------------------------

OPERATIONS_OF = {
    "f": ("neg abs floor ceil trunc round sqrt", "add sub mul div rem lt le eq ne"),
    "i": ("neg abs not", "add sub mul quo rem min max and or xor shl shr lt le eq ne"),
    "b": ("not", "and or xor min max add mul lt le eq ne"),
}
OPERATIONS_OF["u"] = OPERATIONS_OF["i"]
COUNT = 1027


def sweep(dtype: dtypes.DType, made: list[tuple[str, dtypes.DType, str]]) -> None:
    """Run many operations of two memories in one loop; compare with NumPy."""
    at = Index.of("i")
    names = {"a": nests.random_values(dtype, COUNT, 1, "wild")}
    names["b"] = nests.random_values(dtype, COUNT, 2, "wild")
    if dtypes.is_integer(dtype):
        info = np.iinfo(dtype)
        corners = np.array([info.min, info.max, 0, 1, info.max // 2], dtype)
        names["a"][:25] = np.repeat(corners, 5)
        names["b"][:25] = np.tile(np.array([0, 1, 2, 7, -1]).astype(dtype), 5)
    buffers = [Buffer(name, dtype, COUNT) for name in names]
    body: list[Statement] = [Load(f"v{n}", dtype, n, at) for n in names]
    want: Arrays = {}
    for op, result, operands in made:
        out = f"{op}_{dtypes.short(result)}"
        want[out] = Evaluator().emit(op, result, tuple(names[o] for o in operands))
        buffers.append(Buffer(out, result, COUNT, "out"))
        body.append(Let(f"r{out}", result, op, tuple(f"v{o}" for o in operands)))
        body.append(Store(out, at, f"r{out}"))
    nest = Nest("sweep", tuple(buffers), (Loop("i", COUNT, "lane", tuple(body)),))
    memories = {b.name: np.zeros(COUNT, b.dtype) for b in buffers} | names
    launch(nest, memories, [(0, COUNT)])
    for out, expected in want.items():
        loose = out.startswith(("min", "max")) and dtypes.is_float(dtype)
        try:
            assert_same(memories[out], expected, "zero" if loose else "same")
        except AssertionError as error:
            error.add_note(f"{out} of {dtypes.short(dtype)}")
            raise


@pytest.mark.parametrize("dtype", [*nests.COMPUTED, dtypes.bool_], ids=dtypes.short)
def test_operations_mean_what_the_table_says(dtype: dtypes.DType) -> None:
    unary, binary = (text.split() for text in OPERATIONS_OF[dtype.kind])
    if dtypes.is_float(dtype):
        binary += ["min", "max"]
    compares = ("lt", "le", "eq", "ne")
    made = [(op, dtype, "a") for op in unary]
    made += [(op, dtypes.bool_ if op in compares else dtype, "ab") for op in binary]
    # Apart: a loop that divides is not told how wide its vectors are.
    sweep(dtype, [m for m in made if m[0] in ("quo", "rem")])
    sweep(dtype, [m for m in made if m[0] not in ("quo", "rem")])


@pytest.mark.parametrize("source", nests.REAL, ids=dtypes.short)
def test_casts_mean_what_the_table_says(source: dtypes.DType) -> None:
    sweep(source, [("cast", target, "a") for target in nests.REAL])
    if source != dtypes.bool_:
        same = [t for t in dtypes.REAL if t.itemsize == source.itemsize]
        sweep(source, [("bitcast", target, "a") for target in same])


def test_float64_rounds_to_float16_once() -> None:
    """Ties that a detour through float32 would round the wrong way."""
    halves = np.arange(1, 0x7BFF, 7, dtype=np.uint16).view(np.float16)
    ties = (halves[:-1].astype(np.float64) + np.nextafter(halves[:-1], np.inf)) / 2
    data = np.concatenate([ties, ties * (1 + 1e-12), ties * (1 - 1e-12), -ties])
    at, f64 = Index.of("i"), dtypes.float64
    body = (
        Load("v", f64, "x", at),
        Let("h", dtypes.float16, "cast", ("v",)),
        Store("y", at, "h"),
    )
    buffers = (
        Buffer("x", f64, data.size),
        Buffer("y", dtypes.float16, data.size, "out"),
    )
    nest = Nest("narrow", buffers, (Loop("i", data.size, "lane", body),))
    found = np.zeros(data.size, np.float16)
    launch(nest, {"x": data, "y": found}, [(0, data.size)])
    np.testing.assert_array_equal(found, data.astype(np.float16))


# --- the text -------------------------------------------------------------------------


class NestBuilder:
    """Turns the scalar expressions of the math functions into Lets."""

    def __init__(self) -> None:
        self.lets: list[Let] = []

    def emit(self, op: str, dtype: dtypes.DType, operands: tuple[Any, ...]) -> str:
        self.lets.append(Let(f"t{len(self.lets)}", dtype, op, operands))
        return self.lets[-1].name

    def constant(self, value: float, dtype: dtypes.DType) -> Constant:
        return Constant(value, dtype)


def row_program(rows: int, columns: int, prefix: str = "") -> Nest:
    """Return exp(x - max(x)) of each row, and its sum."""
    x, y, s, i, j, k, m, t = (prefix + name for name in "xysijkmt")
    f32 = dtypes.float32
    first = Index.of(i, columns) + Index.of(j)
    second = Index.of(i, columns) + Index.of(k)
    builder = NestBuilder()
    moved = Term(builder, "b", f32) - Term(builder, m, f32)
    high = Accumulator(m, f32, "max", Constant(-math.inf, f32))
    total = Accumulator(t, f32, "add", Constant(0.0, f32))
    result = exp(moved).operand
    body = (
        Loop(
            j, columns, "item", (Load("a", f32, x, first), Accumulate(m, "a")), (high,)
        ),
        Loop(
            k,
            columns,
            "item",
            (
                Load("b", f32, x, second),
                *builder.lets,
                Store(y, second, result),
                Accumulate(t, result),
            ),
            (total,),
        ),
        Store(s, Index.of(i), t),
    )
    buffers = (
        Buffer(x, f32, rows * columns),
        Buffer(y, f32, rows * columns, "out"),
        Buffer(s, f32, rows, "out"),
    )
    return Nest(f"{prefix}rows", buffers, (Loop(i, rows, "group", body),))


@given(st.integers(2, 999), st.integers(2, 999), st.sampled_from(["", "q", "zz"]))
def test_equal_structure_is_equal_text(rows: int, columns: int, prefix: str) -> None:
    one, two = (
        cpu.emit(row_program(7, 50)),
        cpu.emit(row_program(rows, columns, prefix)),
    )
    assert one.source == two.source
    assert two.words[3:] == (columns,)
    assert [w.name[-1] for w in two.words[:3] if isinstance(w, cpu.BufferWord)] == [
        *"xys"
    ]


def test_an_extent_of_one_needs_no_loop() -> None:
    text = cpu.emit(row_program(1, 50)).source.text
    assert text.count(" = phi i64 ") == 2
    assert cpu.emit(row_program(5, 1)).source.text.count(" = phi i64 ") == 1


def assembly(source: Source) -> str:
    """Return the machine code that LLVM makes of a text, printed."""
    codegen = lazy.numba_registry.cpu_target.target_context.codegen()
    module = lazy.llvm.parse_assembly(source.text)
    module.data_layout = codegen._data_layout
    options = lazy.llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = True
    passes = lazy.llvm.create_pass_builder(codegen._tm, options)
    passes.getModulePassManager().run(module, passes)
    return str(codegen._tm.emit_assembly(module))


def test_math_runs_in_the_widest_vectors() -> None:
    code = assembly(cpu.emit(row_program(7, 50)).source)
    register = {512: "zmm", 256: "ymm"}.get(host.features().vector_bits)
    if register is None:
        pytest.skip("this processor has no wide vectors")
    assert re.search(rf"v(fmadd|mul|add)\w*ps.*%{register}", code)
    assert re.search(rf"vmaxps.*%{register}", code)


@pytest.mark.parametrize("bits", [128, 256, 512])
def test_the_vector_width_does_not_change_the_result(bits: int) -> None:
    f32, at = dtypes.float32, Index.of("i")
    builder = NestBuilder()
    result = exp(Term(builder, "v", f32)).operand
    body = (Load("v", f32, "x", at), *builder.lets, Store("y", at, result))
    buffers = (Buffer("x", f32, 77), Buffer("y", f32, 77, "out"))
    nest = Nest("exp", buffers, (Loop("i", 77, "lane", body),))
    x, y = np.linspace(-9, 9, 77, dtype=np.float32), np.zeros(77, np.float32)
    emission = cpu.emit(nest, bits=bits)
    assert f'"llvm.loop.vectorize.width", i32 {bits // 32}' in emission.source.text
    assert cpu.build([emission])[0]([x.ctypes.data, y.ctypes.data], 0, 77) == 0
    widest = np.zeros(77, np.float32)
    launch(nest, {"x": x, "y": widest}, [(0, 77)])
    np.testing.assert_array_equal(y, widest)
    np.testing.assert_allclose(y, np.exp(x), rtol=1e-6)


def test_filling_with_zero_is_a_memset() -> None:
    y = Buffer("y", dtypes.float32, 500, "out")
    store = Store("y", Index.of("i"), Constant(0.0, dtypes.float32))
    code = assembly(
        cpu.emit(Nest("zero", (y,), (Loop("i", 500, "lane", (store,)),))).source
    )
    assert "memset" in code


def test_a_buffer_may_begin_anywhere() -> None:
    f32, at = dtypes.float32, Index.of("i")
    buffers = (Buffer("x", f32, 100), Buffer("y", f32, 100, "out"))
    body = (Load("v", f32, "x", at), Store("y", at, "v"))
    nest = Nest("copy", buffers, (Loop("i", 100, "lane", body),))
    for shift in range(4):
        x, y = np.arange(104, dtype=np.float32), np.zeros(104, np.float32)
        memories = {"x": x[shift : shift + 100], "y": y[3 - shift : 103 - shift]}
        launch(nest, memories, [(0, 100)])
        np.testing.assert_array_equal(memories["y"], memories["x"])
        assert y.sum() == memories["x"].sum()


def test_products_that_are_summed_are_fused() -> None:
    f32, at = dtypes.float32, Index.of("i")
    buffers = (Buffer("x", f32, 300), Buffer("y", f32, 1, "out"))
    body = (
        Load("v", f32, "x", at),
        Let("p", f32, "mul", ("v", "v")),
        Accumulate("s", "p"),
    )
    total = Accumulator("s", f32, "add", Constant(0.0, f32))
    loop = Loop("i", 300, "serial", body, (total,))
    nest = Nest("norm", buffers, (loop, Store("y", Index(0), "s")))
    assert "llvm.fmuladd" in cpu.emit(nest).source.text
    x, y = np.linspace(-1, 1, 300, dtype=np.float32), np.zeros(1, np.float32)
    launch(nest, {"x": x, "y": y}, [(0, 1)])
    np.testing.assert_allclose(y, [(x * x).sum()], rtol=1e-6)


def test_scratch_is_private_to_an_outer_iteration() -> None:
    """One stack memory serves all iterations, so that loop must stay as it is."""
    i32, i64, at = dtypes.int32, dtypes.int64, Index.of("i")
    body = (
        Load("v", i32, "x", at),
        Let("w", i32, "neg", ("v",)),
        Load("k", i64, "n", at),
        Store("s", Index(0), "v"),
        Store("s", Index(1), "w"),
        Load("t", i32, "s", Index.of("k")),
        Store("y", at, "t"),
    )
    buffers = (
        Buffer("x", i32, 200),
        Buffer("n", i64, 200),
        Buffer("y", i32, 200, "out"),
    )
    loops = (Loop("i", 200, "lane", body),)
    nest = Nest("private", buffers, loops, (Scratch("s", i32, 2),))
    x, y = np.arange(200, dtype=np.int32), np.zeros(200, np.int32)
    n = np.random.default_rng(0).integers(0, 2, 200)
    launch(nest, {"x": x, "n": n, "y": y}, [(0, 50), (50, 200)])
    np.testing.assert_array_equal(y, np.where(n == 0, x, -x))


def test_every_nan_stays_one_in_a_half() -> None:
    bits = np.array([0x7F800001, 0xFF800001, 0x7FFFFFFF, 0x7FC00000], np.uint32)
    at, f32 = Index.of("i"), dtypes.float32
    for dtype in dtypes.HALVES:
        body = (
            Load("v", f32, "x", at),
            Let("h", dtype, "cast", ("v",)),
            Store("y", at, "h"),
        )
        buffers = (Buffer("x", f32, 4), Buffer("y", dtype, 4, "out"))
        nest = Nest("narrow", buffers, (Loop("i", 4, "lane", body),))
        found = np.zeros(4, dtype)
        launch(nest, {"x": bits.view(np.float32), "y": found}, [(0, 4)])
        assert np.isnan(found).all()


def test_what_cannot_be_cut_is_refused() -> None:
    y = Buffer("y", dtypes.float32, 5, "out")
    store = Store("y", Index.of("i"), Constant(0.0, dtypes.float32))
    loops = (Loop("i", 5, "lane", (store,)), Loop("j", 5, "lane", ()))
    with pytest.raises(InternalError, match="pieces of one outermost loop"):
        cpu.emit(Nest("two", (y,), loops))
