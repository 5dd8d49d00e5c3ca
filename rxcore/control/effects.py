"""Host functions inside traced code: printing, and callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import field, frozen

from rxcore.base import dtypes, errors, tree
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import NoRule, Opaque, Primitive
from rxcore.ir.types import Type
from rxcore.ops.shape import move_axis
from rxcore.transforms.arguments import numeric_leaves

__all__ = ["ShapeDtypeStruct", "debug_callback", "debug_print", "pure_callback"]


def _as_shape(shape: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in shape)


@frozen
class ShapeDtypeStruct:
    """A shape and a dtype without elements.

    Example:
        >>> ShapeDtypeStruct((2, 3), "float32")
        ShapeDtypeStruct(shape=(2, 3), dtype=dtype('float32'))
    """

    shape: tuple[int, ...] = field(converter=_as_shape)
    dtype: DType = field(converter=dtypes.as_dtype)

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many elements there are."""
        return Type(self.dtype, self.shape).size


# One level of vmap: which operands have the mapped axis in front. Outermost first.
Levels = tuple[tuple[bool, ...], ...]


def _lanes(arrays: Sequence[Any], levels: Levels) -> Any:
    """Yield the operands of each lane."""
    if not levels:
        yield list(arrays)
        return
    flags = levels[0]
    size = next(len(a) for a, f in zip(arrays, flags, strict=True) if f)
    for k in range(size):
        mine = [a[k] if f else a for a, f in zip(arrays, flags, strict=True)]
        yield from _lanes(mine, levels[1:])


def _fronted(args: Any, dims: Any) -> tuple[list[Any], tuple[bool, ...], int]:
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    moved = [
        a if d is None else move_axis(a, d, 0) for a, d in zip(args, dims, strict=True)
    ]
    return moved, tuple(d is not None for d in dims), size


# debug.print ------------------------------------------------------------------------


@frozen(eq=False)
class Message:
    """What a debug callback calls, and the structure of its arguments."""

    function: Callable[..., None]
    treedef: tree.TreeDef

    def __call__(self, leaves: Sequence[Any]) -> None:
        """Call the user's function."""
        args, kwargs = tree.unflatten(self.treedef, leaves)
        self.function(*args, **kwargs)


@frozen
class Printer:
    """Prints a format string."""

    text: str

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Print the text with the values in place."""
        print(self.text.format(*args, **kwargs))


def _debug(*arrays: Any, message: Message, levels: Levels) -> tuple[Any, ...]:
    for leaves in _lanes(arrays, levels):
        # The memory is the program's own: what the function keeps must be a copy.
        message([np.array(x) for x in leaves])
    return ()


def _debug_batch(args: Any, dims: Any, *, message: Message, levels: Levels) -> Any:
    moved, flags, _ = _fronted(args, dims)
    _debug_callback.bind(*moved, message=message, levels=(flags, *levels))
    return (), ()


def _debug_jvp(primals: Any, tangents: Any, **params: Any) -> Any:
    del tangents
    _debug_callback.bind(*primals, **params)
    return (), ()


_debug_callback: Primitive = Primitive(
    name="debug_callback",
    family="effect",
    infer=lambda *_, **__: (),
    lower=Opaque("it calls Python"),
    reference=_debug,
    jvp=_debug_jvp,
    transpose=NoRule("debug_callback: it has no result"),
    batch=_debug_batch,
    samples=NoRule("drawn by the tests of control"),
    multiple=True,
    effects=True,
    document="Call a Python function for its effect.",
)


def debug_callback(callback: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Call a Python function with the values that traced arrays have at run time.

    Args:
        callback: takes NumPy arrays in place of arrays; its result is dropped. It
            runs in the order of the program; under `vmap` once for each lane.
        *args: pytrees of arrays.
        **kwargs: more of them.
    """
    leaves, treedef = numeric_leaves((args, kwargs), "debug_callback")
    _debug_callback.bind(*leaves, message=Message(callback, treedef), levels=())


def debug_print(fmt: str, *args: Any, **kwargs: Any) -> None:
    """Print values at run time, also inside `jit`, `scan` and `vmap`.

    **Meaning**: `print(fmt.format(*args, **kwargs))`

    Args:
        fmt: a format string.
        *args: pytrees of arrays for `{}`.
        **kwargs: pytrees of arrays for `{name}`.

    Example:
        >>> import rxcore as rx
        >>> rx.debug.print("x = {}", rx.asarray([1.0, 2.0]))
        x = [1. 2.]
    """
    if not isinstance(fmt, str):
        raise errors.UserError(
            f"debug.print: the first argument is the format string, got {fmt!r}; write"
            ' rx.debug.print("{}", x)'
        )
    debug_callback(Printer(fmt), *args, **kwargs)


# pure_callback ----------------------------------------------------------------------


@frozen
class Callback:
    """A pure Python function over leaves."""

    function: Callable[..., Any]
    in_tree: tree.TreeDef
    out_tree: tree.TreeDef
    types: tuple[Type, ...]

    def __call__(self, leaves: Sequence[Any], lanes: tuple[int, ...]) -> list[Any]:
        """Call the user's function; check what it returns."""
        out = self.function(*tree.unflatten(self.in_tree, leaves))
        found, got = tree.flatten(out)
        if got != self.out_tree:
            raise errors.TreeError(
                f"pure_callback: the callback returned the structure {got}, expected"
                f" {self.out_tree} (result_shape_dtypes)"
            )
        made = []
        for x, t in zip(found, self.types, strict=True):
            array = np.asarray(x)
            if array.shape != (*lanes, *t.shape):
                raise errors.ShapeError(
                    f"pure_callback: the callback returned shape {array.shape},"
                    f" expected {(*lanes, *t.shape)} (result_shape_dtypes)"
                )
            made.append(array.astype(t.dtype, copy=False))
        return made


def _callback_infer(
    *types: Type, callback: Callback, sizes: tuple[int, ...], **_: Any
) -> tuple[Type, ...]:
    del types
    return tuple(t.with_shape((*sizes, *t.shape)) for t in callback.types)


def _call(
    *arrays: Any,
    callback: Callback,
    sizes: tuple[int, ...],
    levels: Levels,
    vectorized: bool,
) -> tuple[Any, ...]:
    copies = [np.array(a) for a in arrays]
    if vectorized:
        # Operands that are not mapped get axes of length 1, to broadcast.
        return tuple(callback(_spread(copies, levels), sizes))
    rows = [callback(leaves, ()) for leaves in _lanes(copies, levels)]
    return tuple(
        np.reshape([row[k] for row in rows], (*sizes, *t.shape)).astype(t.dtype)
        for k, t in enumerate(callback.types)
    )


def _spread(arrays: list[Any], levels: Levels) -> list[Any]:
    made = []
    for k, a in enumerate(arrays):
        flags = [level[k] for level in levels]
        axes = tuple(i for i, f in enumerate(flags) if not f)
        made.append(np.expand_dims(a, axes) if axes else a)
    return made


def _callback_batch(
    args: Any, dims: Any, *, sizes: tuple[int, ...], levels: Levels, **params: Any
) -> Any:
    moved, flags, size = _fronted(args, dims)
    outs = _pure_callback.bind(
        *moved, sizes=(size, *sizes), levels=(flags, *levels), **params
    )
    return outs, (0,) * len(outs)


_pure_callback: Primitive = Primitive(
    name="pure_callback",
    family="effect",
    infer=_callback_infer,
    lower=Opaque("it calls Python"),
    reference=_call,
    jvp=NoRule(
        "pure_callback: a Python function has no derivative; give it one with"
        " rx.custom_jvp or rx.custom_vjp, or stop it with rx.stop_gradient"
    ),
    transpose=NoRule("pure_callback: it is not linear"),
    batch=_callback_batch,
    samples=NoRule("drawn by the tests of control"),
    multiple=True,
    document="Call a pure Python function.",
)


def pure_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    vectorized: bool = False,
) -> Any:
    """Call a pure Python function of NumPy arrays from traced code.

    **Meaning**: `callback(*args)`; it may run any number of times, or not at all.

    Args:
        callback: takes NumPy arrays, returns a pytree of them.
        result_shape_dtypes: pytree of things with `.shape` and `.dtype`, such as
            `ShapeDtypeStruct`, that says what the callback returns.
        *args: pytrees of arrays.
        vectorized: whether the callback takes leading axes; else `vmap` loops.

    Returns:
        What the callback returns, as arrays.

    Raises:
        ShapeError: when the callback returns another shape (at run time).
        TreeError: when it returns another structure (at run time).

    Example:
        >>> import numpy as np, rxcore as rx
        >>> like = rx.ShapeDtypeStruct((2,), "float32")
        >>> rx.pure_callback(np.sort, like, rx.asarray([2.0, 1.0]))
        Array([1., 2.], dtype=float32)
    """
    leaves, treedef = numeric_leaves(args, "pure_callback")
    wanted, out_tree = tree.flatten(result_shape_dtypes)
    types = tuple(Type(dtypes.as_dtype(w.dtype), tuple(w.shape)) for w in wanted)
    outs = _pure_callback.bind(
        *leaves,
        callback=Callback(callback, treedef, out_tree, types),
        sizes=(),
        levels=(),
        vectorized=vectorized,
    )
    return tree.unflatten(out_tree, outs)
