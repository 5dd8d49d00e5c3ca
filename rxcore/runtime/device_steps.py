"""Steps of a program on a device: launches, copies, host calls, and control.

What a table's rows are for the CPU. A `Site` is a place whose memory is a slot of the
call's frame; loops move it by the number of passes that they have made. To bind a step
again changes nothing: several threads may bind one program, or one whose first try
failed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import define, field, frozen

from rxcore.base import timeline
from rxcore.base.lazy import LazyModule
from rxcore.ir.graph import Equation
from rxcore.ir.types import Type
from rxcore.runtime.places import (
    Base,
    Fixed,
    Flipped,
    Place,
    Stepped,
)
from rxcore.runtime.subjects import Subject, subject_of
from rxcore_kernels.launch import OpenCLSource, Scalar
from rxcore_kernels.opencl import Device, Kernel

__all__ = [
    "Call",
    "Choice",
    "Copy",
    "Frame",
    "Launched",
    "Repeat",
    "Step",
    "While",
]

# It prices launches, which needs the cost model.
watchdog = LazyModule("rxcore.runtime.watchdog")


@define(eq=False)
class Frame:
    """The memories of one call, and how many passes each open loop has made."""

    device: Device
    buffers: list[Any]
    passes: dict[int, int] = field(factory=dict)

    def find(self, site: Site) -> tuple[Any, int]:
        """Return the buffer and the byte at which a site lies now."""
        place, slots, offset = site.place, site.slots, 0
        while True:
            match place:
                case Fixed():
                    return self.buffers[slots[place.base]], place.offset + offset
                case Stepped():
                    offset += place.stride * self.passes[place.loop]
                    place = place.start
                case Flipped():
                    odd = self.passes[place.loop] % 2
                    place = place.odd if odd else place.even


@frozen(eq=False)
class Site:
    """A place, and the frame's slot of each memory."""

    place: Place
    slots: dict[Base, int]


@define(eq=False)
class Launched:
    """A kernel's launch. Its kernel is built when the program is bound.

    Args:
        source: the text.
        memories: where each memory is, with the bytes of its elements.
        scalars: the numbers that follow.
        groups: work-groups.
        cost: what a cost model wants to know: a Nest, or a hand-made kernel's launch.
        seconds: how long it may run, as predicted, or None.
        equation: what it stems from.
    """

    source: OpenCLSource
    memories: tuple[tuple[Place, int], ...]
    scalars: tuple[Scalar, ...]
    groups: tuple[int, int, int]
    cost: Any = None
    kernel: Kernel | None = None
    seconds: float | None = None
    sites: list[tuple[Site, int]] = field(factory=list)
    fixed: list[tuple[int, int]] | None = None
    equation: Equation | None = None
    _subject: Subject | None = None

    @property
    def subject(self) -> Subject:
        """What it does, in words and numbers."""
        if self._subject is None:
            self._subject = subject_of(self.equation, self.cost, "kernel")
        return self._subject

    @property
    def places(self) -> tuple[Place, ...]:
        """What it uses."""
        return tuple(p for p, _ in self.memories)

    def bind(self, device: Device, site: Callable[[Place], Site]) -> None:
        """Build the kernel, and find the slots of memories that do not move."""

        def counts() -> tuple[int, int]:
            found = device.build_statistics()
            return found.compiled, found.from_disk

        build = functools.partial(device.build, self.source)
        self.kernel = timeline.come_by(self.source.symbol, build, counts)
        self.seconds = watchdog.checked_seconds(self.cost, self.groups[0], device)
        sites = self.sites = [(site(p), size) for p, size in self.memories]
        if all(isinstance(s.place, Fixed) for s, _ in sites):
            self.fixed = [
                (s.slots[s.place.base], s.place.offset // size)  # type: ignore[union-attr]
                for s, size in sites
            ]

    def run(self, frame: Frame) -> None:
        """Enqueue the kernel."""
        if self.fixed is not None:
            buffers = frame.buffers
            memories = [(buffers[slot], at) for slot, at in self.fixed]
        else:
            memories = []
            for site, size in self.sites:
                buffer, offset = frame.find(site)
                memories.append((buffer, offset // size))
        assert self.kernel is not None
        launch = frame.device.launch
        if timeline.active:
            subject = self.subject
            told = {"device": frame.device.name, "symbol": self.source.symbol}
            told |= subject.details
            launch = timeline.timed(launch, "launch", subject.name, **told)
        launch(self.kernel, memories, self.scalars, self.groups, self.seconds)


@define(eq=False)
class Copy:
    """A copy of bytes between two places."""

    target: Place
    source: Place
    nbytes: int
    sites: tuple[Site, ...] = ()

    @property
    def places(self) -> tuple[Place, ...]:
        """What it uses."""
        return (self.target, self.source)

    def bind(self, device: Device, site: Callable[[Place], Site]) -> None:
        """Find the slots."""
        del device
        self.sites = site(self.target), site(self.source)

    def run(self, frame: Frame) -> None:
        """Enqueue the copy."""
        (target, target_at), (source, source_at) = map(frame.find, self.sites)
        frame.device.copy(source, source_at, target, target_at, self.nbytes)


@define(eq=False)
class Call:
    """A Python function on the host: inputs come down, results go up.

    Args:
        compute: takes ndarrays of the inputs and writes into those of the results.
        ins: where the inputs are.
        outs: where the results go.
        in_types: the inputs' Types.
        out_types: the results' Types.
        equation: what it stems from.
        reason: why it is not compiled.
    """

    compute: Callable[[Sequence[Any], Sequence[Any]], None]
    ins: tuple[Place, ...]
    outs: tuple[Place, ...]
    in_types: tuple[Type, ...]
    out_types: tuple[Type, ...]
    equation: Equation | None = None
    reason: str = ""
    sites: tuple[Site, ...] = ()

    @property
    def places(self) -> tuple[Place, ...]:
        """What it uses."""
        return (*self.ins, *self.outs)

    def bind(self, device: Device, site: Callable[[Place], Site]) -> None:
        """Find the slots."""
        del device
        self.sites = tuple(site(p) for p in self.places)

    def run(self, frame: Frame) -> None:
        """Fetch, compute, and send."""
        given = []
        count = len(self.ins)
        for site, t in zip(self.sites[:count], self.in_types, strict=True):
            host = np.empty(t.shape, t.dtype)
            fetch(frame, site, host)
            given.append(host)
        results = [np.empty(t.shape, t.dtype) for t in self.out_types]
        if timeline.active:
            subject = subject_of(self.equation, None, "reference")
            details = {**subject.details, "reason": self.reason}
            with timeline.span("fallback", subject.name, **details):
                self.compute(given, results)
        else:
            self.compute(given, results)
        for site, host in zip(self.sites[count:], results, strict=True):
            buffer, offset = frame.find(site)
            frame.device.write(buffer, offset, host)


def fetch(frame: Frame, site: Site, host: Any) -> None:
    """Fill an ndarray from a place; waits for what is enqueued."""
    buffer, offset = frame.find(site)
    frame.device.download(buffer, host, offset)


@define(eq=False)
class Repeat:
    """A table that runs a number of times."""

    loop: int
    length: int
    table: Any
    places: tuple[Place, ...] = ()

    def bind(self, device: Device, site: Callable[[Place], Site]) -> None:
        """Nothing moves here."""

    def run(self, frame: Frame) -> None:
        """Run the table `length` times."""
        for k in range(self.length):
            frame.passes[self.loop] = k
            for step in self.table:
                step.run(frame)


@define(eq=False)
class While:
    """A table that runs as long as another one sets a flag."""

    loop: int
    asked: Any
    flag: Place
    table: Any
    site: Any = None

    @property
    def places(self) -> tuple[Place, ...]:
        """What it uses."""
        return (self.flag,)

    def bind(self, device: Device, site: Callable[[Place], Site]) -> None:
        """Find the flag's slot."""
        del device
        self.site = site(self.flag)

    def run(self, frame: Frame) -> None:
        """Ask, and run, until the answer is no."""
        found = np.empty((), np.bool_)
        frame.passes[self.loop] = 0
        while True:
            for step in self.asked:
                step.run(frame)
            fetch(frame, self.site, found)
            if not found:
                return
            for step in self.table:
                step.run(frame)
            frame.passes[self.loop] += 1


@define(eq=False)
class Choice:
    """A choice between tables by a number, clipped to those there are."""

    index: Place
    tables: tuple[Any, ...]
    site: Any = None

    @property
    def places(self) -> tuple[Place, ...]:
        """What it uses."""
        return (self.index,)

    def bind(self, device: Device, site: Callable[[Place], Site]) -> None:
        """Find the number's slot."""
        del device
        self.site = site(self.index)

    def run(self, frame: Frame) -> None:
        """Fetch the number and run its table."""
        found = np.empty((), np.int32)
        fetch(frame, self.site, found)
        k = min(max(int(found), 0), len(self.tables) - 1)
        for step in self.tables[k]:
            step.run(frame)


Step = Launched | Copy | Call | Repeat | While | Choice
