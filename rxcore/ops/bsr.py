"""Products with a matrix of dense square blocks, closed under transposition.

`bsr_matmul` is Y = A X, and `bsr_sddmm` takes the blocks of X Yᵀ at A's places: see
`rxcore.ops.csr` for how each is the other's derivative.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.base.lazy import LazyModule
from rxcore.ir.primitive import REGISTRY, Expand, Native, Primitive
from rxcore.ir.types import Type
from rxcore.ops import shape as maps
from rxcore.ops.csr import check_sampled, same_dtype
from rxcore.ops.csr_pattern import (
    batched,
    check_pattern,
    counted_elements,
    draw_pattern,
    in_order,
    laid_together,
    lines_of,
    transposed,
    valid_elements,
)
from rxcore.ops.einsum import einsum
from rxcore.ops.families import Linear, number, product_rule
from rxcore.ops.gather import take
from rxcore.ops.samples import Case, Samples, draw
from rxcore.trace.capture import capture

__all__ = ["bsr_matmul", "bsr_sddmm"]

# Loaded when a program first needs them.
bsr_kernel = LazyModule("rxcore_kernels.bsr")

Shape = tuple[int, int]


# the product --------------------------------------------------------------------------


def _infer(data: Type, indices: Type, indptr: Type, x: Type, *, shape: Shape) -> Type:
    call = "bsr_matmul"
    check_pattern(call, indices, indptr)
    same_dtype(call, data, x)
    if data.ndim != 3 or data.shape[1] != data.shape[2] or not data.shape[1]:
        raise errors.ShapeError(
            f"{call}: data must hold square blocks, (nse, block, block), got shape"
            f" {data.shape}"
        )
    block = data.shape[1]
    if data.shape[:1] != indices.shape or indptr.shape[0] != shape[0] + 1:
        raise errors.ShapeError(
            f"{call}: data of shape {data.shape}, indices of shape {indices.shape} and"
            f" indptr of shape {indptr.shape} do not fit {shape} blocks"
        )
    if x.ndim not in (1, 2) or x.shape[0] != shape[1] * block:
        raise errors.ShapeError(
            f"{call}: {shape} blocks of {block} do not fit an operand of shape"
            f" {x.shape}: expected ({shape[1] * block},) or ({shape[1] * block}, n)"
        )
    return Type(x.dtype, (shape[0] * block, *x.shape[1:]))


def _reference(data: Any, indices: Any, indptr: Any, x: Any, *, shape: Shape) -> Any:
    dtype, block = x.dtype, data.shape[1]
    if dtype in dtypes.HALVES:
        data, x = data.astype(np.float32), x.astype(np.float32)
    parts = x.reshape(shape[1], block, -1) if x.size else np.zeros((shape[1], block, 0))
    if x.ndim == 2 and x.shape[1] == 0:
        return np.zeros((shape[0] * block, 0), dtype)
    out = np.zeros((shape[0], block, x.shape[1] if x.ndim == 2 else 1), x.dtype)
    row, place = counted_elements(indices, indptr, shape[1])
    with np.errstate(all="ignore"):
        if place.size:
            np.add.at(out, row, np.matmul(data[place], parts[indices[place]]))
    return out.reshape(shape[0] * block, *x.shape[1:]).astype(dtype)


def _jvp(primals: Any, tangents: Any, *, shape: Shape) -> Any:
    return product_rule(bsr_matmul, primals, tangents, shape=shape)


def _transpose(
    ct: Any, data: Any, indices: Any, indptr: Any, x: Any, *, shape: Shape
) -> Any:
    if isinstance(data, Linear):
        block = data.type.shape[1]
        found = bsr_sddmm.bind(ct, x, indices, indptr, block=block)
        return [found, None, None, None]
    return [None, None, None, _back(data, indices, indptr, ct, shape)]


def _back(data: Any, indices: Any, indptr: Any, y: Any, shape: Shape) -> Any:
    """Return Aᵀ Y."""
    rows, columns = shape
    plan = transposed(indices, indptr, columns)
    blocks = maps.transpose(in_order(data, plan.places), (0, 2, 1))
    return bsr_matmul.bind(blocks, plan.indices, plan.indptr, y, shape=(columns, rows))


def _batch(args: Any, dims: Any, *, shape: Shape) -> Any:
    x, dim = args[3], dims[3]
    if all(d is None for d in dims[:3]):
        x = maps.move_axis(x, dim, x.ndim - 1)
        flat = maps.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
        out = bsr_matmul.bind(*args[:3], flat, shape=shape)
        return maps.reshape(out, (out.shape[0], *x.shape[1:])), x.ndim - 1
    data, indices, indptr, x = batched(args, dims)
    count, (rows, columns) = x.shape[0], shape
    names, ends = laid_together(indices, indptr, columns)
    flat = maps.reshape(data, (data.shape[0] * data.shape[1], *data.shape[2:]))
    x = maps.reshape(x, (count * x.shape[1], *x.shape[2:]))
    wide = (count * rows, count * columns)
    out = bsr_matmul.bind(flat, names, ends, x, shape=wide)
    return maps.reshape(out, (count, rows * data.shape[2], *out.shape[1:])), 0


def _plan(data: Type, indices: Type, indptr: Type, x: Type, *, shape: Shape) -> Any:
    if indices.dtype != dtypes.int32 or indptr.dtype != dtypes.int32:
        return None
    width = x.shape[1] if x.ndim == 2 else 1
    sizes = (data.shape[1], *shape, data.shape[0], width)
    return bsr_kernel.plan_bsr_matmul(data.dtype.name, *sizes)


_SIZES = ((3, 4, 5), (1, 1, 0), (4, 3, 9))


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, columns, nse), block in zip(_SIZES, (2, 16, 1), strict=True):
        for width in ((), (3,)):
            indices, indptr = draw_pattern(rng, rows, columns, nse)
            data = draw(rng, dtype, (nse, block, block))
            x = draw(rng, dtype, (columns * block, *width))
            yield (data, indices, indptr, x), {"shape": (rows, columns)}


bsr_matmul: Primitive = Primitive(
    name="bsr_matmul",
    family="sparse",
    infer=_infer,
    lower=Native(_plan),
    reference=_reference,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    samples=Samples(dtypes.NUMBERS, _cases, 64),
    document="Multiply a matrix of dense blocks with a vector or a matrix.",
)


# the sampled product ------------------------------------------------------------------


def _sampled_infer(
    x: Type, y: Type, indices: Type, indptr: Type, *, block: int
) -> Type:
    call = "bsr_sddmm"
    check_sampled(call, x, y, indices, indptr)
    if x.shape[0] != (indptr.shape[0] - 1) * block or y.shape[0] % block:
        raise errors.ShapeError(
            f"{call}: operands of shapes {x.shape} and {y.shape} do not fit"
            f" {indptr.shape[0] - 1} rows of blocks of {block}"
        )
    return Type(x.dtype, (indices.shape[0], block, block))


def _sampled_reference(x: Any, y: Any, indices: Any, indptr: Any, *, block: int) -> Any:
    dtype = x.dtype
    if dtype in dtypes.HALVES:
        x, y = x.astype(np.float32), y.astype(np.float32)
    width = x.shape[1] if x.ndim == 2 else 1
    out = np.zeros((indices.shape[0], block, block), x.dtype)
    columns = y.shape[0] // block
    row, place = counted_elements(indices, indptr, columns)
    if place.size:
        left = x.reshape(-1, block, width)[row]
        right = y.reshape(columns, block, width)[indices[place]]
        with np.errstate(all="ignore"):
            out[place] = np.matmul(left, right.swapaxes(1, 2))
    return out.astype(dtype)


def _sampled_expand(
    x: Type, y: Type, indices: Type, indptr: Type, *, block: int
) -> Any:
    def run(x: Any, y: Any, indices: Any, indptr: Any) -> list[Any]:
        return [_sampled_composed(x, y, indices, indptr, block)]

    return capture(run, [x, y, indices, indptr]).graph


def _sampled_composed(x: Any, y: Any, indices: Any, indptr: Any, block: int) -> Any:
    nse, width = indices.shape[0], x.shape[1] if x.ndim == 2 else 1
    rows, columns = x.shape[0] // block, y.shape[0] // block
    shape = (nse, block, block)
    if not nse * rows * columns:
        return maps.broadcast(number(0, x.dtype), shape, ())
    left = take(
        maps.reshape(x, (rows, block, width)), lines_of(indptr, nse), 0, mode="clip"
    )
    right = take(maps.reshape(y, (columns, block, width)), indices, 0, mode="clip")
    found = einsum("pik,pjk->pij", left, right)
    there = valid_elements(
        maps.expand_dims(indices, 0), maps.expand_dims(indptr, 0), columns
    )
    kept = maps.broadcast(maps.reshape(there, (nse,)), shape, (0,))
    return REGISTRY["select"](kept, found, number(0, x.dtype))


def _sampled_jvp(primals: Any, tangents: Any, *, block: int) -> Any:
    return product_rule(bsr_sddmm, primals, tangents, block=block)


def _sampled_transpose(
    ct: Any, x: Any, y: Any, indices: Any, indptr: Any, *, block: int
) -> Any:
    rows = indptr.shape[0] - 1
    if isinstance(x, Linear):
        shape = (rows, y.shape[0] // block)
        return [bsr_matmul.bind(ct, indices, indptr, y, shape=shape), None, None, None]
    shape = (rows, y.type.shape[0] // block)
    return [None, _back(ct, indices, indptr, x, shape), None, None]


def _sampled_batch(args: Any, dims: Any, *, block: int) -> Any:
    x, y, indices, indptr = batched(args, dims)
    names, ends = laid_together(indices, indptr, y.shape[1] // block)
    flat = [maps.reshape(a, (a.shape[0] * a.shape[1], *a.shape[2:])) for a in (x, y)]
    out = bsr_sddmm.bind(*flat, names, ends, block=block)
    return maps.reshape(out, (*indices.shape, block, block)), 0


def _sampled_cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, columns, nse), block in zip(_SIZES, (2, 3, 1), strict=True):
        for width in ((), (3,)):
            indices, indptr = draw_pattern(rng, rows, columns, nse)
            x = draw(rng, dtype, (rows * block, *width))
            y = draw(rng, dtype, (columns * block, *width))
            yield (x, y, indices, indptr), {"block": block}


bsr_sddmm: Primitive = Primitive(
    name="bsr_sddmm",
    family="sparse",
    infer=_sampled_infer,
    lower=Expand(_sampled_expand),
    reference=_sampled_reference,
    jvp=_sampled_jvp,
    transpose=_sampled_transpose,
    batch=_sampled_batch,
    samples=Samples(dtypes.NUMBERS, _sampled_cases, 64),
    document="Take the blocks of a product of two matrices at the places of a pattern.",
)
