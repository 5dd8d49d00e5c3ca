"""The record of one op: every rule about it stands in its slots.

A slot that cannot be filled says so aloud: `NoRule("reason")`. The compiler looks at
a primitive's `lower` form, never at its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import define, field, frozen

from rxcore.base import errors
from rxcore.base.frames import without_frames
from rxcore.ir.types import Type

__all__ = [
    "REGISTRY",
    "Accumulating",
    "Calls",
    "Expand",
    "Fusion",
    "IndexMap",
    "Iterates",
    "Lowering",
    "Native",
    "NoRule",
    "Opaque",
    "Primitive",
    "Pull",
    "Reduction",
    "Repeats",
    "Scalar",
    "Switches",
]


@frozen
class NoRule:
    """A rule that does not exist, with the reason."""

    reason: str

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Raise, since whoever calls this needs the rule."""
        raise errors.UserError(self.reason)


# How an op becomes loops: one of these forms fills the `lower` slot.


@frozen
class Scalar:
    """Elementwise: `function(*terms, **params) -> Term` for one element."""

    function: Callable[..., Any]


@frozen
class IndexMap:
    """Moves elements: `index(out_index, *types, **params) -> tuple[Index, ...]`.

    `dense` instead of an index rule says that the elements keep their row-major
    order (a reshape): a stored operand is read in place, whatever the shapes.
    """

    index: Callable[..., Any] | None = None
    dense: bool = False


@frozen
class Pull:
    """`function(at, index, types, **params) -> Term` for the element at `index`.

    `at(k, index)` reads operand k at a tuple of Indexes; `index` are Indexes too.
    `at.index(term)` makes an Index of an int64 Term, `at.term(index)` a Term of an
    Index. `stored` names operands that must be in memory.

    `joined` names the parameter that holds an axis, where the result is its operands
    laid one after another along it: pieces of equal shape are then stored at offsets.
    """

    function: Callable[..., Any]
    stored: tuple[int, ...] = ()
    joined: str = ""


@frozen
class Reduction:
    """Joins all elements along params["axes"] by a scalar combine operation.

    `identity(dtype)` is the value of an empty reduction.
    """

    combine: str
    identity: Callable[[Any], Any]


@frozen
class Expand:
    """Means a Graph of other ops: `function(*types, **params) -> Graph`."""

    function: Callable[..., Any]


@frozen
class Native:
    """Runs hand-made kernels: `function(*types, **params) -> Plan`, or None if not.

    `rows(*types, **params)` gives (row count) where the plan's last step runs over
    rows of its only output, so that an elementwise epilogue can follow in cache.
    `launches(facts, *types, **params)` gives the LaunchPlan for an OpenCL device.
    """

    function: Callable[..., Any]
    rows: Callable[..., int | None] | None = None
    launches: Callable[..., Any] | None = None


@frozen
class Accumulating:
    """Builds its own Nest: `function(types, outs, **params) -> Nest | Plan | None`.

    For scatters and other loops whose order matters; buffers are named `in0`, `in1`,
    ..., `out0`, ... `updates` says that the Nest's first loop copies operand 0 to the
    result and the rest changes it: where both are one memory, that loop is dropped.
    `launches(facts, types, outs, **params)` gives a Nest or a LaunchPlan for an OpenCL
    device; where it gives None, or is not there, the Nest of `function` serves.
    """

    function: Callable[..., Any]
    updates: bool = False
    launches: Callable[..., Any] | None = None


@frozen
class Calls:
    """Holds one Graph, params["graph"], applied to the operands."""


@frozen
class Iterates:
    """A scan: params graph, length, reverse, constants, carries (counts).

    Operands: constants, initial carries, per-step inputs (leading axis `length`).
    The graph maps (constants, carries, step inputs) to (carries, step outputs).
    """


@frozen
class Repeats:
    """A while loop: params test, graph, test_constants, constants (counts)."""


@frozen
class Switches:
    """A choice: operand 0 is an int32 index into params["branches"], Graphs."""


@frozen
class Fusion:
    """Equations that share one loop nest: made by the compiler."""


@frozen
class Opaque:
    """No compiled form: the reference runs on the host as a step of the program."""

    reason: str


Lowering = (
    Scalar
    | IndexMap
    | Pull
    | Reduction
    | Expand
    | Native
    | Accumulating
    | Calls
    | Iterates
    | Repeats
    | Switches
    | Fusion
    | Opaque
)

REGISTRY: dict[str, Primitive] = {}

# Installed by rxcore.trace.bind: the one late binding between language and machine.
_binder: dict[str, Callable[..., Any]] = {}


def install_binder(bind: Callable[..., Any]) -> None:
    """Install what `Primitive.bind` does; called once by the trace layer."""
    _binder["bind"] = bind


# No slots: each op has a docstring of its own, for `help` and notebooks.
@define(eq=False, slots=False)
class Primitive:
    """One op.

    Args:
        name: the op's name, unique.
        family: elementwise, compare, reduction, index map, contraction, ...
        infer: `infer(*types, **params)` gives the result's Type (or a tuple).
        lower: how it becomes loops, one of the `Lowering` forms.
        reference: its meaning: `reference(*ndarrays, **params)` in NumPy.
        jvp: `jvp(primals, tangents, **params) -> (out, tangent)`; a tangent that is
            zero is None, in and out.
        transpose: `transpose(ct, *operands, **params)` gives one cotangent for each
            operand (None for none); linear operands come as `Linear` placeholders.
        batch: `batch(args, dims, **params) -> (out, dim)`.
        samples: draws inputs for tests: see `rxcore.testing`.
        cost: scalar operations per element of the result, or None: from `lower`.
        simplify: `simplify(equation, rewriter)`: optional rewrites.
        operator: the dunder methods of arrays which it serves.
        call: what calling the primitive does; default: `bind`.
        multiple: whether it gives a tuple of results.
        effects: whether it must be kept though nothing uses its result.
        commutes: whether its two operands may change places.
        document: one sentence for the docs.
    """

    name: str
    family: str
    infer: Callable[..., Any]
    lower: Lowering
    reference: Callable[..., Any] | NoRule
    jvp: Callable[..., Any] | NoRule
    transpose: Callable[..., Any] | NoRule
    batch: Callable[..., Any] | NoRule
    samples: Any
    cost: Callable[..., float] | None = None
    simplify: Callable[..., Any] | None = None
    operator: tuple[str, ...] = ()
    call: Callable[..., Any] | None = None
    multiple: bool = False
    effects: bool = False
    commutes: bool = False
    document: str = ""
    slots: dict[str, Any] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.name in REGISTRY:
            raise errors.InternalError(f"primitive {self.name!r} is defined twice")
        REGISTRY[self.name] = self
        self.__doc__ = self._docstring()

    def _docstring(self) -> str:
        meaning = getattr(self.reference, "__wrapped__", self.reference)
        named = getattr(meaning, "__name__", "")
        numpy = f"**Meaning**: `np.{named}`\n\n" if hasattr(np, named or "?") else ""
        return (
            f"{self.document}\n\n{numpy}"
            "Args:\n    *args: arrays or numbers; dtypes are promoted together and"
            " shapes broadcast.\n    **params: Python values of the op.\n\n"
            "Returns:\n    Array (inside a transform: what it follows instead).\n\n"
            "Raises:\n    ShapeError: when shapes do not broadcast.\n"
            "    DTypeError: when a dtype is not allowed.\n"
        )

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Apply the op as a user would: promoting dtypes and broadcasting shapes."""
        try:
            return (self.call or self.bind)(*args, **params)
        except errors.UserError as error:
            raise without_frames(error) from error.__cause__

    def bind(self, *args: Any, **params: Any) -> Any:
        """Apply the op to exactly these operands in the current trace."""
        return _binder["bind"](self, args, params)

    def infer_all(
        self, types: Sequence[Type], params: dict[str, Any]
    ) -> tuple[Type, ...]:
        """Return the result Types as a tuple, also of a single result."""
        out = self.infer(*types, **params)
        return tuple(out) if self.multiple else (out,)

    def __repr__(self) -> str:
        return self.name
