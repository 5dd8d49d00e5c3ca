"""Rows of the device suite that are no programs: overhead, transfers, builds."""

import statistics
import tempfile
from functools import partial
from typing import Any

import numpy as np

import rxcore as rx
from benchmarks.compile_time import run_process
from benchmarks.device_measure import alternate, take_turns, unwaited
from benchmarks.device_record import (
    FLOOR,
    NUMPY,
    OVERHEAD,
    Measured,
    Over,
    Probe,
    RowError,
)
from benchmarks.device_rows import PRODUCT
from benchmarks.elementwise import SIZE, draw
from benchmarks.measure import Effort, disagreement, summarize
from benchmarks.peers import OURS
from benchmarks.record import Ratio, Tolerance
from rxcore.runtime.variants import variants_of
from rxcore_kernels.launch import In, Out, Scratch
from rxcore_kernels.lazy import opencl as cl
from rxcore_kernels.matmul_opencl import plan_opencl

# Where drivers keep what they compiled; a fresh folder for each process, so that a
# second process finds rxcore's binaries alone.
DRIVER_CACHES = (
    "POCL_CACHE_DIR",
    "CUDA_CACHE_PATH",
    "MESA_SHADER_CACHE_DIR",
    "NEO_CACHE_DIR",
    "AMD_COMGR_CACHE_DIR",
)
OVERHEAD_SECONDS = 1.0


def panels(target: Any, effort: Effort) -> Measured:
    """Time the kernels of a product that are shaped for CPUs, beside NumPy's BLAS."""
    device, side = target.device, PRODUCT
    a, b = draw(side, side), draw(side, side, seed=1)
    plan = plan_opencl(
        device.facts_as_cpu,
        "float32",
        *(1, side, side, side),
        *((0, side, 1), (0, side, 1), (0, side)),
    )
    if plan is None:
        raise RowError("no kernel")
    made = np.empty_like(a)
    places = {
        In: [device.upload(a), device.upload(b)],
        Out: [device.allocate(made.nbytes)],
        Scratch: [device.allocate(n) for n in plan.scratch],
    }
    bound = [
        (
            device.build(each.source),
            [
                (places[type(m)][m.index], m.offset // size)
                for m, size in zip(each.memories, each.itemsizes, strict=True)
            ],
            each.scalars,
            each.groups,
        )
        for each in plan.launches
    ]

    def call() -> None:
        for launch in bound:
            device.launch(*launch)
        device.finish()

    call()
    device.download(places[Out][0], made)
    fault = disagreement(made, a @ b, Tolerance(rtol=1e-4, atol=2e-3))
    if fault:
        raise RowError(f"differs from NumPy: {fault}")
    calls = {OURS: call, NUMPY: lambda: a @ b}
    times = take_turns(calls, dict.fromkeys(calls, unwaited), effort.rounds)
    return Measured(times, launches=len(bound))


def overhead(target: Any, effort: Effort) -> Measured:
    """Time a warm call beside the same kernel, enqueued and waited for.

    What waiting costs depends on where a driver's threads came to lie (16 or 55 us in
    PoCL, for the life of a process), so it is measured in several processes.
    """
    reports = [start_process(target.name, OVERHEAD) for _ in range(effort.processes)]
    times = {name: summarize([each[name] for each in reports]) for name in reports[0]}
    pairs = ", ".join(
        f"{each[FLOOR] * 1e6:.1f} {each[OVERHEAD] * 1e6:+.1f}" for each in reports
    )
    return Measured(times, (f"{FLOOR} and what we add, in us: {pairs}",), launches=1)


def alternate_calls(target: Any) -> dict[str, float]:
    """Return the seconds of a warm call, of its bare commands, and the difference."""
    device = target.device
    f = rx.jit(lambda x: x + 1, device=target.name)
    x = rx.device_put(rx.asarray(np.ones(8, np.float32)), target.name)
    if np.asarray(f(x)).tolist() != [2.0] * 8:
        raise RowError("differs from NumPy")
    program = variants_of(f.lower(x).program.graph).program(target)
    (step,) = program.draft.steps
    enqueue, queue, handle = (
        cl.enqueue_nd_range_kernel,
        device.queue,
        step.kernel.handle,
    )
    size = [n * k for n, k in zip(step.groups, step.source.group, strict=True)]

    def bare() -> None:
        enqueue(queue, handle, size, step.source.group)
        queue.finish()

    calls = {OURS: lambda: f(x).block_until_ready(), FLOOR: bare}
    medians = alternate(calls, OVERHEAD_SECONDS)
    return {**medians, OVERHEAD: medians[OURS] - medians[FLOOR]}


def transfer(down: bool, target: Any, effort: Effort) -> Measured:
    """Time a copy of 64 MB between host memory that was used before and the device."""
    device = target.device
    given, back = draw(SIZE), np.zeros(SIZE, np.float32)
    buffer = device.upload(given)
    device.download(buffer, back)
    if not np.array_equal(given, back):
        raise RowError("what comes back is not what was sent")

    def up() -> None:
        device.write(buffer, 0, given)
        device.finish()

    call = (lambda: device.download(buffer, back)) if down else up
    return Measured(take_turns({OURS: call}, {OURS: unwaited}, effort.rounds))


def build(what: str, second: bool, target: Any, effort: Effort) -> Measured:
    """Time the first call in fresh processes, cold or with rxcore's binaries."""
    counted, count = [], 1 + second
    for _ in range(effort.processes):
        with tempfile.TemporaryDirectory(prefix="rxcore-bench-") as cache:
            started = [start_process(target.name, what, cache) for _ in range(count)]
            counted.append(started[-1])
    for each in counted:
        if second and (each["compiled"] or not each["from_disk"]):
            raise RowError(f"{each['compiled']} kernels were compiled again")
        if not second and each["from_disk"]:
            raise RowError(f"{each['from_disk']} kernels were on disk")
    opening = statistics.median(each["opening"] for each in counted)
    last = counted[-1]
    came = f"{last['compiled']} kernels compiled, {last['from_disk']} from disk"
    told = f"{came}; finding and opening the device {opening * 1e3:.0f} ms, apart"
    times = {OURS: summarize([each["first_call"] for each in counted])}
    return Measured(times, (told,))


def start_process(device: str, what: str, cache: str = "") -> dict[str, Any]:
    """Return what a fresh process measures; without a cache it uses the usual ones."""
    with tempfile.TemporaryDirectory(prefix="rxcore-bench-") as drivers:
        variables = dict.fromkeys(DRIVER_CACHES, drivers) if cache else {}
        if cache:
            variables["RXCORE_CACHE_DIR"] = cache
        return run_process("benchmarks.device_start", [device, what], variables)


def build_probes(name: str, title: str) -> tuple[Probe, Probe]:
    return (
        Probe(
            f"build_{name}", f"cold first call, {title}", partial(build, name, False)
        ),
        Probe(
            f"build_{name}_second",
            "the same, second process, rxcore's binaries",
            partial(build, name, True),
        ),
    )


ROWS = (
    Probe(
        name="matmul_panels",
        title="a @ b, 1024, panels for CPUs",
        measure=panels,
        must=(Ratio(0.2, ("numpy",)),),
        flops=2 * PRODUCT**3,
        for_cpu=True,
    ),
    Probe(
        name="overhead",
        title="warm call of x+1, 8 elements",
        measure=overhead,
        must=(Over(30e-6),),
    ),
    Probe("upload", "64 MB up", partial(transfer, False), bytes=4 * SIZE),
    Probe("download", "64 MB down", partial(transfer, True), bytes=4 * SIZE),
    *build_probes("kernel", "exp(x*.5)+y*x, 1M"),
    *build_probes("mlp", "MLP step"),
)
