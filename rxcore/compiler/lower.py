"""Lower: from a group of equations to a Nest of plain loops: step 3.

Loops are plain and carry true extents; `schedule` reshapes them. A group's domain is
(shape, reduced axes): parallel loops over the kept axes; inside, one set of serial
loops over the reduced axes for each stage (1 + the largest stage of the reductions it
needs); last a parallel one for what only stores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.compiler.address import Indices, flatten
from rxcore.compiler.forms import dry_cost, is_reduction, joined_axis
from rxcore.compiler.lanes import lane_shape
from rxcore.compiler.pull import Puller
from rxcore.compiler.writer import Writer
from rxcore.ir.graph import Equation, Graph, Literal, Operand, Value
from rxcore.ir.primitive import Iterates
from rxcore.loops import scalar
from rxcore.loops.nest import Accumulator, Buffer, Index, Nest
from rxcore.loops.scalar import Term

# A value dearer than this that two stages need is kept in an output's row.
STASH = 8.0


def lower(equation: Equation) -> Nest:
    """Return the Nest of a fused group; buffers are `in0`.. and `out0`..."""
    body: Graph = equation.params["graph"]
    last = body.equations[-1] if body.equations else None
    if last is not None and isinstance(last.primitive.lower, Iterates):
        return LaneScan(body, last).nest()
    return Rows(body, equation.params["shape"], equation.params["axes"]).nest()


class Group:
    """What both kinds of nest share: memories, and pulling from them."""

    def __init__(self, body: Graph) -> None:
        self.graph = body
        self.writer = Writer()
        self.producers = {
            v: e for e in body.equations for v in e.outputs if not is_reduction(e)
        }
        self.buffers: dict[Value, str] = {}
        for k, v in enumerate(body.inputs):
            self.buffers[v] = f"in{k}"
        self.outs: dict[Value, str] = {}
        for k, o in enumerate(body.outputs):
            if isinstance(o, Value):
                self.outs.setdefault(o, f"out{k}")
        self.puller = self.make_puller(self.producers, self.leaf, self.flat)

    def make_puller(self, producers: Any, leaf: Any, flat: Any) -> Puller:
        """Return a Puller that writes into this group's Nest."""
        writer = self.writer
        return Puller(
            writer,
            producers,
            leaf,
            flat,
            writer.extents,
            writer.number,
            lambda term: str(term.operand),
            writer.alive,
        )

    def leaf(self, v: Value, index: Indices) -> Term | None:
        """Read a stored value's element."""
        buffer = self.buffers.get(v)
        if buffer is None:
            return None
        return self.writer.load(buffer, v.type.dtype, flatten(index, v.type.shape))

    def flat(self, v: Value, offset: Index) -> Term | None:
        """Read a stored value at a flat offset."""
        buffer = self.buffers.get(v)
        if buffer is None:
            return None
        return self.writer.load(buffer, v.type.dtype, offset)

    def store(self, v: Value, index: Indices, term: Term) -> None:
        """Write a result's element."""
        self.writer.store(self.outs[v], flatten(index, v.type.shape), term)

    def finish(self, name: str, stashes: set[str] | None = None) -> Nest:
        """Return the Nest."""
        buffers = [
            Buffer(n, v.type.dtype, v.type.size, "in") for v, n in self.buffers.items()
        ]
        for v, n in self.outs.items():
            access: Any = "inout" if n in (stashes or ()) else "out"
            buffers.append(Buffer(n, v.type.dtype, v.type.size, access))
        return Nest(name, tuple(buffers), self.writer.body())


def accumulated(dtype: DType) -> DType:
    """Return the dtype in which a reduction adds up: halves in float32."""
    return dtypes.float32 if dtype in dtypes.HALVES else dtype


class Rows(Group):
    """Elementwise groups and row programs."""

    def __init__(
        self, body: Graph, shape: tuple[int, ...], axes: tuple[int, ...]
    ) -> None:
        super().__init__(body)
        self.shape = shape
        self.axes = tuple(axes)
        self.kept = [i for i in range(len(shape)) if i not in self.axes]
        self.kept_shape = tuple(shape[i] for i in self.kept)
        self.reductions = {e.outputs[0]: e for e in body.equations if is_reduction(e)}
        self.stage = self._stages()
        # Results that are stored piece by piece over the pieces' shape.
        self.joined = {
            v: axis
            for v in self.outs
            if (axis := joined_axis(self.producers.get(v))) is not None
            and self.producers[v].inputs[0].type.shape in (shape, self.kept_shape)
            and v.type.shape not in (shape, self.kept_shape)
        }
        self.results: dict[Value, Term] = {}
        self.stashed: dict[Value, tuple[int, str]] = {}
        self.now = 0

    def _stages(self) -> dict[Value, int]:
        """Return for each value the first stage in which it can be computed."""
        stage: dict[Value, int] = dict.fromkeys(self.graph.inputs, 0)
        for e in self.graph.equations:
            ready = max((stage[o] for o in e.inputs if isinstance(o, Value)), default=0)
            step = 1 if e.outputs[0] in self.reductions else 0
            for v in e.outputs:
                stage[v] = ready + step
        return stage

    def leaf(self, v: Value, index: Indices) -> Term | None:
        """Read what is stored, accumulated, or stashed by an earlier stage."""
        found = self.results.get(v)
        if found is not None:
            return found
        stash = self.stashed.get(v)
        if stash is not None and stash[0] < self.now:
            offset = flatten(index, v.type.shape)
            return self.writer.load(stash[1], v.type.dtype, offset, pinned=True)
        return super().leaf(v, index)

    def nest(self) -> Nest:
        """Write everything."""
        if not self.axes:
            with self.over(range(len(self.shape)), "parallel") as names:
                self._store_all(names)
            return self.finish("map")
        full = [v for v in self.outs if self._is_full(v)]
        last = max((self.stage[v] for v in full), default=0)
        steps = max((self.stage[v] for v in self.reductions), default=0)
        self._plan_stashes(full, max(last + 1, steps))
        with self.over(self.kept, "parallel") as row:
            for now in range(max(last + 1, steps)):
                self.now = now
                self._stage_loops(row, now, full)
            self.now = max(last + 1, steps)
            kept = tuple(row[i] for i in self.kept)
            for v in self.outs:
                if not self._is_full(v):
                    self._put(v, kept)
        return self.finish("rows", {n for _, n in self.stashed.values()})

    def _is_full(self, v: Value) -> bool:
        if v in self.joined:
            return self.producers[v].inputs[0].type.shape == self.shape
        return v not in self.reductions and v.type.shape == self.shape

    def _store_all(self, names: dict[int, Index]) -> None:
        index = tuple(names[i] for i in range(len(self.shape)))
        # In the order of the equations: pulling then finds its operands made.
        order = {e.outputs[0]: k for k, e in enumerate(self.graph.equations)}
        for v in sorted(self.outs, key=lambda v: order.get(v, -1)):
            self._put(v, index)

    def _read(self, v: Value, index: Indices) -> None:
        """Compute a value's element, or an element of each of its joined pieces."""
        if v not in self.joined:
            self.puller.pull(v, index)
            return
        for o in self.producers[v].inputs:
            self.puller.operand(o, index)

    def _put(self, v: Value, index: Indices) -> None:
        """Store a result's element; of joined pieces, one element of each."""
        axis = self.joined.get(v)
        if axis is None:
            self.store(v, index, self.puller.pull(v, index))
            return
        for k, o in enumerate(self.producers[v].inputs):
            offset = index[axis] + k * o.type.shape[axis]
            place = (*index[:axis], offset, *index[axis + 1 :])
            self.store(v, place, self.puller.operand(o, index))

    @contextmanager
    def over(self, axes: Any, kind: Any) -> Iterator[dict[int, Index]]:
        """Open loops over axes of the domain; axes of length 1 need none."""
        with ExitStack() as stack:
            names: dict[int, Index] = {}
            for axis in axes:
                if self.shape[axis] == 1:
                    names[axis] = Index()
                    continue
                loop = self.writer.loop(self.shape[axis], kind)
                names[axis] = Index.of(stack.enter_context(loop))
            yield names

    def _stage_loops(self, row: dict[int, Index], now: int, full: list[Value]) -> None:
        mine = [v for v in self.reductions if self.stage[v] == now + 1]
        stores = [v for v in full if self.stage[v] == now]
        stash = [v for v, (at, _) in self.stashed.items() if at == now]
        if not (mine or stores or stash):
            return
        carried = tuple(self._accumulator(v) for v in mine)
        kind = "serial" if mine else "parallel"
        with self._reduced_loops(kind, carried) as inner:
            places = {**row, **inner}
            index = tuple(places[i] for i in range(len(self.shape)))
            # A store may end what was stashed in its row: everything is read before.
            for v in sorted({*stores, *stash}, key=self._position):
                self._read(v, index)
            terms = [
                self.puller.operand(self.reductions[v].inputs[0], index) for v in mine
            ]
            for v in sorted({*stores, *stash}, key=self._position):
                if v in stores:
                    self._put(v, index)
                else:
                    offset = flatten(index, v.type.shape)
                    term = self.puller.pull(v, index)
                    self.writer.store(self.stashed[v][1], offset, term)
            for a, term in zip(carried, terms, strict=True):
                self.writer.accumulate(a.name, scalar.cast(term, a.dtype))
        for v, a in zip(mine, carried, strict=True):
            term = Term(self.writer, a.name, a.dtype)
            self.results[v] = scalar.cast(term, v.type.dtype)

    def _position(self, v: Value) -> int:
        for k, e in enumerate(self.graph.equations):
            if v in e.outputs:
                return k
        return -1

    @contextmanager
    def _reduced_loops(
        self, kind: Any, carried: tuple[Accumulator, ...]
    ) -> Iterator[dict[int, Index]]:
        """Open the loops over reduced axes; the outermost carries the accumulators.

        It exists even where every reduced axis has length 1.
        """
        axes = [i for i in self.axes if self.shape[i] != 1] or list(self.axes[:1])
        with ExitStack() as stack:
            names: dict[int, Index] = {i: Index() for i in self.axes}
            for k, axis in enumerate(axes):
                made = carried if k == 0 else ()
                loop = self.writer.loop(self.shape[axis], kind, made)
                names[axis] = Index.of(stack.enter_context(loop))
            yield names

    def _accumulator(self, v: Value) -> Accumulator:
        form = self.reductions[v].primitive.lower
        dtype = accumulated(v.type.dtype)
        initial = self.writer.constant(form.identity(dtype), dtype)  # type: ignore[union-attr]
        return Accumulator(self.writer.fresh("acc"), dtype, form.combine, initial)  # type: ignore[union-attr]

    def _plan_stashes(self, full: list[Value], stages: int) -> None:
        """Keep costly values that two stages need in the row of a later output."""
        needed = self._needed_stages(full)
        free = {
            self.outs[v]: v for v in full if self.stage[v] == stages - 1 and stages > 1
        }
        for e in self.graph.equations:
            v = e.outputs[0]
            if v in self.reductions or v.type.shape != self.shape or v in self.joined:
                continue
            at = needed.get(v, set())
            if len(at) < 2 or dry_cost(e) < STASH:
                continue
            if v in self.outs and self.stage[v] == min(at):
                self.stashed[v] = (min(at), self.outs[v])
                continue
            for name, out in free.items():
                if out.type.dtype == v.type.dtype and self.stage[out] > min(at):
                    self.stashed[v] = (min(at), name)
                    del free[name]
                    break

    def _needed_stages(self, full: list[Value]) -> dict[Value, set[int]]:
        """Return for each full value the stages whose loops pull it."""
        needed: dict[Value, set[int]] = {v: {self.stage[v]} for v in full}
        for e in reversed(self.graph.equations):
            v = e.outputs[0]
            at = {self.stage[v] - 1} if v in self.reductions else needed.get(v, set())
            for o in e.inputs:
                if isinstance(o, Value):
                    needed.setdefault(o, set()).update(at)
        return needed


class LaneScan(Group):
    """A scan that runs lane by lane: parallel lanes, the time loop inside."""

    def __init__(self, body: Graph, scan: Equation) -> None:
        super().__init__(body)
        for v in scan.outputs:
            self.producers.pop(v, None)
        self.scan = scan
        self.step: Graph = scan.params["graph"]
        self.length: int = scan.params["length"]
        self.lanes = lane_shape(self.step)
        first = scan.params["constants"]
        second = first + scan.params["carries"]
        self.constants = dict(
            zip(self.step.inputs[:first], scan.inputs[:first], strict=True)
        )
        self.initial = scan.inputs[first:second]
        self.carries = self.step.inputs[first:second]
        self.streams = dict(
            zip(self.step.inputs[second:], scan.inputs[second:], strict=True)
        )
        self.carried: dict[Value, Term] = {}
        self.time = Index()
        self.inner = self.make_puller(
            {e.outputs[0]: e for e in self.step.equations},
            self.step_leaf,
            lambda v, offset: None,
        )

    def step_leaf(self, v: Value, index: Indices) -> Term | None:
        """Read a carry, a constant, or this step's slice of an input."""
        if v in self.carried:
            return self.carried[v]
        if v in self.constants:
            return self.puller.operand(self.constants[v], index)
        if v in self.streams:
            return self.puller.operand(self.streams[v], (self.time, *index))
        return None

    def nest(self) -> Nest:
        """Write everything."""
        w = self.writer
        with ExitStack() as stack:
            lane: list[Index] = []
            for n in self.lanes:
                if n == 1:
                    lane.append(Index())
                else:
                    lane.append(Index.of(stack.enter_context(w.loop(n, "parallel"))))
            place = tuple(lane)
            carried = tuple(
                self._start(v, o, place)
                for v, o in zip(self.carries, self.initial, strict=True)
            )
            with w.loop(self.length, "serial", carried, prefix="t") as t:
                self._body(t, carried, place)
            for v, a in zip(self.scan.outputs, carried, strict=False):
                if v in self.outs:
                    self._put(v, (), place, Term(w, a.name, a.dtype))
        return self.finish("scan")

    def _start(self, v: Value, initial: Operand, place: Indices) -> Accumulator:
        term = self.puller.operand(initial, place)
        name = self.writer.fresh("carry")
        self.carried[v] = Term(self.writer, name, v.type.dtype)
        return Accumulator(name, v.type.dtype, "replace", term.operand)

    def _body(self, t: str, carried: tuple[Accumulator, ...], place: Indices) -> None:
        self.time = Index.of(t)
        if self.scan.params["reverse"]:
            self.time = Index(self.length - 1, ((t, -1),))
        count = len(carried)
        # In the order of the equations, so that pulling does not recurse deeply.
        terms = [self._result(o, place) for o in self.step.outputs]
        for v, term in zip(self.scan.outputs[count:], terms[count:], strict=True):
            if v in self.outs:
                self._put(v, (self.time,), place, term)
        for a, term in zip(carried, terms, strict=False):
            self.writer.accumulate(a.name, term)

    def _result(self, o: Operand, place: Indices) -> Term:
        if isinstance(o, Literal):
            return self.inner.operand(o, ())
        return self.inner.operand(o, place)

    def _put(self, v: Value, time: Indices, place: Indices, term: Term) -> None:
        """Store a lane's value; of rank 0 it is the first lane's."""
        if v.type.ndim == len(time) + len(place) or not place:
            self.store(v, (*time, *place) if v.type.ndim > len(time) else time, term)
            return
        first = None
        for p in place:
            if p.terms:
                test = self.writer.number(p) == 0
                first = test if first is None else first & test
        if first is None:
            self.store(v, time, term)
            return
        with self.writer.when(first):
            self.store(v, time, term)
