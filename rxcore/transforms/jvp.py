"""Forward mode: push tangents through a function beside its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rxcore.ir.primitive import Primitive
from rxcore.ops.families import zeros
from rxcore.runtime.array import beside, on_devices
from rxcore.trace.source import here
from rxcore.trace.tracer import Trace, Tracer, current, entered, escaped

Flat = Callable[..., Sequence[Any]]


class Dual(Tracer):
    """A value with its tangent (None: zero)."""

    __slots__ = ("primal", "tangent")

    def __init__(self, trace: Trace, primal: Any, tangent: Any) -> None:
        super().__init__(trace, primal.type, here())
        self.primal = primal
        self.tangent = tangent

    def concrete(self) -> Any:
        """Return the primal's array."""
        primal = self.primal
        return primal.concrete() if isinstance(primal, Tracer) else primal

    def numbers(self) -> Any:
        """Return the primal's array, or that of its lanes."""
        primal = self.primal
        return primal.numbers() if isinstance(primal, Tracer) else primal


class Forward(Trace):
    """Applies jvp rules to operands that carry tangents."""

    transform = "differentiation"

    def __init__(self, parent: Trace) -> None:
        self.parent: Trace = parent

    def process(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> Sequence[Any]:
        """Apply the rule in the parent trace."""
        primals, tangents = [], []
        for a in args:
            mine = isinstance(a, Dual) and a.trace is self
            if mine and not self.alive:
                raise escaped(a)
            primals.append(a.primal if mine else a)
            tangents.append(a.tangent if mine else None)
        with entered(self.parent):
            if all(t is None for t in tangents):
                return self.parent.process(primitive, primals, params)
            outs, dots = primitive.jvp(tuple(primals), tuple(tangents), **params)
        if not primitive.multiple:
            outs, dots = (outs,), (dots,)
        return [
            o if t is None else Dual(self, o, t)
            for o, t in zip(outs, dots, strict=True)
        ]


def jvp_flat(
    function: Flat, primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Run a function of flat arrays on duals; zero tangents are None, in and out."""
    parent = current()
    trace = Forward(parent)
    with entered(trace):
        args = [
            p if t is None else Dual(trace, p, t)
            for p, t in zip(primals, tangents, strict=True)
        ]
        outs = function(*args)
    trace.alive = False
    split = [
        (o.primal, o.tangent) if isinstance(o, Dual) and o.trace is trace else (o, None)
        for o in outs
    ]
    return [p for p, _ in split], [t for _, t in split]


def instantiate(tangent: Any, like: Any) -> Any:
    """Return the tangent, zeros for None; it lies where the value does."""
    made = zeros(like.type.strong()) if tangent is None else tangent
    return beside(made, like) if on_devices else made
