"""neuron_scan: one neuron's step, run over time as one kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rxcore.base import errors
from rxcore.control.scan import scan

__all__ = ["neuron_scan"]

Step = Callable[[Any, Any, Any], tuple[Any, Any]]


def neuron_scan(step: Step, params: Any, state: Any, xs: Any) -> tuple[Any, Any]:
    """Run a neuron model over time; a step without sums becomes one fused kernel.

    The loop over time lies inside the kernel, forward and in reverse: each worker
    keeps the state of its neurons in its first cache while time goes by. Under
    `grad`, what the reverse loop needs is stored or computed again, whichever moves
    fewer bytes.

    **Meaning**:

        out = []
        for x in xs:
            state, y = step(params, state, x)
            out.append(y)
        return state, np.stack(out)

    Args:
        step: `step(params, state, x) -> (state, out)`, a pure function. It sees all
            neurons at one time; the state keeps its structure, shapes and dtypes.
        params: pytree of arrays and numbers, the same at all times; per neuron, or
            shared by all.
        state: pytree of arrays, the state before the first step.
        xs: pytree of arrays with time as axis 0.

    Returns:
        The last state, and the outputs stacked along time.

    Raises:
        UserError: when `step` is no function.
        ShapeError: when leading axes differ, or the state changes a shape.
        DTypeError: when the state changes a dtype.
        TreeError: when the state changes its structure, or `step` returns no pair.

    Example:
        >>> import rxcore as rx
        >>> def leaky(params, v, x):
        ...     v = params["beta"] * v + x
        ...     s = rx.snn.surrogate.lorentz()(v - 1)
        ...     return v - s, s
        >>> xs = rx.asarray([[0.6], [0.6], [0.6], [0.6]])
        >>> v, s = rx.snn.neuron_scan(leaky, {"beta": 0.9}, rx.numpy.zeros(1), xs)
        >>> s[:, 0]
        Array([0., 1., 0., 1.], dtype=float32)
    """
    if not callable(step):
        raise errors.UserError(
            "neuron_scan: step must be a function of (params, state, x), got"
            f" {type(step).__name__}"
        )
    return scan(lambda carry, x: step(params, carry, x), state, xs)
