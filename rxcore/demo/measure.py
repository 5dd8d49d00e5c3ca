"""What a way to predict takes: bytes kept, and milliseconds per batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from rxcore.base import tree
from rxcore.control.jit import jit
from rxcore.runtime.array import asarray
from rxcore.runtime.caches import block_until_ready

__all__ = ["bytes_of", "milliseconds"]

_RUNS, _SECONDS = 200, 0.1


def bytes_of(params: Any) -> int:
    """Return the bytes of all arrays of a pytree: codes, scales, indices, everything.

    Example:
        >>> import numpy as np
        >>> bytes_of({"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(3)})
        48
    """
    leaves = [np.asarray(leaf) for leaf in tree.leaves(params)]
    return sum(leaf.nbytes for leaf in leaves)


def milliseconds(apply: Callable[[Any, Any], Any], params: Any, x: Any) -> float:
    """Return the median time of a compiled prediction, its result waited for."""
    run, ready = jit(apply), asarray(x)
    block_until_ready(run(params, ready))
    spent: list[float] = []
    until = time.perf_counter() + _SECONDS
    while len(spent) < 5 or (time.perf_counter() < until and len(spent) < _RUNS):
        begin = time.perf_counter()
        block_until_ready(run(params, ready))
        spent.append(time.perf_counter() - begin)
    return median(spent) * 1e3
