"""Block lanes: serial loops outside, blocks of lanes inside, carries in scratch.

A column reduction and a lane scan are the same nest: a parallel loop over contiguous
lanes with serial loops inside it. The lanes are cut into blocks of 256 to 4,096; every
serial loop moves out of the lanes, and what a lane carries from one lane loop to the
next (accumulators above all) becomes a scratch array of the block: scalar expansion.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, evolve, field

from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.anatomy import (
    Band,
    Body,
    all_loops,
    band,
    block_loops,
    definitions,
    is_plain,
    iterations,
    reads,
    stores,
)
from rxcore.compiler.nest_passes.columns import walks_columns
from rxcore.compiler.nest_passes.names import (
    Fresh,
    define_index,
    rename,
)
from rxcore.loops.nest import (
    Accumulate,
    Accumulator,
    Block,
    If,
    Index,
    Let,
    Load,
    Loop,
    Nest,
    Operand,
    Scratch,
    Statement,
    Store,
    substitute,
    walk,
)

__all__ = ["block_lanes"]

_LARGEST, _SMALLEST = 4096, 256
# Sizes differ by this factor: each one is a text of its own.
_STEP = 2
# What the scratch arrays of a block may take of the first cache.
_CARRIED_BYTES = 1 << 15
# As many blocks as keep each core busy, if the lanes are that many.
_PIECES, _PIECES_PER_UNIT = 8, 4


def block_lanes(nest: Nest, capabilities: Capabilities) -> tuple[Nest, ...]:
    """Cut the last parallel loop into blocks, and move it inside the serial loops."""
    parts = band(nest)
    if not parts.loops or not walks_columns(nest, parts) or not _can_expand(parts):
        return (nest,)
    lanes = parts.loops[-1]
    assert isinstance(lanes.extent, int)
    fresh = Fresh(nest)
    expansion = _Expansion(
        fresh, lanes.index, fresh(f"{lanes.index}_block"), lanes.extent
    )
    expansion.survey(parts.body)
    size = _block_size(expansion.scratch, lanes.extent, parts.loops, capabilities)
    expansion.set_size(size)
    body = expansion.expand(parts.body)
    blocks = Loop(expansion.group, -(-lanes.extent // size), "parallel", ())
    new = evolve(parts, loops=(*parts.loops[:-1], blocks), body=body).rebuild(nest)
    return (evolve(new, scratch=(*nest.scratch, *expansion.scratch)),)


def _block_size(
    scratch: list[Scratch],
    lanes: int,
    loops: tuple[Loop, ...],
    capabilities: Capabilities,
) -> int:
    """Choose how many lanes a block has: a power of two, for few distinct texts."""
    carried = sum(s.dtype.itemsize for s in scratch)
    outer = iterations(loops[:-1])
    pieces = max(_PIECES, _PIECES_PER_UNIT * capabilities.units)
    size = _LARGEST
    while size > _SMALLEST and (
        size * carried > _CARRIED_BYTES or -(-lanes // size) * outer < pieces
    ):
        size //= _STEP
    return size


def _can_expand(parts: Band) -> bool:
    lanes = parts.loops[-1].index
    if not isinstance(parts.loops[-1].extent, int) or lanes in block_loops(parts.body):
        return False
    for s in walk(parts.body):
        if isinstance(s, If) and any(all_loops(s.body)):
            return False
        if isinstance(s, Loop) and not _reads_first(s):
            return False
    return True


def _reads_first(loop: Loop) -> bool:
    """Check that accumulators are read no later than in the run that joins to them.

    A later run would need the value from the start of the iteration.
    """
    for a in loop.accumulators:
        joined = False
        for segment in _segments(loop.body):
            if joined and a.name in reads(segment):
                return False
            nested = isinstance(segment[0], Loop)
            joins = _joins(segment, a.name)
            if joins and nested and a.name in reads(segment):
                return False
            joined = joined or joins
    return True


def _joins(body: Body, name: str) -> bool:
    return any(isinstance(s, Accumulate) and s.name == name for s in walk(body))


def _segments(body: Body) -> list[Body]:
    """Part a body into loops and the runs of statements between them."""
    found: list[list[Statement]] = []
    for s in body:
        if isinstance(s, Loop) or not found or isinstance(found[-1][0], Loop):
            found.append([])
        found[-1].append(s)
    return [tuple(run) for run in found]


@define
class _Expansion:
    """The state of moving one lane loop inside.

    Args:
        fresh: makes names.
        lanes: index of the loop over lanes.
        group: index of the loop over blocks.
        total: how many lanes there are.
        size: lanes in a block, once that is chosen.
    """

    fresh: Fresh
    lanes: str
    group: str
    total: int
    size: int = 1
    scratch: list[Scratch] = field(factory=list)
    varies: set[str] = field(factory=set)
    stored: set[str] = field(factory=set)
    kept: dict[str, Scratch] = field(factory=dict)
    again: dict[str, Load] = field(factory=dict)
    combines: dict[str, str] = field(factory=dict)

    def survey(self, body: Body) -> None:
        """Find what depends on the lane, and where what crosses loops is kept."""
        self.stored = {s.buffer for s in stores(body)}
        self.varies = {self.lanes}
        before = 0
        while len(self.varies) > before:
            before = len(self.varies)
            self._spread(body, under=False)
        self._cross(body)

    def _spread(self, body: Body, *, under: bool) -> None:
        for s in body:
            depends = under or not self.varies.isdisjoint(_own_reads(s))
            match s:
                case Load() if depends or s.buffer in self.stored:
                    self.varies.add(s.name)
                case Let() if depends:
                    self.varies.add(s.name)
                case Accumulate() if depends:
                    self.varies.add(s.name)
                case If():
                    self._spread(s.body, under=True)
                case Loop():
                    for a in s.accumulators:
                        if a.initial in self.varies:
                            self.varies.add(a.name)
                    self._spread(s.body, under=under)

    def _cross(self, body: Body) -> None:
        """Give a place to the values that one run defines and another reads."""
        segments = _segments(body)
        for at, segment in enumerate(segments):
            rest = tuple(s for other in segments[at + 1 :] for s in other)
            if isinstance(segment[0], Loop):
                loop = segment[0]
                for a in loop.accumulators:
                    if a.name in self.varies:
                        self._keep(a.name, a)
                        self.combines[a.name] = a.combine
                self._cross(loop.body)
                continue
            used = reads(rest)
            for s in segment:
                if is_plain(s) and s.name in self.varies and s.name in used:
                    self._keep(s.name, s)

    def _keep(self, name: str, s: Accumulator | Let | Load) -> None:
        if isinstance(s, Load) and s.buffer not in self.stored:
            gathered = self.varies - {self.lanes}
            if gathered.isdisjoint(s.index.names()):
                self.again[name] = s
                return
        made = Scratch(self.fresh(f"{name}_lanes"), s.dtype, self.size)
        self.kept[name] = made
        self.scratch.append(made)

    def set_size(self, size: int) -> None:
        """Choose how many lanes a block has."""
        self.size = size
        self.scratch = [evolve(s, size=size) for s in self.scratch]

    def expand(self, body: Body) -> Body:
        """Turn statements of one lane into statements of a block of lanes."""
        out: list[Statement] = []
        run: list[Statement] = []

        def flush() -> None:
            if run:
                out.append(self._items(tuple(run)))
                run.clear()

        for s in body:
            if isinstance(s, Loop):
                for a in s.accumulators:
                    if a.name in self.varies:
                        place = self.kept[a.name].name
                        run.append(Store(place, Index.of(_ITEM), a.initial))
                flush()
                out.append(self._serial(s))
            elif self._uniform(s):
                out.append(s)
            else:
                run.append(s)
        flush()
        return tuple(out)

    def _uniform(self, s: Statement) -> bool:
        return isinstance(s, (Let, Load, Accumulate)) and s.name not in self.varies

    def _serial(self, s: Loop) -> Loop:
        left = tuple(a for a in s.accumulators if a.name not in self.varies)
        body = self.expand(s.body)
        return evolve(s, kind="serial", accumulators=left, body=body)

    def _items(self, run: Body) -> Loop:
        """Make the item loop of one run."""
        item = self.fresh("item")
        run = tuple(x for s in run for x in self._stored(s))
        loads, changes = self._reloads(run)
        run = (*loads, *rename(run, changes))
        run = substitute(run, {_ITEM: Index.of(item)})
        lane = Index.of(self.group, self.size) + Index.of(item)
        lets, run = define_index(run, self.lanes, lane, self.fresh)
        extent = Block(self.group, self.size, self.total)
        return Loop(item, extent, "item", (*lets, *run))

    def _reloads(self, run: Body) -> tuple[Body, Mapping[str, Operand]]:
        """Load what other runs have left for this one."""
        foreign = reads(run) - definitions(run)
        loads: list[Statement] = []
        changes: dict[str, Operand] = {}
        for name in sorted(foreign & (self.kept.keys() | self.again.keys())):
            new = self.fresh(name)
            changes[name] = new
            if name in self.again:
                loads.append(evolve(self.again[name], name=new))
            else:
                place = self.kept[name]
                loads.append(Load(new, place.dtype, place.name, Index.of(_ITEM)))
        return tuple(loads), changes

    def _stored(self, s: Statement) -> Body:
        """Say a statement so that what crosses runs goes to scratch."""
        if isinstance(s, If):
            body = tuple(x for inner in s.body for x in self._stored(inner))
            return (evolve(s, body=body),)
        if isinstance(s, (Let, Load)) and s.name in self.kept:
            place = Store(self.kept[s.name].name, Index.of(_ITEM), s.name)
            return (s, place)
        if not isinstance(s, Accumulate):
            return (s,)
        place_of = self.kept[s.name]
        at = Index.of(_ITEM)
        combine = self.combines[s.name]
        if combine == "replace":
            return (Store(place_of.name, at, s.operand),)
        old, new = self.fresh(f"{s.name}_old"), self.fresh(f"{s.name}_new")
        return (
            Load(old, place_of.dtype, place_of.name, at),
            Let(new, place_of.dtype, combine, (old, s.operand)),
            Store(place_of.name, at, new),
        )


# Stands for the index of the item loop until that loop is made.
_ITEM = "@item"


def _own_reads(s: Statement) -> set[str]:
    if isinstance(s, (Loop, If)):
        return set()
    return reads((s,))
