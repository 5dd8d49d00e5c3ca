"""Features: what a scheduled Nest does, counted for a cost model.

The counts are polynomials of the integers that vary between Nests of equal text. So
a `Form`, what all of those share, is compiled into one expression once (see
`rxcore/runtime/cost`), and `Features` add the numbers of one Nest.

What is counted (an access or operation counts as often as it runs):

- bytes that the processor loads and stores, by how the loop that vectors (or the
  work-items of a group) run along walks them: `contiguous`, `broadcast`, `strided`,
  `gather`, and those of `scratch`;
- operations: `simple`, `muladd`, `divide` (roots too), `integer_divide`, `double`
  (float64), and `scalar`: all that stands in a loop that does not vectorize. On a CPU
  an operation counts by the widest value of its loop, in units of 4 bytes, as that
  decides how many a vector holds;
- `start`: how often innermost loops begin, `left`: operations of the iterations that
  do not fill a vector;
- `serial`: on a CPU, steps of recurrences, each times the operations from one value of
  the carry to the next; on a GPU, the iterations that one work-item makes in sequence.
"""

from __future__ import annotations

import math
from typing import Literal

from attrs import define, field, frozen

from rxcore.base.dtypes import DType
from rxcore.compiler.polynomial import Polynomial
from rxcore.loops.nest import (
    Block,
    Load,
    Loop,
    Nest,
    Statement,
    Store,
    walk,
)

__all__ = ["COUNTS", "Features", "Form", "Shape", "features", "handmade"]

Body = tuple[Statement, ...]
Shape = str
Target = Literal["cpu", "gpu", "kernel"]

# What a Form may count, in the order in which it is shown.
COUNTS = (
    *("contiguous", "broadcast", "strided", "gather", "scratch"),
    *("simple", "muladd", "divide", "integer_divide", "double", "scalar"),
    *("start", "left", "serial"),
)


@frozen
class Form:
    """What all Nests of one text share; equal texts have equal Forms.

    Args:
        target: `cpu` or `gpu`: what the Nest was scheduled for; `kernel` for a
            hand-made one.
        shape: `elementwise`, `row`, `scan`, `column`, `transposed`, or the name of a
            hand-made kernel.
        counts: what is counted, each as a polynomial of the extents.
        extents: how many extents there are.
        vectorizes: whether every innermost loop becomes vector instructions.
    """

    target: Target
    shape: Shape
    counts: tuple[tuple[str, Polynomial], ...]
    extents: int
    vectorizes: bool = True
    _hash: int = field(init=False, eq=False, repr=False)

    @_hash.default
    def _find_hash(self) -> int:
        return hash((self.target, self.shape, self.counts, self.extents))

    def __hash__(self) -> int:
        return self._hash


@frozen
class Features:
    """A Form with the numbers of one Nest.

    Args:
        form: what is counted.
        extents: the extents of the loops, of each value one.
        read: bytes of memory that are read, each place once.
        written: bytes of memory that are written, each place once.
        again: bytes that are read or written after they were once already.
        near: bytes between one access to a place and the next, about.
        items: pieces that threads may share, or work-items of all groups.
    """

    form: Form
    extents: tuple[int, ...]
    read: int
    written: int
    again: int = 0
    near: int = 0
    items: int = 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """All numbers, in the order in which a compiled cost takes them."""
        rest = (self.read, self.written, self.again, self.near, self.items)
        return (*self.extents, *rest)

    @property
    def touched(self) -> int:
        """The working set in bytes: every place once."""
        return self.read + self.written

    def counts(self) -> dict[str, float]:
        """Return the counts as numbers.

        Example:
            >>> handmade("matmul", 2e9, 12e6).counts()
            {'muladd': 2000000000.0}
        """
        return {name: p.value(self.extents) for name, p in self.form.counts}


def handmade(shape: str, flops: float, nbytes: float, items: int = 1) -> Features:
    """Return the features of a hand-made kernel, which says itself what it does.

    Args:
        shape: its name.
        flops: its arithmetic operations.
        nbytes: bytes that it moves to and from memory.
        items: the pieces or work-items that share the work.
    """
    return Features(_kernel(shape), (int(flops),), int(nbytes), 0, items=items)


def _kernel(shape: str) -> Form:
    found = _kernels.get(shape)
    if found is None:
        counts = (("muladd", Polynomial.of(0)),)
        found = _kernels[shape] = Form("kernel", shape, counts, 1)
    return found


_kernels: dict[str, Form] = {}


def features(nest: Nest) -> Features:
    """Count a scheduled Nest.

    Args:
        nest: what `schedule` made, for a CPU or (with `group` set) for a GPU.

    Example:
        >>> from rxcore.loops.nest import Buffer
        >>> x, y = Buffer("x", dtypes.float32, 8), Buffer("y", dtypes.float32, 8, "out")
        >>> at = Index.of("i")
        >>> body = (
        ...     Load("v", dtypes.float32, "x", at),
        ...     Let("w", dtypes.float32, "mul", ("v", "v")),
        ...     Store("y", at, "w"),
        ... )
        >>> found = features(Nest("square", (x, y), (Loop("i", 8, "lane", body),)))
        >>> found.form.shape, found.counts()["simple"], found.read, found.written
        ('elementwise', 8.0, 32, 32)
    """
    return _Counter(nest).result()


# Lanes of float32 in a vector: on average half of them are left over at a loop's end.
_LANES = 16
_LINE = 64

# Instructions that operations take, where these are not 1.
_INSTRUCTIONS = {
    "bitcast": 0.0,
    "sqrt": 1.3,
    "floor": 2.0,
    "ceil": 2.0,
    "trunc": 2.0,
    "round": 2.0,
    "shl": 1.5,
    "shr": 1.5,
}
# Float to integer saturates, which LLVM does element by element.
_SATURATING, _TO_BFLOAT, _HALF, _EXTREME = 12.0, 8.0, 2.0, 4.0
# A quotient or remainder of integers counts as one; float64 ones count like this.
_DOUBLE = {"div": 8.0, "sqrt": 10.0, "rem": 20.0}
_JUMP = 2  # stands for every stride that is not 0, 1 or -1


@define
class _Access:
    """A Load or Store with what is known of it."""

    statement: Load | Store
    loops: tuple[Loop, ...]
    unique: int


class _Counter:
    """The state of counting one Nest."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.gpu = nest.group > 0
        self.buffers = {b.name: b for b in nest.buffers}
        self.scratch = {s.name for s in nest.scratch}
        self.kinds: dict[str, DType] = {}
        self.variables: dict[int, int] = {}
        self.runs: dict[str, float] = {}
        self.means: dict[str, float] = {}
        self.slopes: dict[str, dict[str, int]] = {}
        self.random: dict[str, frozenset[str]] = {}
        self.counts: dict[str, Polynomial] = {}
        self.accesses: list[_Access] = []
        self.vectorizes = True
        self.grid = self._grid()
        self.jumps = False
        self.combines = {
            a.name: a
            for s in walk(nest.body)
            if isinstance(s, Loop)
            for a in s.accumulators
        }

    def _grid(self) -> tuple[Loop, ...]:
        """Return the loops at the top that threads or work-groups share."""
        found: list[Loop] = []
        body = self.nest.body
        while True:
            loops = [s for s in body if isinstance(s, Loop)]
            if len(loops) != 1 or loops[0].kind not in ("lane", "group", "parallel"):
                return tuple(found)
            if found and (not self.gpu or len(body) > 1):
                return tuple(found)
            found += loops
            body = loops[0].body

    def result(self) -> Features:
        self.body(self.nest.body, (), Polynomial.number(1.0))
        counts = tuple((n, self.counts[n]) for n in COUNTS if self.counts.get(n))
        target: Target = "gpu" if self.gpu else "cpu"
        form = Form(target, self.shape(), counts, len(self.variables), self.vectorizes)
        read, written, again = self.memory()
        outer = math.prod(self.runs[x.index] for x in self.grid) or 1
        near = int((read + written) / outer) if again else 0
        extents = tuple(self.variables)
        return Features(form, extents, read, written, again, near, self.items())

    # Sizes ---------------------------------------------------------------------------

    def variable(self, integer: int) -> Polynomial:
        """Return an extent: kept in the text, or a variable."""
        if integer in (0, 1):
            return Polynomial.number(float(integer))
        number = self.variables.setdefault(integer, len(self.variables))
        return Polynomial.of(number)

    def extent(self, loop: Loop) -> tuple[Polynomial, Polynomial, float]:
        """Return how often a loop runs, one over that, and the mean as a number."""
        extent = loop.extent
        one = Polynomial.number(1.0)
        if not isinstance(extent, Block):
            if extent in (0, 1):
                return Polynomial.number(float(extent)), one, float(extent)
            number = self.variables.setdefault(extent, len(self.variables))
            return Polynomial.of(number), Polynomial.of(number, -1), float(extent)
        total = self.variable(extent.total)
        counted = self.inverse.get(extent.loop, one)
        mean = extent.total / max(self.runs.get(extent.loop, 1.0), 1.0)
        return total * counted, one, mean

    inverse: dict[str, Polynomial]

    def add(self, name: str, count: Polynomial) -> None:
        self.counts[name] = self.counts.get(name, Polynomial()) + count

    def items(self) -> int:
        total = math.prod(self.runs[x.index] for x in self.grid)
        if not self.gpu:
            chunk = self.nest.chunk
            return max(-(-int(total) // chunk), 1) if chunk else 1
        lanes = bool(self.grid) and self.grid[-1].kind == "lane"
        groups = -(-int(total) // self.nest.group) if lanes else int(total)
        return max(groups * self.nest.group, 1)
