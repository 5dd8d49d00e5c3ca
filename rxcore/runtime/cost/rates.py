"""Device profiles: how fast a device does what Forms count, as data in JSON files.

A profile ships with the package for each of a few kinds of devices; a measured one is
stored beside the compiled kernels. `rates` says for each loop shape and each count (see
`compiler/form`) the seconds per unit, and the spread of that number: the standard
deviation of its logarithm. The counts `cache`, `shared` and `memory` are bytes that
come from the first, the second, and no cache.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from attrs import evolve, field, frozen

from rxcore.base.errors import DeviceError
from rxcore.compiler.form import COUNTS
from rxcore_kernels.opencl_facts import Facts

__all__ = [
    "CLASSES",
    "SCHEMA",
    "Limits",
    "Profile",
    "Rate",
    "Transfer",
]

SCHEMA = 1
# What a rate may be of.
CLASSES = (*COUNTS, "cache", "shared", "memory")
# The shape whose rates serve where another one lacks some.
_BASE = "elementwise"


@frozen
class Rate:
    """Seconds per unit, and the standard deviation of their logarithm."""

    seconds: float = field(converter=float)
    spread: float = field(default=0.5, converter=float)


@frozen
class Transfer:
    """Seconds to begin a copy between host and device, and seconds per byte."""

    latency: float = field(converter=float)
    per_byte: float = field(converter=float)

    def seconds(self, nbytes: float) -> float:
        """Return how long a copy takes; nothing to copy takes no time."""
        return self.latency + nbytes * self.per_byte if nbytes else 0.0


@frozen
class Limits:
    """What bounds a device apart from its rates.

    Args:
        threads: threads that share a kernel on a CPU.
        memory_threads: how many times as fast all threads stream as one does.
        wake: seconds of work after which the first of other threads joins.
        saturation: work-items that keep a GPU busy.
        written: a byte stored counts as so many read: a CPU reads its line first.
        caches: bytes of the two caches (0: there is none) that parts of data fit into.
        memory_bytes: the device's memory; 0: the host's.
        alloc_bytes: its largest buffer; 0: any.
    """

    threads: int = 1
    memory_threads: float = field(default=1.0, converter=float)
    wake: float = field(default=130e-6, converter=float)
    saturation: int = 1
    written: float = field(default=1.5, converter=float)
    caches: tuple[int, int] = (0, 0)
    memory_bytes: int = 0
    alloc_bytes: int = 0


@frozen(eq=False)
class Profile:
    """How fast a device is.

    Args:
        device: its name, with what tells drivers apart.
        kind: `cpu` (this process's own code), or an OpenCL device of type `gpu` or
            `opencl-cpu`.
        limits: what bounds it.
        rates: for each shape, for each count, a Rate.
        launch: one kernel's start.
        sync: what a call takes beside its kernels: on a device, the wait for results.
        up: copies from host to device.
        down: copies from device to host.
        facts: what the device can do, for programs for cards that are not here.
        names: lower-case parts of the names of devices that this profile is for.
        sources: where the numbers come from, by field.
        corrections: what was learnt from runs: (key, bucket, count, log ratio).
    """

    device: str
    kind: str
    limits: Limits
    rates: Mapping[str, Mapping[str, Rate]]
    launch: Rate
    sync: Rate
    up: Transfer = Transfer(0.0, 0.0)
    down: Transfer = Transfer(0.0, 0.0)
    facts: Facts | None = None
    names: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(factory=dict)
    corrections: tuple[tuple[str, int, int, float], ...] = ()

    def rate(self, shape: str, count: str) -> Rate:
        """Return a rate; shapes that lack one have that of elementwise loops."""
        found = self.rates.get(shape, {}).get(count)
        return self.rates[_BASE][count] if found is None else found

    def kernel_shape(self, shape: str) -> str:
        """Return the shape whose rates a hand-made kernel has."""
        return shape if shape in self.rates else "kernel"

    def scaled(
        self, compute: float = 1.0, bandwidth: float = 1.0, device: str = ""
    ) -> Profile:
        """Return the profile of a device that is so many times as fast."""
        factors = dict.fromkeys(CLASSES, 1 / compute)
        factors |= dict.fromkeys(("cache", "shared", "memory"), 1 / bandwidth)
        rates = {
            shape: {
                c: evolve(r, seconds=r.seconds * factors[c]) for c, r in row.items()
            }
            for shape, row in self.rates.items()
        }
        return evolve(self, rates=rates, device=device or self.device)


def write_text(path: Path, text: str) -> None:
    """Write a file that others may be reading: all of it or nothing.

    Raises:
        DeviceError: the folder cannot be written to.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except OSError as error:
        raise DeviceError(
            f"profile {path}: it cannot be written ({error.strerror}); set"
            " RXCORE_CACHE_DIR to a folder that can"
        ) from error
