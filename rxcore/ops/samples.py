"""How tests draw operands of an op: the `samples` slot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from attrs import field, frozen

from rxcore.base import dtypes
from rxcore.base.dtypes import DType

Case = tuple[tuple[Any, ...], dict[str, Any]]

SHAPES: tuple[tuple[int, ...], ...] = ((), (5,), (0,), (3, 4), (1, 7), (2, 1, 3))


@frozen
class Samples:
    """The dtypes of an op and its cases.

    Args:
        dtypes: the operand dtypes that the op accepts.
        cases: `cases(dtype, rng)` yields (operands, params) of that dtype.
        tolerance: relative error allowed between reference and compiled form, in
            units in the last place of the result's dtype; 0 = bit for bit.
        cancels: whether an error counts against the largest element of the result,
            as it must where many terms add up to little; default: tolerance >= 64.
    """

    dtypes: tuple[DType, ...]
    cases: Callable[[DType, np.random.Generator], Iterator[Case]] = field(repr=False)
    tolerance: float = 4
    cancels: bool = field()

    @cancels.default
    def _cancels(self) -> bool:
        return self.tolerance >= 64


def draw(
    rng: np.random.Generator,
    dtype: DType,
    shape: tuple[int, ...],
    low: float = -4,
    high: float = 4,
) -> Any:
    """Draw an array of a dtype with values between `low` and `high`."""
    if dtypes.is_bool(dtype):
        return rng.integers(0, 2, shape).astype(bool)
    if dtypes.is_integer(dtype):
        info = np.iinfo(dtype)
        bottom = max(int(info.min), int(low))
        top = min(int(info.max), int(high))
        return rng.integers(bottom, top + 1, shape).astype(dtype)
    values = rng.uniform(low, high, shape)
    if dtypes.is_complex(dtype):
        return (values + 1j * rng.uniform(low, high, shape)).astype(dtype)
    return values.astype(dtype)


def elements(
    arity: int, types: tuple[DType, ...], low: float, high: float, tolerance: float = 4
) -> Samples:
    """Draw operands of equal shape, and one of rank 0 beside a full one."""

    def cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
        for shape in SHAPES:
            yield tuple(draw(rng, dtype, shape, low, high) for _ in range(arity)), {}
        if arity > 1:
            first = draw(rng, dtype, (), low, high)
            rest = tuple(draw(rng, dtype, (4,), low, high) for _ in range(arity - 1))
            yield (first, *rest), {}

    return Samples(types, cases, tolerance)


def mapping(
    types: tuple[DType, ...],
    variants: tuple[tuple[tuple[int, ...], dict[str, Any]], ...],
    tolerance: float = 0,
) -> Samples:
    """Draw one operand for each (shape, params)."""

    def cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
        for shape, params in variants:
            yield (draw(rng, dtype, shape),), params

    return Samples(types, cases, tolerance)
