"""device_put: move the arrays of a pytree to a device."""

from __future__ import annotations

from typing import Any

from rxcore.base import errors, tree
from rxcore.runtime.array import Array, from_host
from rxcore.runtime.devices import Target, find, lacking
from rxcore.trace.bind import as_numeric
from rxcore.trace.tracer import Tracer
from rxcore_kernels.opencl_fault import DeviceFault

__all__ = ["device_put", "moved"]


def device_put(x: Any, device: str) -> Any:
    """Return a pytree with its arrays on a device.

    **Meaning**: the same numbers, elsewhere. Eager ops then run there, and jitted
    calls count the way from there.

    Args:
        x: a pytree of arrays and numbers.
        device: a name of `rx.devices()`: `cpu`, `opencl`, `opencl:1`, ...

    Returns:
        The pytree; arrays that are there already are the same objects. Transfers to a
        device are not waited for: `rx.block_until_ready` does that.

    Raises:
        DeviceError: there is no such device, or it does not compute with a dtype.

    Example:
        >>> import rxcore as rx
        >>> rx.device_put(rx.asarray([1.0, 2.0]), "cpu").device
        'cpu'
    """
    target = find(device, "device_put")
    return tree.map_(lambda leaf: moved(as_numeric(leaf, "device_put"), target), x)


def moved(x: Any, target: Target | None) -> Any:
    """Return an array on a device (None: the CPU), pinned there."""
    if isinstance(x, Tracer):
        # Where a traced value is, is the compiled call's to choose.
        return x
    if x.home is target and not hasattr(x, "_free"):
        return x
    if target is None:
        return from_host(x.host, x.type)
    lack = lacking([x.type], target.facts)
    if lack:
        raise errors.DeviceDTypeError(
            f"device_put: {target.name!r} ({target.device.name}) cannot hold an array"
            f" of type {x.type}: {lack}; convert it with .astype(rnp.float32), or"
            " keep it on 'cpu'"
        )
    if x.type.nbytes > target.facts.max_alloc:
        raise errors.DeviceError(
            f"device_put: an array of type {x.type} takes {x.type.nbytes} bytes, the"
            f" largest buffer of {target.name!r} holds {target.facts.max_alloc}; put it"
            " there in parts, or keep it on 'cpu'"
        )
    try:
        buffer = x.replica(target)
    except DeviceFault as fault:
        if fault.kind != "memory":
            raise errors.DeviceError(f"device_put: {target.name!r}: {fault}") from fault
        target.drop_replicas()
        buffer = _again(x, target)
    return Array.on_device(x.type, target, buffer)


def _again(x: Array, target: Target) -> Any:
    try:
        return x.replica(target)
    except DeviceFault as fault:
        raise errors.DeviceError(
            f"device_put: {target.name!r} has no room for an array of type {x.type}"
            f" ({x.type.nbytes} bytes): {fault}; free other arrays, or keep it on 'cpu'"
        ) from fault
