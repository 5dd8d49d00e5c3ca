"""`rxcore doctor`: does every device compute what NumPy computes?"""

from __future__ import annotations

import math
import sys
from typing import Any

import click

from rxcore import __version__
from rxcore.cli.devices import (
    device_option,
    driver,
    label,
    problems,
    targets,
    why_none,
)
from rxcore.cli.diagnosis import Diagnosis, Row, diagnose
from rxcore.cli.examine import Finding, Status
from rxcore.cli.output import json_option, print_json, table
from rxcore.cli.suite import checks, families

__all__ = ["doctor"]

_COLOURS: dict[Status, str] = {
    "ok": "green",
    "not supported": "yellow",
    "error": "magenta",
    "wrong": "red",
}


@click.command(short_help="Compare every device with NumPy, by families of ops.")
@device_option
@click.option(
    "--family",
    "wanted",
    metavar="NAME",
    multiple=True,
    help="A family of ops, as in the table; may be repeated. Default: all.",
)
@json_option
@click.pass_context
def doctor(
    ctx: click.Context, chosen: tuple[str, ...], wanted: tuple[str, ...], as_json: bool
) -> None:
    """Compare every device with NumPy, one family of ops after the other.

    Small programs of each family are run on sizes that no work-group divides, and on
    about a million elements. Whole numbers must come out exactly. On a device that
    rounds as the processor does, elementwise results must have the processor's bits.

    A family that fails is recorded for the device and its driver. Programs with such
    an op run on the CPU from then on, and a warning says so, until the doctor finds
    that the family passes. So is a family in which a driver ended the process: start
    the doctor once more, and it goes on with the others.

    Results: `ok`, `wrong`, `error` (the device failed) or `not supported` (the device
    lacks something that the family needs). Errors are in units in the last place.

    Exit code: 1 if any result is wrong, else 0.

    \b
    Examples:
      rxcore doctor
      rxcore doctor --device opencl --family sort --family control
      rxcore doctor --json > report.json
    """  # noqa: D301
    every = families()
    for name in wanted:
        if name not in every:
            raise click.BadParameter(
                f"there is no family {name!r}; there are {', '.join(every)}",
                param_hint="--family",
            )
    found = targets(chosen)
    suite = [c for c in checks() if not wanted or c.family in wanted]
    with click.progressbar(
        length=len(suite) * len(found),
        label="examining",
        item_show_func=lambda text: text,
        file=sys.stderr,
        hidden=as_json or not sys.stderr.isatty(),
    ) as bar:
        made = diagnose(found, suite, lambda text: bar.update(1, text))
    if as_json:
        print_json(_report(made))
    else:
        _show(made)
    if any(d.is_wrong for d in made):
        ctx.exit(1)


# For people --------------------------------------------------------------------------


def _show(made: list[Diagnosis]) -> None:
    for d in made:
        click.echo(click.style(label(d.target), bold=True))
        head = ("family", "result", "worst error", "time")
        click.echo(table(head, [_cells(r) for r in d.rows], right=(2, 3)))
        _show_notes(d)
        click.echo()
    if why_none():
        click.echo(f"no OpenCL device: {why_none()}")
    bad = sum(r.status == "wrong" for d in made for r in d.rows)
    if bad:
        many = "1 family is" if bad == 1 else f"{bad} families are"
        click.echo(click.style(f"{many} wrong", fg="red", bold=True))
    else:
        click.echo("no wrong result")


def _cells(row: Row) -> list[str]:
    mark = " *" if row.on_host else ""
    result = click.style(row.status, fg=_COLOURS[row.status]) + mark
    error = "" if row.ulps is None else _error(row.ulps)
    return [row.family, result, error, f"{row.seconds:.2f} s"]


def _error(ulps: float) -> str:
    if not ulps:
        return "0"
    return "unequal" if math.isinf(ulps) else f"{ulps:.3g} ULP"


def _show_notes(d: Diagnosis) -> None:
    hosted = dict.fromkeys(op for r in d.rows for op in r.on_host)
    if hosted:
        click.echo(f"* the host computes by NumPy: {', '.join(hosted)}")
    for r in d.rows:
        if r.status != "ok":
            click.echo(f"{r.family}: {r.text}")
    if d.refused:
        where = f", recorded in {d.file}" if d.file else ""
        click.echo(f"the CPU runs these from now on{where}: {', '.join(d.refused)}")


# For programs ------------------------------------------------------------------------


def _report(made: list[Diagnosis]) -> dict[str, Any]:
    return {
        "rxcore": __version__,
        "wrong": any(d.is_wrong for d in made),
        "devices": [
            {
                "name": "cpu" if d.target is None else d.target.name,
                "description": label(d.target).partition(": ")[2],
                "driver": driver(d.target),
                "families": [_family(r) for r in d.rows],
                "refused": d.refused,
                "recorded_in": d.file,
            }
            for d in made
        ],
        "problems": problems(),
        "why_none": why_none(),
    }


def _family(row: Row) -> dict[str, Any]:
    return {
        "family": row.family,
        "status": row.status,
        "ulps": _number(row.ulps),
        "seconds": round(row.seconds, 6),
        "text": row.text,
        "on_host": list(row.on_host),
        "checks": [_check(f) for f in row.findings],
    }


def _check(f: Finding) -> dict[str, Any]:
    return {
        "name": f.check.name,
        "status": f.status,
        "ulps": _number(f.ulps),
        "seconds": round(f.seconds, 6),
        "text": f.text,
        "on_host": list(f.on_host),
    }


def _number(ulps: float | None) -> float | None:
    """Return an error as JSON has it: null where there is no number for it."""
    return None if ulps is None or math.isinf(ulps) else ulps
