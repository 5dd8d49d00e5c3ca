"""Random programs: typed DAGs over the ops, as functions that any transform takes.

A program is drawn as a list of steps over numbered values; it prints as Python. There
are two kinds. **Exact** programs mix dtypes, and every result is exact: floats hold
small whole numbers, integers wrap around; so two ways to run one agree bit for bit.
**Smooth** programs compute in float64 with differentiable ops of bounded results; so
differences are close to derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import frozen
from hypothesis import assume
from hypothesis import strategies as st

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.control.cond import cond, switch
from rxcore.control.jit import jit
from rxcore.control.scan import scan
from rxcore.control.while_loop import while_loop
from rxcore.ir.primitive import REGISTRY, Primitive, Scalar
from rxcore.ir.types import Type
from rxcore.ops import (
    argreduce,
    cumulate,
    dynamic,
    gather,
    join,
    matmul,
    reduce,
    scatter,
    shape,
)
from rxcore.ops.compare import select
from rxcore.ops.convert import convert
from rxcore.ops.logsumexp import logsumexp
from rxcore.ops.samples import draw as drawn
from rxcore.runtime.array import Array, asarray
from rxcore.testing import strategies
from rxcore.trace.capture import capture

__all__ = ["Program", "Step", "programs"]

Function = Callable[..., Any]


@frozen
class Step:
    """One step of a program.

    Args:
        text: how it prints, with `{0}`, `{1}`, ... for operands.
        function: of the operands; gives one array, or a list of them.
        operands: numbers of values: the arguments first, then all results.
        types: the results' Types.
    """

    text: str
    function: Function
    operands: tuple[int, ...]
    types: tuple[Type, ...]


@frozen(eq=False, repr=False)
class Program:
    """A random pure function of arrays.

    Args:
        inputs: the arguments' Types.
        steps: what it does.
        outputs: numbers of the values that it returns.
        smooth: whether it is differentiable, in float64.
        seed: where `arguments` come from.
    """

    inputs: tuple[Type, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    smooth: bool = False
    seed: int = 0

    def __call__(self, *args: Any) -> tuple[Any, ...]:
        """Run the program."""
        values = list(args)
        for s in self.steps:
            out = s.function(*[values[k] for k in s.operands])
            values += out if isinstance(out, list | tuple) else [out]
        return tuple(values[k] for k in self.outputs)

    def arguments(self, lane: int = 0) -> list[Array]:
        """Return arguments; another lane, other values."""
        rng = np.random.default_rng((self.seed, lane))
        made = []
        for t in self.inputs:
            host = drawn(rng, t.dtype, t.shape, -3, 3)
            if not self.smooth and dtypes.is_inexact(t.dtype):
                host = np.rint(np.asarray(host, np.float64))
            made.append(asarray(np.asarray(host, t.dtype)))
        return made

    def __str__(self) -> str:
        count = len(self.inputs)
        names = [f"x{k}" for k in range(count)]
        given = ", ".join(f"{n}: {t}" for n, t in zip(names, self.inputs, strict=True))
        lines = [f"def program({given}):  # seed {self.seed}"]
        for s in self.steps:
            outs = [f"v{len(names) + k}" for k in range(len(s.types))]
            text = s.text.format(*[names[k] for k in s.operands])
            types = ", ".join(map(str, s.types))
            lines.append(f"    {', '.join(outs)} = {text}  # {types}")
            names += outs
        lines.append("    return " + ", ".join(names[k] for k in self.outputs))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Print for Hypothesis, which would show the fields otherwise."""
        del cycle
        printer.text("\n" + str(self))

    def inline(self) -> str:
        """Return the text as it stands below a step that holds this program."""
        body = str(self).replace("{", "{{").replace("}", "}}")
        return " where\n" + "\n".join("        " + line for line in body.splitlines())


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


def _limit(dtype: DType) -> float:
    if dtypes.is_bool(dtype):
        return 1.0
    if dtypes.is_integer(dtype):
        return float(-int(np.iinfo(dtype).min) or int(np.iinfo(dtype).max))
    return _LIMITS[dtype]


def _primitives(names: str) -> list[Primitive]:
    return [REGISTRY[n] for n in names.split() if n in REGISTRY]


def _elementwise(arity: int, exact: Sequence[str]) -> list[Primitive]:
    """Return elementwise ops of the registry that are exact on whole numbers."""
    chosen = set(exact)
    return [
        p for p in REGISTRY.values() if isinstance(p.lower, Scalar) and p.name in chosen
    ]


_ONE = _elementwise(
    1,
    "abs neg sign floor ceil round trunc not stop_gradient population_count is_nan"
    " is_inf is_finite".split(),
)
_TWO = _elementwise(
    2,
    "add sub mul maximum minimum eq ne lt le gt ge and or xor floor_divide remainder"
    " fmod".split(),
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
        return self.draw(st.sampled_from(list(options)))

    def flag(self) -> bool:
        return self.draw(st.booleans())

    def number(self, low: int, high: int) -> int:
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
        bound: float | Callable[[DType], float],
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
            high = bound(t.dtype) if callable(bound) else bound
            whole = not dtypes.is_inexact(t.dtype)
            self.types.append(t)
            self.bounds.append(min(high, _limit(t.dtype)) if whole else high)
        for k in range(first, len(self.types)):
            if not self.smooth and dtypes.is_inexact(self.types[k].dtype):
                assert self.bounds[k] <= _limit(self.types[k].dtype), text
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
        least = _limit(to)
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

    def limit(self, dtype: DType) -> float:
        return _SMOOTH if self.smooth else _limit(dtype)

    def sized(self, k: int, grow: Callable[[float], float]) -> tuple[int, float]:
        """Return the value, tamed if `grow(bound)` passes the limit, and that."""
        dtype = self.types[k].dtype
        whole = not dtypes.is_inexact(dtype)
        after = grow(self.bounds[k])
        if whole or after <= self.limit(dtype):
            return k, after
        k = self.tame(k)
        after = grow(self.bounds[k])
        assume(after <= self.limit(dtype))
        return k, after

    # Elementwise

    def unary(self) -> None:
        if self.smooth:
            k = self.value(lambda t: t.dtype == dtypes.float64)
            return self.smooth_unary(self.one_of(_SMOOTH_ONE), k)
        k = self.value()
        p = self.one_of([p for p in _ONE if self.types[k].dtype in p.samples.dtypes])
        bits = p.name in ("not", "population_count")
        self.add(f"{p}({{0}})", p, [k], _limit if bits else self.bounds[k] + 1)
        return None

    def smooth_unary(self, p: Primitive, k: int) -> None:
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
        def grown() -> float:
            x, y = self.bounds[a], self.bounds[b]
            return x * y if p.name == "mul" else x + y

        if dtypes.is_inexact(common) and grown() > self.limit(common):
            a, b = self.tame(a), self.tame(b)
        bits = p.name in _WHOLE or p.name == "sub"
        whole = dtypes.is_integer(common)
        bound: Any = _limit if whole and bits else grown()
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
            reach: Any = _limit if dtypes.is_integer(dtype) else bound
            self.add(f"{p}({number}, {{0}})", lambda x: p(number, x), [a], reach)

    def choose(self) -> None:
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
        k = self.value()
        dtype = self.draw(strategies.dtypes())
        k = self.operand(k, dtype)
        same = dtypes.is_inexact(dtype)
        bound: Any = self.bounds[k] if same else _limit
        self.add(
            f"convert({{0}}, {dtype.name})", lambda x: convert(x, dtype), [k], bound
        )

    # Index maps

    def move(self) -> None:
        k = self.value()
        t = self.types[k]
        kinds = ["reshape", "broadcast"]
        if t.ndim:
            kinds += ["slice", "pad", "flip", "transpose", "transpose"]
        kind = self.one_of(kinds)
        text, function = getattr(self, f"_{kind}")(t)
        self.add(text, function, [k], self.bounds[k])

    def _reshape(self, t: Type) -> tuple[str, Function]:
        options: list[tuple[int, ...]] = [(t.size,), (*t.shape, 1), (1, *t.shape)]
        if t.ndim > 1:
            options.append((t.shape[0] * t.shape[1], *t.shape[2:]))
            options.append((*t.shape[:-2], t.shape[-2] * t.shape[-1]))
        options += [(n, t.size // n) for n in (2, 3) if t.size and t.size % n == 0]
        wanted = self.one_of([o for o in options if len(o) <= 4])
        return f"reshape({{0}}, {wanted})", lambda x: shape.reshape(x, wanted)

    def _broadcast(self, t: Type) -> tuple[str, Function]:
        grown = tuple(self.one_of([2, 3]) if n == 1 else n for n in t.shape)
        if len(grown) < 3:
            grown = (self.one_of([2, 1, 3]), *grown)
        assume(math.prod(grown) <= 600)
        return f"broadcast_to({{0}}, {grown})", lambda x: shape.broadcast_to(x, grown)

    def _transpose(self, t: Type) -> tuple[str, Function]:
        order = tuple(self.draw(st.permutations(range(t.ndim))))
        return f"transpose({{0}}, {order})", lambda x: shape.transpose(x, order)

    def _slice(self, t: Type) -> tuple[str, Function]:
        start = tuple(self.number(0, n) for n in t.shape)
        stop = tuple(self.number(a, n) for a, n in zip(start, t.shape, strict=True))
        step = tuple(self.number(1, 3) for _ in t.shape)
        text = f"slice({{0}}, {start}, {stop}, {step})"
        return text, lambda x: shape.slice_(x, start, stop, step)

    def _flip(self, t: Type) -> tuple[str, Function]:
        axes = tuple(i for i in range(t.ndim) if self.flag()) or (0,)
        return f"reverse({{0}}, {axes})", lambda x: shape.reverse(x, axes)

    def _pad(self, t: Type) -> tuple[str, Function]:
        widths = []
        for n in t.shape:
            low, high = self.number(-1, 2), self.number(-1, 2)
            inner = self.number(0, 1)
            full = n + max(n - 1, 0) * inner
            widths.append((max(low, -(full // 2)), max(high, -(full // 2)), inner))
        text = f"pad({{0}}, 1, {widths})"
        return text, lambda x: join.pad(x, 1, widths)

    def together(self) -> None:
        k = self.value(lambda t: t.ndim > 0)
        t = self.types[k]
        axis = self.number(0, t.ndim - 1)

        def fits(o: Type) -> bool:
            cut = o.shape[:axis] + o.shape[axis + 1 :]
            same = cut == t.shape[:axis] + t.shape[axis + 1 :]
            return o.dtype == t.dtype and o.ndim == t.ndim and same

        several = [k, self.value(fits), self.value(fits)][: self.number(2, 3)]
        assume(sum(self.types[o].shape[axis] for o in several) <= 12)
        bound = max(self.bounds[o] for o in several)
        places = ", ".join(f"{{{i}}}" for i in range(len(several)))
        text = f"concatenate([{places}], {axis})"
        self.add(text, lambda *x: join.concatenate(list(x), axis), several, bound)

    def apart(self) -> None:
        k = self.value(lambda t: t.ndim > 0)
        t = self.types[k]
        axis = self.number(0, t.ndim - 1)
        cut = self.number(0, t.shape[axis])
        sizes = [cut, t.shape[axis] - cut]
        text = f"split({{0}}, {sizes}, {axis})"
        self.add(text, lambda x: join.split(x, sizes, axis), [k], self.bounds[k])

    # Reductions, contractions, cumulative ops

    def reduction(self) -> None:
        k = self.value(lambda t: t.ndim > 0)
        t = self.types[k]
        axes = tuple(i for i in range(t.ndim) if self.flag()) or (t.ndim - 1,)
        count = math.prod(t.shape[a] for a in axes)
        names = ["sum", "sum"] if self.smooth else ["sum", "max", "min"]
        if self.smooth and dtypes.is_inexact(t.dtype):
            names.append("logsumexp")
        elif dtypes.is_bool(t.dtype):
            names = ["all", "any", "max"]
        elif not self.smooth:
            names.append("prod")
        name = self.one_of(names)
        if name in ("max", "min", "logsumexp") and not count:
            name = "any" if dtypes.is_bool(t.dtype) else "sum"
        keep = self.flag()
        grow: Callable[[float], float] = lambda b: b
        if name == "sum":
            grow = lambda b: max(b * count, 1.0)  # noqa: E731
        elif name == "prod":
            grow = lambda b: max(b, 1.0) ** min(count, 5)  # noqa: E731
            assume(count <= 4 or not dtypes.is_inexact(t.dtype))
        elif name == "logsumexp":
            grow = lambda b: b + 7  # noqa: E731
        function = {
            "sum": reduce.sum_,
            "prod": reduce.prod_,
            "max": reduce.max_,
            "min": reduce.min_,
            "all": reduce.all_,
            "any": reduce.any_,
            "logsumexp": logsumexp,
        }[name]
        k, bound = self.sized(k, grow)
        reach: Any = bound if dtypes.is_inexact(t.dtype) else _limit
        text = f"{name}({{0}}, {axes}, keepdims={keep})"
        self.add(text, lambda x: function(x, axes, keepdims=keep), [k], reach)

    def place_of_largest(self) -> None:
        k = self.value(lambda t: t.ndim > 0 and not dtypes.is_bool(t.dtype))
        t = self.types[k]
        axis = self.number(0, t.ndim - 1)
        assume(t.shape[axis])
        largest = self.flag()
        f = argreduce.argmax if largest else argreduce.argmin
        name = "argmax" if largest else "argmin"
        self.add(f"{name}({{0}}, {axis})", lambda x: f(x, axis), [k], t.shape[axis])

    def running(self) -> None:
        k = self.value(lambda t: t.ndim > 0 and not dtypes.is_bool(t.dtype))
        t = self.types[k]
        axis = self.number(0, t.ndim - 1)
        n = t.shape[axis]
        names = ["cumsum"] if self.smooth else ["cumsum", "cummax", "cummin", "cumprod"]
        name = self.one_of(names)
        if name == "cumprod" and dtypes.is_inexact(t.dtype):
            name = "cumsum"
        reverse = self.flag()
        grow = (lambda b: b * max(n, 1)) if name == "cumsum" else (lambda b: b)
        k, bound = self.sized(k, grow)
        reach: Any = bound if dtypes.is_inexact(t.dtype) else _limit
        f = getattr(cumulate, name)
        text = f"{name}({{0}}, {axis}, reverse={reverse})"
        self.add(text, lambda x: f(x, axis, reverse), [k], reach)

    def product(self) -> None:
        def real(t: Type) -> bool:
            return t.ndim > 0 and not dtypes.is_bool(t.dtype)

        a = self.value(real)
        n = self.types[a].shape[-1]

        def fits(t: Type) -> bool:
            inner = t.shape[-2] if t.ndim > 1 else (t.shape[0] if t.ndim else -1)
            lead, other = t.shape[:-2], self.types[a].shape[:-2]
            joins = all(
                p == q for p, q in zip(reversed(lead), reversed(other), strict=False)
            )
            return real(t) and inner == n and joins

        b = self.value(fits)
        pair = (self.types[a].dtype, False), (self.types[b].dtype, False)
        common, _ = dtypes.promote(*pair)
        if not self.smooth:
            a, b = self.operand(a, common), self.operand(b, common)
        if dtypes.is_inexact(common):
            if self.bounds[a] * self.bounds[b] * max(n, 1) > self.limit(common):
                a, b = self.tame(a), self.tame(b)
            bound: Any = self.bounds[a] * self.bounds[b] * max(n, 1)
            assume(bound <= self.limit(common))
        else:
            bound = _limit
        self.add("matmul({0}, {1})", matmul.matmul, [a, b], bound)

    # Places that are computed

    def places(self) -> int:
        """Return a value of integers."""
        k = self.value(lambda t: not self.smooth or dtypes.is_integer(t.dtype))
        if dtypes.is_integer(self.types[k].dtype):
            return k
        return self.add(
            "convert({0}, int32)",
            lambda x: convert(x, dtypes.int32),
            [self.operand(k, dtypes.int32)],
            self.bounds[k],
        )

    def read(self) -> None:
        k = self.value(lambda t: t.ndim > 0 and t.size > 0)
        t, at = self.types[k], self.places()
        axis = self.number(0, t.ndim - 1)
        rest = math.prod(t.shape[:axis] + t.shape[axis + 1 :])
        assume(self.types[at].ndim + t.ndim <= 4)
        assume(rest * self.types[at].size <= 600)
        mode = self.one_of(["clip", "wrap"])
        text = f"take({{0}}, {{1}}, {axis}, mode={mode!r})"
        self.add(
            text,
            lambda x, i: gather.take(x, i, axis, mode=mode),
            [k, at],
            self.bounds[k],
        )

    def window(self) -> None:
        k = self.value(lambda t: t.ndim > 0)
        t = self.types[k]
        at = self.places()
        if self.types[at].shape:
            size = self.types[at].size
            assume(size)
            at = self.add(
                "reshape({0}, (-1,))[0]",
                lambda x: shape.reshape(
                    shape.slice_(shape.reshape(x, (size,)), (0,), (1,)), ()
                ),
                [at],
                self.bounds[at],
            )
        sizes = tuple(self.number(0, n) for n in t.shape)
        starts: Callable[[Any], list[Any]] = lambda i: [i] + [1] * (t.ndim - 1)
        if self.flag():
            text = f"dynamic_slice({{0}}, [{{1}}, 1, ...], {sizes})"
            self.add(
                text,
                lambda x, i: dynamic.dynamic_slice(x, starts(i), sizes),
                [k, at],
                self.bounds[k],
            )
            return

        def update(x: Any, i: Any) -> Any:
            part = shape.slice_(shape.reverse(x, 0), (0,) * t.ndim, sizes)
            return dynamic.dynamic_update_slice(x, part, starts(i))

        text = f"dynamic_update_slice({{0}}, flip({{0}})[:{sizes}], [{{1}}, 1, ...])"
        self.add(text, update, [k, at], self.bounds[k])

    def write(self) -> None:
        k = self.value(lambda t: t.ndim > 0 and not dtypes.is_bool(t.dtype))
        t, at = self.types[k], self.places()
        count = self.types[at].size
        combine = self.one_of(["add"] if self.smooth else ["add", "set", "max", "min"])
        k, bound = self.sized(k, lambda b: b + 2 * count if combine == "add" else b + 2)
        reach: Any = bound if dtypes.is_inexact(t.dtype) else _limit
        self.add(
            f"scatter({{0}}, 2, {{1}}, axes=(0,), combine={combine!r})",
            lambda x, i: scatter.scatter(x, 2, i, axes=(0,), combine=combine),
            [k, at],
            reach,
        )

    # Ops that hold functions

    def body(self, types: Sequence[Type], steps: int = 4) -> Maker:
        """Return a maker of an inner function."""
        inner = Maker(self.draw, types, self.smooth)
        for _ in range(self.number(1, steps)):
            self.one_of([inner.unary, inner.binary, inner.binary, inner.choose])()
        return inner

    def returned(self, inner: Maker, type: Type) -> int:
        """Return a value of an inner function of exactly some Type, and small."""
        last = [k for k, t in enumerate(inner.types) if t.shape == type.shape]
        k = last[-1]
        if inner.types[k].dtype != type.dtype:
            k = inner.operand(k, type.dtype)
            k = inner.add(
                f"convert({{0}}, {type.dtype.name})",
                lambda x: convert(x, type.dtype),
                [k],
                inner.bounds[k] if dtypes.is_inexact(type.dtype) else _limit,
            )
        return inner.tame(k, 3.0)

    def loop(self) -> None:
        """Add a scan over the leading axis of a value."""
        k = self.value(lambda t: t.ndim > 0 and t.shape[0] > 0)
        t = self.types[k]
        row = Type(t.dtype, t.shape[1:])
        k = self.tame(k, 3.0)
        carry = self.value(lambda o: o.shape in (row.shape, ()))
        carry = self.tame(carry, 3.0)
        inner = self.body([self.types[carry], row])
        new = self.returned(inner, self.types[carry])
        out = inner.value()
        made = inner.program((new, out))
        reverse = self.flag()

        def function(xs: Any, c: Any) -> list[Any]:
            c, ys = scan(lambda c, x: made(c, x), c, xs, reverse=reverse)
            return [c, ys]

        text = f"scan(body, {{1}}, {{0}}, reverse={reverse})" + made.inline()
        bound = max(inner.bounds[new], inner.bounds[out])
        self.add(text, function, [k, carry], bound)

    def branch(self) -> None:
        """Add a choice between two functions."""
        k = self.value()
        t = self.types[k]
        k = self.tame(k, 3.0)
        ways = []
        for _ in range(2):
            inner = self.body([t])
            ways.append(inner.program((self.returned(inner, t),)))
        yes, no = ways

        total = reduce.any_ if dtypes.is_bool(t.dtype) else reduce.sum_

        def function(x: Any) -> Any:
            test = REGISTRY["gt"](total(x), 0)
            return cond(test, lambda v: yes(v)[0], lambda v: no(v)[0], x)

        if self.smooth or self.flag():
            number = self.number(-1, 2)

            def function(x: Any) -> Any:  # noqa: F811
                return switch(number, [lambda v: yes(v)[0], lambda v: no(v)[0]], x)

        text = "cond({0}.sum() > 0, yes, no, {0})" + yes.inline() + no.inline()
        self.add(text, function, [k], 4.0 if not self.smooth else 3.0)

    def call(self) -> None:
        """Add a jitted function."""
        k = self.tame(self.value(), 3.0)
        inner = self.body([self.types[k]])
        outs = tuple(inner.value() for _ in range(2))
        made = inner.program(outs)
        bound = max(inner.bounds[o] for o in outs)
        compiled = jit(lambda x: made(x))
        self.add("jit(f)({0})" + made.inline(), compiled, [k], bound)

    def repeat(self) -> None:
        """Add a while loop that counts."""
        k = self.tame(self.value(), 3.0)
        t = self.types[k]
        inner = self.body([t])
        made = inner.program((self.returned(inner, t),))
        turns = self.number(0, 3)

        def function(x: Any) -> Any:
            start = (asarray(0), x)
            test = lambda s: REGISTRY["lt"](s[0], turns)  # noqa: E731
            return while_loop(test, lambda s: (s[0] + 1, made(s[1])[0]), start)[1]

        text = f"while_loop({turns} times, body, {{0}})" + made.inline()
        self.add(text, function, [k], 4.0)

    def program(self, outputs: tuple[int, ...], seed: int = 0) -> Program:
        """Return what was made so far."""
        return Program(self.inputs, tuple(self.steps), outputs, self.smooth, seed)


_PLAIN = (
    "unary binary binary choose change_dtype move move move together apart reduction"
    " reduction place_of_largest running product read window write"
).split()
_SMOOTH_STEPS = (
    "unary unary binary binary choose move move together apart reduction running"
    " product read window write"
).split()


@st.composite
def programs(
    draw: st.DrawFn,
    *,
    smooth: bool = False,
    control: bool = True,
    loops: bool = True,
    max_steps: int = 10,
    kinds: Sequence[str] = (),
) -> Program:
    """Draw a random program.

    Args:
        draw: given by Hypothesis.
        smooth: whether to draw a differentiable program in float64; else an exact
            one of mixed dtypes.
        control: whether scans, choices and calls may come.
        loops: whether while loops may come (they have no reverse-mode derivative).
        max_steps: the largest number of steps, those that keep bounds not counted.
        kinds: names of `Maker`'s steps to draw from; default: all that fit.

    Example:
        >>> from hypothesis import find
        >>> found = find(programs(max_steps=1), lambda p: len(p.steps) == 1)
        >>> len(found(*found.arguments())) >= 1
        True
    """
    some = strategies.shapes(sizes=(3, 1, 4, 2) if smooth else (3, 1, 4, 2, 5, 0))
    kind = st.just(dtypes.float64) if smooth else strategies.dtypes()
    count = draw(st.integers(1, 3))
    inputs = [Type(draw(kind), draw(some)) for _ in range(count)]
    if count > 1 and draw(st.booleans()):
        inputs[1] = inputs[1].with_shape(inputs[0].shape)
    if smooth:
        inputs.append(Type(dtypes.int32, draw(some)))
    make = Maker(draw, inputs, smooth)
    options = list(kinds or (_SMOOTH_STEPS if smooth else _PLAIN))
    if control and not kinds:
        options += ["loop", "branch", "call"] + (["repeat"] if loops else [])
    for _ in range(draw(st.integers(1, max_steps))):
        getattr(make, draw(st.sampled_from(options)))()
    last = len(make.types) - 1
    outputs = [last]
    for _ in range(draw(st.integers(0, 2))):
        outputs.append(make.value())
    if smooth:
        real = [o for o in outputs if make.types[o].dtype == dtypes.float64]
        assume(real)
        outputs = real
    return make.program(tuple(outputs), draw(st.integers(0, 99)))
