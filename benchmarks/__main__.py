"""`python -m benchmarks core`: measure, print the table, write JSON."""

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks.environment import limit_threads

HERE = Path(__file__).resolve().parent


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Run rxcore beside JAX, torch and NumPy, two threads each.",
    )
    parser.add_argument("suite", choices=["core"])
    parser.add_argument(
        "--rows", nargs="+", default=[], metavar="NAME", help="only these rows"
    )
    parser.add_argument(
        "--json", type=Path, help="where to write (benchmarks/results/SUITE.json)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="3 rounds and 1 process, for a first look"
    )
    parser.add_argument(
        "--readme", action="store_true", help="put the table into benchmarks/README.md"
    )
    return parser.parse_args()


def main() -> int:
    """Run a suite; the exit status is 1 where one of our rows failed."""
    options = arguments()
    limit_threads()
    # What imports a numerical library comes after the number of threads is set.
    measure, peers, report, suite, bandwidth = (
        importlib.import_module(f"benchmarks.{name}")
        for name in ("measure", "peers", "report", "suite", "bandwidth")
    )
    chosen = suite.select(options.suite, options.rows)
    load = report.load_average()
    before = bandwidth.measure_bandwidths()
    outcomes = suite.run(chosen, measure.QUICK if options.quick else measure.FULL)
    after = bandwidth.measure_bandwidths()
    bandwidths = {kind: max(before[kind], after[kind]) for kind in before}
    facts = report.machine(bandwidths, load)
    text = f"{report.describe(facts)}\n\n{report.table(outcomes, bandwidths)}"
    remarks = report.remarks(outcomes)
    print(f"\n{text}\n\n{remarks}".rstrip())
    default = (
        "partial.json" if options.rows or options.quick else f"{options.suite}.json"
    )
    path = options.json or HERE / "results" / default
    report.write_json(path, facts, outcomes, options.quick)
    print(f"\nwritten to {path}")
    if options.readme:
        report.replace_table(HERE / "README.md", text)
    return int(any(peers.OURS in outcome.failures for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
