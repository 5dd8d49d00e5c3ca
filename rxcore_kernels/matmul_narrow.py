"""Matrix products of 16-bit floats: widened to float32, multiplied, rounded once.

The inputs are copied to dense float32 in the order in which they lie; the sum is that
of the float32 kernel, and each result is rounded to nearest, ties to even.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from attrs import evolve, frozen

from rxcore_kernels.host import Features
from rxcore_kernels.matmul_tile import word_names
from rxcore_kernels.plan import In, Out, Plan, Scratch, Step, Word
from rxcore_kernels.source import Source
from rxcore_kernels.text import F16, F32, I16, I32, Type, Value, Writer, kernel

NARROW = ("bfloat16", "float16")
_WORDS = "rows columns from_batch from_row from_column to_batch to_row"


def widen(w: Writer, dtype: str, bits: Value) -> Value:
    """Return i16 patterns of a narrow dtype as float32."""
    if dtype == "float16":
        half = w.cast("bitcast", bits, F16.by(bits.type.lanes))
        return w.cast("fpext", half, F32.by(bits.type.lanes))
    whole = w.cast("zext", bits, I32.by(bits.type.lanes)) << 16
    return w.cast("bitcast", whole, F32.by(bits.type.lanes))


def narrow(w: Writer, dtype: str, value: Value) -> Value:
    """Return float32 rounded to a narrow dtype, as i16 patterns."""
    lanes = value.type.lanes
    if dtype == "float16":
        half = w.cast("fptrunc", value, F16.by(lanes))
        return w.cast("bitcast", half, I16.by(lanes))
    # Rounded as integers: the instruction for it would flush subnormal numbers.
    bits = w.cast("bitcast", value, I32.by(lanes))
    odd = bits.unsigned_shift(16) & 1
    rounded = w.select(value.equals(value), bits + odd + 0x7FFF, bits | 0x400000)
    return w.cast("trunc", rounded.unsigned_shift(16), I16.by(lanes))


@functools.cache
def convert_source(dtype: str, direction: str, lanes: int, dense: bool) -> Source:
    """Return the step that converts rows; a unit is a row of one matrix.

    Args:
        dtype: the narrow dtype.
        direction: "widen" or "narrow".
        lanes: elements per vector.
        dense: whether the source's columns are contiguous (the target's always are).
    """
    symbol = f"matmul_{direction}_{dtype}_{'dense' if dense else 'strided'}_{lanes}"
    wider = direction == "widen"
    given, made = (I16, F32) if wider else (F32, I16)
    convert = functools.partial(widen if wider else narrow)
    with kernel(symbol, wide=lanes == 16) as w:
        source, target = w.address(0), w.address(1)
        d = word_names(w, 2, _WORDS)
        step = 1 if dense else d["from_column"]
        with w.loop(w.lo, w.hi) as unit:
            batch, row = unit // d["rows"], unit % d["rows"]
            line = w.at(source, batch * d["from_batch"] + row * d["from_row"], given)
            goal = w.at(target, batch * d["to_batch"] + row * d["to_row"], made)
            whole = d["columns"] // lanes * lanes if dense else w.value(row.type, 0)

            def move(
                type: Type, j: Value, line: Value = line, goal: Value = goal
            ) -> None:
                part = w.load(type, line, j if dense else j * step)
                w.store(convert(w, dtype, part), goal, j)

            with w.loop(0, whole, lanes) as j:
                move(given.by(lanes), j)
            with w.loop(whole, d["columns"]) as j:
                move(given, j)
    return Source(w.text, symbol)


@frozen
class _Matrix:
    """A widened input: where its rows came from, and the strides of the copy."""

    step: Step
    bytes: int
    strides: tuple[int, int, int]


def _widened(
    dtype: str,
    lanes: int,
    source: Word,
    target: Word,
    sizes: tuple[int, int, int],
    strides: tuple[int, int, int],
    split: Callable[[int, int, int], int],
) -> _Matrix:
    """Plan the dense copy of matrices, contiguous where the source is."""
    batch, rows, columns = sizes
    turned = strides[1] == 1 and strides[2] != 1
    if turned:
        rows, columns = columns, rows
    count = batch if strides[0] else 1
    by_row, by_column = (strides[2], strides[1]) if turned else strides[1:]
    words: tuple[Word, ...] = (
        *(source, target, rows, columns),
        *(strides[0], by_row, by_column, rows * columns, columns),
    )
    units = count * rows
    kernel_source = convert_source(dtype, "widen", lanes, by_column == 1)
    chunk = split(units, units * columns * 2, 1)
    step = Step(kernel_source, words, 0, units, chunk)
    by_batch = rows * columns if strides[0] else 0
    made = (by_batch, 1, columns) if turned else (by_batch, columns, 1)
    return _Matrix(step, max(units * columns * 4, 8), made)


def plan_narrow(
    dtype: str,
    sizes: tuple[int, int, int, int],
    strides: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int]],
    features: Features,
    multiply: Callable[..., Plan],
    split: Callable[[int, int, int], int],
) -> Plan:
    """Plan the product of narrow matrices with the float32 planner `multiply`.

    Raises:
        TypeError: the processor cannot convert float16.
    """
    if dtype == "float16" and not ({"f16c", "neon"} & features.flags):
        raise TypeError(
            "plan_matmul: float16 needs a processor with conversions (f16c, neon), "
            f"got {features.name}; use bfloat16 or float32"
        )
    batch, m, n, k = sizes
    a_strides, b_strides, c_strides = strides
    lanes = features.vector_bits // 32
    a_place, b_place, c_place = (Scratch(i) for i in range(3))
    a_sizes, b_sizes = (batch, m, k), (batch, k, n)
    a = _widened(dtype, lanes, In(0), a_place, a_sizes, a_strides, split)
    b = _widened(dtype, lanes, In(1), b_place, b_sizes, b_strides, split)
    inner = multiply("float32", *sizes, a.strides, b.strides, (m * n, n))
    moved: dict[Word, Word] = {In(0): a_place, In(1): b_place, Out(0): c_place}

    def placed(word: Word) -> Word:
        if isinstance(word, Scratch):
            return Scratch(word.index + 3, word.offset)
        return moved.get(word, word)

    steps = [
        evolve(step, words=tuple(placed(word) for word in step.words))
        for step in inner.steps
    ]
    words: tuple[Word, ...] = (
        *(c_place, Out(0), m, n),
        *(m * n, n, 1, *c_strides),
    )
    source = convert_source(dtype, "narrow", lanes, True)
    chunk = split(batch * m, batch * m * n * 2, 1)
    if inner.by_rows:
        chunk = inner.steps[-1].chunk
    last = Step(source, words, 0, batch * m, chunk)
    scratch = (a.bytes, b.bytes, batch * m * n * 4, *inner.scratch)
    return Plan((a.step, b.step, *steps, last), scratch, by_rows=True)
