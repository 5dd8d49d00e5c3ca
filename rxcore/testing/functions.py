"""Functions under test: of arrays, to an array or a tuple of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rxcore.runtime.array import as_value

__all__ = ["Function", "flat_results", "show_types"]

Function = Callable[..., Any]


def flat_results(function: Function) -> Callable[..., list[Any]]:
    """Return the function with its results as a list."""

    def call(*args: Any) -> list[Any]:
        out = function(*args)
        return list(out) if isinstance(out, tuple | list) else [out]

    return call


def show_types(args: Iterable[Any]) -> str:
    """Return the Types of arguments, for messages."""
    return ", ".join(str(as_value(a).type) for a in args)
