"""What an emitter wants to know of a Nest before it prints a line."""

from __future__ import annotations

from collections import Counter

from rxcore.base import dtypes
from rxcore.loops.nest import (
    Accumulate,
    Block,
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
    "accesses",
    "block_sizes",
    "fused_products",
    "is_plain",
    "updated",
    "widest_bytes",
]


def accesses(nest: Nest) -> list[str]:
    """Return for each buffer the LLVM attribute that says how a Nest uses it."""
    statements = list(walk(nest.body))
    read = {s.buffer for s in statements if isinstance(s, Load)}
    written = {s.buffer for s in statements if isinstance(s, Store)}
    both = read & written
    return [
        "" if b.name in both else "writeonly" if b.name in written else "readonly"
        for b in nest.buffers
    ]


def block_sizes(nest: Nest) -> dict[str, int]:
    """Return the size of the blocks that each loop over blocks counts."""
    extents = [s.extent for s in walk(nest.body) if isinstance(s, Loop)]
    return {e.loop: e.size for e in extents if isinstance(e, Block)}


def updated(loop: Loop, running: dict[str, str]) -> list[str]:
    """Return the accumulators that something in the loop updates."""
    inside = {s.name for s in walk(loop.body) if isinstance(s, Accumulate)}
    return [name for name in running if name in inside]


def fused_products(body: tuple[Statement, ...]) -> dict[str, Let]:
    """Find products whose only use is to be added to a float accumulator.

    They become `fmuladd`s on the accumulator, whose sum is reassociated anyway: a dot
    product then runs at the rate of fused multiply-adds.
    """
    statements = list(walk(body))
    sums = {
        a.name
        for s in statements
        if isinstance(s, Loop)
        for a in s.accumulators
        if a.combine == "add" and dtypes.is_float(a.dtype)
    }
    added = {
        s.operand
        for s in statements
        if isinstance(s, Accumulate) and s.name in sums and isinstance(s.operand, str)
    }
    products = {
        s.name: s
        for s in statements
        if isinstance(s, Let) and s.op == "mul" and s.name in added
    }
    if not products:
        return {}
    uses = Counter(name for s in statements for name in _used(s))
    return {name: let for name, let in products.items() if uses[name] == 1}


def is_plain(loop: Loop) -> bool:
    """Say whether a loop surely vectorizes: unit strides, no branch, no division."""
    for s in loop.body:
        match s:
            case Let():
                if s.op in ("quo", "rem"):
                    return False
            case Load() | Store():
                here = s.index.coefficient(loop.index)
                moves = (1, -1) if isinstance(s, Store) else (0, 1, -1)
                if here not in moves or len(s.index.terms) > abs(here):
                    return False
            case _:
                return False
    return True


def widest_bytes(loop: Loop) -> int:
    """Return the largest number of bytes of a value in a plain loop."""
    sizes = [s.dtype.itemsize for s in loop.body if isinstance(s, (Let, Load))]
    return max(sizes, default=8)


def _used(s: Statement) -> list[str]:
    match s:
        case Let():
            operands: tuple[Operand, ...] = s.operands
        case Store():
            operands = (s.operand, *s.index.names())
        case Load():
            operands = s.index.names()
        case Accumulate():
            operands = (s.operand,)
        case If():
            operands = (s.condition,)
        case Loop():
            operands = tuple(a.initial for a in s.accumulators)
    return [o for o in operands if isinstance(o, str)]
