"""Bodies: Python functions that control ops hold, captured over pytrees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import optree
from attrs import frozen

from rxcore.base import dtypes, errors, tree
from rxcore.compiler.forms import is_pulled
from rxcore.compiler.graph_passes.inline import unfold
from rxcore.control.jit import call as jitted_call
from rxcore.ir.graph import Equation, Graph, Literal, Operand, Value
from rxcore.ir.operators import Numeric
from rxcore.ir.primitive import Calls, Expand
from rxcore.ir.types import Type
from rxcore.runtime.array import Array
from rxcore.runtime.placement import run_graph
from rxcore.trace.bind import Eager
from rxcore.trace.capture import Captured, capture
from rxcore.trace.tracer import current
from rxcore.transforms.arguments import numeric_leaves

__all__ = ["Body", "capture_body", "compiled", "evaluate", "is_cheap", "paths"]


@frozen
class Body:
    """A captured function with the structure of its result.

    Args:
        graph: its Graph, captured values as trailing inputs.
        constants: those values.
        out_tree: the structure of the result.
        out: the result, with Types as leaves.
    """

    graph: Graph
    constants: tuple[Any, ...]
    out_tree: tree.TreeDef
    out: Any


def capture_body(
    function: Callable[..., Any],
    treedef: tree.TreeDef,
    types: Sequence[Type],
    call: str,
) -> Body:
    """Capture a function of pytrees; `treedef` is that of its argument tuple."""
    found: list[Any] = []

    def flat(*leaves: Any) -> list[Any]:
        out = function(*tree.unflatten(treedef, leaves))
        outs, out_tree = numeric_leaves(out, f"{call} (result)")
        found[:] = [out_tree]
        return outs

    made: Captured = capture(flat, types, f"rx.{call}")
    # A jitted function inside is part of the body: hoisting sees through it.
    graph = unfold(made.graph, _jitted)
    out = tree.unflatten(found[0], graph.out_types)
    return Body(graph, made.constants, found[0], out)


def _jitted(e: Equation) -> Graph | None:
    return e.params["graph"] if e.primitive is jitted_call else None


def shown(x: Any) -> str:
    """Return words for a value of the wrong kind."""
    return f"an array {x.type}" if isinstance(x, Numeric) else f"a {type(x).__name__}"


def paths(value: Any) -> list[str]:
    """Return where each leaf of a pytree stands, as Python text."""
    accessors = optree.tree_accessors(value, namespace=tree.NAMESPACE)
    return [a.codify("*")[1:] for a in accessors]


def place(path: str) -> str:
    """Return words for where a leaf stands."""
    return f" at {path}" if path else ""


def promoted(given: Type, wanted: Type) -> bool:
    """Say whether a weak value may take the dtype that a body gives it."""
    if not given.weak or given.shape != wanted.shape:
        return False
    pair = ((given.dtype, True), (wanted.dtype, wanted.weak))
    return dtypes.promote(*pair)[0] == wanted.dtype


def same(a: Type, b: Type) -> bool:
    """Say whether two Types agree but for weakness."""
    return a.dtype == b.dtype and a.shape == b.shape


def mismatch(call: str, path: str, given: Type, got: Type) -> errors.UserError:
    """Build the error for a carry that changes its type."""
    text = (
        f"{call}: the carry's leaf{place(path)} goes in as {given} and comes out as"
        f" {got}; a carry keeps its shape and dtype: convert what the function returns"
        " (.astype, reshape), or start from a value of that type"
    )
    kind = errors.ShapeError if given.shape != got.shape else errors.DTypeError
    return kind(text)


def compiled(
    function: Callable[..., Sequence[Any]], operands: Sequence[Any]
) -> Sequence[Any]:
    """Apply a function of flat arrays; outside of every trace, compiled as one."""
    if not isinstance(current(), Eager):
        return function(*operands)
    made = capture(function, [o.type for o in operands])
    return run_graph(made.graph, [*operands, *made.constants])


def evaluate(equations: Sequence[Equation], memory: dict[Value, Any]) -> None:
    """Apply equations one by one in the current trace; results go into `memory`."""
    trace = current()
    for e in equations:
        args = [read(o, memory) for o in e.inputs]
        outs = trace.process(e.primitive, args, dict(e.params))
        memory.update(zip(e.outputs, outs, strict=True))


def read(o: Operand, memory: dict[Value, Any]) -> Any:
    """Return what an operand stands for."""
    if isinstance(o, Literal):
        return Array.scalar(o.value, o.type)
    return memory[o]


_cheap: dict[Any, bool] = {}


def is_cheap(e: Equation) -> bool:
    """Say whether computing the results anew costs less than storing them."""
    form = e.primitive.lower
    if e.primitive.effects:
        return False
    if isinstance(form, Calls):
        return all(map(is_cheap, e.params["graph"].equations))
    if isinstance(form, Expand):
        key = (e.primitive, tuple(o.type for o in e.inputs), repr(e.params))
        if key not in _cheap:
            types = [o.type for o in e.inputs]
            inner = form.function(*types, **e.params)
            _cheap[key] = all(map(is_cheap, inner.equations))
        return _cheap[key]
    return is_pulled(e)
