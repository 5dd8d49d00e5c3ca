"""What is counted of scheduled nests is what they do, and equal texts count alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxcore.base import dtypes
from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.count import estimate
from rxcore.compiler.features import Features, features
from rxcore.compiler.form import WAVE
from rxcore.compiler.lower import lower
from rxcore.compiler.polynomial import Polynomial
from rxcore.compiler.schedule import schedule
from rxcore.control.calibration import PROGRAMS
from rxcore.control.scan import scan
from rxcore.ir.primitive import Fusion
from rxcore.ir.types import Type
from rxcore.loops.nest import Nest
from rxcore.ops import mathematics, reduce, shape
from rxcore.ops.cumulate import cumsum
from rxcore.runtime.program import optimized_of
from rxcore.targets import cpu, opencl
from rxcore.trace.capture import capture
from rxcore_kernels.opencl_facts import Facts
from tests.cost.unseen import unseen
from tests.examples import examples

CPU = Capabilities(units=2)
GPU = opencl.capabilities(Facts(units=36))
f32 = dtypes.float32
ACCESSES = ("contiguous", "broadcast", "strided", "gather")


def nests(graph: Any, capabilities: Capabilities) -> list[Nest]:
    """Return the scheduled nests of a Graph's groups."""
    return [
        made
        for e in optimized_of(graph).equations
        if isinstance(e.primitive.lower, Fusion)
        for made in schedule(lower(e), capabilities)
    ]


def only(function: Any, *shapes: tuple[int, ...], target: Any = CPU) -> Features:
    """Return the features of a function of float32 arrays that is one nest."""
    graph = capture(lambda *x: [function(*x)], [Type(f32, s) for s in shapes]).graph
    (nest,) = nests(graph, target)
    return features(nest)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_equal_texts_have_equal_forms(program: Any) -> None:
    seen: dict[str, Any] = {}
    for size in program.sizes[:4]:
        for nest in nests(program.graph(size), CPU):
            form = features(nest).form
            assert seen.setdefault(cpu.emit(nest).source.text, form) == form
            assert hash(seen[cpu.emit(nest).source.text]) == hash(form)


@examples(20)
@given(st.integers(0, 10_000), st.sampled_from([CPU, GPU]))
def test_counts_agree_with_the_nest(seed: int, target: Capabilities) -> None:
    for nest in nests(unseen(seed, 8, 14).graph, target):
        found, work = features(nest), estimate(nest)
        assert len(found.extents) == found.form.extents
        counts = found.counts()
        assert all(n >= 0 for n in counts.values())
        accessed = sum(counts.get(c, 0.0) for c in ACCESSES)
        moved = work.load_bytes + work.store_bytes
        # What a scalar loop loads counts among its operations, and scratch apart.
        assert accessed <= moved * 1.01 + counts.get("scratch", 0.0)
        if found.form.vectorizes and target is CPU and not nest.scratch:
            # What rows add up to is stored between the loops, one at a time.
            widest = max(b.dtype.itemsize for b in nest.buffers)
            alone = min(widest * counts.get("scalar", 0.0), found.written)
            assert accessed + alone >= 0.99 * moved
        whole = sum(b.size * b.dtype.itemsize for b in nest.buffers)
        assert found.touched <= 2 * whole
        assert found.read + found.written + found.again == pytest.approx(
            max(moved, found.touched), rel=0.01, abs=64
        )
        assert found.items >= 1


def test_shapes() -> None:
    n = (300, 200)
    assert only(lambda x: x * 2.0, n).form.shape == "elementwise"
    assert only(lambda x: reduce.sum_(x, 1), n).form.shape == "row"
    assert only(lambda x: reduce.sum_(x, 0), n).form.shape == "column"
    assert only(lambda x: shape.transpose(x) + 1.0, n).form.shape == "transposed"
    graph = capture(lambda x: [cumsum(x, 1)], [Type(f32, n)]).graph
    assert [features(m).form.shape for m in nests(graph, CPU)] in ([], ["scan"])
    for target in (CPU, GPU):
        found = only(mathematics.exp, n, target=target)
        assert found.form.shape == "elementwise"
        assert (found.read, found.written, found.again) == (240_000, 240_000, 0)


def test_a_row_vector_is_read_again_and_a_column_is_held() -> None:
    row = only(lambda x, b: x + b, (64, 1000), (1000,))
    assert row.read == 4 * 65_000
    assert row.again == 4 * 63_000
    assert row.near == (row.read + row.written) // 64
    column = only(lambda x, b: x + b, (64, 1000), (64, 1))
    assert column.read == 4 * 64_064
    assert column.again == 0


def test_strides_are_told_apart() -> None:
    plain = only(lambda x: x * 2.0, (999,)).counts()
    third = only(lambda x: shape.slice_(x, (0,), (999,), (3,)) * 2.0, (999,))
    assert plain["contiguous"] == 2 * 4 * 999
    assert third.counts()["strided"] == 4 * 333
    assert not third.form.vectorizes
    # Whole cache lines move for every third element.
    assert third.read == 4 * 999


def test_operations_by_class() -> None:
    c = only(lambda x, y: (x / y) * x + mathematics.sqrt(y), (1 << 10,), (1 << 10,))
    counts = c.counts()
    assert counts["divide"] == pytest.approx(2.3 * 1024)
    doubles = capture(lambda x: [x * x + 1.0], [Type(dtypes.float64, (1 << 10,))]).graph
    (nest,) = nests(doubles, CPU)
    found = features(nest).counts()
    assert found["double"] >= 1024
    assert "simple" not in found


def test_iterations_left_over_by_vectors() -> None:
    def left(width: int) -> int:
        return only(lambda x: reduce.sum_(x, 1), (1000, width)).left

    assert left(160) == 0
    assert left(165) > left(164) > 0


def test_work_items_of_a_gpu() -> None:
    flat = only(lambda x: x * 2.0, (1000,), target=GPU)
    assert flat.form.target == "gpu"
    assert flat.items == 1024
    rows = only(lambda x: reduce.sum_(x, 1), (50, 1000), target=GPU)
    assert rows.items == 50 * GPU.group
    assert "start" in rows.counts()
    assert rows.counts()["serial"] == pytest.approx(1000 / GPU.group)


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 2), st.integers(-2, 3)), max_size=3),
            st.floats(0.1, 10),
        ),
        max_size=4,
    ),
    st.lists(st.integers(1, 50), min_size=3, max_size=3),
)
def test_polynomials_add_multiply_and_print(terms: Any, sizes: list[int]) -> None:
    made = [
        np.prod([1.0, *(float(sizes[v]) ** p for v, p in powers)]) * c
        for powers, c in terms
    ]
    total = Polynomial()
    for powers, c in terms:
        one = Polynomial.number(c)
        for variable, power in powers:
            one = one * Polynomial.of(variable, power) if power else one
        total = total + one
    assert total.value(sizes) == pytest.approx(sum(made))
    names = ["a", "b", "c"]
    space = dict(zip(names, sizes, strict=True))
    assert eval(total.text(names), space) == pytest.approx(sum(made))
    assert (total * total).value(sizes) == pytest.approx(sum(made) ** 2)


def _chained(x: Any) -> Any:
    for _ in range(64):
        x = x * 1.5 + 1.0
    return x


@pytest.mark.parametrize("target", [CPU, GPU])
def test_operations_that_wait_for_each_other_are_told(target: Capabilities) -> None:
    deep, light = (
        only(_chained, (1000,), target=target),
        only(lambda x: x * 1.5 + 1.0, (1000,), target=target),
    )
    assert deep.counts()["chain"] > 200 * light.counts()["chain"]


def test_a_small_group_takes_a_whole_wave() -> None:
    one = only(lambda x: x + 1.0, (10,), target=GPU)
    assert one.items == WAVE
    assert only(lambda x: x + 1.0, (WAVE + 1,), target=GPU).items == 2 * WAVE


def test_loops_inside_work_items_count_no_operation_twice() -> None:
    flat = only(lambda x: mathematics.sqrt(x), (64, 64), target=GPU)
    rows = only(lambda x: reduce.sum_(mathematics.sqrt(x), 1), (64, 512), target=GPU)
    assert flat.counts()["scalar"] == flat.counts()["divide"]
    assert "scalar" not in rows.counts()
    assert not rows.form.vectorizes


def test_a_scan_by_blocks_waits_for_its_carry() -> None:
    def chained(x: Any) -> Any:
        for _ in range(8):
            x = x * 1.5 + 1.0
        return x

    def scanned(step: Any) -> Features:
        def function(xs: Any) -> list[Any]:
            zero = reduce.sum_(xs * 0.0, 0)
            return [scan(lambda c, x: (step(c) + x, None), zero, xs)[0]]

        graph = capture(function, [Type(f32, (40, 3000))]).graph
        return max((features(n) for n in nests(graph, CPU)), key=lambda f: f.left)

    short, long = scanned(lambda c: c * 0.5), scanned(chained)
    # A step is hidden by those of other lanes, or eight products wait for each other.
    assert "serial" not in short.counts()
    assert long.counts()["serial"] >= 8 * 40


def test_extremes_of_rows_wait_longer_than_sums_on_devices() -> None:
    def waits(fold: Any) -> float:
        found = only(lambda x: fold(x, 1), (64, 4096), target=GPU)
        return found.counts()["chain"]

    assert waits(reduce.max_) > 2 * waits(reduce.sum_)
