"""The table of ops, generated from the registry: `python -m rxcore.testing.op_table`.

It says of each op what family it belongs to, which rules it has, and for which dtypes
it still runs by its NumPy reference inside `jit`, with the reason.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rxcore import ops
from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.compiler.pipeline import optimize
from rxcore.ir.graph import Equation, Graph, Value
from rxcore.ir.primitive import REGISTRY, NoRule, Primitive
from rxcore.ir.types import Type
from rxcore.ops.samples import Samples
from rxcore.runtime.assemble import Assembler
from rxcore.runtime.places import Fixed, InputSlot
from rxcore.runtime.program import capabilities

__all__ = ["fallbacks", "table"]

_HEAD = """# Ops

Made by `python -m rxcore.testing.op_table` from the registry. Every op computes
eagerly by its NumPy reference and compiled inside `rx.jit`; the last column lists the
dtypes for which the reference runs inside `jit` too, and why.

| op | family | operators | jvp | transpose | by reference |
|---|---|---|---|---|---|
"""


def fallbacks(primitive: Primitive, dtype: DType) -> set[str]:
    """Return the reasons for which samples of a dtype run by the reference."""
    samples = primitive.samples
    assert isinstance(samples, Samples)
    reasons: set[str] = set()
    for arrays, params in samples.cases(dtype, np.random.default_rng(0)):
        types = [Type(a.dtype, a.shape) for a in arrays]
        if not all(t.size for t in types):
            continue
        reasons |= _reasons(primitive, types, params)
    return reasons


def _reasons(primitive: Primitive, types: list[Type], params: Any) -> set[str]:
    inputs = tuple(Value(t) for t in types)
    outs = tuple(Value(t) for t in primitive.infer_all(types, params))
    graph = Graph(inputs, outs, (Equation(primitive, inputs, outs, params),))
    assembler = Assembler(capabilities())
    places = [Fixed(InputSlot(k)) for k in range(len(inputs))]
    assembler.graph(optimize(graph), places, [None] * len(outs))
    return {reason for _, reason in assembler.made.fallbacks}


def _rows() -> Iterator[str]:
    for name in sorted(REGISTRY):
        primitive = REGISTRY[name]
        if primitive.family == "compiler":
            continue
        operators = " ".join(f"`{o}`" for o in primitive.operator)
        jvp = "no" if isinstance(primitive.jvp, NoRule) else "yes"
        linear = "no" if isinstance(primitive.transpose, NoRule) else "yes"
        yield (
            f"| `{name}` | {primitive.family} | {operators} | {jvp} | {linear} |"
            f" {_by_reference(primitive)} |"
        )


def _by_reference(primitive: Primitive) -> str:
    if not isinstance(primitive.samples, Samples):
        return ""
    found: dict[str, list[str]] = {}
    for dtype in primitive.samples.dtypes:
        for reason in sorted(fallbacks(primitive, dtype)):
            found.setdefault(reason, []).append(dtypes.short(dtype))
    return "; ".join(f"{' '.join(names)}: {reason}" for reason, names in found.items())


def table() -> str:
    """Return the table as Markdown."""
    assert ops.__all__
    return _HEAD + "\n".join(_rows()) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(), encoding="utf-8")
