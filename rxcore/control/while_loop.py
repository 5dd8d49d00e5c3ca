"""while_loop: apply a function as long as a condition holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rxcore.base import dtypes, errors, tree
from rxcore.control.bodies import capture_body, compiled
from rxcore.control.scan import retyped
from rxcore.ir.graph import Graph
from rxcore.ir.primitive import REGISTRY, NoRule, Primitive, Repeats
from rxcore.ir.types import Type
from rxcore.ops.shape import broadcast, move_axis
from rxcore.trace.capture import Captured, apply, capture
from rxcore.trace.tracer import current
from rxcore.transforms.arguments import numeric_leaves
from rxcore.transforms.graphs import batched, linearized
from rxcore.transforms.jvp import instantiate, jvp_flat
from rxcore.transforms.linearize import Partial
from rxcore.transforms.vmap import axis_name, place_axis, vmap_flat

__all__ = ["while_loop"]


def _infer(*types: Type, test_constants: int, constants: int, **_: Any) -> Any:
    return tuple(t.strong() for t in types[test_constants + constants :])


def _parts(given: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any, Any]:
    a = p["test_constants"]
    b = a + p["constants"]
    return tuple(given[:a]), tuple(given[a:b]), tuple(given[b:])


def _bind(
    test: Captured,
    body: Captured,
    carries: Sequence[Any],
    test_constants: Sequence[Any] = (),
    constants: Sequence[Any] = (),
) -> list[Any]:
    """Apply a while loop whose Graphs take (given constants, carries, captured)."""
    first = (*test_constants, *test.constants)
    second = (*constants, *body.constants)
    return list(
        _while.bind(
            *first,
            *second,
            *carries,
            test=_ordered(test, len(test_constants), len(carries)),
            graph=_ordered(body, len(constants), len(carries)),
            test_constants=len(first),
            constants=len(second),
        )
    )


def _ordered(made: Captured, constants: int, carries: int) -> Graph:
    inputs = made.graph.inputs
    end = constants + carries
    moved = (*inputs[:constants], *inputs[end:], *inputs[constants:end])
    return Graph(moved, made.graph.outputs, made.graph.equations)


def _jvp(primals: Any, tangents: Any, **p: Any) -> Any:
    graph: Graph = p["graph"]
    asked, fixed, carries = _parts(primals, p)
    _, fixed_dots, carry_dots = _parts(tangents, p)
    steady = tuple(t is not None for t in fixed_dots)
    moved = tuple(t is not None for t in carry_dots)
    while True:
        made = linearized(graph, (*steady, *moved))
        grown = tuple(a or b for a, b in zip(moved, made.moving, strict=True))
        if grown == moved:
            break
        moved = grown
    given = [t for t in fixed_dots if t is not None]
    dots = [
        instantiate(t, x)
        for t, x, m in zip(carry_dots, carries, moved, strict=True)
        if m
    ]
    cut = len(fixed)
    wanted = (*steady, *moved)

    def test(*args: Any) -> list[Any]:
        return apply(p["test"], args[: len(asked) + len(carries)])

    def body(*args: Any) -> list[Any]:
        rest = iter(args)
        constants = [next(rest) for _ in range(cut)]
        pushed = [next(rest) for _ in given]
        values = [next(rest) for _ in carries]
        directions = iter((*pushed, *rest))
        outs, found = jvp_flat(
            lambda *a: apply(graph, a),
            [*constants, *values],
            [next(directions) if w else None for w in wanted],
        )
        ends = [
            instantiate(t, o) for t, o, m in zip(found, outs, moved, strict=True) if m
        ]
        return [*outs, *ends]

    types = [x.type.strong() for x in (*carries, *dots)]
    joint = _bind(
        capture(test, [*(x.type for x in asked), *types]),
        capture(body, [*(x.type for x in (*fixed, *given)), *types]),
        [*carries, *dots],
        asked,
        [*fixed, *given],
    )
    outs = joint[: len(carries)]
    if isinstance(current(), Partial):
        # What is recorded is a derivative: the values come from a loop of their own.
        outs = list(_while.bind(*primals, **p))
    rest = iter(joint[len(carries) :])
    return tuple(outs), tuple(next(rest) if m else None for m in moved)


def _batch(args: Any, dims: Any, **p: Any) -> Any:
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    places = _parts(tuple(None if d is None else 0 for d in dims), p)
    asked_dims, fixed_dims, moved = places
    while True:
        made = batched(p["graph"], (*fixed_dims, *moved), size)
        asks = batched(p["test"], (*asked_dims, *moved), size).dims[0] is not None
        grown = tuple(
            0 if asks or a is not None or b is not None else None
            for a, b in zip(moved, made.dims, strict=True)
        )
        if grown == moved:
            break
        moved = grown
    asked, fixed, carries = _parts(args, p)
    old = _parts(dims, p)
    first = _fronted(asked, old[0])
    second = _fronted(fixed, old[1])
    third = [
        x if m is None else place_axis(x, d, 0, size)
        for x, d, m in zip(carries, old[2], moved, strict=True)
    ]
    cut = len(asked)

    def lanes(graph: Graph, given: Sequence[Any], axes: Any, wanted: Any) -> list[Any]:
        wholes, found = vmap_flat(
            lambda *a: apply(graph, a), given, axes, size, axis_name()
        )
        return [
            w if t is None else place_axis(w, a, 0, size)
            for w, a, t in zip(wholes, found, wanted, strict=True)
        ]

    def ask(given: Sequence[Any]) -> Any:
        return lanes(p["test"], given, (*asked_dims, *moved), [0 if asks else None])[0]

    def test(*given: Any) -> list[Any]:
        found = ask(given)
        return [REGISTRY["any"].bind(found, axes=(0,)) if asks else found]

    def body(*given: Any) -> list[Any]:
        """Step the lanes whose condition still holds; leave the others."""
        before = given[len(given) - len(third) :]
        constants = given[cut : -len(third)] if third else given[cut:]
        axes = (*fixed_dims, *moved)
        after = lanes(p["graph"], [*constants, *before], axes, moved)
        if not asks:
            return after
        going = ask([*given[:cut], *before])
        return [
            REGISTRY["select"].bind(broadcast(going, new.shape, (0,)), new, was)
            for new, was in zip(after, before, strict=True)
        ]

    types = [x.type.strong() for x in third]
    given = [*(x.type for x in first)]
    outs = _bind(
        capture(test, [*given, *types]),
        capture(body, [*given, *(x.type for x in second), *types]),
        third,
        first,
        [*first, *second],
    )
    return outs, moved


def _fronted(xs: Sequence[Any], dims: Sequence[int | None]) -> list[Any]:
    return [
        x if d is None else move_axis(x, d, 0) for x, d in zip(xs, dims, strict=True)
    ]


_while: Primitive = Primitive(
    name="while",
    family="control",
    infer=_infer,
    lower=Repeats(),
    reference=NoRule("a while loop runs compiled"),
    jvp=_jvp,
    transpose=NoRule(
        "while_loop: reverse-mode differentiation needs the number of steps, which is"
        " not known before the loop runs; use rx.scan, or rx.fori_loop with bounds that"
        " are Python ints (forward mode, rx.jvp, works as it is)"
    ),
    batch=_batch,
    samples=NoRule("drawn by the tests of control"),
    multiple=True,
    document="Apply a Graph as long as another one answers True.",
)


def while_loop(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any
) -> Any:
    """Apply a function as long as a condition holds.

    **Meaning**::

        while cond_fun(init_val):
            init_val = body_fun(init_val)
        return init_val

    Args:
        cond_fun: from the value to a bool of rank 0.
        body_fun: from the value to the next one, of the same types.
        init_val: pytree of arrays.

    Returns:
        The first value for which the condition does not hold. Under `vmap` each lane
        stops by itself. There is no reverse-mode derivative.

    Raises:
        DTypeError: when the condition is no bool, or the value changes its dtype.
        ShapeError: when the value changes its shape.
        TreeError: when the value changes its structure.

    Example:
        >>> import rxcore as rx
        >>> rx.while_loop(lambda x: x < 100.0, lambda x: x * 2.0, 3.0)
        Array(192., dtype=float32)
    """
    start, carry_tree = numeric_leaves(init_val, "while_loop (init_val)")
    holes = tree.unflatten(carry_tree, [0] * len(start))
    treedef = tree.structure((holes,))
    while True:
        types = [x.type for x in start]
        body = capture_body(body_fun, treedef, types, "while_loop")
        changed = retyped("while_loop", start, carry_tree, body.out)
        if changed is None:
            break
        start = changed
    test = capture_body(cond_fun, treedef, types, "while_loop")
    answers = test.graph.out_types
    if len(answers) != 1 or answers[0].shape or not dtypes.is_bool(answers[0].dtype):
        shown = ", ".join(map(str, answers))
        raise errors.DTypeError(
            "while_loop: the condition must give one bool of rank 0, got"
            f" ({shown}); compare with something, or reduce with all() or any()"
        )
    asked = len(test.constants)
    fixed = len(body.constants)

    def run(*operands: Any) -> list[Any]:
        return list(
            _while.bind(
                *operands,
                test=_ordered(Captured(test.graph, test.constants), 0, len(start)),
                graph=_ordered(Captured(body.graph, body.constants), 0, len(start)),
                test_constants=asked,
                constants=fixed,
            )
        )

    outs = compiled(run, [*test.constants, *body.constants, *start])
    return tree.unflatten(carry_tree, outs)
