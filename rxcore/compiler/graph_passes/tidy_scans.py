"""Make scans smaller: drop and join what they carry, read and write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rxcore.compiler.graph_passes.dce import dce
from rxcore.compiler.graph_passes.inline import map_subgraphs
from rxcore.ir.graph import Equation, Graph, Operand, Value
from rxcore.ir.primitive import Iterates


def tidy_scans(graph: Graph) -> Graph:
    """Make scans smaller, in the bodies of control ops too.

    A carry that never changes becomes a constant; carries and per-step outputs that
    nothing uses go, and what only they needed; an output computed twice is written
    once; operands that are equal are read once.
    """
    made: list[Equation] = []
    instead: dict[Value, Operand] = {}
    used = {o for o in graph.outputs if isinstance(o, Value)}
    used |= {o for e in graph.equations for o in e.inputs if isinstance(o, Value)}
    changed = False
    for given in graph.equations:
        inputs = tuple(_read(o, instead) for o in given.inputs)
        moved = any(a is not b for a, b in zip(inputs, given.inputs, strict=True))
        e = given.replace(inputs=inputs) if moved else given
        e = map_subgraphs(e, tidy_scans)
        if isinstance(e.primitive.lower, Iterates):
            e = _Scan(e, used).tidy(instead)
        changed = changed or e is not given
        made.append(e)
    if not changed:
        return graph
    outputs = tuple(_read(o, instead) for o in graph.outputs)
    return dce(Graph(graph.inputs, outputs, tuple(made)))


def _read(o: Operand, instead: dict[Value, Operand]) -> Operand:
    return instead.get(o, o) if isinstance(o, Value) else o


class _Scan:
    """A scan equation taken apart."""

    def __init__(self, e: Equation, used: set[Value]) -> None:
        self.e = e
        p = e.params
        self.body: Graph = p["graph"]
        a, self.count = p["constants"], p["carries"]
        b = a + self.count
        self.pairs = list(zip(self.body.inputs, e.inputs, strict=True))
        self.constants, self.carries, self.steps = (
            self.pairs[:a],
            self.pairs[a:b],
            self.pairs[b:],
        )
        self.used = used
        self.same: dict[Value, Operand] = {}

    def tidy(self, instead: dict[Value, Operand]) -> Equation:
        """Return the smaller scan; say what replaces results that it lost."""
        count, outs = self.count, self.body.outputs
        if not self.e.params["length"]:
            return self.e
        steady = {
            k for k, (v, _) in enumerate(self.carries) if self.body.outputs[k] is v
        }
        for k in steady:
            self.constants.append(self.carries[k])
            instead[self.e.outputs[k]] = self.carries[k][1]
        needed = self._needed_carries(steady)
        kept = [k for k in range(count) if k in needed and k not in steady]
        rows: dict[Operand, int] = {}
        for k in range(count, len(outs)):
            if self.e.outputs[k] not in self.used:
                continue
            first = rows.setdefault(outs[k], k) if isinstance(outs[k], Value) else k
            if first != k:
                instead[self.e.outputs[k]] = self.e.outputs[first]
        ys = [
            k
            for k in range(count, len(outs))
            if self.e.outputs[k] in self.used
            and (not isinstance(outs[k], Value) or rows[outs[k]] == k)
        ]
        return self._rebuilt(kept, ys)

    def _needed_carries(self, steady: set[int]) -> set[int]:
        """Return the carries that a used result depends on, over all steps."""
        outs = self.body.outputs
        number = {v: k for k, (v, _) in enumerate(self.carries)}
        needed: set[int] = set()
        wanted = [k for k, v in enumerate(self.e.outputs) if v in self.used]
        wanted = [k for k in wanted if k not in steady]
        effects = dce(Graph(self.body.inputs, (), self.body.equations))
        start = {o for e in effects.equations for o in e.inputs}
        needed |= {number[o] for o in start if o in number}
        while True:
            roots = tuple(outs[k] for k in sorted({*wanted, *needed}))
            live = dce(Graph(self.body.inputs, roots, self.body.equations))
            read: set[Any] = {o for e in live.equations for o in e.inputs}
            read |= set(roots)
            grown = needed | {k for v, k in number.items() if v in read}
            grown |= {k for k in wanted if k < self.count}
            if grown == needed:
                return needed
            needed = grown

    def _rebuilt(self, kept: list[int], ys: list[int]) -> Equation:
        outs = self.body.outputs
        chosen = [*kept, *ys]
        body = dce(
            Graph(self.body.inputs, tuple(outs[k] for k in chosen), self.body.equations)
        )
        read: set[Any] = {o for e in body.equations for o in e.inputs}
        read |= set(body.outputs)
        constants = self._joined(self.constants, read)
        steps = self._joined(self.steps, read)
        carries = [self.carries[k] for k in kept]
        whole = len(chosen) == len(outs) and not self.same
        if whole and len(constants) + len(steps) + len(carries) == len(self.pairs):
            return self.e
        inputs = tuple(v for v, _ in (*constants, *carries, *steps))
        graph = _renamed(Graph(inputs, body.outputs, body.equations), self.same)
        params = {
            **self.e.params,
            "graph": graph,
            "constants": len(constants),
            "carries": len(kept),
        }
        return self.e.replace(
            inputs=tuple(o for _, o in (*constants, *carries, *steps)),
            outputs=tuple(self.e.outputs[k] for k in chosen),
            params=params,
        )

    def _joined(
        self, pairs: Sequence[tuple[Value, Operand]], read: set[Any]
    ) -> list[tuple[Value, Operand]]:
        """Drop inputs that nothing reads; read equal operands once."""
        kept: list[tuple[Value, Operand]] = []
        first: dict[Operand, Value] = {}
        for v, o in pairs:
            if v not in read:
                continue
            twin = first.setdefault(o, v)
            if twin is v:
                kept.append((v, o))
            else:
                self.same[v] = twin
        return kept


def _renamed(graph: Graph, same: dict[Value, Operand]) -> Graph:
    if not same:
        return graph
    equations = tuple(
        e.replace(inputs=tuple(_read(o, same) for o in e.inputs))
        for e in graph.equations
    )
    return Graph(graph.inputs, tuple(_read(o, same) for o in graph.outputs), equations)
