"""How sparse a model is, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen

from rxcore.base import errors
from rxcore.prune.leaves import beside, known, paths
from rxcore.transforms.arguments import numeric_leaves

__all__ = ["Report", "Row", "report"]


@frozen
class Row:
    """A leaf's counts.

    Args:
        name: where the leaf is.
        shape: its shape.
        size: how many elements it has.
        kept: how many are kept.
        filters: how many slices along the first axis keep something.
        channels: the same along the second axis; None where there is none.
    """

    name: str
    shape: tuple[int, ...]
    size: int
    kept: int
    filters: int | None
    channels: int | None

    @property
    def sparsity(self) -> float:
        """The fraction removed."""
        return 1 - self.kept / self.size if self.size else 0.0


@frozen
class Report:
    """The counts of all leaves; prints as a table."""

    rows: tuple[Row, ...]

    @property
    def total(self) -> Row:
        """The counts of all leaves together."""
        size = sum(r.size for r in self.rows)
        return Row("total", (), size, sum(r.kept for r in self.rows), None, None)

    @property
    def sparsity(self) -> float:
        """The fraction removed of everything."""
        return self.total.sparsity

    def __str__(self) -> str:
        """Return the table."""
        head = ("leaf", "shape", "size", "kept", "sparsity", "live slices")
        lines = [head, *(_cells(r) for r in (*self.rows, self.total))]
        widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
        shown = []
        for line in lines:
            cells = [
                c.ljust(w) if k in (0, 1, 5) else c.rjust(w)
                for k, (c, w) in enumerate(zip(line, widths, strict=True))
            ]
            shown.append("  ".join(cells).rstrip())
        return "\n".join(shown)


def _cells(row: Row) -> tuple[str, ...]:
    shape = "x".join(map(str, row.shape)) or "-"
    lives = [
        f"{n}/{row.shape[k]}"
        for k, n in enumerate((row.filters, row.channels))
        if n is not None
    ]
    share = f"{100 * row.sparsity:.2f} %"
    return (row.name, shape, f"{row.size:,}", f"{row.kept:,}", share, " ".join(lives))


def report(params: Any, masks: Any = None) -> Report:
    """Count what each leaf keeps.

    **Meaning**: `np.count_nonzero(mask)` for each leaf, or of the parameters
    themselves where there are no masks

    Args:
        params: pytree of arrays.
        masks: pytree of bool arrays like `params`; None in place of a leaf that is not
            pruned, of which everything counts as kept.

    Returns:
        A `Report`: `.rows`, `.total`, `.sparsity`; it prints as a table.

    Raises:
        TreeError: when the structures differ.
        ShapeError: when a mask does not have its parameter's shape.
        TraceError: inside `jit`, where there are no numbers to count.

    Example:
        >>> import rxcore as rx
        >>> print(rx.prune.report({"w": rx.asarray([[1.0, 0.0], [2.0, 3.0]])}))
        leaf   shape  size  kept  sparsity  live slices
        ['w']  2x2       4     3   25.00 %  2/2 2/2
        total  -         4     3   25.00 %
    """
    call = "prune.report"
    leaves, treedef = numeric_leaves(params, call)
    given = leaves if masks is None else beside(treedef, masks, call, "masks")
    rows = []
    for name, x, m in zip(paths(params), leaves, given, strict=True):
        if m is not None and m.shape != x.shape:
            raise errors.ShapeError(
                f"{call}: {name} has shape {x.shape}, its mask {m.shape}; they must be"
                " equal"
            )
        host = np.ones(x.shape, bool) if m is None else known(m)
        if host is None:
            raise errors.TraceError(
                f"{call}: the numbers are traced; call it outside rx.jit"
            )
        alive = np.asarray(host) != 0
        lives = [
            int(np.count_nonzero(alive.any(axis=tuple(set(range(x.ndim)) - {k}))))
            if x.ndim > 1
            else None
            for k in (0, 1)
        ]
        kept = int(np.count_nonzero(alive))
        rows.append(Row(name, tuple(x.shape), x.size, kept, *lives))
    return Report(tuple(rows))
