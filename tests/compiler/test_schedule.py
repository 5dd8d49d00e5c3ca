"""What `schedule` makes of the nests that matter: their shapes, asserted."""

from __future__ import annotations

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.count import estimate
from rxcore.compiler.schedule import schedule
from rxcore.loops.nest import (
    Accumulate,
    Accumulator,
    Block,
    Buffer,
    Constant,
    Index,
    Let,
    Load,
    Loop,
    Nest,
    Statement,
    Store,
    walk,
)
from rxcore.loops.verify import verify

CPU = Capabilities()
F32 = dtypes.float32


def at(**terms: int) -> Index:
    return Index(0, tuple(terms.items()))


def zero(dtype: DType = F32) -> Constant:
    return Constant(0.0, dtype)


def loop(kind: str, index: str, extent: int, *body: Statement) -> Loop:
    return Loop(index, extent, kind, body)  # type: ignore[arg-type]


def total(name: str) -> Accumulator:
    return Accumulator(name, F32, "add", zero())


def scheduled(nest: Nest) -> tuple[Nest, ...]:
    verify(nest)
    made = schedule(nest, CPU)
    for one in made:
        verify(one)
    return made


def kinds(nest: Nest) -> list[str]:
    """The kinds of the loops, in order, with their depth."""

    def show(body: tuple[Statement, ...], depth: int) -> list[str]:
        found = []
        for s in body:
            if isinstance(s, Loop):
                found.append("." * depth + s.kind)
                found += show(s.body, depth + 1)
        return found

    return show(nest.body, 0)


def add(m: int, n: int, x: Index, y: Index, size: int = 0) -> Nest:
    size = size or m * n
    body = (
        Load("a", F32, "x", x),
        Load("b", F32, "y", y),
        Let("c", F32, "add", ("a", "b")),
        Store("out", at(i=n, j=1), "c"),
    )
    buffers = (
        Buffer("x", F32, size),
        Buffer("y", F32, size),
        Buffer("out", F32, m * n, "out"),
    )
    return Nest(
        "add", buffers, (loop("parallel", "i", m, loop("parallel", "j", n, *body)),)
    )


def row_sums(m: int, n: int, place: Index, count: int = 1) -> Nest:
    body = (
        Loop(
            "j",
            n,
            "serial",
            (Load("a", F32, "x", place), Accumulate("s", "a")),
            (total("s"),),
        ),
        Store("out", at(i=1) if m > 1 else Index(), "s"),
    )
    whole = (loop("parallel", "i", m, *body),) if m > 1 else body
    buffers = (Buffer("x", F32, m * n * count), Buffer("out", F32, m, "out"))
    return Nest("sums", buffers, whole)


def softmax(rows: int, n: int) -> Nest:
    """Three stages; the second one is kept in the row of the result."""

    def place(j: str) -> Index:
        return at(i=n, **{j: 1})

    largest = Accumulator("m", F32, "max", Constant(float("-inf"), F32))
    body = (
        Loop(
            "j",
            n,
            "serial",
            (Load("a", F32, "x", place("j")), Accumulate("m", "a")),
            (largest,),
        ),
        Loop(
            "k",
            n,
            "serial",
            (
                Load("b", F32, "x", place("k")),
                Let("e", F32, "sub", ("b", "m")),
                Store("out", place("k"), "e"),
                Accumulate("s", "e"),
            ),
            (total("s"),),
        ),
        Let("r", F32, "div", (Constant(1.0, F32), "s")),
        loop(
            "parallel",
            "l",
            n,
            Load("f", F32, "out", place("l")),
            Let("g", F32, "mul", ("f", "r")),
            Store("out", place("l"), "g"),
        ),
    )
    buffers = (Buffer("x", F32, rows * n), Buffer("out", F32, rows * n, "out"))
    return Nest("softmax", buffers, (loop("parallel", "i", rows, *body),))


def leaky_scan(steps: int, batch: int, neurons: int) -> Nest:
    lanes = batch * neurons
    place = at(t=lanes, b=neurons, n=1)
    step = (
        Load("x", F32, "xs", place),
        Load("leak", F32, "leaks", at()),
        Let("old", F32, "mul", ("h", "leak")),
        Let("new", F32, "add", ("old", "x")),
        Store("ys", place, "new"),
        Accumulate("h", "new"),
    )
    carry = Accumulator("h", F32, "replace", "h0")
    body = (
        Load("h0", F32, "start", at(b=neurons, n=1)),
        Loop("t", steps, "serial", step, (carry,)),
        Store("end", at(b=neurons, n=1), "h"),
    )
    buffers = (
        Buffer("xs", F32, steps * lanes),
        Buffer("leaks", F32, 1),
        Buffer("start", F32, lanes),
        Buffer("ys", F32, steps * lanes, "out"),
        Buffer("end", F32, lanes, "out"),
    )
    outer = loop("parallel", "b", batch, loop("parallel", "n", neurons, *body))
    return Nest("scan", buffers, (outer,))


def test_flat_elementwise_is_one_lane_loop_in_even_pieces() -> None:
    (nest,) = scheduled(add(512, 2048, at(i=2048, j=1), at(i=2048, j=1)))
    assert kinds(nest) == ["lane"]
    assert nest.body[0].extent == 512 * 2048  # type: ignore[union-attr]
    assert nest.chunk % 1024 == 0
    assert 0 < nest.chunk <= 1 << 16


def test_small_work_is_one_piece() -> None:
    (nest,) = scheduled(add(8, 16, at(i=16, j=1), at(i=16, j=1)))
    assert nest.chunk == 0


def test_broadcast_rows_are_a_group_of_items() -> None:
    (nest,) = scheduled(add(512, 2048, at(i=2048, j=1), at(j=1)))
    assert kinds(nest) == ["group", ".item"]


def test_few_wide_rows_are_cut() -> None:
    (nest,) = scheduled(add(3, 1 << 20, at(i=1 << 20, j=1), at(j=1)))
    assert kinds(nest) == ["group", ".serial", "..item"]
    assert nest.body[0].extent == 256  # type: ignore[union-attr]


def test_transposed_operand_is_tiled_through_scratch() -> None:
    n = 512
    (nest,) = scheduled(add(n, n, at(i=n, j=1), at(i=1, j=n)))
    assert kinds(nest)[:2] == ["group", ".serial"]
    (tile,) = nest.scratch
    for s in walk(nest.body):
        if isinstance(s, Loop) and s.kind == "item":
            outside = [
                x.index.coefficient(s.index)
                for x in walk(s.body)
                if isinstance(x, Load | Store) and x.buffer != tile.name
            ]
            assert set(outside) == {1}


def test_long_rows_are_one_group_with_an_item_loop() -> None:
    (nest,) = scheduled(row_sums(4096, 4096, at(i=4096, j=1)))
    assert kinds(nest) == ["group", ".item"]
    assert nest.chunk > 0


def test_column_sums_carry_a_block_of_sums() -> None:
    (nest,) = scheduled(row_sums(4096, 200, at(i=1, j=4096)))
    assert kinds(nest) == ["group", ".item", ".serial", "..item", ".item"]
    (sums,) = nest.scratch
    assert sums.size <= 1024


def test_full_sum_is_two_nests_of_fixed_chunks() -> None:
    first, second = scheduled(row_sums(1, 1 << 24, at(j=1)))
    assert kinds(first) == ["group", ".item"]
    assert kinds(second) == ["item"]
    (partial,) = [b for b in first.buffers if b.access == "out"]
    assert partial.size == 1024
    assert [b.name for b in second.buffers if b.access == "in"] == [partial.name]


def test_small_full_sum_stays_one_nest() -> None:
    (nest,) = scheduled(row_sums(1, 1000, at(j=1)))
    assert kinds(nest) == ["item"]


def test_few_columns_of_many_rows_are_split_by_rows() -> None:
    first, second = scheduled(row_sums(10, 1_000_000, at(i=1, j=10)))
    assert kinds(first)[0] == "group"
    (partial,) = [b for b in first.buffers if b.access == "out"]
    assert 10 < partial.size < 100_000
    assert estimate(second).load_bytes == partial.size * 4


def test_softmax_is_one_group_of_items() -> None:
    (nest,) = scheduled(softmax(4096, 1024))
    assert kinds(nest) == ["group", ".item", ".item", ".item"]


def test_softmax_of_one_long_row_is_shared_by_threads() -> None:
    nests = scheduled(softmax(1, 1 << 20))
    heavy = [n for n in nests if n.chunk]
    assert [kinds(n) for n in heavy] == [
        ["group", ".item"],
        ["group", ".item"],
        ["lane"],
    ]
    assert len(nests) == 5


def test_lane_scan_is_one_nest_with_time_inside() -> None:
    (nest,) = scheduled(leaky_scan(100, 64, 1024))
    assert kinds(nest) == ["group", ".item", ".serial", "..item", ".item"]
    (carry,) = nest.scratch
    assert 128 <= carry.size <= 4096
    # The leak does not depend on the lane: it is loaded outside of all loops.
    assert isinstance(nest.body[0], Load)
    items = [s for s in walk(nest.body) if isinstance(s, Loop) and s.kind == "item"]
    assert all(isinstance(s.extent, Block) for s in items)


def test_the_text_of_a_nest_does_not_follow_its_size() -> None:
    def shape(nests: tuple[Nest, ...]) -> list[list[str]]:
        return [kinds(n) for n in nests]

    assert shape(scheduled(row_sums(1, 1 << 22, at(j=1)))) == shape(
        scheduled(row_sums(1, 3_000_001, at(j=1)))
    )
    assert shape(scheduled(softmax(64, 100))) == shape(scheduled(softmax(77, 5)))


def test_unit_loops_vanish() -> None:
    (nest,) = scheduled(add(1, 40, at(i=40, j=1), at(i=40, j=1)))
    assert kinds(nest) == ["lane"]
    (column,) = scheduled(row_sums(40, 1, at(i=1, j=40)))
    assert kinds(column) == ["lane"]


def test_scatter_keeps_its_order() -> None:
    body = (
        Load("p", dtypes.int64, "places", at(i=1)),
        Load("old", F32, "table", Index.of("p")),
        Load("x", F32, "xs", at(i=1)),
        Let("new", F32, "add", ("old", "x")),
        Store("table", Index.of("p"), "new"),
    )
    n = 1 << 20
    buffers = (
        Buffer("places", dtypes.int64, n),
        Buffer("xs", F32, n),
        Buffer("table", F32, 100, "inout"),
    )
    (nest,) = scheduled(Nest("scatter", buffers, (loop("serial", "i", n, *body),)))
    assert kinds(nest) == ["serial"]
    assert nest.chunk == 0


def test_estimate_counts_the_same_before_and_after() -> None:
    nest = row_sums(4096, 200, at(i=1, j=4096))
    (after,) = scheduled(nest)
    assert estimate(after).load_bytes == estimate(nest).load_bytes
    assert estimate(after).store_bytes == estimate(nest).store_bytes
