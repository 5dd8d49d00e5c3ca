"""What `rx.explain` gives: each target's predicted time, by terms, and the choice."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from attrs import asdict, frozen

__all__ = ["Estimate", "Explanation"]

_HEAD = (
    *("device", "launch", "memory", "arithmetic", "serial", "transfers", "predicted"),
    *("spread", "observed", ""),
)


@frozen
class Estimate:
    """What a call is predicted to take on one target, in seconds.

    The terms are those of all kernels together. Within a kernel memory, arithmetic
    and serial steps overlap, so that `predicted` is less than the sum of the terms.

    Args:
        device: the target's name.
        description: the device's own name.
        simulated: whether it is not here, and a shipped profile stands for it.
        launch: starting kernels, and waiting for the result.
        memory: moving bytes to and from the device's own memory.
        arithmetic: scalar operations.
        serial: steps that wait for the one before.
        transfers: moving arguments from where they are.
        predicted: all of it.
        spread: the factor within which two of three predictions lie.
        observed: the seconds that equal calls took here, if there were any.
        launches: kernels that a call launches.
        refused: why the call cannot run there, or nothing.
    """

    device: str
    description: str = ""
    simulated: bool = False
    launch: float = 0.0
    memory: float = 0.0
    arithmetic: float = 0.0
    serial: float = 0.0
    transfers: float = 0.0
    predicted: float = 0.0
    spread: float = 1.0
    observed: float | None = None
    launches: int = 0
    refused: str = ""

    def cells(self, *, chosen: bool) -> tuple[str, ...]:
        """Return a line of the table."""
        name = f"{self.device} (simulated)" if self.simulated else self.device
        if self.refused:
            return (name, *[""] * 8, f"not possible: {self.refused}")
        terms = (self.launch, self.memory, self.arithmetic, self.serial)
        return (
            name,
            *map(_time, (*terms, self.transfers, self.predicted)),
            f"x{self.spread:.2f}",
            "" if self.observed is None else _time(self.observed),
            "<- chosen" if chosen else "",
        )


@frozen
class Explanation:
    """Where a call runs, and why; prints as a table.

    Args:
        name: the function's name.
        choice: the target's name.
        reason: why it is that one.
        estimates: what each target would take.
        notes: what else there is to know.
    """

    name: str
    choice: str
    reason: str
    estimates: tuple[Estimate, ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, times in seconds."""
        return asdict(self)

    def _rows(self) -> list[tuple[str, ...]]:
        return [e.cells(chosen=e.device == self.choice) for e in self.estimates]

    def _words(self) -> list[str]:
        return [f"{self.name} runs on {self.choice!r}: {self.reason}", *self.notes]

    def __str__(self) -> str:
        return "\n".join([*_aligned([_HEAD, *self._rows()]), "", *self._words()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(c)}</th>" for c in _HEAD)
        lines = [
            "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>"
            for row in self._rows()
        ]
        words = "<br>".join(map(html.escape, self._words()))
        return f"<table><tr>{head}</tr>{''.join(lines)}</table><p>{words}</p>"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return lines with the names to the left and the numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ends = (0, len(widths) - 1)
    lines = []
    for row in rows:
        cells = [
            cell.ljust(w) if k in ends else cell.rjust(w)
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _time(seconds: float) -> str:
    """Return seconds in the unit that suits them."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return "0" if seconds <= 0 else f"{seconds * 1e9:.0f} ns"
