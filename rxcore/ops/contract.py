"""Contractions: sums of products, described by axis labels as in einsum.

`contract(x, y; x_labels, y_labels, out_labels)` names every axis by a letter. A label
of the operands that the result lacks is summed over. Types, transposition and batching
are then a dict, a swap and one more letter. Lowering sorts labels into batch, m, n and
k, and looks whether the strides make one matrix product: that is the op `product`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from attrs import evolve, frozen

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.base.lazy import LazyModule
from rxcore.compiler.address import strides_of
from rxcore.ir.graph import Equation, Operand
from rxcore.ir.primitive import REGISTRY, Expand, Native, Primitive
from rxcore.ir.types import Type
from rxcore.ops import shape as maps
from rxcore.ops.families import Linear, product_rule
from rxcore.ops.samples import Case, Samples, draw
from rxcore.trace.capture import capture
from rxcore_kernels.plan import In, Out, Plan, Scratch, Word

if TYPE_CHECKING:
    from rxcore_kernels.launch import LaunchPlan
    from rxcore_kernels.opencl_facts import Facts

__all__: list[str] = []

# Loaded when a program first needs them.
matmul_kernel = LazyModule("rxcore_kernels.matmul")
matmul_opencl = LazyModule("rxcore_kernels.matmul_opencl")

W = TypeVar("W", bound=Word | Scratch)

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def letter(number: int) -> str:
    """Return the label of a number; there is no end of them."""
    return _LETTERS[number] if number < 52 else chr(0x100 + number)


def _sizes(
    x: Type, y: Type, x_labels: str, y_labels: str, out_labels: str
) -> dict[str, int]:
    """Return the length of each label, checked."""
    sizes: dict[str, int] = {}
    for labels, type in ((x_labels, x), (y_labels, y)):
        if len(labels) != type.ndim or len(set(labels)) != len(labels):
            raise errors.ShapeError(
                f"contract: labels {labels!r} do not name the axes of shape"
                f" {type.shape}, one letter each"
            )
        for name, n in zip(labels, type.shape, strict=True):
            if sizes.setdefault(name, n) != n:
                raise errors.ShapeError(
                    f"contract: axes that are multiplied must have one length, got"
                    f" shapes {x.shape} and {y.shape} ({x_labels},{y_labels}->"
                    f"{out_labels})"
                )
    shared = set(x_labels) & set(y_labels)
    lone = set(sizes) - shared - set(out_labels)
    if set(out_labels) - set(sizes) or lone or len(set(out_labels)) != len(out_labels):
        raise errors.ShapeError(
            f"contract: every label of {x_labels},{y_labels}->{out_labels} must stand"
            " in two of the three"
        )
    return sizes


def _infer(x: Type, y: Type, **labels: str) -> Type:
    sizes = _sizes(x, y, **labels)
    if x.dtype != y.dtype:
        raise errors.DTypeError(
            f"contract: dtypes {x.dtype.name} and {y.dtype.name} differ; convert one"
            " with .astype(...)"
        )
    shape = tuple(sizes[name] for name in labels["out_labels"])
    return Type(x.dtype, shape, x.weak and y.weak)


@frozen
class Groups:
    """Labels by their role: batch in all three, m of x, n of y, k summed."""

    batch: str
    m: str
    n: str
    k: str

    @classmethod
    def of(cls, x_labels: str, y_labels: str, out_labels: str) -> Groups:
        """Sort labels; each group in the result's order, k in that of x."""
        both = set(x_labels) & set(y_labels)
        return cls(
            "".join(c for c in out_labels if c in both),
            "".join(c for c in out_labels if c not in y_labels),
            "".join(c for c in out_labels if c not in x_labels),
            "".join(c for c in x_labels if c in both and c not in out_labels),
        )


def _reference(x: Any, y: Any, *, x_labels: str, y_labels: str, out_labels: str) -> Any:
    groups = Groups.of(x_labels, y_labels, out_labels)
    dtype = x.dtype
    if dtype in dtypes.HALVES:
        x, y = x.astype(np.float32), y.astype(np.float32)
    sizes = dict(zip(x_labels + y_labels, x.shape + y.shape, strict=True))

    def extent(labels: str) -> int:
        return math.prod(sizes[c] for c in labels)

    def arrange(a: Any, labels: str, order: tuple[str, str, str]) -> Any:
        axes = [labels.index(c) for c in "".join(order)]
        return np.transpose(a, axes).reshape([extent(part) for part in order])

    left = arrange(x, x_labels, (groups.batch, groups.m, groups.k))
    right = arrange(y, y_labels, (groups.batch, groups.k, groups.n))
    with np.errstate(all="ignore"):
        found = np.matmul(left, right)
    order = groups.batch + groups.m + groups.n
    full = found.reshape([sizes[c] for c in order])
    return np.transpose(full, [order.index(c) for c in out_labels]).astype(dtype)


def _jvp_of(made: Any) -> Any:
    def jvp(primals: Any, tangents: Any, **labels: str) -> Any:
        return product_rule(made(), primals, tangents, **labels)

    return jvp


def _transpose(
    ct: Any, x: Any, y: Any, *, x_labels: str, y_labels: str, out_labels: str
) -> Any:
    if isinstance(x, Linear):
        return [bind_contract(ct, y, out_labels, y_labels, x_labels), None]
    return [None, bind_contract(x, ct, x_labels, out_labels, y_labels)]


def _batch(
    args: Any, dims: Any, *, x_labels: str, y_labels: str, out_labels: str
) -> Any:
    fresh = next(
        name
        for name in map(letter, range(len(x_labels + y_labels) + 1))
        if name not in x_labels + y_labels
    )
    first, second = (
        labels if d is None else labels[:d] + fresh + labels[d:]
        for labels, d in zip((x_labels, y_labels), dims, strict=True)
    )
    x, y = args
    return bind_contract(x, y, first, second, fresh + out_labels), 0


_PRODUCTS: tuple[tuple[tuple[int, ...], tuple[int, ...], str], ...] = (
    ((3, 4), (4, 5), "ab,bc->ac"),
    ((3, 4), (4, 5), "ab,bc->ca"),
    ((4, 3), (4, 5), "ba,bc->ac"),
    ((3, 4), (5, 4), "ab,cb->ac"),
    ((2, 3, 4), (2, 4, 5), "sab,sbc->sac"),
    ((2, 3, 4), (4, 5), "sab,bc->sac"),
    ((3, 4), (2, 4, 5), "ab,sbc->sac"),
    ((3, 4), (2, 4, 5), "ab,sbc->asc"),
    ((3, 2, 4), (4, 2, 5), "asb,bsc->sca"),
    ((2, 3, 4), (3, 4, 5), "abc,bcd->ad"),
    ((2, 3, 4), (4, 5, 3), "abc,cdb->ad"),
    ((4,), (4,), "a,a->"),
    ((3, 4), (4,), "ab,b->a"),
    ((3, 4), (3,), "ab,a->b"),
    ((2, 3, 4, 5), (2, 6, 4, 5), "bqhd,bkhd->bhqk"),
    ((2, 4, 3, 6), (2, 6, 4, 5), "bhqk,bkhd->bqhd"),
    ((2, 3, 4, 5), (2, 4, 3, 6), "bqhd,bhqk->bkhd"),
    ((3, 4), (3, 4), "ab,ab->a"),
    ((3, 4), (3, 4), "ab,ab->ab"),
    ((3,), (4,), "a,b->ba"),
    ((), (4,), ",a->a"),
    ((3, 1), (1, 4), "ab,bc->ac"),
    ((3, 0), (0, 4), "ab,bc->ac"),
    ((0, 3), (3, 4), "ab,bc->ac"),
    ((17, 33), (33, 40), "ab,bc->ac"),
)


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for x_shape, y_shape, text in _PRODUCTS:
        operands, out = text.split("->")
        first, second = operands.split(",")
        x, y = draw(rng, dtype, x_shape), draw(rng, dtype, y_shape)
        labels = {"x_labels": first, "y_labels": second, "out_labels": out}
        yield (x, y), labels


# the matrix product -----------------------------------------------------------------


@frozen
class _Matrices:
    """Arguments of `matmul_kernel.plan_matmul`."""

    sizes: tuple[int, int, int, int]
    a: tuple[int, int, int]
    b: tuple[int, int, int]
    c: tuple[int, int]
    in_order: bool = True
    """Whether the rows of the products are the rows of the result, one by one."""
    starts: tuple[tuple[int, int, int], ...] = ((0, 0, 0),)
    """Where in x, y and the result each of several such products begins."""


def _merged(labels: str, sizes: dict[str, int], strides: dict[str, int]) -> int | None:
    """Return the one stride with which labels run as one axis, None where not.

    An axis of length 1 has no stride; an absent one has stride 0.
    """
    step: int | None = None
    below = 1
    for name in reversed(labels):
        if sizes[name] == 1:
            continue
        stride = strides.get(name, 0)
        if step is None:
            step = stride
        elif stride != step * below:
            return None
        below *= sizes[name]
    return 0 if step is None else step


def _matrices(
    x: Type, y: Type, *, x_labels: str, y_labels: str, out_labels: str
) -> _Matrices | None:
    """Read the contraction as one batched matrix product in place, if it is one."""
    sizes = _sizes(x, y, x_labels=x_labels, y_labels=y_labels, out_labels=out_labels)
    shape = tuple(sizes[c] for c in out_labels)
    strides = tuple(
        dict(zip(labels, strides_of(lengths), strict=True))
        for labels, lengths in (
            (x_labels, x.shape),
            (y_labels, y.shape),
            (out_labels, shape),
        )
    )
    groups = Groups.of(x_labels, y_labels, out_labels)
    found = _by_place(x_labels, y_labels, out_labels, groups.k, sizes, strides)
    return found or _by_role(groups, sizes, strides)


_Strides = tuple[dict[str, int], ...]


def _by_place(
    x_labels: str,
    y_labels: str,
    out_labels: str,
    k: str,
    sizes: dict[str, int],
    strides: _Strides,
) -> _Matrices | None:
    """Take the result for a batch (of any kind), then rows of x, then columns of y.

    Each group must run with one stride through each operand.
    """
    cut = len(out_labels)
    while cut and out_labels[cut - 1] not in x_labels:
        cut -= 1
    first = cut
    while first and out_labels[first - 1] not in y_labels:
        first -= 1
    batch, m, n = out_labels[:first], out_labels[first:cut], out_labels[cut:]
    a = [_merged(part, sizes, strides[0]) for part in (batch, m, k)]
    b = [_merged(part, sizes, strides[1]) for part in (batch, k, n)]
    if None in a or None in b:
        return None
    s, rows, columns, depth = (_extent(part, sizes) for part in (batch, m, n, k))
    return _Matrices(
        (s, rows, columns, depth),
        (a[0] or 0, a[1] or 0, a[2] or 0),
        (b[0] or 0, b[1] or 0, b[2] or 0),
        (rows * columns, columns),
    )


def _extent(labels: Sequence[str], sizes: dict[str, int]) -> int:
    return math.prod(sizes[c] for c in labels)


MOST_PRODUCTS = 16
"""Products that one op may make instead of copying its operands into order."""


def _by_role(
    groups: Groups, sizes: dict[str, int], strides: _Strides
) -> _Matrices | None:
    """Let the rows of the result lie apart, and leave part of the batch outside.

    So attention reads (batch, place, head, feature) in place: one product for each
    element of the batch, its heads inside.
    """
    x, y, out = strides
    batch, m, n, k = groups.batch, groups.m, groups.n, groups.k
    columns = _merged(n, sizes, out)
    parts = [_merged(m, sizes, x), _merged(k, sizes, x), _merged(k, sizes, y)]
    parts += [_merged(n, sizes, y), _merged(m, sizes, out)]
    if (
        None in parts
        or columns not in (0, 1)
        or (columns == 0 and _extent(n, sizes) > 1)
    ):
        return None
    ways = [
        outer
        for count in range(len(batch) + 1)
        for outer in itertools.combinations(batch, count)
    ]
    for outer in sorted(ways, key=lambda labels: _extent(labels, sizes)):
        if _extent(outer, sizes) > MOST_PRODUCTS:
            break
        inner = "".join(c for c in batch if c not in outer)
        steps = [_merged(inner, sizes, along) for along in strides]
        if None in steps:
            continue
        starts = tuple(
            tuple(
                sum(i * along[c] for i, c in zip(place, outer, strict=True))
                for along in strides
            )
            for place in itertools.product(*(range(sizes[c]) for c in outer))
        )
        a_row, a_step, b_step, b_column, c_row = (p or 0 for p in parts)
        a, b, c = (step or 0 for step in steps)
        return _Matrices(
            tuple(_extent(p, sizes) for p in (inner, m, n, k)),  # type: ignore[arg-type]
            (a, a_row, a_step),
            (b, b_step, b_column),
            (c, c_row),
            False,
            starts,  # type: ignore[arg-type]
        )
    return None


def _plan(x: Type, y: Type, **labels: str) -> Any:
    found = _matrices(x, y, **labels)
    if found is None or x.dtype not in (dtypes.float32, dtypes.float64):
        return None
    if not math.prod(found.sizes[:3]) or not found.starts:
        return Plan(())
    strides = found.a, found.b, found.c
    plan = matmul_kernel.plan_matmul(x.dtype.name, *found.sizes, *strides)
    if found.in_order:
        return plan
    bytes_each = x.dtype.itemsize
    steps = tuple(
        evolve(step, words=tuple(_moved(w, start, bytes_each) for w in step.words))
        for start in found.starts
        for step in plan.steps
    )
    return evolve(plan, steps=steps, by_rows=False)


def _launches(facts: Facts, x: Type, y: Type, **labels: str) -> LaunchPlan | None:
    found = _matrices(x, y, **labels)
    if found is None or x.dtype not in (dtypes.float32, dtypes.float64):
        return None
    if not math.prod(found.sizes[:3]) or not found.starts:
        empty: LaunchPlan = matmul_opencl.LaunchPlan(())
        return empty
    plan: LaunchPlan | None = matmul_opencl.plan_opencl(
        facts, x.dtype.name, *found.sizes, found.a, found.b, found.c
    )
    if plan is None or found.in_order:
        return plan
    bytes_each = x.dtype.itemsize
    launches = [
        evolve(one, memories=tuple(_moved(w, start, bytes_each) for w in one.memories))
        for start in found.starts
        for one in plan.launches
    ]
    return evolve(plan, launches=tuple(launches))


def _moved(word: W, start: tuple[int, int, int], bytes_each: int) -> W:
    """Move an address in an operand or the result to where a product begins."""
    if isinstance(word, In | Out):
        which = 2 if isinstance(word, Out) else word.index
        return evolve(word, offset=word.offset + start[which] * bytes_each)
    return word


def _rows(x: Type, y: Type, **labels: str) -> int | None:
    found = _matrices(x, y, **labels)
    plan = _plan(x, y, **labels)
    if found is None or plan is None or not plan.by_rows:
        return None
    return found.sizes[0] * found.sizes[1]


def _simplify(e: Equation, made_by: Any) -> Any:
    """Read a transposed operand where it lies: its labels are rearranged instead."""
    for which, name in enumerate(("x_labels", "y_labels")):
        found = e.inputs[which]
        labels = e.params[name]
        best = None
        while True:
            maker = made_by(found)
            if maker is None or maker.primitive is not REGISTRY["transpose"]:
                break
            found = maker.inputs[0]
            order = maker.params["order"]
            labels = "".join(labels[order.index(i)] for i in range(len(order)))
            inputs = tuple(found if i == which else o for i, o in enumerate(e.inputs))
            params = {**e.params, name: labels}
            if e.primitive is _contract or _fits(inputs, params):
                best = e.primitive, inputs, params
        if best is not None:
            return best
    return None


def _fits(inputs: Sequence[Operand], labels: dict[str, str]) -> bool:
    return _matrices(inputs[0].type, inputs[1].type, **labels) is not None


def _product_cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for (x, y), labels in _cases(dtype, rng):
        types = Type(x.dtype, x.shape), Type(y.dtype, y.shape)
        if _matrices(*types, **labels) is not None:
            yield (x, y), labels


_product: Primitive = Primitive(
    name="product",
    family="contraction",
    infer=_infer,
    lower=Native(_plan, _rows, _launches),
    reference=_reference,
    jvp=_jvp_of(lambda: _product),
    transpose=_transpose,
    batch=_batch,
    samples=Samples((dtypes.float32, dtypes.float64), _product_cases, 64),
    simplify=_simplify,
    document="Multiply matrices that lie in the operands with one stride per group.",
)


# lowering ---------------------------------------------------------------------------


def _expand(x: Type, y: Type, **labels: str) -> Any:
    def compose(a: Any, b: Any) -> list[Any]:
        return [_composed(a, b, **labels)]

    return capture(compose, [x, y]).graph


def _composed(a: Any, b: Any, *, x_labels: str, y_labels: str, out_labels: str) -> Any:
    """Write the contraction as a matrix product, or as a multiplication and a sum."""
    groups = Groups.of(x_labels, y_labels, out_labels)
    sizes = dict(zip(x_labels + y_labels, a.shape + b.shape, strict=True))
    depth = math.prod(sizes[c] for c in groups.k)
    matrix = math.prod(sizes[c] for c in groups.m + groups.n) > 1
    dtype = a.dtype
    halves = dtype in dtypes.HALVES
    if halves:
        convert = REGISTRY["convert"].bind
        a, b = (convert(v, dtype=dtypes.float32) for v in (a, b))
    if a.dtype in (dtypes.float32, dtypes.float64) and depth != 1 and matrix:
        out = _as_product(a, b, x_labels, y_labels, out_labels)
    else:
        out = _multiply_and_sum(a, b, x_labels, y_labels, out_labels)
    return REGISTRY["convert"].bind(out, dtype=dtype) if halves else out


def _multiply_and_sum(a: Any, b: Any, x_labels: str, y_labels: str, out: str) -> Any:
    """Multiply over all labels and sum those that the result lacks: one loop."""
    groups = Groups.of(x_labels, y_labels, out)
    order = out + groups.k
    sizes = dict(zip(x_labels + y_labels, a.shape + b.shape, strict=True))
    shape = tuple(sizes[c] for c in order)
    full = [
        maps.broadcast(v, shape, tuple(order.index(c) for c in labels))
        for v, labels in ((a, x_labels), (b, y_labels))
    ]
    product = REGISTRY["mul"].bind(*full)
    axes = tuple(range(len(out), len(order)))
    return REGISTRY["sum"].bind(product, axes=axes) if axes else product


def _as_product(a: Any, b: Any, x_labels: str, y_labels: str, out: str) -> Any:
    """Find the matrix product that needs the fewest elements rearranged."""
    ways: list[tuple[Any, ...]] = []
    for first, second, x_names, y_names in (
        (a, b, x_labels, y_labels),
        (b, a, y_labels, x_labels),
    ):
        named = {"x_labels": x_names, "y_labels": y_names, "out_labels": out}
        found = _matrices(first.type, second.type, **named)
        if found is not None:
            # Few large products are better than many small ones.
            count = found.sizes[0] * len(found.starts)
            ways.append((count, not found.in_order, len(ways), first, second, named))
    if ways:
        *_, first, second, named = min(ways, key=lambda way: way[:3])
        return _product.bind(first, second, **named)
    choices = []
    for first, second, x_names, y_names in (
        (a, b, x_labels, y_labels),
        (b, a, y_labels, x_labels),
    ):
        groups = Groups.of(x_names, y_names, out)
        canonical = groups.batch + groups.m + groups.n
        x_ways = [x_names, groups.batch + groups.m + groups.k]
        y_ways = [y_names, groups.batch + groups.k + groups.n]
        for x_way in x_ways:
            for y_way in y_ways:
                for way in (out, canonical):
                    moved = (
                        first.size * (x_way != x_names)
                        + second.size * (y_way != y_names)
                        + math.prod(_shape_of(way, first, second, x_names, y_names))
                        * (way != out)
                    )
                    choices.append(
                        (moved, first, second, x_names, y_names, x_way, y_way, way)
                    )
    choices.sort(key=lambda c: c[0])
    for _, first, second, x_names, y_names, x_way, y_way, way in choices:
        x_type = first.type.with_shape(
            _shape_of(x_way, first, second, x_names, y_names)
        )
        y_type = second.type.with_shape(
            _shape_of(y_way, first, second, x_names, y_names)
        )
        named = {"x_labels": x_way, "y_labels": y_way, "out_labels": way}
        if _matrices(x_type, y_type, **named) is not None:
            left = maps.transpose(first, tuple(x_names.index(c) for c in x_way))
            right = maps.transpose(second, tuple(y_names.index(c) for c in y_way))
            found = _product.bind(left, right, **named)
            return maps.transpose(found, tuple(way.index(c) for c in out))
    raise errors.InternalError(
        f"contract: no matrix product for {x_labels},{y_labels}->{out}"
    )


def _shape_of(
    labels: str, x: Any, y: Any, x_labels: str, y_labels: str
) -> tuple[int, ...]:
    sizes = dict(zip(x_labels + y_labels, x.shape + y.shape, strict=True))
    return tuple(sizes[c] for c in labels)


_contract: Primitive = Primitive(
    name="contract",
    family="contraction",
    infer=_infer,
    lower=Expand(_expand),
    reference=_reference,
    jvp=_jvp_of(lambda: _contract),
    transpose=_transpose,
    batch=_batch,
    samples=Samples(dtypes.ALL, _cases, 64),
    simplify=_simplify,
    document="Sum products of two arrays over the axes that the result lacks.",
)


def bind_contract(x: Any, y: Any, x_labels: str, y_labels: str, out_labels: str) -> Any:
    """Apply `contract`, its labels renamed in order so that equal ones look equal."""
    names: dict[str, str] = {}
    for name in x_labels + y_labels:
        names.setdefault(name, letter(len(names)))

    def renamed(labels: Sequence[str]) -> str:
        return "".join(names.get(name, name) for name in labels)

    return _contract.bind(
        x,
        y,
        x_labels=renamed(x_labels),
        y_labels=renamed(y_labels),
        out_labels=renamed(out_labels),
    )
