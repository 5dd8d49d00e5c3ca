"""Plans run by the engine, as a program runs them."""

import ctypes

import numpy as np

from rxcore_kernels import engine, memory
from rxcore_kernels.builder import build
from rxcore_kernels.engine import Entry, NativeProgram, OutputSpec, Slots
from rxcore_kernels.plan import In, Out, Plan, Step


def plan_program(plan: Plan, inputs: int, sizes: list[int]) -> NativeProgram:
    """Make a program of one plan; `sizes` are the bytes of the outputs."""
    slots = Slots(inputs, len(sizes))
    offsets = np.cumsum([0, *(-(-n // 64) * 64 for n in plan.scratch)]).tolist()
    template: list[int] = []
    moves: list[tuple[int, int, int]] = []
    rows, keep = [], []
    for step in plan.steps:
        start = len(template)
        for word in step.words:
            if isinstance(word, int):
                template.append(word)
                continue
            if isinstance(word, In):
                place = (slots.input(word.index), word.offset)
            elif isinstance(word, Out):
                place = (slots.output(word.index), word.offset)
            else:
                place = (slots.arena, offsets[word.index] + word.offset)
            moves.append((len(template), *place))
            template.append(0)
        if isinstance(step, Step):
            address = build([step.source])[0].address
        else:
            address, alive = engine.callback(
                lambda words, lo, hi, call=step.function: call(
                    ctypes.cast(words, ctypes.c_void_p).value, lo, hi
                )
            )
            keep.append(alive)
        rows.append(Entry(address, start, step.lo, step.hi, step.chunk))
    return engine.make_program(
        inputs,
        [OutputSpec(n) for n in sizes],
        template,
        moves,
        [rows],
        offsets[-1],
        release_gil=any(row.chunk for row in rows),
        keep_alive=keep,
    )


def capsule(values: np.ndarray) -> object:
    """Return a copy of an array in the engine's memory."""
    made = memory.allocate(values.nbytes)
    memory.view(made, values.dtype, values.shape, True)[...] = values
    return made


def run_program(
    plan: Plan,
    inputs: list[np.ndarray],
    outputs: list[tuple[tuple[int, ...], np.dtype]],
) -> list[np.ndarray]:
    """Run a plan once with all threads."""
    types = [(shape, np.dtype(dtype)) for shape, dtype in outputs]
    sizes = [int(np.prod(shape)) * dtype.itemsize for shape, dtype in types]
    made = plan_program(plan, len(inputs), sizes).run(*map(capsule, inputs))
    return [
        memory.view(block, dtype, shape).copy()
        for block, (shape, dtype) in zip(made, types, strict=True)
    ]
