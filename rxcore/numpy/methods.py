"""Functions as methods of arrays, where the two differ in their arguments."""

from __future__ import annotations

from typing import Any

from rxcore.numpy.creation import copy
from rxcore.numpy.dtypes import astype
from rxcore.numpy.elementwise import clip, conj, conjugate, imag, real, round
from rxcore.numpy.indexing import diagonal, nonzero, take
from rxcore.numpy.linear import dot
from rxcore.numpy.manipulation import (
    matrix_transpose,
    ravel,
    reshape,
    squeeze,
    swapaxes,
)
from rxcore.numpy.manipulation import transpose as _transpose
from rxcore.numpy.rearranging import repeat
from rxcore.numpy.reductions import (
    all,
    any,
    argmax,
    argmin,
    cumprod,
    cumsum,
    max,
    min,
    prod,
    sum,
)
from rxcore.numpy.sorting import argsort, searchsorted, sort
from rxcore.numpy.statistics import mean, std, var

flatten = ravel
T = _transpose
mT = matrix_transpose  # noqa: N816 - the standard's name


def transpose(x: Any, *axes: Any) -> Any:
    """Permute the axes; reverse them by default.

    **Meaning**: `x.transpose(*axes)`

    Args:
        x: array.
        *axes: where each axis of the result comes from: ints, or one tuple.

    Returns:
        Array with its axes in another order.

    Raises:
        ShapeError: when `axes` is no permutation of the axes.

    Example:
        >>> import rxcore as rx
        >>> rx.asarray([[1, 2, 3]]).transpose(1, 0).shape
        (3, 1)
    """
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], tuple | list)):
        return _transpose(x, axes[0])
    return _transpose(x, axes or None)


__all__ = [
    "T",
    "all",
    "any",
    "argmax",
    "argmin",
    "argsort",
    "astype",
    "clip",
    "conj",
    "conjugate",
    "copy",
    "cumprod",
    "cumsum",
    "diagonal",
    "dot",
    "flatten",
    "imag",
    "mT",
    "max",
    "mean",
    "min",
    "nonzero",
    "prod",
    "ravel",
    "real",
    "repeat",
    "reshape",
    "round",
    "searchsorted",
    "sort",
    "squeeze",
    "std",
    "sum",
    "swapaxes",
    "take",
    "transpose",
    "var",
]
