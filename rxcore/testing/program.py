"""A program as data: typed steps over numbered values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen

from rxcore.base import dtypes
from rxcore.ir.types import Type
from rxcore.ops.samples import draw as drawn
from rxcore.runtime.array import Array, asarray

__all__ = ["Program", "Step"]

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
