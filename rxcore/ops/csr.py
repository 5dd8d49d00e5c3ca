"""Products with a matrix in compressed rows, closed under transposition.

`csr_matmul` is Y = A X, and `csr_sddmm` takes the elements of X Yᵀ at A's places. The
derivative of the first in A's values is the second; its derivative in X is the first
with the transposed pattern; both derivatives of the second are the first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.base.lazy import LazyModule
from rxcore.ir.primitive import Native, Primitive
from rxcore.ir.types import Type
from rxcore.ops import shape as maps
from rxcore.ops.csr_pattern import (
    batched,
    check_pattern,
    counted_elements,
    draw_pattern,
    in_order,
    laid_together,
    row_bounds,
    transposed,
)
from rxcore.ops.families import Linear, product_rule
from rxcore.ops.samples import Case, Samples, draw

if TYPE_CHECKING:
    from rxcore_kernels.opencl_facts import Facts

__all__ = ["csr_matmul", "csr_sddmm", "same_dtype"]

# Loaded when a program first needs them.
csr_kernel = LazyModule("rxcore_kernels.csr")
csr_sddmm_kernel = LazyModule("rxcore_kernels.csr_sddmm")
csr_opencl = LazyModule("rxcore_kernels.csr_opencl")

Shape = tuple[int, int]


def same_dtype(call: str, a: Type, b: Type) -> None:
    """Check that two operands have one dtype, of numbers.

    Raises:
        DTypeError: when they do not.
    """
    if a.dtype != b.dtype:
        raise errors.DTypeError(
            f"{call}: dtypes {a.dtype.name} and {b.dtype.name} differ; convert one with"
            " .astype(...)"
        )
    if dtypes.is_bool(a.dtype):
        raise errors.DTypeError(f"{call}: bools have no products; use an integer dtype")


# the product --------------------------------------------------------------------------


def _infer(data: Type, indices: Type, indptr: Type, x: Type, *, shape: Shape) -> Type:
    call = "csr_matmul"
    check_pattern(call, indices, indptr)
    same_dtype(call, data, x)
    if data.shape != indices.shape:
        raise errors.ShapeError(
            f"{call}: data of shape {data.shape} and indices of shape {indices.shape}"
            " must be equally long"
        )
    if indptr.shape[0] != shape[0] + 1:
        raise errors.ShapeError(
            f"{call}: indptr of shape {indptr.shape} does not fit a matrix of shape"
            f" {shape}: expected ({shape[0] + 1},)"
        )
    if x.ndim not in (1, 2) or x.shape[0] != shape[1]:
        raise errors.ShapeError(
            f"{call}: a matrix of shape {shape} does not fit an operand of shape"
            f" {x.shape}: expected ({shape[1]},) or ({shape[1]}, n)"
        )
    return Type(x.dtype, (shape[0], *x.shape[1:]))


def _reference(data: Any, indices: Any, indptr: Any, x: Any, *, shape: Shape) -> Any:
    dtype = x.dtype
    if dtype in dtypes.HALVES:
        data, x = data.astype(np.float32), x.astype(np.float32)
    rows, columns = shape
    out = np.zeros((rows, *x.shape[1:]), x.dtype)
    low, high = row_bounds(indptr, data.shape[0])
    tidy = not rows or (low[1:] == high[:-1]).all()
    kept = (indices >= 0) & (indices < columns)
    with np.errstate(all="ignore"):
        if tidy and kept.all():
            values = data.reshape(-1, *[1] * (x.ndim - 1))
            products = values * x[indices]
            held = high > low
            if held.any():
                products = products[: high[-1]]
                sums = np.add.reduceat(products, low[held], 0, dtype=x.dtype)
                out[held] = sums
            return out.astype(dtype)
        row, place = counted_elements(indices, indptr, columns)
        values = data[place].reshape(-1, *[1] * (x.ndim - 1))
        np.add.at(out, row, values * x[indices[place]])
    return out.astype(dtype)


def _jvp(primals: Any, tangents: Any, *, shape: Shape) -> Any:
    return product_rule(csr_matmul, primals, tangents, shape=shape)


def _transpose(
    ct: Any, data: Any, indices: Any, indptr: Any, x: Any, *, shape: Shape
) -> Any:
    if isinstance(data, Linear):
        return [csr_sddmm.bind(ct, x, indices, indptr), None, None, None]
    return [None, None, None, _back(data, indices, indptr, ct, shape)]


def _back(data: Any, indices: Any, indptr: Any, y: Any, shape: Shape) -> Any:
    """Return Aᵀ Y."""
    rows, columns = shape
    plan = transposed(indices, indptr, columns)
    values = in_order(data, plan.places)
    return csr_matmul.bind(values, plan.indices, plan.indptr, y, shape=(columns, rows))


def _batch(args: Any, dims: Any, *, shape: Shape) -> Any:
    x, dim = args[3], dims[3]
    if all(d is None for d in dims[:3]):
        return _batch_columns(args, maps.move_axis(x, dim, x.ndim - 1), shape)
    data, indices, indptr, x = batched(args, dims)
    count, (rows, columns) = x.shape[0], shape
    names, ends = laid_together(indices, indptr, columns)
    flat = maps.reshape(data, (data.size,))
    x = maps.reshape(x, (count * columns, *x.shape[2:]))
    wide = (count * rows, count * columns)
    out = csr_matmul.bind(flat, names, ends, x, shape=wide)
    return maps.reshape(out, (count, rows, *out.shape[1:])), 0


def _batch_columns(args: Any, x: Any, shape: Shape) -> Any:
    """Batch over X alone, its mapped axis last: lanes are columns of one product."""
    flat = maps.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
    out = csr_matmul.bind(*args[:3], flat, shape=shape)
    return maps.reshape(out, (shape[0], *x.shape[1:])), x.ndim - 1


def _plan(data: Type, indices: Type, indptr: Type, x: Type, *, shape: Shape) -> Any:
    if indptr.dtype != dtypes.int32:
        return None
    width = x.shape[1] if x.ndim == 2 else 1
    return csr_kernel.plan_matmul(
        data.dtype.name, indices.dtype.name, *shape, data.shape[0], width
    )


def _launches(
    facts: Facts, data: Type, indices: Type, indptr: Type, x: Type, *, shape: Shape
) -> Any:
    if indptr.dtype != dtypes.int32:
        return None
    width = x.shape[1] if x.ndim == 2 else 1
    sizes = (*shape, data.shape[0], width)
    return csr_opencl.plan_opencl(facts, data.dtype.name, *sizes, indices.dtype.name)


_SIZES = ((3, 4, 5), (1, 1, 0), (4, 3, 9), (5, 6, 40), (0, 2, 0), (2, 0, 3))


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for rows, columns, nnz in _SIZES:
        for width in ((), (3,)):
            indices, indptr = draw_pattern(rng, rows, columns, nnz)
            data = draw(rng, dtype, (nnz,))
            x = draw(rng, dtype, (columns, *width))
            yield (data, indices, indptr, x), {"shape": (rows, columns)}


csr_matmul: Primitive = Primitive(
    name="csr_matmul",
    family="sparse",
    infer=_infer,
    lower=Native(_plan, launches=_launches),
    reference=_reference,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    samples=Samples(dtypes.NUMBERS, _cases, 64),
    document="Multiply a matrix in compressed rows with a vector or a matrix.",
)


# the sampled product ------------------------------------------------------------------


def check_sampled(call: str, x: Type, y: Type, indices: Type, indptr: Type) -> None:
    """Check the operands of a sampled product, but for how many rows there are.

    Raises:
        ShapeError: when they do not fit each other.
        DTypeError: when dtypes differ, or indices are no integers.
    """
    check_pattern(call, indices, indptr)
    same_dtype(call, x, y)
    if x.ndim not in (1, 2) or x.ndim != y.ndim or x.shape[1:] != y.shape[1:]:
        raise errors.ShapeError(
            f"{call}: operands of shapes {x.shape} and {y.shape} must both be vectors,"
            " or matrices with rows of equal length"
        )


def _sampled_infer(x: Type, y: Type, indices: Type, indptr: Type) -> Type:
    call = "csr_sddmm"
    check_sampled(call, x, y, indices, indptr)
    if x.shape[0] + 1 != indptr.shape[0]:
        raise errors.ShapeError(
            f"{call}: indptr of shape {indptr.shape} does not fit {x.shape[0]} rows"
            f" of x: expected ({x.shape[0] + 1},)"
        )
    return Type(x.dtype, indices.shape)


def _sampled_reference(x: Any, y: Any, indices: Any, indptr: Any) -> Any:
    dtype = x.dtype
    if dtype in dtypes.HALVES:
        x, y = x.astype(np.float32), y.astype(np.float32)
    out = np.zeros(indices.shape, x.dtype)
    row, place = counted_elements(indices, indptr, y.shape[0])
    with np.errstate(all="ignore"):
        products = x[row] * y[indices[place]]
        if x.ndim == 2:
            products = products.sum(1, dtype=x.dtype)
    out[place] = products
    return out.astype(dtype)


def _sampled_jvp(primals: Any, tangents: Any) -> Any:
    return product_rule(csr_sddmm, primals, tangents)


def _sampled_transpose(ct: Any, x: Any, y: Any, indices: Any, indptr: Any) -> Any:
    if isinstance(x, Linear):
        shape = (x.type.shape[0], y.shape[0])
        return [csr_matmul.bind(ct, indices, indptr, y, shape=shape), None, None, None]
    shape = (x.shape[0], y.type.shape[0])
    return [None, _back(ct, indices, indptr, x, shape), None, None]


def _sampled_batch(args: Any, dims: Any) -> Any:
    x, y, indices, indptr = batched(args, dims)
    names, ends = laid_together(indices, indptr, y.shape[1])
    flat = [maps.reshape(a, (a.shape[0] * a.shape[1], *a.shape[2:])) for a in (x, y)]
    out = csr_sddmm.bind(*flat, names, ends)
    return maps.reshape(out, indices.shape), 0


def _sampled_plan(x: Type, y: Type, indices: Type, indptr: Type) -> Any:
    if indptr.dtype != dtypes.int32:
        return None
    width = x.shape[1] if x.ndim == 2 else 1
    sizes = (x.shape[0], y.shape[0], indices.shape[0], width)
    return csr_sddmm_kernel.plan_sddmm(x.dtype.name, indices.dtype.name, *sizes)


def _sampled_cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for rows, columns, nnz in _SIZES:
        for width in ((), (3,)):
            indices, indptr = draw_pattern(rng, rows, columns, nnz)
            x = draw(rng, dtype, (rows, *width))
            y = draw(rng, dtype, (columns, *width))
            yield (x, y, indices, indptr), {}


csr_sddmm: Primitive = Primitive(
    name="csr_sddmm",
    family="sparse",
    infer=_sampled_infer,
    lower=Native(_sampled_plan),
    reference=_sampled_reference,
    jvp=_sampled_jvp,
    transpose=_sampled_transpose,
    batch=_sampled_batch,
    samples=Samples(dtypes.NUMBERS, _sampled_cases, 64),
    document="Take the products of rows of two matrices at the places of a pattern.",
)
