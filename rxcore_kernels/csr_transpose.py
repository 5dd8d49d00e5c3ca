"""The order, the rows and the bounds of the columns of a sparse pattern."""

from __future__ import annotations

import functools

from rxcore_kernels import host
from rxcore_kernels.csr_text import INDICES, Kind, Rows, choose_kind
from rxcore_kernels.host import Features
from rxcore_kernels.matmul_tile import word_names
from rxcore_kernels.plan import In, Out, Plan, Scratch, Step, Word
from rxcore_kernels.source import Source
from rxcore_kernels.text import I32, I64, Value, kernel

__all__ = ["plan_transpose"]


def plan_transpose(
    index: str,
    rows: int,
    columns: int,
    nnz: int,
    *,
    features: Features | None = None,
) -> Plan | None:
    """Plan the transposition of a pattern in compressed rows, by counting.

    **Meaning** (inputs indices, indptr; outputs places, names, ends, all int32), for a
    pattern without padding::

        places = np.argsort(indices, kind="stable")
        names = np.repeat(np.arange(rows), np.diff(indptr))[places]
        ends = np.concatenate([[0], np.cumsum(np.bincount(indices, minlength=columns))])

    Elements in no row or no column come last, in order, and are named `rows`. Whatever
    `indices` and `indptr` hold, no memory but the operands' is touched.

    Args:
        index: "int32", "uint16" or "int64", of indices; indptr is int32.
        rows: rows of the pattern; indptr holds one more.
        columns: columns of the pattern.
        nnz: elements of indices.
        features: the processor to plan for; the host by default.

    Returns:
        The plan, or None where a dtype has no kernel or a size is too large.

    Raises:
        ValueError: a size is negative.

    Example:
        >>> import numpy as np
        >>> from rxcore_kernels.plan import run_plan
        >>> pattern = [np.int32([2, 0, 0]), np.int32([0, 2, 3])]
        >>> outputs = [np.empty(n, np.int32) for n in (3, 3, 4)]
        >>> run_plan(plan_transpose("int32", 2, 3, 3), pattern, outputs)
        >>> [x.tolist() for x in outputs]
        [[1, 2, 0], [0, 1, 0], [0, 2, 2, 3]]
    """
    if min(rows, columns, nnz) < 0:
        raise ValueError(
            f"plan_transpose: expected sizes >= 0, got rows={rows} columns={columns} "
            f"nnz={nnz}"
        )
    if index not in INDICES or max(rows + nnz, columns) >= 1 << 31:
        return None
    k = choose_kind("float32", index, features or host.features())
    words: tuple[Word, ...] = (In(0), In(1), Out(0), Out(1), Out(2), Scratch(0))
    words += (rows, columns, nnz)
    step = Step(transpose_source(k), words, 0, 1, 0)
    return Plan((step,), (4 * (columns + 1),))


@functools.cache
def transpose_source(k: Kind) -> Source:
    """Return the step; there is one unit.

    Words: indices, indptr, places, names, ends, cursors, then rows, columns, nnz.
    """
    symbol = f"csr_transpose_{k.name}"
    with kernel(symbol, wide=k.wide) as w:
        indices, indptr, places, names, ends, cursors = (w.address(i) for i in range(6))
        d = word_names(w, 6, "rows columns nnz")
        rows, columns = Rows(w, indptr, d["rows"], d["nnz"]), d["columns"]
        narrow = w.cast("trunc", d["rows"], I32)

        def element(p: Value) -> tuple[Value, Value]:
            name = k.column(w, indices, p)
            return name, w.compare("ult", name, columns)

        # Each element is looked at once, whatever the bounds are: first those before
        # the rows, last those behind them.
        w.zero(ends, (columns + 1) * 4)
        at = w.slot(I64, rows.bound(w.value(I64, 0)))
        start = at.get()
        stop = w.maximum(rows.bound(d["rows"]), start)
        with w.loop(start, stop) as p:
            name, there = element(p)
            with w.when(there):
                w.store(w.load(I32, ends, name + 1) + 1, ends, name + 1)
        with w.loop(0, columns) as j:
            held = w.load(I32, ends, j)
            w.store(held, cursors, j)
            w.store(w.load(I32, ends, j + 1) + held, ends, j + 1)
        rest = w.slot(I64, w.cast("sext", w.load(I32, ends, columns), I64))

        def put(p: Value, goal: Value, row: Value) -> None:
            w.store(w.cast("trunc", p, I32), places, goal)
            w.store(row, names, goal)

        def leave(p: Value) -> None:
            put(p, rest.get(), narrow)
            rest.set(rest.get() + 1)

        with w.loop(0, start) as p:
            leave(p)
        with w.loop(0, d["rows"]) as row:
            high = w.minimum(w.maximum(rows.bound(row + 1), at.get()), stop)
            short = w.cast("trunc", row, I32)
            with w.loop(at.get(), high) as p:
                name, there = element(p)

                def keep(p: Value = p, name: Value = name, row: Value = short) -> None:
                    goal = w.load(I32, cursors, name)
                    w.store(goal + 1, cursors, name)
                    put(p, w.cast("zext", goal, I64), row)

                def drop(p: Value = p) -> None:
                    leave(p)

                w.choose(there, keep, drop)
            at.set(high)
        with w.loop(stop, d["nnz"]) as p:
            leave(p)
    return Source(w.text, symbol)
