"""Run the lowering forms of ops slowly, one element at a time, with NumPy.

This is what each form means. The compiler does the same in loops; here nothing is
fused, scheduled or emitted, so that a wrong form is told from a wrong compiler.
`run_compiled` is the other side: an op through the whole compiler, on any device.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.control.jit import jit
from rxcore.ir.interpret import interpret
from rxcore.ir.primitive import (
    Accumulating,
    Expand,
    IndexMap,
    Primitive,
    Pull,
    Reduction,
    Scalar,
)
from rxcore.ir.types import Type
from rxcore.loops import interpret as nests
from rxcore.loops.nest import Index
from rxcore.loops.scalar import OPERATIONS, Evaluator, Term
from rxcore.loops.verify import verify

__all__ = ["interprets", "run_compiled", "run_lowering"]

# Element by element is slow: larger results are left to the compiled path.
_LARGEST = 512


def interprets(primitive: Primitive, types: Sequence[Type]) -> bool:
    """Say whether `run_lowering` can run this op on operands of these Types."""
    if any(dtypes.is_complex(t.dtype) for t in types):
        return False
    if isinstance(primitive.lower, IndexMap | Pull | Accumulating):
        return all(t.size <= _LARGEST for t in types)
    return isinstance(primitive.lower, Scalar | Expand | Reduction)


def run_lowering(
    primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, ...]:
    """Run an op by its `lower` slot.

    Args:
        primitive: an op for which `interprets` holds.
        operands: ndarrays.
        params: the op's params.

    Returns:
        A tuple of ndarrays, the op's results.

    Example:
        >>> from rxcore.ops.elementwise import add
        >>> run_lowering(add, [np.float32([1, 2]), np.float32([3, 4])], {})
        (array([4., 6.], dtype=float32),)
    """
    arrays = [np.asarray(a) for a in operands]
    types = [Type(a.dtype, a.shape) for a in arrays]
    outs = primitive.infer_all(types, params)
    form = primitive.lower
    match form:
        case Scalar():
            return (_scalar(form, arrays, outs[0], params),)
        case IndexMap():
            return (_moved(form, arrays[0], types[0], outs[0], params),)
        case Pull():
            return (_pulled(form, arrays, types, outs[0], params),)
        case Reduction():
            return (_reduced(form, arrays[0], params["axes"]),)
        case Expand():
            return tuple(interpret(form.function(*types, **params), arrays))
        case Accumulating():
            return _accumulated(form, arrays, types, outs, params)
    raise TypeError(f"{primitive} has the form {form}, which is not interpreted")


def run_compiled(
    primitive: Primitive,
    operands: Sequence[Any],
    params: dict[str, Any],
    device: str | None = None,
) -> tuple[Any, ...]:
    """Run an op by itself through every step of the compiler.

    Args:
        primitive: any op that has no Graph inside.
        operands: ndarrays.
        params: the op's params.
        device: where it runs, a name of `rx.devices()`; default: the CPU.

    Returns:
        A tuple of ndarrays, the op's results.

    Example:
        >>> from rxcore.ops.elementwise import add
        >>> run_compiled(add, [np.float32([1, 2]), np.float32([3, 4])], {})
        (array([4., 6.], dtype=float32),)
    """
    call = jit(functools.partial(primitive.bind, **params), device=device or "cpu")
    out = call(*operands)
    return tuple(map(np.asarray, out if primitive.multiple else (out,)))


def _scalar(form: Scalar, arrays: Any, out: Type, params: dict[str, Any]) -> Any:
    builder = Evaluator()
    terms = [Term(builder, a, a.dtype) for a in arrays]
    made = form.function(*terms, **params)
    if made.dtype != out.dtype:
        raise TypeError(f"the scalar form gives {made.dtype}, the types say {out}")
    return np.broadcast_to(made.operand, out.shape)


def _places(out: Type) -> Any:
    return [tuple(map(Index, place)) for place in np.ndindex(out.shape)]


def _moved(form: IndexMap, x: Any, type: Type, out: Type, params: Any) -> Any:
    if form.index is None:
        return x.reshape(out.shape)
    found = np.empty(out.size, out.dtype)
    for flat, place in enumerate(_places(out)):
        index = form.index(place, type, **params)
        found[flat] = x[tuple(i.constant for i in index)]
    return found.reshape(out.shape)


class _Access:
    """Reads operands at constant indices, in bounds only."""

    def __init__(self, arrays: Sequence[Any]) -> None:
        self.arrays = arrays
        self.builder = Evaluator()

    def __call__(self, k: int, index: Sequence[Index]) -> Term:
        place = tuple(i.constant for i in index)
        array = self.arrays[k]
        if any(not 0 <= i < n for i, n in zip(place, array.shape, strict=True)):
            raise IndexError(f"operand {k} of shape {array.shape} is read at {place}")
        return Term(self.builder, np.asarray(array[place]), array.dtype)

    def index(self, term: Term) -> Index:
        return Index(int(term.operand))

    def term(self, index: Index, dtype: DType = dtypes.int32) -> Term:
        return self.constant(index.constant, dtype)

    def size(self, n: int, dtype: DType = dtypes.int32) -> Term:
        return self.constant(n, dtype)

    def constant(self, value: Any, dtype: DType) -> Term:
        return Term(self.builder, self.builder.constant(value, dtype), dtype)


def _pulled(form: Pull, arrays: Any, types: Any, out: Type, params: Any) -> Any:
    found = np.empty(out.size, out.dtype)
    for flat, place in enumerate(_places(out)):
        term = form.function(_Access(arrays), place, tuple(types), **params)
        if term.dtype != out.dtype:
            raise TypeError(f"the form gives {term.dtype}, the types say {out}")
        found[flat] = term.operand
    return found.reshape(out.shape)


def _reduced(form: Reduction, x: Any, axes: tuple[int, ...]) -> Any:
    wide = np.dtype(np.float32) if x.dtype in dtypes.HALVES else x.dtype
    combine: Callable[..., Any] = OPERATIONS[form.combine].meaning
    kept = [i for i in range(x.ndim) if i not in axes]
    sizes = tuple(x.shape[i] for i in kept)
    count = int(np.prod([x.shape[a] for a in axes], dtype=int))
    rows = np.transpose(x, (*axes, *kept)).reshape(count, *sizes).astype(wide)
    total = np.full(sizes, form.identity(wide), wide)
    with np.errstate(all="ignore"):
        for row in rows:
            total = np.asarray(combine(total, row), wide)
    return total.astype(x.dtype)


def _accumulated(
    form: Accumulating, arrays: Any, types: Any, outs: Any, params: Any
) -> tuple[Any, ...]:
    nest = form.function(types, outs, **params)
    verify(nest)
    memories = {f"in{k}": a.reshape(-1).copy() for k, a in enumerate(arrays)}
    for k, t in enumerate(outs):
        memories[f"out{k}"] = np.zeros(t.size, t.dtype)
    nests.interpret(nest, {b.name: memories[b.name] for b in nest.buffers})
    return tuple(memories[f"out{k}"].reshape(t.shape) for k, t in enumerate(outs))
