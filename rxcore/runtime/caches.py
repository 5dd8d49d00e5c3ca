"""Caches and waiting: what a user may ask of the runtime as a whole."""

from __future__ import annotations

from typing import Any

from rxcore.base import tree
from rxcore.runtime.array import Array
from rxcore.runtime.program import clearers
from rxcore_kernels import builder

__all__ = ["block_until_ready", "clear_caches"]


def clear_caches() -> None:
    """Forget captured functions and compiled programs; kernels on disk stay."""
    for clear in list(clearers):
        clear()
    builder.clear()


def block_until_ready(x: Any) -> Any:
    """Return a pytree once its arrays are computed.

    Calls on the CPU are synchronous; for arrays on a device this waits until what was
    enqueued there is done.

    Args:
        x: a pytree.

    Returns:
        The same pytree.

    Raises:
        DeviceError: something that was enqueued has failed.

    Example:
        >>> import rxcore as rx
        >>> rx.block_until_ready(rx.asarray(1.0))
        Array(1., dtype=float32)
    """
    if isinstance(x, Array):
        return x.block_until_ready()
    homes = {leaf.home for leaf in tree.leaves(x) if isinstance(leaf, Array)}
    for home in homes - {None}:
        home.finish()
    return x
