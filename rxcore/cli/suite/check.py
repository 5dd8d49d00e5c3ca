"""A check: a program, what to run it on, and how exact its results must be.

Where it can be, operands are whole numbers whose sums are exact, so that results must
be equal whatever the order in which a device adds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import frozen

__all__ = ["LARGE", "Check", "reals", "whole"]

# About a million, and no multiple of a work-group's size.
LARGE = 1_000_003


@frozen(eq=False)
class Check:
    """A program with its operands.

    Args:
        family: the family of ops that it checks.
        name: what it does.
        function: takes arrays, returns a sequence of arrays.
        operands: makes the ndarrays, the same ones each time.
        labels: what each result is called; default: by number.
        ulps: the error allowed in each result, in units in the last place.
        spread: whether an error counts against the largest element of a result.
        bits: whether devices that round as the CPU does must give its bits.
        dtype: the dtype that is checked, where it is that and not an op.
    """

    family: str
    name: str
    function: Callable[..., Sequence[Any]]
    operands: Callable[[], Sequence[Any]]
    labels: tuple[str, ...] = ()
    ulps: float | tuple[float, ...] = 0.0
    spread: bool = False
    bits: bool = False
    dtype: str = ""

    @property
    def verdict(self) -> str:
        """The family under which a failure is recorded."""
        return self.dtype or self.family

    def label(self, k: int) -> str:
        """Return what result k is called."""
        return self.labels[k] if self.labels else f"result {k}"

    def allowed(self, k: int) -> float:
        """Return the error allowed in result k."""
        return self.ulps[k] if isinstance(self.ulps, tuple) else self.ulps


def whole(
    *shape: int,
    seed: int = 0,
    most: int = 8,
    dtype: Any = np.float32,
    least: Any = None,
) -> Any:
    """Draw whole numbers between -most (or `least`) and most."""
    low = -most if least is None else least
    rng = np.random.default_rng(seed)
    return rng.integers(low, most + 1, shape).astype(dtype)


def reals(
    *shape: int,
    seed: int = 0,
    low: float = -4.0,
    high: float = 4.0,
    dtype: Any = np.float32,
) -> Any:
    """Draw real numbers."""
    return np.random.default_rng(seed).uniform(low, high, shape).astype(dtype)
