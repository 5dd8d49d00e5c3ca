"""Places: where a program's values are, before addresses are known.

A `Place` is a memory with a byte offset, or a place that a loop moves: stepped by a
stride after each pass (a slice of a per-step input), or flipped between two (a
double-buffered carry). The arena is planned by liveness once every use is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field, frozen

ALIGN = 64


@define(eq=False)
class Memory:
    """An intermediate in the arena, alive from one moment to another.

    Args:
        nbytes: its size.
        birth: the moment it is first written.
        loops: the loops inside which it was made, outermost first.
        death: the last moment it is read.
        offset: where it lies in the arena, once planned.
    """

    nbytes: int
    birth: int
    loops: tuple[int, ...]
    death: int = field(default=-1)
    offset: int = field(default=-1)


@frozen(eq=False)
class InputSlot:
    """The memory of the program's input k."""

    number: int


@frozen(eq=False)
class OutputSlot:
    """The memory of the program's output k."""

    number: int


@frozen(eq=False)
class ConstantMemory:
    """Memory that the program owns: its address never changes."""

    address: int


@frozen(eq=False)
class HostConstant:
    """A number that a program on a device holds: uploaded when it is bound."""

    host: Any


Base = Memory | InputSlot | OutputSlot | ConstantMemory | HostConstant


@frozen(eq=False)
class Fixed:
    """A memory, some bytes in."""

    base: Base
    offset: int = 0


@frozen(eq=False)
class Stepped:
    """A place that moves by `stride` bytes after each pass of a loop."""

    loop: int
    start: Place
    stride: int


@frozen(eq=False)
class Flipped:
    """A place that alternates: `even` in passes 0, 2, ..., `odd` in between."""

    loop: int
    even: Place
    odd: Place


Place = Fixed | Stepped | Flipped


def shifted(place: Place, nbytes: int) -> Place:
    """Return the place some bytes further on."""
    if nbytes == 0:
        return place
    match place:
        case Fixed():
            return Fixed(place.base, place.offset + nbytes)
        case Stepped():
            return Stepped(place.loop, shifted(place.start, nbytes), place.stride)
        case Flipped():
            return Flipped(
                place.loop, shifted(place.even, nbytes), shifted(place.odd, nbytes)
            )


def flipped(
    loop: int, front: Sequence[Fixed], back: Sequence[Fixed]
) -> tuple[list[Place], list[Place]]:
    """Return where carries are read and written; one buffer needs no turns."""
    pairs = list(zip(front, back, strict=True))
    read: list[Place] = [a if a is b else Flipped(loop, a, b) for a, b in pairs]
    write: list[Place] = [a if a is b else Flipped(loop, b, a) for a, b in pairs]
    return read, write


def bases(place: Place) -> list[Base]:
    """Return everything that a place may refer to."""
    match place:
        case Fixed():
            return [place.base]
        case Stepped():
            return bases(place.start)
        case Flipped():
            return bases(place.even) + bases(place.odd)


def memories(place: Place) -> list[Memory]:
    """Return the intermediates that a place may refer to."""
    return [b for b in bases(place) if isinstance(b, Memory)]


def plan_arena(found: list[Memory]) -> int:
    """Give every memory its offset; return the arena's size.

    Greedy: the largest first, each at the lowest offset where nothing that lives at
    the same time lies (Pisarchyk and Lee, "Efficient Memory Management for Deep
    Neural Net Inference", 2020, greedy by size).
    """
    placed: list[Memory] = []
    total = 0
    for m in sorted(found, key=lambda m: -m.nbytes):
        size = -(-m.nbytes // ALIGN) * ALIGN
        busy = sorted(
            (p.offset, p.offset + -(-p.nbytes // ALIGN) * ALIGN)
            for p in placed
            if p.birth <= m.death and m.birth <= p.death
        )
        offset = 0
        for low, high in busy:
            if offset + size <= low:
                break
            offset = max(offset, high)
        m.offset = offset
        placed.append(m)
        total = max(total, offset + size)
    return total


def plan_blocks(found: Sequence[Memory]) -> tuple[list[int], dict[Memory, int]]:
    """Let intermediates that never live together share one buffer of a device.

    Returns:
        The blocks' sizes, and for each memory the number of its block. The largest
        memories come first, so a block is as large as its first.
    """
    sizes: list[int] = []
    users: list[list[Memory]] = []
    share: dict[Memory, int] = {}
    for m in sorted(found, key=lambda m: -m.nbytes):
        apart = (k for k, others in enumerate(users) if _never_together(m, others))
        k = next(apart, len(sizes))
        if k == len(sizes):
            sizes.append(m.nbytes)
            users.append([])
        users[k].append(m)
        share[m] = k
    return sizes, share


def _never_together(m: Memory, others: list[Memory]) -> bool:
    return all(m.death < o.birth or o.death < m.birth for o in others)
