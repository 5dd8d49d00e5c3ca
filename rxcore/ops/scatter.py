"""Scatter: write or join elements at computed places.

`scatter(x, updates, *indices; axes, place, combine, mode, unique)` is the counterpart
of `gather`: `updates` has the shape that a gather with these indices would read.
Updates are applied one after the other in row-major order of the batch, so that the
last of several updates to one place wins a "set".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.compiler.address import strides_of
from rxcore.ir.primitive import REGISTRY, Accumulating, Primitive
from rxcore.ir.types import Type
from rxcore.loops.nest import (
    Buffer,
    Constant,
    If,
    Index,
    Let,
    Load,
    Loop,
    Nest,
    Operand,
    Size,
    Statement,
    Store,
)
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
from rxcore.trace.bind import as_numeric

__all__ = ["scatter"]

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
        return out
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
    return out


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


class _Body:
    """Statements under construction, with fresh names."""

    def __init__(self) -> None:
        self.count = 0
        self.statements: list[Statement] = []

    def name(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def let(self, dtype: DType, op: str, *operands: Operand) -> str:
        name = self.name()
        self.statements.append(Let(name, dtype, op, operands))
        return name

    def load(self, buffer: str, dtype: DType, index: Index) -> str:
        name = self.name()
        self.statements.append(Load(name, dtype, buffer, index))
        return name

    def take(self) -> tuple[Statement, ...]:
        found, self.statements = tuple(self.statements), []
        return found


def _offset(names: Sequence[str], shape: Sequence[int], chosen: Sequence[int]) -> Index:
    """Return the flat index of a dense shape whose axes `chosen` run over names."""
    strides = strides_of(shape)
    total = Index()
    for name, axis in zip(names, chosen, strict=True):
        total = total + Index.of(name, strides[axis])
    return total


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
    x, u, first = types[0], types[1], types[2]
    body = _Body()
    buffers = [
        *(Buffer(f"in{k}", t.dtype, t.size) for k, t in enumerate(types)),
        Buffer("out0", outs[0].dtype, outs[0].size, "inout"),
    ]
    copied = body.load("in0", x.dtype, Index.of("c"))
    body.statements.append(Store("out0", Index.of("c"), copied))
    copy = Loop("c", x.size, "serial", body.take())
    if not u.size or any(x.shape[a] == 0 for a in axes):
        return Nest("scatter", tuple(buffers), (copy,))
    batch = [f"b{i}" for i in range(first.ndim)]
    kept = kept_axes(x.ndim, axes)
    window = [f"w{i}" for i in kept]
    where, inside = _places(body, types, batch, axes, mode)
    outer = body.take()
    strides = strides_of(x.shape)
    target = _offset(window, x.shape, kept)
    for name, axis in zip(where, axes, strict=True):
        target = target + Index.of(name, strides[axis])
    source_names = [*window[:place], *batch, *window[place:]]
    source = _offset(source_names, u.shape, range(u.ndim))
    _join(body, combine, x.dtype, source, target)
    inner = body.take()
    for name, axis in reversed(list(zip(window, kept, strict=True))):
        inner = (Loop(name, x.shape[axis], "parallel", inner),)
    if inside is not None:
        inner = (If(inside, inner),)
    full: tuple[Statement, ...] = (*outer, *inner)
    for name, size in reversed(list(zip(batch, first.shape, strict=True))):
        full = (Loop(name, size, "serial", full),)
    if not batch:
        full = (Loop("once", 1, "serial", full),)
    return Nest("scatter", tuple(buffers), (copy, *full))


def _places(
    body: _Body,
    types: Sequence[Type],
    batch: Sequence[str],
    axes: tuple[int, ...],
    mode: str,
) -> tuple[list[str], str | None]:
    """Load the indices of one update; say whether all are in range."""
    found: list[str] = []
    inside: str | None = None
    zero = Constant(0, dtypes.int64)
    for k, axis in enumerate(axes):
        type, size = types[2 + k], types[0].shape[axis]
        read = body.load(
            f"in{2 + k}", type.dtype, _offset(batch, type.shape, range(type.ndim))
        )
        # A uint64 above the range of int64 becomes negative: out of range, too.
        where = body.let(dtypes.int64, "cast", read)
        if mode == "clip":
            top = Size(size - 1)
            if type.dtype == dtypes.uint64:
                where = _clip_unsigned(body, where, top)
            where = body.let(dtypes.int64, "max", where, zero)
            where = body.let(dtypes.int64, "min", where, top)
        else:
            low = body.let(dtypes.bool_, "le", zero, where)
            high = body.let(dtypes.bool_, "lt", where, Size(size))
            both = body.let(dtypes.bool_, "and", low, high)
            inside = both if inside is None else _and(body, inside, both)
        found.append(where)
    return found, inside


def _clip_unsigned(body: _Body, where: str, top: Size) -> str:
    """Take what wrapped into the negative for the largest index."""
    negative = body.let(dtypes.bool_, "lt", where, Constant(0, dtypes.int64))
    return body.let(dtypes.int64, "select", negative, top, where)


def _and(body: _Body, a: str, b: str) -> str:
    return body.let(dtypes.bool_, "and", a, b)


def _join(
    body: _Body, combine: str, dtype: DType, source: Index, target: Index
) -> None:
    value = body.load("in1", dtype, source)
    if combine != "set":
        before = body.load("out0", dtype, target)
        op = combine
        if dtypes.is_bool(dtype):
            op = "or" if combine in ("add", "max") else "and"
        if dtype in dtypes.HALVES:
            wide = dtypes.float32
            a = body.let(wide, "cast", before)
            b = body.let(wide, "cast", value)
            value = body.let(dtype, "cast", body.let(wide, op, a, b))
        else:
            value = body.let(dtype, op, before, value)
    body.statements.append(Store("out0", target, value))


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


_scatter: Primitive = Primitive(
    name="scatter",
    family="indexing",
    infer=_infer,
    lower=Accumulating(_nest),
    reference=_reference,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    samples=Samples(dtypes.ALL, _cases, 4),
    document="Write or join elements at computed places.",
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
        >>> x, i = rx.asarray([0, 0, 0]), rx.asarray([2, 2])
        >>> rx.scatter(x, rx.asarray([1, 5]), i, axes=(0,), combine="add")
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
