"""Programs: the compiled form of a Graph, steps 2 to 8 of the straight line.

`compile_graph` shows the line: optimize, assemble (lower, schedule, emit), build,
and bind everything into a native program that `Program.run` launches.
"""

from __future__ import annotations

import sys
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from attrs import field, frozen

from rxcore.base import config, timeline
from rxcore.base.collector import paused
from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.pipeline import PASSES, Pass, optimize
from rxcore.ir.graph import Graph
from rxcore.ir.types import Type
from rxcore.loops.nest import Nest
from rxcore.runtime.array import Array
from rxcore.runtime.assemble import Assembler, output_places
from rxcore.runtime.places import (
    ConstantMemory,
    Fixed,
    InputSlot,
    Memory,
    OutputSlot,
    plan_arena,
)
from rxcore.runtime.tables import Assembly, Row
from rxcore_kernels import builder, engine, host, workers
from rxcore_kernels.source import Source

__all__ = ["Program", "compile_graph", "optimized_of", "program_of"]


@frozen(eq=False)
class Program:
    """A Graph compiled for the CPU, with what it took.

    Args:
        graph: what it computes.
        optimized: the Graph of groups, kernels and control ops.
        nests: the scheduled loop nests.
        sources: the text of every kernel.
        kernels: the built kernels.
        launches: kernel launches of one call, bodies of loops counted once.
        fallbacks: (op, reason) for each op that runs by its reference.
        compile_seconds: from Graph to native program.
        cache_hits: kernels that were in memory or on disk.
        compiled: kernels that had to be compiled.
        peak_bytes: intermediates and outputs of one call.
        aliases: for each output the input whose memory it is, or -1.
        works: what its steps do and how often: see `Assembly`.
        native: the native program.
    """

    graph: Graph
    optimized: Graph
    nests: tuple[Nest, ...]
    sources: tuple[Source, ...]
    kernels: tuple[builder.Kernel, ...]
    launches: int
    fallbacks: tuple[tuple[str, str], ...]
    compile_seconds: float
    cache_hits: int
    compiled: int
    peak_bytes: int
    out_types: tuple[Type, ...]
    aliases: tuple[int, ...]
    works: tuple[tuple[Any, int], ...]
    native: engine.NativeProgram = field(repr=False)

    def run(self, args: Sequence[Array]) -> list[Array]:
        """Launch the program on arrays."""
        buffers = self.native.run(*[a.ensure_buffer() for a in args])
        return [Array(t, b) for t, b in zip(self.out_types, buffers, strict=True)]


def capabilities() -> Capabilities:
    """Return what this machine's CPU can do."""
    found = host.features()
    return Capabilities(
        kind="cpu",
        vector_bytes=found.vector_bits // 8,
        cache_bytes=host.cache_sizes()[1],
        units=host.available_cpus(),
    )


@paused()
def compile_graph(graph: Graph, passes: tuple[Pass, ...] = PASSES) -> Program:
    """Compile a Graph: optimize, lower, schedule, emit, build, bind."""
    begin = time.perf_counter()
    log = config.current().log
    _say(log, "graph", graph)
    optimized = optimize(graph, passes) if passes is not PASSES else optimized_of(graph)
    _say(log, "graph", optimized)
    with timeline.span("lower", "lower, schedule, emit") as told:
        made, specs = assembled(optimized)
        told.note(nests=len(made.nests), launches=made.launches)
    _say(log, "nests", *made.nests)
    sources = sources_of(made)
    _say(log, "source", *(s.text for s in sources))
    before = builder.build_statistics().compiled
    kernels = _built(sources)
    compiled = builder.build_statistics().compiled - before
    arena = plan_arena(made.memories)
    native = bind(made, kernels, len(graph.inputs), specs, arena)
    seconds = time.perf_counter() - begin
    _say(log, "cache", f"{len(kernels)} kernels, {compiled} compiled, {seconds:.3f} s")
    return Program(
        graph=graph,
        optimized=optimized,
        nests=tuple(made.nests),
        sources=sources,
        kernels=tuple(kernels),
        launches=made.launches,
        fallbacks=tuple(made.fallbacks),
        compile_seconds=seconds,
        cache_hits=len(kernels) - compiled,
        compiled=compiled,
        peak_bytes=arena + sum(s.nbytes for s in specs if s.alias < 0),
        out_types=tuple(o.type for o in graph.outputs),
        aliases=tuple(s.alias for s in specs),
        works=tuple(made.works),
        native=native,
    )


def assembled(optimized: Graph) -> tuple[Assembly, list[engine.OutputSpec]]:
    """Return the tables of an optimized Graph, and its outputs."""
    assembler = Assembler(capabilities())
    ins = [Fixed(InputSlot(k)) for k in range(len(optimized.inputs))]
    outputs, places = output_places(optimized)
    assembler.graph(optimized, ins, places)
    return assembler.made, [engine.OutputSpec(*o) for o in outputs]


def _built(sources: Sequence[Source]) -> list[builder.Kernel]:
    """Build kernels; one by one while it is recorded how they are come by."""
    if not timeline.active:
        return builder.build(sources)

    def counts() -> tuple[int, int]:
        found = builder.build_statistics()
        return found.compiled, found.disk_hits

    return [
        timeline.come_by(s.symbol, lambda s=s: builder.build([s])[0], counts)  # type: ignore[misc]
        for s in sources
    ]


# What was optimized last: the variants of a program for several targets share it.
_MOST_OPTIMIZED = 64
_optimized: dict[Any, Graph] = {}


def optimized_of(graph: Graph) -> Graph:
    """Return a Graph after all passes, which know no target."""
    key = (graph.key, config.current().verify)
    found = _optimized.get(key)
    if found is None:
        if len(_optimized) >= _MOST_OPTIMIZED:
            _optimized.clear()
        found = _optimized[key] = optimize(graph)
    return found


def _say(log: frozenset[str], what: str, *values: Any) -> None:
    if what in log:
        for v in values:
            print(v, file=sys.stderr)


def sources_of(made: Assembly) -> tuple[Source, ...]:
    """Return the texts of the kernels that tables name."""
    found: dict[Source, None] = {}
    for table in made.tables:
        for row in table:
            if isinstance(row.kernel, Source):
                found[row.kernel] = None
    return tuple(found)


def bind(
    made: Assembly,
    kernels: Sequence[builder.Kernel],
    inputs: int,
    specs: list[engine.OutputSpec],
    arena: int,
) -> engine.NativeProgram:
    """Resolve places to addresses; make the native program.

    The kernels are those of `sources_of(made)`, the arena is planned already.
    """
    sources = sources_of(made)
    addresses = {s: k.address for s, k in zip(sources, kernels, strict=True)}
    slots = engine.Slots(inputs, len(specs))
    template: list[int] = []
    moves: list[tuple[int, int, int]] = []
    alive: list[Any] = [made.alive]
    for index, word in enumerate(made.words):
        template.append(0)
        match word:
            case int():
                # The bits of a float may fill the word: as a signed number.
                template[index] = word - (1 << 64) if word >> 63 == 1 else word
            case ("frame", _):
                moves.append((index, slots.frame, 0))
            case ("table", int(k)):
                moves.append((index, slots.table(k), 0))
            case ("rows", int(k)):
                template[index] = len(made.tables[k])
            case ("patches", int(loop)):
                flat = array("q", [x for p in made.patches[loop] for x in p] or [0])
                alive.append(flat)
                template[index] = flat.buffer_info()[0]
            case ("count", int(loop)):
                template[index] = len(made.patches[loop])
            case Fixed(base=base, offset=offset):
                match base:
                    case Memory():
                        moves.append((index, slots.arena, base.offset + offset))
                    case InputSlot():
                        moves.append((index, slots.input(base.number), offset))
                    case OutputSlot():
                        moves.append((index, slots.output(base.number), offset))
                    case ConstantMemory():
                        template[index] = base.address + offset
    tables = [[_entry(row, addresses) for row in table] for table in made.tables]
    parallel = any(row.chunk for table in made.tables for row in table)
    return engine.make_program(
        inputs,
        specs,
        template,
        moves,
        tables,
        arena_bytes=arena,
        release_gil=parallel or len(tables) > 1,
        keep_alive=alive,
    )


def _entry(row: Row, addresses: dict[Source, int]) -> engine.Entry:
    kernel = row.kernel
    address = addresses[kernel] if isinstance(kernel, Source) else kernel
    return engine.Entry(address, row.words, row.lo, row.hi, row.chunk, row.chained)


def _follow(settings: config.Settings) -> None:
    """Give the thread pool the number of threads that the settings ask for."""
    if settings.num_threads != _threads[0]:
        _threads[0] = settings.num_threads
        workers.set_count(settings.num_threads)


_threads: list[int | None] = [None]
config.observers.append(_follow)

_programs: dict[Any, Program] = {}
_lock = threading.Lock()
# Called when `rx.clear_caches` empties everything.
clearers: list[Callable[[], None]] = [_programs.clear, _optimized.clear]


def program_of(graph: Graph) -> Program:
    """Return the program of a Graph, compiled once for equal Graphs."""
    key = graph.key
    found = _programs.get(key)
    if found is None:
        with timeline.span("compile", "program", device="cpu"):
            made = compile_graph(graph)
        with _lock:
            found = _programs.setdefault(key, made)
    return found
