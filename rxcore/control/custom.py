"""Functions whose derivative the user gives: custom_jvp and custom_vjp."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from rxcore.base import errors, tree
from rxcore.control.bodies import capture_body
from rxcore.control.custom_rules import (
    Both,
    Given,
    Push,
    custom_jvp_call,
    custom_vjp_call,
)
from rxcore.ir.primitive import Primitive
from rxcore.ops.families import zeros
from rxcore.ops.stop import stop_gradient
from rxcore.trace.bind import Eager
from rxcore.trace.tracer import current
from rxcore.transforms.arguments import numeric_leaves

__all__ = ["custom_jvp", "custom_vjp", "stop_gradient"]


class _Custom:
    """What both decorators share."""

    kind = ""
    primitive: Primitive

    def __init__(
        self,
        fun: Callable[..., Any],
        nondiff_argnums: int | Sequence[int] = (),
    ) -> None:
        numbers = (
            (nondiff_argnums,)
            if isinstance(nondiff_argnums, int)
            else tuple(nondiff_argnums)
        )
        self.fun = fun
        self.name = str(getattr(fun, "__name__", fun))
        self.numbers = tuple(sorted(numbers))
        functools.update_wrapper(self, fun)  # type: ignore[arg-type]

    def _positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not kwargs:
            try:
                signature = inspect.signature(self.fun)
            except (TypeError, ValueError):
                return args
            if len(args) == len(signature.parameters):
                return args
        bound = inspect.signature(self.fun).bind(*args, **kwargs)
        bound.apply_defaults()
        if bound.kwargs:
            raise errors.UserError(
                f"{self.kind}: {self.name} takes keyword-only arguments"
                f" {sorted(bound.kwargs)}; rules have positional ones: make them so"
            )
        return bound.args

    def _call(self, args: tuple[Any, ...], rules: tuple[Any, ...], wrap: Any) -> Any:
        name = f"{self.kind} of {self.name}"
        static = tuple(args[k] for k in self.numbers)
        moving = tuple(a for k, a in enumerate(args) if k not in self.numbers)
        flat, treedef = numeric_leaves(moving, name)

        def whole(*given: Any) -> Any:
            merged = list(given)
            for k, value in zip(self.numbers, static, strict=True):
                merged.insert(k, value)
            return self.fun(*merged)

        if isinstance(current(), Eager):
            return whole(*moving)
        body = capture_body(whole, treedef, [x.type for x in flat], self.kind)
        given = Given(name, rules, static, treedef, body.out_tree, len(flat))
        outs = self.primitive.bind(
            *flat, *body.constants, graph=body.graph, rule=wrap(given)
        )
        return tree.unflatten(body.out_tree, outs)


class custom_jvp(_Custom):  # noqa: N801 - a decorator, named as one
    """Give a function its own rule for tangents.

    Args:
        fun: from pytrees of arrays to a pytree of arrays.
        nondiff_argnums: positions of arguments that are Python values (functions,
            numbers); the rule gets them first.

    Example:
        >>> import rxcore as rx
        >>> @rx.custom_jvp
        ... def step(v):
        ...     return (v > 0).astype("float32")
        >>> @step.defjvp
        ... def _(primals, tangents):
        ...     (v,), (dv,) = primals, tangents
        ...     return step(v), dv / (1 + 10 * abs(v)) ** 2
        >>> rx.grad(step)(0.0)
        Array(1., dtype=float32)
    """

    kind = "custom_jvp"
    primitive = custom_jvp_call

    def __init__(
        self, fun: Callable[..., Any], nondiff_argnums: int | Sequence[int] = ()
    ) -> None:
        super().__init__(fun, nondiff_argnums)
        self.rule: Callable[..., Any] | None = None

    def defjvp(self, jvp: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule: `jvp(*nondiff, primals, tangents) -> (result, tangent)`."""
        self.rule = jvp
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Set one rule per argument: `jvp(tangent, result, *args)`; None for zero."""

        def rule(*given: Any) -> Any:
            *static, primals, tangents = given
            del static
            out = self(*primals)
            parts = [
                one(t, out, *primals)
                for one, t in zip(jvps, tangents, strict=True)
                if one is not None
            ]
            if not parts:
                return out, tree.map_(lambda x: zeros(x.type.strong()), out)
            total = functools.reduce(
                lambda a, b: tree.map_(lambda x, y: x + y, a, b), parts
            )
            return out, total

        if self.numbers:
            raise errors.UserError(
                "custom_jvp: defjvps takes no nondiff_argnums; use defjvp"
            )
        self.rule = rule

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the function."""
        if self.rule is None:
            raise errors.UserError(
                f"custom_jvp: {self.name} has no rule yet; set one with"
                f" @{self.name}.defjvp"
            )
        return self._call(self._positional(args, kwargs), (self.rule,), Push)


class custom_vjp(_Custom):  # noqa: N801 - a decorator, named as one
    """Give a function its own rules for reverse mode.

    Args:
        fun: from pytrees of arrays to a pytree of arrays.
        nondiff_argnums: positions of arguments that are Python values; the forward
            rule gets all arguments in place, the backward rule gets these first.

    Example:
        >>> import rxcore as rx
        >>> @rx.custom_vjp
        ... def clip_gradient(x):
        ...     return x
        >>> clip_gradient.defvjp(
        ...     lambda x: (x, None), lambda _, ct: (rx.clamp(-1.0, ct, 1.0),)
        ... )
        >>> rx.grad(lambda x: 5 * clip_gradient(x))(2.0)
        Array(1., dtype=float32)
    """

    kind = "custom_vjp"
    primitive = custom_vjp_call

    def __init__(
        self, fun: Callable[..., Any], nondiff_argnums: int | Sequence[int] = ()
    ) -> None:
        super().__init__(fun, nondiff_argnums)
        self.rules: tuple[Callable[..., Any], ...] = ()

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the rules.

        Args:
            fwd: `fwd(*args) -> (result, residuals)`.
            bwd: `bwd(*nondiff, residuals, ct) -> tuple of cotangents`, None for zero.
        """
        self.rules = (fwd, bwd)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the function."""
        if not self.rules:
            raise errors.UserError(
                f"custom_vjp: {self.name} has no rules yet; set them with"
                f" {self.name}.defvjp(forward, backward)"
            )
        rules: tuple[Any, ...] = (*self.rules, *self.numbers)
        return self._call(self._positional(args, kwargs), rules, Both)
