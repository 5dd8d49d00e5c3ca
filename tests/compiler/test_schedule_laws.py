"""Laws of `schedule` and of each of its passes, over random nests as `lower` makes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore.base import dtypes
from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.count import estimate
from rxcore.compiler.nest_passes import (
    block_lanes,
    block_wide_rows,
    merge_outer,
    split_reductions,
    tile_transposes,
)
from rxcore.compiler.schedule import PASSES, Pass, schedule
from rxcore.loops.grid import grid_extent, grid_loop
from rxcore.loops.interpret import interpret
from rxcore.loops.nest import (
    Accumulate,
    Accumulator,
    Buffer,
    Constant,
    If,
    Index,
    Let,
    Load,
    Loop,
    Nest,
    Operand,
    Statement,
    Store,
    walk,
)
from rxcore.loops.verify import verify

CPU = Capabilities()
Arrays = dict[str, np.ndarray[Any, Any]]
Loops = dict[str, int]

# Thresholds so small that a nest of a few elements is blocked, split and tiled.
SMALL = (
    (block_lanes, {"_LARGEST": 4, "_SMALLEST": 2, "_STEP": 2, "_PIECES": 3}),
    (block_wide_rows, {"_FEW_ROWS": 4, "_BLOCK": 2}),
    (merge_outer, {"_ENOUGH": 3}),
    (
        split_reductions,
        {
            "_CHUNK": 4,
            "_COLUMNS_CHUNK": 8,
            "_MUCH": 3,
            "_COLUMNS_MUCH": 3,
            "_FEW": 50,
            "_LANES": 2,
        },
    ),
    (tile_transposes, {"_TILE": 3, "_GPU_TILE": 3, "_SHORT": 2}),
)


@pytest.fixture(params=["small", "default"], scope="module", autouse=True)
def _thresholds(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "small":
            for module, values in SMALL:
                for name, value in values.items():
                    patch.setattr(module, name, value)
        yield


# --- random nests ------------------------------------------------------------------


class Maker:
    """Draws the parts of one nest."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.buffers: list[Buffer] = []
        self.count = 0
        self.dtype = draw(st.sampled_from([dtypes.float32, dtypes.int32]))

    def name(self, base: str) -> str:
        self.count += 1
        return f"{base}{self.count}"

    def flag(self) -> bool:
        return self.draw(st.booleans())

    def loops(self, base: str, least: int, most: int) -> Loops:
        extents = self.draw(
            st.lists(
                st.sampled_from([0, 1, 1, 2, 3, 4, 5, 7]), min_size=least, max_size=most
            )
        )
        return {self.name(base): e for e in extents}

    def buffer(
        self, loops: Loops, access: str = "in", dtype: dtypes.DType | None = None
    ) -> tuple[Buffer, Index]:
        """Lay loops out in a new buffer: outputs dense, inputs as it pleases."""
        order = list(loops.items())
        dense = self.flag()
        if not dense:
            order = self.draw(st.permutations(order))
        if access == "in":
            order = [x for x in order if dense or self.draw(st.integers(0, 3))]
        place, size = Index(), 1
        for name, extent in reversed(order):
            stride = size * (1 if dense or self.draw(st.integers(0, 4)) else 2)
            reverse = not dense and extent > 0 and self.flag()
            step = Index.of(name, -stride if reverse else stride)
            place = place + step + (stride * (extent - 1) if reverse else 0)
            size = stride * max(extent, 1)
        empty = any(e == 0 for _, e in order)
        new = Buffer(self.name("b"), dtype or self.dtype, 0 if empty else size, access)  # type: ignore[arg-type]
        self.buffers.append(new)
        return new, place

    def load(self, loops: Loops, out: list[Statement]) -> str:
        """Add the load of a value that depends on some loops."""
        name = self.name("v")
        if self.draw(st.integers(0, 5)) == 0 and loops:
            return self.iota(loops, out)
        if self.draw(st.integers(0, 5)) == 0:
            return self.gather(loops, out)
        buffer, place = self.buffer(loops)
        out.append(Load(name, self.dtype, buffer.name, place))
        return name

    def iota(self, loops: Loops, out: list[Statement]) -> str:
        name = self.name("v")
        index = self.draw(st.sampled_from(sorted(loops)))
        out.append(Let(name, self.dtype, "cast", (index,)))
        return name

    def gather(self, loops: Loops, out: list[Statement]) -> str:
        """Add a load at an index that is computed from a loaded one."""
        where = self.position(loops, 3, out)
        table = Buffer(self.name("b"), self.dtype, 9)
        self.buffers.append(table)
        name = self.name("v")
        out.append(Load(name, self.dtype, table.name, Index.of(where, 3) + 1))
        return name

    def position(self, loops: Loops, below: int, out: list[Statement]) -> str:
        """Add an int64 in [0, below)."""
        buffer, place = self.buffer(loops, dtype=dtypes.int64)
        raw, low, name = self.name("p"), self.name("p"), self.name("p")
        limit = Constant(below - 1, dtypes.int64)
        out += [
            Load(raw, dtypes.int64, buffer.name, place),
            Let(low, dtypes.int64, "max", (raw, Constant(0, dtypes.int64))),
            Let(name, dtypes.int64, "min", (low, limit)),
        ]
        return name

    def mix(self, values: list[str], out: list[Statement]) -> str:
        """Join values by exact operations."""
        current = values[0]
        for value in values[1:]:
            name = self.name("v")
            op = self.draw(st.sampled_from(["add", "sub", "max", "min"]))
            out.append(Let(name, self.dtype, op, (current, value)))
            current = name
        return current

    def accumulator(self, initial: Operand | None = None) -> Accumulator:
        combines = ["add", "max", "min"]
        if self.dtype.kind == "i":
            combines += ["mul", "and", "or", "xor"]
        combine = self.draw(st.sampled_from(combines))
        number = 0 if self.dtype.kind == "i" else 0.0
        if self.dtype.kind == "f" and combine != "add" and self.flag():
            number = -math.inf if combine == "max" else math.inf
        start = Constant(number, self.dtype) if initial is None else initial
        return Accumulator(self.name("s"), self.dtype, combine, start)


def around(loops: Loops, kind: str, body: Sequence[Statement]) -> list[Statement]:
    for name, extent in reversed(loops.items()):
        body = [Loop(name, extent, kind, tuple(body))]  # type: ignore[arg-type]
    return list(body)


@st.composite
def elementwise(draw: st.DrawFn) -> Nest:
    make = Maker(draw)
    loops = make.loops("i", 1, 4)
    body: list[Statement] = []
    values = [make.load(loops, body) for _ in range(draw(st.integers(1, 3)))]
    result = make.mix(values, body)
    for _ in range(draw(st.integers(1, 2))):
        buffer, place = make.buffer(loops, "out")
        body.append(Store(buffer.name, place, result))
    prefix: list[Statement] = []
    if draw(st.booleans()):
        scalar = make.load({}, prefix)
        result = make.mix([scalar], prefix)
    # A value of the outer loop, hoisted as `lower` does.
    names = list(loops)
    outer = {names[0]: loops[names[0]]}
    inner = {n: loops[n] for n in names[1:]}
    hoisted: list[Statement] = []
    if draw(st.booleans()) and inner:
        make.load(outer, hoisted)
    nest = around(outer, "parallel", hoisted + around(inner, "parallel", body))
    return Nest("elementwise", tuple(make.buffers), tuple(prefix + nest))


@st.composite
def reductions(draw: st.DrawFn) -> Nest:
    """Rows, columns and full reductions, of one or more stages."""
    make = Maker(draw)
    kept = make.loops("i", 0, 2)
    extents = list(make.loops("r", 1, 2).values())
    body: list[Statement] = []
    level = [make.load(kept, body)] if draw(st.booleans()) else []
    stash: tuple[Buffer, Index, list[str]] | None = None
    for _ in range(draw(st.integers(1, 3))):
        reduced = {make.name("r"): e for e in extents}
        inside: list[Statement] = []
        loops = {**kept, **reduced}
        values = [make.load(loops, inside) for _ in range(draw(st.integers(1, 2)))]
        if stash and draw(st.booleans()):
            values.append(_restash(make, stash, list(reduced), inside))
        value = make.mix(values + level[-1:], inside)
        accumulators = [make.accumulator() for _ in range(draw(st.integers(1, 2)))]
        inside += [Accumulate(a.name, value) for a in accumulators]
        if draw(st.integers(0, 3)) == 0 and stash is None:
            buffer, place = make.buffer(loops, "out")
            inside.append(Store(buffer.name, place, value))
            stash = (buffer, place, list(reduced))
        first, *others = reduced.items()
        inner = around(dict(others), "serial", inside)
        body.append(Loop(*first, "serial", tuple(inner), tuple(accumulators)))
        level.append(make.mix([a.name for a in accumulators] + level, body))
    if draw(st.booleans()):
        last = {make.name("r"): e for e in extents}
        inside = []
        value = make.mix([make.load({**kept, **last}, inside), level[-1]], inside)
        buffer, place = make.buffer({**kept, **last}, "out")
        inside.append(Store(buffer.name, place, value))
        body += around(last, "parallel", inside)
    buffer, place = make.buffer(kept, "out")
    body.append(Store(buffer.name, place, level[-1]))
    nest = tuple(around(kept, "parallel", body))
    return Nest("reductions", tuple(make.buffers), nest)


def _restash(
    make: Maker,
    stash: tuple[Buffer, Index, list[str]],
    loops: list[str],
    out: list[Statement],
) -> str:
    buffer, place, before = stash
    moved = dict(zip(before, map(Index.of, loops), strict=True))
    name = make.name("v")
    out.append(Load(name, buffer.dtype, buffer.name, place.replace(moved)))
    return name


@st.composite
def scans(draw: st.DrawFn) -> Nest:
    make = Maker(draw)
    lanes = make.loops("l", 1, 3)
    time = make.loops("t", 1, 1)
    body: list[Statement] = []
    level = make.load(lanes, body)
    carries = [
        Accumulator(
            make.name("h"),
            make.dtype,
            "replace",
            level if draw(st.booleans()) else make.load({}, body),
        )
        for _ in range(draw(st.integers(1, 2)))
    ]
    inside: list[Statement] = []
    loops = {**time, **lanes}
    values = [make.load(loops, inside), *(c.name for c in carries)]
    value = make.mix(values, inside)
    for c in carries:
        new = make.mix([value, draw(st.sampled_from([level, value, c.name]))], inside)
        steady = draw(st.integers(0, 4)) == 0
        if steady:
            new = make.load(time, inside)
        inside.append(Accumulate(c.name, new))
    if draw(st.booleans()):
        total = make.accumulator()
        inside.append(Accumulate(total.name, value))
        carries.append(total)
    buffer, place = make.buffer(loops, "out")
    inside.append(Store(buffer.name, place, value))
    ((index, extent),) = time.items()
    body.append(Loop(index, extent, "serial", tuple(inside), tuple(carries)))
    for c in carries:
        buffer, place = make.buffer(lanes, "out")
        final = make.mix([c.name, level], body)
        body.append(Store(buffer.name, place, final))
    nest = tuple(around(lanes, "parallel", body))
    return Nest("scans", tuple(make.buffers), nest)


@st.composite
def scatters(draw: st.DrawFn) -> Nest:
    """Serial loops that store at a place that was loaded, around a parallel window."""
    make = Maker(draw)
    features = make.loops("f", 0, 1)
    steps = make.loops("n", 1, 2)
    window = make.loops("w", 0, 1)
    outer: list[Statement] = []
    where = make.position(steps, 4, outer)
    every = {**features, **window}
    width = math.prod(every.values())
    table = Buffer(make.name("b"), make.dtype, 4 * width, "inout")
    make.buffers.append(table)
    place, stride = Index.of(where, width), 1
    for name, extent in every.items():
        place = place + Index.of(name, stride)
        stride *= extent
    body: list[Statement] = []
    value = make.load({**every, **steps}, body)
    old, new = make.name("v"), make.name("v")
    body += [
        Load(old, make.dtype, table.name, place),
        Let(new, make.dtype, "sub", (value, old)),
        Store(table.name, place, new),
    ]
    inner = around(window, "parallel", body)
    if draw(st.booleans()):
        test = make.name("c")
        limit = Constant(2, dtypes.int64)
        outer.append(Let(test, dtypes.bool_, "lt", (where, limit)))
        inner = [If(test, tuple(inner))]
    nest = around(features, "parallel", around(steps, "serial", outer + inner))
    if draw(st.booleans()) and not features:
        source = Buffer(make.name("b"), make.dtype, table.size)
        make.buffers.append(source)
        index, got = make.name("c"), make.name("v")
        copy: list[Statement] = [
            Load(got, make.dtype, source.name, Index.of(index)),
            Store(table.name, Index.of(index), got),
        ]
        nest = around({index: table.size}, "serial", copy) + nest
    return Nest("scatters", tuple(make.buffers), tuple(nest))


NESTS = st.one_of(elementwise(), reductions(), scans(), scatters())


# --- running -------------------------------------------------------------------------


def inputs(nest: Nest, seed: int) -> Arrays:
    """Small whole numbers: sums are exact in any order."""
    generator = np.random.default_rng(seed)
    return {
        b.name: generator.integers(-3, 4, b.size).astype(b.dtype) for b in nest.buffers
    }


def in_order(nest: Nest) -> Nest:
    """Say `serial` for `parallel`: such a nest is interpreted whole."""

    def one(s: Statement) -> Statement:
        if isinstance(s, If):
            return evolve(s, body=tuple(map(one, s.body)))
        if not isinstance(s, Loop):
            return s
        kind = "serial" if s.kind == "parallel" else s.kind
        return evolve(s, kind=kind, body=tuple(map(one, s.body)))

    return evolve(nest, body=tuple(map(one, nest.body)))


def run(nests: tuple[Nest, ...], arrays: Arrays, pieces: int = 0) -> Arrays:
    """Run nests one after another, the pieces of each backwards."""
    arrays = {name: array.copy() for name, array in arrays.items()}
    for nest in nests:
        for b in nest.buffers:
            arrays.setdefault(b.name, np.full(b.size, 99, b.dtype))
        nest = in_order(nest)
        total = grid_extent(nest)
        if not pieces or grid_loop(nest) is None:
            interpret(nest, arrays)
            continue
        cuts = sorted({0, total, *(total * i // pieces for i in range(pieces))})
        for lo, hi in reversed(list(itertools.pairwise(cuts))):
            interpret(nest, arrays, lo, hi)
    return arrays


def check_same(before: Nest, after: tuple[Nest, ...], pieces: int = 0) -> None:
    arrays = inputs(before, 7)
    wanted, got = run((before,), arrays), run(after, arrays, pieces)
    for name, array in wanted.items():
        np.testing.assert_array_equal(got[name], array, err_msg=f"{before}\n{after}")


def check_final(nest: Nest) -> None:
    """Check the shape that the CPU's emitter is promised."""
    verify(nest)
    top = [s for s in nest.body if isinstance(s, Loop) and s.kind in ("group", "lane")]
    inner = [s for s in walk(nest.body) if isinstance(s, Loop) and s not in top]
    assert len(top) <= 1
    assert {s.kind for s in inner} <= {"item", "serial"}
    assert nest.chunk >= 0


@settings(max_examples=200, deadline=None)
@given(NESTS)
def test_schedule_keeps_the_meaning(nest: Nest) -> None:
    verify(nest)
    scheduled = schedule(nest, CPU)
    for each in scheduled:
        check_final(each)
    check_same(nest, scheduled)


@settings(max_examples=60, deadline=None)
@given(NESTS, st.integers(1, 5))
def test_pieces_run_in_any_order(nest: Nest, pieces: int) -> None:
    check_same(nest, schedule(nest, CPU), pieces)


@pytest.mark.parametrize("each", dict.fromkeys(PASSES["cpu"]), ids=lambda p: p.__name__)
@settings(max_examples=25, deadline=None)
@given(nest=NESTS)
def test_each_pass_alone_keeps_the_meaning(each: Pass, nest: Nest) -> None:
    made = each(nest, CPU)
    for one in made:
        verify(one)
    check_same(nest, made)


@settings(max_examples=40, deadline=None)
@given(NESTS)
def test_nothing_is_stored_twice_or_less(nest: Nest) -> None:
    before = estimate(nest)
    after = [estimate(n) for n in schedule(nest, CPU)]
    partial = sum(
        b.size * b.dtype.itemsize
        for n in schedule(nest, CPU)
        for b in n.buffers
        if b.name not in {x.name for x in nest.buffers} and b.access != "in"
    )
    assert sum(w.store_bytes for w in after) == pytest.approx(
        before.store_bytes + partial
    )
