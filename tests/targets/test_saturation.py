"""Floats become integers as the reference has it: at limits, beyond them, for NaN."""

from __future__ import annotations

import numpy as np
import pytest

import rxcore as rx
from rxcore.base import dtypes

INTEGERS = [d for d in dtypes.REAL if dtypes.is_integer(d)]
FLOATS = [dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16]


@pytest.mark.parametrize("target", INTEGERS, ids=str)
@pytest.mark.parametrize("source", FLOATS, ids=str)
def test_limits(source: dtypes.DType, target: dtypes.DType) -> None:
    limits = np.iinfo(target)
    edges = [float(limits.min), float(limits.max)]
    near = [e + d for e in edges for d in (-1.5, -1, -0.5, 0, 0.5, 1, 1.5)]
    scaled = [e * f for e in edges for f in (0.999, 1.001, 2.0)]
    others = [0.0, -0.0, 0.5, -0.5, 1.9, -1.9, np.nan, np.inf, -np.inf, 3e38, -3e38]
    with np.errstate(over="ignore"):
        x = np.asarray([*near, *scaled, *others] * 3).astype(source)
    found = np.asarray(rx.jit(lambda x: rx.convert(x, target))(rx.asarray(x)))
    wide = [float(v) for v in x]
    wanted = [
        0
        if np.isnan(v)
        else limits.max
        if v >= float(limits.max)
        else limits.min
        if v <= float(limits.min)
        else int(v)
        for v in wide
    ]
    assert found.dtype == target
    assert found.tolist() == wanted
