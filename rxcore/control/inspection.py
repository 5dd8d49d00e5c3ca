"""What `rx.inspect` shows of a compiled function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from rxcore.base import errors
from rxcore.ir.graph import Graph
from rxcore.loops.nest import Nest
from rxcore.runtime.devices import Target, Unsupported, find
from rxcore.runtime.program import Program
from rxcore.runtime.variants import Variants

if TYPE_CHECKING:
    from rxcore.runtime.device_program import DeviceDraft, DeviceProgram


@frozen(eq=False)
class Inspection:
    """A compiled function, step by step; printing it shows everything.

    Args:
        variants: its programs.
        device: the device that it is shown for: the CPU, or the one that the user
            asked for (`jit(device=...)`, `rx.default_device`).
    """

    variants: Variants
    device: str = "cpu"

    @property
    def program(self) -> Program:
        """The program for the CPU."""
        return self.variants.cpu

    @property
    def graph(self) -> Graph:
        """What was captured."""
        return self.variants.graph

    @property
    def optimized(self) -> Graph:
        """The Graph of loop nests, kernels and control ops."""
        return self._shown.optimized

    @property
    def nests(self) -> tuple[Nest, ...]:
        """The scheduled loop nests."""
        return self._shown.nests

    def source(self, target: str | None = None) -> str:
        """Return the text of the kernels for a target, `cpu` or a device's name.

        Text for OpenCL depends on what the device can do, so there must be one.

        Raises:
            DeviceError: when the target is not there, or cannot run the program.
        """
        name = self.device if target is None else target
        shown = self.program if _target(name) is None else self.on(name)
        return "\n".join(s.text for s in shown.sources)

    def on(self, device: str) -> DeviceDraft:
        """Return the program's steps for an OpenCL device, nothing built.

        Its `launches`, `nests`, `fallbacks` and `sources` are as here.

        Raises:
            DeviceError: when the device is not there, or cannot run the program.
        """
        target = _target(device)
        if target is None:
            raise errors.DeviceError(
                "inspect: on() takes an OpenCL device; 'cpu' is what this shows"
            )
        try:
            return self.variants.draft(target)
        except Unsupported as reason:
            raise errors.DeviceError(f"inspect: {device!r}: {reason}") from None

    @property
    def _shown(self) -> Program | DeviceDraft:
        return self.program if self.device == "cpu" else self.on(self.device)

    @property
    def _built(self) -> Program | DeviceProgram:
        target = _target(self.device)
        return self.program if target is None else self.variants.program(target)

    @property
    def kernels(self) -> tuple[str, ...]:
        """The symbols of the kernels."""
        return tuple(s.symbol for s in self._shown.sources)

    @property
    def launches(self) -> int:
        """How many kernels one call launches (a loop's body counts once)."""
        return self._shown.launches

    @property
    def fallbacks(self) -> tuple[tuple[str, str], ...]:
        """(op, reason) for each op that runs by its NumPy reference."""
        return self._shown.fallbacks

    @property
    def compile_seconds(self) -> float:
        """From Graph to native program."""
        return self._built.compile_seconds

    @property
    def cache_hits(self) -> int:
        """Kernels that were already built, in memory or on disk."""
        return self._built.cache_hits

    @property
    def peak_bytes(self) -> int:
        """Intermediates and results of one call, in bytes."""
        return self._built.peak_bytes

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


def _target(device: str) -> Target | None:
    return find(device, "inspect")
