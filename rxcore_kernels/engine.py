"""Programs as data: step tables, and the one native call that walks them.

A step is any ``i32 step(i64* words, i64 lo, i64 hi)``; words are addresses, then
integers. A program is a template of words, places where addresses go, and tables of
steps. A call copies the template, so any number of threads may run one program.

Steps that the engine brings, by their words:

- ``COPY``: destination, source; copies the bytes lo..hi.
- ``FILL``: destination, value; sets the bytes lo..hi.
- ``LOOP``: frame, trip count, table, its rows, patches, their number.
- ``WHILE``: frame, condition table, its rows, address of an 8-bit flag (not 0: go on),
  body table, its rows, patches, their number. Patches are applied after each pass.
- ``SWITCH``: frame, address of a 32-bit index, number of branches, then a table and
  its rows for each branch; the index is clamped.

The frame is given by a relocation to the slot ``Slots.frame``, a table by one to
``Slots.table(k)``. Patches are quadruples of words (kind, index, a, b) that change the
frame between passes: ``ADD`` sets ``frame[index]`` to ``frame[a]`` at the start and
adds the literal b after each pass; ``FLIP`` starts with ``frame[a]`` and changes
between ``frame[a]`` and ``frame[b]``. Patched words keep their last value.
"""

import ctypes
import functools
import weakref
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from attrs import field, frozen

from rxcore_kernels import memory, workers
from rxcore_kernels.native import ExecutionError, keep_exception, native

__all__ = [
    "ADD",
    "COPY",
    "FILL",
    "FLIP",
    "LOOP",
    "SWITCH",
    "WHILE",
    "Entry",
    "ExecutionError",
    "NativeProgram",
    "OutputSpec",
    "Slots",
    "callback",
    "make_program",
    "run",
]

# Kinds of patches that a loop applies to its frame.
ADD = 0
FLIP = 1

# Made on first use (see ``__getattr__``).
run: Callable[..., tuple[object, ...]]
LOOP: int
WHILE: int
SWITCH: int
COPY: int
FILL: int

_STEPS = {
    "LOOP": "step.loop",
    "WHILE": "step.while",
    "SWITCH": "step.switch",
    "COPY": "step.copy",
    "FILL": "step.fill",
}
_ROW = 6
_RELEASES, _PARALLEL = 1, 2
_IN_FRONT = 4


@frozen
class Entry:
    """One row of a step table.

    Args:
        address: Address of the step.
        words: Where its words start in the frame.
        lo: Start of its range.
        hi: End of its range.
        chunk: 0 for one call over the whole range; otherwise the range is cut into
            pieces of this many (the last one shorter) that may run on any thread.
        chained: How many of the following rows run after this one on each piece,
            with the same bounds; the walk goes on behind them.
    """

    address: int
    words: int
    lo: int = 0
    hi: int = 0
    chunk: int = 0
    chained: int = 0


@frozen
class OutputSpec:
    """One output of a program.

    Args:
        nbytes: Its size.
        alias: The input whose block it is (that capsule comes back), or -1.
    """

    nbytes: int
    alias: int = -1


@frozen
class Slots:
    """Numbers of the addresses that a relocation may name.

    Args:
        inputs: Number of inputs.
        outputs: Number of outputs.
    """

    inputs: int
    outputs: int

    def input(self, k: int) -> int:
        """Address of input k."""
        return k

    def output(self, k: int) -> int:
        """Address of output k."""
        return self.inputs + k

    @property
    def arena(self) -> int:
        """Address of the block for intermediates."""
        return self.inputs + self.outputs

    @property
    def frame(self) -> int:
        """Address of this call's frame."""
        return self.arena + 1

    def table(self, k: int) -> int:
        """Address of step table k."""
        return self.arena + 2 + k


@frozen(eq=False)
class NativeProgram:
    """A program ready to run.

    Args:
        handle: Capsule to give to ``engine.run``; it keeps everything alive.
        run: ``run(*inputs) -> outputs``; ``engine.run(handle, *inputs)`` is the same,
            without the time of a bound call.
        inputs: Number of inputs.
        outputs: Its outputs.
        tables: Its step tables, to print.
    """

    handle: object = field(repr=False)
    run: Callable[..., tuple[object, ...]] = field(repr=False)
    inputs: int
    outputs: tuple[OutputSpec, ...]
    tables: tuple[tuple[Entry, ...], ...]


def make_program(
    inputs: int,
    outputs: Sequence[OutputSpec],
    template: Sequence[int],
    relocations: Sequence[tuple[int, int, int]],
    tables: Sequence[Sequence[Entry]],
    arena_bytes: int = 0,
    release_gil: bool = False,
    keep_alive: object = None,
) -> NativeProgram:
    """Make a program from its data.

    **Meaning.** A call takes the template, puts ``address(slot) + offset`` into the
    words that relocations name, allocates outputs and arena, runs the rows of table 0
    in order, and returns the outputs.

    Args:
        inputs: Number of input capsules.
        outputs: The outputs.
        template: The frame's first words; addresses of constants stand in it.
        relocations: Triples (frame index, slot, byte offset); see ``Slots``.
        tables: Step tables; 0 is the main one, the others belong to control steps.
        arena_bytes: Size of the block for intermediates.
        release_gil: Whether other Python threads may run meanwhile.
        keep_alive: Whatever must live as long as the program (constants, callbacks).

    Returns:
        The program.

    Raises:
        ValueError: An index is out of range.
    """
    slots = Slots(inputs, len(outputs))
    _check(slots, outputs, template, relocations, tables, arena_bytes, release_gil)
    rows = [array("q", _rows(table)) for table in tables]
    words = array("q", template)
    moves = array("q")
    for index, slot, offset in relocations:
        if slot >= slots.table(0):  # a table lies still: no need to do it every call
            words[index] = _address(rows[slot - slots.table(0)]) + offset
        else:
            moves.extend((index, slot, offset))
    specs = array("q")
    for output in outputs:
        specs.extend((output.nbytes, output.alias))
    parallel = any(entry.chunk > 0 for table in tables for entry in table)
    struct = array(
        "q",
        [
            inputs,
            len(outputs),
            len(words),
            _address(words),
            len(moves) // 3,
            _address(moves),
            len(tables[0]),
            _address(rows[0]),
            arena_bytes,
            (_RELEASES if release_gil else 0) | (_PARALLEL if parallel else 0),
            _address(specs),
            _IN_FRONT + len(words) + slots.frame + 1,
        ],
    )
    owner = (struct, words, moves, specs, rows, keep_alive)
    memory.prepare()
    workers.prepare()
    handle = native().handle(_address(struct), owner)
    return NativeProgram(
        handle,
        functools.partial(native().run, handle),
        inputs,
        tuple(outputs),
        tuple(tuple(table) for table in tables),
    )


def callback(
    function: Callable[[Any, int, int], object],
) -> tuple[int, object]:
    """Make a step of a Python function.

    Args:
        function: Called with (words as a ctypes pointer to int64, lo, hi). An
            exception stops the program and comes out of ``run`` as itself.

    Returns:
        The step's address, and what must be kept alive as long as it may be called.
    """

    def guarded(words: Any, lo: int, hi: int) -> int:
        try:
            function(words, lo, hi)
        except BaseException as error:
            return keep_exception(error)
        return 0

    step = _CALLBACK(guarded)
    address = ctypes.cast(step, ctypes.c_void_p).value or 0
    _callbacks[address] = step
    return address, step


# Steps that need Python's lock, while they live.
_callbacks: "weakref.WeakValueDictionary[int, Any]" = weakref.WeakValueDictionary()
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.POINTER(ctypes.c_int64), ctypes.c_int64, ctypes.c_int64
)


def _address(words: "array[int]") -> int:
    return words.buffer_info()[0]


def _rows(table: Sequence[Entry]) -> list[int]:
    flat: list[int] = []
    for e in table:
        flat += (e.address, e.words, e.lo, e.hi, e.chunk, e.chained)
    return flat


def _check(
    slots: Slots,
    outputs: Sequence[OutputSpec],
    template: Sequence[int],
    relocations: Sequence[tuple[int, int, int]],
    tables: Sequence[Sequence[Entry]],
    arena_bytes: int,
    release_gil: bool,
) -> None:
    """Refuse what would read or write outside the program's own memory."""
    if slots.inputs < 0 or arena_bytes < 0 or not tables:
        raise ValueError(
            "make_program: expected inputs >= 0, arena_bytes >= 0 and at least one "
            f"table, got {slots.inputs}, {arena_bytes} and {len(tables)} tables"
        )
    for output in outputs:
        if output.nbytes < 0 or not -1 <= output.alias < slots.inputs:
            raise ValueError(
                f"make_program: {output} names no size, or no input of {slots.inputs}"
            )
    for move in relocations:
        index, slot, _ = move
        if not (0 <= index < len(template) and 0 <= slot < slots.table(len(tables))):
            raise ValueError(
                f"make_program: relocation {move} is outside a frame of "
                f"{len(template)} words or {slots.table(len(tables))} slots"
            )
    # What walks tables writes to the frame that all pieces would share.
    control = {native().addresses[_STEPS[name]] for name in ("LOOP", "WHILE", "SWITCH")}
    for table in tables:
        for k, entry in enumerate(table):
            _check_entry(entry, len(table) - k - 1, len(template))
            group = table[k : k + entry.chained + 1]
            if entry.chunk and any(e.address in control for e in group):
                raise ValueError(
                    f"make_program: {entry} is a control step, expected chunk 0"
                )
            # A worker's callback would wait for the lock that the caller holds while
            # it waits for the worker.
            called = any(e.address in _callbacks for e in group)
            if entry.chunk and called and not release_gil:
                raise ValueError(
                    f"make_program: {entry} cuts a Python callback into pieces, "
                    "expected release_gil=True"
                )


def _check_entry(entry: Entry, behind: int, words: int) -> None:
    if entry.address == 0 or not 0 <= entry.words <= words:
        raise ValueError(
            f"make_program: {entry} has no address, or its words are outside a frame "
            f"of {words}"
        )
    if entry.chunk < 0 or not 0 <= entry.chained <= behind:
        raise ValueError(
            f"make_program: {entry} has a negative chunk, or chains more than the "
            f"{behind} rows behind it"
        )


def __getattr__(name: str) -> Any:
    """Load the engine when a part of it is first asked for."""
    if name == "run":
        value: Any = native().run
    elif name in _STEPS:
        value = native().addresses[_STEPS[name]]
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
