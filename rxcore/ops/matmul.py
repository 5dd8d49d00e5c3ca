"""Products of arrays by NumPy's and JAX's names, all by labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rxcore.base import dtypes, errors
from rxcore.ir.operators import attach
from rxcore.ir.primitive import REGISTRY
from rxcore.ops import shape as maps
from rxcore.ops.contract import bind_contract, letter
from rxcore.ops.families import promote
from rxcore.trace.bind import as_numeric

__all__ = ["dot", "dot_general", "matmul", "tensordot"]


def _operands(
    x: Any, y: Any, call: str, preferred_element_type: Any = None
) -> tuple[Any, Any]:
    """Return two arrays of their common dtype, or of the one preferred."""
    a, b = promote([as_numeric(x, call), as_numeric(y, call)])
    if preferred_element_type is None:
        return a, b
    dtype = dtypes.as_dtype(preferred_element_type)
    a, b = (
        v if v.dtype == dtype else REGISTRY["convert"].bind(v, dtype=dtype)
        for v in (a, b)
    )
    return a, b


def dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Multiply two arrays and sum over pairs of axes, for each element of a batch.

    **Meaning**, for one contracted and one batch axis in front::

        np.stack([np.tensordot(a, b, (lhs_c, rhs_c)) for a, b in zip(lhs, rhs)])

    Args:
        lhs: array.
        rhs: array.
        dimension_numbers: `((lhs_contracting, rhs_contracting), (lhs_batch,
            rhs_batch))`, each a sequence of axes.
        precision: ignored: products are computed in their full precision.
        preferred_element_type: the dtype in which to multiply and answer.

    Returns:
        Array with the batch axes, then the free axes of `lhs`, then those of `rhs`.

    Raises:
        ShapeError: when paired axes differ in number or length.

    Example:
        >>> import rxcore as rx
        >>> a = rx.asarray([[1, 2], [3, 4]])
        >>> rx.dot_general(a, a, (((1,), (0,)), ((), ())))
        Array([[ 7, 10],
               [15, 22]], dtype=int32)
    """
    del precision
    x, y = _operands(lhs, rhs, "dot_general", preferred_element_type)
    (x_sum, y_sum), (x_batch, y_batch) = dimension_numbers
    x_axes = maps.normalize_axes(tuple(x_batch) + tuple(x_sum), x.ndim, "dot_general")
    y_axes = maps.normalize_axes(tuple(y_batch) + tuple(y_sum), y.ndim, "dot_general")
    if len(x_sum) != len(y_sum) or len(x_batch) != len(y_batch):
        raise errors.ShapeError(
            f"dot_general: dimension_numbers {dimension_numbers} must pair axes of the"
            " left and the right array"
        )
    return _paired(x, y, x_axes, y_axes, len(x_batch), "dot_general")


def _paired(
    x: Any,
    y: Any,
    x_axes: Sequence[int],
    y_axes: Sequence[int],
    batch: int,
    call: str,
) -> Any:
    """Contract paired axes, of which the first `batch` stay in front."""
    for a, b in zip(x_axes, y_axes, strict=True):
        if x.shape[a] != y.shape[b]:
            raise errors.ShapeError(
                f"{call}: axis {a} of shape {x.shape} and axis {b} of shape {y.shape}"
                f" are multiplied, but have lengths {x.shape[a]} and {y.shape[b]}"
            )
    x_labels = [letter(i) for i in range(x.ndim)]
    y_labels = [letter(x.ndim + i) for i in range(y.ndim)]
    for a, b in zip(x_axes, y_axes, strict=True):
        y_labels[b] = x_labels[a]
    free = [
        name
        for labels, axes in ((x_labels, x_axes), (y_labels, y_axes))
        for i, name in enumerate(labels)
        if i not in axes
    ]
    kept = [x_labels[a] for a in x_axes[:batch]]
    out = "".join(kept + free)
    return bind_contract(x, y, "".join(x_labels), "".join(y_labels), out)


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
        >>> import rxcore as rx
        >>> rx.asarray([[1.0, 2.0], [3.0, 4.0]]) @ rx.asarray([1.0, 1.0])
        Array([3., 7.], dtype=float32)
    """
    a, b = _operands(x, y, "matmul", preferred_element_type)
    fits = a.ndim and b.ndim
    if not fits or a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        raise errors.ShapeError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit: the last axis of the"
            " left must be as long as the last but one (or only) axis of the right"
        )
    outer = max(a.ndim, b.ndim, 2) - 2
    lead = [letter(i) for i in range(outer)]
    m, k, n = (letter(outer + i) for i in range(3))
    a, a_labels, a_lead = _matrix_labels(a, lead, m + k if a.ndim > 1 else k)
    b, b_labels, b_lead = _matrix_labels(b, lead, k + n if b.ndim > 1 else k)
    sizes: dict[str, int] = {}
    for name, size in (*a_lead.items(), *b_lead.items()):
        # An axis of length 1 gives way to the other operand's.
        if sizes.setdefault(name, size) == 1:
            sizes[name] = size
        elif size not in (1, sizes[name]):
            raise errors.ShapeError(
                f"matmul: the leading axes of shapes {a.shape} and {b.shape} do not"
                " broadcast together"
            )
    a, a_labels = _drop_repeated(a, a_labels, sizes)
    b, b_labels = _drop_repeated(b, b_labels, sizes)
    present = set(a_labels) | set(b_labels)
    out = [c for c in lead if c in present]
    ends = [c for c in (m, n) if c in present]
    found = bind_contract(a, b, a_labels, b_labels, "".join(out + ends))
    shape = tuple(sizes[c] for c in lead) + found.shape[len(out) :]
    return maps.reshape(found, shape)


def _matrix_labels(
    x: Any, lead: list[str], core: str
) -> tuple[Any, str, dict[str, int]]:
    """Return an operand, its labels, and the lengths of its leading axes."""
    count = x.ndim - len(core)
    names = lead[len(lead) - count :] if count else []
    return (
        x,
        "".join(names) + core,
        dict(zip(names, x.shape[:count], strict=True)),
    )


def _drop_repeated(x: Any, labels: str, sizes: dict[str, int]) -> tuple[Any, str]:
    """Drop leading axes of length 1: the other operand, or nobody, has them."""
    gone = [i for i, name in enumerate(labels) if name in sizes and x.shape[i] == 1]
    if not gone:
        return x, labels
    kept = "".join(c for i, c in enumerate(labels) if i not in gone)
    return maps.squeeze(x, tuple(gone)), kept


attach(("__matmul__", "__rmatmul__"), matmul, 2)


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
        >>> import rxcore as rx
        >>> rx.dot(rx.asarray([1, 2]), rx.asarray([3, 4]))
        Array(11, dtype=int32)
    """
    a, b = _operands(x, y, "dot", preferred_element_type)
    if not (a.ndim and b.ndim):
        return REGISTRY["mul"](a, b)
    return _paired(a, b, (a.ndim - 1,), (max(b.ndim - 2, 0),), 0, "dot")


def tensordot(
    x: Any, y: Any, axes: Any = 2, *, preferred_element_type: Any = None
) -> Any:
    """Multiply and sum over pairs of axes.

    **Meaning**: `np.tensordot(x, y, axes)`

    Args:
        x: array.
        y: array.
        axes: a number of axes (the last of `x` with the first of `y`), or two
            sequences of axes.
        preferred_element_type: as in `matmul`.

    Returns:
        Array with the other axes of `x`, then those of `y`.

    Raises:
        ShapeError: when paired axes differ in number or length.

    Example:
        >>> import rxcore as rx
        >>> x = rx.asarray([[1, 2], [3, 4]])
        >>> rx.tensordot(x, x)
        Array(30, dtype=int32)
    """
    a, b = _operands(x, y, "tensordot", preferred_element_type)
    if isinstance(axes, int):
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise errors.ShapeError(
                f"tensordot: {axes} axes asked for, but the shapes are {a.shape} and"
                f" {b.shape}"
            )
        first, second = tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
    else:
        first = maps.normalize_axes(axes[0], a.ndim, "tensordot")
        second = maps.normalize_axes(axes[1], b.ndim, "tensordot")
    if len(first) != len(second):
        raise errors.ShapeError(
            f"tensordot: axes {axes} must name as many axes of the left as of the right"
        )
    return _paired(a, b, first, second, 0, "tensordot")
