"""Verdicts: what a device was found to compute wrongly, remembered on disk.

`rxcore doctor` writes them, one file for each device and driver. Programs with such
an op then run on the CPU, in other processes too, until a later run of the doctor
finds the device sound. A file that cannot be read is no verdict.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.ir.graph import Graph, subgraphs
from rxcore_kernels import cache
from rxcore_kernels.opencl import Device, device_stamp

__all__ = [
    "PREFIX",
    "families_of",
    "file_name",
    "ignored",
    "record",
    "recorded",
    "refused",
]

SCHEMA = 1
# Files in the cache's folder begin with it.
PREFIX = "verdicts-"
# Dtypes that a driver may get wrong by themselves: each is a family of its own.
# Nearly every program has float32 and bool, so these are not.
DTYPE_FAMILIES = frozenset({*dtypes.INTEGERS, *dtypes.FLOATS} - {dtypes.float32})

# What was read or recorded, by folder and file: files are read once per process.
_known: dict[tuple[Path | None, str], dict[str, str]] = {}
_ignoring: ContextVar[bool] = ContextVar("rxcore_verdicts_ignored", default=False)


def file_name(device: Device) -> str:
    """Return the name of a device's file: another driver, another file."""
    return f"{PREFIX}{device_stamp(device)}.json"


def recorded(device: Device) -> dict[str, str]:
    """Return what is recorded of a device: family and what was seen."""
    folder, name = cache.current().path, file_name(device)
    found = _known.get((folder, name))
    if found is None:
        found = {} if folder is None else _read(folder / name)
        _known[folder, name] = found
    return found


def _read(file: Path) -> dict[str, str]:
    try:
        content = json.loads(file.read_bytes())
        if content["schema"] != SCHEMA:
            return {}
        return {str(k): str(v) for k, v in content["families"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def record(
    device: Device, examined: Iterable[str], failures: Mapping[str, str]
) -> Path | None:
    """Record what an examination of a device has found.

    Args:
        device: which was examined.
        examined: the families that were; what is recorded of others stays.
        failures: those of them that failed, each with what was seen.

    Returns:
        The file, or None where nothing is recorded (any more) or no folder is usable;
        what is recorded holds in this process all the same.
    """
    done = set(examined)
    kept = {k: v for k, v in recorded(device).items() if k not in done}
    made = dict(sorted({**kept, **failures}.items()))
    folder, name = cache.current().path, file_name(device)
    _known[folder, name] = made
    if folder is None:
        return None
    file = folder / name
    if not made:
        with contextlib.suppress(OSError):
            file.unlink()
        return None
    content = {
        "schema": SCHEMA,
        "platform": device.platform,
        "device": device.name,
        "driver": device.driver,
        "families": made,
    }
    return file if _write(file, content) else None


def _write(file: Path, content: dict[str, Any]) -> bool:
    """Write beside the file and move into place: readers see all or nothing."""
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(
            dir=file.parent, prefix=".", suffix=".part"
        )
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(content, stream, indent=2)
        Path(temporary).replace(file)
    except OSError:
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        return False
    return True


def refused(device: Device, families: Iterable[str]) -> str:
    """Say why a device must not run ops of these families, or nothing.

    `families` is not looked at where nothing is recorded.
    """
    if _ignoring.get():
        return ""
    found = recorded(device)
    if not found:
        return ""
    wrong = sorted(found.keys() & set(families))
    if not wrong:
        return ""
    return (
        f"`rxcore doctor` found that {wrong[0]} fails on it; after an update of its"
        " driver run `rxcore doctor` again"
    )


def families_of(*graphs: Graph) -> Iterator[str]:
    """Yield the families of all ops of Graphs, those of bodies too, and of dtypes."""
    seen: set[str | DType] = set()

    def new(key: str | DType) -> bool:
        fresh = key not in seen
        seen.add(key)
        return fresh

    todo = list(graphs)
    while todo:
        graph = todo.pop()
        types = list(graph.in_types)
        for e in graph.equations:
            if new(e.primitive.family):
                yield e.primitive.family
            types += [v.type for v in e.outputs]
            todo += subgraphs(e.params)
        for type in types:
            if type.dtype in DTYPE_FAMILIES and new(type.dtype):
                yield type.dtype.name


@contextmanager
def ignored() -> Iterator[None]:
    """Let devices run what they are known to get wrong, to examine them again."""
    token = _ignoring.set(True)
    try:
        yield
    finally:
        _ignoring.reset(token)


def forget() -> None:
    """Forget what was read: the next use reads the files again."""
    _known.clear()
