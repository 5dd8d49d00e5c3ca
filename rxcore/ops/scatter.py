"""Scatter: write or join elements at computed places.

`scatter(x, updates, *indices; axes, place, combine, mode, unique)` is the counterpart
of `gather`: `updates` has the shape that a gather with these indices would read.
Updates are applied one after the other in row-major order of the batch, so that the
last of several updates to one place wins a "set".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.base.lazy import LazyModule
from rxcore.ir.primitive import REGISTRY, Accumulating, Expand, Primitive
from rxcore.ir.types import Type
from rxcore.loops.nest import Constant, Index, Loop, Nest, Store
from rxcore.ops import shape as maps
from rxcore.ops.families import Linear, number, zeros
from rxcore.ops.gather import (
    as_index,
    batch_indices,
    broadcast_indices,
    check_indices,
    clipped,
    gathered_shape,
    index_cases,
    kept_axes,
    lane_index,
    valid_places,
)
from rxcore.ops.samples import Case, Samples, draw
from rxcore.ops.scatter_nest import Body, joining_nest
from rxcore.trace.bind import as_numeric
from rxcore.trace.capture import capture

if TYPE_CHECKING:
    from rxcore_kernels.opencl_facts import Facts

__all__ = ["scatter"]

# Loaded when a program first needs them.
scatter_opencl = LazyModule("rxcore_kernels.scatter_opencl")

COMBINES = ("set", "add", "mul", "min", "max")
MODES = ("drop", "clip")


def _infer(
    x: Type,
    updates: Type,
    *indices: Type,
    axes: tuple[int, ...],
    place: int,
    combine: str,
    mode: str,
    unique: bool,
) -> Type:
    del unique
    batch = check_indices("scatter", x, indices, axes, place)
    if combine not in COMBINES or mode not in MODES:
        raise errors.UserError(
            f"scatter: combine {combine!r} and mode {mode!r} must be among {COMBINES}"
            f" and {MODES}"
        )
    expected = gathered_shape(x.shape, batch, axes, place)
    if updates.shape != expected:
        raise errors.ShapeError(
            f"scatter: updates of shape {updates.shape} do not fit: indices of shape"
            f" {batch} at axes {axes} of shape {x.shape} need {expected}"
        )
    if updates.dtype != x.dtype:
        raise errors.DTypeError(
            f"scatter: updates of dtype {updates.dtype.name} do not fit an array of"
            f" dtype {x.dtype.name}; convert them with .astype(...)"
        )
    return x.strong()


def widens(dtype: DType, combine: str) -> bool:
    """Say whether updates are joined in float32 and rounded once at the end."""
    return dtype in dtypes.HALVES and combine in ("add", "mul")


# the meaning ------------------------------------------------------------------------

_JOIN_AT = {
    "add": np.add,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}


def _reference(
    x: Any,
    updates: Any,
    *indices: Any,
    axes: tuple[int, ...],
    place: int,
    combine: str,
    mode: str,
    unique: bool,
) -> Any:
    del unique
    kept = kept_axes(x.ndim, axes)
    dtype = x.dtype
    if widens(dtype, combine):
        x, updates = x.astype(np.float32), updates.astype(np.float32)
    out = np.array(x)
    front = np.transpose(out, (*axes, *kept))
    width = indices[0].ndim
    order = (
        *range(place, place + width),
        *range(place),
        *range(place + width, updates.ndim),
    )
    values = np.transpose(updates, order)
    sizes = [x.shape[a] for a in axes]
    if not values.size or 0 in sizes:
        return out.astype(dtype)
    places = clipped(indices, sizes)
    valid = valid_places(indices, sizes)
    if mode == "drop" and not valid.all():
        places = tuple(p[valid] for p in places)
        values = values[valid]
    with np.errstate(all="ignore"):
        if combine == "set":
            front[places] = values
        else:
            _JOIN_AT[combine].at(front, places, values)
    return out.astype(dtype)


# derivatives ------------------------------------------------------------------------


def _jvp(primals: Any, tangents: Any, **params: Any) -> Any:
    x, u, *indices = primals
    out = _scatter.bind(*primals, **params)
    t, v = tangents[:2]
    if t is None and v is None:
        return out, None
    rule = _JVP[params["combine"]]
    return out, rule(out, x, u, indices, t, v, params)


def _linear_jvp(
    out: Any, x: Any, u: Any, indices: Any, t: Any, v: Any, params: Any
) -> Any:
    """Set and add are linear in the array and the updates together."""
    del out
    t = zeros(x.type.strong()) if t is None else t
    v = zeros(u.type.strong()) if v is None else v
    return _scatter.bind(t, v, *indices, **params)


def _mul_jvp(
    out: Any, x: Any, u: Any, indices: Any, t: Any, v: Any, params: Any
) -> Any:
    del out
    add, mul = REGISTRY["add"], REGISTRY["mul"]
    total = None if t is None else _scatter.bind(t, u, *indices, **params)
    if v is None:
        return total
    if params["unique"]:
        factor = _gather_like(x, indices, params)
    else:
        factor = _other_factors(x, u, indices, params)
    moved = _scatter.bind(
        zeros(x.type.strong()), mul(v, factor), *indices, **{**params, "combine": "add"}
    )
    return moved if total is None else add(total, moved)


def _other_factors(x: Any, u: Any, indices: Any, params: Any) -> Any:
    """Return for each update the product of all else that meets at its place.

    Zeros are counted apart, so that the quotient never divides by one.
    """
    eq, select, sub = REGISTRY["eq"], REGISTRY["select"], REGISTRY["sub"]
    zero = eq(u, number(0, u.dtype))
    safe = select(zero, number(1, u.dtype), u)
    product = _scatter.bind(x, safe, *indices, **params)
    gone = REGISTRY["convert"].bind(zero, dtype=x.dtype)
    adding = {**params, "combine": "add"}
    count = _scatter.bind(zeros(x.type.strong()), gone, *indices, **adding)
    others = sub(_gather_like(count, indices, params), gone)
    quotient = REGISTRY["div"](_gather_like(product, indices, params), safe)
    alone = eq(others, number(0, u.dtype))
    return select(alone, quotient, number(0, u.dtype))


def _extreme_jvp(
    out: Any, x: Any, u: Any, indices: Any, t: Any, v: Any, params: Any
) -> Any:
    """Share the derivative evenly among all that reach the extreme value."""
    mul, div, eq = REGISTRY["mul"], REGISTRY["div"], REGISTRY["eq"]
    convert = REGISTRY["convert"]
    adding = {**params, "combine": "add", "unique": False}
    mine = convert.bind(eq.bind(x, out), dtype=x.dtype)
    theirs = eq.bind(u, _gather_like(out, indices, params))
    theirs = convert.bind(theirs, dtype=x.dtype)
    count = _scatter.bind(mine, theirs, *indices, **adding)
    t = zeros(x.type.strong()) if t is None else mul(t, mine)
    v = zeros(u.type.strong()) if v is None else mul(v, theirs)
    return div(_scatter.bind(t, v, *indices, **adding), count)


_JVP = {
    "set": _linear_jvp,
    "add": _linear_jvp,
    "mul": _mul_jvp,
    "min": _extreme_jvp,
    "max": _extreme_jvp,
}


def _gather_like(x: Any, indices: Any, params: Any) -> Any:
    """Read where the updates go; out of range gives 0 where updates are dropped."""
    drop = params["mode"] == "drop"
    return REGISTRY["gather"].bind(
        x,
        *indices,
        axes=params["axes"],
        place=params["place"],
        mode="fill" if drop else "clip",
        fill=0 if drop else None,
    )


def _transpose(ct: Any, x: Any, u: Any, *indices: Any, **params: Any) -> Any:
    combine = params["combine"]
    outer = inner = None
    if isinstance(x, Linear):
        outer = ct
        if combine == "set":
            gone = zeros(u.type.strong())
            outer = _scatter.bind(ct, gone, *indices, **params)
        elif combine == "mul":
            outer = _scatter.bind(ct, u, *indices, **params)
    if isinstance(u, Linear):
        inner = _gather_like(ct, indices, params)
        if combine == "set" and not params["unique"] and indices[0].ndim:
            inner = _keep_winners(inner, x.type, indices, params)
    return [outer, inner, *(None for _ in indices)]


def _keep_winners(inner: Any, x: Type, indices: Any, params: Any) -> Any:
    """Zero the cotangents of updates that later updates overwrote."""
    axes, place = params["axes"], params["place"]
    batch = indices[0].shape
    count = int(np.prod(batch))
    line = REGISTRY["iota"].bind(dtype=dtypes.int32, shape=(count,), axis=0)
    ids = maps.reshape(line, batch)
    flat = {**params, "axes": tuple(range(len(axes))), "place": 0}
    board = zeros(Type(dtypes.int32, tuple(x.shape[a] for a in axes)))
    written = _scatter.bind(board, ids, *indices, **flat)
    won = REGISTRY["eq"].bind(_gather_like(written, indices, flat), ids)
    where = tuple(range(place, place + len(batch)))
    mask = maps.broadcast(won, inner.shape, where)
    return REGISTRY["select"].bind(mask, inner, number(0, inner.dtype))


def _batch(args: Any, dims: Any, **params: Any) -> Any:
    x, u, *indices = args
    d, e, *index_dims = dims
    axes, place = params["axes"], params["place"]
    if all(i is None for i in index_dims):
        size = x.shape[d] if d is not None else u.shape[e]
        x, u = _front(x, d, size), _front(u, e, size)
        moved = {**params, "axes": tuple(a + 1 for a in axes), "place": place + 1}
        return _scatter.bind(x, u, *indices, **moved), 0
    full, size = batch_indices(indices, index_dims)
    x = _front(x, d, size)
    u = maps.move_axis(_front(u, e, size), 0, place)
    moved = {**params, "axes": (0, *(a + 1 for a in axes))}
    return _scatter.bind(x, u, lane_index(full[0].shape), *full, **moved), 0


def _front(x: Any, axis: int | None, size: int) -> Any:
    if axis is None:
        return maps.broadcast(x, (size, *x.shape), tuple(range(1, x.ndim + 1)))
    return maps.move_axis(x, axis, 0)


# loops ------------------------------------------------------------------------------


def _nest(
    types: Sequence[Type],
    outs: Sequence[Type],
    *,
    axes: tuple[int, ...],
    place: int,
    combine: str,
    mode: str,
    unique: bool,
) -> Nest:
    del unique
    body = Body()
    copied = body.load("in0", outs[0].dtype, Index.of("c"))
    body.statements.append(Store("out0", Index.of("c"), copied))
    start = Loop("c", outs[0].size, "serial", body.take())
    return joining_nest(body, start, types, outs[0], 1, axes, place, combine, mode)


def _launches(
    facts: Facts, types: Sequence[Type], outs: Sequence[Type], **params: Any
) -> Any:
    indices = types[2:]
    return scatter_opencl.launch_scatter(
        facts,
        outs[0].dtype.name,
        outs[0].shape,
        [t.dtype.name for t in indices],
        indices[0].shape,
        **params,
    )


def _spread_launches(
    facts: Facts,
    types: Sequence[Type],
    outs: Sequence[Type],
    *,
    shape: tuple[int, ...],
    **params: Any,
) -> Any:
    indices = types[1:]
    names = [t.dtype.name for t in indices]
    return scatter_opencl.launch_spread(
        facts, outs[0].dtype.name, shape, names, indices[0].shape, **params
    )


def _spread_nest(
    types: Sequence[Type],
    outs: Sequence[Type],
    *,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    place: int,
    mode: str,
) -> Nest:
    del shape
    zero = Constant(False if dtypes.is_bool(outs[0].dtype) else 0, outs[0].dtype)
    start = Loop("c", outs[0].size, "serial", (Store("out0", Index.of("c"), zero),))
    return joining_nest(Body(), start, types, outs[0], 0, axes, place, "add", mode)


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for count, (x, indices, params) in enumerate(index_cases(dtype, rng)):
        shape = gathered_shape(
            x.shape, indices[0].shape, params["axes"], params["place"]
        )
        updates = draw(rng, dtype, shape)
        for combine in COMBINES:
            if combine in ("min", "max", "mul") and dtypes.is_complex(dtype):
                continue
            mode = MODES[count % 2]
            yield (
                (x, updates, *indices),
                {**params, "combine": combine, "mode": mode, "unique": False},
            )


# Halves reach the loops too, but only to be written or compared.
_WIDE = tuple(d for d in dtypes.ALL if d not in dtypes.HALVES)


def _expand(x: Type, u: Type, *indices: Type, **params: Any) -> Any:
    """Join halves in float32; whatever else runs as it is."""

    def compose(v: Any, w: Any, *where: Any) -> list[Any]:
        convert = REGISTRY["convert"].bind
        if not widens(x.dtype, params["combine"]):
            return [_scatter_loops.bind(v, w, *where, **params)]
        wide = [convert(a, dtype=dtypes.float32) for a in (v, w)]
        out = _scatter_loops.bind(*wide, *where, **params)
        return [convert(out, dtype=x.dtype)]

    return capture(compose, [x, u, *indices]).graph


_scatter, _scatter_loops = (
    Primitive(
        name=name,
        family="indexing",
        infer=_infer,
        lower=lower,
        reference=_reference,
        jvp=_jvp,
        transpose=_transpose,
        batch=_batch,
        samples=Samples(types, _cases, 4),
        document="Write or join elements at computed places.",
    )
    for name, lower, types in (
        ("scatter", Expand(_expand), dtypes.ALL),
        ("scatter_loops", Accumulating(_nest, updates=True, launches=_launches), _WIDE),
    )
)


# spread -----------------------------------------------------------------------------


def _spread_infer(
    updates: Type,
    *indices: Type,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    place: int,
    mode: str,
) -> Type:
    return _infer(
        Type(updates.dtype, shape),
        updates,
        *indices,
        axes=axes,
        place=place,
        combine="add",
        mode=mode,
        unique=False,
    )


def _spread_reference(
    updates: Any, *indices: Any, shape: tuple[int, ...], **settings: Any
) -> Any:
    zero = np.zeros(shape, updates.dtype)
    return _reference(zero, updates, *indices, combine="add", unique=False, **settings)


def _spread_jvp(primals: Any, tangents: Any, **params: Any) -> Any:
    out = _spread.bind(*primals, **params)
    t = tangents[0]
    return out, None if t is None else _spread.bind(t, *primals[1:], **params)


def _spread_transpose(ct: Any, updates: Any, *indices: Any, **params: Any) -> Any:
    del updates
    return [_gather_like(ct, indices, params), *(None for _ in indices)]


def _spread_batch(args: Any, dims: Any, **params: Any) -> Any:
    (u, *indices), (d, *index_dims) = args, dims
    axes, place, shape = params["axes"], params["place"], params["shape"]
    moved = {**params, "axes": tuple(a + 1 for a in axes)}
    if all(i is None for i in index_dims):
        u = maps.move_axis(u, d, 0)
        wide = {"place": place + 1, "shape": (u.shape[0], *shape)}
        return _spread.bind(u, *indices, **{**moved, **wide}), 0
    full, size = batch_indices(indices, index_dims)
    u = maps.move_axis(_front(u, d, size), 0, place)
    wide = {"axes": (0, *moved["axes"]), "shape": (size, *shape)}
    lanes = lane_index(full[0].shape)
    return _spread.bind(u, lanes, *full, **{**moved, **wide}), 0


def _spread_cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for count, (x, indices, params) in enumerate(index_cases(dtype, rng)):
        batch = indices[0].shape
        shape = gathered_shape(x.shape, batch, params["axes"], params["place"])
        settings = {**params, "shape": x.shape, "mode": MODES[count % 2]}
        yield (draw(rng, dtype, shape), *indices), settings


def _spread_expand(u: Type, *indices: Type, **params: Any) -> Any:
    def compose(w: Any, *where: Any) -> list[Any]:
        convert = REGISTRY["convert"].bind
        if not widens(u.dtype, "add"):
            return [_spread_loops.bind(w, *where, **params)]
        wide = convert(w, dtype=dtypes.float32)
        return [convert(_spread_loops.bind(wide, *where, **params), dtype=u.dtype)]

    return capture(compose, [u, *indices]).graph


_spread, _spread_loops = (
    Primitive(
        name=name,
        family="indexing",
        infer=_spread_infer,
        lower=lower,
        reference=_spread_reference,
        jvp=_spread_jvp,
        transpose=_spread_transpose,
        batch=_spread_batch,
        samples=Samples(types, _spread_cases, 4),
        document="Add elements at computed places of an array of zeros.",
    )
    for name, lower, types in (
        ("spread", Expand(_spread_expand), dtypes.ALL),
        ("spread_loops", Accumulating(_spread_nest, launches=_spread_launches), _WIDE),
    )
)


def scatter(
    x: Any,
    updates: Any,
    *indices: Any,
    axes: Sequence[int],
    place: int = 0,
    combine: str = "set",
    mode: str = "drop",
    unique_indices: bool = False,
) -> Any:
    """Write or join elements at computed places of an array; returns a new array.

    **Meaning**, for the leading axes of `x` and indices in range::

        out = x.copy()
        for b in np.ndindex(batch):
            at = tuple(i[b] for i in indices)
            out[at] = updates[b]  # "set"; "add": out[at] + updates[b], ...

    Args:
        x: array.
        updates: array that broadcasts to the shape which `gather` with the same
            indices would read; converted to the dtype of `x`.
        *indices: integer arrays that broadcast together, one for each of `axes`;
            values count from 0, negative ones are out of range.
        axes: the axes of `x` that they index; the others are written whole.
        place: where among the whole axes the axes of the indices stand in `updates`.
        combine: "set", "add", "mul", "min" or "max". Updates follow each other in
            row-major order of the indices: the last one wins a "set".
        mode: "drop" leaves out updates out of range, "clip" moves them into range.
        unique_indices: a promise that no place is named twice; it saves work in
            derivatives.

    Returns:
        Array of the shape and dtype of `x`.

    Raises:
        ShapeError: when axes or shapes do not fit.
        DTypeError: when an index is no integer.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.scatter import scatter
        >>> x, i = rx.asarray([0, 0, 0]), rx.asarray([2, 2])
        >>> scatter(x, rx.asarray([1, 5]), i, axes=(0,), combine="add")
        Array([0, 0, 6], dtype=int32)
    """
    x = as_numeric(x, "scatter")
    values = as_numeric(updates, "scatter")
    if values.dtype != x.dtype:
        values = REGISTRY["convert"].bind(values, dtype=x.dtype)
    numbers = tuple(maps.normalize_axis(a, x.ndim, "scatter") for a in axes)
    found = broadcast_indices([as_index(i, "scatter") for i in indices], "scatter")
    batch = check_indices("scatter", x.type, [i.type for i in found], numbers, place)
    values = maps.broadcast_to(values, gathered_shape(x.shape, batch, numbers, place))
    return _scatter.bind(
        x,
        values,
        *found,
        axes=numbers,
        place=place,
        combine=combine,
        mode=mode,
        unique=unique_indices,
    )
