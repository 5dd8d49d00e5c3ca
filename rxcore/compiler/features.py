"""Features of a scheduled Nest: one walk that counts what it does (see `form`)."""

from __future__ import annotations

import math
from typing import Literal

from attrs import evolve, field, frozen

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.compiler.form import COUNTS, WAVE, Features, Form, handmade, interned
from rxcore.compiler.operations import WHOLE, carried, joining, latency, operation
from rxcore.compiler.operations import width as width_of
from rxcore.compiler.polynomial import Polynomial
from rxcore.loops.nest import (
    Accumulate,
    Accumulator,
    Block,
    Constant,
    If,
    Index,
    Let,
    Load,
    Loop,
    Nest,
    Operand,
    Size,
    Statement,
    Store,
    walk,
)

__all__ = ["COUNTS", "Features", "Form", "features", "handmade"]

Body = tuple[Statement, ...]

_LINE = 64
# About how many work-items a GPU runs at the same time.
_AT_ONCE = 1 << 16
# Float32 lanes of a vector.
_LANES = 16
# So many operations wait for their operands at the same time.
_WINDOW = 256.0
# Stands for every stride that is not 0, 1 or -1.
_JUMP = 2


def features(nest: Nest) -> Features:
    """Count a scheduled Nest.

    Args:
        nest: what `schedule` made, for a CPU or (`group` is set) for a GPU.

    Example:
        >>> from rxcore.loops.nest import Buffer
        >>> x, y = Buffer("x", dtypes.float32, 8), Buffer("y", dtypes.float32, 8, "out")
        >>> at = Index.of("i")
        >>> body = (
        ...     Load("v", dtypes.float32, "x", at),
        ...     Let("w", dtypes.float32, "mul", ("v", "v")),
        ...     Store("y", at, "w"),
        ... )
        >>> found = features(Nest("square", (x, y), (Loop("i", 8, "lane", body),)))
        >>> found.form.shape, found.counts()["simple"], found.read, found.written
        ('elementwise', 8.0, 32, 32)
    """
    return _Counter(nest).result()


@frozen
class _Access:
    """A Load or Store of a buffer: how often it runs, how many bytes it meets."""

    statement: Load | Store
    runs: float
    places: float


@frozen
class _Motion:
    """How a value moves when loops do.

    Args:
        slopes: by how much with each loop; 0: by parts of a step.
        random: the loops with which it moves in no simple way.
    """

    slopes: dict[str, int]
    random: frozenset[str]


@frozen
class _Around:
    """What stands around a statement.

    Args:
        loops: indices of the loops that it is in, outermost first.
        times: how often it runs.
        begun: how often the innermost of the loops begins.
        chain: on a GPU, the iterations of the loops inside the grid.
        along: the loop that vectors or work-items run along, if it is in one.
        vector: whether it becomes vector instructions.
        width: bytes of the widest value beside it, in units of 4.
        rest: iterations that do not fill a vector, over all runs of the loop.
        tally: what one run of the body does.
    """

    loops: tuple[str, ...]
    times: Polynomial
    begun: Polynomial
    chain: Polynomial
    along: str = ""
    vector: bool = False
    width: float = 1.0
    rest: float = 0.0
    tally: dict[str, float] = field(factory=dict)

    def count(self, name: str, number: float) -> None:
        """Count something that each run does."""
        self.tally[name] = self.tally.get(name, 0.0) + number


class _Counter:
    """The state of counting one Nest."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.gpu = nest.group > 0
        self.buffers = {b.name: b for b in nest.buffers}
        self.kinds: dict[str, DType] = {s.name: s.dtype for s in nest.scratch}
        self.kinds |= {b.name: b.dtype for b in nest.buffers}
        self.variables: dict[int, int] = {}
        self.runs: dict[str, float] = {}
        self.inverse: dict[str, Polynomial] = {}
        self.moves: dict[str, _Motion] = {}
        self.lets: dict[str, Let | Load] = {}
        self.combines: dict[str, Accumulator] = {}
        self.counts: dict[str, Polynomial] = {}
        self.accesses: list[_Access] = []
        self.vectorizes = True
        self.left = 0.0
        self.crossed = self.blocked = self.along_lanes = self.inner = False
        self.grid = grid_of(nest)

    def result(self) -> Features:
        """Count, and return the counts."""
        top = _Around((), _ONE, _ONE, _ONE)
        self.body(self.nest.body, top)
        self.close(top)
        if self.gpu and self.inner:
            # Loops inside work-items keep them from being made vectors of.
            self.vectorizes = False
        elif self.gpu and self.vectorizes:
            self.counts["chain"] = self.counts.get("chain", _NONE) * (1.0 / _LANES)
        elif self.gpu:
            for name in ("simple", "muladd", "divide", "double"):
                self.add("scalar", self.counts.get(name, _NONE))
        counts = tuple((n, self.counts[n]) for n in COUNTS if self.counts.get(n))
        target: Literal["cpu", "gpu"] = "gpu" if self.gpu else "cpu"
        number = len(self.variables)
        form = interned(Form(target, self.shape(), counts, number, self.vectorizes))
        read, written, again = self.memory()
        near = self.near(read + written) if again else 0
        extents = tuple(self.variables)
        items, left = self.items(), int(self.left)
        return Features(form, extents, read, written, again, near, items, left)

    def add(self, name: str, count: Polynomial) -> None:
        """Count something."""
        self.counts[name] = self.counts.get(name, Polynomial()) + count

    # Statements ----------------------------------------------------------------------

    def body(self, body: Body, around: _Around) -> None:
        """Count the statements of a body."""
        for s in body:
            match s:
                case Let():
                    self.let(s, around)
                case Load():
                    self.access(s, around)
                    self.kinds[s.name] = s.dtype
                    self.lets[s.name] = s
                case Store():
                    self.access(s, around)
                case Accumulate():
                    self.operations("simple", joining(self.combines[s.name]), around)
                case If():
                    self.body(s.body, around)
                case Loop():
                    self.loop(s, around)

    def close(self, around: _Around) -> None:
        """Count what a body's runs did in all."""
        for name, number in around.tally.items():
            if name == "left":
                self.left += number * around.rest
            else:
                self.add(name, around.times * number)

    def let(self, s: Let, around: _Around) -> None:
        """Count an operation."""
        first = s.operands[1] if s.op == "select" else s.operands[0]
        name, count = operation(s, self.kind(first))
        self.operations(name, count, around, s.op)
        self.kinds[s.name] = s.dtype
        self.lets[s.name] = s

    def kind(self, operand: Operand) -> DType:
        """Return an operand's dtype."""
        match operand:
            case str():
                return self.kinds[operand]
            case Size():
                return dtypes.int64
        return operand.dtype

    def operations(
        self, name: str, count: float, around: _Around, op: str = ""
    ) -> None:
        """Count operations of a class."""
        if not count:
            return
        if self.gpu or name == "integer_divide":
            around.count(name, count)
            self.vectorizes &= op != "sqrt" or not self.gpu
        elif around.vector:
            around.count(name, count * (1.0 if name == "double" else around.width))
            around.count("left", count)
        else:
            around.count("scalar", count)

    def access(self, s: Load | Store, around: _Around) -> None:
        """Count a Load or Store."""
        nbytes = self.kinds[s.buffer].itemsize
        step = self.step(s.index, around.along)
        jumps = step == _JUMP
        if jumps and any(self.step(s.index, x) == 1 for x in around.loops):
            self.crossed = True
        if s.buffer in self.buffers:
            self.along_lanes = self.along_lanes or step == 1
            self.accesses.append(self.meet(s, around, nbytes))
        elif not jumps:
            around.count("scratch", nbytes)
            return
        if jumps or step is None:
            around.count("strided" if jumps else "gather", nbytes)
        elif not (self.gpu or around.vector):
            around.count("scalar", 1.0)
        else:
            around.count("contiguous" if step else "broadcast", nbytes)

    def meet(self, s: Load | Store, around: _Around, nbytes: int) -> _Access:
        """Return how often an access runs, and how many bytes it meets."""
        runs = math.prod(self.runs[x] for x in around.loops)
        moving = self.loops_of(s.index)
        places = math.prod(self.runs[x] for x in around.loops if x in moving) * nbytes
        steps = [abs(c) for _, c in s.index.terms]
        if all(self.step(s.index, x) != 1 for x in around.loops) and steps:
            # No loop walks it in order: a whole cache line moves for each element.
            places *= min(max(min(steps), 1), _LINE // nbytes)
        return _Access(s, runs * nbytes, min(places, self.whole(s.buffer)))

    def whole(self, buffer: str) -> int:
        """Return the bytes of a buffer."""
        b = self.buffers[buffer]
        return b.size * b.dtype.itemsize

    # How indices move ----------------------------------------------------------------

    def step(self, index: Index, loop: str) -> int | None:
        """Return by what an index moves with a loop: 0, 1, `_JUMP`; None: anyhow."""
        total = 0
        for name, c in index.terms:
            motion = self.motion(name)
            if loop in motion.random:
                return None
            total += c * motion.slopes.get(loop, 0)
        return min(abs(total), _JUMP)

    def loops_of(self, index: Index) -> frozenset[str]:
        """Return the loops that an index moves with."""
        found: frozenset[str] = frozenset()
        for name, _ in index.terms:
            motion = self.motion(name)
            found |= motion.random | motion.slopes.keys()
        return found

    def motion(self, name: str) -> _Motion:
        """Return how a name of an index moves with the loops around it."""
        found = self.moves.get(name)
        if found is None:
            found = self.moves[name] = self._motion(self.lets.get(name))
        return found

    def _motion(self, s: Let | Load | None) -> _Motion:
        match s:
            case None:
                return _Motion({}, frozenset())
            case Load():
                return _Motion({}, self.loops_of(s.index))
        parts = [self.motion(o) for o in s.operands if isinstance(o, str)]
        random = frozenset().union(*(m.random for m in parts))
        if s.op in _AFFINE and not random:
            return _Motion(_combined(s, parts), random)
        return _Motion({}, random.union(*(m.slopes.keys() for m in parts)))

    # Loops ---------------------------------------------------------------------------

    def loop(self, s: Loop, around: _Around) -> None:
        """Count a loop's body."""
        for a in s.accumulators:
            self.combines[a.name] = a
            self.kinds[a.name] = a.dtype
        count = self.extent(s)
        self.kinds[s.index] = dtypes.int64
        if s.extent == 1:
            self.body(s.body, around)
        elif s.extent != 0:
            self.moves[s.index] = _Motion({s.index: 1}, frozenset())
            inside = evolve(
                around,
                loops=(*around.loops, s.index),
                times=around.times * count,
                begun=around.times,
                tally={},
            )
            inner = any(isinstance(x, Loop) and x.extent != 1 for x in walk(s.body))
            if self.gpu:
                inside = self.gpu_loop(s, inside, count, inner)
            else:
                inside = self.cpu_loop(s, inside, inner)
            self.body(s.body, inside)
            self.close(inside)

    def extent(self, s: Loop) -> Polynomial:
        """Return how often a loop runs each time, and note it as a number."""
        extent, self.inverse[s.index] = s.extent, _ONE
        if isinstance(extent, Block):
            runs = max(self.runs[extent.loop], 1.0)
            self.runs[s.index] = extent.total / runs
            return self.variable(extent.total) * self.inverse[extent.loop]
        self.runs[s.index] = float(extent)
        if extent > 1:
            self.inverse[s.index] = self.variable(extent, -1)
        return self.variable(extent)

    def variable(self, integer: int, power: int = 1) -> Polynomial:
        """Return an extent: 0 and 1 stay in the text, others are lifted from it."""
        if integer in (0, 1):
            return _ONE * float(integer)
        number = self.variables.setdefault(integer, len(self.variables))
        return Polynomial.of(number, power)

    def cpu_loop(self, s: Loop, inside: _Around, inner: bool) -> _Around:
        """Return what stands around a loop's body on a CPU: vectors where it can."""
        if inner:
            below = [x for x in s.body if isinstance(x, Loop)]
            self.blocked |= s.kind == "serial" and any(x.kind == "item" for x in below)
            return evolve(inside, along="", vector=False)
        self.add("start", inside.begun)
        recurs = {a.name for a in s.accumulators if a.combine == "replace"}
        vector, width = self.is_vector(s), width_of(s.body)
        self.vectorizes &= vector
        if recurs:
            steps = max(latency(s.body, recurs)[0], WHOLE)
            self.add("serial", inside.times * steps)
        elif vector:
            # Iterations overlap as far as their operations fit into the window.
            self.add("chain", inside.times * (self.waits(s) * width))
            self.add("drain", inside.begun * latency(s.body, None)[0])
            # A scan by blocks of lanes: the next step waits for this one's carry.
            carry = carried(s.body, {x.name for x in self.nest.scratch})
            if carry > 1.0:
                self.add("serial", inside.begun * carry)
        elif not any(isinstance(x, If) for x in s.body):
            # One value at a time waits as long as a whole vector.
            self.add("chain", inside.times * (self.waits(s) * _LANES))
        rest = self.rest(s, inside.loops[:-1], width) if vector else 0.0
        return evolve(inside, along=s.index, width=width, vector=vector, rest=rest)

    def rest(self, s: Loop, around: tuple[str, ...], width: float) -> float:
        """Return the iterations that are left over, over all runs of a loop.

        Most of them run by fours, the last ones alone.
        """
        starts = math.prod(self.runs[x] for x in around)
        count = s.extent
        if isinstance(count, Block):
            # Only the last block is not full.
            starts /= max(self.runs[count.loop], 1.0)
            count = count.total % count.size
        left = count % max(int(_LANES / width), 1)
        return starts * (left // 4 + left % 4)

    def gpu_loop(
        self, s: Loop, inside: _Around, count: Polynomial, inner: bool
    ) -> _Around:
        """Return what stands around a loop's body on a GPU."""
        if not inner:
            # In a row one value after another joins an accumulator, and waits for it.
            joins = 0.0
            if s.kind == "item":
                joins = max((joining(a) for a in s.accumulators), default=0.0)
            self.add("chain", inside.times * max(self.waits(s), joins))
        if s in self.grid:
            return evolve(inside, along=s.index if s.kind == "lane" else "")
        self.inner = True
        if s.kind == "item":
            inside = evolve(inside, along=s.index)
            count = count * (1.0 / self.nest.group)
            self.add("start", inside.begun)
        inside = evolve(inside, chain=inside.chain * count)
        if not inner:
            self.add("serial", inside.chain)
        return inside

    def waits(self, s: Loop) -> float:
        """Return the latency of an iteration that no other one hides."""
        depth, count = latency(s.body, None)
        depth *= min(count / _WINDOW, 1.0)
        recurs = {a.name for a in s.accumulators if a.combine == "replace"}
        return max(depth, latency(s.body, recurs)[0]) if recurs else depth

    def is_vector(self, s: Loop) -> bool:
        """Say whether LLVM makes vectors of an innermost loop.

        It does, reductions and gathers included, but for recurrences, strides that it
        does not know (they are words), and quotients of integers.
        """
        for x in walk(s.body):
            match x:
                case Accumulate():
                    if self.combines.get(x.name, _OWN).combine == "replace":
                        return False
                case Let():
                    if x.op in ("quo", "rem") and not dtypes.is_float(x.dtype):
                        return False
                case Load() | Store():
                    if abs(x.index.coefficient(s.index)) > 1:
                        return False
        return s.kind != "serial" or bool(s.accumulators)

    # The whole Nest ------------------------------------------------------------------

    def shape(self) -> str:
        """Return what kind of loops these are."""
        combines = {a.combine for a in self.combines.values()}
        if "replace" in combines:
            return "scan"
        if self.crossed and not combines:
            return "transposed"
        inner = len(self.runs) > len(self.grid) and self.gpu
        lanes = bool(self.grid) and self.grid[-1].kind == "lane"
        columns = inner and lanes and self.along_lanes
        if columns or (self.blocked and self.nest.scratch):
            return "column"
        return "row" if combines else "elementwise"

    def memory(self) -> tuple[int, int, int]:
        """Return bytes read, written, and met again."""
        read: dict[str, float] = {}
        written: dict[str, float] = {}
        moved = 0.0
        for a in self.accesses:
            name = a.statement.buffer
            stores = isinstance(a.statement, Store)
            moved += a.runs
            if stores or name not in written:
                kept = written if stores else read
                kept[name] = kept.get(name, 0.0) + a.places
        totals = [
            sum(min(n, self.whole(name)) for name, n in kept.items())
            for kept in (read, written)
        ]
        again = max(moved - sum(totals), 0.0)
        return int(totals[0]), int(totals[1]), int(again)

    def near(self, touched: int) -> int:
        """Return about how many bytes lie between two accesses to a place."""
        if self.gpu:
            return int(touched * min(1.0, _AT_ONCE / self.items()))
        return int(touched / max(math.prod(self.runs[x.index] for x in self.grid), 1.0))

    def items(self) -> int:
        """Return the pieces that threads share, or the work-items of all groups."""
        total = int(math.prod(self.runs[x.index] for x in self.grid))
        group = self.nest.group
        if not self.gpu:
            chunk = self.nest.chunk
            return max(-(-total // chunk), 1) if chunk else 1
        lanes = bool(self.grid) and self.grid[-1].kind == "lane"
        groups = -(-total // group) if lanes else total
        return max(groups, 1) * max(group, WAVE)


def grid_of(nest: Nest) -> tuple[Loop, ...]:
    """Return the loops at the top that threads or work-groups share."""
    found: list[Loop] = []
    body = nest.body
    while True:
        loops = [s for s in body if isinstance(s, Loop)]
        if len(loops) != 1 or loops[0].kind not in ("lane", "group", "parallel"):
            return tuple(found)
        if found and (not nest.group or len(body) > 1):
            return tuple(found)
        found += loops
        body = loops[0].body


def _combined(s: Let, parts: list[_Motion]) -> dict[str, int]:
    """Return the slopes of a sum, product, or part of a number that moves."""
    found: dict[str, int] = {}
    for k, motion in enumerate(parts):
        sign = -1 if k and s.op == "sub" else 1
        for x, c in motion.slopes.items():
            found[x] = found.get(x, 0) + c * sign
    if s.op == "quo":
        # It rests while its remainder runs: moving, but rarely.
        return dict.fromkeys(found, 0)
    if s.op == "mul":
        fixed = [o.value for o in s.operands if isinstance(o, (Constant, Size))]
        return {x: c * int(fixed[0] if fixed else _JUMP) for x, c in found.items()}
    return found


_NONE, _ONE = Polynomial(), Polynomial.number(1.0)
_AFFINE = frozenset(("add", "sub", "mul", "cast", "rem", "quo"))
_OWN = Accumulator("", dtypes.float32, "add", Constant(0, dtypes.float32))
