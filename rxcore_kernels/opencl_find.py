"""Which OpenCL devices this machine has, and why one that could be there is not.

Drivers fail in every possible way, so each is asked inside a fence: what raises is
left out with one line that says why. Nothing is built or allocated here.
"""

import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
from attrs import frozen

from rxcore_kernels.lazy import opencl as cl
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_fault import first_line

__all__ = ["Discovery", "FoundDevice", "discover", "limited", "parse_limits"]

_PLATFORM_VARIABLE = "RXCORE_OPENCL_PLATFORM"
_LIMITS_VARIABLE = "RXCORE_OPENCL_LIMITS"
# A simulator that checks every access: it is in the way unless asked for.
_SIMULATOR = "oclgrind"
_WAVE = 64
# Larger buffers need a build option of its own on Intel's drivers.
_INTEL_MOST = 1 << 32
# A limit may only be lowered: what the device lacks cannot be granted.
_LOWERED = frozenset(
    {
        "max_group",
        "max_item",
        "local_bytes",
        "max_alloc",
        "global_bytes",
        "max_argument_bytes",
        "fp64",
        "fp16",
        "rounded_divide",
        "atomics64",
    }
)

T = TypeVar("T")


@frozen(eq=False)
class FoundDevice:
    """A device as its driver describes it.

    Args:
        name: the card's name.
        platform: the name of its platform (of the driver).
        version: the platform's version text.
        driver: the driver's version text.
        is_cpu: whether it runs on the CPU.
        facts: what it can do, limits of the environment applied.
        handle: PyOpenCL's device.
    """

    name: str
    platform: str
    version: str
    driver: str
    is_cpu: bool
    facts: Facts
    handle: Any


@frozen
class Discovery:
    """The devices in order of preference, and what was left out.

    Args:
        devices: GPUs first, the largest first; then accelerators; then CPUs.
        problems: (device or platform, one line) for each that was left out.
        why_none: one line, empty if there are devices.
    """

    devices: tuple[FoundDevice, ...]
    problems: tuple[tuple[str, str], ...]
    why_none: str


def discover() -> Discovery:
    """Ask every driver for its devices.

    Raises:
        ValueError: `RXCORE_OPENCL_LIMITS` cannot be read.
    """
    limits = parse_limits(os.environ.get(_LIMITS_VARIABLE, ""))
    try:
        platforms = list(cl.get_platforms())
    except ModuleNotFoundError as error:
        if error.name != "pyopencl":
            return _nothing(f"pyopencl cannot be loaded: {first_line(error)}")
        return _nothing(
            "pyopencl is not installed: pip install 'rxcore[opencl]', "
            "or 'rxcore[pocl]' for OpenCL on the CPU"
        )
    except ImportError as error:
        return _nothing(f"pyopencl cannot be loaded: {first_line(error)}")
    except Exception as error:  # a driver may raise anything
        if getattr(error, "code", None) == -1001:
            return _nothing(
                "no OpenCL driver is installed: install the one of your card's "
                "vendor, or pip install 'rxcore[pocl]' for OpenCL on the CPU"
            )
        return _nothing(f"OpenCL's platforms cannot be listed: {first_line(error)}")
    problems: list[tuple[str, str]] = []
    chosen = _chosen(platforms, problems)
    every = [one for place in chosen for one in _of_platform(place, problems)]
    kept = _without_duplicates(every, problems)
    kept.sort(key=_rank)
    devices = tuple(attrs.evolve(one, facts=limited(one.facts, limits)) for one in kept)
    why = "" if devices else _why(problems)
    return Discovery(devices, tuple(problems), why)


def _nothing(why: str) -> Discovery:
    return Discovery((), (("OpenCL", why),), why)


def _why(problems: list[tuple[str, str]]) -> str:
    if not problems:
        return "no OpenCL platform has a device"
    return "; ".join(f"{where}: {line}" for where, line in problems)


def _fenced(
    where: str, problems: list[tuple[str, str]], ask: Callable[[], T]
) -> T | None:
    """Return what `ask` returns; what it raises becomes a problem."""
    try:
        return ask()
    except Exception as error:  # a driver may raise anything
        problems.append((where, first_line(error)))
        return None


# ------------------------------------------------------------------ platforms


def _chosen(platforms: list[Any], problems: list[tuple[str, str]]) -> list[Any]:
    """Return the platforms that the environment asks for, or all real ones."""
    wanted = os.environ.get(_PLATFORM_VARIABLE, "").strip().lower()
    chosen: list[Any] = []
    for number, platform in enumerate(platforms):
        name = _fenced(f"platform {number}", problems, lambda p=platform: str(p.name))  # type: ignore[misc]
        if name is None:
            continue
        if wanted and wanted not in name.lower():
            line = f"not asked for by {_PLATFORM_VARIABLE}={wanted!r}"
            problems.append((name.strip(), line))
        elif not wanted and _SIMULATOR in name.lower():
            line = f"a simulator: set {_PLATFORM_VARIABLE}={_SIMULATOR} to use it"
            problems.append((name.strip(), line))
        else:
            chosen.append(platform)
    return chosen


def _of_platform(
    platform: Any, problems: list[tuple[str, str]]
) -> list[tuple[Any, FoundDevice]]:
    """Return (platform, device) for each device that can be used."""
    place = str(platform.name).strip()

    def ask() -> list[Any]:
        try:
            return list(platform.get_devices())
        except Exception as error:
            if getattr(error, "code", None) == -1:  # none found
                return []
            raise

    found: list[tuple[Any, FoundDevice]] = []
    for number, handle in enumerate(_fenced(place, problems, ask) or []):
        where = f"{place}, device {number}"
        made = _fenced(where, problems, lambda h=handle: _describe(platform, h))  # type: ignore[misc]
        if isinstance(made, str):
            problems.append((where, made))
        elif made is not None:
            found.append((platform, made))
    return found


def _without_duplicates(
    every: list[tuple[Any, FoundDevice]], problems: list[tuple[str, str]]
) -> list[FoundDevice]:
    """Keep the newest driver where several of one family show the same device.

    Two equal cards of one platform are two cards; a device that two versions of PoCL
    show is one.
    """
    newest: dict[tuple[str, Any, int], Any] = {}
    by_age = sorted(every, key=lambda pair: _numbers(pair[1]), reverse=True)
    for platform, one in by_age:
        newest.setdefault(_identity(one), platform)
    kept: list[FoundDevice] = []
    for platform, one in every:
        if newest[_identity(one)] is platform:
            kept.append(one)
        else:
            line = f"the same device as of a newer driver ({one.version.strip()})"
            problems.append((f"{one.platform}, {one.name}", line))
    return kept


def _identity(one: FoundDevice) -> tuple[str, Any, int]:
    family = re.sub(r"[\d.]+", "", one.platform).strip().lower()
    return family, one.handle.type, one.facts.units


def _numbers(one: FoundDevice) -> tuple[list[int], list[int]]:
    """The version numbers in a platform's and a driver's texts, for comparison."""
    version, driver = re.findall(r"\d+", one.version), re.findall(r"\d+", one.driver)
    return [int(n) for n in version[:4]], [int(n) for n in driver]


def _rank(one: FoundDevice) -> tuple[int, int, int]:
    kind = 2 if one.is_cpu else (0 if one.handle.type & cl.device_type.GPU else 1)
    return kind, -one.facts.global_bytes, -one.facts.units


# ------------------------------------------------------------------ one device


def _describe(platform: Any, handle: Any) -> FoundDevice | str:
    """Return the device, or one line that says why it cannot be used."""
    offered = re.search(r"OpenCL (\d+)\.(\d+)", handle.version)
    if offered is None or tuple(map(int, offered.groups())) < (1, 2):
        return f"offers {handle.version.strip()!r}; OpenCL 1.2 is needed"
    if not handle.available:
        return "the driver says that it is not available"
    if not handle.compiler_available:
        return "the driver has no compiler for it"
    if not handle.endian_little:
        return "it stores numbers with the high byte first"
    return FoundDevice(
        name=_card_name(handle),
        platform=str(platform.name).strip(),
        version=str(platform.version).strip(),
        driver=str(handle.driver_version).strip(),
        is_cpu=bool(handle.type & cl.device_type.CPU),
        facts=_facts(handle),
        handle=handle,
    )


def _card_name(handle: Any) -> str:
    """The name on the box: AMD's drivers call a card by its chip's codename."""
    board = _optional(handle, "board_name_amd", "")
    return str(board or handle.name).strip("\0 ")


def _optional(handle: Any, name: str, default: T) -> T:
    """Return an extension's property, or the default where the driver has none."""
    try:
        value = getattr(handle, name)
    except Exception:  # absent is an error in OpenCL
        return default
    return default if value is None else value


def _facts(handle: Any) -> Facts:
    config, flags = handle.single_fp_config, cl.device_fp_config
    extensions = set(handle.extensions.split())
    group = max(1, handle.max_work_group_size)
    items = [*handle.max_work_item_sizes, 1, 1, 1][:3]
    most = handle.max_mem_alloc_size
    if "intel" in handle.vendor.lower() and handle.type & cl.device_type.GPU:
        most = min(most, _INTEL_MOST)
    # A CPU stands in for a GPU in tests, so it is described as one. What it would be
    # as itself is `Device.facts_as_cpu`.
    return Facts(
        kind="gpu",
        max_group=group,
        max_item=(min(items[0], group), min(items[1], group), min(items[2], group)),
        wave=min(_wave(handle), group),
        local_bytes=handle.local_mem_size,
        local_is_real=_local_is_real(handle),
        units=max(1, handle.max_compute_units),
        max_alloc=most,
        global_bytes=handle.global_mem_size,
        max_argument_bytes=handle.max_parameter_size,
        fp64="cl_khr_fp64" in extensions,
        fp16="cl_khr_fp16" in extensions or _nvidia(handle) >= (6, 0),
        denormals=bool(config & flags.DENORM),
        rounded_divide=bool(config & flags.CORRECTLY_ROUNDED_DIVIDE_SQRT),
        fused_multiply_add=_fast_fma(handle),
        int_dot=_int_dot(handle, extensions),
        atomics64="cl_khr_int64_base_atomics" in extensions,
        unified_memory=bool(handle.host_unified_memory),
    )


def _wave(handle: Any) -> int:
    """How many work-items run in step: 64 unless the vendor's extension says it."""
    wave = _optional(handle, "warp_size_nv", 0)
    return wave or _optional(handle, "wavefront_width_amd", 0) or _WAVE


def _local_is_real(handle: Any) -> bool:
    as_gpu = bool(handle.type & cl.device_type.CPU)
    return as_gpu or handle.local_mem_type == cl.device_local_mem_type.LOCAL


def _nvidia(handle: Any) -> tuple[int, int]:
    """The compute capability of an NVIDIA card, (0, 0) of any other."""
    major = _optional(handle, "compute_capability_major_nv", 0)
    return major, _optional(handle, "compute_capability_minor_nv", 0)


def _fast_fma(handle: Any) -> bool:
    """Whether `fma` runs at the rate of a product.

    The FMA bit says only that it is there: on AMD's cards before Vega (gfx9) it runs
    at a quarter of the rate.
    """
    if not handle.single_fp_config & cl.device_fp_config.FMA:
        return False
    generation = _optional(handle, "gfxip_major_amd", 0)
    return not 0 < generation < 9


def _int_dot(handle: Any, extensions: set[str]) -> bool:
    """Whether 8-bit dot products are fast; Intel's drivers list what is emulated."""
    listed = "cl_khr_integer_dot_product" in extensions
    return _nvidia(handle) >= (6, 1) or (
        listed and "intel" not in handle.vendor.lower()
    )


# ------------------------------------------------------------------ limits


def parse_limits(text: str) -> dict[str, Any]:
    """Return the fields of `Facts` that a text like ``fp64=0,max_group=64`` sets.

    Raises:
        ValueError: An unknown field, or a value of the wrong kind.
    """
    fields = attrs.fields_dict(Facts)
    limits: dict[str, Any] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        try:
            if not equals or name not in fields:
                raise ValueError(name)
            limits[name] = _limit_value(type(fields[name].default), name, value)
        except ValueError:
            raise ValueError(
                f"{_LIMITS_VARIABLE}: expected field=value,..., got {part!r}; numbers "
                f"are whole, a truth is 0 or 1, max_item is like 64x64x64, kind is gpu "
                f"or cpu; the fields are {', '.join(fields)}"
            ) from None
    return limits


def _limit_value(kind: type, name: str, value: str) -> Any:
    if kind is bool:
        return ("0", "1").index(value) == 1
    if kind is str:
        return ("gpu", "cpu")[("gpu", "cpu").index(value)]
    sizes = tuple(int(piece) for piece in value.split("x"))
    if min(sizes) < 1 or len(sizes) != (3 if kind is tuple else 1):
        raise ValueError(name)
    return sizes if kind is tuple else sizes[0]


def limited(facts: Facts, limits: dict[str, Any]) -> Facts:
    """Return the facts with some of them set; a limit is lowered, never raised."""
    changes = dict(limits)
    for name in _LOWERED & changes.keys():
        changes[name] = _smaller(changes[name], getattr(facts, name))
    made = attrs.evolve(facts, **changes)
    group = made.max_group
    return attrs.evolve(
        made,
        max_item=_smaller(made.max_item, (group, group, group)),
        wave=min(made.wave, group),
        max_alloc=min(made.max_alloc, made.global_bytes),
    )


def _smaller(one: Any, other: Any) -> Any:
    if isinstance(one, tuple):
        return tuple(map(min, one, other))
    return min(one, other)
