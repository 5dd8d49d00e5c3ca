"""What a kernel does, for those who read profiles: in words and in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from rxcore.compiler.count import estimate
from rxcore.ir.graph import Equation, Graph, Source
from rxcore.ir.primitive import Fusion
from rxcore.loops.nest import Nest
from rxcore_kernels.launch import Launch

__all__ = ["Subject", "joined", "subject_of"]

_LONGEST_NAME = 60
_MOST_LINES = 4


@frozen
class Subject:
    """What a kernel does.

    Args:
        name: the ops that it computes.
        lines: the lines of the user's code that they stem from.
        types: what goes in and comes out.
        nbytes: bytes that one run loads and stores, 0 where that is not known.
        operations: scalar operations of one run, each times its cost; 0 the same.
    """

    name: str
    lines: tuple[str, ...] = ()
    types: str = ""
    nbytes: float = 0.0
    operations: float = 0.0
    details: dict[str, Any] = field(init=False, eq=False)
    """The same for an event; what is not known is left out."""

    @details.default
    def _details(self) -> dict[str, Any]:
        found = {
            "lines": list(self.lines),
            "types": self.types,
            "bytes": self.nbytes,
            "operations": self.operations,
        }
        return {key: value for key, value in found.items() if value}


def subject_of(equation: Equation | None, cost: Any, otherwise: str) -> Subject:
    """Return what a step does.

    Args:
        equation: what it stems from.
        cost: the Nest or the launch of a hand-made kernel, or None.
        otherwise: its name where it stems from no equation.
    """
    nbytes, operations = _counts(cost)
    if equation is None:
        return Subject(otherwise, nbytes=nbytes, operations=operations)
    group = _group(equation)
    taken = " ".join(str(o.type) for o in equation.inputs)
    given = " ".join(str(v.type) for v in equation.outputs)
    return Subject(
        _ops(group), _lines(group), f"{taken} -> {given}", nbytes, operations
    )


def joined(subjects: Sequence[Subject]) -> Subject:
    """Return what several steps do that run piece by piece together."""
    if len(subjects) == 1:
        return subjects[0]
    lines = dict.fromkeys(line for s in subjects for line in s.lines)
    known = all(s.nbytes or s.operations for s in subjects)
    return Subject(
        " + ".join(s.name for s in subjects),
        tuple(lines),
        "; ".join(s.types for s in subjects if s.types),
        sum(s.nbytes for s in subjects) if known else 0.0,
        sum(s.operations for s in subjects) if known else 0.0,
    )


def _counts(cost: Any) -> tuple[float, float]:
    match cost:
        case Nest():
            work = estimate(cost)
            return work.load_bytes + work.store_bytes, work.operations
        case Launch():
            return cost.nbytes, cost.flops
    return 0.0, 0.0


def _group(equation: Equation) -> Sequence[Equation]:
    """Return the equations that a step computes."""
    if isinstance(equation.primitive.lower, Fusion):
        body: Graph = equation.params["graph"]
        return body.equations or (equation,)
    return (equation,)


def _ops(group: Sequence[Equation]) -> str:
    """Name ops in the order in which they first occur, and how often."""
    counts = Counter(e.primitive.name for e in group)
    words = [name if n == 1 else f"{name} x{n}" for name, n in counts.items()]
    text = ", ".join(words)
    while len(text) > _LONGEST_NAME and len(words) > 1:
        words.pop()
        text = ", ".join([*words, f"... ({len(group)} ops)"])
    return text


def _lines(group: Sequence[Equation]) -> tuple[str, ...]:
    places: dict[Source, None] = {}
    for e in group:
        if e.source is not None:
            places[e.source] = None
    lines = dict.fromkeys(f"{s.file}:{s.line}" for s in places)
    return tuple(lines)[:_MOST_LINES]
