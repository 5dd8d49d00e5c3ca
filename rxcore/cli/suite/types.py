"""Checks of dtypes: what a device may compute wrongly with in every op."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rxcore import numpy as rnp
from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.cli.suite.check import LARGE, Check, reals, whole
from rxcore.cli.suite.scalars import special_values
from rxcore.ops.compare import population_count
from rxcore.ops.mathematics import exp, log

__all__ = ["type_checks"]

# Rows that are no multiple of a work-group's size.
_SHAPE = (23, 89)


def type_checks() -> list[Check]:
    """Return the checks of `halves`, `float64` and `integers`."""
    made = [_check("halves", d, _halves, _HALVES) for d in dtypes.HALVES]
    made.append(_large("halves", dtypes.float16))
    made.append(_check("float64", dtypes.float64, _doubles, _DOUBLES))
    made.append(_large("float64", dtypes.float64))
    made += [_check("integers", d, _integers, _INTEGERS) for d in dtypes.INTEGERS]
    made.append(_large("integers", dtypes.int64))
    return made


def _check(
    family: str,
    dtype: DType,
    program: Callable[..., Sequence[Any]],
    results: dict[str, float],
) -> Check:
    """Return a check of ops of one dtype; `results` are names and errors allowed."""
    columns, rows = _SHAPE[1], _SHAPE[0]

    def operands() -> Sequence[Any]:
        values = special_values(dtype)
        x, y = (g.reshape(-1) for g in np.meshgrid(values, values))
        drawn = [whole(*_SHAPE, seed=k, least=1, most=100) for k in range(2)]
        pair = [d.astype(dtype) for d in drawn]
        pair[0].reshape(-1)[: x.size] = x
        pair[1].reshape(-1)[: y.size] = y
        least = -8 if dtypes.is_inexact(dtype) or dtypes.is_signed(dtype) else 0
        sums = whole(*_SHAPE, seed=2, least=least, dtype=dtype)
        return [*pair, sums, reals(rows, columns, seed=3, low=0, high=100)]

    return Check(
        family,
        f"{dtype.name}: arithmetic, conversions and sums of {rows}x{columns}",
        program,
        operands,
        tuple(results),
        tuple(results.values()),
        bits=True,
        dtype=dtype.name,
    )


# Results that are summed are of small whole numbers, exact in every order.
_SUMS = {"sum of rows": 0.0, "maximum of rows": 0.0}
_ALIKE = {"add": 0.0, "multiply": 0.0, "maximum": 0.0, "less": 0.0}
_CASTS = {"from float32": 0.0, "to float32": 0.0}
_HALVES = {**_ALIKE, "divide": 0.0, "root": 0.0, "exp": 1.0, **_CASTS, **_SUMS}
_DOUBLES = {
    **_ALIKE,
    **{"divide": 0.0, "root": 0.0, "exp": 6.0, "log": 6.0, "floor": 0.0},
    **_CASTS,
    **_SUMS,
}
_INTEGERS = {
    **_ALIKE,
    **{"subtract": 0.0, "divide": 0.0, "remainder": 0.0, "shift left": 0.0},
    **{"shift right": 0.0, "and": 0.0, "exclusive or": 0.0, "bits": 0.0},
    **_CASTS,
    **_SUMS,
}


def _alike(x: Any, y: Any) -> list[Any]:
    return [x + y, x * y, rnp.maximum(x, y), x < y]


def _casts(x: Any, real: Any) -> list[Any]:
    return [real.astype(x.dtype), x.astype(rnp.float32) + real]


def _sums(sums: Any) -> list[Any]:
    return [rnp.sum(sums, axis=1), rnp.max(sums, axis=1)]


def _halves(x: Any, y: Any, sums: Any, real: Any) -> Sequence[Any]:
    own = [x / y, rnp.sqrt(x), exp(x)]
    return [*_alike(x, y), *own, *_casts(sums, real), *_sums(sums)]


def _doubles(x: Any, y: Any, sums: Any, real: Any) -> Sequence[Any]:
    own = [x / y, rnp.sqrt(x), exp(x), log(x), rnp.floor(x)]
    return [*_alike(x, y), *own, *_casts(sums, real), *_sums(sums)]


def _integers(x: Any, y: Any, sums: Any, real: Any) -> Sequence[Any]:
    by = y & 7
    own = [x - y, x // y, x % y, x << by, x >> by, x & y, x ^ y, population_count(x)]
    return [*_alike(x, y), *own, *_casts(sums, real), *_sums(sums)]


def _large(family: str, dtype: DType) -> Check:
    """Return a check of many elements of one dtype."""
    most = {"halves": 1, "float64": 1 << 30, "integers": 1 << 62}[family]

    def operands() -> Sequence[Any]:
        rng = np.random.default_rng(0)
        drawn = [rng.integers(-most, most, LARGE, endpoint=True) for _ in range(2)]
        return [d.astype(dtype) for d in drawn]

    return Check(
        family,
        f"{dtype.name}: multiply and add up {LARGE}",
        lambda x, y: [x * y, rnp.sum(x)],
        operands,
        ("product", "sum"),
        dtype=dtype.name,
    )
