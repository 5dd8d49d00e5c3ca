"""`rxcore devices`: what programs can run on."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import attrs
import click

from rxcore.cli.output import as_bytes, json_option, print_json, table
from rxcore.runtime import verdicts
from rxcore.runtime.devices import Target, find
from rxcore.runtime.devices import devices as names
from rxcore_kernels import host, opencl

__all__ = ["device_option", "devices", "driver", "label", "problems", "targets"]

device_option = click.option(
    "--device",
    "chosen",
    metavar="NAME",
    multiple=True,
    help="A name that `rxcore devices` prints; may be repeated. Default: all.",
)


@click.command()
@json_option
def devices(as_json: bool) -> None:
    """List the devices that programs can run on.

    The names are those that rx.jit(device=...), rx.device_put and rx.default_device
    take. `opencl` is the best GPU, or the best OpenCL device where there is no GPU.
    What could be a device and is not is listed below, with the reason.

    \b
    Examples:
      rxcore devices
      rxcore devices --json | jq -r '.devices[].name'
    """  # noqa: D301
    found = [_described(t) for t in targets(())]
    left_out = problems()
    if as_json:
        print_json({"devices": found, "problems": left_out, "why_none": why_none()})
        return
    rows = [
        [
            click.style(d["name"], fg="cyan"),
            d["description"],
            d["kind"],
            as_bytes(d["memory"]),
            str(d["units"]),
            "yes" if d["fp64"] else "no",
            d["driver"],
        ]
        for d in found
    ]
    head = ("name", "description", "kind", "memory", "units", "fp64", "driver")
    click.echo(table(head, rows, right=(3, 4)))
    for d in found:
        if d["refused"]:
            bad = ", ".join(d["refused"])
            click.echo(f"\n{d['name']} does not run {bad}: see `rxcore doctor`")
    if why_none():
        click.echo(f"\nno OpenCL device: {why_none()}")
    else:
        for p in left_out:
            click.echo(f"\nleft out: {p['where']}: {p['why']}")


def targets(chosen: tuple[str, ...]) -> list[Target | None]:
    """Return the devices of some names, or all; None is the CPU.

    Raises:
        UsageError: the environment's limits cannot be read.
        DeviceError: there is no such device.
    """
    try:
        opencl.devices()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return [find(n, "--device") for n in dict.fromkeys(chosen or names())]


def problems() -> list[dict[str, str]]:
    """Return what could be a device and is not."""
    return [{"where": where, "why": why} for where, why in opencl.problems()]


def why_none() -> str:
    """Return in one line why there is no OpenCL device, or nothing."""
    return opencl.why_none()


def label(target: Target | None) -> str:
    """Return a device's name with what it is."""
    if target is None:
        return f"cpu: {_processor()}"
    d = target.device
    return f"{target.name}: {d.name} ({d.platform}, driver {d.driver})"


def driver(target: Target | None) -> str:
    """Return a driver's version; the CPU's is the compiler."""
    if target is None:
        return f"llvmlite {importlib.metadata.version('llvmlite')}"
    return target.device.driver


def _described(target: Target | None) -> dict[str, Any]:
    if target is None:
        return {
            "name": "cpu",
            "description": _processor(),
            "kind": "cpu",
            "memory": host.memory_bytes(),
            "units": host.available_cpus(),
            "fp64": True,
            "driver": driver(None),
            "platform": "",
            "facts": None,
            "refused": [],
        }
    device, facts = target.device, target.facts
    return {
        "name": target.name,
        "description": device.name,
        "kind": "cpu" if target.is_cpu else "gpu",
        "memory": facts.global_bytes,
        "units": facts.units,
        "fp64": facts.fp64,
        "driver": device.driver,
        "platform": device.platform,
        "facts": attrs.asdict(facts),
        "refused": list(verdicts.recorded(device)),
    }


def _processor() -> str:
    """Return the processor's name as its maker writes it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()
