"""Choose the chunk: how many iterations of the shared loop a thread takes at a time."""

from __future__ import annotations

from attrs import evolve

from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.count import estimate
from rxcore.loops.nest import Loop, Nest

__all__ = ["choose_chunk"]

# Pieces stream from this much (about 10 microseconds) to that much, and are this many
# in between.
_LEAST, _MOST, _PIECES = 1 << 17, 1 << 20, 32
# Below this much in all no second thread is worth waking.
_TINY = 1 << 16
# Pieces of a flat loop end on cache lines, so that threads do not share one.
_ALIGNED = 1024


def choose_chunk(nest: Nest, _capabilities: Capabilities) -> tuple[Nest, ...]:
    """Size the pieces by the bytes and operations of one iteration.

    The choice never depends on the number of threads.
    """
    shared = [s for s in nest.body if isinstance(s, Loop) and s.kind in _SHARED]
    work = estimate(nest).weight
    if len(shared) != 1 or not isinstance(shared[0].extent, int) or work < _TINY:
        return (evolve(nest, chunk=0),)
    extent = shared[0].extent
    piece = min(max(work / _PIECES, _LEAST), _MOST)
    chunk = max(int(piece * extent / work), 1)
    if shared[0].kind == "lane":
        chunk = -(-chunk // _ALIGNED) * _ALIGNED
    return (evolve(nest, chunk=chunk if chunk < extent else 0),)


_SHARED = ("group", "lane")
