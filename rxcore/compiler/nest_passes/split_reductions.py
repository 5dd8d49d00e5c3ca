"""Split reductions: long sums with few results become sums of fixed-size chunks.

Each stage of such a nest becomes a nest of partial results in a new buffer and a
small one that combines them. Chunks have a fixed size, so results do not depend on
the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, evolve, field

from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.anatomy import (
    Band,
    Body,
    accesses,
    all_loops,
    band,
    identity,
    is_plain,
    iterations,
    live,
    reads,
    stores,
    trim_buffers,
)
from rxcore.compiler.nest_passes.columns import walks_columns
from rxcore.compiler.nest_passes.names import (
    Fresh,
    define_index,
)
from rxcore.loops.nest import (
    Accumulate,
    Accumulator,
    Block,
    Buffer,
    Constant,
    If,
    Index,
    Load,
    Loop,
    Nest,
    Statement,
    Store,
    walk,
)

__all__ = ["split_reductions"]

# Elements that one chunk reduces: of one row, and of many columns.
_CHUNK, _COLUMNS_CHUNK = 1 << 14, 1 << 18
# Split where at least this much is reduced (of rows, of columns) in fewer independent
# pieces than this.
_MUCH, _COLUMNS_MUCH, _FEW = 1 << 17, 1 << 20, 16
# Lanes that one piece of a column reduction has: whole rows of this many stream from
# memory at twice the rate of short pieces of them (4096 x 4096: 1.4 against 3.7 ms).
_LANES = 4096
# A GPU needs a few groups on each of its units; it has more of them for less work.
_GROUPS, _GROUPS_PER_UNIT, _GPU_MUCH = 128, 4, 1 << 15


def split_reductions(nest: Nest, capabilities: Capabilities) -> tuple[Nest, ...]:
    """Split the reductions of a nest that would leave threads or groups without work.

    How they are split depends on sizes and on the kind of device, so that results are
    the same on any number of threads.
    """
    parts = band(nest)
    gpu = capabilities.kind == "gpu"
    stages = [s for s in parts.body if isinstance(s, Loop)]
    kept = iterations(parts.loops)
    much = max((kept * iterations(_chain(s)) for s in stages), default=0)
    if much < (min(_GPU_MUCH, _MUCH) if gpu else _MUCH) or not _can_split(
        parts, stages
    ):
        return (nest,)
    columns = bool(parts.loops) and walks_columns(nest, parts)
    pieces, chunk = kept, _CHUNK
    if columns:
        lanes = capabilities.group if gpu else _LANES
        pieces = iterations(parts.loops[:-1])
        pieces *= -(-iterations(parts.loops[-1:]) // lanes)
        chunk = _square_root(much // kept) if gpu else _COLUMNS_CHUNK // kept
    splitter = _Splitter(nest, parts, chunk)
    longest = max(splitter.chunks(s) for s in stages if s.accumulators)
    few = max(_GROUPS, _GROUPS_PER_UNIT * capabilities.units) if gpu else _FEW
    little = columns and not gpu and much < _COLUMNS_MUCH
    if pieces >= few or longest < 2 or little:
        return (nest,)
    return splitter.run()


def _square_root(length: int) -> int:
    """Return about the root of a length: as many chunks as rows in a chunk."""
    return 1 << (length.bit_length() // 2)


def _chain(loop: Loop) -> tuple[Loop, ...]:
    """Return the perfectly nested loops that begin with a loop."""
    found = [loop]
    while len(found[-1].body) == 1 and isinstance(found[-1].body[0], Loop):
        found.append(found[-1].body[0])
    return tuple(found)


def _can_split(parts: Band, stages: list[Loop]) -> bool:
    """Check that the stages can be parted, and their loops cut."""
    fixed = all(isinstance(x.extent, int) for x in all_loops(parts.body))
    conditional = any(isinstance(s, If) for s in parts.body)
    if not fixed or conditional or not any(s.accumulators for s in stages):
        return False
    # What is loaded at the level of rows is loaded again in each part, and what is
    # stored there is stored late.
    stored = {s.buffer for s in stores(parts.body)}
    level = {s.buffer for s in parts.body if isinstance(s, Store)}
    for s in accesses((*parts.prefix, *parts.body)):
        if isinstance(s, Load) and s.buffer in level:
            return False
    loaded = [s for s in (*parts.prefix, *parts.body) if isinstance(s, Load)]
    if any(s.buffer in stored for s in loaded):
        return False
    return all(map(_can_cut, stages))


def _can_cut(stage: Loop) -> bool:
    """Check that a stage only reduces, and no iteration needs another one's work."""
    own = {a.name: a.combine for a in stage.accumulators}
    inner = [a for x in all_loops(stage.body) for a in x.accumulators]
    if stage.kind == "parallel":
        return not own and not inner
    if not own or inner or "replace" in own.values() or own.keys() & reads(stage.body):
        return False
    stored = {s.buffer: s.index for s in stores(stage.body)}
    indices = {x.index for x in all_loops((stage,))}
    local = {x.name for x in walk(stage.body) if is_plain(x)}
    for s in accesses(stage.body):
        if s.buffer in stored:
            names = set(s.index.names())
            if s.index != stored[s.buffer] or not indices <= names or names & local:
                return False
    return True


@define
class _Splitter:
    """The state of parting one nest.

    Args:
        nest: the nest.
        parts: its shape.
        chunk: how many iterations of a stage a chunk has.
    """

    nest: Nest
    parts: Band
    chunk: int
    fresh: Fresh = field(init=False)
    level: list[Statement] = field(factory=list)
    pending: list[Statement] = field(factory=list)
    buffers: list[Buffer] = field(factory=list)
    made: list[Nest] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.fresh = Fresh(self.nest)
        self.buffers = list(self.nest.buffers)

    @property
    def kept(self) -> int:
        """How many rows there are."""
        return iterations(self.parts.loops)

    def row(self) -> Index:
        """Return the row's number as an affine form of the outer loops."""
        total, size = Index(), 1
        for loop in reversed(self.parts.loops):
            total = total + Index.of(loop.index, size)
            size *= iterations((loop,))
        return total

    def run(self) -> tuple[Nest, ...]:
        body = self.parts.body
        for at, s in enumerate(body):
            match s:
                case Loop() if s.accumulators:
                    self.split(s, body[at + 1 :])
                    if not any(isinstance(x, Loop) for x in body[at + 1 :]):
                        break
                case Loop():
                    self.emit(self.parts.loops, (*self.level, s))
                case Store():
                    self.pending.append(s)
                case _:
                    self.level.append(s)
        if self.pending:
            self.emit(self.parts.loops, (*self.level, *self.pending))
        return tuple(self.made)

    def emit(self, loops: tuple[Loop, ...], body: Body) -> None:
        """Add a nest; Lets and Loads that it does not need are dropped."""
        body = live(body)
        needed = reads(body)
        prefix = live((*self.parts.prefix, *_keep_alive(needed)))
        prefix = tuple(s for s in prefix if is_plain(s))
        whole = Band(prefix, loops, body).rebuild(self.nest)
        name = f"{self.nest.name}_{len(self.made)}"
        whole = evolve(whole, name=name, buffers=tuple(self.buffers))
        self.made.append(trim_buffers(whole))

    def temporary(self, name: str, a: Accumulator, count: int) -> str:
        made = self.fresh(f"{name}_{a.name}")
        self.buffers.append(Buffer(made, a.dtype, count, "inout"))
        return made

    def cut(self, stage: Loop) -> tuple[Loop, int]:
        """Return the loop to cut, the longest, and how long a chunk of it is."""
        chain = _chain(stage)
        longest = max(chain, key=lambda x: iterations((x,)))
        others = iterations(x for x in chain if x is not longest)
        return longest, 1 << (max(self.chunk // others, 1).bit_length() - 1)

    def chunks(self, stage: Loop) -> int:
        """Return how many chunks a stage has."""
        loop, size = self.cut(stage)
        return -(-iterations((loop,)) // size)

    def split(self, stage: Loop, rest: Body) -> None:
        """Add the nest of partial results and the nest that combines them."""
        count = self.chunks(stage)
        chunk, part = self.fresh("chunk"), self.fresh("part")
        accumulators = stage.accumulators
        homes = {
            a.name: self.temporary("partial", a, count * self.kept)
            for a in accumulators
        }
        place = Index.of(chunk, self.kept) + self.row()
        keep = [Store(homes[a.name], place, a.name) for a in accumulators]
        loops = (Loop(chunk, count, "parallel", ()), *self.parts.loops)
        self.emit(loops, (*self.level, self.chunked(stage, chunk), *keep))
        self.combine(accumulators, homes, part, count, rest)

    def chunked(self, stage: Loop, chunk: str) -> Loop:
        """Return a stage over one chunk, from the identities of its combines."""
        loop, size = self.cut(stage)
        index = self.fresh("step")
        lets, body = define_index(
            loop.body,
            loop.index,
            Index.of(chunk, size) + Index.of(index),
            self.fresh,
        )
        extent = Block(chunk, size, iterations((loop,)))
        new = evolve(loop, index=index, extent=extent, body=(*lets, *body))
        result = _replaced(stage, loop, new)
        starts = tuple(evolve(a, initial=_start(a)) for a in stage.accumulators)
        return evolve(result, accumulators=starts)

    def combine(
        self,
        accumulators: tuple[Accumulator, ...],
        homes: dict[str, str],
        part: str,
        count: int,
        rest: Body,
    ) -> None:
        place = Index.of(part, self.kept) + self.row()
        body: list[Statement] = []
        for a in accumulators:
            name = self.fresh(f"{a.name}_part")
            body += [
                Load(name, a.dtype, homes[a.name], place),
                Accumulate(a.name, name),
            ]
        loop = Loop(part, count, "serial", tuple(body), accumulators)
        if not any(isinstance(s, Loop) for s in rest):
            self.emit(self.parts.loops, (*self.level, loop, *self.pending, *rest))
            self.pending = []
            return
        finals: list[Statement] = []
        loads: list[Statement] = []
        for a in accumulators:
            home = self.temporary("total", a, self.kept)
            finals.append(Store(home, self.row(), a.name))
            loads.append(Load(a.name, a.dtype, home, self.row()))
        self.emit(self.parts.loops, (*self.level, loop, *finals))
        self.level += loads


def _keep_alive(names: set[str]) -> Iterator[Statement]:
    """Stand in for a body that reads some names."""
    return (Accumulate("", name) for name in sorted(names))


def _start(a: Accumulator) -> Constant:
    neutral = identity(a.combine, a.dtype)
    given = a.initial
    same = isinstance(given, Constant) and given.value == neutral.value
    return given if same and isinstance(given, Constant) else neutral


def _replaced(outer: Loop, old: Loop, new: Loop) -> Loop:
    """Put a loop in the place of one of a perfect chain."""
    if outer is old:
        return new
    inner = outer.body[0]
    assert isinstance(inner, Loop)
    return evolve(outer, body=(_replaced(inner, old, new),))
