"""The table of a profile: totals of each kernel, transfer and op by reference."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from attrs import frozen

from rxcore.base.timeline import Event

__all__ = ["COUNTED", "Row", "Table", "table_of"]

# The kinds of events that do the work. None of them contains another of its program.
COUNTED = ("kernel", "fallback", "transfer", "eager")
_SYMBOL = 16
_HEAD = (
    *("name", "symbol", "device", "calls", "total", "mean", "share"),
    *("GB/s", "GFLOP/s"),
)
# How many of the columns are words.
_WORDS = 3


@frozen
class Row:
    """All runs of one kernel.

    Args:
        kind: `kernel`, `fallback`, `transfer` or `eager`.
        name: what it computes.
        symbol: the kernel's symbol, or nothing.
        device: where.
        calls: how often it ran.
        total: seconds of all runs.
        share: its part of the time of all rows.
        bytes: what all runs loaded and stored, or None where that is not known.
        operations: scalar operations of all runs, each times its cost, or None.
    """

    kind: str
    name: str
    symbol: str
    device: str
    calls: int
    total: float
    share: float
    bytes: float | None
    operations: float | None

    @property
    def mean(self) -> float:
        """Seconds of one run."""
        return self.total / self.calls

    @property
    def gigabytes_per_second(self) -> float | None:
        """Bytes per time, in 1e9 bytes per second, where they are known."""
        return _rate(self.bytes, self.total)

    @property
    def gigaflops(self) -> float | None:
        """Operations per time, in 1e9 per second, where they are known."""
        return _rate(self.operations, self.total)

    def cells(self) -> tuple[str, ...]:
        """Return it as text."""
        what = {"kernel": "", "transfer": ""}.get(self.kind, f" ({self.kind})")
        return (
            self.name + what,
            self.symbol[:_SYMBOL],
            self.device,
            str(self.calls),
            _time(self.total),
            _time(self.mean),
            f"{self.share:.1%}",
            _number(self.gigabytes_per_second),
            _number(self.gigaflops),
        )


@frozen
class Table:
    """The rows, the longest first; printing it shows them.

    Args:
        rows: one for each kernel.
        recorded: seconds from the begin to the end of the block.
    """

    rows: tuple[Row, ...]
    recorded: float

    @property
    def total(self) -> float:
        """Seconds of all rows."""
        return sum(row.total for row in self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def _summary(self) -> str:
        calls = sum(row.calls for row in self.rows)
        return (
            f"{calls} runs, {_time(self.total)} in all;"
            f" {_time(self.recorded)} were recorded"
        )

    def __str__(self) -> str:
        lines = [_HEAD, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        shown = []
        for cells in lines:
            pairs = list(zip(cells, widths, strict=True))
            words = [c.ljust(w) for c, w in pairs[:_WORDS]]
            numbers = [c.rjust(w) for c, w in pairs[_WORDS:]]
            shown.append("  ".join([*words, *numbers]).rstrip())
        return "\n".join([*shown, self._summary()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(c)}</th>" for c in _HEAD)
        body = []
        for row in self.rows:
            cells = [html.escape(c) for c in row.cells()]
            words = [f'<td style="text-align:left">{c}</td>' for c in cells[:_WORDS]]
            numbers = [f"<td>{c}</td>" for c in cells[_WORDS:]]
            body.append(f"<tr>{''.join([*words, *numbers])}</tr>")
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
            f"<caption>{html.escape(self._summary())}</caption></table>"
        )


def table_of(events: Sequence[Event], recorded: float) -> Table:
    """Add up the events that do the work."""
    groups: dict[tuple[str, str, str, str], list[Event]] = {}
    for e in events:
        if e.kind in COUNTED:
            key = e.kind, e.name, str(e.details.get("symbol", "")), e.track.place
            groups.setdefault(key, []).append(e)
    whole = sum(e.seconds for found in groups.values() for e in found)
    rows = [_row(*key, found, whole) for key, found in groups.items()]
    rows.sort(key=lambda row: -row.total)
    return Table(tuple(rows), recorded)


def _row(
    kind: str,
    name: str,
    symbol: str,
    device: str,
    found: Sequence[Event],
    whole: float,
) -> Row:
    total = sum(e.seconds for e in found)
    return Row(
        kind,
        name,
        symbol,
        device,
        len(found),
        total,
        total / whole if whole else 0.0,
        _sum(found, "bytes"),
        _sum(found, "operations"),
    )


def _sum(found: Sequence[Event], what: str) -> float | None:
    """Add up what is known of every event."""
    values = [e.details.get(what) for e in found]
    known = [float(v) for v in values if v is not None]
    return sum(known) if len(known) == len(values) else None


def _rate(amount: float | None, seconds: float) -> float | None:
    return amount / seconds * 1e-9 if amount is not None and seconds > 0 else None


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
