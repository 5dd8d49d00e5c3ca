"""Checks of whole functions: what a transform must not change, as calls that raise.

A function here takes and returns pytrees of arrays. It should be pure and, for
`check_grads`, smooth at its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rxcore.base import dtypes, tree
from rxcore.control.jit import jit
from rxcore.runtime.array import Array, as_value, asarray
from rxcore.runtime.devices import devices
from rxcore.testing.laws import assert_close, check_jvp, check_transpose
from rxcore.transforms.batching import vmap
from rxcore.transforms.jvp import jvp_flat

__all__ = ["assert_same", "check_devices", "check_grads", "check_vmap"]

Function = Callable[..., Any]


def _leaves(x: Any) -> list[Any]:
    return [np.asarray(as_value(leaf).host) for leaf in tree.leaves(x)]


def _agree(found: Any, expected: Any, ulps: float, what: str, whole: bool) -> None:
    assert tree.structure(found) == tree.structure(expected), (
        f"{what}: the structure is {tree.structure(found)},"
        f" expected {tree.structure(expected)}"
    )
    pairs = zip(_leaves(found), _leaves(expected), strict=True)
    for k, (f, e) in enumerate(pairs):
        assert_close(f, e, ulps, f"{what}, result {k}", whole)


def assert_same(
    function: Function,
    *args: Any,
    ulps: float = 0,
    whole: bool = False,
    device: str | None = None,
) -> Any:
    """Check that a function compiled gives what it gives run op by op.

    Args:
        function: from pytrees of arrays to a pytree of arrays.
        *args: its arguments.
        ulps: error allowed, in units in the last place.
        whole: whether an error counts against the largest element of a result, as
            it must where many terms are added up.
        device: where it runs compiled, a name of `rx.devices()`; default: where the
            cost model expects it to be fastest.

    Returns:
        What the function returns run op by op.

    Raises:
        AssertionError: when structure, dtype, shape or values differ.

    Example:
        >>> import rxcore as rx
        >>> assert_same(lambda x: x * 2 + 1, rx.asarray([1.0, 2.0]))
        Array([3., 5.], dtype=float32)
    """
    expected = function(*args)
    what = "jit" if device is None else f"jit on {device!r}"
    _agree(jit(function, device=device)(*args), expected, ulps, what, whole)
    return expected


def check_devices(
    function: Function,
    args: Sequence[Any],
    names: Sequence[str] | None = None,
    *,
    ulps: float = 0,
    whole: bool = False,
) -> None:
    """Check that a function gives on every device what it gives on the CPU.

    Elementwise arithmetic has the same bits everywhere on devices that round products
    and sums as one (`ulps=0`); sums are added in another order (`whole=True`).

    Args:
        function: from pytrees of arrays to a pytree of arrays.
        args: its arguments, wherever they are.
        names: devices; default: all of `rx.devices()`.
        ulps: error allowed, in units in the last place.
        whole: whether an error counts against the largest element of a result.

    Raises:
        AssertionError: when structure, dtype, shape or values differ.
        DeviceError: there is no such device.

    Example:
        >>> import rxcore as rx
        >>> check_devices(lambda x: x * 2 + 1, (rx.asarray([1.0, 2.0]),))
    """
    expected = jit(function, device="cpu")(*args)
    for name in devices() if names is None else names:
        found = jit(function, device=str(name))(*args)
        _agree(found, expected, ulps, f"on {name!r}", whole)


def _flattened(function: Function, args: Sequence[Any]) -> tuple[Function, list[Any]]:
    """Return the function of flat arrays, and those."""
    leaves, treedef = tree.flatten(tuple(args))

    def flat(*values: Any) -> tuple[Any, ...]:
        return tuple(tree.leaves(function(*tree.unflatten(treedef, values))))

    return flat, leaves


def check_grads(
    function: Function,
    args: Sequence[Any],
    order: int = 1,
    *,
    seed: int = 0,
    tolerance: float = 1e-6,
) -> None:
    """Check a function's derivatives, forward and reverse, against differences.

    Floating arguments are widened to float64 first. Forward mode is compared with
    differences, reverse mode with forward mode by inner products.

    Args:
        function: from pytrees of arrays to a pytree of arrays.
        args: where to differentiate.
        order: up to which order; 2 checks the derivative of the derivative, too.
        seed: where directions come from.
        tolerance: error allowed, relative to the derivative and to 1.

    Raises:
        AssertionError: when a derivative is wrong.

    Example:
        >>> from rxcore.ops.mathematics import sin
        >>> check_grads(lambda x: sin(x) * x, (np.float64([0.5, 2.0]),), order=2)
    """
    flat, leaves = _flattened(function, args)
    rng = np.random.default_rng(seed)
    for k in range(order):
        check_jvp(flat, leaves, seed=seed + k, tolerance=tolerance)
        check_transpose(flat, leaves, seed=seed + k, tolerance=tolerance)
        flat = _derivative(flat, _directions(rng, leaves))


def _directions(rng: np.random.Generator, leaves: Sequence[Any]) -> list[Any]:
    made: list[Any] = []
    for x in leaves:
        t = as_value(x).type
        moves = dtypes.is_inexact(t.dtype)
        drawn = np.asarray(rng.uniform(0.5, 1.5, t.shape))
        made.append(asarray(drawn) if moves else None)
    return made


def _derivative(flat: Function, directions: Sequence[Any]) -> Function:
    def derivative(*xs: Any) -> tuple[Any, ...]:
        _, dots = jvp_flat(flat, list(xs), list(directions))
        return tuple(d for d in dots if d is not None)

    return derivative


def check_vmap(
    function: Function,
    args: Sequence[Any],
    in_axes: int | Sequence[int | None] = 0,
    *,
    ulps: float = 0,
    whole: bool = False,
) -> None:
    """Check that mapping a function gives what a Python loop over the axis gives.

    Args:
        function: from arrays to a pytree of arrays.
        args: arrays with the mapped axis.
        in_axes: that axis, for all or for each argument; None: not mapped.
        ulps: error allowed, in units in the last place.
        whole: whether an error counts against the largest element.

    Raises:
        AssertionError: when a lane differs.

    Example:
        >>> check_vmap(lambda a, b: a * b, (np.float32([1, 2]), 3.0), (0, None))
    """
    axes = [in_axes] * len(args) if isinstance(in_axes, int) else list(in_axes)
    values: list[Array] = [as_value(a) for a in args]
    sizes = {v.shape[a] for v, a in zip(values, axes, strict=True) if a is not None}
    (size,) = sizes
    mapped = vmap(function, in_axes=tuple(axes))(*values)
    for i in range(size):
        lane = [
            v if a is None else asarray(np.take(v.host, i, a))
            for v, a in zip(values, axes, strict=True)
        ]
        expected = function(*lane)
        found = tree.map_(lambda x, at=i: asarray(x.host[at]), mapped)
        _agree(found, expected, ulps, f"lane {i}", whole)
