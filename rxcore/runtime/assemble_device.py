"""Assemble for an OpenCL device: the same walk over a Graph, other rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rxcore.compiler.schedule import schedule
from rxcore.ir.graph import Equation, Graph, subgraphs
from rxcore.ir.primitive import Accumulating, Fusion, Native
from rxcore.ir.types import Type
from rxcore.loops.nest import Nest
from rxcore.runtime.assemble import Assembler, reference_of
from rxcore.runtime.device_steps import (
    Call,
    Choice,
    Copy,
    Launched,
    Repeat,
    Step,
    While,
)
from rxcore.runtime.devices import Unsupported
from rxcore.runtime.places import Fixed, HostConstant, Place, shifted
from rxcore.targets import opencl
from rxcore_kernels.launch import In, LaunchPlan, Out, Scratch
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.plan import Plan

__all__ = ["DeviceAssembler", "check_fits"]


class DeviceAssembler(Assembler):
    """Writes the steps of one program for one device."""

    def __init__(self, facts: Facts) -> None:
        super().__init__(opencl.capabilities(facts))
        self.facts = facts

    # Rows ----------------------------------------------------------------------------

    def append(self, step: Step, places: Sequence[Place]) -> None:
        """Append a step that uses places."""
        for p in places:
            self.touch(p)
        if isinstance(step, Launched | Call):
            step.equation = self.subject
        rows: list[Any] = self.made.tables[self.table]
        rows.append(step)
        self.clock += 1

    def constant(self, value: Any, type: Type) -> Fixed:
        """Return memory that holds a number."""
        return Fixed(HostConstant(np.full(max(type.size, 1), value, type.dtype)))

    def copy(self, target: Place, source: Place, nbytes: int) -> None:
        """Append a copy of bytes."""
        if nbytes:
            self.append(Copy(target, source, nbytes), [target, source])

    def host(
        self, e: Equation, ins: Sequence[Place], outs: Sequence[Place], reason: str
    ) -> None:
        """Append a call of an op's reference on the host."""
        self.made.fallbacks.append((e.primitive.name, reason))
        self.work(e)
        types = tuple(o.type for o in e.inputs), tuple(v.type for v in e.outputs)
        step = Call(reference_of(e), tuple(ins), tuple(outs), *types, reason=reason)
        self.append(step, [*ins, *outs])

    def loop_row(self, loop: int, length: int, table: int) -> None:
        """Append a step that runs a table a number of times."""
        self.append(Repeat(loop, length, self.made.tables[table]), [])

    def while_row(self, loop: int, asked: int, flag: Place, table: int) -> None:
        """Append a step that runs a table as long as another one sets a flag."""
        tables = self.made.tables
        self.append(While(loop, tables[asked], flag, tables[table]), [flag])

    def switch_row(self, index: Place, tables: Sequence[int]) -> None:
        """Append a step that runs the table of a number."""
        found = tuple(self.made.tables[k] for k in tables)
        self.append(Choice(index, found), [index])

    # Kernels -------------------------------------------------------------------------

    def print(self, nest: Nest) -> tuple[Any, ...]:
        """Schedule a Nest for the device and print it: steps 4 and 5."""
        return tuple(
            (made, 0, opencl.emit(made)) for made in schedule(nest, self.capabilities)
        )

    def nest(
        self, printed: Sequence[Any], ins: Sequence[Place], outs: Sequence[Place]
    ) -> None:
        """Append scheduled and printed Nests."""
        names: dict[str, Place] = {f"in{k}": p for k, p in enumerate(ins)}
        names |= {f"out{k}": p for k, p in enumerate(outs)}
        for nest, _, emission in printed:
            sizes = {b.name: b.dtype.itemsize for b in nest.buffers}
            for b in nest.buffers:
                if b.name not in names:
                    names[b.name] = self.memory(b.size * b.dtype.itemsize)
            if 0 in emission.groups:
                continue
            self.made.nests.append(nest)
            memories = [(names[n], sizes[n]) for n in emission.buffers]
            self.launched(emission.source, memories, emission, nest)

    def launched(
        self,
        source: Any,
        memories: Sequence[tuple[Place, int]],
        call: Any,
        cost: Any,
    ) -> None:
        """Append a launch, if the device has what it needs."""
        _check_source(source, self.facts)
        self.made.launches += 1
        self.work(cost)
        step = Launched(source, tuple(memories), call.scalars, call.groups, cost)
        self.append(step, [p for p, _ in memories])

    def native(self, e: Equation, form: Native) -> LaunchPlan | None:
        """Return the launches of a hand-made kernel, or None."""
        if form.launches is None:
            return None
        types = [o.type for o in e.inputs]
        found: LaunchPlan | None = form.launches(self.facts, *types, **e.params)
        return found

    def accumulating(self, e: Equation, form: Accumulating) -> Nest | LaunchPlan | None:
        """Return the Nest or the launches of an op that writes its own loops."""
        types = tuple(o.type for o in e.inputs)
        outs = tuple(v.type for v in e.outputs)
        if form.launches is not None:
            found = form.launches(self.facts, types, outs, **e.params)
            if found is not None:
                return found  # type: ignore[no-any-return]
        made = form.function(types, outs, **e.params)
        return None if isinstance(made, Plan) else made

    def plan(self, plan: Any, ins: Sequence[Place], outs: Sequence[Place]) -> None:
        """Append a hand-made kernel's launches."""
        scratch = [self.memory(n) for n in plan.scratch]

        def place(w: In | Out | Scratch) -> Place:
            group = {In: ins, Out: outs, Scratch: scratch}[type(w)]
            return shifted(group[w.index], w.offset)

        for each in plan.launches:
            if 0 in each.groups:
                continue
            memories = [
                (place(w), n)
                for w, n in zip(each.memories, each.itemsizes, strict=True)
            ]
            self.launched(each.source, memories, each, each)

    def follow(self, *_: Any) -> None:
        """Chain nothing: launches follow each other."""


def _check_source(source: Any, facts: Facts) -> None:
    if source.fp64 and not facts.fp64:
        raise Unsupported("it does not compute with float64")
    if source.local_bytes > facts.local_bytes:
        raise Unsupported(
            f"a kernel needs {source.local_bytes} bytes of local memory,"
            f" it has {facts.local_bytes}"
        )
    taken = 16 * source.memories + 8 * len(source.scalars) + 4
    if taken > facts.max_argument_bytes:
        raise Unsupported(
            f"a kernel takes {taken} bytes of arguments, it allows"
            f" {facts.max_argument_bytes}"
        )


def check_fits(graph: Graph, facts: Facts) -> None:
    """Raise `Unsupported` for a Graph whose values a device cannot hold."""
    for v in (*graph.inputs, *(v for e in graph.equations for v in e.outputs)):
        if v.type.nbytes > facts.max_alloc:
            raise Unsupported(
                f"a value of type {v.type} takes {v.type.nbytes} bytes, its largest"
                f" buffer holds {facts.max_alloc}"
            )
    for e in graph.equations:
        # Values inside of a fused group are stored nowhere.
        if not isinstance(e.primitive.lower, Fusion):
            for inner in subgraphs(e.params):
                check_fits(inner, facts)
