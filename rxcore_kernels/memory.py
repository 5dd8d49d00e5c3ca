"""Blocks of memory in capsules, taken from a pool that keeps what is freed.

The first touch of a fresh page costs 0.5 ns per byte: a fresh 64 MB result costs 33 ms,
the loop that fills it 3. So freed blocks are kept, up to a share of memory.
"""

from collections.abc import Callable
from typing import Any

from attrs import frozen

from rxcore_kernels import host
from rxcore_kernels.native import native

__all__ = [
    "MemoryStatistics",
    "address",
    "allocate",
    "borrow",
    "set_limit",
    "statistics",
    "trim",
    "view",
]

_MOST_KEPT = 4 << 30

# Machine code behind Python builtins, made on first use (see ``__getattr__``).
allocate: Callable[[int], object]
address: Callable[[object], int]
borrow: Callable[..., object]
view: Callable[..., Any]


@frozen
class MemoryStatistics:
    """What the pool holds.

    Args:
        in_use_bytes: Capacity of the blocks that are alive.
        cached_bytes: Capacity of the freed blocks that are kept.
        peak_bytes: The largest in_use_bytes so far.
        limit_bytes: The most that is kept.
        allocations: Blocks handed out.
        reused: How many of them had been kept.
    """

    in_use_bytes: int
    cached_bytes: int
    peak_bytes: int
    limit_bytes: int
    allocations: int
    reused: int


def statistics() -> MemoryStatistics:
    """Return what the pool holds now."""
    prepare()
    engine = native()
    words = [engine.word("pool.stats", k).value for k in range(6)]
    in_use, cached, peak, limit, allocations, reused = words
    return MemoryStatistics(in_use, cached, peak, limit, allocations, reused)


def trim(limit_bytes: int = 0) -> None:
    """Return kept blocks to the system until at most this many bytes are kept."""
    native().step("pool.trim", limit_bytes)


def set_limit(limit_bytes: int) -> None:
    """Keep at most this many bytes of freed blocks from now on."""
    prepare()
    native().word("pool.stats", 3).value = limit_bytes
    trim(limit_bytes)


_prepared = False


def prepare() -> None:
    """Set the limit once: a quarter of memory, at most 4 GiB."""
    global _prepared
    if not _prepared:
        _prepared = True
        limit = min(host.memory_bytes() // 4, _MOST_KEPT)
        native().word("pool.stats", 3).value = limit


def __getattr__(name: str) -> Any:
    """Make a builtin when it is first asked for; afterwards it is a plain global."""
    if name in {"allocate", "address", "borrow", "view"}:
        prepare()
        value = getattr(native(), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
