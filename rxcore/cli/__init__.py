"""The command line: `rxcore devices`, `doctor`, `calibrate`, `explain`, `cache`."""

from __future__ import annotations

from rxcore.cli.main import main

__all__ = ["main"]
