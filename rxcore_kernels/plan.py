"""Plans: a kernel call as data, before it is bound to memory.

A plan is a table of steps. Each step names one function ``i32 step(words, lo, hi)``,
the words that it reads (addresses as places in the inputs, outputs and scratch buffers;
integers as they are) and the range of units that may be split into pieces of `chunk`
units. Pieces of one step are independent; steps run in order.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from attrs import frozen

from rxcore_kernels import builder
from rxcore_kernels.source import Source

Array = np.ndarray[Any, np.dtype[Any]]

ALIGNMENT = 64


@frozen
class In:
    """The address of input `index`, `offset` bytes in."""

    index: int
    offset: int = 0


@frozen
class Out:
    """The address of output `index`, `offset` bytes in."""

    index: int
    offset: int = 0


@frozen
class Scratch:
    """The address of scratch buffer `index`, `offset` bytes in."""

    index: int
    offset: int = 0


Word = In | Out | Scratch | int


@frozen
class Step:
    """A native kernel over the units [lo, hi), in pieces of `chunk` (0: one piece).

    Pieces begin at lo plus a multiple of `chunk`; several pieces may run as one. Some
    kernels find their part of a scratch buffer by that. Outputs overlap no inputs.
    """

    source: Source
    words: tuple[Word, ...]
    lo: int
    hi: int
    chunk: int


@frozen
class HostStep:
    """A Python function of (address of the words, lo, hi): a host library's kernel."""

    function: Callable[[int, int, int], None]
    words: tuple[Word, ...]
    lo: int
    hi: int
    chunk: int


@frozen
class Plan:
    """Steps in order, and the bytes of each scratch buffer (64-byte aligned).

    `by_rows` says that the units of the last step are the rows of the first output, so
    that a step over those rows may follow each of its pieces.
    """

    steps: tuple[Step | HostStep, ...]
    scratch: tuple[int, ...] = ()
    by_rows: bool = False


@frozen
class BoundStep:
    """A step whose words are bound to memory: call it with (lo, hi)."""

    call: Callable[[int, int], int | None]
    lo: int
    hi: int
    chunk: int
    keep: tuple[object, ...]

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges that cover [lo, hi) in pieces of `chunk` units."""
        size = self.chunk or max(self.hi - self.lo, 1)
        for start in range(self.lo, self.hi, size):
            yield start, min(start + size, self.hi)


def aligned(count: int) -> Array:
    """Return `count` uninitialised bytes that begin on a cache line."""
    raw = np.empty(count + ALIGNMENT, np.uint8)
    skip = -raw.ctypes.data % ALIGNMENT
    return raw[skip : skip + count]


def bind_plan(
    plan: Plan, inputs: Sequence[Array], outputs: Sequence[Array]
) -> tuple[BoundStep, ...]:
    """Bind a plan to arrays, so that its steps can be called again and again.

    Args:
        plan: the steps.
        inputs: arrays that `In` words point into; only their addresses matter.
        outputs: writable arrays that `Out` words point into.

    Returns:
        The bound steps, in order. They keep the arrays and the scratch memory alive.
    """
    scratch = [aligned(size) for size in plan.scratch]
    native = [step.source for step in plan.steps if isinstance(step, Step)]
    kernels = iter(builder.build(native))
    bound = []
    for step in plan.steps:
        words = [_resolve(word, inputs, outputs, scratch) for word in step.words]
        block = (ctypes.c_int64 * max(len(words), 1))(*words)
        keep: tuple[object, ...] = (block, *inputs, *outputs, *scratch)
        call: Callable[[int, int], int | None]
        if isinstance(step, Step):
            kernel = next(kernels)
            call = _native(kernel.address, ctypes.addressof(block))
            keep = (*keep, kernel)
        else:
            call = _hosted(step.function, ctypes.addressof(block))
        bound.append(BoundStep(call, step.lo, step.hi, step.chunk, keep))
    return tuple(bound)


def _resolve(
    word: Word,
    inputs: Sequence[Array],
    outputs: Sequence[Array],
    scratch: Sequence[Array],
) -> int:
    if isinstance(word, int):
        return word
    places = {In: inputs, Out: outputs, Scratch: scratch}[type(word)]
    return int(places[word.index].ctypes.data) + word.offset


_SIGNATURE = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)


def _native(address: int, words: int) -> Callable[[int, int], int]:
    function = _SIGNATURE(address)

    def call(lo: int, hi: int) -> int:
        return int(function(words, lo, hi))

    return call


def _hosted(
    function: Callable[[int, int, int], None], words: int
) -> Callable[[int, int], None]:
    def call(lo: int, hi: int) -> None:
        function(words, lo, hi)

    return call


def run_plan(
    plan: Plan,
    inputs: Sequence[Array],
    outputs: Sequence[Array],
    *,
    backwards: bool = False,
) -> None:
    """Run a plan on the calling thread, piece by piece.

    Args:
        plan: the steps.
        inputs: arrays that `In` words point into.
        outputs: writable arrays that `Out` words point into.
        backwards: run the pieces of each step last to first.

    Raises:
        RuntimeError: a step returned a status other than 0.
    """
    for index, step in enumerate(bind_plan(plan, inputs, outputs)):
        pieces = list(step.pieces())
        for lo, hi in reversed(pieces) if backwards else pieces:
            status = step.call(lo, hi)
            if status:
                raise RuntimeError(
                    f"run_plan: step {index} returned status {status} on units "
                    f"[{lo}, {hi}), expected 0"
                )
