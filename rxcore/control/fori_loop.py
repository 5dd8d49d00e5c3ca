"""Loops by count, and mapping one element at a time: scans in other clothes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rxcore.base import dtypes, errors, tree
from rxcore.control.scan import scan
from rxcore.control.while_loop import while_loop
from rxcore.ops.families import promote
from rxcore.ops.iota import iota
from rxcore.ops.join import concatenate
from rxcore.ops.shape import reshape, slice_
from rxcore.runtime.array import Array
from rxcore.trace.bind import as_numeric
from rxcore.transforms.arguments import numeric_leaves
from rxcore.transforms.batching import vmap

__all__ = ["fori_loop", "map_"]


def fori_loop(
    lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any
) -> Any:
    """Apply a function for each integer of a range.

    **Meaning**::

        for i in range(lower, upper):
            init_val = body_fun(i, init_val)
        return init_val

    Args:
        lower: the first integer.
        upper: the integer after the last. With both known the loop is a scan, which
            has a reverse-mode derivative; else it is a while loop, which has none.
        body_fun: from (i, value) to the next value, of the same types.
        init_val: pytree of arrays.

    Returns:
        The last value.

    Raises:
        DTypeError: when a bound is no integer.

    Example:
        >>> import rxcore as rx
        >>> rx.fori_loop(0, 4, lambda i, x: x + i, 0)
        Array(6, dtype=int32)
    """
    first, last = _static(lower), _static(upper)
    if first is not None and last is not None:
        count = max(last - first, 0)
        wide = dtypes.default_int()
        if abs(first) > 2**31 - 1 or abs(last) > 2**31 - 1:
            wide = dtypes.int64
        numbers = iota(wide, count) + first

        def step(value: Any, i: Any) -> tuple[Any, None]:
            return body_fun(i, value), None

        return scan(step, init_val, numbers, count)[0]
    start, stop = (_integer(x) for x in (lower, upper))

    def body(state: Any) -> Any:
        i, value = state
        return i + 1, body_fun(i, value)

    state = (promote((start, stop), call="fori_loop")[0], init_val)
    return while_loop(lambda s: s[0] < stop, body, state)[1]


def _integer(x: Any) -> Any:
    found = as_numeric(x, "fori_loop")
    if found.ndim or not dtypes.is_integer(found.dtype):
        raise errors.DTypeError(
            f"fori_loop: bounds must be integers of rank 0, got {found.type}"
        )
    return found


def _static(x: Any) -> int | None:
    found = _integer(x)
    return int(found) if isinstance(found, Array) else None


def map_(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """Apply a function to each element along the leading axis, one after another.

    **Meaning**: `np.stack([f(x) for x in xs])`

    Where `vmap` computes all at once, `map` needs the memory of one element.

    Args:
        f: from a pytree of arrays to a pytree of arrays.
        xs: pytree of arrays with equal leading axes.
        batch_size: how many elements to compute at once (default 1).

    Returns:
        The results, stacked along a new leading axis.

    Example:
        >>> import rxcore as rx
        >>> rx.map(lambda x: x * x, rx.asarray([1.0, 2.0, 3.0]))
        Array([1., 4., 9.], dtype=float32)
    """
    if batch_size is None:
        return scan(lambda _, x: (None, f(x)), None, xs)[1]
    leaves, treedef = numeric_leaves(xs, "map")
    if batch_size < 1 or not leaves or any(not x.ndim for x in leaves):
        raise errors.ShapeError(
            f"map: batch_size={batch_size} needs arrays of rank 1 or more, and must be"
            " positive"
        )
    count = leaves[0].shape[0]
    whole = count // batch_size * batch_size
    chunks = [
        reshape(_rows(x, 0, whole), (whole // batch_size, batch_size, *x.shape[1:]))
        for x in leaves
    ]
    many = map_(vmap(f), tree.unflatten(treedef, chunks))
    joined = tree.map_(lambda y: reshape(y, (whole, *y.shape[2:])), many)
    if whole == count:
        return joined
    rest = vmap(f)(tree.unflatten(treedef, [_rows(x, whole, count) for x in leaves]))
    return tree.map_(lambda a, b: concatenate([a, b]), joined, rest)


def _rows(x: Any, start: int, stop: int) -> Any:
    zeros = (0,) * (x.ndim - 1)
    return slice_(x, (start, *zeros), (stop, *x.shape[1:]))
