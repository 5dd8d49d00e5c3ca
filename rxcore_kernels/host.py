"""What this machine's processor is: features, usable cores, caches, page size."""

import functools
import math
import mmap
import os
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from rxcore_kernels.lazy import llvm

__all__ = [
    "Features",
    "allowed_cpus",
    "available_cpus",
    "cache_sizes",
    "features",
    "memory_bytes",
    "page_size",
]

_CGROUP = Path("/sys/fs/cgroup")
_CPU0 = Path("/sys/devices/system/cpu/cpu0/cache")
_DEFAULT_CACHES = (32 * 1024, 512 * 1024, 8 * 1024 * 1024)


@frozen
class Features:
    """The host processor as LLVM sees it.

    Args:
        name: LLVM's name of the processor (a guess: trust ``flags`` instead).
        flags: Names of the features that are there, such as ``"avx512f"``.
    """

    name: str
    flags: frozenset[str]

    def __contains__(self, flag: str) -> bool:
        """Tell whether the feature is there."""
        return flag in self.flags

    @property
    def avx2(self) -> bool:
        """256-bit integer vectors."""
        return "avx2" in self.flags

    @property
    def avx512(self) -> bool:
        """512-bit vectors, with the byte, word and 128/256-bit forms."""
        return {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= self.flags

    @property
    def fma(self) -> bool:
        """A fused multiply-add instruction (always there on AArch64)."""
        return "fma" in self.flags or "neon" in self.flags

    @property
    def vnni(self) -> bool:
        """Dot products of 8-bit integers in 512-bit vectors."""
        return "avx512vnni" in self.flags

    @property
    def avx_vnni(self) -> bool:
        """Dot products of 8-bit integers in 256-bit vectors."""
        return "avxvnni" in self.flags

    @property
    def amx_int8(self) -> bool:
        """Tile products of 8-bit integers."""
        return {"amx-tile", "amx-int8"} <= self.flags

    @property
    def amx_bf16(self) -> bool:
        """Tile products of bfloat16."""
        return {"amx-tile", "amx-bf16"} <= self.flags

    @property
    def vector_bits(self) -> int:
        """Width of the widest vector register that generated code may use."""
        if "avx512f" in self.flags:
            return 512
        return 256 if "avx" in self.flags else 128


@functools.cache
def features() -> Features:
    """Return the host processor's name and features (asked once)."""
    try:
        found = llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know this operating system's way to ask
        found = {}
    flags = frozenset(name for name, there in found.items() if there)
    return Features(str(llvm.get_host_cpu_name()), flags)


def allowed_cpus() -> tuple[int, ...]:
    """Return the processor numbers this process may run on, in order."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def available_cpus() -> int:
    """Return how many cores this process can really use.

    **Meaning.** The affinity mask's size, no more than the control group's quota
    (a container with half the time of a 64-core machine has 32), at least 1.
    """
    count = len(allowed_cpus())
    quota = _cgroup_quota()
    return max(1, count if quota is None else min(count, math.ceil(quota)))


def _cgroup_quota() -> float | None:
    """Smallest cpu quota of our control group and its parents, in cores."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    quotas: list[float] = []
    for line in lines:
        parts = line.split(":", 2)
        if len(parts) != 3:
            continue
        _, controllers, path = parts
        if not controllers:
            quotas += _quotas(_CGROUP, path, _quota_v2)
        elif "cpu" in controllers.split(","):
            quotas += _quotas(_CGROUP / "cpu", path, _quota_v1)
            quotas += _quotas(_CGROUP / controllers, path, _quota_v1)
    return min(quotas, default=None)


def _quotas(root: Path, path: str, read: Callable[[Path], float | None]) -> list[float]:
    """Quotas of the group at ``path`` and of all groups above it."""
    folder = root / path.strip("/")
    found: list[float] = []
    while True:
        quota = read(folder)
        if quota is not None:
            found.append(quota)
        if folder == root or root not in folder.parents:
            return found
        folder = folder.parent


def _quota_v2(folder: Path) -> float | None:
    try:
        limit, period = (folder / "cpu.max").read_text().split()[:2]
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        limit = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return limit / period if limit > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


@functools.cache
def cache_sizes() -> tuple[int, int, int]:
    """Return the bytes of one core's L1 data, L2 and L3 cache.

    A level that the system does not tell gets a common size, so that a block size
    computed from it is reasonable everywhere.
    """
    sizes = dict(zip((1, 2, 3), _DEFAULT_CACHES, strict=True))
    for index in _CPU0.glob("index*"):
        try:
            kind = (index / "type").read_text().strip()
            level = int((index / "level").read_text())
            size = _parse_size((index / "size").read_text())
        except (OSError, ValueError):
            continue
        if kind in {"Data", "Unified"} and level in sizes and size > 0:
            sizes[level] = size
    return sizes[1], sizes[2], sizes[3]


def _parse_size(text: str) -> int:
    text = text.strip().upper()
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text)


def page_size() -> int:
    """Return the bytes of one memory page."""
    return mmap.PAGESIZE


def memory_bytes() -> int:
    """Return the bytes of memory this process may use (8 GiB where unknown)."""
    found = [8 << 30]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            found.append(int((_CGROUP / name).read_text()))
        except (OSError, ValueError):
            continue
    return min(size for size in found if size > 0)
