"""Apply primitives: the meeting point of ops and traces, and eager evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rxcore.base import config, errors, timeline
from rxcore.ir.operators import Numeric
from rxcore.ir.primitive import NoRule, Primitive, install_binder
from rxcore.runtime.array import Array, as_value, from_host, on_devices
from rxcore.runtime.placement import run_primitive
from rxcore.trace.placing import mark, placed_eagerly
from rxcore.trace.tracer import Trace, Tracer, current, escaped, install_bottom


class Eager(Trace):
    """Computes at once: references on host arrays, compiled where a Graph is held."""

    transform = "eager evaluation"

    def process(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> Sequence[Any]:
        """Compute the results."""
        for a in args:
            if isinstance(a, Tracer):
                raise escaped(a)
        types = [a.type for a in args]
        outs = primitive.infer_all(types, params)
        if isinstance(primitive.reference, NoRule):
            # What holds a Graph runs compiled, and moves its operands by itself.
            return run_primitive(primitive, args, params)
        if on_devices or config.unusual:
            placed = placed_eagerly(primitive, args, params)
            if placed is not None:
                return placed
        reference: Any = primitive.reference
        if timeline.active:
            told = {"arguments": types, "results": outs}
            reference = timeline.timed(reference, "eager", primitive.name, **told)
        result = reference(*[a.host for a in args], **params)
        results = result if primitive.multiple else (result,)
        made = [from_host(r, t) for r, t in zip(results, outs, strict=True)]
        if on_devices:
            mark(made, args)
        return made


def bind(primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """Apply a primitive in the current trace."""
    given = [a if isinstance(a, Numeric) else _made(a) for a in args]
    outs = current().process(primitive, given, params)
    return tuple(outs) if primitive.multiple else outs[0]


def _made(x: Any) -> Array:
    """Return an Array of something that is none, which goes where it is needed."""
    made = as_value(x)
    if on_devices:
        mark([made], ())
    return made


def as_numeric(x: Any, call: str = "") -> Any:
    """Return an Array or tracer for anything that a function accepts as an array.

    Raises:
        TreeError: when `x` is no array and no number.
    """
    if isinstance(x, Numeric):
        return x
    try:
        return _made(x)
    except (TypeError, ValueError) as error:
        if isinstance(error, errors.UserError) and (
            hasattr(x, "dtype")
            or isinstance(x, int)
            or not isinstance(error, errors.DTypeError)
        ):
            raise
        where = f"{call}: " if call else ""
        raise errors.TreeError(
            f"{where}expected an array or a number, got {type(x).__name__}"
            f" ({x!r}); convert it, or pass it as a static argument"
        ) from error


install_bottom(Eager())
install_binder(bind)


def known_numbers(x: Any) -> Array | None:
    """Return the numbers of an array as far as they are known by now.

    Inside `vmap` and `grad` they are (of all lanes), inside `jit` they are not.
    """
    found = x.numbers() if isinstance(x, Tracer) else x
    return found if isinstance(found, Array) else None


__all__ = ["Array", "Eager", "as_numeric", "bind", "known_numbers"]
