"""Programs mean what the plain interpreter of their tables says."""

import gc
import sys
import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels import engine, memory, native
from rxcore_kernels.engine import ADD, FLIP, Entry, ExecutionError, OutputSpec
from tests.kernels.engine_programs import INT64, Draft, buffer, step, values

SIZE = 64  # int64 elements of every region
REGIONS = 6  # inputs 0, 1; outputs 2, 3; halves of the arena 4, 5

arguments = st.lists(
    st.lists(st.integers(-1000, 1000), min_size=SIZE, max_size=SIZE),
    min_size=2,
    max_size=2,
).map(lambda rows: [np.array(row, np.int64) for row in rows])


def region(draft: Draft, k: int, offset: int = 0) -> tuple[int, int]:
    slot = draft.slots.arena if k >= 4 else k
    return (slot, 8 * (offset + (SIZE if k == 5 else 0)))


def new_draft(tables: int = 1) -> Draft:
    draft = Draft(2, [OutputSpec(8 * SIZE)] * 2, tables, 16 * SIZE)
    # Fresh memory holds anything: every program starts with zeros.
    for k in range(2, REGIONS):
        words = draft.words(region(draft, k), 0)
        draft.rows[0].append(Entry(engine.FILL, words, 0, 8 * SIZE))
    return draft


@st.composite
def simple_rows(draw: st.DrawFn, draft: Draft, most: int = 4) -> list[Entry]:
    """Rows over whole regions, some cut into pieces, some chained."""
    rows: list[Entry] = []
    for _ in range(draw(st.integers(0, most))):
        chained = draw(st.integers(0, 2))
        lo = draw(st.integers(0, SIZE))
        hi = draw(st.integers(lo, SIZE))
        chunk = draw(st.sampled_from([0, 0, 1, 3, 7, 16, SIZE, 1000]))
        for k in range(chained, -1, -1):
            y = draw(st.integers(2, REGIONS - 1))
            x = draw(st.integers(0, REGIONS - 1).filter(lambda x, y=y: x != y))
            name = draw(st.sampled_from(["affine", "accumulate"]))
            a, b = draw(st.integers(-3, 3)), draw(st.integers(-9, 9))
            words = draft.words(region(draft, x), region(draft, y), a, b)
            head = k == chained
            rows.append(
                Entry(
                    step(name),
                    words,
                    lo if head else 0,
                    hi if head else 0,
                    chunk if head else 0,
                    chained if head else 0,
                )
            )
    return rows


@st.composite
def loop_row(draw: st.DrawFn, draft: Draft, table: int, inner: list[Entry]) -> Entry:
    """A loop whose body adds a moving window of one region to a flipping window."""
    trips = draw(st.integers(0, 5))
    stride = draw(st.sampled_from([8, 5, -4, 0]))
    x, y, z = (draw(st.integers(2, REGIONS - 1)) for _ in range(3))
    first = draft.words(region(draft, x, 24), region(draft, y), region(draft, z, 48))
    moving = draft.words(0, 0, 1, 0)
    draft.rows[table] += [*inner, Entry(step("affine"), moving, 0, 3)]
    # The second word flips between the other two addresses.
    quads = [
        *(ADD, moving, first, 8 * stride),
        *(FLIP, moving + 1, first + 1, first + 2),
    ]
    patches = draft.numbers(quads)
    words = draft.words(
        draft.frame,
        trips,
        draft.table(table),
        len(draft.rows[table]),
        patches,
        2,
    )
    return Entry(engine.LOOP, words)


@st.composite
def programs(draw: st.DrawFn) -> Draft:
    """Straight rows, a loop in a loop, and a switch."""
    draft = new_draft(tables=6)
    draft.rows[0] += draw(simple_rows(draft))
    inner = draw(loop_row(draft, 2, draw(simple_rows(draft, 2))))
    outer = draw(loop_row(draft, 1, [inner, *draw(simple_rows(draft, 2))]))
    draft.rows[0].append(outer)
    for k in (3, 4, 5):
        draft.rows[k] += draw(simple_rows(draft, 2))
    index = draft.numbers([draw(st.integers(-2, 4)) & 0xFFFFFFFF])
    branches = [w for k in (3, 4, 5) for w in (draft.table(k), len(draft.rows[k]))]
    draft.rows[0].append(
        Entry(engine.SWITCH, draft.words(draft.frame, index, 3, *branches))
    )
    draft.rows[0] += draw(simple_rows(draft, 2))
    return draft


@given(draft=programs(), data=arguments, release=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_program_is_what_the_interpreter_says(draft, data, release):
    program = draft.make(release_gil=release)
    inputs = [buffer(a) for a in data]
    expected = draft.interpret(data)
    for _ in range(2):  # the second call must find the template untouched
        got = program.run(*inputs)
        for capsule, want in zip(got, expected, strict=True):
            np.testing.assert_array_equal(values(capsule, SIZE), want)
    for capsule, given_values in zip(inputs, data, strict=True):
        np.testing.assert_array_equal(values(capsule, SIZE), given_values)


@given(start=st.integers(-5, 20), add=st.integers(1, 7), limit=st.integers(-5, 60))
@settings(max_examples=40, deadline=None)
def test_while_runs_until_its_flag_is_zero(start, add, limit):
    draft = Draft(1, [OutputSpec(8), OutputSpec(8)], 3, 64)
    slots = draft.slots
    x, count = (slots.output(0), 0), (slots.output(1), 0)
    draft.rows[0] += [
        Entry(engine.COPY, draft.words(x, (0, 0)), 0, 8),
        Entry(engine.FILL, draft.words(count, 0), 0, 8),
    ]
    other, flag = (slots.arena, 8), (slots.arena, 0)
    draft.rows[1].append(Entry(step("less"), draft.words(x, limit, flag)))
    draft.rows[2] += [
        Entry(step("affine"), draft.words(x, other, 1, add), 0, 1),
        Entry(engine.COPY, draft.words(x, other), 0, 8),
        Entry(step("visit"), draft.words(x, count, 0, 0), 0, 1),
    ]
    draft.rows[0].append(
        Entry(
            engine.WHILE,
            draft.words(
                draft.frame, draft.table(1), 1, flag, draft.table(2), 3, draft.frame, 0
            ),
        )
    )
    last, passes = (
        int(values(c, 1)[0]) for c in draft.make().run(buffer(np.array([start])))
    )
    want, n = start, 0
    while want < limit:
        want, n = want + add, n + 1
    assert (last, passes) == (want, n)
    assert [int(o[0]) for o in draft.interpret([np.array([start])])] == [want, n]


@given(size=st.integers(0, 300), byte=st.integers(0, 255), lo=st.integers(0, 300))
@settings(deadline=None)
def test_fill_and_copy_touch_their_bytes_only(size, byte, lo):
    lo = min(lo, size)
    draft = Draft(0, [OutputSpec(size), OutputSpec(size)])
    first, second = draft.slots.output(0), draft.slots.output(1)
    draft.rows[0] += [
        Entry(engine.FILL, draft.words((first, 0), 7), 0, size),
        Entry(engine.FILL, draft.words((first, 0), byte), lo, size),
        Entry(engine.COPY, draft.words((second, 0), (first, 0)), 0, size),
    ]
    for capsule in draft.make().run():
        got = memory.view(capsule, np.dtype(np.uint8), (size,))
        assert list(got) == [7] * lo + [byte] * (size - lo)


@pytest.mark.parametrize("padding", [0, 1000])
def test_long_and_short_frames_give_the_same(padding):
    draft = Draft(1, [OutputSpec(80)])
    draft.template += [0] * padding  # a long frame comes from the pool
    words = draft.words((0, 0), (1, 0), 3, 1)
    draft.rows[0].append(Entry(step("affine"), words, 0, 10))
    (got,) = draft.make().run(buffer(np.arange(10)))
    np.testing.assert_array_equal(values(got, 10), np.arange(10) * 3 + 1)


def test_an_aliased_output_is_the_input_itself():
    draft = Draft(2, [OutputSpec(80, alias=1), OutputSpec(80)])
    draft.rows[0].append(
        Entry(step("accumulate"), draft.words((0, 0), (2, 0), 0, 0), 0, 10)
    )
    one, two = buffer(np.arange(10)), buffer(np.full(10, 5))
    before = sys.getrefcount(two)
    result = draft.make().run(one, two)
    assert result[0] is two
    assert sys.getrefcount(two) == before + 1
    np.testing.assert_array_equal(values(two, 10), np.arange(10) + 5)


def test_a_failing_step_stops_the_program_and_gives_memory_back():
    draft = Draft(1, [OutputSpec(1 << 16)] * 2, arena_bytes=1 << 16)
    draft.rows[0] += [
        Entry(step("visit"), draft.words((0, 0), (0, 0), 0, 0), 0, 1),
        Entry(step("fail"), draft.words(77)),
        Entry(step("visit"), draft.words((0, 0), (0, 0), 0, 0), 0, 1),
    ]
    program, data = draft.make(), buffer(np.zeros(1, np.int64))
    before = memory.statistics().in_use_bytes
    with pytest.raises(ExecutionError, match="status 77") as caught:
        program.run(data)
    assert caught.value.status == 77
    assert memory.statistics().in_use_bytes == before
    assert values(data, 1)[0] == 1


@pytest.mark.parametrize("release", [False, True])
def test_an_exception_in_a_callback_comes_out_as_itself(release):
    def boom(words, lo, hi):
        raise KeyError((words[0], lo, hi))

    address, keep = engine.callback(boom)
    draft = Draft(0, [])
    draft.rows[0].append(Entry(address, draft.words(41), 2, 9))
    program = draft.make(release_gil=release, keep_alive=keep)
    with pytest.raises(KeyError, match=r"41, 2, 9"):
        program.run()
    assert threading.get_ident() not in native._exceptions


def test_a_callback_computes_and_may_run_programs_itself():
    inner = Draft(1, [OutputSpec(8)])
    inner.rows[0].append(Entry(step("affine"), inner.words((0, 0), (1, 0), 2, 1), 0, 1))
    inner_program = inner.make()
    seen = []

    def call(words, lo, hi):
        (result,) = inner_program.run(buffer(np.array([words[0]])))
        seen.append((int(values(result, 1)[0]), lo, hi))

    address, keep = engine.callback(call)
    draft = Draft(0, [])
    draft.rows[0].append(Entry(address, draft.words(20), 0, 3))
    draft.make(keep_alive=keep, release_gil=True).run()
    assert seen == [(41, 0, 3)]


def test_wrong_calls_are_refused():
    draft = Draft(1, [OutputSpec(8)])
    program = draft.make()
    data = buffer(np.zeros(1, np.int64))
    with pytest.raises(TypeError, match="expected 2 arguments, got 1"):
        program.run()
    with pytest.raises(TypeError, match="expected 2 arguments, got 3"):
        program.run(data, data)
    with pytest.raises(TypeError, match=r"rxcore\.buffer as argument 2, got 3"):
        program.run(3)
    with pytest.raises(TypeError, match=r"rxcore\.program as argument 1"):
        engine.run(data, data)
    with pytest.raises(TypeError, match="expected 1 arguments, got 0"):
        engine.run()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relocations": [(5, 0, 0)]}, "relocation"),
        ({"relocations": [(0, 9, 0)]}, "relocation"),
        ({"tables": []}, "at least one"),
        ({"tables": [[Entry(0, 0)]]}, "no address"),
        ({"tables": [[Entry(1, 2)]]}, "outside a frame"),
        ({"tables": [[Entry(1, 0, chained=1)]]}, "chains more"),
        ({"tables": [[Entry(1, 0, 0, 9, -1)]]}, "negative chunk"),
        ({"outputs": [OutputSpec(8, 1)]}, "names no"),
        ({"outputs": [OutputSpec(-8)]}, "names no"),
    ],
)
def test_wrong_programs_are_refused(change, message):
    right = {
        "inputs": 1,
        "outputs": [OutputSpec(8)],
        "template": [0],
        "relocations": [],
        "tables": [[]],
    }
    with pytest.raises(ValueError, match=message):
        engine.make_program(**{**right, **change})


def test_control_steps_and_locked_callbacks_are_not_cut():
    with pytest.raises(ValueError, match="control step"):
        engine.make_program(0, [], [0] * 6, [], [[Entry(engine.LOOP, 0, 0, 9, 1)]])
    address, _keep = engine.callback(lambda _words, _lo, _hi: None)
    with pytest.raises(ValueError, match="release_gil=True"):
        engine.make_program(0, [], [], [], [[Entry(address, 0, 0, 9, 1)]])


def test_a_program_keeps_what_it_needs_alive():
    class Thing:
        alive = 0

        def __init__(self) -> None:
            Thing.alive += 1

        def __del__(self) -> None:
            Thing.alive -= 1

    draft = Draft(0, [])
    program = draft.make(keep_alive=Thing())
    gc.collect()
    assert Thing.alive == 1
    program.run()
    del program
    gc.collect()
    assert Thing.alive == 0


# ------------------------------------------------------------------ memory
@given(sizes=st.lists(st.integers(0, 1 << 20), min_size=1, max_size=20))
@settings(deadline=None)
def test_blocks_are_aligned_disjoint_and_given_back(sizes):
    before = memory.statistics()
    capsules = [memory.allocate(size) for size in sizes]
    spans = sorted(
        (memory.address(c), size) for c, size in zip(capsules, sizes, strict=True)
    )
    assert all(address % 64 == 0 for address, _ in spans)
    assert all(a + n <= b for (a, n), (b, _) in pairwise(spans))
    now = memory.statistics()
    asked = sum(sizes)
    got = now.in_use_bytes - before.in_use_bytes
    # Rounded to 64 bytes, then to four leading bits.
    assert asked <= got <= sum(1.125 * (size + 128) for size in sizes)
    assert now.peak_bytes >= now.in_use_bytes
    del capsules
    assert memory.statistics().in_use_bytes == before.in_use_bytes


def test_a_freed_block_is_kept_and_comes_back_until_trimmed():
    memory.trim()
    one = memory.allocate(1 << 20)
    where = memory.address(one)
    del one
    assert memory.statistics().cached_bytes == 1 << 20
    two = memory.allocate((1 << 20) - 5000)
    assert memory.address(two) == where
    del two
    memory.trim()
    assert memory.statistics().cached_bytes == 0


def test_no_more_than_the_limit_is_kept():
    limit = memory.statistics().limit_bytes
    try:
        memory.set_limit(3 << 20)
        blocks = [memory.allocate(1 << 20) for _ in range(5)]
        big = memory.allocate(4 << 20)
        del blocks, big
        assert memory.statistics().cached_bytes == 3 << 20
        other = memory.allocate(2 << 20)
        del other  # others make room for what was used last
        assert memory.statistics().cached_bytes == 3 << 20
    finally:
        memory.set_limit(limit)


@pytest.mark.parametrize("nbytes", [1 << 46, 1 << 50, (1 << 63) - 1])
def test_absurd_sizes_raise_memory_error(nbytes):
    with pytest.raises(MemoryError):
        memory.allocate(nbytes)
    before = memory.statistics().in_use_bytes
    for outputs, arena in (
        ([OutputSpec(64), OutputSpec(nbytes)], 0),
        ([OutputSpec(64)], nbytes),
    ):
        program = Draft(0, outputs, arena_bytes=arena).make()
        with pytest.raises(MemoryError):
            program.run()
    assert memory.statistics().in_use_bytes == before


def test_negative_and_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="got -1"):
        memory.allocate(-1)
    with pytest.raises(TypeError):
        memory.allocate("8")
    with pytest.raises(TypeError, match="expected 1 arguments"):
        memory.allocate(1, 2)
    with pytest.raises(TypeError, match="capsule of rxcore"):
        memory.address(None)


def test_a_view_is_read_only_and_keeps_the_block():
    capsule = buffer(np.arange(12))
    array = memory.view(capsule, INT64, (3, 4))
    assert array.base is capsule
    assert not array.flags.writeable
    assert array.flags.c_contiguous
    in_use = memory.statistics().in_use_bytes
    del capsule
    gc.collect()
    assert memory.statistics().in_use_bytes == in_use
    np.testing.assert_array_equal(array, np.arange(12).reshape(3, 4))
    assert array.dtype == INT64
    assert memory.view(array.base, np.dtype(np.uint8), ()).shape == ()
    with pytest.raises(TypeError, match="dtype as argument 2"):
        memory.view(array.base, "int64", (3,))
    with pytest.raises(TypeError, match="tuple of at most 32"):
        memory.view(array.base, INT64, [3])
    with pytest.raises(ValueError, match="negative"):
        memory.view(array.base, INT64, (-1,))


def test_borrowed_memory_keeps_its_owner():
    array = np.arange(10)
    before = sys.getrefcount(array)
    capsule = memory.borrow(array.ctypes.data, array)
    assert sys.getrefcount(array) == before + 1
    assert memory.address(capsule) == array.ctypes.data
    np.testing.assert_array_equal(values(capsule, 10), array)
    del capsule
    assert sys.getrefcount(array) == before
    in_use = memory.statistics().in_use_bytes
    unowned = memory.borrow(array.ctypes.data)
    del unowned
    assert memory.statistics().in_use_bytes == in_use
    assert sys.getrefcount(array) == before
