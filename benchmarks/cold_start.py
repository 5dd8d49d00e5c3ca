"""One fresh process of one library, for the rows on compilation; prints JSON.

`python -m benchmarks.cold_start LIBRARY` imports the library, prepares the MLP's
parameters, then times the first call of its training step and the first call at another
batch size. `python -m benchmarks.cold_start LIBRARY import` times the import alone.
"""

import importlib
import json
import sys
import time
from typing import Any

from benchmarks.environment import limit_threads

OTHER_BATCH = 192


def time_import(library: str) -> dict[str, float]:
    start = time.perf_counter()
    importlib.import_module(library)
    return {"import": time.perf_counter() - start}


def kernels_compiled() -> tuple[int, float]:
    """Return the number of kernels built and the seconds of loading Numba."""
    builder = sys.modules["rxcore_kernels.builder"]
    statistics = builder.build_statistics()
    return statistics.compiled, statistics.numba_import_seconds


def time_first_calls(library: str) -> dict[str, Any]:
    # Imported after the threads are limited, and before the clock starts.
    networks = importlib.import_module("benchmarks.networks")
    root = networks.dialect(library).root
    args = networks.ready_inputs(library)
    others = networks.ready_inputs(library, OTHER_BATCH)
    step = networks.jitted_step(library)
    times = []
    built = []
    for arguments in (args, others):
        start = time.perf_counter()
        root.block_until_ready(step(*arguments))
        times.append(time.perf_counter() - start)
        built.append(kernels_compiled() if library == "rxcore" else (0, 0.0))
    return {
        "first_call": times[0],
        "new_batch": times[1],
        "numba_import": built[0][1],
        "kernels": built[0][0],
        "new_batch_kernels": built[1][0] - built[0][0],
    }


if __name__ == "__main__":
    limit_threads()
    timed = time_import if sys.argv[2:] == ["import"] else time_first_calls
    print(json.dumps(timed(sys.argv[1])))
