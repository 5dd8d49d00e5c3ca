"""The rows of each suite, in the order of the table, and the run over them."""

import sys
from collections.abc import Sequence

from benchmarks import (
    compile_time,
    contraction,
    elementwise,
    random_bits,
    recurrent,
    rows,
    selection,
)
from benchmarks.compile_time import ProcessRow, run_process_rows
from benchmarks.measure import Effort, run_row
from benchmarks.record import Outcome, Row

SUITES: dict[str, tuple[Row | ProcessRow, ...]] = {
    "core": (
        *elementwise.ROWS,
        *rows.ROWS,
        *selection.ROWS,
        *random_bits.ROWS,
        *contraction.ROWS,
        *recurrent.ROWS,
        *elementwise.SMALL,
        *compile_time.ROWS,
    )
}


def select(suite: str, names: Sequence[str]) -> list[Row | ProcessRow]:
    """Return the named rows of a suite, all of them without names."""
    known = {row.name: row for row in SUITES[suite]}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no such row: {', '.join(unknown)}; rows: {', '.join(known)}")
    return [row for row in SUITES[suite] if not names or row.name in names]


def run(chosen: Sequence[Row | ProcessRow], effort: Effort) -> list[Outcome]:
    """Measure the rows: those of fresh processes first, while this one is idle."""
    apart = [row for row in chosen if isinstance(row, ProcessRow)]
    if apart:
        say(", ".join(row.name for row in apart))
    outcomes = {each.row.name: each for each in run_process_rows(apart, effort)}
    for row in chosen:
        if isinstance(row, Row):
            say(row.name)
            outcomes[row.name] = run_row(row, effort)
    return [outcomes[row.name] for row in chosen]


def say(text: str) -> None:
    print(f"measuring {text} ...", file=sys.stderr, flush=True)
