"""What a suite is: a module of this package, named as the suite, with `run(options)`.

`run` takes the parsed arguments and returns a `Report`. A module that is a suite is
imported after the number of threads is set, and by nobody else than `load`.
"""

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, TypeVar

from attrs import frozen

SUITES = ("core", "opencl", "placement", "fields")

Named = TypeVar("Named")


@frozen
class Report:
    """What a suite measured.

    Args:
        name: The stem of its file in `results/`.
        text: Where it was measured, and the table; goes into the README.
        remarks: Failures and notes, a line each.
        content: All of it, for the JSON file.
        failed: Whether one of our rows failed (wrong or broken, not slow).
    """

    name: str
    text: str
    remarks: str
    content: dict[str, Any]
    failed: bool


def load(suite: str) -> ModuleType:
    """Import the module of a suite."""
    return importlib.import_module(f"benchmarks.{suite}")


def select(rows: Sequence[Named], names: Sequence[str]) -> list[Named]:
    """Return the named rows of a suite, all of them without names."""
    known = {row.name: row for row in rows}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no such row: {', '.join(unknown)}; rows: {', '.join(known)}")
    return [row for row in rows if not names or row.name in names]


def say(text: str) -> None:
    print(f"measuring {text} ...", file=sys.stderr, flush=True)
