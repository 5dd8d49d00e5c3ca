"""`rxcore calibrate`: measure how fast devices are, so that calls go where it pays."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from attrs import define, frozen

from rxcore import __version__
from rxcore.base.lazy import LazyModule
from rxcore.cli.devices import device_option, targets
from rxcore.cli.output import json_option, print_json, table
from rxcore.runtime.devices import Target, Unsupported
from rxcore_kernels import cache
from rxcore_kernels.opencl import DeviceFault

__all__ = ["calibrate"]

# Loaded when something is measured: the help needs none of it.
store = LazyModule("rxcore.runtime.cost")
pricing = LazyModule("rxcore.runtime.pricing")
measuring = LazyModule("rxcore.runtime.cost.calibrate")
fitting = LazyModule("rxcore.runtime.cost.fit")
programs = LazyModule("rxcore.control.calibration")

_SECONDS, _QUICK_SECONDS = 7.5, 1.0
# Of the progress bar, for each device.
_STEPS = 1000


@click.command(short_help="Measure how fast the devices are.")
@device_option
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 600),
    help=f"How long to measure a device.  [default: {_SECONDS:g}, quick:"
    f" {_QUICK_SECONDS:g}]",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Run a few programs only, and scale the shipped profile by their times.",
)
@json_option
def calibrate(
    chosen: tuple[str, ...], seconds: float | None, quick: bool, as_json: bool
) -> None:
    """Measure how fast the devices are, and keep that for all later processes.

    Small programs of each shape of loops are run at several sizes. What they take
    becomes the device's profile, by which calls are placed: see `rxcore explain`. A
    profile belongs to a device, its driver and this version of rxcore; one of --quick
    counts where there is no other. Let nothing else run meanwhile.
    `rxcore cache clear profiles` forgets what was measured.

    \b
    Examples:
      rxcore calibrate
      rxcore calibrate --device opencl --seconds 30
      rxcore calibrate --quick --json
    """  # noqa: D301
    found = targets(chosen)
    now = cache.current()
    if now.path is None:
        raise click.ClickException(f"there is no cache on disk: {now.reason}")
    limit = seconds or (_QUICK_SECONDS if quick else _SECONDS)
    made: list[Measured] = []
    with click.progressbar(
        length=len(found) * _STEPS,
        label="measuring",
        item_show_func=lambda text: text,
        file=sys.stderr,
        hidden=as_json or not sys.stderr.isatty(),
    ) as bar:
        for target in found:
            first = len(made) * _STEPS

            def progress(part: float, text: str, first: int = first) -> None:
                bar.update(first + int(part * _STEPS) - bar.pos, text)

            made.append(_measured(target, limit, quick, progress))
    if as_json:
        print_json({"rxcore": __version__, "devices": [m.as_dict() for m in made]})
        return
    head = ("name", "programs", "time", "memory", "arithmetic", "launch", "profile")
    click.echo(table(head, [m.cells() for m in made], right=(1, 2, 3, 4, 5)))


@frozen(eq=False)
class Measured:
    """A device's new profile.

    Args:
        name: the device's name.
        count: programs at a size that were measured.
        seconds: how long that took.
        profile: the profile.
        file: where it is.
    """

    name: str
    count: int
    seconds: float
    profile: Any
    file: Path

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {
            "name": self.name,
            "programs": self.count,
            "seconds": round(self.seconds, 3),
            "file": str(self.file),
            "profile": json.loads(store.dumps(self.profile)),
        }

    def cells(self) -> list[str]:
        """Return a line of the table."""
        p = self.profile
        bandwidth = p.limits.memory_threads / p.rate("elementwise", "memory").seconds
        products = p.limits.threads / p.rate("elementwise", "muladd").seconds
        return [
            click.style(self.name, fg="cyan"),
            str(self.count),
            f"{self.seconds:.1f} s",
            f"{bandwidth / 1e9:.1f} GB/s",
            f"{2 * products / 1e9:.1f} GFLOP/s",
            f"{p.launch.seconds * 1e6:.2g} us",
            str(self.file),
        ]


@define(eq=False)
class Runner:
    """Times programs, and leaves out what a device cannot run.

    Args:
        inner: runs them.
        progress: told what part of the time is over, and which program is next.
        seconds: how long to measure.
    """

    inner: Any
    progress: Callable[[float, str], None]
    seconds: float
    begin: float

    def time(self, subject: Any, size: int) -> Any:
        """Return the measurement of a program at a size, or None."""
        over = (time.perf_counter() - self.begin) / self.seconds
        self.progress(min(over, 1.0), subject.name)
        try:
            return self.inner.time(subject, size)
        except (Unsupported, DeviceFault):
            return None


def _measured(
    target: Target | None,
    seconds: float,
    quick: bool,
    progress: Callable[[float, str], None],
) -> Measured:
    begin = time.perf_counter()
    here = target is None
    inner = measuring.CpuRunner() if here else measuring.DeviceRunner(target)
    runner = Runner(inner, progress, seconds, begin)
    subjects = programs.QUICK if quick else programs.PROGRAMS
    found = measuring.measure(runner, subjects, seconds)
    name = "cpu" if target is None else target.name
    if not found:
        raise click.ClickException(f"{name} can run none of the programs")
    fit = fitting.fit_scale if quick else fitting.fit
    profile = fit(found, pricing.shipped_for(target))
    file = pricing.path_of(target, quick=quick)
    store.save(profile, file)
    return Measured(name, len(found), time.perf_counter() - begin, profile, file)
