"""Variants: one Graph's programs, for the CPU and for each device, made on demand.

Steps 7 and 8 of the straight line for whole programs: `run` launches where it is told
to, and goes to the CPU when a device cannot.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field

from rxcore.base import timeline
from rxcore.base.lazy import LazyModule
from rxcore.ir.graph import Graph
from rxcore.runtime.array import Array
from rxcore.runtime.assemble import output_places
from rxcore.runtime.devices import Target, Unsupported
from rxcore.runtime.program import Program, clearers, optimized_of, program_of
from rxcore_kernels.opencl_fault import DeviceFault

if TYPE_CHECKING:
    from rxcore.runtime.device_program import DeviceDraft, DeviceProgram

# Loaded when something is first to run on a device, or is profiled.
device_program = LazyModule("rxcore.runtime.device_program")
stamps = LazyModule("rxcore.runtime.stamps")

__all__ = ["Variants", "run_on", "variants_of"]


@define(eq=False)
class Variants:
    """The programs of one Graph.

    Args:
        graph: what they compute.
        record: what placement remembers of its calls (see `decide`).
        long: whether a call on the CPU took long enough to think of devices.
    """

    graph: Graph
    record: Any = None
    long: bool = False
    _cpu: Program | None = None
    _drafts: dict[Any, DeviceDraft | Unsupported] = field(factory=dict)
    _programs: dict[Any, DeviceProgram] = field(factory=dict)

    @property
    def cpu(self) -> Program:
        """The program for the CPU."""
        if self._cpu is None:
            self._cpu = program_of(self.graph)
        return self._cpu

    @property
    def aliases(self) -> tuple[int, ...]:
        """For each output the input whose memory it is, or -1."""
        return self.cpu.aliases if self._cpu is not None else self._aliases()

    def _aliases(self) -> tuple[int, ...]:
        specs, _ = output_places(optimized_of(self.graph))
        return tuple(alias for _, alias in specs)

    def draft(self, target: Target) -> DeviceDraft:
        """Return the steps for a device; nothing is built.

        Raises:
            Unsupported: the device lacks what the program needs.
        """
        facts = target.facts
        found = self._drafts.get((target, facts.kind))
        if found is None:
            try:
                found = device_program.draft(self.graph, facts, target.device)
            except Unsupported as reason:
                found = reason
            found = self._drafts.setdefault((target, facts.kind), found)
        if isinstance(found, Unsupported):
            raise found
        return found

    def program(self, target: Target) -> DeviceProgram:
        """Return the program for a device, built on first use.

        Raises:
            Unsupported: the device lacks what the program needs.
            DeviceFault: a kernel cannot be built.
        """
        key = (target, target.facts.kind)
        found = self._programs.get(key)
        if found is None:
            made = self._bound(target)
            found = self._programs.setdefault(key, made)
        return found

    def _bound(self, target: Target) -> DeviceProgram:
        made = self.draft(target)
        try:
            with timeline.span("compile", "program", device=target.name):
                bound: DeviceProgram = device_program.bind(made, target.device)
                return bound
        except (Unsupported, DeviceFault) as fault:
            if isinstance(fault, DeviceFault) and fault.kind not in ("build", "limit"):
                raise
            # It would fail again, after as long a time.
            refusal = Unsupported(str(fault))
            self._drafts[(target, target.facts.kind)] = refusal
            raise refusal from fault

    def run_cpu(self, args: Sequence[Array]) -> list[Array]:
        """Launch on the CPU; what lies on devices is fetched."""
        if timeline.active:
            found: list[Array] = stamps.run(self.cpu, args)
            return found
        return self.cpu.run(args)


_variants: dict[Any, Variants] = {}
_lock = threading.Lock()
clearers.append(_variants.clear)


def variants_of(graph: Graph) -> Variants:
    """Return the programs of a Graph, the same for equal Graphs."""
    found = _variants.get(graph.key)
    if found is None:
        with _lock:
            found = _variants.setdefault(graph.key, Variants(graph))
    else:
        timeline.mark("cache", "memory hit", what="program")
    return found


def run_on(
    variants: Variants,
    target: Target,
    args: Sequence[Array],
    tried: DeviceFault | None = None,
) -> tuple[list[Array], Target | None]:
    """Launch on a device, or where it cannot, on the CPU.

    Args:
        variants: the programs.
        target: the device.
        args: the arguments.
        tried: what went wrong when the caller launched, if it did.

    Returns:
        The results, not waited for, and where they are (None: the CPU).
    """
    again = tried is None or _worth_another(target, tried)
    why = target.fault if tried is None else str(tried)
    if again and not target.fault:
        try:
            return launch(variants, target, args), target
        except Unsupported as reason:
            why = str(reason)
        except DeviceFault as fault:
            why = str(fault)
            if tried is None and _worth_another(target, fault):
                return run_on(variants, target, args, fault)
    _warn(target, why)
    outs = variants.run_cpu(args)
    for a in outs:
        a._free = True  # nobody wished them here
    return outs, None


def _worth_another(target: Target, fault: DeviceFault) -> bool:
    """Say whether a launch may go well the next time: after memory was freed."""
    if fault.kind == "lost":
        target.fault = str(fault)
    if fault.kind != "memory":
        return False
    target.drop_replicas()
    return True


def launch(variants: Variants, target: Target, args: Sequence[Array]) -> list[Array]:
    """Launch on a device; raises what goes wrong."""
    program = variants.program(target)
    told = timeline.span("run", "program", device=target.name)
    if timeline.active:
        types = [a.type for a in args], variants.graph.out_types
        told.note(arguments=types[0], results=types[1])
    with told, target.device.lock:
        buffers = program.run([a.replica(target) for a in args])
    return [
        Array.on_device(t, target, b)
        for t, b in zip(variants.graph.out_types, buffers, strict=True)
    ]


def _warn(target: Target, why: str) -> None:
    """Say once for each reason that a device's work is done by the CPU."""
    if why not in target.warned:
        target.warned.add(why)
        warnings.warn(
            f"{target.name} ({target.device.name}): {why}; the CPU runs this call"
            " instead (said once)",
            RuntimeWarning,
            stacklevel=2,
        )
