"""Functions of sparse matrices run compiled, also when called on concrete arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rxcore.base import tree
from rxcore.control.jit import jit
from rxcore.trace.tracer import Tracer

__all__ = ["run"]


@functools.cache
def _jitted(function: Callable[..., Any]) -> Callable[..., Any]:
    jitted: Callable[..., Any] = jit(function)
    return jitted


def run(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of pytrees: compiled, unless it is being traced already."""
    if any(isinstance(leaf, Tracer) for leaf in tree.leaves(args)):
        return function(*args)
    return _jitted(function)(*args)
