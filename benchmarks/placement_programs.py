"""Fused programs that no device is calibrated with, from 1 kB to 100 MB of data.

Most are drawn at random, by the generator that the laws of the cost model use, with
seeds of their own. The mixes are written out: a hand-made kernel, or a total, among
loops.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen

from rxcore.base import dtypes
from rxcore.ir.graph import Graph
from rxcore.ir.types import Type
from rxcore.ops import mathematics, reduce
from rxcore.ops.matmul import matmul
from rxcore.ops.sort import sort
from rxcore.trace.capture import capture
from tests.cost.unseen import KINDS, unseen

# Not the seeds of the tests.
FIRST_SEED = 30_000
RANDOM = 5 * len(KINDS)
# Elements of the largest argument; programs have up to four, of 4 or 8 bytes.
SMALLEST, LARGEST = 8.0, 23.2
# Multiples of the first, modulo 1, fill an interval evenly at any count; the second
# moves each kind a little.
GOLDEN, BESIDE = 0.618034, 0.131

f32 = dtypes.float32


@frozen(eq=False)
class Fused:
    """A program that is priced and measured.

    Args:
        name: unique.
        kind: what kind of loops it is made of.
        graph: what it computes.
    """

    name: str
    kind: str
    graph: Graph

    @property
    def nbytes(self) -> int:
        """Bytes of its arguments and results."""
        types = (*(v.type for v in self.graph.inputs), *self.graph.out_types)
        return sum(t.nbytes for t in types)


def drawn(count: int) -> list[Fused]:
    """Return random programs, kinds in turn, sizes spread evenly in their logarithm."""
    found = []
    for k in range(count):
        # The seed says the kind.
        turn, kind = divmod(k, len(KINDS))
        share = (turn * GOLDEN + kind * BESIDE) % 1.0
        low = SMALLEST + (LARGEST - SMALLEST) * share
        made = unseen(FIRST_SEED + k, low, low + 1e-3)
        found.append(Fused(made.name, made.name.split()[0], made.graph))
    return found


def scaled_total(x: Any, y: Any) -> list[Any]:
    total = reduce.sum_(mathematics.exp(x * -0.5) * y)
    return [x * (1.0 / (abs(total) + 1.0)) - y]


def totals(x: Any) -> list[Any]:
    return [reduce.sum_(x * x + 0.5), reduce.max_(abs(x)), reduce.sum_(x)]


def dense(x: Any, w: Any, b: Any) -> list[Any]:
    return [mathematics.tanh(matmul(x, w) + b)]


def attention(x: Any, y: Any) -> list[Any]:
    scores = matmul(x, y) * 0.125
    e = mathematics.exp(scores - reduce.max_(scores, 1, keepdims=True))
    return [e / reduce.sum_(e, 1, keepdims=True)]


def sorted_gaps(x: Any) -> list[Any]:
    y = sort(x * 0.5 + 1.0)
    return [y[1:] - y[:-1]]


def sorted_rows(x: Any) -> list[Any]:
    y = sort(x, 1)
    return [mathematics.exp(y) * 0.5, reduce.sum_(y * y, 1)]


def flat(count: int, size: int) -> list[Type]:
    return [Type(f32, (size,))] * count


def layer(rows: int, inner: int, columns: int) -> list[Type]:
    dims = ((rows, inner), (inner, columns), (columns,))
    return [Type(f32, d) for d in dims]


def pair(rows: int, inner: int, columns: int) -> list[Type]:
    return layer(rows, inner, columns)[:2]


Made = tuple[str, str, Callable[..., list[Any]], list[Type]]
MIXES: tuple[Made, ...] = (
    ("scaled total, 3k", "total", scaled_total, flat(2, 3_000)),
    ("scaled total, 3M", "total", scaled_total, flat(2, 3_000_000)),
    ("totals, 50k", "total", totals, flat(1, 50_000)),
    ("totals, 7M", "total", totals, flat(1, 7_000_000)),
    ("dense layer, 40x70x50", "matmul", dense, layer(40, 70, 50)),
    ("dense layer, 300x200x500", "matmul", dense, layer(300, 200, 500)),
    ("attention, 150x64x600", "matmul", attention, pair(150, 64, 600)),
    ("attention, 900x64x900", "matmul", attention, pair(900, 64, 900)),
    ("sorted gaps, 5k", "sort", sorted_gaps, flat(1, 5_000)),
    ("sorted gaps, 700k", "sort", sorted_gaps, flat(1, 700_000)),
    ("sorted rows, 60x250", "sort", sorted_rows, [Type(f32, (60, 250))]),
    ("sorted rows, 4000x90", "sort", sorted_rows, [Type(f32, (4_000, 90))]),
)


def mixes() -> list[Fused]:
    return [Fused(n, kind, capture(f, types).graph) for n, kind, f, types in MIXES]


def programs(random: int = RANDOM) -> list[Fused]:
    """Return the programs: so many random ones, and the mixes."""
    return [*drawn(random), *mixes()]


def arguments(graph: Graph) -> list[np.ndarray]:
    """Draw host arrays near 1 for a Graph."""
    rng = np.random.default_rng(0)
    made = []
    for v in graph.inputs:
        # A block repeated: random numbers cost more than most programs.
        block = rng.uniform(0.5, 1.5, min(v.type.size, 1 << 16))
        made.append(np.resize(block.astype(v.type.dtype), v.type.shape))
    return made
