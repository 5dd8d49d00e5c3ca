"""Random programs: typed DAGs over the ops, as functions that any transform takes.

A program is drawn as a list of steps over numbered values; it prints as Python. There
are two kinds. **Exact** programs mix dtypes, and every result is exact: floats hold
small whole numbers, integers wrap around; so two ways to run one agree bit for bit.
**Smooth** programs compute in float64 with differentiable ops of bounded results; so
differences are close to derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from rxcore.base import dtypes
from rxcore.control.cond import cond, switch
from rxcore.control.jit import jit
from rxcore.control.scan import scan
from rxcore.control.while_loop import while_loop
from rxcore.ir.primitive import REGISTRY
from rxcore.ir.types import Type
from rxcore.ops import reduce
from rxcore.ops.convert import convert
from rxcore.runtime.array import asarray
from rxcore.testing import strategies
from rxcore.testing.maker import limit
from rxcore.testing.moves import Moving
from rxcore.testing.program import Program, Step

__all__ = ["Composing", "Program", "Step", "programs"]


class Composing(Moving):
    """Draws steps that hold functions, too."""

    # Ops that hold functions

    def body(self, types: Sequence[Type], steps: int = 4) -> Composing:
        """Return a maker of an inner function."""
        inner = Composing(self.draw, types, self.smooth)
        for _ in range(self.number(1, steps)):
            self.one_of([inner.unary, inner.binary, inner.binary, inner.choose])()
        return inner

    def returned(self, inner: Composing, type: Type) -> int:
        """Return a value of an inner function of exactly some Type, and small."""
        last = [k for k, t in enumerate(inner.types) if t.shape == type.shape]
        k = last[-1]
        if inner.types[k].dtype != type.dtype:
            k = inner.operand(k, type.dtype)
            k = inner.add(
                f"convert({{0}}, {type.dtype.name})",
                lambda x: convert(x, type.dtype),
                [k],
                inner.bounds[k] if dtypes.is_inexact(type.dtype) else limit,
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
        self.add(text, function, [k, carry], [inner.bounds[o] for o in (new, out)])

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

            def function(x: Any) -> Any:
                return switch(number, [lambda v: yes(v)[0], lambda v: no(v)[0]], x)

        text = "cond({0}.sum() > 0, yes, no, {0})" + yes.inline() + no.inline()
        self.add(text, function, [k], 4.0 if not self.smooth else 3.0)

    def call(self) -> None:
        """Add a jitted function."""
        k = self.tame(self.value(), 3.0)
        inner = self.body([self.types[k]])
        outs = tuple(inner.value() for _ in range(2))
        made = inner.program(outs)
        compiled = jit(lambda x: made(x))
        self.add(
            "jit(f)({0})" + made.inline(),
            compiled,
            [k],
            [inner.bounds[o] for o in outs],
        )

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


_SHARED = (
    *("unary", "binary", "binary", "choose", "move", "move", "together", "apart"),
    *("reduction", "running", "product", "read", "window", "write"),
)
_PLAIN = (*_SHARED, "change_dtype", "move", "reduction", "place_of_largest")
_SMOOTH_STEPS = (*_SHARED, "unary")


@st.composite
def programs(
    draw: st.DrawFn,
    *,
    smooth: bool = False,
    control: bool = True,
    loops: bool = True,
    max_steps: int = 10,
    kinds: Sequence[str] = (),
    sizes: Sequence[int] = (3, 1, 4, 2, 5, 0),
) -> Program:
    """Draw a random program.

    Args:
        draw: given by Hypothesis.
        smooth: whether to draw a differentiable program in float64; else an exact
            one of mixed dtypes.
        control: whether scans, choices and calls may come.
        loops: whether while loops may come (they have no reverse-mode derivative).
        max_steps: the largest number of steps, those that keep bounds not counted.
        sizes: the lengths of axes to draw from; smooth programs leave 0 out.
        kinds: names of `Composing`'s steps to draw from; default: all that fit.

    Example:
        >>> from hypothesis import find
        >>> found = find(programs(max_steps=1), lambda p: len(p.steps) == 1)
        >>> len(found(*found.arguments())) >= 1
        True
    """
    some = strategies.shapes(sizes=[n for n in sizes if n or not smooth])
    kind = st.just(dtypes.float64) if smooth else strategies.dtypes()
    count = draw(st.integers(1, 3))
    inputs = [Type(draw(kind), draw(some)) for _ in range(count)]
    if count > 1 and draw(st.booleans()):
        inputs[1] = inputs[1].with_shape(inputs[0].shape)
    if smooth:
        inputs.append(Type(dtypes.int32, draw(some)))
    assume(all(t.size <= 1 << 17 for t in inputs))
    make = Composing(draw, inputs, smooth)
    options = list(kinds or (_SMOOTH_STEPS if smooth else _PLAIN))
    if control and not kinds:
        options += ["loop", "branch", "call"] + (["repeat"] if loops else [])
    for _ in range(draw(st.integers(1, max_steps))):
        getattr(make, draw(st.sampled_from(options)))()
    last = len(make.types) - 1
    outputs = [last, *(make.value() for _ in range(draw(st.integers(0, 2))))]
    if smooth:
        real = [o for o in outputs if make.types[o].dtype == dtypes.float64]
        assume(real)
        outputs = real
    return make.program(tuple(outputs), draw(st.integers(0, 99)))
