"""vmap, and what talks across its axis: the public face of batching."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from rxcore.base import dtypes, errors, tree
from rxcore.base.frames import hides_frames
from rxcore.ir.primitive import REGISTRY, NoRule, Opaque, Primitive
from rxcore.ir.types import Type
from rxcore.ops.convert import convert
from rxcore.runtime.array import Array
from rxcore.trace.tracer import current
from rxcore.transforms.arguments import Flattened, axes_of, numeric_leaves
from rxcore.transforms.vmap import Batching, place_axis, vmap_flat

__all__ = ["axis_index", "axis_size", "pmax", "pmean", "pmin", "psum", "vmap"]

Function = Callable[..., Any]


def vmap(
    fun: Function,
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
) -> Function:
    """Return a function that maps another one over an axis of its arguments.

    **Meaning**: `np.stack([f(*(a[i] for a in args)) for i in range(n)])`, computed at
    once.

    Args:
        fun: from pytrees of arrays to a pytree of arrays.
        in_axes: which axis of each argument is mapped: an int, None (not mapped), or
            a tuple with one entry per argument, each a pytree prefix of it.
        out_axes: where the axis goes in the results: an int, None, or a prefix.
        axis_name: a name that `psum`, `pmean` and `axis_index` may use inside.
        axis_size: the axis's length, needed where nothing is mapped.

    Returns:
        The mapped function.

    Raises:
        ShapeError: when mapped axes differ in length, or are out of range.
        TreeError: when `in_axes` does not match the arguments.

    Example:
        >>> import rxcore as rx
        >>> rx.vmap(lambda x, y: (x * y).sum(), in_axes=(0, None))(
        ...     rx.asarray([[1.0, 2.0], [3.0, 4.0]]), rx.asarray([1.0, 1.0])
        ... )
        Array([3., 7.], dtype=float32)
    """

    @hides_frames
    @functools.wraps(fun)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, list | tuple) and len(in_axes) != len(args):
            raise errors.TreeError(
                f"vmap: in_axes has {len(in_axes)} entries, the call {len(args)}"
                " arguments; give one entry per argument, or one int for all"
            )
        flat, treedef = numeric_leaves((args, kwargs), "vmap")
        axes_in = tuple(in_axes) if isinstance(in_axes, list) else in_axes
        axes = axes_of(axes_in, args, "vmap")
        axes += [0] * (len(flat) - len(axes))
        axes = [_axis(a, x) for a, x in zip(axes, flat, strict=True)]
        size = _size(flat, axes, axis_size)

        def whole(positional: Any, named: Any) -> Any:
            return fun(*positional, **named)

        inner = Flattened(whole, treedef, "vmap")
        wholes, found = vmap_flat(inner, flat, axes, size, axis_name)
        targets = axes_of(out_axes, inner.result(wholes), "vmap (out_axes)")
        outs = [
            _placed(w, a, t, size)
            for w, a, t in zip(wholes, found, targets, strict=True)
        ]
        return inner.result(outs)

    return mapped


def _axis(axis: int | None, x: Any) -> int | None:
    if axis is None:
        return None
    if not -x.ndim <= axis < x.ndim:
        raise errors.ShapeError(
            f"vmap: in_axes {axis} is out of range for an argument of shape {x.shape}"
        )
    return int(axis % x.ndim)


def _size(flat: list[Any], axes: list[int | None], given: int | None) -> int:
    sizes = {
        x.shape[a]: x.shape for x, a in zip(flat, axes, strict=True) if a is not None
    }
    if given is not None:
        sizes.setdefault(given, ())
    if not sizes:
        raise errors.ShapeError(
            "vmap: no argument is mapped; give in_axes an int, or axis_size"
        )
    if len(sizes) > 1:
        shown = ", ".join(f"{n} (shape {s})" for n, s in sizes.items())
        raise errors.ShapeError(f"vmap: mapped axes differ in length: {shown}")
    return int(next(iter(sizes)))


def _placed(whole: Any, axis: int | None, target: int | None, size: int) -> Any:
    if target is None:
        if axis is not None:
            raise errors.ShapeError(
                "vmap: out_axes is None for a result that depends on the mapped axis"
            )
        return whole
    ndim = whole.ndim + (axis is None)
    if not -ndim <= target < ndim:
        raise errors.ShapeError(
            f"vmap: out_axes {target} is out of range for a result of rank {ndim}"
        )
    return place_axis(whole, axis, target % ndim, size)


# Collectives ------------------------------------------------------------------------


def _named(name: Any, call: str) -> Batching:
    for trace in current().ancestors():
        if isinstance(trace, Batching) and trace.name == name:
            return trace
    known = [t.name for t in current().ancestors() if isinstance(t, Batching)]
    raise errors.TraceError(
        f"{call}: no axis is named {name!r} here; names in scope: {known}. Call it"
        f" inside rx.vmap(..., axis_name={name!r})"
    )


def _collective(name: str, reduce: str, document: str, linear: bool) -> Primitive:
    def rule(args: Any, dims: Any, size: int, *, axis_name: Any) -> Any:
        del axis_name
        (x,), (d,) = args, dims
        if d is None:
            return (x * Array.scalar(size, Type(x.dtype, ())) if linear else x), None
        return REGISTRY[reduce].bind(x, axes=(d,)), None

    def batch(args: Any, dims: Any, *, axis_name: Any) -> Any:
        return made.bind(args[0], axis_name=axis_name), dims[0]

    def jvp(primals: Any, tangents: Any, *, axis_name: Any) -> Any:
        out = made.bind(*primals, axis_name=axis_name)
        if linear:
            return out, made.bind(tangents[0], axis_name=axis_name)
        (x,), (t,) = primals, tangents
        hit = convert(REGISTRY["eq"](x, out), x.dtype)
        count = psum(hit, axis_name)
        return out, psum(t * hit, axis_name) / count

    made = Primitive(
        name=name,
        family="collective",
        infer=lambda x, *, axis_name: x.strong(),
        lower=Opaque("an axis name exists only inside vmap"),
        reference=NoRule("an axis name exists only inside vmap"),
        jvp=jvp,
        transpose=(
            (lambda ct, x, *, axis_name: [made.bind(ct, axis_name=axis_name)])
            if linear
            else NoRule(f"{name} is not linear")
        ),
        batch=batch,
        samples=NoRule("drawn by the tests of vmap"),
        document=document,
        slots={"collective": rule},
    )
    return made


_psum = _collective("psum", "sum", "Sum over a named axis.", True)
_pmax = _collective("pmax", "max", "Maximum over a named axis.", False)
_pmin = _collective("pmin", "min", "Minimum over a named axis.", False)


def _over(primitive: Primitive, x: Any, axis_name: Any) -> Any:
    leaves, treedef = numeric_leaves(x, primitive.name)
    for name in _names(axis_name):
        _named(name, primitive.name)
        leaves = [primitive.bind(leaf, axis_name=name) for leaf in leaves]
    return tree.unflatten(treedef, leaves)


def _names(axis_name: Any) -> tuple[Any, ...]:
    """Return the names of one axis or of several, given as a tuple or list."""
    return tuple(axis_name) if isinstance(axis_name, (tuple, list)) else (axis_name,)


def psum(x: Any, axis_name: Any) -> Any:
    """Sum a pytree over the axis that an enclosing `vmap` names.

    **Meaning**: `np.sum(x_of_all_lanes, axis=0)`, seen by every lane.

    Args:
        x: pytree of arrays.
        axis_name: the name given to `vmap`, or a tuple of names.

    Returns:
        The pytree of sums.

    Raises:
        TraceError: when no enclosing `vmap` has that name.

    Args:
        x: pytree of arrays.
        axis_name: the axis, or a tuple of several.

    Returns:
        The sums, the same in each lane.

    Raises:
        TraceError: when no enclosing `vmap` has that name.

    Example:
        >>> import rxcore as rx
        >>> rx.vmap(lambda x: x / rx.psum(x, "i"), axis_name="i")(
        ...     rx.asarray([1.0, 3.0])
        ... )
        Array([0.25, 0.75], dtype=float32)
    """
    return _over(_psum, x, axis_name)


def pmax(x: Any, axis_name: Any) -> Any:
    """Return the maximum of a pytree over the axis that an enclosing `vmap` names."""
    return _over(_pmax, x, axis_name)


def pmin(x: Any, axis_name: Any) -> Any:
    """Return the minimum of a pytree over the axis that an enclosing `vmap` names."""
    return _over(_pmin, x, axis_name)


def pmean(x: Any, axis_name: Any) -> Any:
    """Return the mean of a pytree over the axis that an enclosing `vmap` names."""
    size = axis_size(axis_name)
    return tree.map_(lambda leaf: leaf / size, psum(x, axis_name))


def axis_size(axis_name: Any) -> int:
    """Return the length of the axis that an enclosing `vmap` names.

    Args:
        axis_name: the axis, or a tuple of several, whose lengths are multiplied.

    Returns:
        The length, an int.

    Raises:
        TraceError: when no enclosing `vmap` has that name.
    """
    return math.prod(_named(name, "axis_size").size for name in _names(axis_name))


def _index_rule(args: Any, dims: Any, size: int, *, axis_name: Any) -> Any:
    del args, dims, axis_name
    return REGISTRY["iota"].bind(dtype=dtypes.int32, shape=(size,), axis=0), 0


_axis_index: Primitive = Primitive(
    name="axis_index",
    family="collective",
    infer=lambda *, axis_name: Type(dtypes.int32, ()),
    lower=Opaque("an axis name exists only inside vmap"),
    reference=NoRule("an axis name exists only inside vmap"),
    jvp=NoRule("an index has no derivative"),
    transpose=NoRule("an index has no derivative"),
    batch=NoRule("it takes no operand"),
    samples=NoRule("drawn by the tests of vmap"),
    document="Return this lane's number along a named axis.",
    slots={"collective": _index_rule},
)


def axis_index(axis_name: Any) -> Any:
    """Return this lane's number along the axis that an enclosing `vmap` names.

    Example:
        >>> import rxcore as rx
        >>> rx.vmap(lambda x: x + rx.axis_index("i"), axis_name="i")(
        ...     rx.asarray([10, 10])
        ... )
        Array([10, 11], dtype=int32)
    """
    _named(axis_name, "axis_index")
    return _axis_index.bind(axis_name=axis_name)
