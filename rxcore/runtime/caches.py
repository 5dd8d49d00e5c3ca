"""Caches and waiting: what a user may ask of the runtime as a whole."""

from __future__ import annotations

from typing import Any

from rxcore.runtime.program import clearers
from rxcore_kernels import builder

__all__ = ["block_until_ready", "clear_caches"]


def clear_caches() -> None:
    """Forget captured functions and compiled programs; kernels on disk stay."""
    for clear in list(clearers):
        clear()
    builder.clear()


def block_until_ready(x: Any) -> Any:
    """Return a pytree once its arrays are computed: calls on the CPU are synchronous.

    Example:
        >>> import rxcore as rx
        >>> rx.block_until_ready(rx.asarray(1.0))
        Array(1., dtype=float32)
    """
    return x
