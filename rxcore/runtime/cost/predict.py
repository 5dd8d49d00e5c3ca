"""Predict: from what a kernel does and a device's rates to seconds.

t = launch + (memory^4 + arithmetic^4 + serial^4)^(1/4), as each of the three hides
behind the largest one; p = 4 fits overlap better than a sum or a maximum, and any
value from 2 to 6 about as well. Bytes that are met for the first time come from where
the working set lies, those met again from where what is between lies; a working set
near a cache's size is served by both sides, blended over about an octave.

`compile_cost` writes all of that as one Python function for each Form, with the rates
folded in: it takes about a third of a microsecond. `terms` says the same in parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from attrs import frozen

from rxcore.compiler.form import Features, Form
from rxcore.compiler.polynomial import Polynomial
from rxcore.runtime.cost.rates import Limits, Profile

__all__ = [
    "MEMORY",
    "SERIAL",
    "Cost",
    "Model",
    "Terms",
    "blend",
    "compile_cost",
    "shared_time",
    "terms",
    "units",
]

Cost = Callable[..., float]

MEMORY = ("cache", "shared", "memory")
SERIAL = ("serial",)


@frozen
class Terms:
    """A prediction in seconds, by what takes the time.

    Args:
        launch: starting kernels, and what a call takes beside them.
        memory: bytes from caches and memory.
        arithmetic: operations, and loads and stores of what is near.
        serial: what must wait for the step before.
        transfers: copies between host and device.
        total: all of it; parts that overlap hide behind the largest.
        spread: the standard deviation of the total's logarithm.
    """

    launch: float = 0.0
    memory: float = 0.0
    arithmetic: float = 0.0
    serial: float = 0.0
    transfers: float = 0.0
    total: float = 0.0
    spread: float = 0.0

    def __add__(self, other: Terms) -> Terms:
        total = self.total + other.total
        # Errors of one device's rates go the same way: they do not average out.
        shares = self.spread * self.total + other.spread * other.total
        return Terms(
            self.launch + other.launch,
            self.memory + other.memory,
            self.arithmetic + other.arithmetic,
            self.serial + other.serial,
            self.transfers + other.transfers,
            total,
            shares / total if total else 0.0,
        )

    def __mul__(self, times: float) -> Terms:
        return Terms(
            self.launch * times,
            self.memory * times,
            self.arithmetic * times,
            self.serial * times,
            self.transfers * times,
            self.total * times,
            self.spread,
        )

    @property
    def limit(self) -> str:
        """The name of the largest part."""
        parts = ("launch", "memory", "arithmetic", "serial", "transfers")
        return max(parts, key=lambda name: float(getattr(self, name)))


def blend(nbytes: float, limits: Limits) -> tuple[float, float, float]:
    """Return which shares of some bytes come from each cache, and from memory."""
    first, second = (_beyond(nbytes, size) for size in limits.caches)
    return 1.0 - first, first * (1.0 - second), first * second


def _beyond(nbytes: float, size: int) -> float:
    """Return the share of bytes that a cache does not serve."""
    square = float(nbytes) * nbytes
    return square / (square + float(size) * size) if square else 0.0


def units(f: Features, limits: Limits) -> tuple[dict[str, float], ...]:
    """Return what a kernel does, by what takes time: memory, arithmetic, serial."""
    memory = dict.fromkeys(MEMORY, 0.0)
    new = f.read + limits.written * f.written
    for nbytes, distance in ((new, f.touched), (f.again, f.near)):
        for name, share in zip(MEMORY, blend(distance, limits), strict=True):
            memory[name] += nbytes * share
    counts = f.counts()
    serial = {c: n for c, n in counts.items() if c in SERIAL}
    return memory, {c: n for c, n in counts.items() if c not in SERIAL}, serial


def shared_time(
    memory: float, arithmetic: float, serial: float, items: int, limits: Limits
) -> float:
    """Return the seconds of a kernel whose parts take so long on one processor.

    On a CPU, threads join once there is work for them. On a GPU, few work-items leave
    most of it idle.
    """
    busy = min(1.0, items / limits.saturation)
    if busy < 1.0:
        memory, arithmetic = memory / busy, arithmetic / busy
    alone = _norm(memory, arithmetic, serial)
    threads = min(items, limits.threads)
    if threads < 2 or alone <= limits.wake:
        return alone
    streams = max(min(threads, limits.memory_threads), 1.0)
    together = _norm(memory / streams, arithmetic / threads, serial / threads)
    return limits.wake + together * (1.0 - limits.wake / alone)


def _norm(a: float, b: float, c: float) -> float:
    a, b, c = a * a, b * b, c * c
    return math.sqrt(math.sqrt(a * a + b * b + c * c))


def terms(f: Features, profile: Profile) -> Terms:
    """Return a kernel's predicted time, in parts.

    Example:
        >>> from rxcore.compiler.form import handmade
        >>> from rxcore.runtime.cost.store import shipped
        >>> terms(handmade("matmul", 2e9, 12e6), shipped("rx580")).limit
        'arithmetic'
    """
    shape = _shape(f.form, profile)
    seconds: list[float] = []
    weighted = whole = 0.0
    for part in units(f, profile.limits):
        rates = [(profile.rate(shape, c), n) for c, n in part.items()]
        seconds.append(sum(r.seconds * n for r, n in rates))
        weighted += sum(r.spread * r.seconds * n for r, n in rates)
        whole += seconds[-1]
    memory, arithmetic, serial = seconds
    run = shared_time(memory, arithmetic, serial, f.items, profile.limits)
    launch = profile.launch.seconds
    total = launch + run
    spread = weighted / whole if whole else 0.0
    spread = (spread * run + profile.launch.spread * launch) / total
    scale = run / max(_norm(memory, arithmetic, serial), 1e-30)
    parts = (memory * scale, arithmetic * scale, serial * scale)
    return Terms(launch, *parts, total=total, spread=spread)


def _shape(form: Form, profile: Profile) -> str:
    if form.target == "kernel":
        return profile.kernel_shape(form.shape)
    return form.shape


def compile_cost(form: Form, profile: Profile) -> Cost:
    """Return a function of `Features.sizes` that predicts the seconds of a kernel.

    Args:
        form: what kernels of one text share.
        profile: the device.

    Example:
        >>> from rxcore.compiler.form import handmade
        >>> from rxcore.runtime.cost.store import shipped
        >>> f = handmade("matmul", 2e9, 12e6)
        >>> cost = compile_cost(f.form, shipped("rx580"))
        >>> abs(cost(*f.sizes) - terms(f, shipped("rx580")).total) < 1e-9
        True
    """
    names = [f"n{k}" for k in range(form.extents)]
    shape = _shape(form, profile)
    arithmetic = serial = Polynomial()
    for c, count in form.counts:
        weighted = count * profile.rate(shape, c).seconds
        if c in SERIAL:
            serial = serial + weighted
        else:
            arithmetic = arithmetic + weighted
    left = profile.rate(shape, "left").seconds
    memory = ("read", "written", "touched", "again", "near")
    given = ", ".join([*names, *memory, "items", "left"])
    lines = [
        f"def cost({given}):",
        *_memory_lines(shape, profile),
        f"    a = {arithmetic.text(names)} + {left!r} * left",
        *([f"    s = {serial.text(names)}"] if serial else []),
        *_sharing_lines(profile, bool(serial)),
    ]
    space: dict[str, Cost] = {"sqrt": math.sqrt}
    exec(compile("\n".join(lines), f"<cost of {form.shape}>", "exec"), space)
    return space["cost"]


def _memory_lines(shape: str, profile: Profile) -> list[str]:
    cache, shared, memory = (profile.rate(shape, c).seconds for c in MEMORY)
    first, second = (float(size) * size for size in profile.limits.caches)
    most = profile.limits.written

    def per_byte(square: str) -> str:
        return (
            f"({cache!r} + {_beyond_text(square, first)} * ({shared - cache!r}"
            f" + {_beyond_text(square, second)} * {memory - shared!r}))"
        )

    return [
        f"    m = (read + {most!r} * written) * {per_byte('touched')}",
        "    if again:",
        f"        m += again * {per_byte('near')}",
    ]


def _beyond_text(square: str, size: float) -> str:
    """Print what `_beyond` computes, from squares."""
    return f"{square} / ({square} + {size or 1e-300!r})"


def _sharing_lines(profile: Profile, serial: bool) -> list[str]:
    limits = profile.limits
    norm = ["    p = m * m", "    q = a * a", "    t = sqrt(sqrt(p * p + q * q))"]
    if serial:
        norm[2:] = ["    r = s * s", "    t = sqrt(sqrt(p * p + q * q + r * r))"]
    lines = []
    if limits.saturation > 1:
        most = float(limits.saturation)
        lines += [
            f"    if items < {most}:",
            f"        b = {most} / items",
            "        m *= b",
            "        a *= b",
        ]
    lines += norm
    if limits.threads > 1:
        streams = max(limits.memory_threads, 1.0)
        most = float(limits.threads)
        lines += [
            f"    if t > {limits.wake!r} and items > 1.0:",
            "        alone = t",
            f"        k = items if items < {most} else {most}",
            f"        m /= k if k < {streams!r} else {streams!r}",
            "        a /= k",
            *(["        s /= k"] if serial else []),
            *("    " + line for line in norm),
            f"        t = {limits.wake!r} + t * (1.0 - {limits.wake!r} / alone)",
        ]
    return [*lines, f"    return t + {profile.launch.seconds!r}"]


class _Costs(dict[Form, Cost]):
    """The costs of one device, each compiled when it is first asked for."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    def __missing__(self, form: Form) -> Cost:
        return self.setdefault(form, compile_cost(form, self.profile))


class Model:
    """A profile with its compiled costs: predictions for one device.

    Args:
        profile: how fast the device is.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._sync = profile.sync.seconds
        self._costs = _Costs(profile)

    def cost(self, form: Form) -> Cost:
        """Return the function that prices kernels of one text, compiled once."""
        return self._costs[form]

    def seconds(self, works: Iterable[tuple[Features, int]]) -> float:
        """Return the predicted seconds of a call.

        Args:
            works: the features of its kernels, and how often each one runs.
        """
        total, costs = self._sync, self._costs
        for f, times in works:
            total += costs[f.form](*f.sizes) * times
        return total

    def terms(self, works: Iterable[tuple[Features, int]]) -> Terms:
        """Return the predicted time of a call, in parts."""
        sync = self.profile.sync
        total = Terms(sync.seconds, total=sync.seconds, spread=sync.spread)
        for f, times in works:
            total = total + terms(f, self.profile) * times
        return total
