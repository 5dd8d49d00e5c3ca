"""Products of vectors, matrices and tensors."""

from __future__ import annotations

from typing import Any

from rxcore.base import errors
from rxcore.numpy.inputs import line, numeric, operand
from rxcore.ops import complex_parts
from rxcore.ops import einsum as summation
from rxcore.ops import matmul as products
from rxcore.ops import shape as maps
from rxcore.ops.elementwise import mul

__all__ = [
    "dot",
    "einsum",
    "inner",
    "matmul",
    "outer",
    "tensordot",
    "vdot",
    "vecdot",
]


def matmul(x: Any, y: Any, *, preferred_element_type: Any = None) -> Any:
    """Multiply matrices.

    **Meaning**: `np.matmul(x, y)`: the last two axes are matrices, the others
    broadcast; an operand of rank 1 is a row on the left and a column on the right.

    Args:
        x: array of shape (..., m, k) or (k,).
        y: array of shape (..., k, n) or (k,).
        preferred_element_type: the dtype in which to multiply and answer; default:
            the operands' common dtype (halves are summed in float32).

    Returns:
        Array of shape (..., m, n), without m or n where an operand has rank 1.

    Raises:
        ShapeError: when the shapes do not fit.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.matmul([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
        Array([3., 7.], dtype=float32)
    """
    return products.matmul(
        operand(x, "matmul"),
        operand(y, "matmul"),
        preferred_element_type=preferred_element_type,
    )


def dot(x: Any, y: Any, *, preferred_element_type: Any = None) -> Any:
    """Multiply over the last axis of `x` and the last but one (or only) axis of `y`.

    **Meaning**: `np.dot(x, y)`

    Args:
        x: array.
        y: array.
        preferred_element_type: as in `matmul`.

    Returns:
        Array with the other axes of `x`, then those of `y`; a plain product where an
        operand has rank 0.

    Raises:
        ShapeError: when the shapes do not fit.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.dot([1, 2], [3, 4])
        Array(11, dtype=int32)
    """
    return products.dot(
        operand(x, "dot"),
        operand(y, "dot"),
        preferred_element_type=preferred_element_type,
    )


def tensordot(
    x: Any, y: Any, axes: Any = 2, *, preferred_element_type: Any = None
) -> Any:
    """Multiply and sum over pairs of axes.

    **Meaning**: `np.tensordot(x, y, axes)`

    Args:
        x: array.
        y: array.
        axes: a number of axes (the last of `x` with the first of `y`), or two axes or
            sequences of axes.
        preferred_element_type: as in `matmul`.

    Returns:
        Array with the other axes of `x`, then those of `y`.

    Raises:
        ShapeError: when paired axes differ in number or length.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.tensordot([[1, 2], [3, 4]], [[1, 2], [3, 4]])
        Array(30, dtype=int32)
    """
    return products.tensordot(
        operand(x, "tensordot"),
        operand(y, "tensordot"),
        axes,
        preferred_element_type=preferred_element_type,
    )


def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    optimize: Any = "auto",
    preferred_element_type: Any = None,
) -> Any:
    """Multiply arrays and sum over labels, by Einstein's convention.

    **Meaning**: `np.einsum(subscripts, *operands)`

    Args:
        subscripts: `"ij,jk->ik"`: a letter for each axis; letters that the result
            lacks are summed over; without `->` the result has the letters that occur
            once, in alphabetical order; `...` stands for axes that broadcast. Or the
            first operand, in the form `einsum(x, [0, 1], y, [1, 2], [0, 2])`.
        *operands: arrays.
        optimize: how opt_einsum chooses the order of three and more operands; False
            takes them from left to right.
        preferred_element_type: the dtype in which to multiply and answer.

    Returns:
        Array of the operands' common dtype.

    Raises:
        ShapeError: when labels and shapes do not fit.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.einsum("ij,jk->ik", [[1, 2], [3, 4]], [[1, 0], [0, 1]])
        Array([[1, 2],
               [3, 4]], dtype=int32)
    """
    given = (
        [operand(x, "einsum") for x in operands]
        if isinstance(subscripts, str)
        else operands
    )
    return summation.einsum(
        subscripts,
        *given,
        optimize=optimize,
        preferred_element_type=preferred_element_type,
    )


def vdot(x: Any, y: Any) -> Any:
    """Multiply all elements of the first array, conjugated, with those of the second.

    **Meaning**: `np.vdot(x, y)`

    Args:
        x: array.
        y: array of as many elements.

    Returns:
        Array of rank 0.

    Raises:
        ShapeError: when the numbers of elements differ.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.vdot([[1, 2]], [[3], [4]])
        Array(11, dtype=int32)
    """
    first, second = line(x, "vdot"), line(y, "vdot")
    return products.dot(complex_parts.conj(first), second)


def vecdot(x: Any, y: Any, /, *, axis: int = -1) -> Any:
    """Multiply vectors along an axis, the first conjugated; other axes broadcast.

    **Meaning**: `np.sum(np.conj(x) * y, axis)`

    Args:
        x: array.
        y: array, as long along the axis.
        axis: the axis, in each of the two.

    Returns:
        Array without the axis.

    Raises:
        ShapeError: when shapes do not fit.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.vecdot([[1, 2], [3, 4]], [1, 1])
        Array([3, 7], dtype=int32)
    """
    first, second = numeric(x, "vecdot"), numeric(y, "vecdot")
    ends = [maps.normalize_axis(axis, v.ndim, "vecdot") for v in (first, second)]
    first, second = (
        maps.move_axis(v, a, v.ndim - 1)
        for v, a in zip((first, second), ends, strict=True)
    )
    if first.shape[-1] != second.shape[-1]:
        raise errors.ShapeError(
            f"vecdot: the vectors have lengths {first.shape[-1]} and {second.shape[-1]}"
        )
    return summation.einsum("...i,...i->...", complex_parts.conj(first), second)


def inner(x: Any, y: Any) -> Any:
    """Multiply over the last axes of both.

    **Meaning**: `np.inner(x, y)`

    Args:
        x: array.
        y: array, as long along its last axis.

    Returns:
        Array with the other axes of `x`, then those of `y`; a plain product where an
        operand has rank 0.

    Raises:
        ShapeError: when the last axes differ in length.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.inner([1, 2], [3, 4])
        Array(11, dtype=int32)
    """
    first, second = numeric(x, "inner"), numeric(y, "inner")
    if not (first.ndim and second.ndim):
        return mul(first, second)
    return products.tensordot(first, second, ((-1,), (-1,)))


def outer(x: Any, y: Any) -> Any:
    """Multiply each element of one array with each of another.

    **Meaning**: `np.outer(x, y)`

    Args:
        x: array, flattened first.
        y: array, flattened first.

    Returns:
        Array of shape (x.size, y.size).

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.outer([1, 2], [3, 4])
        Array([[3, 4],
               [6, 8]], dtype=int32)
    """
    first, second = line(x, "outer"), line(y, "outer")
    return mul(maps.expand_dims(first, 1), maps.expand_dims(second, 0))
