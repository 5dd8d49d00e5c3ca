"""Find NaNs: run a program op by op until one makes the first NaN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rxcore.base import dtypes
from rxcore.ir.graph import Graph
from rxcore.runtime.array import Array
from rxcore.trace.capture import apply

__all__ = ["find_nans"]


def find_nans(graph: Graph, operands: Sequence[Any], outs: Sequence[Array]) -> None:
    """Raise where a result holds a NaN, naming the op that made the first one."""
    if not any(_has_nan(o) for o in outs):
        return
    memory = dict(zip(graph.inputs, operands, strict=True))
    for e in graph.equations:
        one = Graph(
            tuple(o for o in e.inputs if o in memory),
            e.outputs,
            (e,),
        )
        results = apply(one, [memory[v] for v in one.inputs])
        memory.update(zip(e.outputs, results, strict=True))
        if any(_has_nan(r) for r in results):
            raise FloatingPointError(
                f"debug_nans: {e.primitive} made the first NaN at {e.source}"
            )
    raise FloatingPointError("debug_nans: a result holds a NaN")


def _has_nan(x: Any) -> bool:
    if not isinstance(x, Array) or not dtypes.is_inexact(x.dtype):
        return False
    host = x.host.astype(np.float32) if x.dtype in dtypes.HALVES else x.host
    return bool(np.isnan(host).any())
