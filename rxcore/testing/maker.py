"""Draw the steps of a program: values, their bounds, and elementwise ops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import REGISTRY, Primitive, Scalar
from rxcore.ir.types import Type
from rxcore.ops.compare import select
from rxcore.ops.convert import convert
from rxcore.runtime.array import asarray
from rxcore.testing import strategies
from rxcore.testing.program import Function, Program, Step
from rxcore.trace.capture import capture

# Bounds -----------------------------------------------------------------------------

# Up to here whole numbers are exact, with room to add.
_LIMITS = {
    dtypes.bfloat16: 2.0**7,
    dtypes.float16: 2.0**10,
    dtypes.float32: 2.0**22,
    dtypes.float64: 2.0**50,
}
_SMOOTH = 30.0
_TAME = 4
# Elements of a value; it is interpreted slowly in places.
_LARGEST = 1 << 17


def limit(dtype: DType) -> float:
    """Return up to which number whole numbers of a dtype are exact."""
    if dtypes.is_bool(dtype):
        return 1.0
    if dtypes.is_integer(dtype):
        return float(-int(np.iinfo(dtype).min) or int(np.iinfo(dtype).max))
    return _LIMITS[dtype]


def _primitives(names: str) -> list[Primitive]:
    return [REGISTRY[n] for n in names.split() if n in REGISTRY]


def _elementwise(exact: Sequence[str]) -> list[Primitive]:
    """Return elementwise ops of the registry that are exact on whole numbers."""
    chosen = set(exact)
    return [
        p for p in REGISTRY.values() if isinstance(p.lower, Scalar) and p.name in chosen
    ]


_ONE = _elementwise(
    (
        *("abs", "neg", "sign", "floor", "ceil", "round", "trunc", "not"),
        *("stop_gradient", "population_count", "is_nan", "is_inf", "is_finite"),
    )
)
_TWO = _elementwise(
    (
        *("add", "sub", "mul", "maximum", "minimum", "floor_divide", "remainder"),
        *("fmod", "and", "or", "xor", "eq", "ne", "lt", "le", "gt", "ge"),
    )
)
_WHOLE = frozenset({"floor_divide", "remainder", "fmod", "and", "or", "xor"})
_SMOOTH_ONE = _primitives(
    "sin cos tanh neg logistic atan erf asinh expm1 exp log1p sqrt integer_pow"
)


# Making -----------------------------------------------------------------------------


class Maker:
    """Draws the steps of one program."""

    def __init__(self, draw: st.DrawFn, inputs: Sequence[Type], smooth: bool) -> None:
        self.draw = draw
        self.inputs = tuple(inputs)
        self.smooth = smooth
        self.types: list[Type] = list(inputs)
        self.bounds: list[float] = [
            3.0 if smooth or not dtypes.is_bool(t.dtype) else 1.0 for t in inputs
        ]
        self.steps: list[Step] = []

    # Values

    def one_of(self, options: Sequence[Any]) -> Any:
        """Draw one of some options."""
        return self.draw(st.sampled_from(list(options)))

    def flag(self) -> bool:
        """Draw True or False."""
        return self.draw(st.booleans())

    def number(self, low: int, high: int) -> int:
        """Draw an integer."""
        return self.draw(st.integers(low, high))

    def value(self, fits: Callable[[Type], bool] = lambda _: True) -> int:
        """Draw a value, late ones first."""
        found = [k for k, t in enumerate(self.types) if fits(t)]
        assume(found)
        back = min(self.number(0, 5), self.number(0, len(found) - 1), len(found) - 1)
        if self.flag():
            back = self.number(0, len(found) - 1)
        return found[len(found) - 1 - back]

    def add(
        self,
        text: str,
        function: Function,
        operands: Sequence[int],
        bound: float | Callable[[DType], float] | Sequence[float],
    ) -> int:
        """Append a step; return the number of its first result."""
        given = [self.types[k] for k in operands]

        def flat(*args: Any) -> list[Any]:
            out = function(*args)
            return list(out) if isinstance(out, list | tuple) else [out]

        types = capture(flat, given).graph.out_types
        types = tuple(t.strong() for t in types)
        first = len(self.types)
        self.steps.append(Step(text, function, tuple(operands), types))
        for t in types:
            assume(t.size <= _LARGEST)
            high = bound(t.dtype) if callable(bound) else bound
            if isinstance(high, Sequence):
                high = high[len(self.types) - first]
            whole = not dtypes.is_inexact(t.dtype)
            self.types.append(t)
            self.bounds.append(min(high, limit(t.dtype)) if whole else high)
        for k in range(first, len(self.types)):
            if not self.smooth and dtypes.is_inexact(self.types[k].dtype):
                assert self.bounds[k] <= limit(self.types[k].dtype), text
        return first

    def tame(self, k: int, bound: float = 1.0) -> int:
        """Return the value, or a step that makes it small, if it passes a bound."""
        if self.bounds[k] <= bound:
            return k
        t = self.types[k]
        if self.smooth:
            if t.dtype != dtypes.float64:
                return k
            return self.add("tanh({0})", REGISTRY["tanh"], [k], 1.0)
        if dtypes.is_bool(t.dtype):
            return k
        low = 0 if t.dtype in dtypes.UNSIGNED else -_TAME
        clamp = REGISTRY["clamp"]
        return self.add(
            f"clamp({low}, {{0}}, {_TAME})",
            lambda x: clamp(low, x, _TAME),
            [k],
            float(_TAME),
        )

    def operand(self, k: int, to: DType) -> int:
        """Return the value such that its conversion to a dtype is exact."""
        t = self.types[k]
        exact = dtypes.is_inexact(to) or dtypes.is_inexact(t.dtype)
        least = limit(to)
        if dtypes.is_inexact(t.dtype) and to in dtypes.UNSIGNED:
            # A negative number has no unsigned one.
            return self.add(
                f"clamp(0, {{0}}, {_TAME})",
                lambda x: REGISTRY["clamp"](0, x, _TAME),
                [k],
                float(_TAME),
            )
        if exact and not dtypes.is_bool(to) and self.bounds[k] >= least:
            return self.tame(k, min(least - 1, float(_TAME)))
        return k

    def largest(self, dtype: DType) -> float:
        """Return up to where values of a dtype may grow."""
        return _SMOOTH if self.smooth else limit(dtype)

    def sized(self, k: int, grow: Callable[[float], float]) -> tuple[int, float]:
        """Return the value, tamed if `grow(bound)` passes the limit, and that."""
        dtype = self.types[k].dtype
        whole = not dtypes.is_inexact(dtype)
        after = grow(self.bounds[k])
        if whole or after <= self.largest(dtype):
            return k, after
        k = self.tame(k)
        after = grow(self.bounds[k])
        assume(after <= self.largest(dtype))
        return k, after

    # Elementwise

    def unary(self) -> None:
        """Add an op of one operand."""
        if self.smooth:
            k = self.value(lambda t: t.dtype == dtypes.float64)
            return self.smooth_unary(self.one_of(_SMOOTH_ONE), k)
        k = self.value()
        p = self.one_of([p for p in _ONE if self.types[k].dtype in p.samples.dtypes])
        bits = p.name in ("not", "population_count")
        k, bound = self.sized(k, lambda b: b + 1)
        self.add(f"{p}({{0}})", p, [k], limit if bits else bound)
        return None

    def smooth_unary(self, p: Primitive, k: int) -> None:
        """Add a smooth op of one operand, small enough for it."""
        name = p.name
        if name in ("log1p", "sqrt"):
            text = f"{name}(1 + {{0}} * {{0}})"
            k = self.tame(k, 5.0)
            self.add(text, lambda x: p(x * x + 1), [k], 6.0)
        elif name == "integer_pow":
            n, k = self.number(2, 3), self.tame(k, 2.0)
            self.add(f"{{0}} ** {n}", lambda x: x**n, [k], 8.0)
        elif name in ("exp", "expm1"):
            self.add(f"{name}({{0}})", p, [self.tame(k, 2.0)], 7.4)
        else:
            self.add(f"{name}({{0}})", p, [k], max(self.bounds[k], 1.0))

    def pair(self) -> tuple[int, int]:
        """Draw two values whose shapes broadcast."""
        a = self.value()
        of = self.types[a].shape

        def fits(t: Type) -> bool:
            return all(
                p in (q, 1) or q == 1
                for p, q in zip(reversed(t.shape), reversed(of), strict=False)
            )

        return a, self.value(fits)

    def binary(self) -> None:
        """Add an op of two operands."""
        a, b = self.pair()
        if self.number(0, 3) == 0:
            return self.with_number(a)
        names = ["add", "sub", "mul"] if self.smooth else [p.name for p in _TWO]
        p = REGISTRY[self.one_of(names)]
        pair = (self.types[a].dtype, False), (self.types[b].dtype, False)
        common, _ = dtypes.promote(*pair)
        if p.name in _WHOLE and dtypes.is_inexact(common):
            p = REGISTRY["add"]
        if common not in p.samples.dtypes:
            p = REGISTRY["ne"]
        if not self.smooth:
            a, b = self.operand(a, common), self.operand(b, common)
        self.joined(p, a, b, common)
        return None

    def joined(self, p: Primitive, a: int, b: int, common: DType) -> None:
        """Add an op of two operands that are exact in its dtype."""

        def grown() -> float:
            x, y = self.bounds[a], self.bounds[b]
            return x * y if p.name == "mul" else x + y

        if dtypes.is_inexact(common) and grown() > self.largest(common):
            a, b = self.tame(a), self.tame(b)
        bits = p.name in _WHOLE or p.name == "sub"
        whole = dtypes.is_integer(common)
        bound: Any = limit if whole and bits else grown()
        self.add(f"{p}({{0}}, {{1}})", p, [a, b], bound)

    def with_number(self, a: int) -> None:
        """Join with a Python number, which is weak."""
        p = REGISTRY[self.one_of(["add", "mul", "sub"])]
        dtype = self.types[a].dtype
        if dtypes.is_bool(dtype) or (p.name == "sub" and dtype in dtypes.UNSIGNED):
            p = REGISTRY["add"]
        number: Any = self.one_of([2, 3, 1, 0])
        if dtypes.is_inexact(dtype) and self.flag():
            number = float(number)
        a, bound = self.sized(a, lambda b: 3 * b + 3)
        if self.flag():
            self.add(f"{p}({{0}}, {number})", lambda x: p(x, number), [a], bound)
        else:
            reach: Any = limit if dtypes.is_integer(dtype) else bound
            self.add(f"{p}({number}, {{0}})", lambda x: p(number, x), [a], reach)

    def choose(self) -> None:
        """Add a selection."""
        a, b = self.pair()
        common, _ = dtypes.promote(
            (self.types[a].dtype, False), (self.types[b].dtype, False)
        )
        if not self.smooth:
            a, b = self.operand(a, common), self.operand(b, common)
        bound = max(self.bounds[a], self.bounds[b])
        n = self.types[a].shape
        if n and n[-1] and self.flag():
            mask = asarray(np.arange(n[-1]) % 2 == 0)
            text = f"select(arange({n[-1]}) % 2 == 0, {{0}}, {{1}})"
            self.add(text, lambda x, y: select(mask, x, y), [a, b], bound)
        elif self.smooth:
            self.joined(REGISTRY["mul"], a, b, common)
        else:
            text = "select({0} > 0, {0}, {1})"
            positive = REGISTRY["gt"]
            self.add(text, lambda x, y: select(positive(x, 0), x, y), [a, b], bound)

    def change_dtype(self) -> None:
        """Add a conversion."""
        k = self.value()
        dtype = self.draw(strategies.dtypes())
        k = self.operand(k, dtype)
        same = dtypes.is_inexact(dtype)
        bound: Any = self.bounds[k] if same else limit
        self.add(
            f"convert({{0}}, {dtype.name})", lambda x: convert(x, dtype), [k], bound
        )

    def program(self, outputs: tuple[int, ...], seed: int = 0) -> Program:
        """Return what was made so far."""
        return Program(self.inputs, tuple(self.steps), outputs, self.smooth, seed)
