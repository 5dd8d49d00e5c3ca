"""scan: a loop whose state is carried from step to step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rxcore.base import errors, tree
from rxcore.control.bodies import (
    Body,
    capture_body,
    compiled,
    mismatch,
    paths,
    place,
    promoted,
    same,
    shown,
)
from rxcore.control.hoist import Loop
from rxcore.control.scan_rules import bind_loop, sliced
from rxcore.ir.graph import Graph
from rxcore.ir.types import Type
from rxcore.ops.convert import convert
from rxcore.transforms.arguments import numeric_leaves

__all__ = ["scan"]


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """Apply a function step by step along the leading axis, carrying a state.

    **Meaning**::

        carry, ys = init, []
        for x in xs:  # reversed(xs) with `reverse`
            carry, y = f(carry, x)
            ys.append(y)
        return carry, np.stack(ys)  # in the order of xs

    A body that treats every element alike becomes one kernel with the loop inside.

    Args:
        f: from (carry, x) to (carry, y), pytrees; the carry keeps its types.
        init: the first carry.
        xs: pytree of arrays with equal leading axes, or None.
        length: the number of steps, needed where `xs` has no arrays.
        reverse: run from the last step to the first.
        unroll: accepted for compatibility; the compiler decides.

    Returns:
        The last carry, and the outputs stacked along a new leading axis.

    Raises:
        ShapeError: when leading axes differ, or a carry changes its shape.
        DTypeError: when a carry changes its dtype.
        TreeError: when a carry changes its structure, or `f` returns no pair.

    Example:
        >>> import rxcore as rx
        >>> rx.scan(lambda c, x: (c + x, c * x), 0.0, rx.asarray([1.0, 2.0, 3.0]))
        (Array(6., dtype=float32), Array([0., 2., 9.], dtype=float32))
    """
    del unroll
    start, carry_tree = numeric_leaves(init, "scan (init)")
    steps, steps_tree = numeric_leaves(xs, "scan (xs)")
    count = _length(steps, xs, length)
    treedef = tree.structure((_holes(carry_tree), _holes(steps_tree)))
    step_types = [sliced(x.type) for x in steps]
    start, body = capture_carried(f, start, carry_tree, treedef, step_types)
    cut = len(start)
    graph = body.graph
    many = len(body.constants)
    inputs = graph.inputs
    first = len(inputs) - many
    ordered = Graph((*inputs[first:], *inputs[:first]), graph.outputs, graph.equations)

    def run(*operands: Any) -> list[Any]:
        constants = operands[:many]
        carries = operands[many : many + cut]
        return bind_loop(
            Loop(ordered, constants, carries, operands[many + cut :], count, reverse)
        )

    outs = compiled(run, [*body.constants, *start, *steps])
    carry, y = body.out
    ys_tree = tree.structure(y)
    return tree.unflatten(tree.structure(carry), outs[:cut]), tree.unflatten(
        ys_tree, outs[cut:]
    )


def _holes(treedef: tree.TreeDef) -> Any:
    return tree.unflatten(treedef, [0] * treedef.num_leaves)


def _length(steps: Sequence[Any], xs: Any, length: int | None) -> int:
    names = paths(xs)
    for x, path in zip(steps, names, strict=True):
        if not x.ndim:
            raise errors.ShapeError(
                f"scan: the leaf of xs{place(path)} has rank 0; scan runs along a"
                " leading axis: close over the value, or carry it"
            )
    sizes = {x.shape[0] for x in steps}
    if length is not None:
        count = int(length.__index__())
        if count < 0:
            raise errors.ShapeError(f"scan: length must not be negative, got {count}")
        sizes.add(count)
    if not sizes:
        raise errors.ShapeError("scan: xs has no arrays; give length")
    if len(sizes) > 1:
        shown = ", ".join(
            f"{path or 'xs'}: {x.type}" for x, path in zip(steps, names, strict=True)
        )
        given = "" if length is None else f" and length={length}"
        raise errors.ShapeError(
            f"scan: leading axes differ: {shown}{given}; all must be equal"
        )
    return int(sizes.pop())


def capture_carried(
    f: Callable[..., Any],
    start: list[Any],
    carry_tree: tree.TreeDef,
    treedef: tree.TreeDef,
    step_types: Sequence[Type],
) -> tuple[list[Any], Body]:
    """Capture a scan's body; weak initial carries take the dtype they come out with."""

    def checked(*args: Any) -> Any:
        out = f(*args)
        if not (isinstance(out, tuple | list) and len(out) == 2):
            raise errors.TreeError(
                "scan: the function must return a pair (carry, output), it returned"
                f" {shown(out)}"
            )
        return tuple(out)

    while True:
        types = [*(x.type for x in start), *step_types]
        body = capture_body(checked, treedef, types, "scan")
        changed = retyped("scan", start, carry_tree, body.out[0])
        if changed is None:
            return start, body
        start = changed


def retyped(
    call: str, start: list[Any], carry_tree: tree.TreeDef, out: Any
) -> list[Any] | None:
    """Check a carry; return it in new dtypes where it was weak, None if it fits.

    Raises:
        TreeError: when its structure changes.
        ShapeError: when its shape changes.
        DTypeError: when its dtype changes.
    """
    got = tree.structure(out)
    if got != carry_tree:
        raise errors.TreeError(
            f"{call}: the carry goes in with the structure {carry_tree} and comes out"
            f" with {got}; return the structure of the initial value"
        )
    made, changed = [], False
    names = paths(out)
    for x, t, path in zip(start, tree.leaves(out), names, strict=True):
        if same(x.type, t) and (t.weak or not x.type.weak):
            made.append(x)
        elif promoted(x.type, t):
            made.append(convert(x, t.dtype))
            changed = True
        else:
            raise mismatch(call, path, x.type, t)
    return made if changed else None
