"""Programs and kernels for a simulator that checks each access; see `test_oclgrind`.

`python -m tests.opencl.simulated NAME ...` runs some on the first OpenCL device and
prints for each, as JSON, its launches, what runs by its reference, and what is wrong
with its results. Those of `FAULTY` are kernels that the simulator must complain of.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.compiler.nest_passes import split_reductions
from rxcore.ir.types import Type
from rxcore.runtime.devices import find
from rxcore.runtime.variants import variants_of
from rxcore_kernels.launch import OpenCLSource
from tests.golden.test_golden import layer_norm, leaky, softmax
from tests.opencl.together import graph_of

Case = tuple[Callable[..., Any], list[Type]]


def of(dtype: str, *shape: int) -> Type:
    return Type(np.dtype(dtype), shape)


def update(p: Any, m: Any, g: Any) -> Any:
    m = 0.9 * m + g
    return p - 0.1 * m, m


def decay(x: Any) -> Any:
    return rx.scan(lambda c, r: (c * 0.5 + r, c * c), x[0], x)[1]


# Odd sizes: the last group of each is not full.
GENERATED: dict[str, Case] = {
    "elementwise": (lambda x, y: rnp.exp(x * 0.5) + y * x, [of("f4", 1000)] * 2),
    "several_results": (update, [of("f4", 77)] * 3),
    "broadcast": (lambda x, y: x + y, [of("f4", 3, 1, 50), of("f4", 7, 1)]),
    "dtypes": (
        lambda h, i, b: h * i + b,
        [of("f2", 90), of("i1", 90), of("?", 90)],
    ),
    "doubles": (lambda x: rnp.floor(x * 3) / 7, [of("f8", 130)]),
    "division": (lambda i, j: (i // (j | 1), i % 7), [of("i4", 200), of("i8", 200)]),
    "index_maps": (
        lambda x: rnp.pad(x[::-1, ::2], 1, constant_values=2).reshape(-1),
        [of("f4", 9, 31)],
    ),
    "concatenate": (
        lambda x, y: rnp.concatenate([x, y * 2, x], 1),
        [of("f4", 5, 9)] * 2,
    ),
    "gather": (lambda x, i: x[i], [of("f4", 20, 3), of("i4", 30)]),
    "softmax": (softmax, [of("f4", 3, 150)]),
    "short_rows": (softmax, [of("f4", 100, 7)]),
    "layer_norm": (layer_norm, [of("f4", 5, 70), of("f4", 70)]),
    "tree": (lambda x: (x.sum(), x.max()), [of("f4", 999)]),
    "tree_of_bools": (lambda x: (x > -9).all(), [of("f4", 300)]),
    "columns": (lambda x: x.sum(0), [of("f4", 30, 70)]),
    "argmax": (lambda x: (x.argmax(1), x.argmin(0)), [of("f4", 6, 90)]),
    "lane_scan": (leaky, [of("f4", 12, 100)]),
    "lane_scan_gradient": (rx.grad(lambda x: decay(x).sum()), [of("f4", 6, 70)]),
    "transpose": (lambda a: a + a.T, [of("f4", 70, 70)]),
    "three_axes": (lambda a: a.transpose(2, 0, 1) * 2, [of("f4", 9, 33, 35)]),
    "random": (lambda x: x + rx.random.normal(rx.random.key(1), (300,)), [of("f4", 1)]),
    "while_loop": (
        lambda x: rx.while_loop(lambda v: v.sum() < 999, lambda v: v + 1, x),
        [of("f4", 40)],
    ),
}
# With thresholds so small that sums are parted in two stages.
PARTED: dict[str, Case] = {
    "parted_sum": (lambda x: (x * x).sum(), [of("f4", 3000)]),
    "parted_columns": (lambda x: x.max(0), [of("f4", 700, 5)]),
    "parted_stages": (lambda x: x - x.mean(), [of("f4", 2500)]),
}
THRESHOLDS = {
    **{"_CHUNK": 256, "_COLUMNS_CHUNK": 500, "_MUCH": 2000, "_COLUMNS_MUCH": 2000},
    **{"_FEW": 50, "_LANES": 64},
}
HAND_MADE: dict[str, Case] = {
    "matmul": (lambda a, b: a @ b, [of("f4", 37, 70), of("f4", 70, 45)]),
    "matmul_thin": (lambda a, b: a @ b, [of("f4", 2, 300), of("f4", 300, 3)]),
    "convolution": (
        lambda x, w: rx.conv(x, w, padding=1),
        [of("f4", 2, 3, 9, 8), of("f4", 4, 3, 3, 3)],
    ),
    "sort": (lambda x: rx.sort(x, 1), [of("f4", 3, 1100)]),
    "argsort": (lambda x: rx.argsort(x, 1), [of("i4", 2, 900)]),
    "top_k": (lambda x: rx.top_k(x, 5), [of("f4", 4, 500)]),
    "scatter_add": (lambda x, i: x.at[i].add(1.0), [of("f4", 50), of("i4", 400)]),
    "scatter_set": (lambda x, i: x.at[i].set(2), [of("i4", 50, 3), of("i4", 40)]),
    "cumsum": (lambda x: (rx.cumsum(x, 1), rx.cumsum(x, 0)), [of("f4", 5, 700)]),
    "cummax": (lambda x: rx.cummax(x, 0), [of("i4", 900)]),
}
PROGRAMS = {**GENERATED, **PARTED, **HAND_MADE}

_KERNEL = """
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void faulty(__global int* restrict x, long x_at, int base) {
  __local int tile[64];
  x += x_at;
  const int lid = get_local_id(0);
  BODY
}
"""
FAULTY = {
    "outside": "x[lid + 40] = 1;",
    "no_barrier": "tile[lid] = lid; x[lid] = tile[63 - lid];",
    "two_writers": "x[0] = lid;",
}


def arguments(types: list[Type]) -> list[Any]:
    """Return small numbers; places for integers that are used as such."""
    rng = np.random.default_rng(3)
    return [
        rx.asarray(
            rng.integers(0, 2, t.shape) if t.dtype == bool else _numbers(rng, t)
        ).astype(t.dtype)
        for t in types
    ]


def _numbers(rng: np.random.Generator, t: Type) -> Any:
    return rng.integers(0, 20, t.shape) / (1 if t.dtype.kind in "iu" else 16)


def run(name: str) -> dict[str, Any]:
    """Run a program on the device and on the CPU."""
    if name in PARTED:
        for field, value in THRESHOLDS.items():
            setattr(split_reductions, field, value)
    function, types = PROGRAMS[name]
    args = arguments(types)
    target = find("opencl")
    assert target is not None
    made = variants_of(graph_of(function, args)).draft(target)
    found = rx.tree.leaves(rx.jit(function, device="opencl")(*args))
    expected = rx.tree.leaves(rx.jit(function)(*args))
    wrong = [
        f"{f.type} on {f.device}: {np.asarray(f)}, on the CPU {np.asarray(e)}"
        for f, e in zip(found, expected, strict=True)
        if f.device != "opencl" or f.type != e.type or not _close(f, e)
    ]
    fallbacks = [op for op, _ in made.fallbacks]
    return {"launches": made.launches, "fallbacks": fallbacks, "wrong": wrong}


def _close(a: Any, b: Any) -> bool:
    return np.allclose(np.asarray(a), np.asarray(b), 1e-5, 1e-5)


def run_faulty(name: str) -> dict[str, Any]:
    """Run a kernel that does what none may."""
    target = find("opencl")
    assert target is not None
    device = target.device
    text = _KERNEL.replace("BODY", FAULTY[name])
    kernel = device.build(OpenCLSource(text, "faulty", 1, (), (64, 1, 1), 256))
    x = np.zeros(64, np.int32)
    device.launch(kernel, [(device.upload(x), 0)], (), (1, 1, 1))
    device.finish()
    return {"launches": 1}


if __name__ == "__main__":
    for each in sys.argv[1:]:
        found = run_faulty(each) if each in FAULTY else run(each)
        print(json.dumps({"name": each, **found}), flush=True)
