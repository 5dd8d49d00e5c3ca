"""All checks, in the order in which they are run."""

from __future__ import annotations

from rxcore.cli.suite.arrays import array_checks
from rxcore.cli.suite.check import Check
from rxcore.cli.suite.control import control_checks
from rxcore.cli.suite.kernels import kernel_checks
from rxcore.cli.suite.scalars import scalar_checks
from rxcore.cli.suite.types import type_checks

__all__ = ["checks", "families"]


def checks() -> list[Check]:
    """Return all checks."""
    return [
        *scalar_checks(),
        *array_checks(),
        *kernel_checks(),
        *control_checks(),
        *type_checks(),
    ]


def families() -> tuple[str, ...]:
    """Return the families that are checked, in order."""
    return tuple(dict.fromkeys(c.family for c in checks()))
