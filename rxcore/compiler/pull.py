"""Pulling: compute one element of a value from elements of stored values.

`Puller` walks from a consumer to its producers with one affine index per axis and
emits scalar operations into a builder. `lower` uses it to write Nests; `fuse` uses it
dry, with a builder that only counts, to learn which elements a value reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.compiler.address import Indices, delinearize, flatten
from rxcore.ir.graph import Equation, Literal, Operand, Value
from rxcore.ir.primitive import IndexMap, Pull, Scalar
from rxcore.loops import scalar
from rxcore.loops.nest import Constant, Index, Number, Size
from rxcore.loops.scalar import Builder, Term


class DoesNotFit(Exception):  # noqa: N818 - it is control flow, caught by fuse
    """A reshape's index is not affine: its operand must be stored."""

    def __init__(self, value: Value) -> None:
        super().__init__()
        self.value = value


_PLAIN = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)

Leaf = Callable[[Value, Indices], Term | None]


class Puller:
    """Computes elements on demand.

    Args:
        builder: where operations go.
        producers: the equation that makes each value that may be pulled.
        leaf: answers for values that are at hand (stored, accumulated), else None.
        flat: `flat(value, offset)` reads a stored value at a flat offset, or None.
        extents: the extents of loop names.
        as_term: turns an Index into an int64 Term.
    """

    def __init__(
        self,
        builder: Builder,
        producers: Mapping[Value, Equation],
        leaf: Leaf,
        flat: Callable[[Value, Index], Term | None],
        extents: Mapping[str, int],
        as_term: Callable[[Index], Term],
        as_name: Callable[[Term], str],
        alive: Callable[[Term], bool],
    ) -> None:
        self.builder = builder
        self.producers = producers
        self.leaf = leaf
        self.flat = flat
        self.extents = extents
        self.as_term = as_term
        self.as_name = as_name
        self.alive = alive
        self.memory: dict[tuple[Value, Indices], Term] = {}

    def operand(self, o: Operand, index: Indices) -> Term:
        """Return the Term of an operand's element; rank 0 ignores the index."""
        if isinstance(o, Literal):
            return Term(self.builder, self.literal(o), o.type.dtype)
        return self.pull(o, index if o.type.shape else ())

    def literal(self, o: Literal) -> Any:
        """Return a literal's operand: floats but the plainest stay out of the text.

        So a new batch size in a mean, or a new learning rate, is no new kernel.
        """
        dtype, value = o.type.dtype, o.value
        if dtype in (dtypes.float32, dtypes.float64):
            number = float(value)  # type: ignore[arg-type]
            if math.isfinite(number) and number not in _PLAIN:
                return Number(number, dtype)
        return self.builder.constant(value, dtype)  # type: ignore[arg-type]

    def pull(self, value: Value, index: Indices) -> Term:
        """Return the Term of a value's element."""
        found = self._known(value, index)
        if found is not None:
            return found
        # A stack of our own: chains of elementwise ops may be thousands long.
        stack = [(value, index)]
        opened: set[tuple[Value, Indices]] = set()
        while True:
            key = stack[-1]
            term = None
            if key not in opened:
                opened.add(key)
                term = self.leaf(*key)
                waiting = self._waiting(*key) if term is None else []
                if waiting:
                    stack += reversed(waiting)
                    continue
            if term is None:
                term = self._compute(*key)
            self.memory[key] = term
            stack.pop()
            while stack and self._known(*stack[-1]) is not None:
                stack.pop()
            if not stack:
                return term

    def _known(self, value: Value, index: Indices) -> Term | None:
        found = self.memory.get((value, index))
        return found if found is not None and self.alive(found) else None

    def _waiting(self, value: Value, index: Indices) -> list[tuple[Value, Indices]]:
        """Return the operands of an elementwise op that are still to be pulled."""
        equation = self.producers.get(value)
        if equation is None or not isinstance(equation.primitive.lower, Scalar):
            return []
        places = [
            (o, index if o.type.shape else ())
            for o in equation.inputs
            if isinstance(o, Value)
        ]
        return [p for p in places if self._known(*p) is None]

    def _compute(self, value: Value, index: Indices) -> Term:
        equation = self.producers.get(value)
        if equation is None:
            raise errors.InternalError(f"nothing makes the value {value} in this group")
        form = equation.primitive.lower
        match form:
            case Scalar():
                terms = [self.operand(o, index) for o in equation.inputs]
                return self._typed(form.function(*terms, **equation.params), value)
            case IndexMap():
                return self._through(equation, form, value, index)
            case Pull():
                return self._typed(self._element(equation, form, index), value)
        raise errors.InternalError(f"{equation.primitive} cannot be pulled")

    def _typed(self, term: Term, value: Value) -> Term:
        if term.dtype != value.type.dtype:
            raise errors.InternalError(
                f"a lowering gives {term.dtype.name} for a value of type {value.type}"
            )
        return term

    def _through(
        self, equation: Equation, form: IndexMap, value: Value, index: Indices
    ) -> Term:
        (source,) = equation.inputs
        if isinstance(source, Literal):
            return self.operand(source, ())
        if form.index is not None:
            inner = form.index(index, source.type, **equation.params)
            return self.operand(source, tuple(inner))
        offset = flatten(index, value.type.shape)
        fitted = delinearize(offset, source.type.shape, self.extents)
        if fitted is not None:
            return self.pull(source, fitted)
        stored = self.flat(source, offset)
        if stored is None:
            raise DoesNotFit(source)
        return stored

    def _element(self, equation: Equation, form: Pull, index: Indices) -> Term:
        types = tuple(o.type for o in equation.inputs)
        access = Access(self, equation.inputs)
        return form.function(access, index, types, **equation.params)  # type: ignore[no-any-return]


class Tracker(Puller):
    """Finds what a value is made from; what is done with operands does not matter."""

    def _compute(self, value: Value, index: Indices) -> Term:
        equation = self.producers.get(value)
        if equation is None or not isinstance(equation.primitive.lower, Scalar):
            return super()._compute(value, index)
        for o in equation.inputs:
            if isinstance(o, Value):
                self.pull(o, index if o.type.shape else ())
        dtype = value.type.dtype
        return Term(self.builder, self.builder.emit("neg", dtype, ()), dtype)


class Access:
    """What a Pull rule may do: read operands, and move between numbers and indices."""

    __slots__ = ("inputs", "puller")

    def __init__(self, puller: Puller, inputs: tuple[Operand, ...]) -> None:
        self.puller = puller
        self.inputs = inputs

    def __call__(self, k: int, index: tuple[Index, ...] = ()) -> Term:
        """Return operand k's element at an index."""
        return self.puller.operand(self.inputs[k], tuple(index))

    def index(self, term: Term) -> Index:
        """Return an Index that is a computed integer: a gather."""
        operand = term.operand
        if isinstance(operand, (Constant, Size)):
            return Index(int(operand.value))
        wide = scalar.cast(term, dtypes.int64)
        return Index.of(self.puller.as_name(wide))

    def term(self, index: Index, dtype: DType = dtypes.int32) -> Term:
        """Return the value of an affine index as a number."""
        return scalar.cast(self.puller.as_term(index), dtype)

    def size(self, number: int, dtype: DType = dtypes.int32) -> Term:
        """Return an integer that came from a shape; it stays out of the text."""
        term = Term(self.puller.builder, Size(number), dtypes.int64)
        return scalar.cast(term, dtype)

    def constant(self, value: float, dtype: DType) -> Term:
        """Return a constant of the text."""
        builder = self.puller.builder
        return Term(builder, builder.constant(value, dtype), dtype)


class Counting:
    """A Builder that writes nothing and counts what the operations cost."""

    def __init__(self) -> None:
        self.cost = 0.0
        self.names = 0

    def emit(self, op: str, dtype: DType, operands: tuple[Any, ...]) -> Any:
        """Count one operation."""
        self.cost += scalar.OPERATIONS[op].cost
        self.names += 1
        return f"v{self.names}"

    def constant(self, value: Any, dtype: DType) -> Constant:
        """Return a constant's operand."""
        return Constant(value, dtype)
