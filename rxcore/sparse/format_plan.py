"""Which format a product should use, by the cost model, and why."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from attrs import field, frozen

from rxcore import numpy as rnp
from rxcore.base import errors
from rxcore.compiler.features import handmade
from rxcore.runtime.array import Array
from rxcore.runtime.cost import Model
from rxcore.runtime.cost.store import host_profile
from rxcore.sparse.bsr import BLOCKS, BSR
from rxcore.sparse.convert import to_bsr, to_csr
from rxcore.sparse.coo import COO
from rxcore.sparse.csr import CSC, CSR
from rxcore.sparse.dense import line_of_each

__all__ = ["FormatEstimate", "Plan", "plan"]

# What a stored element costs in multiplications of the profile's "csr" rate: for a
# vector, and for a matrix with so many columns; and what a row costs. Fitted to
# products of 1024 to 8192 rows at densities of 0.001 to 0.3.
_ELEMENT, _VISIT, _COLUMN, _ROW = 0.7, 2.0, 0.1, 16.0

# Small blocks reach about half of the rate of a large dense product.
_BLOCK = 2.0

# Conversions, in seconds: memory that is touched for the first time, a cell that is
# looked at, an element that is moved or put in order.
_FRESH_BYTE, _CELL, _MOVED, _ORDERED = 0.5e-9, 1.5e-9, 8e-9, 60e-9

_GAIN = 1.1
"""A format must be better than the present one by this factor to be changed for."""


@frozen
class FormatEstimate:
    """What products in one format are expected to cost.

    Args:
        name: "dense", "CSR" or "BSR 16", ...
        convert: seconds to get there once.
        call: seconds of a product.
        total: seconds of each product with its share of the conversion.
        nbytes: bytes stored.
        break_even: products after which the conversion has paid, against the present
            format; None: never.
    """

    name: str
    convert: float
    call: float
    total: float
    nbytes: int
    break_even: int | None


@frozen
class Plan:
    """Which format to use, and why; prints as a table.

    Args:
        choice: the name of the best format.
        reason: why it is that one.
        calls: over how many products conversions are amortised.
        width: columns of the dense operand.
        estimates: what each format would cost.
    """

    choice: str
    reason: str
    calls: int
    width: int
    estimates: tuple[FormatEstimate, ...]
    _source: Any = field(repr=False, eq=False)

    def apply(self) -> Any:
        """Return the matrix in the chosen format: an Array, a CSR or a BSR."""
        return _converted(self._source, self.choice)

    def __str__(self) -> str:
        rows = [("format", "convert", "product", "with share", "bytes", "pays after")]
        for e in self.estimates:
            pays = "never" if e.break_even is None else str(e.break_even)
            times = (_time(e.convert), _time(e.call), _time(e.total))
            rows.append((e.name, *times, f"{e.nbytes:,}", pays))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for row in rows:
            cells = [row[0].ljust(widths[0])]
            cells += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(cells).rstrip())
        return "\n".join([*lines, "", f"{self.choice}: {self.reason}"])

    def __repr__(self) -> str:
        return str(self)


def plan(a: Any, calls: int = 1, *, width: int = 1) -> Plan:
    """Pick the format in which products with a matrix take the least time.

    **Meaning**: the format with the smallest `convert / calls + product`, by the cost
    model's rates for this machine's CPU. A change of format must gain 10 %.

    Args:
        a: sparse matrix with a concrete pattern, or a concrete dense matrix.
        calls: how many products are expected; conversions are amortised over them.
        width: columns of the dense operand; 1 is a vector.

    Returns:
        A `Plan`: `.choice`, `.reason`, `.estimates`; `.apply()` converts.

    Raises:
        UserError: when `calls` or `width` is less than 1.
        ShapeError: when `a` is no matrix.
        TraceError: when `a` or its pattern is traced.

    Example:
        >>> import rxcore as rx
        >>> import rxcore.numpy as rnp
        >>> row, column = rnp.arange(512)[:, None], rnp.arange(512)
        >>> a = rx.sparse.CSR.from_dense((row * 37 + column * 101) % 53 == 0)
        >>> found = rx.sparse.plan(a.astype("float32"), calls=1000)
        >>> found.choice
        'CSR'
        >>> rx.sparse.plan(rnp.ones((512, 512)), calls=1000).choice
        'dense'
    """
    for count in (calls, width):
        if not isinstance(count, numbers.Integral) or count < 1:
            raise errors.UserError(
                "plan: calls and width must be whole numbers, at least 1, got"
                f" calls={calls} and width={width}"
            )
    if not isinstance(a, CSR | CSC | COO | BSR):
        a = rnp.asarray(a)
        if a.ndim != 2:
            raise errors.ShapeError(f"plan: expected a matrix, got shape {a.shape}")
    facts = _Facts.of(a)
    present = _present(a)
    names = ["dense", "CSR", *(f"BSR {b}" for b in BLOCKS)]
    costs = {n: (facts.convert(present, n), facts.product(n, width)) for n in names}
    now = costs.get(present)
    estimates = tuple(
        FormatEstimate(
            *(n, convert, call, convert / calls + call, facts.nbytes(n)),
            _break_even(convert, call, now),
        )
        for n, (convert, call) in costs.items()
    )
    best = min(estimates, key=lambda e: e.total)
    for e in estimates:
        if e.name == present and e.total <= best.total * _GAIN:
            best = e
    reason = _reason(best, present, estimates, facts, calls)
    return Plan(best.name, reason, calls, width, estimates, a)


@frozen
class _Facts:
    """What the costs depend on.

    Args:
        shape: rows and columns.
        nse: stored elements.
        itemsize: bytes of a value.
        blocks: how many blocks of each size hold an element.
    """

    shape: tuple[int, int]
    nse: int
    itemsize: int
    blocks: dict[int, int]

    @classmethod
    def of(cls, a: Any) -> _Facts:
        row, column = _places(a)
        rows, columns = a.shape
        blocks = {}
        for b in BLOCKS:
            key = row // b * (columns // b + 1) + column // b
            blocks[b] = int(np.unique(key).size)
        return cls((rows, columns), row.size, a.dtype.itemsize, blocks)

    @property
    def density(self) -> float:
        """Stored elements for each cell."""
        return self.nse / max(self.shape[0] * self.shape[1], 1)

    def nbytes(self, name: str) -> int:
        """Return the bytes that a format stores."""
        rows, columns = self.shape
        if name == "dense":
            return rows * columns * self.itemsize
        if name == "CSR":
            return self.nse * (self.itemsize + 4) + (rows + 1) * 4
        b = int(name[4:])
        held = self.blocks[b]
        return held * (b * b * self.itemsize + 4) + (-(-rows // b) + 1) * 4

    def product(self, name: str, width: int) -> float:
        """Return the expected seconds of a product."""
        rows, columns = self.shape
        work = self.nbytes(name) + (rows + columns) * width * self.itemsize
        # Wider values mean fewer in a vector.
        wide = self.itemsize / 4
        if name == "dense":
            shape, count = "matmul", 2.0 * rows * columns * width * wide
        elif name == "CSR":
            each = _ELEMENT if width == 1 else _VISIT + _COLUMN * width * wide
            shape, count = "csr", self.nse * each + rows * _ROW
        else:
            b = int(name[4:])
            shape, count = (
                "matmul",
                2.0 * _BLOCK * self.blocks[b] * b * b * width * wide,
            )
        return Model(host_profile()).seconds([(handmade(shape, count, work), 1)])

    def convert(self, present: str, name: str) -> float:
        """Return the expected seconds of a conversion."""
        if present == name:
            return 0.0
        cells = self.shape[0] * self.shape[1]
        # From a dense matrix all cells are looked at; between sparse formats, the
        # elements are put in order.
        seconds = cells * _CELL if present == "dense" else self.nse * _MOVED
        if name.startswith("BSR") and present != "dense":
            seconds += self.nse * _ORDERED
        return seconds + self.nbytes(name) * _FRESH_BYTE


def _present(a: Any) -> str:
    if isinstance(a, BSR):
        return f"BSR {a.block}"
    return {CSR: "CSR", CSC: "CSC", COO: "COO"}.get(type(a), "dense")


def _places(a: Any) -> tuple[Any, Any]:
    """Return the row and column of each element (int64 ndarrays)."""
    match a:
        case COO():
            row, column = a.row, a.column
        case CSR() | CSC():
            line = line_of_each(a.indptr, a.nse)
            row, column = (line, a.indices) if isinstance(a, CSR) else (a.indices, line)
        case BSR():
            made = to_csr(a)
            row, column = line_of_each(made.indptr, made.nse), made.indices
        case _:
            if isinstance(a, Array):
                row, column = np.nonzero(a.host)
                return row, column
            row = column = None
    if not (isinstance(row, Array) and isinstance(column, Array)):
        raise errors.TraceError(
            "plan: the matrix is traced; plan outside of jit, on concrete arrays"
        )
    row, column = row.host.astype(np.int64), column.host.astype(np.int64)
    inside = (row < a.shape[0]) & (column < a.shape[1])
    return row[inside], column[inside]


def _converted(a: Any, name: str) -> Any:
    sparse = isinstance(a, CSR | CSC | COO | BSR)
    if name == "dense":
        return a.to_dense() if sparse else a
    if name == "CSR":
        return to_csr(a) if sparse else CSR.from_dense(a)
    block = int(name[4:])
    return to_bsr(a, block) if sparse else BSR.from_dense(a, block)


def _break_even(
    convert: float, call: float, now: tuple[float, float] | None
) -> int | None:
    """Return after how many products a conversion has paid."""
    if now is None or not convert:
        return 0
    saved = now[1] - call
    return int(np.ceil(convert / saved)) if saved > 0 else None


def _reason(
    best: FormatEstimate,
    present: str,
    estimates: tuple[FormatEstimate, ...],
    facts: _Facts,
    calls: int,
) -> str:
    second = min((e for e in estimates if e is not best), key=lambda e: e.total)
    text = f"{facts.density:.3g} of the cells are stored"
    if best.name.startswith("BSR"):
        b = int(best.name[4:])
        filled = facts.nse / max(facts.blocks[b] * b * b, 1)
        text += f", and {filled:.3g} of the cells of its blocks"
    ratio = second.total / max(best.total, 1e-12)
    if best.name == present:
        text += "; it stays as it is: "
        if ratio < 1:
            return f"{text}{second.name} would gain only {1 - ratio:.0%}"
        return f"{text}{second.name} is expected to take {ratio:.3g} times as long"
    text += f"; expected {_time(best.call)} a product"
    if best.convert:
        text += f" and {_time(best.convert)} once, shared by {calls}"
    return f"{text}; {second.name} takes {ratio:.3g} times as long"


def _time(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return "0" if seconds <= 0 else f"{seconds * 1e9:.0f} ns"
