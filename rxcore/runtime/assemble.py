"""Assemble: from an optimized Graph to tables of native steps: steps 3 to 6.

Every equation becomes rows of a table: a fused group its Nests, a hand-made kernel its
plan, a scan a loop over a table of its own, and what has no compiled form a callback
of its NumPy reference.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rxcore.compiler.epilogue import epilogue
from rxcore.compiler.forms import is_compiled, is_dense
from rxcore.compiler.lower import lower
from rxcore.compiler.schedule import schedule
from rxcore.ir.graph import Equation, Graph, Literal, Operand, Value
from rxcore.ir.primitive import (
    Accumulating,
    Fusion,
    Iterates,
    Native,
    Repeats,
    Switches,
)
from rxcore.ir.types import Type
from rxcore.loops.grid import grid_extent
from rxcore.loops.nest import Nest
from rxcore.runtime.places import (
    Fixed,
    OutputSlot,
    Place,
    Stepped,
    flipped,
    shifted,
)
from rxcore.runtime.tables import Tables, Word
from rxcore.runtime.updates import in_place, updated_carries
from rxcore.targets import cpu
from rxcore_kernels import engine
from rxcore_kernels.plan import In, Out, Plan, Scratch, Step

Printed = tuple[Nest, int, cpu.Emission]

# Groups that were printed, by content: many leaves of a model share one update, and
# most groups of a function are the same for another batch size.
_MOST_PRINTED = 4096
_printed: dict[Any, tuple[Printed, ...]] = {}


class Assembler(Tables):
    """Writes the tables of one program."""

    # Graphs --------------------------------------------------------------------

    def graph(
        self, graph: Graph, inputs: Sequence[Place], wanted: Sequence[Place | None]
    ) -> list[Place]:
        """Append a Graph's steps; return where its outputs are.

        An output for which a place is wanted ends up there.
        """
        env: dict[Value, Place] = dict(zip(graph.inputs, inputs, strict=True))
        alias = {e.outputs[0]: e.inputs[0] for e in graph.equations if is_dense(e)}
        targets: dict[Value, Place] = {}
        for o, want in zip(graph.outputs, wanted, strict=True):
            while isinstance(o, Value) and o in alias:
                o = alias[o]
            if want is not None and isinstance(o, Value) and o not in env:
                targets.setdefault(o, want)
        done: set[int] = set()
        for k, e in enumerate(graph.equations):
            if id(e) not in done:
                outer, self.subject = self.subject, e
                follower = self.equation(e, env, targets, graph.equations[k + 1 :])
                self.subject = outer
                done.add(id(follower))
        outs: list[Place] = []
        for o, want in zip(graph.outputs, wanted, strict=True):
            here = self.read(o, env)
            if want is not None and here is not want:
                self.copy(want, here, o.type.nbytes)
                here = want
            outs.append(here)
        for here in outs:
            self.touch(here)
        return outs

    def read(self, o: Operand, env: dict[Value, Place]) -> Place:
        """Return where an operand is."""
        if isinstance(o, Literal):
            return self.constant(o.value, o.type)
        return env[o]

    def equation(
        self,
        e: Equation,
        env: dict[Value, Place],
        targets: dict[Value, Place],
        later: Sequence[Equation] = (),
    ) -> Equation | None:
        """Append an equation's steps; return the later one that it took along."""
        if is_dense(e):
            env[e.outputs[0]] = self.read(e.inputs[0], env)
            return None
        ins = [self.read(o, env) for o in e.inputs]
        form = e.primitive.lower
        if isinstance(form, Iterates):
            self.scan(e, ins, env, targets)
            return None
        if isinstance(form, Repeats):
            self.repeat(e, ins, env, targets)
            return None
        outs = [targets.get(v) or self.memory(v.type.nbytes) for v in e.outputs]
        env.update(zip(e.outputs, outs, strict=True))
        if isinstance(form, Switches):
            self.switch(e, ins, outs)
        elif isinstance(form, Fusion):
            self.nest(self.group(e), ins, outs)
        elif isinstance(form, Native) and is_compiled(e):
            plan = self.native(e, form)
            if plan is None:
                self.host(e, ins, outs, "no kernel for these types and sizes")
            else:
                self.plan(plan, ins, outs)
                if isinstance(plan, Plan) and plan.by_rows:
                    return self.follow(e, plan, env, targets, later)
        elif isinstance(form, Accumulating) and is_compiled(e):
            made = self.accumulating(e, form)
            if made is None:
                self.host(e, ins, outs, "no loops for these types")
            elif isinstance(made, Nest):
                if form.updates and ins[0] is outs[0]:
                    made = in_place(made)
                self.nest(self.print(made), ins, outs)
            else:
                self.plan(made, ins, outs)
        else:
            reason = getattr(form, "reason", "complex numbers")
            self.host(e, ins, outs, reason)
        return None

    def native(self, e: Equation, form: Native) -> Any:
        """Return the plan of a hand-made kernel, or None."""
        return form.function(*[o.type for o in e.inputs], **e.params)

    def accumulating(self, e: Equation, form: Accumulating) -> Any:
        """Return the Nest or the plan of an op that writes its own loops, or None."""
        types = tuple(o.type for o in e.inputs)
        return form.function(types, tuple(v.type for v in e.outputs), **e.params)

    def follow(
        self,
        e: Equation,
        plan: Plan,
        env: dict[Value, Place],
        targets: dict[Value, Place],
        later: Sequence[Equation],
    ) -> Equation | None:
        """Chain a group to a kernel's last step: it runs on rows still in cache."""
        (value,) = e.outputs
        rows = plan.steps[-1].hi
        for f in later:
            if value not in f.inputs:
                continue
            ready = all(not isinstance(o, Value) or o in env for o in f.inputs)
            if not isinstance(f.primitive.lower, Fusion) or not ready:
                return None
            printed = self.epilogue(f, value, rows)
            if not printed:
                return None
            self.made.tables[self.table][-1].chained = 1
            self.clock -= 1
            ins = [self.read(o, env) for o in f.inputs]
            outs = [targets.get(v) or self.memory(v.type.nbytes) for v in f.outputs]
            env.update(zip(f.outputs, outs, strict=True))
            self.subject = f
            self.nest(printed, ins, outs)
            self.made.launches -= 1
            return f
        return None

    # Kernels -------------------------------------------------------------------

    def nest(
        self, printed: Sequence[Printed], ins: Sequence[Place], outs: Sequence[Place]
    ) -> None:
        """Append scheduled and printed Nests."""
        names: dict[str, Place] = {f"in{k}": p for k, p in enumerate(ins)}
        names |= {f"out{k}": p for k, p in enumerate(outs)}
        for nest, extent, emission in printed:
            for b in nest.buffers:
                if b.name not in names:
                    names[b.name] = self.memory(b.size * b.dtype.itemsize)
            if extent == 0:
                continue
            self.made.nests.append(nest)
            self.work(nest)
            words: list[Word | tuple[str, int]] = [
                w if isinstance(w, int) else shifted(names[w.name], w.offset)
                for w in emission.words
            ]
            self.made.launches += 1
            self.row(emission.source, words, 0, extent, nest.chunk).nest = nest

    def print(self, nest: Nest) -> tuple[Printed, ...]:
        """Schedule a Nest for the CPU and print it: steps 4 and 5."""
        return tuple(
            (made, grid_extent(made), cpu.emit(made))
            for made in schedule(nest, self.capabilities)
        )

    def group(self, e: Equation) -> tuple[Printed, ...]:
        """Lower, schedule and print a group."""
        return self.once(e, None, lambda: self.print(lower(e)))

    def epilogue(self, e: Equation, value: Value, rows: int) -> tuple[Printed, ...]:
        """Print a group that follows a kernel by rows; nothing where it cannot."""

        def make() -> tuple[Printed, ...]:
            nest = epilogue(e, value, rows, self.capabilities)
            return () if nest is None else ((nest, rows, cpu.emit(nest)),)

        return self.once(e, (e.inputs.index(value), rows), make)

    def once(self, e: Equation, how: Any, make: Any) -> tuple[Printed, ...]:
        """Print equal groups once."""
        p = e.params
        key = (p["graph"].key, p["shape"], p["axes"], how, self.capabilities)
        found: tuple[Printed, ...] | None = _printed.get(key)
        if found is None:
            if len(_printed) >= _MOST_PRINTED:
                _printed.clear()
            found = _printed[key] = make()
        return found

    def plan(self, plan: Plan, ins: Sequence[Place], outs: Sequence[Place]) -> None:
        """Append a hand-made kernel's steps."""
        scratch = [self.memory(n) for n in plan.scratch]
        self.made.launches += 1
        self.work(self.subject)

        def place(w: In | Out | Scratch | int) -> Word:
            match w:
                case In():
                    return shifted(ins[w.index], w.offset)
                case Out():
                    return shifted(outs[w.index], w.offset)
                case Scratch():
                    return shifted(scratch[w.index], w.offset)
            return w

        for step in plan.steps:
            words = [place(w) for w in step.words]
            if isinstance(step, Step):
                self.row(step.source, words, step.lo, step.hi, step.chunk)
            else:
                function = step.function
                address = self.callback(
                    lambda w, lo, hi, f=function: f(
                        ctypes.cast(w, ctypes.c_void_p).value, lo, hi
                    )
                )
                self.row(address, words, step.lo, step.hi, step.chunk)

    def callback(self, function: Any) -> int:
        """Return the address of a step that calls Python."""
        address, keep = engine.callback(function)
        self.made.alive.append(keep)
        return address

    def host(
        self, e: Equation, ins: Sequence[Place], outs: Sequence[Place], reason: str
    ) -> None:
        """Append a callback that runs an op's reference."""
        self.made.fallbacks.append((e.primitive.name, reason))
        self.work(e)
        types = [v.type for v in (*e.inputs, *e.outputs)]
        count = len(e.inputs)
        compute = reference_of(e)

        def call(words: Any, lo: int, hi: int) -> None:
            del lo, hi
            views = [view(words[k], t) for k, t in enumerate(types)]
            compute(views[:count], views[count:])

        self.row(self.callback(call), [*ins, *outs]).reason = reason

    # Control -------------------------------------------------------------------

    def buffers(
        self, body: Graph, first: int, types: Sequence[Type]
    ) -> tuple[list[Fixed], list[Fixed]]:
        """Return two buffers for each carry of a loop; one where it is only updated."""
        kept = updated_carries(body, first, len(types))
        front = [self.memory(t.nbytes) for t in types]
        back = [
            a if k in kept else self.memory(t.nbytes)
            for k, (a, t) in enumerate(zip(front, types, strict=True))
        ]
        return front, back

    def scan(
        self,
        e: Equation,
        ins: Sequence[Place],
        env: dict[Value, Place],
        targets: dict[Value, Place],
    ) -> None:
        """Append a loop over steps; per-step places move by a stride."""
        p = e.params
        body: Graph = p["graph"]
        first, count, length = p["constants"], p["carries"], p["length"]
        types = [o.type for o in body.inputs[first : first + count]]
        front, back = self.buffers(body, first, types)
        for target, source, t in zip(front, ins[first:], types, strict=False):
            self.copy(target, source, t.nbytes)
        ys = [targets.get(v) or self.memory(v.type.nbytes) for v in e.outputs[count:]]
        final = front if length % 2 == 0 else back
        env.update(zip(e.outputs, [*final, *ys], strict=True))
        if length:
            loop = self.open_loop()
            carries, moved = flipped(loop, front, back)
            xs = [
                self._stepped(loop, place, o.type, length, p["reverse"])
                for place, o in zip(
                    ins[first + count :], e.inputs[first + count :], strict=True
                )
            ]
            steps = [
                self._stepped(loop, place, v.type, length, p["reverse"])
                for place, v in zip(ys, e.outputs[count:], strict=True)
            ]
            table = self.new_table()
            inputs = [*ins[:first], *carries, *xs]
            self.within(
                table, lambda: self.graph(body, inputs, [*moved, *steps]), length
            )
            for place in (*front, *back, *ys, *ins):
                self.touch(place)
            self.close_loop(loop)
            self.loop_row(loop, length, table)
        for place in (*front, *back):
            self.touch(place)

    def _stepped(
        self, loop: int, place: Place, type: Type, length: int, reverse: bool
    ) -> Stepped:
        stride = type.nbytes // length
        if reverse:
            return Stepped(loop, shifted(place, (length - 1) * stride), -stride)
        return Stepped(loop, place, stride)

    def repeat(
        self,
        e: Equation,
        ins: Sequence[Place],
        env: dict[Value, Place],
        targets: dict[Value, Place],
    ) -> None:
        """Append a while loop; its carries end where the last pass left them."""
        p = e.params
        test: Graph = p["test"]
        body: Graph = p["graph"]
        first, second = p["test_constants"], p["test_constants"] + p["constants"]
        types = [o.type for o in e.inputs[second:]]
        front, back = self.buffers(body, p["constants"], types)
        for target, source, t in zip(front, ins[second:], types, strict=True):
            self.copy(target, source, t.nbytes)
        flag = self.memory(1)
        loop = self.open_loop()
        carries, moved = flipped(loop, front, back)
        asked, table = self.new_table(), self.new_table()
        self.within(asked, lambda: self.graph(test, [*ins[:first], *carries], [flag]))
        inputs = [*ins[first:second], *carries]
        self.within(table, lambda: self.graph(body, inputs, moved))
        for place in (*front, *back, *ins, flag):
            self.touch(place)
        self.close_loop(loop)
        self.while_row(loop, asked, flag, table)
        outs = [targets.get(v) or self.memory(v.type.nbytes) for v in e.outputs]
        for out, carry, t in zip(outs, carries, types, strict=True):
            self.copy(out, carry, t.nbytes)
        env.update(zip(e.outputs, outs, strict=True))

    def switch(self, e: Equation, ins: Sequence[Place], outs: Sequence[Place]) -> None:
        """Append a choice between tables."""
        branches: tuple[Graph, ...] = e.params["branches"]
        # A branch may not run: what it needs lives from before to after the choice.
        loop = self.open_loop()
        tables = []
        for branch in branches:
            table = self.new_table()
            write = functools.partial(self.graph, branch, ins[1:], list(outs))
            self.within(table, write)
            tables.append(table)
        for place in (*ins, *outs):
            self.touch(place)
        self.close_loop(loop)
        self.switch_row(ins[0], tables)


def output_places(graph: Graph) -> tuple[list[tuple[int, int]], list[Place | None]]:
    """Return the outputs' (bytes, input that it is or -1) and places.

    An output that is an input shares it, and has no place of its own.
    """
    number = {v: k for k, v in enumerate(graph.inputs)}
    alias = {e.outputs[0]: e.inputs[0] for e in graph.equations if is_dense(e)}
    specs: list[tuple[int, int]] = []
    places: list[Place | None] = []
    for k, o in enumerate(graph.outputs):
        while o in alias and isinstance(o, Value):
            o = alias[o]
        found = number.get(o, -1) if isinstance(o, Value) else -1
        specs.append((o.type.nbytes, found))
        places.append(None if found >= 0 else Fixed(OutputSlot(k)))
    return specs, places


def reference_of(e: Equation) -> Callable[[Sequence[Any], Sequence[Any]], None]:
    """Return what computes an op by its reference, from ndarrays into ndarrays."""
    reference, params, multiple = e.primitive.reference, e.params, e.primitive.multiple

    def compute(ins: Sequence[Any], outs: Sequence[Any]) -> None:
        result = reference(*ins, **params)
        for out, r in zip(outs, result if multiple else (result,), strict=True):
            if out.size:
                np.copyto(out, r, casting="unsafe")

    return compute


def view(address: int, type: Type) -> Any:
    """Return memory at an address as an ndarray."""
    raw: Any = (ctypes.c_char * max(type.nbytes, 1)).from_address(address)
    return np.frombuffer(raw, type.dtype, type.size).reshape(type.shape)
