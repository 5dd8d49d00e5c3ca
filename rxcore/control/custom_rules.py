"""The ops behind custom_jvp and custom_vjp: Graphs with the user's rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field, frozen

from rxcore.base import dtypes, errors, tree
from rxcore.control.bodies import paths, place, shown
from rxcore.ir.graph import Graph
from rxcore.ir.interpret import interpret
from rxcore.ir.primitive import REGISTRY, Calls, NoRule, Opaque, Primitive
from rxcore.ir.types import Type
from rxcore.ops.convert import convert
from rxcore.ops.families import Linear, zeros
from rxcore.trace.capture import apply, capture
from rxcore.trace.tracer import current
from rxcore.transforms.arguments import numeric_leaves
from rxcore.transforms.jvp import instantiate
from rxcore.transforms.linearize import Partial
from rxcore.transforms.vmap import axis_name, place_axis, vmap_flat

__all__ = ["Both", "Given", "Push", "custom_jvp_call", "custom_vjp_call"]

Leaves = list[Any]


@define(eq=False)
class Given:
    """What the user gave, as a param: equal when made of equal parts.

    Args:
        name: the function's name, for errors.
        functions: the rule, or (forward, backward).
        static: arguments that are not differentiated, by position.
        in_tree: the structure of the others.
        out_tree: the structure of the result.
        count: how many leaves the others have.
    """

    name: str
    functions: tuple[Callable[..., Any], ...]
    static: tuple[Any, ...]
    in_tree: tree.TreeDef
    out_tree: tree.TreeDef
    count: int
    key: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        parts = (self.name, self.functions, self.static, self.in_tree, self.out_tree)
        try:
            hash(parts)
            self.key = parts
        except TypeError:
            self.key = object()

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Given) and bool(self.key == other.key)

    def __repr__(self) -> str:
        return self.name

    def out_leaves(self, out: Any, types: Sequence[Type] | None, what: str) -> Leaves:
        """Flatten a rule's result and compare it with the function's."""
        found, got = numeric_leaves(out, f"{self.name} ({what})")
        if got != self.out_tree:
            raise errors.TreeError(
                f"{self.name}: the rule's {what} has the structure {got}, the function"
                f" returns {self.out_tree}; both must be the same"
            )
        if types is None:
            return found
        return [
            _fitted(x, t, path, self.name, what)
            for x, t, path in zip(found, types, paths(out), strict=True)
        ]


def _fitted(x: Any, type: Type, path: str, name: str, what: str) -> Any:
    if x.shape != type.shape:
        raise errors.ShapeError(
            f"{name}: the rule's {what}{place(path)} is {x.type}, the value there is"
            f" {type}; both must have one shape"
        )
    if not dtypes.is_inexact(type.dtype):
        return None
    return x if x.dtype == type.dtype else convert(x, type.dtype)


def _directions(primals: Sequence[Any], tangents: Sequence[Any]) -> Leaves:
    return [instantiate(t, p) for p, t in zip(primals, tangents, strict=True)]


# custom_jvp -------------------------------------------------------------------------


@frozen
class Push:
    """The user's rule over flat arrays."""

    given: Given

    @property
    def count(self) -> int:
        """How many operands the rule takes."""
        return self.given.count

    def __call__(self, primals: Leaves, tangents: Leaves) -> tuple[Leaves, Leaves]:
        """Return results and tangents; None for a result that has none."""
        g = self.given
        args = tree.unflatten(g.in_tree, primals)
        dots = tree.unflatten(g.in_tree, _directions(primals, tangents))
        pair = g.functions[0](*g.static, args, dots)
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise errors.TreeError(
                f"{g.name}: the rule must return a pair (result, tangent), it returned"
                f" {shown(pair)}"
            )
        outs = g.out_leaves(pair[0], None, "result")
        return outs, g.out_leaves(pair[1], [o.type for o in outs], "tangent")


@frozen
class PushLanes:
    """A rule over a whole axis."""

    inner: Any
    dims: tuple[int | None, ...]
    size: int
    name: Any = None

    @property
    def count(self) -> int:
        """How many operands the rule takes."""
        return len(self.dims)

    def __call__(self, primals: Leaves, tangents: Leaves) -> tuple[Leaves, Leaves]:
        """Return results and tangents, the axis in front."""
        moving = [t is not None for t in tangents]
        given = [t for t in tangents if t is not None]
        present: list[bool] = []

        def run(*lanes: Any) -> Leaves:
            values = lanes[: len(primals)]
            rest = iter(lanes[len(primals) :])
            dots = [next(rest) if m else None for m in moving]
            outs, pushed = self.inner(list(values), dots)
            present[:] = [t is not None for t in pushed]
            return [*outs, *(t for t in pushed if t is not None)]

        axes = [*self.dims, *(d for d, m in zip(self.dims, moving, strict=True) if m)]
        wholes, found = vmap_flat(run, [*primals, *given], axes, self.size, self.name)
        placed = [
            place_axis(w, a, 0, self.size) for w, a in zip(wholes, found, strict=True)
        ]
        rest = iter(placed[len(present) :])
        return placed[: len(present)], [next(rest) if p else None for p in present]


def _infer(*types: Type, graph: Graph, rule: Any) -> tuple[Type, ...]:
    del types, rule
    return graph.out_types


def _reference(*arrays: Any, graph: Graph, rule: Any) -> tuple[Any, ...]:
    del rule
    return tuple(interpret(graph, arrays))


def _closed_over(kind: str, rule: Any, tangents: Sequence[Any]) -> None:
    if any(t is not None for t in tangents[rule.count :]):
        raise errors.TraceError(
            f"{kind}: the function closes over a value that is being differentiated,"
            " but its rule knows only its arguments; pass the value as an argument"
        )


def _jvp(primals: Any, tangents: Any, *, graph: Graph, rule: Any) -> Any:
    del graph
    _closed_over("custom_jvp", rule, tangents)
    count = rule.count
    outs, dots = rule(list(primals[:count]), list(tangents[:count]))
    return tuple(outs), tuple(dots)


def _lanes(graph: Graph, args: Any, dims: Any) -> tuple[Graph, Any, int]:
    """Return a Graph over a whole axis, which is in front in every result."""
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)

    def run(*lanes: Any) -> Leaves:
        wholes, found = vmap_flat(
            lambda *a: apply(graph, a), lanes, dims, size, axis_name()
        )
        return [place_axis(w, a, 0, size) for w, a in zip(wholes, found, strict=True)]

    made = capture(run, [a.type for a in args])
    return made.graph, made.constants, size


def _batch(args: Any, dims: Any, *, graph: Graph, rule: Any) -> Any:
    wide, constants, size = _lanes(graph, args, dims)
    lanes = PushLanes(rule, tuple(dims[: rule.count]), size, axis_name())
    outs = custom_jvp_call.bind(*args, *constants, graph=wide, rule=lanes)
    return outs, (0,) * len(outs)


custom_jvp_call: Primitive = Primitive(
    name="custom_jvp",
    family="control",
    infer=_infer,
    lower=Calls(),
    reference=_reference,
    jvp=_jvp,
    transpose=NoRule("custom_jvp: the function is not linear"),
    batch=_batch,
    samples=NoRule("drawn by the tests of control"),
    multiple=True,
    document="Apply a Graph whose derivative is given.",
)


# custom_vjp -------------------------------------------------------------------------


@frozen
class Pull:
    """The user's backward rule over flat arrays."""

    given: Given
    residual_tree: tree.TreeDef

    def __call__(self, residuals: Leaves, cts: Leaves) -> Leaves:
        """Return the arguments' cotangents, None for none."""
        g = self.given
        res = tree.unflatten(self.residual_tree, residuals)
        out = g.functions[1](*g.static, res, tree.unflatten(g.out_tree, cts))
        children = tree.unflatten(g.in_tree, list(range(g.count)))
        if not (isinstance(out, tuple | list) and len(out) == len(children)):
            got = f"{len(out)}" if isinstance(out, tuple | list) else type(out).__name__
            raise errors.TreeError(
                f"{g.name}: the backward rule must return a tuple of"
                f" {len(children)} cotangents, one per argument, got {got}"
            )
        made: Leaves = []
        for k, (part, child) in enumerate(zip(out, children, strict=True)):
            wanted = tree.structure(child)
            if part is None:
                made += [None] * wanted.num_leaves
                continue
            leaves, got_tree = numeric_leaves(part, f"{g.name} (backward)")
            if got_tree != wanted:
                raise errors.TreeError(
                    f"{g.name}: the backward rule's cotangent {k} has the structure"
                    f" {got_tree}, argument {k} has {wanted}"
                )
            made += leaves
        return made


@frozen
class Both:
    """The user's forward and backward rules over flat arrays."""

    given: Given

    @property
    def count(self) -> int:
        """How many operands the rule takes."""
        return self.given.count

    def __call__(self, primals: Leaves) -> tuple[Leaves, Leaves, Any]:
        """Return results, residuals, and what turns cotangents around."""
        g = self.given
        pair = g.functions[0](*_merged(g, primals))
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise errors.TreeError(
                f"{g.name}: the forward rule must return a pair (result, residuals), it"
                f" returned {shown(pair)}"
            )
        outs = g.out_leaves(pair[0], None, "result")
        residuals, residual_tree = numeric_leaves(pair[1], f"{g.name} (residuals)")
        return outs, residuals, Pull(g, residual_tree)


def _merged(given: Given, primals: Leaves) -> list[Any]:
    """Return all arguments in the function's order."""
    args = list(tree.unflatten(given.in_tree, primals))
    numbers = given.functions[2:]
    for k, value in zip(numbers, given.static, strict=True):
        args.insert(k, value)  # type: ignore[arg-type]
    return args


@frozen
class PullLanes:
    """A backward rule over a whole axis; cotangents of shared arguments add up."""

    inner: Any
    residual_dims: tuple[int | None, ...]
    dims: tuple[int | None, ...]
    size: int
    name: Any = None

    def __call__(self, residuals: Leaves, cts: Leaves) -> Leaves:
        """Return the arguments' cotangents, None for none."""
        present: list[bool] = []

        def run(*lanes: Any) -> Leaves:
            cut = len(residuals)
            found = self.inner(list(lanes[:cut]), list(lanes[cut:]))
            present[:] = [f is not None for f in found]
            return [f for f in found if f is not None]

        axes = [*self.residual_dims, *(0 for _ in cts)]
        wholes, found = vmap_flat(run, [*residuals, *cts], axes, self.size, self.name)
        pairs = iter(zip(wholes, found, strict=True))
        made: Leaves = []
        for d, flag in zip(self.dims, present, strict=True):
            if not flag:
                made.append(None)
                continue
            w, a = next(pairs)
            if d is not None:
                made.append(place_axis(w, a, d, self.size))
            else:
                whole = place_axis(w, a, 0, self.size)
                made.append(REGISTRY["sum"].bind(whole, axes=(0,)))
        return made


@frozen
class BothLanes:
    """Forward and backward rules over a whole axis."""

    inner: Any
    dims: tuple[int | None, ...]
    size: int
    name: Any = None

    @property
    def count(self) -> int:
        """How many operands the rule takes."""
        return len(self.dims)

    def __call__(self, primals: Leaves) -> tuple[Leaves, Leaves, Any]:
        """Return results, residuals, and what turns cotangents around."""
        kept: list[Any] = []

        def run(*lanes: Any) -> Leaves:
            outs, residuals, pull = self.inner(list(lanes))
            kept[:] = [len(outs), pull]
            return [*outs, *residuals]

        wholes, found = vmap_flat(run, primals, self.dims, self.size, self.name)
        count, pull = kept
        outs = [
            place_axis(w, a, 0, self.size)
            for w, a in zip(wholes[:count], found[:count], strict=True)
        ]
        lanes = PullLanes(pull, tuple(found[count:]), self.dims, self.size, self.name)
        return outs, wholes[count:], lanes


_FORWARD = (
    "custom_vjp: forward-mode differentiation (rx.jvp, rx.jacfwd, rx.hessian) needs a"
    " rule for tangents, and this function has only a backward rule; use"
    " rx.custom_jvp, or differentiate in reverse mode"
)


def _vjp_jvp(primals: Any, tangents: Any, *, graph: Graph, rule: Any) -> Any:
    _closed_over("custom_vjp", rule, tangents)
    if not isinstance(current(), Partial):
        raise errors.UserError(_FORWARD)
    count = rule.count
    outs, residuals, pull = rule(list(primals[:count]))
    types = tuple(t.strong() for t in graph.out_types)
    dots = _turned.bind(
        *residuals,
        *_directions(primals[:count], tangents[:count]),
        pull=pull,
        residuals=len(residuals),
        types=types,
    )
    flags = (dtypes.is_inexact(t.dtype) for t in types)
    return tuple(outs), tuple(
        d if f else None for d, f in zip(dots, flags, strict=True)
    )


def _vjp_batch(args: Any, dims: Any, *, graph: Graph, rule: Any) -> Any:
    wide, constants, size = _lanes(graph, args, dims)
    lanes = BothLanes(rule, tuple(dims[: rule.count]), size, axis_name())
    outs = custom_vjp_call.bind(*args, *constants, graph=wide, rule=lanes)
    return outs, (0,) * len(outs)


custom_vjp_call: Primitive = Primitive(
    name="custom_vjp",
    family="control",
    infer=_infer,
    lower=Calls(),
    reference=_reference,
    jvp=_vjp_jvp,
    transpose=NoRule("custom_vjp: the function is not linear"),
    batch=_vjp_batch,
    samples=NoRule("drawn by the tests of control"),
    multiple=True,
    document="Apply a Graph whose backward rule is given.",
)


def _turned_transpose(
    cts: Any, *operands: Any, pull: Any, residuals: int, types: tuple[Type, ...]
) -> Any:
    full = [zeros(t) if c is None else c for c, t in zip(cts, types, strict=True)]
    linear = operands[residuals:]
    found = pull(list(operands[:residuals]), full)
    made = [
        f if isinstance(o, Linear) and f is not None else None
        for f, o in zip(found, linear, strict=True)
    ]
    for k, (f, o) in enumerate(zip(made, linear, strict=True)):
        if f is not None and f.shape != o.type.shape:
            raise errors.ShapeError(
                f"custom_vjp: the backward rule's cotangent {k} is {f.type}, the"
                f" argument there is {o.type}; both must have one shape"
            )
        if f is not None and f.dtype != o.type.dtype:
            made[k] = convert(f, o.type.dtype)
    return [*(None for _ in range(residuals)), *made]


def _turned_batch(
    args: Any, dims: Any, *, pull: Any, residuals: int, types: tuple[Type, ...]
) -> Any:
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    lanes = PullLanes(
        pull, tuple(dims[:residuals]), tuple(dims[residuals:]), size, axis_name()
    )
    wide = tuple(t.with_shape((size, *t.shape)) for t in types)
    outs = _turned.bind(*args, pull=lanes, residuals=residuals, types=wide)
    return outs, (0,) * len(outs)


def _refuse(*arrays: Any, **params: Any) -> Any:
    del arrays, params
    raise errors.UserError(_FORWARD)


_turned: Primitive = Primitive(
    name="backward_only",
    family="control",
    infer=lambda *_, types, **__: types,
    lower=Opaque("it exists only to be transposed"),
    reference=_refuse,
    jvp=NoRule(_FORWARD),
    transpose=_turned_transpose,
    batch=_turned_batch,
    samples=NoRule("drawn by the tests of control"),
    multiple=True,
    document="Stand for a derivative of which only the transpose is known.",
)
