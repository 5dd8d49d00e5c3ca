"""The parts of a Nest that several passes look at: names, accesses, the outer band."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeGuard

import numpy as np
from attrs import evolve, frozen

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.loops.nest import (
    Accumulate,
    Block,
    Constant,
    Extent,
    If,
    Let,
    Load,
    Loop,
    Nest,
    Operand,
    Statement,
    Store,
    walk,
)

__all__ = [
    "Band",
    "accesses",
    "all_loops",
    "band",
    "block_loops",
    "definitions",
    "extent_of",
    "identity",
    "is_plain",
    "iterations",
    "live",
    "operand_names",
    "reads",
    "reorderable",
    "stores",
    "stride_cost",
    "trim_buffers",
]

Body = tuple[Statement, ...]


def operands(s: Statement) -> tuple[Operand, ...]:
    """Return the scalar operands of one statement (not of what it contains)."""
    match s:
        case Let():
            return s.operands
        case Store() | Accumulate():
            return (s.operand,)
        case If():
            return (s.condition,)
        case Loop():
            return tuple(a.initial for a in s.accumulators)
        case Load():
            return ()


def operand_names(body: Body) -> set[str]:
    """Return the names used as scalar operands, so not only inside an Index."""
    found: set[str] = set()
    for s in walk(body):
        _add_operands(s, found)
    return found


def _add_operands(s: Statement, found: set[str]) -> None:
    if isinstance(s, Load):
        return
    for o in operands(s):
        if isinstance(o, str):
            found.add(o)


def block_loops(body: Body) -> set[str]:
    """Return the names that the Blocks of a body count in."""
    loops = (s for s in walk(body) if isinstance(s, Loop))
    return {s.extent.loop for s in loops if isinstance(s.extent, Block)}


def reads(body: Body) -> set[str]:
    """Return every name that a body reads: operands, index terms, block numbers."""
    found: set[str] = set()
    for s in walk(body):
        _add_operands(s, found)
        if isinstance(s, (Load, Store)):
            for name, _ in s.index.terms:
                found.add(name)
        elif isinstance(s, Loop) and isinstance(s.extent, Block):
            found.add(s.extent.loop)
    return found


def definitions(body: Body) -> set[str]:
    """Return every name that a body defines."""
    found: set[str] = set()
    for s in walk(body):
        if isinstance(s, (Let, Load)):
            found.add(s.name)
        elif isinstance(s, Loop):
            found.add(s.index)
            found.update(a.name for a in s.accumulators)
    return found


def accesses(body: Body) -> list[Load | Store]:
    """Return the loads and stores of a body, in order."""
    return [s for s in walk(body) if isinstance(s, (Load, Store))]


def stores(body: Body) -> list[Store]:
    """Return the stores of a body, in order."""
    return [s for s in walk(body) if isinstance(s, Store)]


def is_plain(s: Statement) -> TypeGuard[Let | Load]:
    """Say whether a statement only names a value."""
    return isinstance(s, (Let, Load))


def extent_of(extent: Extent) -> int:
    """Return the largest count that an extent can stand for."""
    if isinstance(extent, Block):
        return min(extent.size, extent.total)
    return extent


def iterations(loops: Iterable[Loop]) -> int:
    """Return how often the innermost of some nested loops runs."""
    total = 1
    for loop in loops:
        total *= extent_of(loop.extent)
    return total


@frozen
class Band:
    """A Nest's outer shape: plain statements, then nested parallel loops, then a body.

    Args:
        prefix: the Lets and Loads before the loops.
        loops: perfectly nested parallel loops, outermost first; their `body` is stale.
        body: what the innermost of them holds (the rest of the Nest without loops).
    """

    prefix: Body
    loops: tuple[Loop, ...]
    body: Body

    def rebuild(self, nest: Nest) -> Nest:
        """Return the Nest with this shape."""
        body = self.body
        for loop in reversed(self.loops):
            body = (evolve(loop, body=body),)
        return evolve(nest, body=(*self.prefix, *body))


def band(nest: Nest) -> Band:
    """Take a Nest apart at its outer parallel loops."""
    at = 0
    while at < len(nest.body) and is_plain(nest.body[at]):
        at += 1
    prefix, body = nest.body[:at], nest.body[at:]
    loops: list[Loop] = []
    while len(body) == 1 and isinstance(body[0], Loop) and body[0].kind == "parallel":
        loops.append(body[0])
        body = body[0].body
    return Band(prefix, tuple(loops), body)


def reorderable(loop: Loop, combines: Mapping[str, str] | None = None) -> bool:
    """Say whether the iterations of a loop may run in any order (up to rounding).

    Parallel loops say so themselves. A serial one may when it only joins values to
    accumulators that it does not read, and stores each element once, at an affine
    place that nothing else in it touches.

    Args:
        loop: the loop.
        combines: how the accumulators of the loops around it combine.
    """
    if loop.kind != "serial":
        return True
    known = dict(combines or {})
    known |= {a.name: a.combine for x in all_loops((loop,)) for a in x.accumulators}
    joined = {s.name for s in walk(loop.body) if isinstance(s, Accumulate)}
    if any(known.get(name, "replace") == "replace" for name in joined):
        return False
    own = {a.name for a in loop.accumulators}
    return not (joined | own) & reads(loop.body) and _stores_apart(loop)


def _stores_apart(loop: Loop) -> bool:
    inside = {s.index for s in walk(loop.body) if isinstance(s, Loop)}
    if inside:
        return not stores(loop.body)
    computed = {s.name for s in loop.body if is_plain(s)}
    stored = {s.buffer: s.index for s in stores(loop.body)}
    for s in accesses(loop.body):
        if s.buffer not in stored:
            continue
        moving = s.index.coefficient(loop.index) != 0
        gathered = not computed.isdisjoint(s.index.names())
        if s.index != stored[s.buffer] or not moving or gathered:
            return False
    return not any(isinstance(s, If) for s in walk(loop.body)) or not stored


def live(body: Body) -> Body:
    """Drop the Lets and Loads of a body's top level that nothing reads."""
    kept: list[Statement] = []
    needed: set[str] = set()
    for s in reversed(body):
        if is_plain(s) and s.name not in needed:
            continue
        kept.append(s)
        needed |= reads((s,))
    return tuple(reversed(kept))


def trim_buffers(nest: Nest) -> Nest:
    """Keep the buffers that a Nest touches, each with the access that it has."""
    loaded = {s.buffer for s in walk(nest.body) if isinstance(s, Load)}
    stored = {s.buffer for s in stores(nest.body)}
    kept = []
    for b in nest.buffers:
        if b.name in stored:
            kept.append(evolve(b, access="inout" if b.name in loaded else "out"))
        elif b.name in loaded:
            kept.append(evolve(b, access="in"))
    return evolve(nest, buffers=tuple(kept))


def all_loops(body: Body) -> Iterator[Loop]:
    """Yield every loop, outer before inner."""
    return (s for s in walk(body) if isinstance(s, Loop))


def identity(combine: str, dtype: DType) -> Constant:
    """Return the value that changes nothing when it is combined."""
    if combine in ("add", "or", "xor"):
        value: int | float | bool = 0
    elif combine == "mul":
        value = 1
    elif combine == "and":
        value = True if dtypes.is_bool(dtype) else ~0
        if dtype in dtypes.UNSIGNED:
            value = int(np.iinfo(dtype).max)
    else:
        value = _extreme(dtype, largest=combine == "min")
    if dtypes.is_bool(dtype):
        return Constant(bool(value), dtype)
    return Constant(float(value) if dtypes.is_float(dtype) else int(value), dtype)


def _extreme(dtype: DType, *, largest: bool) -> int | float | bool:
    if dtypes.is_bool(dtype):
        return largest
    if dtypes.is_float(dtype):
        return math.inf if largest else -math.inf
    limits = np.iinfo(dtype)
    return int(limits.max if largest else limits.min)


def stride_cost(nest: Nest, found: Iterable[Load | Store], loop: Loop) -> float:
    """Estimate bytes moved per iteration when a loop is the innermost one.

    A unit stride moves the element, any other stride a good part of a cache line;
    starting a short loop costs as much as moving some tens of bytes.
    """
    sizes = {b.name: b.dtype.itemsize for b in nest.buffers}
    total = 0.0
    for s in found:
        stride = abs(s.index.coefficient(loop.index))
        if stride:
            jump = _STORE_JUMP if isinstance(s, Store) else _LOAD_JUMP
            total += sizes.get(s.buffer, 4) * (1 if stride == 1 else jump)
    return total + _LOOP_START / max(extent_of(loop.extent), 1)


# What an access that jumps costs, in accesses in order. Loads that jump can go through
# a scratch tile.
_LOAD_JUMP, _STORE_JUMP = 8, 64
_LOOP_START = 100.0
