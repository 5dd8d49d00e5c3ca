"""Draw the steps of a program: index maps, reductions, computed places."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from rxcore.base import dtypes
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
from rxcore.ops.convert import convert
from rxcore.ops.logsumexp import logsumexp
from rxcore.testing.maker import Maker, limit
from rxcore.testing.program import Function

__all__ = ["Moving"]


class Moving(Maker):
    """Draws steps that move, join and gather elements."""

    # Index maps

    def move(self) -> None:
        """Add an index map."""
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
        """Add a concatenation."""
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
        """Add a split."""
        k = self.value(lambda t: t.ndim > 0)
        t = self.types[k]
        axis = self.number(0, t.ndim - 1)
        cut = self.number(0, t.shape[axis])
        sizes = [cut, t.shape[axis] - cut]
        text = f"split({{0}}, {sizes}, {axis})"
        self.add(text, lambda x: join.split(x, sizes, axis), [k], self.bounds[k])

    # Reductions, contractions, cumulative ops

    def reduction(self) -> None:
        """Add a reduction."""
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

        def grow(b: float) -> float:
            return b

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
        reach: Any = bound if dtypes.is_inexact(t.dtype) else limit
        text = f"{name}({{0}}, {axes}, keepdims={keep})"
        self.add(text, lambda x: function(x, axes, keepdims=keep), [k], reach)

    def place_of_largest(self) -> None:
        """Add the place of the largest or least element."""
        k = self.value(lambda t: t.ndim > 0 and not dtypes.is_bool(t.dtype))
        t = self.types[k]
        axis = self.number(0, t.ndim - 1)
        assume(t.shape[axis])
        largest = self.flag()
        f = argreduce.argmax if largest else argreduce.argmin
        name = "argmax" if largest else "argmin"
        self.add(f"{name}({{0}}, {axis})", lambda x: f(x, axis), [k], t.shape[axis])

    def running(self) -> None:
        """Add a cumulative op."""
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
        reach: Any = bound if dtypes.is_inexact(t.dtype) else limit
        f = getattr(cumulate, name)
        text = f"{name}({{0}}, {axis}, reverse={reverse})"
        self.add(text, lambda x: f(x, axis, reverse), [k], reach)

    def product(self) -> None:
        """Add a matrix product."""

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
            if self.bounds[a] * self.bounds[b] * max(n, 1) > self.largest(common):
                a, b = self.tame(a), self.tame(b)
            bound: Any = self.bounds[a] * self.bounds[b] * max(n, 1)
            assume(bound <= self.largest(common))
        else:
            bound = limit
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
        """Add a gather."""
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
        """Add a slice, or an update of one, at a computed place."""
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

        def starts(i: Any) -> list[Any]:
            return [i] + [1] * (t.ndim - 1)

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
        """Add a scatter."""
        k = self.value(lambda t: t.ndim > 0 and not dtypes.is_bool(t.dtype))
        t, at = self.types[k], self.places()
        count = self.types[at].size
        combine = self.one_of(["add"] if self.smooth else ["add", "set", "max", "min"])
        k, bound = self.sized(k, lambda b: b + 2 * count if combine == "add" else b + 2)
        reach: Any = bound if dtypes.is_inexact(t.dtype) else limit
        self.add(
            f"scatter({{0}}, 2, {{1}}, axes=(0,), combine={combine!r})",
            lambda x, i: scatter.scatter(x, 2, i, axes=(0,), combine=combine),
            [k, at],
            reach,
        )
