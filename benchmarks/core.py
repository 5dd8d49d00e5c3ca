"""The suite `core`: rxcore on the CPU beside JAX, torch and NumPy."""

from argparse import Namespace
from collections.abc import Sequence

from benchmarks import (
    compile_time,
    contraction,
    elementwise,
    measure,
    random_bits,
    recurrent,
    report,
    rows,
    selection,
)
from benchmarks.bandwidth import measure_bandwidths
from benchmarks.compile_time import ProcessRow, run_process_rows
from benchmarks.measure import Effort, run_row
from benchmarks.peers import OURS
from benchmarks.record import Outcome, Row
from benchmarks.suite import Report, say, select

ROWS: tuple[Row | ProcessRow, ...] = (
    *elementwise.ROWS,
    *rows.ROWS,
    *selection.ROWS,
    *random_bits.ROWS,
    *contraction.ROWS,
    *recurrent.ROWS,
    *elementwise.SMALL,
    *compile_time.ROWS,
)


def run(options: Namespace) -> Report:
    """Measure the rows that are asked for."""
    chosen = select(ROWS, options.rows)
    load = report.load_average()
    before = measure_bandwidths()
    outcomes = run_rows(chosen, measure.QUICK if options.quick else measure.FULL)
    after = measure_bandwidths()
    bandwidths = {kind: max(before[kind], after[kind]) for kind in before}
    facts = report.machine(bandwidths, load)
    return Report(
        name="core",
        text=f"{report.describe(facts)}\n\n{report.table(outcomes, bandwidths)}",
        remarks=report.remarks(outcomes),
        content=report.content(facts, outcomes, options.quick),
        failed=any(OURS in outcome.failures for outcome in outcomes),
    )


def run_rows(chosen: Sequence[Row | ProcessRow], effort: Effort) -> list[Outcome]:
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
