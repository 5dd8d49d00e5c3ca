"""Derivatives of functions of pytrees: the public face of jvp and linearize."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from rxcore.base import dtypes, errors, tree
from rxcore.base.frames import hides_frames
from rxcore.ir.primitive import REGISTRY
from rxcore.ops import shape as maps
from rxcore.ops.convert import convert
from rxcore.ops.families import zeros
from rxcore.runtime.array import Array, beside
from rxcore.trace.capture import apply
from rxcore.trace.tracer import working
from rxcore.transforms.arguments import Flattened, check_inexact, numeric_leaves
from rxcore.transforms.jvp import instantiate, jvp_flat
from rxcore.transforms.linearize import Linearized, linearize_flat
from rxcore.transforms.transpose import transpose_graph
from rxcore.transforms.vmap import place_axis, vmap_flat

__all__ = [
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "value_and_grad",
    "vjp",
]

Function = Callable[..., Any]


def _argnums(argnums: int | Sequence[int], count: int, call: str) -> tuple[int, ...]:
    given = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for k in given:
        if not -count <= k < count:
            raise errors.ShapeError(
                f"{call}: argnums={argnums} names argument {k}, but the call has"
                f" {count} positional arguments"
            )
    return tuple(k % count for k in given)


def _pull_back(made: Linearized, cotangents: Sequence[Any]) -> list[Any]:
    """Return the cotangents of the wanted inputs, None for none."""
    moving = [ct for ct, m in zip(cotangents, made.moving, strict=True) if m]
    count = sum(made.wanted)
    flags = [True] * count + [False] * len(made.residuals)
    with working():
        return transpose_graph(made.graph, flags, made.residuals, moving)


def _one(type: Any) -> Any:
    return Array.scalar(1, type.strong())


def value_and_grad(
    fun: Function,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Function:
    """Return a function that gives both the value and the gradient.

    **Meaning**: `lambda *args: (f(*args), grad(f)(*args))`, in one pass.

    Args:
        fun: gives one number (an array of shape ()); with `has_aux` a pair
            (number, auxiliary pytree).
        argnums: which positional arguments to differentiate: an int or ints.
        has_aux: whether the function returns something beside the number.
        holomorphic: whether complex arguments are allowed.

    Returns:
        A function of the same arguments giving (value, gradient), where the value is
        (number, auxiliary) with `has_aux`, and the gradient has the structure of the
        argument (a tuple of them when `argnums` holds several).

    Raises:
        ShapeError: when the function's result is not a scalar.
        DTypeError: when an argument is integer, or complex without `holomorphic`.

    Example:
        >>> import rxcore as rx
        >>> rx.value_and_grad(lambda x: (x * x).sum())(rx.asarray([1.0, 2.0]))
        (Array(5., dtype=float32), Array([2., 4.], dtype=float32))
    """

    @hides_frames
    @functools.wraps(fun)
    def differentiate(*args: Any, **kwargs: Any) -> Any:
        call = "grad"
        numbers = _argnums(argnums, len(args), call)
        flat, wanted, treedef = _leaves(args, numbers, call)
        if not holomorphic:
            _refuse_complex(flat, wanted, call)
        inner = Flattened(fun, treedef, call, has_aux, kwargs)
        made = linearize_flat(inner, flat, wanted)
        _check_scalar(made.outputs[: inner.count], inner, call, holomorphic)
        cts: list[Any] = [_one(made.outputs[0].type)]
        cts += [None] * (len(made.outputs) - 1)
        found = _pull_back(made, cts)
        gradient = _gradients(args, numbers, flat, wanted, found)
        value = inner.result(made.outputs[:1])
        if has_aux:
            value = (value, inner.auxiliary(made.outputs[1:]))
        return value, gradient[0] if isinstance(argnums, int) else tuple(gradient)

    return differentiate


def _leaves(
    args: tuple[Any, ...], numbers: tuple[int, ...], call: str
) -> tuple[list[Any], list[bool], tree.TreeDef]:
    """Flatten the arguments; say which leaves are differentiated."""
    flat: list[Any] = []
    wanted: list[bool] = []
    for k, a in enumerate(args):
        if k in numbers:
            leaves, _ = numeric_leaves(a, f"{call} (argument {k})")
            check_inexact(leaves, call)
        else:
            leaves = tree.leaves(a)
        flat += leaves
        wanted += [k in numbers] * len(leaves)
    return flat, wanted, tree.structure(args)


def _refuse_complex(flat: list[Any], wanted: list[bool], call: str) -> None:
    for x, w in zip(flat, wanted, strict=True):
        if w and dtypes.is_complex(x.dtype):
            raise errors.DTypeError(
                f"{call}: an argument is {x.dtype.name}; pass holomorphic=True if the"
                " function is holomorphic, else split it into real and imaginary part"
            )


def _check_scalar(outs: Any, inner: Flattened, call: str, holomorphic: bool) -> None:
    if len(outs) != 1 or not inner.out_tree.is_leaf():
        raise errors.TreeError(
            f"{call}: the function must return one number, it returned a pytree of"
            f" {len(outs)} arrays; return one, or use has_aux=True for the rest"
        )
    (out,) = outs
    if out.shape:
        raise errors.ShapeError(
            f"{call}: the function must return a scalar (shape ()), it returned shape"
            f" {out.shape}; take .sum() or .mean(), or use rx.jacrev"
        )
    if not dtypes.is_inexact(out.dtype):
        raise errors.DTypeError(
            f"{call}: the function must return a float, it returned {out.dtype.name}"
        )
    if dtypes.is_complex(out.dtype) and not holomorphic:
        raise errors.DTypeError(
            f"{call}: the function returned {out.dtype.name}; return a real number, or"
            " pass holomorphic=True"
        )


def _gradients(
    args: tuple[Any, ...],
    numbers: tuple[int, ...],
    flat: list[Any],
    wanted: list[bool],
    found: list[Any],
) -> list[Any]:
    """Return one pytree of cotangents for each differentiated argument."""
    rest = iter(found)
    leaves = [
        instantiate(next(rest), x) if w else None
        for x, w in zip(flat, wanted, strict=True)
    ]
    by_argument: dict[int, Any] = {}
    position = 0
    for k, a in enumerate(args):
        treedef = tree.structure(a)
        count = treedef.num_leaves
        if k in numbers:
            part = leaves[position : position + count]
            by_argument[k] = tree.unflatten(treedef, part)
        position += count
    return [by_argument[k] for k in numbers]


def grad(
    fun: Function,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Function:
    """Return the gradient function of a function that gives one number.

    **Meaning**: `grad(f)(x)[i] = d f(x) / d x[i]`

    Args:
        fun: gives one number (an array of shape ()); with `has_aux` a pair
            (number, auxiliary pytree).
        argnums: which positional arguments to differentiate: an int or ints.
        has_aux: whether the function returns something beside the number.
        holomorphic: whether complex arguments are allowed.

    Returns:
        A function of the same arguments giving the gradient, in the structure of the
        argument; with `has_aux`, (gradient, auxiliary).

    Raises:
        ShapeError: when the function's result is not a scalar.
        DTypeError: when an argument is integer.

    Example:
        >>> import rxcore as rx
        >>> rx.grad(lambda x: x**3)(2.0)
        Array(12., dtype=float32)
    """
    both = value_and_grad(fun, argnums, has_aux, holomorphic)

    @functools.wraps(fun)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


@hides_frames
def vjp(fun: Function, *primals: Any, has_aux: bool = False) -> Any:
    """Return a function's value and the function that pulls cotangents back.

    **Meaning**: `f(*primals), lambda ct: ct @ J`, where J is the Jacobian.

    Args:
        fun: from pytrees of arrays to a pytree of arrays.
        *primals: where to differentiate.
        has_aux: whether the function returns (result, auxiliary).

    Returns:
        (result, pull), or (result, pull, auxiliary); `pull(ct)` gives one cotangent
        for each primal; integer primals get None.

    Example:
        >>> import rxcore as rx
        >>> y, pull = rx.vjp(lambda x: x * x, rx.asarray([3.0]))
        >>> pull(rx.asarray([1.0]))
        (Array([6.], dtype=float32),)
    """
    flat, treedef = numeric_leaves(primals, "vjp")
    wanted = [dtypes.is_inexact(x.dtype) for x in flat]
    inner = Flattened(fun, treedef, "vjp", has_aux)
    made = linearize_flat(inner, flat, wanted)
    count = inner.count

    def pull(ct: Any) -> Any:
        cts = _cotangents(ct, inner, made.outputs[:count])
        cts += [None] * (len(made.outputs) - count)
        found = iter(_pull_back(made, cts))
        leaves = [
            instantiate(next(found), x) if w else None
            for x, w in zip(flat, wanted, strict=True)
        ]
        return tree.unflatten(treedef, leaves)

    out = inner.result(made.outputs[:count])
    if has_aux:
        return out, pull, inner.auxiliary(made.outputs[count:])
    return out, pull


def _cotangents(ct: Any, inner: Flattened, outs: Sequence[Any]) -> list[Any]:
    leaves, treedef = numeric_leaves(ct, "vjp (cotangent)")
    if treedef != inner.out_tree:
        raise errors.TreeError(
            f"vjp: the cotangent has the structure {treedef}, the result"
            f" {inner.out_tree}; they must be equal"
        )
    cts: list[Any] = []
    for c, o in zip(leaves, outs, strict=True):
        if c.shape != o.shape:
            raise errors.ShapeError(
                f"vjp: a cotangent has shape {c.shape}, its result {o.shape}"
            )
        cts.append(convert(c, o.dtype) if dtypes.is_inexact(o.dtype) else None)
    return cts


@hides_frames
def jvp(
    fun: Function,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: bool = False,
) -> Any:
    """Return a function's value and its derivative along tangents.

    **Meaning**: `f(*primals), J @ tangents`, where J is the Jacobian.

    Args:
        fun: from pytrees of arrays to a pytree of arrays.
        primals: tuple or list of arguments: where to differentiate.
        tangents: as `primals`, of the same shapes: the direction.
        has_aux: whether the function returns (result, auxiliary).

    Returns:
        (result, tangent), or (result, tangent, auxiliary).

    Raises:
        TreeError: when `primals` and `tangents` differ in structure.
        ShapeError: when they differ in shape.

    Example:
        >>> import rxcore as rx
        >>> rx.jvp(lambda x: x * x, (3.0,), (1.0,))
        (Array(9., dtype=float32), Array(6., dtype=float32))
    """
    flat, dots, treedef = _directions(primals, tangents, "jvp")
    inner = Flattened(fun, treedef, "jvp", has_aux)
    outs, found = jvp_flat(inner, flat, dots)
    count = inner.count
    out = inner.result(outs[:count])
    moved = [
        instantiate(t, o) for t, o in zip(found[:count], outs[:count], strict=True)
    ]
    if has_aux:
        return out, inner.result(moved), inner.auxiliary(outs[count:])
    return out, inner.result(moved)


def _directions(
    primals: Sequence[Any], tangents: Sequence[Any], call: str
) -> tuple[list[Any], list[Any], tree.TreeDef]:
    for given, what in ((primals, "primals"), (tangents, "tangents")):
        if not isinstance(given, tuple | list):
            raise errors.TreeError(
                f"{call}: {what} must be a tuple or list with one entry per argument,"
                f" got a {type(given).__name__}; write ({what[:-1]},)"
            )
    flat, treedef = numeric_leaves(tuple(primals), f"{call} (primals)")
    dots, other = numeric_leaves(tuple(tangents), f"{call} (tangents)")
    if treedef != other:
        raise errors.TreeError(
            f"{call}: primals have the structure {treedef}, tangents {other}"
        )
    made: list[Any] = []
    for p, t in zip(flat, dots, strict=True):
        if p.shape != t.shape:
            raise errors.ShapeError(
                f"{call}: a primal has shape {p.shape}, its tangent {t.shape}"
            )
        made.append(convert(t, p.dtype) if dtypes.is_inexact(p.dtype) else None)
    return flat, made, treedef


@hides_frames
def linearize(fun: Function, *primals: Any) -> tuple[Any, Function]:
    """Return a function's value and its derivative there as a linear function.

    **Meaning**: `f(*primals), lambda *t: J @ t`; calling the second again and again
    does not evaluate `f` again.

    Args:
        fun: from pytrees of arrays to a pytree of arrays.
        *primals: where to linearize.

    Returns:
        (result, push): `push(*tangents)` takes one tangent for each primal.

    Raises:
        TreeError: when tangents differ from the primals in structure.
        ShapeError: when they differ in shape.

    Example:
        >>> import rxcore as rx
        >>> y, push = rx.linearize(lambda x: x * x, rx.asarray([3.0]))
        >>> push(rx.asarray([1.0]))
        Array([6.], dtype=float32)
    """
    flat, treedef = numeric_leaves(primals, "linearize")
    wanted = [dtypes.is_inexact(x.dtype) for x in flat]
    inner = Flattened(fun, treedef, "linearize")
    made = linearize_flat(inner, flat, wanted)

    def push(*tangents: Any) -> Any:
        _, dots, _ = _directions(primals, tangents, "linearize")
        given = [t for t, w in zip(dots, wanted, strict=True) if w]
        found = iter(apply(made.graph, [*given, *made.residuals]))
        outs = [
            next(found) if m else beside(zeros(o.type.strong()), o)
            for o, m in zip(made.outputs, made.moving, strict=True)
        ]
        return inner.result(outs)

    return inner.result(made.outputs), push


def _basis(x: Any) -> Any:
    """Return the unit arrays of x's shape, stacked in front."""
    square = (x.size, x.size)
    iota, equal = REGISTRY["iota"], REGISTRY["eq"]
    rows = iota.bind(dtype=dtypes.int32, shape=square, axis=0)
    columns = iota.bind(dtype=dtypes.int32, shape=square, axis=1)
    eye = convert(equal.bind(rows, columns), x.dtype)
    return maps.reshape(eye, (x.size, *x.shape))


def jacfwd(
    fun: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Function:
    """Return the Jacobian of a function, column by column in forward mode.

    **Meaning**: `jacfwd(f)(x)[i..., j...] = d f(x)[i...] / d x[j...]`

    Good where the result has more elements than the argument.

    Args:
        fun: from pytrees of arrays to a pytree of arrays.
        argnums: which positional arguments to differentiate: an int or ints.
        has_aux: whether the function returns (result, auxiliary).

    Returns:
        A function giving, for each leaf of the result, the argument's pytree of
        arrays of shape (*result, *argument).

    Example:
        >>> import rxcore as rx
        >>> rx.jacfwd(lambda x: x * x)(rx.asarray([1.0, 2.0]))
        Array([[2., 0.],
               [0., 4.]], dtype=float32)
    """

    @hides_frames
    @functools.wraps(fun)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        numbers = _argnums(argnums, len(args), "jacfwd")
        flat, wanted, treedef = _leaves(args, numbers, "jacfwd")
        inner = Flattened(fun, treedef, "jacfwd", has_aux, kwargs)
        made = linearize_flat(inner, flat, wanted)
        moved = [x for x, w in zip(flat, wanted, strict=True) if w]
        columns: list[list[Any]] = []
        for k, x in enumerate(moved):
            columns.append(_columns(made, moved, k, x))
        outs = made.outputs[: inner.count]
        rows = [
            _arrange(args, numbers, argnums, [c[i] for c in columns])
            for i in range(len(outs))
        ]
        out = tree.unflatten(inner.out_tree, rows)
        return (out, inner.auxiliary(made.outputs[inner.count :])) if has_aux else out

    return jacobian


def _columns(made: Linearized, moved: list[Any], k: int, x: Any) -> list[Any]:
    """Return d out / d x for every output, the axes of x last."""

    def push(direction: Any) -> list[Any]:
        tangents = [
            direction if i == k else zeros(m.type.strong()) for i, m in enumerate(moved)
        ]
        found = iter(apply(made.graph, [*tangents, *made.residuals]))
        return [
            next(found) if m else zeros(o.type.strong())
            for o, m in zip(made.outputs, made.moving, strict=True)
        ]

    wholes, axes = vmap_flat(push, [_basis(x)], [0], x.size)
    return [
        maps.reshape(place_axis(w, a, o.ndim, x.size), (*o.shape, *x.shape))
        for w, a, o in zip(wholes, axes, made.outputs, strict=True)
    ]


def _arrange(args: Any, numbers: Any, argnums: Any, leaves: list[Any]) -> Any:
    """Put one array for each differentiated leaf into the arguments' structure."""
    rest = iter(leaves)
    made = []
    for k in numbers:
        treedef = tree.structure(args[k])
        part = [next(rest) for _ in range(treedef.num_leaves)]
        made.append(tree.unflatten(treedef, part))
    return made[0] if isinstance(argnums, int) else tuple(made)


def jacrev(
    fun: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Function:
    """Return the Jacobian of a function, row by row in reverse mode.

    **Meaning**: `jacrev(f)(x)[i..., j...] = d f(x)[i...] / d x[j...]`

    Good where the argument has more elements than the result.

    Args:
        fun: from pytrees of arrays to a pytree of arrays.
        argnums: which positional arguments to differentiate: an int or ints.
        has_aux: whether the function returns (result, auxiliary).

    Returns:
        A function giving, for each leaf of the result, the argument's pytree of
        arrays of shape (*result, *argument).

    Example:
        >>> import rxcore as rx
        >>> rx.jacrev(lambda x: (x * x).sum())(rx.asarray([1.0, 2.0]))
        Array([2., 4.], dtype=float32)
    """

    @hides_frames
    @functools.wraps(fun)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        numbers = _argnums(argnums, len(args), "jacrev")
        flat, wanted, treedef = _leaves(args, numbers, "jacrev")
        inner = Flattened(fun, treedef, "jacrev", has_aux, kwargs)
        made = linearize_flat(inner, flat, wanted)
        moved = [x for x, w in zip(flat, wanted, strict=True) if w]
        outs = made.outputs[: inner.count]
        rows = [
            _arrange(args, numbers, argnums, _rows(made, moved, k, o))
            for k, o in enumerate(outs)
        ]
        out = tree.unflatten(inner.out_tree, rows)
        return (out, inner.auxiliary(made.outputs[inner.count :])) if has_aux else out

    return jacobian


def _rows(made: Linearized, moved: list[Any], k: int, out: Any) -> list[Any]:
    """Return d out / d x for every differentiated x, the axes of out first."""

    def pull(ct: Any) -> list[Any]:
        cts = [ct if i == k else None for i in range(len(made.outputs))]
        found = _pull_back(made, cts)
        return [instantiate(f, x) for f, x in zip(found, moved, strict=True)]

    wholes, axes = vmap_flat(pull, [_basis(out)], [0], out.size)
    return [
        maps.reshape(place_axis(w, a, 0, out.size), (*out.shape, *x.shape))
        for w, a, x in zip(wholes, axes, moved, strict=True)
    ]


def hessian(fun: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return the matrix of second derivatives: forward over reverse mode.

    **Meaning**: `hessian(f)(x)[i..., j...] = d2 f(x) / (d x[i...] d x[j...])`

    Args:
        fun: from pytrees of arrays to a pytree of arrays, mostly to one number.
        argnums: which positional arguments to differentiate: an int or ints.

    Returns:
        A function giving, for each leaf of the result, nested pytrees of arrays of
        shape (*result, *argument, *argument).

    Raises:
        DTypeError: when an argument is integer.

    Example:
        >>> import rxcore as rx
        >>> rx.hessian(lambda x: (x * x * x).sum())(rx.asarray([1.0, 2.0]))
        Array([[ 6.,  0.],
               [ 0., 12.]], dtype=float32)
    """
    return jacfwd(jacrev(fun, argnums), argnums)


def hvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """Return the Hessian of a function of one number, applied to a direction.

    **Meaning**: `hessian(f)(x) @ t`, without the Hessian: forward over reverse mode
    (Pearlmutter, "Fast exact multiplication by the Hessian", 1994).

    Args:
        f: gives one number.
        primals: tuple of arguments, all differentiated.
        tangents: tuple of directions, one for each argument.

    Returns:
        The product, in the structure of the argument, or a tuple of one product for
        each where there are several.

    Example:
        >>> import rxcore as rx
        >>> x = rx.asarray([1.0, 2.0])
        >>> rx.hvp(lambda x: (x**3).sum(), (x,), (x,))
        Array([ 6., 24.], dtype=float32)
    """
    count = len(primals)
    argnums: int | tuple[int, ...] = 0 if count == 1 else tuple(range(count))
    return jvp(grad(f, argnums), primals, tangents)[1]
