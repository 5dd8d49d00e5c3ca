"""What `rx.inspect` shows of a compiled function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from rxcore.base import errors
from rxcore.ir.graph import Graph
from rxcore.loops.nest import Nest
from rxcore.runtime.devices import Unsupported, find
from rxcore.runtime.program import Program
from rxcore.runtime.variants import variants_of

if TYPE_CHECKING:
    from rxcore.runtime.device_program import DeviceDraft


@frozen(eq=False)
class Inspection:
    """A compiled function, step by step; printing it shows everything."""

    program: Program

    @property
    def graph(self) -> Graph:
        """What was captured."""
        return self.program.graph

    @property
    def optimized(self) -> Graph:
        """The Graph of loop nests, kernels and control ops."""
        return self.program.optimized

    @property
    def nests(self) -> tuple[Nest, ...]:
        """The scheduled loop nests."""
        return self.program.nests

    def source(self, target: str = "cpu") -> str:
        """Return the text of the kernels for a target, `cpu` or a device's name.

        Text for OpenCL depends on what the device can do, so there must be one.

        Raises:
            DeviceError: when the target is not there, or cannot run the program.
        """
        place = find(target, "inspect")
        if place is None:
            return "\n".join(s.text for s in self.program.sources)
        return "\n".join(s.text for s in self.on(target).sources)

    def on(self, device: str) -> DeviceDraft:
        """Return the program's steps for an OpenCL device, nothing built.

        Its `launches`, `nests`, `fallbacks` and `sources` are as here.

        Raises:
            DeviceError: when the device is not there, or cannot run the program.
        """
        place = find(device, "inspect")
        if place is None:
            raise errors.DeviceError(
                "inspect: on() takes an OpenCL device; 'cpu' is what this shows"
            )
        try:
            return variants_of(self.program.graph).draft(place)
        except Unsupported as reason:
            raise errors.DeviceError(f"inspect: {device!r}: {reason}") from None

    @property
    def kernels(self) -> tuple[str, ...]:
        """The symbols of the kernels."""
        return tuple(k.symbol for k in self.program.kernels)

    @property
    def launches(self) -> int:
        """How many kernels one call launches (a loop's body counts once)."""
        return self.program.launches

    @property
    def fallbacks(self) -> tuple[tuple[str, str], ...]:
        """(op, reason) for each op that runs by its NumPy reference."""
        return self.program.fallbacks

    @property
    def compile_seconds(self) -> float:
        """From Graph to native program."""
        return self.program.compile_seconds

    @property
    def cache_hits(self) -> int:
        """Kernels that were already built, in memory or on disk."""
        return self.program.cache_hits

    @property
    def peak_bytes(self) -> int:
        """Intermediates and results of one call, in bytes."""
        return self.program.peak_bytes

    def __str__(self) -> str:
        parts = [
            str(self.graph),
            str(self.optimized),
            *map(str, self.nests),
            f"{self.launches} launches of {len(self.kernels)} kernels,"
            f" {self.peak_bytes} bytes at most,"
            f" compiled in {self.compile_seconds * 1e3:.1f} ms"
            f" ({self.cache_hits} kernels from the cache)",
        ]
        parts += [f"by reference: {op} ({reason})" for op, reason in self.fallbacks]
        return "\n\n".join(parts)
