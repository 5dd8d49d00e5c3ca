"""`python -m benchmarks SUITE`: measure, print the table, write JSON."""

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks.environment import limit_threads
from benchmarks.suite import SUITES, load

HERE = Path(__file__).resolve().parent


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="core: rxcore beside JAX, torch and NumPy, two threads each. "
        "opencl: rxcore on an OpenCL device beside the CPU and NumPy. "
        "placement: how right the cost model is. fields: quantization, pruning, sparse "
        "products and spiking neurons beside their peers.",
    )
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument(
        "--rows", nargs="+", default=[], metavar="NAME", help="only these rows"
    )
    parser.add_argument(
        "--device", default="opencl", help="which OpenCL device (opencl, opencl:1, ...)"
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
    made = load(options.suite).run(options)
    report = importlib.import_module("benchmarks.report")
    print(f"\n{made.text}\n\n{made.remarks}".rstrip())
    default = "partial" if options.rows or options.quick else made.name
    path = options.json or HERE / "results" / f"{default}.json"
    report.write_json(path, made.content)
    print(f"\nwritten to {path}")
    if options.readme:
        report.replace_table(HERE / "README.md", made.text, options.suite)
    return int(made.failed)


if __name__ == "__main__":
    sys.exit(main())
