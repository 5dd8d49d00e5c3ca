"""Python's garbage collector, kept away from where it only costs time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["paused"]


@contextmanager
def paused() -> Iterator[None]:
    """Collect no cycles meanwhile.

    A compilation makes many small objects that live long. Each of them counts towards
    a collection, which walks all modules there are (20 ms after an import) and finds
    next to nothing.

    Example:
        >>> import gc
        >>> with paused():
        ...     gc.isenabled()
        False
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
