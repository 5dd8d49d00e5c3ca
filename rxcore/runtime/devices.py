"""The devices that programs run on, by name: `cpu`, `opencl`, `opencl:1`, ...

`opencl` is the best GPU, else the best OpenCL device there is. A name is looked up in
`rxcore_kernels.opencl`, which finds and opens devices on first use.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import re
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define, field

from rxcore.base import config, dtypes, errors, timeline
from rxcore.base.lazy import LazyModule
from rxcore.ir.types import Type
from rxcore_kernels.opencl_fault import DeviceFault

if TYPE_CHECKING:
    from rxcore_kernels.opencl import Device
    from rxcore_kernels.opencl_facts import Facts

# What OpenCL needs is not even loaded until somebody asks for a device.
opencl = LazyModule("rxcore_kernels.opencl")

__all__ = [
    "DeviceName",
    "Target",
    "Unsupported",
    "canonical",
    "default_device",
    "devices",
    "find",
    "lacking",
    "recalled",
]


class Unsupported(Exception):  # noqa: N818 - control flow: the CPU runs it instead
    """A device cannot run a program: the text says why."""


def lacking(types: Iterable[Type], facts: Facts) -> str:
    """Say which dtype a device lacks, or nothing."""
    if not facts.fp64 and any(t.dtype == dtypes.float64 for t in types):
        return "it does not compute with float64"
    return ""


class DeviceName(str):
    """The name of a device, with what it is.

    Args:
        name: `cpu`, `opencl`, `opencl:1`, ...
        description: the device's own name, and its driver.
        kind: `cpu`, or for OpenCL devices `gpu` or `cpu`.
    """

    __slots__ = ("description", "kind")

    description: str
    kind: str

    def __new__(cls, name: str, description: str = "", kind: str = "cpu") -> DeviceName:
        """Make a name."""
        made = super().__new__(cls, name)
        made.description = description
        made.kind = kind
        return made


@define(eq=False)
class Target:
    """An OpenCL device as the runtime uses it: a name, and who has memory there.

    Args:
        name: what users call it.
        device: the device itself.
        fault: why it is not used any more, or an empty text.
    """

    name: str
    device: Device
    fault: str = ""
    warned: set[str] = field(factory=set)
    _holders: list[Any] = field(factory=list)
    _as_cpu: Facts | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def facts(self) -> Facts:
        """What the device can do.

        An OpenCL CPU device is described as a GPU, which it is there to test, unless
        calls may be placed on it: then kernels are shaped for what it is.
        """
        if self.is_cpu and config.current().allow_opencl_cpu:
            if self._as_cpu is None:
                self._as_cpu = self.device.facts_as_cpu
            return self._as_cpu
        return self.device.facts

    @property
    def is_cpu(self) -> bool:
        """Whether it is an OpenCL implementation on the CPU."""
        return self.device.is_cpu

    @property
    def room(self) -> int | None:
        """Bytes that may still be taken there; None before it is opened."""
        memory = self.device.memory
        if memory is None or self.device.is_gone:
            return None
        found = memory.statistics()
        return int(found.limit_bytes - found.in_use_bytes)

    def upload(self, host: Any) -> Any:
        """Return a buffer with an ndarray's elements."""
        return self.device.upload(host)

    def download(self, buffer: Any, host: Any) -> None:
        """Fill an ndarray from a buffer."""
        with timeline.span("wait", "download", device=self.name, bytes=host.nbytes):
            self.device.download(buffer, host)

    def wait(self) -> None:
        """Wait for everything that is enqueued; raises a DeviceFault if it failed."""
        with timeline.span("wait", "finish", device=self.name):
            self.device.finish()

    def finish(self) -> None:
        """Wait for everything that is enqueued, for users.

        Raises:
            DeviceError: something that was enqueued has failed.
        """
        try:
            self.wait()
        except DeviceFault as fault:
            raise errors.DeviceError(
                f"what was enqueued on {self.name!r} has failed: {fault}; run it again,"
                " on 'cpu' if that does not help"
            ) from fault

    def note(self, array: Any) -> None:
        """Remember an array whose copy here can be dropped."""
        if len(self._holders) > 256:
            self._holders = [r for r in self._holders if r() is not None]
        self._holders.append(weakref.ref(array))

    def drop_replicas(self) -> None:
        """Free the copies of arrays that are elsewhere too."""
        holders, self._holders = self._holders, []
        for reference in holders:
            array = reference()
            if array is not None:
                array.drop_replica(self)


_targets: dict[int, Target] = {}
# Called with each Target that is found; those who came later ask `known`.
watchers: list[Callable[[Target], None]] = []


# What scales a shipped profile by a quick measurement, given a Target (None: the CPU)
# and the profile: installed by `rxcore.control`, which has programs for that.
calibrators: list[Callable[[Target | None, Any], Any]] = []


def known() -> list[Target]:
    """Return the Targets that were found so far, without looking for more."""
    return list(_targets.values())


def _found() -> list[Target]:
    """Return the OpenCL devices as Targets, the best first."""
    found = []
    try:
        here = opencl.devices()
    except ValueError as error:  # RXCORE_OPENCL_LIMITS cannot be read
        raise errors.UserError(str(error)) from error
    for k, device in enumerate(here):
        name = "opencl" if k == 0 else f"opencl:{k}"
        target = _targets.get(id(device))
        if target is None:
            target = _targets[id(device)] = Target(name, device)
            for watch in tuple(watchers):
                watch(target)
        found.append(target)
    return found


def devices() -> list[DeviceName]:
    """Return the devices that programs can run on, `cpu` first.

    **Meaning**: names for `rx.device_put`, `jit(device=...)` and `rx.default_device`.
    The first OpenCL device is the best GPU, else the best that there is.

    Returns:
        Names (strings), each with a `.description` and a `.kind`.

    Example:
        >>> import rxcore as rx
        >>> rx.devices()[0]
        'cpu'
    """
    made = [DeviceName("cpu", "this machine's processor")]
    for p in _found():
        if not p.fault:
            d = p.device
            text = f"{d.name} ({d.platform}, driver {d.driver})"
            made.append(DeviceName(p.name, text, "cpu" if p.is_cpu else "gpu"))
    return made


# An index as it is printed: no sign, no zeros in front.
_INDEX = re.compile("0|[1-9][0-9]*")


def find(name: str, call: str = "device") -> Target | None:
    """Return the Target of a name; None is the CPU.

    Raises:
        DeviceError: there is no such device.
    """
    if name == "cpu":
        return None
    found = _found()
    kind, _, number = str(name).partition(":")
    if kind != "opencl" or (number and _INDEX.fullmatch(number) is None):
        raise errors.DeviceError(
            f"{call}: there is no device {str(name)!r}; there are {_present(found)}"
        )
    k = int(number or 0)
    if k >= len(found):
        if not found:
            raise errors.DeviceError(
                f"{call}: there is no OpenCL device, so {str(name)!r} cannot be used;"
                f" there is only 'cpu'. {opencl.why_none()}"
            )
        count = len(found)
        there = "is 1 OpenCL device" if count == 1 else f"are {count} OpenCL devices"
        raise errors.DeviceError(
            f"{call}: {str(name)!r} is out of range, there {there}; use one of"
            f" {_present(found)}"
        )
    target = found[k]
    if target.fault:
        raise errors.DeviceError(
            f"{call}: {target.name!r} is not used any more: {target.fault}; start a new"
            " process, or use 'cpu'"
        )
    return target


def recalled(name: str) -> Target | None:
    """Return the Target of a name that was found before; it may be lost since.

    Calls that were told to run there then go to the CPU, and say so.
    """
    try:
        return find(name, "default_device")
    except errors.DeviceError:
        before = [t for t in _targets.values() if t.name == name]
        if not before:
            raise
        return before[-1]


def _present(found: list[Target]) -> str:
    return ", ".join(repr(n) for n in ["cpu", *(p.name for p in found)])


def canonical(name: str, call: str = "device") -> str:
    """Return the name as `rx.devices()` has it; raises where there is none."""
    target = find(name, call)
    return "cpu" if target is None else target.name


@contextmanager
def default_device(device: str) -> Iterator[None]:
    """Make arrays and run programs on one device for a `with` block.

    Args:
        device: a name of `rx.devices()`.

    Raises:
        DeviceError: there is no such device; the text lists those there are.

    Example:
        >>> import rxcore as rx
        >>> with rx.default_device("cpu"):
        ...     x = rx.asarray([1.0, 2.0])
        >>> x.device
        'cpu'
    """
    with config.scoped(default_device=canonical(device, "default_device")):
        yield


def candidates() -> list[Target]:
    """Return the devices that calls may be placed on without being asked.

    Only devices that were found: the search takes longer than most calls, so it is
    made beside a program that is worth it (see `look`), or when a device is
    asked for.
    """
    allowed = config.current().allow_opencl_cpu
    if allowed:
        look(wait=True)
    return [t for t in known() if not t.fault and (allowed or not t.is_cpu)]


_search: list[threading.Thread] = []


def looked() -> bool:
    """Say whether devices are looked for, or there is nothing to look with."""
    return bool(_search) or bool(known()) or not _has_opencl()


@functools.cache
def _has_opencl() -> bool:
    return importlib.util.find_spec("pyopencl") is not None


def look(*, wait: bool = False) -> None:
    """Look for OpenCL devices in the background, once, where PyOpenCL is installed."""
    if not _search:
        if not _has_opencl():
            return
        thread = threading.Thread(
            target=_search_all, name="rxcore-devices", daemon=True
        )
        _search.append(thread)
        # Drivers do not like to be loaded while the process ends.
        atexit.register(thread.join, _PATIENCE)
        thread.start()
    if wait:
        _search[0].join()


def _search_all() -> None:
    # Whoever asks for a device by name gets the error.
    with contextlib.suppress(errors.UserError):
        _found()


# Seconds that the end of a process waits for a search.
_PATIENCE = 5.0
