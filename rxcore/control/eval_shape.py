"""eval_shape: types of results without computing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rxcore.base import dtypes, tree
from rxcore.control.effects import ShapeDtypeStruct
from rxcore.ir.types import Type
from rxcore.trace.bind import as_numeric
from rxcore.trace.capture import capture
from rxcore.transforms.arguments import Flattened

__all__ = ["eval_shape"]


def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the shapes and dtypes of a function's results without computing them.

    **Meaning**: `tree.map(lambda y: ShapeDtypeStruct(y.shape, y.dtype), f(*args))`

    Args:
        fun: from pytrees of arrays to a pytree of arrays.
        *args: arrays, or anything with `shape` and `dtype` (`ShapeDtypeStruct`).
        **kwargs: the same, by name.

    Returns:
        The result's pytree, with a `ShapeDtypeStruct` for each array.

    Example:
        >>> import rxcore as rx
        >>> x = rx.ShapeDtypeStruct((1000, 1000), "float32")
        >>> rx.eval_shape(lambda x: x @ x, x).shape
        (1000, 1000)
    """
    leaves, treedef = tree.flatten((args, kwargs))
    types = [_type_of(x) for x in leaves]

    def whole(positional: Any, named: Any) -> Any:
        return fun(*positional, **named)

    inner = Flattened(whole, treedef, "eval_shape")
    graph = capture(inner, types, "rx.eval_shape").graph
    outs = [ShapeDtypeStruct(t.shape, t.dtype) for t in graph.out_types]
    return inner.result(outs)


def _type_of(x: Any) -> Type:
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        weak = getattr(getattr(x, "type", None), "weak", False)
        return Type(dtypes.as_dtype(x.dtype), tuple(x.shape), weak)
    return as_numeric(x, "eval_shape").type  # type: ignore[no-any-return]
