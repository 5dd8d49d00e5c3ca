"""Programs on an OpenCL device: bound once, run by enqueueing their steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from attrs import define, field, frozen

from rxcore.base import timeline
from rxcore.base.collector import paused
from rxcore.ir.graph import Graph, subgraphs
from rxcore.ir.types import Type
from rxcore.loops.nest import Nest
from rxcore.runtime import verdicts
from rxcore.runtime.assemble import output_places
from rxcore.runtime.assemble_device import DeviceAssembler, check_fits
from rxcore.runtime.device_steps import (
    Choice,
    Frame,
    Launched,
    Repeat,
    Site,
    Step,
    While,
)
from rxcore.runtime.devices import Unsupported, lacking
from rxcore.runtime.places import (
    Base,
    Fixed,
    HostConstant,
    InputSlot,
    Memory,
    OutputSlot,
    Place,
    bases,
    plan_blocks,
)
from rxcore.runtime.program import optimized_of
from rxcore_kernels.launch import OpenCLSource
from rxcore_kernels.opencl import Device
from rxcore_kernels.opencl_facts import Facts

__all__ = ["DeviceDraft", "DeviceProgram", "bind", "draft", "walk_steps"]


@frozen(eq=False)
class DeviceDraft:
    """A Graph as steps for a device, before anything is built.

    Args:
        graph: what was captured.
        optimized: the Graph of groups, kernels and control ops.
        steps: the steps; those inside loops and choices are in theirs.
        nests: the scheduled loop nests.
        launches: kernel launches of one call, bodies of loops counted once.
        fallbacks: (op, reason) for each op that runs by its reference.
        memories: the intermediates, with when they live.
        specs: for each output its bytes and the input that it is, or -1.
        works: what its steps do and how often: see `Assembly`.
    """

    graph: Graph
    optimized: Graph
    steps: tuple[Step, ...]
    nests: tuple[Nest, ...]
    launches: int
    fallbacks: tuple[tuple[str, str], ...]
    memories: tuple[Memory, ...]
    specs: tuple[tuple[int, int], ...]
    works: tuple[tuple[Any, int], ...]

    @property
    def out_types(self) -> tuple[Type, ...]:
        """The outputs' Types."""
        return self.graph.out_types

    @property
    def aliases(self) -> tuple[int, ...]:
        """For each output the input whose memory it is, or -1."""
        return tuple(alias for _, alias in self.specs)

    @property
    def sources(self) -> tuple[OpenCLSource, ...]:
        """The text of every kernel."""
        found = {s.source: None for s, _ in walk_steps(self.steps) if is_launch(s)}
        return tuple(found)


def is_launch(step: Step) -> bool:
    """Say whether a step launches a kernel."""
    return isinstance(step, Launched)


def walk_steps(steps: Sequence[Step], times: int = 1) -> list[tuple[Any, int]]:
    """Return every step with how often one call runs it (unknown counts as once)."""
    found: list[tuple[Any, int]] = []
    for s in steps:
        found.append((s, times))
        match s:
            case Repeat():
                found += walk_steps(s.table, times * s.length)
            case While():
                found += walk_steps([*s.asked, *s.table], times)
            case Choice():
                for table in s.tables:
                    found += walk_steps(table, times)
    return found


@paused()
def draft(graph: Graph, facts: Facts, device: Device | None = None) -> DeviceDraft:
    """Lower, schedule and emit a Graph for a device.

    Args:
        graph: what to compute.
        facts: what the device can do.
        device: the device, where there is one, to know what it gets wrong.

    Raises:
        Unsupported: the device lacks a dtype, cannot hold a value, or was found to
            compute an op wrongly.
    """
    optimized = optimized_of(graph)
    lack = lacking(_all_types(optimized), facts)
    if not lack and device is not None:
        lack = verdicts.refused(device, verdicts.families_of(graph, optimized))
    if lack:
        raise Unsupported(lack)
    check_fits(optimized, facts)
    assembler = DeviceAssembler(facts)
    ins = [Fixed(InputSlot(k)) for k in range(len(graph.inputs))]
    specs, places = output_places(optimized)
    with timeline.span("lower", "lower, schedule, emit") as told:
        assembler.graph(optimized, ins, places)
        made = assembler.made
        told.note(nests=len(made.nests), launches=made.launches)
    steps: Any = made.tables[0]
    return DeviceDraft(
        graph,
        optimized,
        tuple(steps),
        tuple(made.nests),
        made.launches,
        tuple(made.fallbacks),
        tuple(made.memories),
        tuple(specs),
        tuple(made.works),
    )


def _all_types(graph: Graph) -> list[Type]:
    found = [v.type for v in graph.inputs]
    for e in graph.equations:
        found += [v.type for v in e.outputs]
        for inner in subgraphs(e.params):
            found += _all_types(inner)
    return found


# Binding ------------------------------------------------------------------------------


@define(eq=False)
class DeviceProgram:
    """A draft bound to a device: kernels built, memories given slots of a frame.

    A frame's slots are the inputs, the outputs, then constants and intermediates.
    """

    draft: DeviceDraft
    device: Device
    blocks: tuple[int, ...]
    constants: dict[int, Any]
    size: int
    compile_seconds: float = 0.0
    compiled: int = 0
    cache_hits: int = 0
    kernels: tuple[Any, ...] = field(default=())

    @property
    def peak_bytes(self) -> int:
        """Intermediates and results of one call, in bytes."""
        results = sum(n for n, alias in self.draft.specs if alias < 0)
        return sum(self.blocks) + results

    def run(self, buffers: Sequence[Any]) -> list[Any]:
        """Enqueue the steps; return the outputs' buffers, not waited for."""
        device, made = self.device, self.draft
        slots: list[Any] = [None] * self.size
        count = len(buffers)
        slots[:count] = buffers
        for k, (nbytes, alias) in enumerate(made.specs, count):
            slots[k] = buffers[alias] if alias >= 0 else device.allocate(nbytes)
        for k, buffer in self.constants.items():
            slots[k] = buffer
        first = self.size - len(self.blocks)
        for k, nbytes in enumerate(self.blocks, first):
            slots[k] = device.allocate(nbytes)
        frame = Frame(device, slots)
        for step in made.steps:
            step.run(frame)
        # Some drivers hold back what is enqueued until somebody waits.
        device.flush()
        return slots[count : count + len(made.specs)]


@paused()
def bind(made: DeviceDraft, device: Device) -> DeviceProgram:
    """Build the kernels of a draft and give its memories slots."""
    begin = time.perf_counter()
    steps = [s for s, _ in walk_steps(made.steps)]
    first = len(made.graph.inputs)
    following = first + len(made.specs)
    constants: dict[int, Any] = {}
    known: dict[Base, int] = {}
    for s in steps:
        for base in _bases(s):
            if isinstance(base, HostConstant) and base not in known:
                known[base] = following + len(constants)
                constants[known[base]] = device.upload(base.host)
    blocks, shares = plan_blocks(made.memories)
    start = following + len(constants)
    known |= {m: start + k for m, k in shares.items()}

    def slot(base: Base) -> int:
        match base:
            case InputSlot():
                return base.number
            case OutputSlot():
                return first + base.number
        return known[base]

    def site(place: Place) -> Site:
        return Site(place, {b: slot(b) for b in bases(place)})

    before = device.build_statistics()
    for s in steps:
        s.bind(device, site)
    after = device.build_statistics()
    compiled = after.compiled - before.compiled
    return DeviceProgram(
        made,
        device,
        tuple(blocks),
        constants,
        start + len(blocks),
        time.perf_counter() - begin,
        compiled,
        len(made.sources) - compiled,
        made.sources,
    )


def _bases(step: Step) -> list[Base]:
    return [b for p in step.places for b in bases(p)]
