"""checkpoint: compute again in the backward pass what would be stored."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors, tree
from rxcore.control.bodies import capture_body
from rxcore.ir.graph import Graph
from rxcore.ir.interpret import interpret
from rxcore.ir.primitive import Calls, NoRule, Primitive
from rxcore.ir.types import Type
from rxcore.ops.families import Linear
from rxcore.ops.samples import mapping
from rxcore.ops.shape import index_map
from rxcore.trace.bind import Eager
from rxcore.trace.capture import apply, capture
from rxcore.trace.tracer import current
from rxcore.transforms.arguments import numeric_leaves
from rxcore.transforms.graphs import batched, linearized
from rxcore.transforms.jvp import instantiate, jvp_flat
from rxcore.transforms.linearize import Partial
from rxcore.transforms.transpose import transpose_graph

__all__ = ["checkpoint"]

# Equal values behind a barrier are not equal for cse: it keeps what is computed again
# from being replaced by what was computed before.
_barrier: Primitive = index_map(
    "barrier",
    infer=lambda x: x,
    index=None,
    reference=np.copy,
    transpose=lambda ct, _: [ct],
    batch=lambda args, dims: (_barrier.bind(*args), dims[0]),
    samples=mapping(dtypes.ALL, (((3, 2), {}), ((), {}))),
    document="Return x; nothing is known of it behind the barrier.",
)


def _infer(*types: Type, graph: Graph) -> tuple[Type, ...]:
    del types
    return graph.out_types


def _bind(run: Callable[..., list[Any]], operands: Sequence[Any]) -> list[Any]:
    """Apply a function of flat arrays as one checkpoint."""
    made = capture(run, [o.type for o in operands])
    return list(_checkpoint.bind(*operands, *made.constants, graph=made.graph))


def _jvp(primals: Any, tangents: Any, *, graph: Graph) -> Any:
    wanted = [t is not None for t in tangents]
    given = [t for t in tangents if t is not None]
    made = linearized(graph, wanted)
    moving, cut, count = made.moving, len(primals), len(graph.outputs)

    def joint(*args: Any) -> list[Any]:
        rest = iter(args[cut:])
        outs, dots = jvp_flat(
            lambda *a: apply(graph, a),
            args[:cut],
            [next(rest) if w else None for w in wanted],
        )
        pairs = zip(dots, outs, moving, strict=True)
        return [*outs, *(instantiate(t, o) for t, o, m in pairs if m)]

    def linear(*args: Any) -> list[Any]:
        outs = apply(made.primal, [*args[:cut], *made.primal_constants])
        return apply(made.linear, [*args[cut:], *outs[count:]])

    if isinstance(current(), Partial):
        # Only the inputs are kept: the recorded derivative computes the rest again.
        outs = list(_checkpoint.bind(*primals, graph=graph))
        dots = iter(_bind(linear, [*primals, *given]))
    else:
        both = _bind(joint, [*primals, *given])
        outs, dots = both[:count], iter(both[count:])
    return tuple(outs), tuple(next(dots) if m else None for m in moving)


def _transpose(cts: Any, *operands: Any, graph: Graph) -> Any:
    linear = [isinstance(o, Linear) for o in operands]
    others = [o for o in operands if not isinstance(o, Linear)]
    given = [c for c in cts if c is not None]
    present: list[bool] = []

    def run(*args: Any) -> list[Any]:
        known = [_barrier.bind(x) for x in args[: len(others)]]
        rest = iter(args[len(others) :])
        back = [None if c is None else next(rest) for c in cts]
        found = transpose_graph(graph, linear, known, back)
        present[:] = [f is not None for f in found]
        return [f for f in found if f is not None]

    outs = iter(_bind(run, [*others, *given]))
    pulled = iter([next(outs) if p else None for p in present])
    return [next(pulled) if flag else None for flag in linear]


def _batch(args: Any, dims: Any, *, graph: Graph) -> Any:
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    made = batched(graph, dims, size)
    outs = _checkpoint.bind(*args, *made.constants, graph=made.graph)
    return outs, made.dims


def _reference(*arrays: Any, graph: Graph) -> tuple[Any, ...]:
    return tuple(interpret(graph, arrays))


_checkpoint: Primitive = Primitive(
    name="checkpoint",
    family="control",
    infer=_infer,
    lower=Calls(),
    reference=_reference,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    samples=NoRule("drawn by the tests of control"),
    multiple=True,
    document="Apply a Graph of which only the inputs are kept for the backward pass.",
)


def checkpoint(
    fun: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] = (),
) -> Any:
    """Return a function that stores only its arguments for the backward pass.

    **Meaning**: `fun`; its derivative computes intermediate values a second time
    instead of keeping them (Griewank and Walther, "Algorithm 799: revolve", 2000).

    Args:
        fun: from pytrees of arrays to a pytree of arrays; without it, a decorator.
        static_argnums: positions of arguments that are Python values.

    Returns:
        The function.

    Example:
        >>> import rxcore as rx
        >>> rx.grad(rx.checkpoint(lambda x: rx.tanh(rx.tanh(x))))(0.0)
        Array(1., dtype=float32)
    """
    if fun is None:
        return functools.partial(checkpoint, static_argnums=static_argnums)
    if not callable(fun):
        raise errors.UserError(f"checkpoint: expected a function, got {fun!r}")
    numbers = (
        (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    )

    @functools.wraps(fun)
    def saved(*args: Any, **kwargs: Any) -> Any:
        if isinstance(current(), Eager):
            return fun(*args, **kwargs)
        static = {k % len(args): args[k] for k in numbers}
        moving = tuple(a for k, a in enumerate(args) if k not in static)
        flat, treedef = numeric_leaves((moving, kwargs), "checkpoint")

        def whole(given: Any, named: Any) -> Any:
            rest = iter(given)
            merged = [
                static[k] if k in static else next(rest) for k in range(len(args))
            ]
            return fun(*merged, **named)

        body = capture_body(whole, treedef, [x.type for x in flat], "checkpoint")
        outs = _checkpoint.bind(*flat, *body.constants, graph=body.graph)
        return tree.unflatten(body.out_tree, outs)

    return saved
