"""Profiles as JSON: read with every field checked, written, found for a device."""

from __future__ import annotations

import functools
import importlib.resources
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from rxcore.base.errors import DeviceError
from rxcore.compiler.form import WAVE
from rxcore.runtime.cost.rates import (
    CLASSES,
    SCHEMA,
    Limits,
    Profile,
    Rate,
    Transfer,
    write_text,
)
from rxcore_kernels import cache, host
from rxcore_kernels.opencl_facts import Facts

__all__ = [
    "SHIPPED",
    "dumps",
    "host_profile",
    "load",
    "loads",
    "measured",
    "profile_for",
    "profile_path",
    "save",
    "shipped",
]

SHIPPED = ("cpu", "pocl", "rx580", "vega64", "rx5700xt")
KINDS = ("cpu", "opencl-cpu", "gpu")
_FIELDS = (
    *("schema", "device", "kind", "limits", "facts", "names", "rates", "launch"),
    *("sync", "transfer", "sources", "corrections"),
)
_OPTIONAL = ("facts", "names", "sources", "corrections")
_TYPES = (dict, list, str, bool, int, float)


class _Reader:
    """Checks values, and says of a wrong one where it stands."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fail(self, where: str, expected: str, found: Any) -> DeviceError:
        shown = "nothing" if found is _NOTHING else repr(found)
        return DeviceError(
            f"profile {self.name}: field {where or '(top)'}: expected {expected}, found"
            f" {shown[:80]}; correct that field, or delete the file so that the"
            " device is measured again"
        )

    def object(
        self, value: Any, where: str, known: tuple[str, ...], optional: Any = ()
    ) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self.fail(where, "an object {...}", value)
        for key in value:
            if key not in known:
                names = ", ".join(known)
                raise self.fail(_at(where, key), f"one of the fields {names}", key)
        for key in known:
            if key not in value and key not in optional:
                raise self.fail(_at(where, key), "a value", _NOTHING)
        return value

    def number(self, value: Any, where: str, *, positive: bool = False) -> float:
        least = "a number above 0" if positive else "a number of at least 0"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fail(where, least, value)
        if not math.isfinite(value) or value < 0 or (positive and value == 0):
            raise self.fail(where, least, value)
        return float(value)

    def whole(self, value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.fail(where, "a whole number of at least 0", value)
        return value

    def text(self, value: Any, where: str) -> str:
        if not isinstance(value, str):
            raise self.fail(where, "a text", value)
        return value

    def items(self, value: Any, where: str, count: int | None = None) -> list[Any]:
        expected = "a list" if count is None else f"a list of {count} items"
        if not isinstance(value, list) or count not in (None, len(value)):
            raise self.fail(where, expected, value)
        return value

    def rate(self, value: Any, where: str) -> Rate:
        if not isinstance(value, list) or len(value) != 2:
            raise self.fail(where, "[seconds, spread], two numbers", value)
        seconds = self.number(value[0], f"{where}[0]", positive=True)
        return Rate(seconds, self.number(value[1], f"{where}[1]"))

    def transfer(self, value: Any, where: str) -> Transfer:
        if not isinstance(value, list) or len(value) != 2:
            raise self.fail(where, "[seconds, seconds per byte], two numbers", value)
        pair = [self.number(v, f"{where}[{k}]") for k, v in enumerate(value)]
        return Transfer(*pair)


_NOTHING: Any = object()


def _at(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def loads(text: str, name: str = "text") -> Profile:
    """Return the profile that a JSON text is.

    Args:
        text: the text.
        name: what to call it in errors.

    Raises:
        DeviceError: it is no profile; the text names the field, what was expected
            there and what was found.

    Example:
        >>> loads('{"schema": 0}', "mine.json")
        Traceback (most recent call last):
            ...
        rxcore.base.errors.DeviceError: profile mine.json: field schema: expected 1,
        found 0; correct that field, or delete the file so that the device is
        measured again
    """
    read = _Reader(name)
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DeviceError(
            f"profile {name}: expected JSON, found a text that is none ({error});"
            " correct it, or delete the file so that the device is measured again"
        ) from None
    if isinstance(data, dict) and data.get("schema", SCHEMA) != SCHEMA:
        raise read.fail("schema", str(SCHEMA), data["schema"])
    data = read.object(data, "", _FIELDS, _OPTIONAL)
    kind = read.text(data["kind"], "kind")
    if kind not in KINDS:
        raise read.fail("kind", f"one of {', '.join(KINDS)}", kind)
    moves = read.object(data["transfer"], "transfer", ("up", "down"))
    names = read.items(data.get("names", []), "names")
    sources = data.get("sources", {})
    sources = read.object(sources, "sources", tuple(sources) if sources else ())
    return Profile(
        device=read.text(data["device"], "device"),
        kind=kind,
        limits=_limits(read, data["limits"]),
        rates=_rates(read, data["rates"]),
        launch=read.rate(data["launch"], "launch"),
        sync=read.rate(data["sync"], "sync"),
        up=read.transfer(moves["up"], "transfer.up"),
        down=read.transfer(moves["down"], "transfer.down"),
        facts=_facts(read, data.get("facts")),
        names=tuple(read.text(n, f"names[{k}]") for k, n in enumerate(names)),
        sources={k: read.text(v, f"sources.{k}") for k, v in sources.items()},
        corrections=_corrections(read, data.get("corrections", [])),
    )


def _limits(read: _Reader, value: Any) -> Limits:
    fields = attrs.fields_dict(Limits)
    data = dict(read.object(value, "limits", tuple(fields), tuple(fields)))
    for key, found in data.items():
        where = f"limits.{key}"
        if key == "caches":
            pair = read.items(found, where, 2)
            data[key] = tuple(
                read.whole(v, f"{where}[{k}]") for k, v in enumerate(pair)
            )
        elif key in ("memory_threads", "wake", "written"):
            data[key] = read.number(found, where)
        else:
            data[key] = read.whole(found, where)
    return Limits(**data)


def _rates(read: _Reader, value: Any) -> dict[str, dict[str, Rate]]:
    if not isinstance(value, dict):
        raise read.fail("rates", "an object {...}", value)
    made: dict[str, dict[str, Rate]] = {}
    for shape, row in value.items():
        where = f"rates.{shape}"
        found = read.object(row, where, CLASSES, CLASSES)
        made[shape] = {c: read.rate(r, f"{where}.{c}") for c, r in found.items()}
    for shape, needed in (("elementwise", CLASSES), ("kernel", ("muladd",))):
        for c in needed:
            if c not in made.get(shape, {}):
                raise read.fail(f"rates.{shape}.{c}", "[seconds, spread]", _NOTHING)
    return made


def _facts(read: _Reader, value: Any) -> Facts | None:
    if value is None:
        return None
    known = attrs.fields_dict(Facts)
    data = dict(read.object(value, "facts", tuple(known), tuple(known)))
    for key, found in data.items():
        where = f"facts.{key}"
        default = known[key].default
        if key == "max_item":
            three = read.items(found, where, 3)
            data[key] = tuple(read.whole(v, where) for v in three)
        elif isinstance(default, bool):
            if not isinstance(found, bool):
                raise read.fail(where, "true or false", found)
        elif isinstance(default, int):
            data[key] = read.whole(found, where)
        elif found not in ("gpu", "cpu"):
            raise read.fail(where, "gpu or cpu", found)
    return Facts(**data)


def _corrections(read: _Reader, value: Any) -> tuple[tuple[str, int, int, float], ...]:
    made = []
    for k, row in enumerate(read.items(value, "corrections")):
        where = f"corrections[{k}]"
        key, bucket, count, ratio = read.items(row, where, 4)
        if isinstance(ratio, bool) or not isinstance(ratio, int | float):
            raise read.fail(f"{where}[3]", "a number", ratio)
        numbers = read.whole(bucket, f"{where}[1]"), read.whole(count, f"{where}[2]")
        made.append((read.text(key, f"{where}[0]"), *numbers, float(ratio)))
    return tuple(made)


# Writing ------------------------------------------------------------------------------


def _tidy(value: float) -> float:
    return float(f"{value:.4g}")


def dumps(profile: Profile) -> str:
    """Return a profile as JSON, one rate a line."""
    rates = {
        shape: {c: [_tidy(r.seconds), _tidy(r.spread)] for c, r in row.items()}
        for shape, row in profile.rates.items()
    }
    up, down = profile.up, profile.down
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "device": profile.device,
        "kind": profile.kind,
        "names": list(profile.names),
        "limits": attrs.asdict(profile.limits),
        "facts": None if profile.facts is None else attrs.asdict(profile.facts),
        "launch": [_tidy(profile.launch.seconds), _tidy(profile.launch.spread)],
        "sync": [_tidy(profile.sync.seconds), _tidy(profile.sync.spread)],
        "transfer": {
            "up": [_tidy(up.latency), _tidy(up.per_byte)],
            "down": [_tidy(down.latency), _tidy(down.per_byte)],
        },
        "rates": rates,
        "sources": dict(profile.sources),
        "corrections": [list(row) for row in profile.corrections],
    }
    text = json.dumps(data, indent=2)
    # Short lists on one line.
    return re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", _joined, text) + "\n"


def _joined(found: re.Match[str]) -> str:
    return "[" + re.sub(r"\s*\n\s*", " ", found.group(1)) + "]"


def load(path: Path | str) -> Profile:
    """Return the profile in a file.

    Raises:
        DeviceError: the file cannot be read, or is no profile.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise DeviceError(
            f"profile {path}: expected a readable file, found none ({reason}); name"
            " one that exists, or use a shipped profile: " + ", ".join(SHIPPED)
        ) from error
    return loads(text, str(path))


def save(profile: Profile, path: Path | str) -> None:
    """Store a profile: the whole file or nothing.

    Raises:
        DeviceError: the folder cannot be written to.
    """
    write_text(Path(path), dumps(profile))


# Finding ------------------------------------------------------------------------------


@functools.cache
def shipped(name: str) -> Profile:
    """Return a profile that comes with the package.

    Raises:
        DeviceError: there is none of this name.

    Example:
        >>> shipped("rx580").facts.units
        36
    """
    if name not in SHIPPED:
        raise DeviceError(
            f"profile {name!r}: expected one of {', '.join(SHIPPED)}; or load your own"
            " from a file"
        )
    folder = importlib.resources.files("rxcore.runtime.cost") / "profiles"
    return loads((folder / f"{name}.json").read_text("utf-8"), f"{name}.json")


def host_profile(threads: int | None = None) -> Profile:
    """Return what is expected of this machine's CPU before it is measured."""
    base = shipped("cpu")
    found = host.features()
    count = threads or host.available_cpus()
    limits = attrs.evolve(
        base.limits,
        threads=count,
        memory_threads=1.0 + (base.limits.memory_threads - 1.0) * min(count - 1, 3),
        memory_bytes=host.memory_bytes(),
        caches=(host.cache_sizes()[1], base.limits.caches[1]),
    )
    width = found.vector_bits / 512
    made = base if width == 1 else base.scaled(compute=max(width, 0.25))
    return attrs.evolve(made, limits=limits, device=found.name)


def profile_for(name: str, facts: Facts) -> Profile:
    """Return the shipped profile of an OpenCL device, before it is measured.

    A GPU that none is for gets that of the RX 580, by its number of units.

    Args:
        name: the device's name.
        facts: what it can do.
    """
    lower = name.lower()
    for each in map(shipped, SHIPPED[1:]):
        if any(part in lower for part in each.names):
            found = each
            break
    else:
        found = shipped("pocl" if facts.kind == "cpu" else "rx580")
        base = found.facts.units if found.facts else facts.units
        ratio = max(facts.units, 1) / max(base, 1)
        found = found.scaled(compute=ratio, bandwidth=min(ratio, 4.0), device=name)
    limits = attrs.evolve(
        found.limits, memory_bytes=facts.global_bytes, alloc_bytes=facts.max_alloc
    )
    if found.kind == "opencl-cpu":
        # Each of its units runs a group at a time, however large that is.
        limits = attrs.evolve(limits, saturation=facts.units * WAVE)
    return attrs.evolve(found, limits=limits, facts=facts, device=name)


def profile_path(device: str, driver: str, version: str) -> Path | None:
    """Return where the measured profile of a device is stored, None: nowhere."""
    folder = cache.current().path
    if folder is None:
        return None
    parts = (device, driver, version, str(SCHEMA))
    plain = "-".join(re.sub(r"[^A-Za-z0-9.]+", "_", p).strip("_") for p in parts if p)
    return Path(folder) / f"profile-{plain}.json"


def measured(path: Path | None, otherwise: Callable[[], Profile]) -> Profile:
    """Return a stored profile, or another one where it is not there or unreadable."""
    if path is None:
        return otherwise()
    try:
        return load(path)
    except DeviceError:
        return otherwise()
