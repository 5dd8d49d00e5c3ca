"""What single operations cost a processor: instructions, classes, and latencies."""

from __future__ import annotations

from collections.abc import Collection

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.loops.nest import (
    Accumulate,
    Accumulator,
    Let,
    Load,
    Operand,
    Statement,
    Store,
    walk,
)

__all__ = ["WHOLE", "carried", "joining", "latency", "operation", "width"]

Body = tuple[Statement, ...]

# Instructions that operations take, where these are not 1.
_INSTRUCTIONS = {"bitcast": 0.0, "sqrt": 1.3, "rem": 32.0}
_INSTRUCTIONS |= dict.fromkeys(("floor", "ceil", "trunc", "round"), 2.0)
# Minima and maxima mind NaN; float to integer saturates, element by element.
_EXTREME, _SATURATING, _TO_BFLOAT, _TO_HALF = 4.0, 90.0, 8.0, 2.0
# What float64 operations count, of those that cost more than a sum.
_DOUBLE = {"div": 8.0, "sqrt": 10.0, "rem": 32.0}
# Latencies in units of that of a product of floats, where they are not 1.
_LATENCY = {"bitcast": 0.0, "div": 4.0, "sqrt": 5.0, "rem": 30.0, "select": 0.75}
_LATENCY |= {"add": 0.6, "sub": 0.6, "lt": 1.25, "le": 1.25, "eq": 1.25, "ne": 1.25}
_LATENCY |= dict.fromkeys(("floor", "ceil", "trunc", "round", "min", "max"), 2.0)
# The latency of an operation on integers, and the least of a recurrence.
WHOLE = 0.25


def joining(a: Accumulator) -> float:
    """Return the instructions that join a value to an accumulator."""
    if a.combine == "replace":
        return 0.0
    extreme = a.combine in ("min", "max") and dtypes.is_float(a.dtype)
    return _EXTREME if extreme else 1.0


def latency(body: Body, carried: set[str] | None) -> tuple[float, int]:
    """Return the longest chain of operations, and how many operations there are.

    Args:
        body: the body of an innermost loop.
        carried: the accumulators where chains begin and end, or None: anywhere.
    """
    depth: dict[Operand, float] = dict.fromkeys(carried or (), 0.0)
    longest, count = 0.0, 0
    for s in walk(body):
        if isinstance(s, Let):
            count += 1
            found = [depth[o] for o in s.operands if o in depth]
            if found or carried is None:
                depth[s.name] = max(found, default=0.0) + _latency(s)
                if carried is None:
                    longest = max(longest, depth[s.name])
        elif isinstance(s, Accumulate) and carried and s.name in carried:
            longest = max(longest, depth.get(s.operand, 0.0))
    return longest, count


def carried(body: Body, scratch: Collection[str]) -> float:
    """Return the longest chain from what is loaded from scratch to what goes back."""
    depth: dict[Operand, float] = {}
    longest = 0.0
    for s in walk(body):
        match s:
            case Load() if s.buffer in scratch:
                depth[s.name] = 0.0
            case Let():
                found = [depth[o] for o in s.operands if o in depth]
                if found:
                    depth[s.name] = max(found) + _latency(s)
            case Store() if s.buffer in scratch:
                longest = max(longest, depth.get(s.operand, 0.0))
    return longest


def _latency(s: Let) -> float:
    cost = _LATENCY.get(s.op, 1.0)
    whole = not dtypes.is_float(s.dtype) and not dtypes.is_bool(s.dtype)
    return min(cost, WHOLE) if whole else cost


def width(body: Body) -> float:
    """Return the bytes of the widest value of a body, in units of 4."""
    sizes = [s.dtype.itemsize for s in walk(body) if isinstance(s, (Let, Load))]
    return max(sizes, default=4) / 4


def operation(s: Let, kind: DType) -> tuple[str, float]:
    """Return the class of an operation, and how many instructions it takes."""
    op, dtype = s.op, s.dtype
    if op == "cast":
        count = _conversion(kind, dtype)
    elif op in ("quo", "rem") and not dtypes.is_float(dtype):
        return "integer_divide", 1.0
    elif op in ("min", "max") and dtypes.is_float(dtype):
        count = _EXTREME
    elif op == "muladd" and not dtypes.is_float(dtype):
        count = 2.0
    else:
        count = _INSTRUCTIONS.get(op, 1.0)
    if count and dtypes.float64 in (dtype, kind):
        return "double", _DOUBLE.get(op, count)
    if op in ("div", "sqrt"):
        return "divide", count
    return "muladd" if op == "muladd" and count == 1.0 else "simple", count


def _conversion(source: DType, target: DType) -> float:
    if source == target:
        return 0.0
    if target in dtypes.HALVES:
        return _TO_BFLOAT if target == dtypes.bfloat16 else _TO_HALF
    if dtypes.is_float(source) and dtypes.is_integer(target):
        return _SATURATING
    return _TO_HALF if source in dtypes.HALVES else 1.0
