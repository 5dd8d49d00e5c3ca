"""Binary search, as a composition of gathers."""

from __future__ import annotations

from typing import Any

from rxcore.base import errors
from rxcore.base.dtypes import int32, int64
from rxcore.ir.primitive import REGISTRY
from rxcore.ops import shape as maps
from rxcore.ops.convert import convert
from rxcore.ops.families import number, promote
from rxcore.ops.gather import gather
from rxcore.ops.magnitude import minimum
from rxcore.runtime.array import beside
from rxcore.trace.bind import as_numeric

__all__ = ["searchsorted"]


def searchsorted(a: Any, v: Any, side: str = "left") -> Any:
    """Find where values fit into a sorted array.

    **Meaning**: `np.searchsorted(a, v, side)`

    Args:
        a: sorted array of rank 1.
        v: array of values.
        side: "left": before equal elements; "right": after them.

    Returns:
        int32 array of the shape of `v`: how many elements come before.

    Raises:
        ShapeError: when `a` is not of rank 1.
        UserError: when `side` is neither "left" nor "right".

    Example:
        >>> import rxcore as rx
        >>> searchsorted(rx.asarray([1, 3, 5]), rx.asarray([3, 9]))
        Array([1, 3], dtype=int32)
    """
    if side not in ("left", "right"):
        raise errors.UserError(
            f"searchsorted: side must be 'left' or 'right', got {side!r}"
        )
    line, values = promote(
        [as_numeric(a, "searchsorted"), as_numeric(v, "searchsorted")]
    )
    if line.ndim != 1:
        raise errors.ShapeError(
            f"searchsorted: expected a sorted array of rank 1, got shape {line.shape}"
        )
    size = line.shape[0]
    dtype = int32 if size < 1 << 31 else int64
    found = maps.broadcast(number(0, dtype), values.shape, ())
    add, select = REGISTRY["add"], REGISTRY["select"]
    step = 1 << size.bit_length()
    while step > 1:
        step >>= 1
        # Take the step where the element before its end comes before the value.
        ahead = add(found, number(step, dtype))
        last = minimum(add(ahead, number(-1, dtype)), number(max(size - 1, 0), dtype))
        element = gather(line, last, axes=(0,))
        before = _precedes(element, values, side)
        inside = REGISTRY["le"](ahead, number(size, dtype))
        found = select(REGISTRY["and"](before, inside), ahead, found)
    found = convert(found, dtype)
    return beside(found, values) if not size else found


def _precedes(element: Any, value: Any, side: str) -> Any:
    """Say whether an element comes before a value; NaN comes last."""
    nan = REGISTRY["is_nan"]
    if side == "left":
        less = REGISTRY["lt"](element, value)
        late = REGISTRY["and"](nan(value), REGISTRY["not"](nan(element)))
        return REGISTRY["or"](less, late)
    return REGISTRY["or"](REGISTRY["le"](element, value), nan(value))
