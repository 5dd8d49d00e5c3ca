"""The suite `fields`: quantization, pruning, sparse products and spiking neurons."""

from argparse import Namespace

from attrs import asdict, frozen

from benchmarks import (
    field_digits,
    field_prune,
    field_quant,
    field_snn,
    field_sparse,
    measure,
    report,
)
from benchmarks.bandwidth import measure_bandwidths
from benchmarks.measure import run_row
from benchmarks.peers import OURS, OWN, PEERS, SPECIAL
from benchmarks.record import Row
from benchmarks.suite import Report, say, select


@frozen
class Digits:
    """The rows that are accuracies; `--rows digits` asks for them."""

    name: str = "digits"


ROWS: tuple[Row | Digits, ...] = (
    *field_quant.ROWS,
    *field_sparse.ROWS,
    *field_prune.ROWS,
    *field_snn.ROWS,
    Digits(),
)
LIBRARIES = (*PEERS, *SPECIAL, *OWN[1:])
VERSIONS = (OURS, *PEERS, *SPECIAL, "numba", "scikit-learn")


def run(options: Namespace) -> Report:
    """Measure the rows that are asked for."""
    chosen = select(ROWS, options.rows)
    effort = measure.QUICK if options.quick else measure.FULL
    load = report.load_average()
    before = measure_bandwidths()
    outcomes = []
    for row in chosen:
        if isinstance(row, Row):
            say(row.name)
            outcomes.append(run_row(row, effort))
    after = measure_bandwidths()
    bandwidths = {kind: max(before[kind], after[kind]) for kind in before}
    reached = []
    if any(isinstance(row, Digits) for row in chosen):
        say("digits")
        seeds = range(2) if options.quick else field_digits.SEEDS
        reached = field_digits.reach(seeds)
    facts = report.machine(bandwidths, load, VERSIONS)
    used = {name for outcome in outcomes for name in outcome.row.programs}
    libraries = [name for name in LIBRARIES if name in used]
    tables = [report.table(outcomes, bandwidths, libraries)] if outcomes else []
    if reached:
        head = ("row", "mean of the seeds", "must", "aim", "verdict")
        tables.append(report.align([head, *(r.cells() for r in reached)]))
    content = report.content(facts, outcomes, options.quick)
    content["digits"] = [{**asdict(r), "verdict": r.verdict} for r in reached]
    return Report(
        name="fields",
        text="\n\n".join([report.describe(facts), *tables]),
        remarks=report.remarks(outcomes),
        content=content,
        failed=any(OURS in outcome.failures for outcome in outcomes),
    )
