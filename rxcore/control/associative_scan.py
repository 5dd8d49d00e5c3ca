"""associative_scan: all partial results of an associative operation, in log steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rxcore.base import errors, tree
from rxcore.ops.families import zeros
from rxcore.ops.join import concatenate
from rxcore.ops.shape import normalize_axis, reshape, slice_
from rxcore.ops.shape import reverse as flip
from rxcore.transforms.arguments import numeric_leaves

__all__ = ["associative_scan"]


def associative_scan(
    fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """Combine all elements up to each place by an associative function.

    **Meaning**::

        out = [elems[0]]
        for x in elems[1:]:
            out.append(fn(out[-1], x))
        return np.stack(out)

    in about 2 log2(n) steps, each over whole arrays (Blelloch, "Prefix sums and their
    applications", 1990).

    Args:
        fn: takes two pytrees like `elems` and combines them place by place along
            the axis; associative.
        elems: pytree of arrays of equal length along the axis.
        reverse: combine from the last element to the first.
        axis: along which axis.

    Returns:
        Pytree like `elems`.

    Raises:
        ShapeError: when lengths differ, or `axis` is out of range.
        TreeError: when `fn` returns another structure.

    Example:
        >>> import rxcore as rx
        >>> rx.associative_scan(lambda a, b: a + b, rx.asarray([1, 2, 3, 4]))
        Array([ 1,  3,  6, 10], dtype=int32)
    """
    leaves, treedef = numeric_leaves(elems, "associative_scan")
    if not leaves:
        raise errors.ShapeError("associative_scan: elems has no arrays")
    axes = [normalize_axis(axis, x.ndim, "associative_scan") for x in leaves]
    sizes = {x.shape[a] for x, a in zip(leaves, axes, strict=True)}
    if len(sizes) > 1:
        shown = ", ".join(str(x.type) for x in leaves)
        raise errors.ShapeError(
            f"associative_scan: lengths along axis {axis} differ: {shown}"
        )
    if reverse:
        leaves = [flip(x, (a,)) for x, a in zip(leaves, axes, strict=True)]

    def combine(left: list[Any], right: list[Any]) -> list[Any]:
        out = fn(tree.unflatten(treedef, left), tree.unflatten(treedef, right))
        found, got = numeric_leaves(out, "associative_scan (result)")
        if got != treedef:
            raise errors.TreeError(
                f"associative_scan: fn returns the structure {got}, expected {treedef}"
            )
        return found

    outs = _scan(combine, leaves, axes)
    if reverse:
        outs = [flip(x, (a,)) for x, a in zip(outs, axes, strict=True)]
    return tree.unflatten(treedef, outs)


def _scan(combine: Any, xs: list[Any], axes: list[int]) -> list[Any]:
    size = xs[0].shape[axes[0]]
    if size < 2:
        return xs
    pairs = list(zip(xs, axes, strict=True))
    halved = combine(
        [_every(x, a, 0, size - 1) for x, a in pairs],
        [_every(x, a, 1, size) for x, a in pairs],
    )
    odd = _scan(combine, halved, axes)
    count = odd[0].shape[axes[0]]
    used = count - 1 if size % 2 == 0 else count
    even = combine(
        [_every(x, a, 0, used, 1) for x, a in zip(odd, axes, strict=True)],
        [_every(x, a, 2, size) for x, a in pairs],
    )
    full = [
        concatenate([_every(x, a, 0, 1, 1), e], a)
        for (x, a), e in zip(pairs, even, strict=True)
    ]
    return [_interleave(e, o, a) for e, o, a in zip(full, odd, axes, strict=True)]


def _every(x: Any, axis: int, start: int, stop: int, step: int = 2) -> Any:
    starts, stops, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], stops[axis], steps[axis] = min(start, stop), stop, step
    return slice_(x, starts, stops, steps)


def _interleave(even: Any, odd: Any, axis: int) -> Any:
    """Put elements of two arrays in turn; `even` may have one more."""
    longer = even.shape[axis] > odd.shape[axis]
    if longer:
        shape = (*odd.shape[:axis], 1, *odd.shape[axis + 1 :])
        odd = concatenate([odd, zeros(odd.type.strong().with_shape(shape))], axis)
    split = (*even.shape[: axis + 1], 1, *even.shape[axis + 1 :])
    both = concatenate([reshape(even, split), reshape(odd, split)], axis + 1)
    count = 2 * even.shape[axis]
    whole = reshape(both, (*even.shape[:axis], count, *even.shape[axis + 1 :]))
    return _every(whole, axis, 0, count - 1, 1) if longer else whole
