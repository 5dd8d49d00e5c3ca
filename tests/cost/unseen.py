"""Random fused programs of every loop shape; no device is measured with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen

from rxcore.base import dtypes
from rxcore.control.scan import scan
from rxcore.ir.graph import Graph
from rxcore.ir.types import Type
from rxcore.ops import compare, mathematics, reduce, shape
from rxcore.ops.convert import convert
from rxcore.trace.capture import capture

KINDS = ("flat", "flat", "spread", "rows", "rows", "columns", "scan", "transposed")


@frozen(eq=False)
class Unseen:
    """A random program: its name and its Graph."""

    name: str
    graph: Graph


def unseen(seed: int, low: int = 11, high: int = 22) -> Unseen:
    """Return a random program of 2**low to 2**high elements."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    size = int(2 ** rng.uniform(low, high))
    function, types = {
        "flat": _flat,
        "spread": _spread,
        "rows": _rows,
        "columns": _columns,
        "scan": _scan,
        "transposed": _transposed,
    }[kind](rng, size)
    return Unseen(f"{kind} {seed}", capture(function, types).graph)


def _dtype(rng: Any) -> Any:
    kinds = [dtypes.float32] * 5 + [dtypes.float64]
    return kinds[rng.integers(len(kinds))]


def _chain(rng: Any, steps: int, costly: bool = True) -> Callable[..., Any]:
    """Return a chain of scalar operations on some arrays, the same at each call."""
    plan = []
    for _ in range(steps):
        options = ["add", "mul", "sub", "add", "mul", "muladd", "select", "max"]
        if costly:
            options += ["exp", "tanh", "log", "div", "sqrt", "div"]
        plan.append((options[rng.integers(len(options))], int(rng.integers(100))))

    def function(*given: Any) -> Any:
        values = list(given)
        for op, pick in plan:
            x, y = values[-1], values[pick % len(values)]
            values.append(_apply(op, x, y, (0.5, 0.75, 1.25, 1.5)[pick % 4]))
        return values[-1]

    return function


def _apply(op: str, x: Any, y: Any, c: float) -> Any:
    match op:
        case "add":
            return x + y
        case "sub":
            return x * c - y
        case "mul":
            return x * y
        case "muladd":
            return x * y + c
        case "select":
            return compare.select(x > c, y, x * c)
        case "max":
            return mathematics.exp(-abs(x)) if c > 1.4 else compare.select(x > y, x, y)
        case "div":
            return x / (abs(y) + c)
        case "sqrt":
            return mathematics.sqrt(abs(x) + c)
        case "log":
            return mathematics.log(abs(x) + c)
    return {"exp": mathematics.exp, "tanh": mathematics.tanh}[op](x * 0.1)


def _flat(rng: Any, size: int) -> Any:
    count = int(rng.integers(1, 5))
    kind = _dtype(rng)
    chain = _chain(rng, int(rng.integers(2, 31)), costly=rng.random() < 0.6)
    narrow = rng.random() < 0.15

    def function(*xs: Any) -> list[Any]:
        total = chain(*xs)
        for x in xs:
            total = total + x
        return [convert(total, dtypes.bfloat16) if narrow else total]

    return function, [Type(kind, (size,))] * count


def _spread(rng: Any, size: int) -> Any:
    width = _width(rng)
    chain = _chain(rng, int(rng.integers(1, 12)))
    column = rng.random() < 0.4
    rows = max(size // width, 1)
    kind = _dtype(rng)
    other = (rows, 1) if column else (width,)
    return (
        lambda x, b: [chain(x, shape.broadcast_to(b, x.shape)) + x],
        [Type(kind, (rows, width)), Type(kind, other)],
    )


def _width(rng: Any) -> int:
    return int(2 ** rng.uniform(2.8, 13))


def _rows(rng: Any, size: int) -> Any:
    width = _width(rng)
    rows = max(size // width, 1)
    stages = int(rng.integers(1, 4))
    chains = [_chain(rng, int(rng.integers(1, 8))) for _ in range(stages + 1)]
    folds = [bool(rng.random() < 0.3) for _ in range(stages)]

    def function(x: Any) -> list[Any]:
        value = x
        for k in range(stages):
            value = chains[k](value, x)
            fold = reduce.max_ if folds[k] else reduce.sum_
            total = fold(value, 1, keepdims=True)
            if k < stages - 1:
                value = value - total * 0.01
        whole = stages > 1
        return [chains[-1](value, x) + total if whole else total]

    return function, [Type(_dtype(rng), (rows, width))]


def _columns(rng: Any, size: int) -> Any:
    width = int(2 ** rng.uniform(4, 12))
    rows = max(size // width, 2)
    chain = _chain(rng, int(rng.integers(1, 10)))
    largest = rng.random() < 0.3
    back = rng.random() < 0.3

    def function(x: Any) -> list[Any]:
        fold = reduce.max_ if largest else reduce.sum_
        total = fold(chain(x), 0, keepdims=back)
        return [x - total if back else total]

    return function, [Type(_dtype(rng), (rows, width))]


def _scan(rng: Any, size: int) -> Any:
    lanes = int(2 ** rng.uniform(4, 14))
    steps = int(min(max(size // lanes, 3), 2000))
    chain = _chain(rng, int(rng.integers(1, 10)), costly=rng.random() < 0.5)
    keeps = rng.random() < 0.5

    def step(c: Any, x: Any) -> Any:
        new = c * 0.5 + chain(x, c) * 0.1
        return new, new * 2.0 if keeps else None

    def function(xs: Any, c: Any) -> list[Any]:
        last, ys = scan(step, c, xs)
        return [last, ys] if keeps else [last]

    kind = _dtype(rng)
    return function, [Type(kind, (steps, lanes)), Type(kind, (lanes,))]


def _transposed(rng: Any, size: int) -> Any:
    rows = int(2 ** rng.uniform(4, 11))
    columns = max(size // rows, 2)
    chain = _chain(rng, int(rng.integers(1, 10)), costly=rng.random() < 0.5)
    kind = _dtype(rng)
    return (
        lambda x, y: [chain(shape.transpose(x), y)],
        [Type(kind, (rows, columns)), Type(kind, (columns, rows))],
    )
