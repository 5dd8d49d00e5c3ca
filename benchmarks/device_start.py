"""One fresh process on an OpenCL device; prints JSON.

`python -m benchmarks.device_start DEVICE kernel` finds and opens the device, sends the
inputs of one elementwise kernel, then times the first call; `mlp` instead of `kernel`
takes the training step of the small network. `overhead` times a warm call and its bare
commands.
"""

import importlib
import json
import sys
import time
from typing import Any

from benchmarks.environment import limit_threads

ELEMENTS = 2**20


def run(device: str, what: str) -> dict[str, Any]:
    # Imported after the threads are limited, and before the clock starts.
    probes = importlib.import_module("benchmarks.device_probes")
    devices = importlib.import_module("rxcore.runtime.devices")
    if what == "overhead":
        return probes.alternate_calls(devices.find(device))
    return time_first_call(device, what)


def time_first_call(device: str, what: str) -> dict[str, Any]:
    # Imported after the threads are limited, and before the clock starts.
    rx = importlib.import_module("rxcore")
    rows = importlib.import_module("benchmarks.device_rows")
    timing = importlib.import_module("benchmarks.device_measure")
    building = importlib.import_module("rxcore_kernels.opencl_build")
    row = next(r for r in rows.ROWS if r.name == {"kernel": "exp"}.get(what, what))
    given = row.inputs()
    if what == "kernel":
        given = tuple(x[:ELEMENTS] for x in given)
    start = time.perf_counter()
    target = importlib.import_module("rxcore.runtime.devices").find(device)
    target.device.open()
    opened = time.perf_counter()
    there = timing.wait(rx.device_put(timing.on_host(given), device))
    begun = time.perf_counter()
    timing.result_on(target, rx.jit(row.program, device=device)(*there))
    spent = time.perf_counter() - begun
    statistics = target.device.build_statistics()
    building.settle()
    return {
        "first_call": spent,
        "opening": opened - start,
        "compiled": statistics.compiled,
        "from_disk": statistics.from_disk,
    }


if __name__ == "__main__":
    limit_threads()
    print(json.dumps(run(*sys.argv[1:])))
