"""cond and switch: run one of several functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

from rxcore.base import dtypes, errors, tree
from rxcore.control.bodies import Body, capture_body, compiled, paths, place, same
from rxcore.ir.graph import Graph, Value
from rxcore.ir.primitive import REGISTRY, NoRule, Primitive, Switches
from rxcore.ir.types import Type
from rxcore.ops.convert import convert
from rxcore.ops.families import Linear, number, zeros
from rxcore.ops.shape import broadcast, move_axis
from rxcore.runtime.array import Array
from rxcore.trace.bind import as_numeric
from rxcore.trace.capture import Captured, apply, capture
from rxcore.transforms.arguments import numeric_leaves
from rxcore.transforms.graphs import LinearizedGraph, linearized
from rxcore.transforms.jvp import instantiate
from rxcore.transforms.linearize import tangent_type
from rxcore.transforms.transpose import transpose_graph
from rxcore.transforms.vmap import axis_name, place_axis, vmap_flat

__all__ = ["cond", "switch"]

Flat = Callable[..., list[Any]]


def _infer(index: Type, *types: Type, branches: tuple[Graph, ...]) -> Any:
    del types
    if index.shape or index.dtype != dtypes.int32:
        raise errors.DTypeError(f"switch: the index must be an int32[], got {index}")
    every = zip(*(b.out_types for b in branches), strict=True)
    return tuple(Type(t[0].dtype, t[0].shape, all(u.weak for u in t)) for t in every)


def _bind(index: Any, operands: Sequence[Any], branches: Sequence[Flat]) -> list[Any]:
    """Capture branches that take these operands; apply the switch."""
    types = [o.type for o in operands]
    made = [capture(b, types) for b in branches]
    graphs, constants = _joined(made, len(types))
    return list(_switch.bind(index, *operands, *constants, branches=graphs))


def _joined(
    made: Sequence[Captured | Body], count: int
) -> tuple[tuple[Graph, ...], list[Any]]:
    """Give Graphs the same trailing inputs: what any of them captured."""
    constants: dict[int, Any] = {id(c): c for m in made for c in m.constants}
    order = list(constants)
    graphs = []
    for m in made:
        inputs = m.graph.inputs
        own = dict(zip(map(id, m.constants), inputs[count:], strict=True))
        extra = [Value(constants[k].type) for k in order]
        chosen = (own.get(k, v) for k, v in zip(order, extra, strict=True))
        graphs.append(
            Graph((*inputs[:count], *chosen), m.graph.outputs, m.graph.equations)
        )
    return tuple(graphs), list(constants.values())


# Derivative -------------------------------------------------------------------------


def _jvp(primals: Any, tangents: Any, *, branches: tuple[Graph, ...]) -> Any:
    index, *operands = primals
    wanted = [t is not None for t in tangents[1:]]
    made = [linearized(b, wanted) for b in branches]
    count = len(branches[0].outputs)
    moving = tuple(any(m.moving[k] for m in made) for k in range(count))
    types, slots = _slots(made, count)

    def primal(m: LinearizedGraph, mine: list[int]) -> Flat:
        def run(*args: Any) -> list[Any]:
            outs = apply(m.primal, [*args, *m.primal_constants])
            stored = dict(zip(mine, outs[count:], strict=True))
            return [
                *outs[:count],
                *(stored[k] if k in stored else zeros(t) for k, t in enumerate(types)),
            ]

        return run

    def linear(m: LinearizedGraph, mine: list[int]) -> Flat:
        def run(*args: Any) -> list[Any]:
            dots, stored = args[: sum(wanted)], args[sum(wanted) :]
            found = iter(apply(m.linear, [*dots, *(stored[k] for k in mine)]))
            outs = m.primal.outputs[:count]
            dots_out = [next(found) if flag else None for flag in m.moving]
            return [
                instantiate(d, o)
                for d, o, flag in zip(dots_out, outs, moving, strict=True)
                if flag
            ]

        return run

    pairs = list(zip(made, slots, strict=True))
    outs = _bind(index, operands, [primal(m, s) for m, s in pairs])
    given = [t for t in tangents[1:] if t is not None]
    if not any(moving):
        return tuple(outs[:count]), (None,) * count
    dots = iter(_bind(index, [*given, *outs[count:]], [linear(m, s) for m, s in pairs]))
    return tuple(outs[:count]), tuple(next(dots) if m else None for m in moving)


def _slots(
    made: Sequence[LinearizedGraph], count: int
) -> tuple[list[Type], list[list[int]]]:
    """Share places for residuals between branches; only one of them runs."""
    types: list[Type] = []
    found: list[list[int]] = []
    for m in made:
        free = list(range(len(types)))
        mine: list[int] = []
        for o in m.primal.outputs[count:]:
            type = o.type.strong()
            k = next((k for k in free if types[k] is type), None)
            if k is None:
                k = len(types)
                types.append(type)
            else:
                free.remove(k)
            mine.append(k)
        found.append(mine)
    return types, found


def _transpose(
    cts: Any, index: Any, *operands: Any, branches: tuple[Graph, ...]
) -> Any:
    linear = [isinstance(o, Linear) for o in operands]
    others = [o for o in operands if not isinstance(o, Linear)]
    types = [tangent_type(o.type) for o in operands if isinstance(o, Linear)]
    given = [c for c in cts if c is not None]
    present = [False] * len(types)

    def pull(branch: Graph) -> Callable[..., list[Any]]:
        def run(*args: Any) -> list[Any]:
            rest = iter(args[len(others) :])
            back = [None if c is None else next(rest) for c in cts]
            return transpose_graph(branch, linear, args[: len(others)], back)

        return run

    runs = [pull(b) for b in branches]
    for run in runs:

        def look(*args: Any, run: Any = run) -> list[Any]:
            for k, x in enumerate(run(*args)):
                present[k] = present[k] or x is not None
            return []

        capture(look, [o.type for o in (*others, *given)])

    def full(run: Any) -> Flat:
        return lambda *args: [
            zeros(t) if x is None else x
            for x, t, flag in zip(run(*args), types, present, strict=True)
            if flag
        ]

    outs = iter(_bind(index, [*others, *given], [full(r) for r in runs]))
    found = iter([next(outs) if flag else None for flag in present])
    return [None, *(next(found) if flag else None for flag in linear)]


# Batch ------------------------------------------------------------------------------


def _batch(args: Any, dims: Any, *, branches: tuple[Graph, ...]) -> Any:
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    index, *operands = args
    axes = [None if d is None else 0 for d in dims[1:]]
    moved = [
        x if d is None else move_axis(x, d, 0)
        for x, d in zip(operands, dims[1:], strict=True)
    ]
    if dims[0] is not None:
        return _select_lanes(index, moved, axes, size, branches)
    found: list[list[int | None]] = []

    def lanes(branch: Graph) -> Callable[..., tuple[list[Any], list[int | None]]]:
        return lambda *xs: vmap_flat(
            lambda *a: apply(branch, a), xs, axes, size, axis_name()
        )

    runs = [lanes(b) for b in branches]
    for run in runs:

        def look(*xs: Any, run: Any = run) -> list[Any]:
            found.append(run(*xs)[1])
            return []

        capture(look, [x.type for x in moved])
    joint = [
        0 if any(a is not None for a in places) else None
        for places in zip(*found, strict=True)
    ]

    def full(run: Any) -> Flat:
        def placed(*xs: Any) -> list[Any]:
            return [
                w if t is None else place_axis(w, a, 0, size)
                for w, a, t in zip(*run(*xs), joint, strict=True)
            ]

        return placed

    return tuple(_bind(index, moved, [full(r) for r in runs])), tuple(joint)


def _select_lanes(
    index: Any,
    operands: Sequence[Any],
    axes: Sequence[int | None],
    size: int,
    branches: tuple[Graph, ...],
) -> Any:
    """Each lane has its own index: run all branches, and choose."""
    outs: list[Any] = []
    last = len(branches) - 1
    for k in range(last, -1, -1):
        branch = branches[k]
        wholes, found = vmap_flat(
            lambda *a, b=branch: apply(b, a), operands, axes, size, axis_name()
        )
        mine = [place_axis(w, a, 0, size) for w, a in zip(wholes, found, strict=True)]
        if k == last:
            outs = mine
            continue
        chosen = REGISTRY["le"].bind(index, number(k, dtypes.int32))
        outs = [
            REGISTRY["select"].bind(broadcast(chosen, a.shape, (0,)), a, b)
            for a, b in zip(mine, outs, strict=True)
        ]
    return tuple(outs), (0,) * len(outs)


_switch: Primitive = Primitive(
    name="switch",
    family="control",
    infer=_infer,
    lower=Switches(),
    reference=NoRule("a choice runs compiled"),
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    samples=NoRule("drawn by the tests of control"),
    multiple=True,
    document="Apply one of several Graphs.",
)


# Public -----------------------------------------------------------------------------


def _checked(call: str, names: Sequence[str], bodies: list[Body]) -> list[Body]:
    """Check that branches agree; convert weak results to the common dtype."""
    first = bodies[0]
    for name, other in zip(names[1:], bodies[1:], strict=True):
        if other.out_tree != first.out_tree:
            raise errors.TreeError(
                f"{call}: {names[0]} returns the structure {first.out_tree}, {name}"
                f" returns {other.out_tree}; branches must return the same"
            )
    where = paths(first.out)
    wanted: list[Type] = []
    for k, path in enumerate(where):
        types = [b.graph.out_types[k] for b in bodies]
        clash = _clash(types)
        if clash is not None:
            i, j = clash
            differ = types[i].shape != types[j].shape
            raise (errors.ShapeError if differ else errors.DTypeError)(
                f"{call}: branches differ in the result's leaf{place(path)}:"
                f" {names[i]} returns {types[i]}, {names[j]} returns {types[j]};"
                " make them equal (.astype, reshape)"
            )
        dtype, weak = dtypes.promote(*((t.dtype, t.weak) for t in types))
        common = Type(dtype, types[0].shape, weak)
        wanted.append(common)
    return [_converted(b, wanted) for b in bodies]


def _clash(types: Sequence[Type]) -> tuple[int, int] | None:
    """Return two branches whose result Types have nothing in common."""
    for (i, a), (j, b) in combinations(enumerate(types), 2):
        common, _ = dtypes.promote((a.dtype, a.weak), (b.dtype, b.weak))
        fits = all(t.weak or t.dtype == common for t in (a, b))
        if a.shape != b.shape or not fits:
            return i, j
    return None


def _converted(body: Body, wanted: Sequence[Type]) -> Body:
    if all(same(a, b) for a, b in zip(body.graph.out_types, wanted, strict=True)):
        return body

    def run(*args: Any) -> list[Any]:
        outs = apply(body.graph, args)
        return [
            x if x.dtype == t.dtype else convert(x, t.dtype)
            for x, t in zip(outs, wanted, strict=True)
        ]

    made = capture(run, body.graph.in_types)
    return Body(made.graph, (*body.constants, *made.constants), body.out_tree, body.out)


def _choose(
    call: str,
    index: Any,
    names: Sequence[str],
    branches: Sequence[Callable[..., Any]],
    operands: Sequence[Any],
) -> Any:
    flat, treedef = numeric_leaves(tuple(operands), f"{call} (operands)")
    types = [x.type for x in flat]
    bodies = [capture_body(b, treedef, types, call) for b in branches]
    bodies = _checked(call, names, bodies)
    graphs, constants = _joined(bodies, len(types))

    def run(*given: Any) -> Sequence[Any]:
        return _switch.bind(*given, branches=graphs)  # type: ignore[no-any-return]

    outs = compiled(run, [index, *flat, *constants])
    return tree.unflatten(bodies[0].out_tree, outs)


def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands: Any,
) -> Any:
    """Apply one of two functions, chosen when the program runs.

    **Meaning**: `true_fun(*operands) if pred else false_fun(*operands)`

    Only the chosen function runs; under `vmap` with a mapped `pred` both do.

    Args:
        pred: bool (or number: nonzero is true) of rank 0.
        true_fun: from the operands to a pytree of arrays.
        false_fun: the same; it returns the same structure and types.
        *operands: pytrees of arrays.

    Returns:
        What the chosen function returns.

    Raises:
        TreeError: when the functions return different structures.
        ShapeError: when `pred` is no scalar, or the results' shapes differ.
        DTypeError: when the results' dtypes differ.

    Example:
        >>> import rxcore as rx
        >>> rx.cond(True, lambda x: x + 1, lambda x: x - 1, rx.asarray(3))
        Array(4, dtype=int32)
    """
    chosen = as_numeric(pred, "cond (pred)")
    if chosen.ndim:
        raise errors.ShapeError(
            f"cond: the predicate must have rank 0, got {chosen.type}; reduce it with"
            " all() or any(), or use rx.select"
        )
    if isinstance(chosen, Array):
        return (true_fun if bool(chosen.host) else false_fun)(*operands)
    if not dtypes.is_bool(chosen.dtype):
        chosen = REGISTRY["ne"].bind(chosen, number(0, chosen.dtype))
    index = REGISTRY["convert"].bind(chosen, dtype=dtypes.int32)
    names = ("false_fun", "true_fun")
    return _choose("cond", index, names, (false_fun, true_fun), operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """Apply the function that an index names, chosen when the program runs.

    **Meaning**: `branches[np.clip(index, 0, len(branches) - 1)](*operands)`

    Args:
        index: integer of rank 0; moved into range.
        branches: functions from the operands to the same structure and types.
        *operands: pytrees of arrays.

    Returns:
        What the chosen function returns.

    Raises:
        TreeError: when the functions return different structures.
        ShapeError: when `index` is no scalar, there is no branch, or shapes differ.
        DTypeError: when `index` is no integer, or the results' dtypes differ.

    Example:
        >>> import rxcore as rx
        >>> rx.switch(1, [lambda x: x, lambda x: x * 10], rx.asarray(3))
        Array(30, dtype=int32)
    """
    chosen = as_numeric(index, "switch (index)")
    if not branches:
        raise errors.ShapeError("switch: give at least one branch")
    if chosen.ndim:
        raise errors.ShapeError(
            f"switch: the index must have rank 0, got {chosen.type}"
        )
    if not dtypes.is_integer(chosen.dtype):
        raise errors.DTypeError(
            f"switch: the index must be an integer, got {chosen.type}; convert it with"
            " .astype"
        )
    last = len(branches) - 1
    if isinstance(chosen, Array) or not last:
        k = min(max(int(chosen), 0), last) if last else 0
        return branches[k](*operands)
    low, high = number(0, chosen.dtype), number(last, chosen.dtype)
    chosen = REGISTRY["clamp"].bind(low, chosen, high)
    if chosen.dtype != dtypes.int32:
        chosen = REGISTRY["convert"].bind(chosen, dtype=dtypes.int32)
    names = [f"branch {k}" for k in range(len(branches))]
    return _choose("switch", chosen, names, branches, operands)
