"""Buffers of an OpenCL device: a pool of freed blocks behind a budget of our own.

Allocating from a driver costs up to 2 ns per byte, so freed blocks are kept. Some
drivers never say that memory is out (PoCL gave 36 GiB on a machine of 16), so bytes are
counted here.
"""

import gc
import threading
from collections import Counter, deque
from typing import Any

from attrs import frozen

from rxcore_kernels import host
from rxcore_kernels.lazy import opencl as cl
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_fault import DeviceFault, fault_of

__all__ = ["DeviceBuffer", "DeviceMemory", "DeviceMemoryStatistics", "budget"]

# The display and other programs live in a card's memory too; where host and device
# share memory, the host's half of the work does.
_SHARE_OF_CARD = 0.8
_SHARE_OF_HOST = 0.5
# Blocks are whole multiples of this, so that they can be filled by wide patterns.
_UNIT = 16


def budget(facts: Facts) -> int:
    """Return how many bytes of buffers may be alive on a device at once."""
    if facts.unified_memory:
        return int(_SHARE_OF_HOST * min(facts.global_bytes, host.memory_bytes()))
    return int(_SHARE_OF_CARD * facts.global_bytes)


class DeviceBuffer:
    """Bytes on a device; they go back to its pool when this is collected.

    Args:
        device: the device (its `memory` takes the bytes back).
        nbytes: how many bytes were asked for.
        handle: PyOpenCL's buffer, which may be longer.
    """

    __slots__ = ("__weakref__", "device", "handle", "nbytes")

    def __init__(self, device: Any, nbytes: int, handle: Any) -> None:
        self.device = device
        self.nbytes = nbytes
        self.handle = handle

    def __repr__(self) -> str:
        """Say how large it is and where."""
        return f"DeviceBuffer({self.nbytes} bytes, {self.device.name})"

    def __del__(self) -> None:
        """Give the bytes back."""
        self.device.memory.drop(self.handle, self.nbytes)


@frozen
class DeviceMemoryStatistics:
    """What the pool of a device holds.

    Args:
        in_use_bytes: capacity of the buffers that are alive.
        held_bytes: capacity of the freed blocks that are kept.
        peak_bytes: the largest in_use_bytes so far.
        limit_bytes: the most that in_use_bytes may be.
        allocations: buffers handed out.
    """

    in_use_bytes: int
    held_bytes: int
    peak_bytes: int
    limit_bytes: int
    allocations: int


class DeviceMemory:
    """The pool of one device and its in-order queue.

    In order, so that a block may be used again as soon as its owner is gone: commands
    that still use it come first.
    """

    def __init__(self, queue: Any, name: str, limit_bytes: int) -> None:
        """Make an empty pool."""
        self._queue = queue
        self._name = name
        self._limit = limit_bytes
        self._pooled = cl.tools.PooledBuffer
        self._fresh = cl.tools.ImmediateAllocator(queue)
        self._pool = cl.tools.MemoryPool(self._fresh)
        self._lock = threading.RLock()
        self._in_use = self._peak = self._allocations = 0
        # How many freed blocks of each bin the pool keeps.
        self._held: Counter[int] = Counter()
        # A collector may run anywhere, in this lock's hands too: buffers that die are
        # only noted, and looked at before the next allocation.
        self._dropped: deque[tuple[Any, int]] = deque()

    def allocate(self, nbytes: int, max_alloc: int) -> Any:
        """Return PyOpenCL's buffer of at least so many bytes.

        Raises:
            DeviceFault: `memory`, when it is too large for one buffer, or when there is
                no room even after all that is freed was given back.
        """
        size = _rounded(nbytes)
        if size > max_alloc:
            raise self._fault(nbytes, f"one buffer may have {max_alloc}")
        if size > self._limit:
            raise self._fault(nbytes, f"{self._limit} may be used")
        with self._lock:
            handle = self._try(size, max_alloc)
            if handle is None:
                self.trim()
                gc.collect()
                self.trim()
                try:
                    # A driver frees a buffer once the commands that use it are done.
                    self._queue.finish()
                except cl.Error as error:
                    raise fault_of(error, f"waiting for {self._name}") from None
                handle = self._try(size, max_alloc)
            if handle is None:
                text = f"{self._in_use} of {self._limit} are in use"
                raise self._fault(nbytes, text)
            return handle

    def drop(self, handle: Any, nbytes: int) -> None:
        """Take a buffer back; may be called from anywhere at any time."""
        self._dropped.append((handle, nbytes))

    def trim(self) -> None:
        """Give all freed blocks back to the driver."""
        with self._lock:
            self._settle()
            self._pool.free_held()
            self._held.clear()

    def set_limit(self, limit_bytes: int) -> None:
        """Let at most this many bytes be in use from now on."""
        self._limit = limit_bytes

    def statistics(self) -> DeviceMemoryStatistics:
        """Return what the pool holds now."""
        with self._lock:
            self._settle()
            held = sum(n * self._pool.alloc_size(b) for b, n in self._held.items())
            return DeviceMemoryStatistics(
                self._in_use, held, self._peak, self._limit, self._allocations
            )

    def _fault(self, nbytes: int, why: str) -> DeviceFault:
        return DeviceFault(
            "memory", f"no room for {nbytes} bytes on {self._name}: {why}"
        )

    def _try(self, size: int, max_alloc: int) -> Any:
        """Return a buffer, None where there is no room."""
        self._settle()
        number, block = self._block(size)
        if self._in_use + block > self._limit:
            return None
        if not self._held[number] and self._pool.managed_bytes + block > self._limit:
            self._pool.free_held()
            self._held.clear()
        # The pool rounds up, which the largest buffers leave no room for.
        pooled = block <= max_alloc
        try:
            handle = self._pool.allocate(size) if pooled else self._fresh(size)
        except (cl.Error, MemoryError) as error:
            fault = fault_of(error, f"allocating {size} bytes on {self._name}")
            if fault.kind == "memory" or isinstance(error, MemoryError):
                return None
            raise fault from None
        if pooled and self._held[number]:
            self._held[number] -= 1
        self._in_use += block
        self._peak = max(self._peak, self._in_use)
        self._allocations += 1
        return handle

    def _block(self, size: int) -> tuple[int, int]:
        number = self._pool.bin_number(size)
        return number, self._pool.alloc_size(number)

    def _settle(self) -> None:
        """Put the buffers that have died into the pool."""
        while self._dropped:
            handle, nbytes = self._dropped.popleft()
            number, block = self._block(_rounded(nbytes))
            if isinstance(handle, self._pooled):
                self._held[number] += 1
            handle.release()
            self._in_use -= block


def _rounded(nbytes: int) -> int:
    return max(_UNIT, -(-nbytes // _UNIT) * _UNIT)
