"""Hoist: move out of a scan what need not happen at every step.

Three rewrites, made when a scan is bound, so that derivatives see the smaller body:

- what is computed of constants only is computed once;
- what is computed of constants and per-step inputs only is computed for all steps at
  once, where that turns many products into one;
- `acc = acc + sum(v)` becomes `acc = acc + v` with one sum after the loop, and
  `acc = acc + a @ b` becomes one contraction over time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve, frozen

from rxcore.compiler.forms import is_dense, is_reduction
from rxcore.compiler.graph_passes.dce import dce
from rxcore.compiler.graph_passes.inline import inline
from rxcore.compiler.lanes import is_lane_scan
from rxcore.control.bodies import evaluate, is_cheap, read
from rxcore.ir.graph import Equation, Graph, Operand, Value, successors
from rxcore.ir.primitive import REGISTRY, IndexMap, Opaque, Primitive, Reduction, Scalar
from rxcore.ir.types import Type
from rxcore.ops.contract import bind_contract, letter
from rxcore.ops.families import zeros
from rxcore.ops.shape import broadcast, move_axis
from rxcore.transforms.vmap import vmap_flat

__all__ = ["Loop", "hoist"]

# What a hoisted, batched value may take.
LIMIT = 256 << 20
# Computing fewer elements than this at every step costs nothing.
SMALL = 1024


@frozen(eq=False)
class Loop:
    """A scan that is not bound yet: a body and its operands."""

    graph: Graph
    constants: tuple[Any, ...]
    carries: tuple[Any, ...]
    steps: tuple[Any, ...]
    length: int
    reverse: bool

    @property
    def params(self) -> dict[str, Any]:
        """The params of the scan equation."""
        return {
            "graph": self.graph,
            "length": self.length,
            "reverse": self.reverse,
            "constants": len(self.constants),
            "carries": len(self.carries),
        }

    def inputs(self) -> tuple[tuple[Value, ...], tuple[Value, ...], tuple[Value, ...]]:
        """Return the body's inputs: constants, carries, step inputs."""
        a = len(self.constants)
        b = a + len(self.carries)
        every = self.graph.inputs
        return every[:a], every[a:b], every[b:]

    def is_lane(self, scan: Primitive) -> bool:
        """Say whether this scan runs lane by lane in one kernel."""
        graph = inline(self.graph)
        params = {**self.params, "graph": graph}
        operands = tuple(
            Value(Type(o.dtype, o.shape))
            for o in (*self.constants, *self.carries, *self.steps)
        )
        types = scan.infer_all([v.type for v in operands], params)
        outs = tuple(map(Value, types))
        return is_lane_scan(Equation(scan, operands, outs, params))

    def bind(self, scan: Primitive) -> list[Any]:
        """Apply the scan in the current trace."""
        operands = (*self.constants, *self.carries, *self.steps)
        return list(scan.bind(*operands, **self.params))


Finish = Callable[[list[Any]], list[Any]]


def hoist(loop: Loop, scan: Primitive) -> tuple[Loop, Finish]:
    """Return a scan that does less, and what makes the results of its results."""
    loop = tidy(loop)
    if not loop.length or loop.is_lane(scan):
        return loop, lambda outs: outs
    made, finish = _sum_late(loop)
    if made.is_lane(scan):
        return made, finish
    streamed, after = _sum_outputs_late(made)
    if streamed is not made and streamed.is_lane(scan):
        return streamed, lambda outs: finish(after(outs))
    joined, contracted = _contract_late(made)
    moved, filled = _move_out(joined)
    return moved, lambda outs: finish(contracted(filled(outs)))


def tidy(loop: Loop) -> Loop:
    """Drop equations, constants and step inputs that nothing uses."""
    graph = dce(loop.graph)
    used: set[Operand] = {o for e in graph.equations for o in e.inputs}
    used |= set(graph.outputs)
    constants, carries, steps = loop.inputs()
    kept = [k for k, v in enumerate(constants) if v in used]
    stepping = [k for k, v in enumerate(steps) if v in used]
    inputs = (
        *(constants[k] for k in kept),
        *carries,
        *(steps[k] for k in stepping),
    )
    return evolve(
        loop,
        graph=Graph(inputs, graph.outputs, graph.equations),
        constants=tuple(loop.constants[k] for k in kept),
        steps=tuple(loop.steps[k] for k in stepping),
    )


# Sums after the loop ----------------------------------------------------------------


def _chain(o: Operand, makers: dict[Value, Equation]) -> list[Equation]:
    """Return the linear maps that end in a value, from its innermost sum outwards."""
    found: list[Equation] = []
    keep = 0
    while isinstance(o, Value) and o in makers:
        e = makers[o]
        form = e.primitive.lower
        is_sum = is_reduction(e) and isinstance(form, Reduction)
        if is_sum and isinstance(form, Reduction) and form.combine != "add":
            break
        if not (is_sum or (isinstance(form, IndexMap) and len(e.inputs) == 1)):
            break
        found.append(e)
        if is_sum:
            keep = len(found)
        o = e.inputs[0]
    return found[:keep][::-1]


def _accumulator(
    carry: Value, out: Operand, graph: Graph, makers: dict[Value, Equation]
) -> Operand | None:
    """Return what a carry that only adds up takes at each step."""
    e = makers.get(out) if isinstance(out, Value) else None
    if e is None or e.primitive is not REGISTRY["add"]:
        return None
    if graph.outputs.count(out) != 1 or carry in graph.outputs:
        return None
    users = successors(graph.equations)
    if users.get(carry, []) != [e] or out in users or e.inputs.count(carry) != 1:
        return None
    other = e.inputs[1] if e.inputs[0] is carry else e.inputs[0]
    return other if other.type.shape == carry.type.shape else None


def _apply_chain(chain: Sequence[Equation], x: Any) -> Any:
    if not chain:
        return x
    memory = {chain[0].inputs[0]: x}
    evaluate(chain, memory)  # type: ignore[arg-type]
    return memory[chain[-1].outputs[0]]


def _sum_late(loop: Loop) -> tuple[Loop, Finish]:
    """Let accumulators add up arrays whose sum is taken after the loop."""
    graph = loop.graph
    makers = {v: e for e in graph.equations for v in e.outputs}
    constants, carries, steps = loop.inputs()
    inner, outs, starts = list(carries), list(graph.outputs), list(loop.carries)
    added: list[Equation] = []
    late: dict[int, list[Equation]] = {}
    for k, carry in enumerate(carries):
        term = _accumulator(carry, outs[k], graph, makers)
        chain = [] if term is None else _chain(term, makers)
        if not chain:
            continue
        source = chain[0].inputs[0]
        if not isinstance(source, Value):
            continue
        wide = Value(source.type.strong())
        total = Value(wide.type)
        added.append(Equation(REGISTRY["add"], (wide, source), (total,), {}))
        inner[k], outs[k], starts[k] = wide, total, zeros(wide.type)
        late[k] = chain
    if not late:
        return loop, lambda outs: outs

    def finish(results: list[Any]) -> list[Any]:
        for k, chain in late.items():
            total = _apply_chain(chain, results[k])
            results[k] = REGISTRY["add"].bind(loop.carries[k], total)
        return results

    made = Graph((*constants, *inner, *steps), tuple(outs), (*graph.equations, *added))
    return tidy(evolve(loop, graph=made, carries=tuple(starts))), finish


def _sum_outputs_late(loop: Loop) -> tuple[Loop, Finish]:
    """Let per-step outputs that are sums be summed after the loop."""
    graph, count = loop.graph, len(loop.carries)
    makers = {v: e for e in graph.equations for v in e.outputs}
    outs = list(graph.outputs)
    late: dict[int, list[Equation]] = {}
    size = 0
    for k, o in enumerate(outs[count:], count):
        chain = _chain(o, makers)
        if chain:
            outs[k] = chain[0].inputs[0]
            size += outs[k].type.nbytes * loop.length
            late[k] = chain
    if not late or size > LIMIT:
        return loop, lambda outs: outs

    def finish(results: list[Any]) -> list[Any]:
        for k, chain in late.items():
            (whole,), (axis,) = vmap_flat(
                lambda x, c=chain: [_apply_chain(c, x)], [results[k]], [0], loop.length
            )
            results[k] = move_axis(whole, axis or 0, 0)
        return results

    made = Graph(graph.inputs, tuple(outs), graph.equations)
    return tidy(evolve(loop, graph=made)), finish


def _contract_late(loop: Loop) -> tuple[Loop, Finish]:
    """Add up after the loop: products as one contraction over time, or stored terms."""
    graph, count = loop.graph, len(loop.carries)
    late, streams = _late_terms(loop)
    if not late:
        return loop, lambda outs: outs
    constants, carries, steps = loop.inputs()
    given = dict(zip(steps, loop.steps, strict=True))
    ys = graph.outputs[count:]
    saved = [v for v in streams if v not in given and v not in ys]
    kept = [k for k in range(count) if k not in late]
    made = Graph(
        (*constants, *(carries[k] for k in kept), *steps),
        (*(graph.outputs[k] for k in kept), *ys, *saved),
        graph.equations,
    )

    def finish(results: list[Any]) -> list[Any]:
        first = len(kept) + len(ys)
        whole: dict[Any, Any] = dict(given)
        whole |= zip((*ys, *saved), results[len(kept) :], strict=True)
        ends = dict(zip(kept, results, strict=False))
        for k, term in late.items():
            total = _over_time(term, whole)
            ends[k] = REGISTRY["add"].bind(loop.carries[k], total)
        return [*(ends[k] for k in range(count)), *results[len(kept) : first]]

    starts = tuple(loop.carries[k] for k in kept)
    return tidy(evolve(loop, graph=made, carries=starts)), finish


def _late_terms(loop: Loop) -> tuple[dict[int, Value | Equation], dict[Value, None]]:
    """Return accumulators whose terms are stored, or are products of what can be."""
    graph, count = loop.graph, len(loop.carries)
    makers = {v: e for e in graph.equations for v in e.outputs}
    constants, carries, _ = loop.inputs()
    late: dict[int, Value | Equation] = {}
    streams: dict[Value, None] = {}
    for k, carry in enumerate(carries):
        term = _accumulator(carry, graph.outputs[k], graph, makers)
        if not isinstance(term, Value):
            continue
        if term in graph.outputs[count:]:
            late[k] = term
            continue
        e = makers.get(term)
        if e is None or e.primitive is not REGISTRY["contract"]:
            continue
        pair = [o for o in e.inputs if isinstance(o, Value) and o not in constants]
        if len(pair) == 2 and sum(o.type.nbytes for o in pair) * loop.length <= LIMIT:
            late[k] = e
            streams.update(dict.fromkeys(pair))
    return late, streams


def _over_time(term: Value | Equation, whole: dict[Any, Any]) -> Any:
    if isinstance(term, Value):
        return REGISTRY["sum"].bind(whole[term], axes=(0,))
    p = term.params
    names = p["x_labels"] + p["y_labels"]
    time = next(c for c in map(letter, range(len(names) + 1)) if c not in names)
    x, y = (whole[o] for o in term.inputs)
    return bind_contract(
        x, y, time + p["x_labels"], time + p["y_labels"], p["out_labels"]
    )


# Out of the loop --------------------------------------------------------------------

_FIXED, _STEPPING, _CARRIED = 0, 1, 2


def _levels(loop: Loop) -> dict[Value, int]:
    """Return for each value whether it changes: never, by step, or with carries."""
    constants, carries, steps = loop.inputs()
    level = dict.fromkeys(constants, _FIXED)
    level |= dict.fromkeys(carries, _CARRIED)
    level |= dict.fromkeys(steps, _STEPPING)
    for e in loop.graph.equations:
        given = [level[o] for o in e.inputs if isinstance(o, Value)]
        found = _CARRIED if e.primitive.effects else max(given, default=_FIXED)
        level |= dict.fromkeys(e.outputs, found)
    return level


def _is_worth(
    e: Equation, found: int, level: dict[Value, int], users: Any, length: int
) -> bool:
    """Say whether to compute an equation's results outside of the loop."""
    if isinstance(e.primitive.lower, Opaque):
        return False
    size = sum(v.type.nbytes for v in e.outputs)
    if not is_cheap(e):
        return size * (length if found == _STEPPING else 1) <= LIMIT
    if found != _FIXED or is_dense(e):
        return False
    if isinstance(e.primitive.lower, Scalar):
        return e.outputs[0].type.size >= SMALL
    # What a kernel in the loop reads is stored: once is enough.
    return any(
        not is_cheap(u) and any(level[v] == _CARRIED for v in u.outputs)
        for v in e.outputs
        for u in users.get(v, ())
    )


def _move_out(loop: Loop) -> tuple[Loop, Finish]:
    """Compute before the loop, over all steps at once, what no carry changes."""
    graph, count = loop.graph, len(loop.carries)
    level = _levels(loop)
    users = successors(graph.equations)
    chosen: dict[Value, None] = {}
    for e in graph.equations:
        found = max(level[v] for v in e.outputs) if e.outputs else _CARRIED
        if found < _CARRIED and _is_worth(e, found, level, users, loop.length):
            chosen.update(dict.fromkeys(e.outputs))
    if not chosen:
        return loop, lambda outs: outs
    values = _computed(loop, list(chosen))
    constants, carries, steps = loop.inputs()
    rest = tuple(e for e in graph.equations if not any(v in chosen for v in e.outputs))
    # A result of the loop that is ready before it is not carried through it.
    ready = {
        k: values[o]
        for k, o in enumerate(graph.outputs)
        if k >= count and isinstance(o, Value) and o in values
    }
    outs = tuple(o for k, o in enumerate(graph.outputs) if k not in ready)
    once = {v: x for v, (x, stepping) in values.items() if not stepping}
    each = {v: x for v, (x, stepping) in values.items() if stepping}
    made = evolve(
        loop,
        graph=Graph((*constants, *once, *carries, *steps, *each), outs, rest),
        constants=(*loop.constants, *once.values()),
        steps=(*loop.steps, *each.values()),
    )

    def finish(results: list[Any]) -> list[Any]:
        rest = iter(results)
        return [
            _repeated(*ready[k], loop.length) if k in ready else next(rest)
            for k in range(len(graph.outputs))
        ]

    return tidy(made), finish


def _repeated(x: Any, stepping: bool, length: int) -> Any:
    if stepping:
        return x
    return broadcast(x, (length, *x.shape), tuple(range(1, x.ndim + 1)))


def _computed(loop: Loop, wanted: list[Value]) -> dict[Value, tuple[Any, bool]]:
    """Return values for all steps (time in front), or for good, and which it is."""
    graph = loop.graph
    needed: set[Operand] = set(wanted)
    slice_: list[Equation] = []
    for e in reversed(graph.equations):
        if any(v in needed for v in e.outputs):
            slice_.append(e)
            needed.update(e.inputs)
    constants, _, steps = loop.inputs()
    before = slice_[::-1]

    def run(*args: Any) -> list[Any]:
        memory = dict(zip((*constants, *steps), args, strict=True))
        evaluate(before, memory)
        return [read(v, memory) for v in wanted]

    dims: list[int | None] = [*(None for _ in constants), *(0 for _ in steps)]
    given = [*loop.constants, *loop.steps]
    wholes, axes = vmap_flat(run, given, dims, loop.length)
    return {
        v: (x, False) if a is None else (move_axis(x, a, 0), True)
        for v, x, a in zip(wanted, wholes, axes, strict=True)
    }
