"""Scalar operations of the loop language, and terms that build expressions of them.

One table (`OPERATIONS`) says which scalar operations exist and what each means in
NumPy. A `Term` is a scalar value under construction: Python operators on Terms ask
a `Builder` to emit operations, so one expression serves every consumer: the Nest
builder prints it into LLVM IR and OpenCL C, `Evaluator` computes it with NumPy.

Integer arithmetic wraps. `quo` and `rem` are C's truncating division and its
remainder (a zero divisor gives 0, never a trap). `min` and `max` propagate NaN.
`muladd` may round once or twice. `cast` from float to integer saturates, NaN gives 0.
Halves (float16, bfloat16) are storage: only `cast`, `bitcast` and `select` take them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from attrs import frozen

from rxcore.base import dtypes
from rxcore.base.dtypes import DType

Operand = Any
Number = int | float | bool


@frozen
class Operation:
    """A scalar operation: how many operands it takes and what it means."""

    name: str
    arity: int
    meaning: Callable[..., Any]
    cost: float = 1.0
    commutes: bool = False
    compares: bool = False


def _saturating_cast(x: Any, dtype: DType) -> Any:
    x = np.asarray(x)
    if dtypes.is_integer(dtype) and dtypes.is_float(x.dtype):
        wide = x.astype(np.float64)
        info = np.iinfo(dtype)
        low, high = float(info.min), float(info.max)
        inside = np.where(np.isnan(wide), 0.0, np.clip(wide, low, high))
        # float(info.max) may round up to 2**63 or 2**64: patch those by hand.
        safe = np.where(inside >= high, 0.0, inside)
        return np.where(inside >= high, info.max, safe.astype(dtype)).astype(dtype)
    if dtypes.is_bool(dtype):
        return x != 0
    return x.astype(dtype)


def _quo(a: Any, b: Any) -> Any:
    zero = b == 0
    safe = np.where(zero, np.ones_like(b), b)
    overflow = (safe == -1) if a.dtype.kind == "i" else np.zeros_like(zero)
    safe = np.where(overflow, np.ones_like(b), safe)
    result = np.floor_divide(a, safe)
    inexact = result * safe != a
    result = np.where(inexact & ((a < 0) != (safe < 0)), result + 1, result)
    result = np.where(overflow, np.negative(a), result)
    return np.where(zero, np.zeros_like(a), result).astype(a.dtype)


def _rem(a: Any, b: Any) -> Any:
    if a.dtype.kind == "f":
        return np.fmod(a, b)
    return (a - _quo(a, b) * b).astype(a.dtype)


def _shift(way: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def shift(a: Any, b: Any) -> Any:
        return way(a, b & np.asarray(a.dtype.itemsize * 8 - 1, b.dtype))

    return shift


OPERATIONS: dict[str, Operation] = {
    op.name: op
    for op in (
        Operation("neg", 1, np.negative),
        Operation("abs", 1, np.abs),
        Operation("add", 2, np.add, commutes=True),
        Operation("sub", 2, np.subtract),
        Operation("mul", 2, np.multiply, commutes=True),
        Operation("div", 2, np.divide, cost=4),
        Operation("quo", 2, _quo, cost=20),
        Operation("rem", 2, _rem, cost=20),
        Operation("muladd", 3, lambda a, b, c: a * b + c),
        Operation("min", 2, np.minimum, commutes=True),
        Operation("max", 2, np.maximum, commutes=True),
        Operation("floor", 1, np.floor),
        Operation("ceil", 1, np.ceil),
        Operation("trunc", 1, np.trunc),
        Operation("round", 1, np.rint),
        Operation("sqrt", 1, np.sqrt, cost=6),
        Operation("lt", 2, np.less, compares=True),
        Operation("le", 2, np.less_equal, compares=True),
        Operation("eq", 2, np.equal, commutes=True, compares=True),
        Operation("ne", 2, np.not_equal, commutes=True, compares=True),
        Operation("and", 2, np.bitwise_and, commutes=True),
        Operation("or", 2, np.bitwise_or, commutes=True),
        Operation("xor", 2, np.bitwise_xor, commutes=True),
        Operation("not", 1, np.invert),
        Operation("shl", 2, _shift(np.left_shift)),
        Operation("shr", 2, _shift(np.right_shift)),
        Operation("select", 3, np.where),
        Operation("cast", 1, _saturating_cast),
        Operation("bitcast", 1, lambda x, dtype: np.asarray(x).view(dtype)),
    )
}


class Builder(Protocol):
    """Whoever turns scalar operations into something: text, a Nest, numbers."""

    def emit(self, op: str, dtype: DType, operands: tuple[Operand, ...]) -> Operand:
        """Emit one operation with a result of `dtype`; return its operand."""
        ...

    def constant(self, value: Number, dtype: DType) -> Operand:
        """Return the operand of a constant."""
        ...


class Term:
    """A scalar under construction: an operand with its dtype and its builder."""

    __slots__ = ("builder", "dtype", "operand")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, builder: Builder, operand: Operand, dtype: DType) -> None:
        self.builder = builder
        self.operand = operand
        self.dtype = dtype

    def constant(self, value: Number, dtype: DType | None = None) -> Term:
        """Return a constant of this Term's dtype (or the one given)."""
        dtype = dtype or self.dtype
        return Term(self.builder, self.builder.constant(value, dtype), dtype)

    def lift(self, other: Term | Number) -> Term:
        """Return `other` as a Term of this Term's dtype."""
        return other if isinstance(other, Term) else self.constant(other)

    def emit(self, op: str, *others: Term | Number, dtype: DType | None = None) -> Term:
        """Emit `op` with this Term as its first operand."""
        result = dtypes.bool_ if OPERATIONS[op].compares else dtype or self.dtype
        builder = self.builder
        operands = [self.operand]
        for other in others:
            if isinstance(other, Term):
                operands.append(other.operand)
            else:
                operands.append(builder.constant(other, self.dtype))
        return Term(builder, builder.emit(op, result, tuple(operands)), result)

    def __add__(self, other: Term | Number) -> Term:
        return self.emit("add", other)

    def __radd__(self, other: Number) -> Term:
        return self.lift(other).emit("add", self)

    def __sub__(self, other: Term | Number) -> Term:
        return self.emit("sub", other)

    def __rsub__(self, other: Number) -> Term:
        return self.lift(other).emit("sub", self)

    def __mul__(self, other: Term | Number) -> Term:
        return self.emit("mul", other)

    def __rmul__(self, other: Number) -> Term:
        return self.lift(other).emit("mul", self)

    def __truediv__(self, other: Term | Number) -> Term:
        return self.emit("div", other)

    def __rtruediv__(self, other: Number) -> Term:
        return self.lift(other).emit("div", self)

    def __neg__(self) -> Term:
        return self.emit("neg")

    def __abs__(self) -> Term:
        return self.emit("abs")

    def __invert__(self) -> Term:
        return self.emit("not")

    def __and__(self, other: Term | Number) -> Term:
        return self.emit("and", other)

    def __or__(self, other: Term | Number) -> Term:
        return self.emit("or", other)

    def __xor__(self, other: Term | Number) -> Term:
        return self.emit("xor", other)

    def __lshift__(self, other: Term | Number) -> Term:
        return self.emit("shl", other)

    def __rshift__(self, other: Term | Number) -> Term:
        return self.emit("shr", other)

    def __lt__(self, other: Term | Number) -> Term:
        return self.emit("lt", other)

    def __le__(self, other: Term | Number) -> Term:
        return self.emit("le", other)

    def __gt__(self, other: Term | Number) -> Term:
        return self.lift(other).emit("lt", self)

    def __ge__(self, other: Term | Number) -> Term:
        return self.lift(other).emit("le", self)

    def __eq__(self, other: Term | Number) -> Term:  # type: ignore[override]
        return self.emit("eq", other)

    def __ne__(self, other: Term | Number) -> Term:  # type: ignore[override]
        return self.emit("ne", other)


def muladd(a: Term, b: Term | Number, c: Term | Number) -> Term:
    """Return a * b + c, rounded once or twice as the target likes."""
    return a.emit("muladd", b, c)


def select(condition: Term, yes: Term | Number, no: Term | Number) -> Term:
    """Return `yes` where the condition holds, else `no`."""
    one = yes if isinstance(yes, Term) else no
    if not isinstance(one, Term):
        raise TypeError("select: one of the two values must be a Term")
    yes, no = one.lift(yes), one.lift(no)
    operands = (condition.operand, yes.operand, no.operand)
    made = one.builder.emit("select", one.dtype, operands)
    return Term(one.builder, made, one.dtype)


def minimum(a: Term, b: Term | Number) -> Term:
    """Return the smaller value; NaN if either is NaN."""
    return a.emit("min", b)


def maximum(a: Term, b: Term | Number) -> Term:
    """Return the larger value; NaN if either is NaN."""
    return a.emit("max", b)


def cast(a: Term, dtype: DType) -> Term:
    """Convert to another dtype (float to integer saturates)."""
    return a if a.dtype == dtype else a.emit("cast", dtype=dtype)


def bitcast(a: Term, dtype: DType) -> Term:
    """Reinterpret the bits as another dtype of the same size."""
    return a if a.dtype == dtype else a.emit("bitcast", dtype=dtype)


class Evaluator:
    """A Builder whose operands are NumPy arrays: it computes while it builds."""

    def emit(self, op: str, dtype: DType, operands: tuple[Operand, ...]) -> Operand:
        """Compute one operation with NumPy."""
        meaning = OPERATIONS[op].meaning
        with np.errstate(all="ignore"):
            if op in ("cast", "bitcast"):
                return np.asarray(meaning(operands[0], dtype))
            return np.asarray(meaning(*operands), dtype)

    def constant(self, value: Number, dtype: DType) -> Operand:
        """Return a 0-d array."""
        return np.asarray(value).astype(dtype)


def evaluate(function: Callable[..., Term], *arrays: Any) -> Any:
    """Compute a scalar function over NumPy arrays, element by element.

    >>> evaluate(lambda x: x * x + 1, np.float32([1, 2]))
    array([2., 5.], dtype=float32)
    """
    builder = Evaluator()
    given = [np.asarray(a) for a in arrays]
    result = function(*(Term(builder, a, a.dtype) for a in given))
    return result.operand
