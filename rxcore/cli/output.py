"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

__all__ = ["as_bytes", "json_option", "print_json", "table"]

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON and nothing else."
)


def print_json(value: Any) -> None:
    """Print a value as JSON, keys in the order in which they are given."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> str:
    """Return rows in columns that are as wide as their texts.

    Args:
        head: the columns' titles.
        rows: texts, which may be styled.
        right: columns whose texts are aligned to the right.
    """
    every = [[click.style(h, bold=True) for h in head], *rows]
    widths = [max(_width(row[k]) for row in every) for k in range(len(head))]
    lines = []
    for row in every:
        parts = []
        for k, (text, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - _width(text))
            parts.append(space + text if k in right else text + space)
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def _width(text: str) -> int:
    return len(click.unstyle(text))


def as_bytes(count: int) -> str:
    """Return a number of bytes for people: `4.2 GiB`."""
    size, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB")
    for unit in units:
        if size < 1024 or unit == units[-1]:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError
