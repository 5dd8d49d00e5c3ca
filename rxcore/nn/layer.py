"""What a layer is: two pure functions; and layers one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from rxcore import random
from rxcore.base import errors

__all__ = ["Layer", "StatefulLayer", "sequential"]


@frozen
class Layer:
    """A pair of pure functions: one draws parameters, one computes with them.

    **Meaning**:

        params = layer.init(key)
        y = layer.apply(params, x)

    Args:
        init: takes a key; returns parameters, a pytree of arrays.
        apply: takes parameters and x; returns y. Every layer also takes two keywords,
            which most ignore: `key` (randomness of this call) and `training` (a Python
            bool).
    """

    init: Callable[[Any], Any]
    apply: Callable[..., Any]


@frozen
class StatefulLayer:
    """A layer that remembers something that is no parameter: a running mean, say.

    **Meaning**:

        params, state = layer.init(key), layer.init_state()
        y, state = layer.apply(params, state, x, training=True)

    Args:
        init: takes a key; returns parameters, a pytree of arrays.
        init_state: returns the first state, a pytree of arrays.
        apply: takes parameters, state and x, and the keywords of `Layer.apply`; returns
            y and the state that follows.
    """

    init: Callable[[Any], Any]
    init_state: Callable[[], Any]
    apply: Callable[..., tuple[Any, Any]]


AnyLayer = Layer | StatefulLayer


def sequential(*layers: AnyLayer | Callable[[Any], Any]) -> Any:
    """Return layers applied one after the other, as one layer.

    **Meaning**: `apply(params, x) = apply_n(params[n], ... apply_0(params[0], x))`

    Args:
        *layers: layers; a plain function of one array is a layer without parameters.

    Returns:
        A `Layer` whose parameters are a tuple with one entry per layer. If any part is
        a `StatefulLayer`, a `StatefulLayer`, whose state is such a tuple too. `apply`
        splits its `key` among the parts.

    Raises:
        UserError: when an argument is neither a layer nor a function.

    Example:
        >>> import rxcore as rx
        >>> net = rx.nn.sequential(rx.nn.dense(8, 16), rx.nn.relu, rx.nn.dense(16, 2))
        >>> params = net.init(rx.random.key(0))
        >>> net.apply(params, rx.asarray([[1.0] * 8])).shape
        (1, 2)
    """
    parts = tuple(_as_layer(part, k) for k, part in enumerate(layers))
    if any(isinstance(part, StatefulLayer) for part in parts):
        return _stateful_sequence(tuple(_as_stateful(part) for part in parts))
    return _sequence(tuple(part for part in parts if isinstance(part, Layer)))


def _as_layer(part: AnyLayer | Callable[[Any], Any], position: int) -> AnyLayer:
    if isinstance(part, Layer | StatefulLayer):
        return part
    if not callable(part):
        raise errors.UserError(
            f"nn.sequential: argument {position} is {part!r}; expected a layer or a"
            " function of one array"
        )
    function = part
    return stateless(lambda _, x: function(x))


def stateless(apply: Callable[[Any, Any], Any]) -> Layer:
    """Return a layer without parameters."""

    def ignoring(
        params: Any, x: Any, *, key: Any = None, training: bool = False
    ) -> Any:
        del key, training
        return apply(params, x)

    return Layer(lambda _: (), ignoring)


def _as_stateful(part: AnyLayer) -> StatefulLayer:
    if isinstance(part, StatefulLayer):
        return part

    def apply(params: Any, state: Any, x: Any, **keywords: Any) -> tuple[Any, Any]:
        return part.apply(params, x, **keywords), state

    return StatefulLayer(part.init, tuple, apply)


def _sequence(parts: tuple[Layer, ...]) -> Layer:
    def apply(params: Any, x: Any, *, key: Any = None, training: bool = False) -> Any:
        _check_count(params, parts, "params")
        keys = _split(key, len(parts))
        for part, p, k in zip(parts, params, keys, strict=True):
            x = part.apply(p, x, key=k, training=training)
        return x

    return Layer(_init(parts), apply)


def _stateful_sequence(parts: tuple[StatefulLayer, ...]) -> StatefulLayer:
    def init_state() -> Any:
        return tuple(part.init_state() for part in parts)

    def apply(
        params: Any, state: Any, x: Any, *, key: Any = None, training: bool = False
    ) -> tuple[Any, Any]:
        _check_count(params, parts, "params")
        _check_count(state, parts, "state")
        keys, states = _split(key, len(parts)), []
        for part, p, s, k in zip(parts, params, state, keys, strict=True):
            x, s = part.apply(p, s, x, key=k, training=training)
            states.append(s)
        return x, tuple(states)

    return StatefulLayer(_init(parts), init_state, apply)


def _init(parts: tuple[AnyLayer, ...]) -> Callable[[Any], Any]:
    def init(key: Any) -> Any:
        keys = _split(key, len(parts))
        return tuple(part.init(k) for part, k in zip(parts, keys, strict=True))

    return init


def _split(key: Any, count: int) -> list[Any]:
    if key is None or not count:
        return [None] * count
    keys = random.split(key, count)
    return [keys[i] for i in range(count)]


def _check_count(given: Any, parts: tuple[AnyLayer, ...], name: str) -> None:
    if len(given) != len(parts):
        raise errors.TreeError(
            f"nn.sequential: {name} has {len(given)} entries for {len(parts)} layers;"
            f" pass what init{'_state' if name == 'state' else ''} of this layer gave"
        )
