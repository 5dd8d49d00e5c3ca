"""Calls of the face: each function with drawn operands, to be held against NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen


@frozen
class Draw:
    """An array to be drawn: its kind is one of f, i, u, b, c (NumPy's kinds)."""

    kind: str
    shape: tuple[int, ...]
    low: float = -4.0
    high: float = 4.0

    def sample(self, rng: np.random.Generator, double: bool = False) -> Any:
        if self.kind == "b":
            return rng.integers(0, 2, self.shape).astype(bool)
        if self.kind in "iu":
            dtype = np.int32 if self.kind == "i" else np.uint8
            return rng.integers(int(self.low), int(self.high), self.shape).astype(dtype)
        x = rng.uniform(self.low, self.high, self.shape)
        if self.kind == "c":
            x = x + 1j * rng.uniform(self.low, self.high, self.shape)
            return x.astype(np.complex128 if double else np.complex64)
        return x.astype(np.float64 if double else np.float32)


@frozen
class Row:
    """One call: `name(*args, **options)`.

    `smooth`: it has a derivative in its float operands. `eager`: it has no compiled
    form, since the shape of its result depends on elements.
    """

    name: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    smooth: bool
    eager: bool
    exact: bool

    def __str__(self) -> str:
        shown = ",".join(f"{k}={v}" for k, v in self.options.items())
        return f"{self.name}({shown})"


def f(*shape: int, low: float = -4.0, high: float = 4.0) -> Draw:
    return Draw("f", shape, low, high)


def i(*shape: int, low: float = -9, high: float = 9) -> Draw:
    return Draw("i", shape, low, high)


def b(*shape: int) -> Draw:
    return Draw("b", shape)


def c(*shape: int) -> Draw:
    return Draw("c", shape)


def row(name: str, *args: Any, **options: Any) -> Row:
    return Row(name, args, options, smooth=False, eager=False, exact=False)


def smooth(name: str, *args: Any, **options: Any) -> Row:
    return Row(name, args, options, smooth=True, eager=False, exact=False)


def exact(name: str, *args: Any, **options: Any) -> Row:
    return Row(name, args, options, smooth=False, eager=False, exact=True)


def eager(name: str, *args: Any, **options: Any) -> Row:
    return Row(name, args, options, smooth=False, eager=True, exact=True)


NAN = np.float32([1.0, np.nan, -2.5, np.inf, -np.inf, np.nan])
SORTED = np.float32([-3.0, -1.0, -1.0, 0.5, 2.0, 3.5, np.nan])
UNIT = {"low": -0.95, "high": 0.95}
POSITIVE = {"low": 0.2, "high": 4.0}

ELEMENTWISE = (
    *(
        smooth(name, f(3, 4))
        for name in (
            *("negative", "positive", "square", "exp", "expm1", "exp2", "sin", "cos"),
            *("sinh", "cosh", "tanh", "arcsinh", "asinh", "arctan", "atan", "deg2rad"),
            *("radians", "rad2deg", "degrees"),
        )
    ),
    *(
        smooth(name, f(3, 4, **POSITIVE))
        for name in (
            *("sqrt", "log", "log2", "log10", "log1p", "reciprocal", "cbrt", "abs"),
            *("absolute", "fabs"),
        )
    ),
    *(
        smooth(name, f(3, 4, **UNIT))
        for name in ("arcsin", "asin", "arccos", "acos", "arctanh", "atanh", "tan")
    ),
    smooth("arccosh", f(5, low=1.1, high=9.0)),
    smooth("acosh", f(5, low=1.1, high=9.0)),
    *(smooth(name, f(3, 4), f(4)) for name in ("add", "subtract", "multiply")),
    *(
        smooth(name, f(3, 1), f(4, **POSITIVE))
        for name in ("divide", "true_divide", "arctan2", "atan2", "hypot", "logaddexp")
    ),
    *(smooth(name, f(4, **POSITIVE), f(3, 1)) for name in ("power", "pow")),
    *(
        row(name, f(3, 4), f(4, low=0.5, high=3))
        for name in ("floor_divide", "remainder", "mod", "fmod")
    ),
    *(
        exact(name, i(3, 4), i(4, low=1, high=5))
        for name in ("floor_divide", "remainder", "mod", "fmod", "power")
    ),
    *(smooth(name, f(3, 4), f(4)) for name in ("maximum", "minimum", "fmax", "fmin")),
    *(exact(name, NAN, NAN[::-1].copy()) for name in ("maximum", "fmax", "fmin")),
    *(
        exact(name, f(3, 4))
        for name in ("sign", "floor", "ceil", "trunc", "fix", "rint", "signbit")
    ),
    *(exact(name, i(5)) for name in ("sign", "abs", "negative", "square", "floor")),
    *(row(name, i(5)) for name in ("exp", "sin", "tanh", "rint", "cos")),
    row("sqrt", i(5, low=0, high=9)),
    exact("copysign", f(4), f(4)),
    exact("nextafter", f(4), f(4)),
    *(row(name, f(5), decimals=d) for name in ("round", "around") for d in (0, 2, -1)),
    row("round", i(5, low=-99, high=99), decimals=-1),
    *(exact(name, NAN) for name in ("isnan", "isinf", "isfinite", "nan_to_num")),
    *(exact(name, c(4)) for name in ("real", "imag", "conj", "conjugate")),
    row("angle", c(4)),
    exact("real", f(4)),
    exact("imag", f(4)),
    *(
        exact(name, draw, other)
        for name in (
            *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
        )
        for draw, other in ((i(3, 4), i(4)), (f(3, 4), f(4)), (b(3, 4), b(4)))
    ),
    *(
        exact(name, draw, other)
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
        for draw, other in ((i(3, 4), i(4)), (b(3, 4), b(4)))
    ),
    *(exact(name, i(5)) for name in ("invert", "bitwise_not", "bitwise_invert")),
    *(exact(n, f(3, 4), b(4)) for n in ("logical_and", "logical_or", "logical_xor")),
    exact("logical_not", i(4, low=0, high=2)),
    *(
        exact(name, i(5), i(5, low=0, high=5))
        for name in (
            *("left_shift", "right_shift"),
            *("bitwise_left_shift", "bitwise_right_shift"),
        )
    ),
    smooth("clip", f(3, 4), -1.0, 2.0),
    exact("clip", i(5), 0, None),
    exact("clip", i(5), None, 3),
    exact("isclose", NAN, NAN, equal_nan=True),
    exact("isclose", f(5), f(5), rtol=1.0),
    exact("allclose", f(5), f(5)),
    exact("array_equal", i(5), i(5)),
    exact("array_equal", NAN, NAN, equal_nan=True),
    smooth("where", b(3, 4), f(4), f(3, 1)),
    exact("where", i(4, low=0, high=2), i(4), 2),
)

REDUCTIONS = (
    *(
        smooth(name, f(3, 4), **options)
        for name in ("sum", "mean", "prod", "std", "var", "max", "min", "amax", "amin")
        for options in ({}, {"axis": 0}, {"axis": (0, 1), "keepdims": True})
    ),
    *(
        exact(name, i(3, 4), axis=1)
        for name in ("sum", "prod", "max", "min", "count_nonzero", "all", "any")
    ),
    *(row(name, i(3, 4), axis=1) for name in ("mean", "std", "var", "median")),
    *(exact(name, b(3, 4), axis=0) for name in ("sum", "all", "any", "max", "min")),
    *(exact(name, Draw("u", (3, 4), 0, 200)) for name in ("sum", "max")),
    exact("prod", Draw("u", (3, 4), 1, 5)),
    smooth("var", f(3, 4), axis=1, ddof=1),
    smooth("std", f(3, 4), axis=1, ddof=1),
    row("var", c(3, 4), axis=1),
    row("sum", f(3, 4), axis=1, where=np.bool_([1, 0, 1, 1]), initial=2.0),
    row("prod", f(3, 4), axis=1, where=np.bool_([1, 0, 1, 1]), initial=2.0),
    row("mean", f(3, 4), axis=1, where=np.bool_([1, 0, 1, 1])),
    row("var", f(3, 4), axis=1, where=np.bool_([1, 0, 1, 1])),
    row("std", f(3, 4), axis=1, where=np.bool_([1, 0, 1, 1])),
    exact("max", f(3, 4), axis=1, where=np.bool_([1, 0, 1, 1]), initial=-1.0),
    exact("min", f(3, 0), axis=1, initial=5.0),
    exact("all", b(3, 4), axis=1, where=np.bool_([1, 0, 1, 1])),
    exact("any", b(3, 4), axis=1, where=np.bool_([1, 0, 1, 1])),
    exact("sum", i(3, 4), dtype=np.float32),
    *(exact(name, f(3, 4), axis=a) for name in ("argmax", "argmin") for a in (None, 1)),
    exact("argmax", f(3, 4), axis=1, keepdims=True),
    *(smooth(name, f(3, 4), axis=a) for name in ("cumsum", "cumprod") for a in (0, 1)),
    row("cumsum", f(3, 4)),
    exact("cumsum", b(7)),
    exact("cumprod", Draw("u", (4,), 1, 4)),
    *(row(n, NAN[:3]) for n in ("nansum", "nanprod", "nanmax", "nanmin", "nanmean")),
    *(
        smooth(name, f(3, 4), axis=1)
        for name in ("nansum", "nanprod", "nanmax", "nanmin", "nanmean")
    ),
    smooth("median", f(3, 5), axis=1),
    row("median", f(3, 4), axis=(0, 1), keepdims=True),
    row("median", NAN),
)

SHAPES = (
    smooth("reshape", f(3, 4), (2, -1)),
    smooth("ravel", f(3, 4)),
    smooth("transpose", f(2, 3, 4), (2, 0, 1)),
    exact("transpose", i(2, 3, 4)),
    exact("permute_dims", i(2, 3), (1, 0)),
    exact("matrix_transpose", i(2, 3, 4)),
    exact("swapaxes", i(2, 3, 4), 0, -1),
    exact("moveaxis", i(2, 3, 4), (0, 1), (-1, 0)),
    exact("moveaxis", i(2, 3, 4), 2, 0),
    exact("expand_dims", i(2, 3), (0, -1)),
    exact("squeeze", i(2, 1, 3, 1)),
    exact("squeeze", i(2, 1, 3, 1), axis=1),
    smooth("broadcast_to", f(3, 1), (2, 3, 4)),
    exact("broadcast_arrays", i(3, 1), i(4)),
    *(exact(f"atleast_{n}d", i(*s)) for n in (1, 2, 3) for s in ((), (3,), (2, 3))),
    smooth("flip", f(3, 4)),
    exact("flip", i(3, 4), axis=1),
    exact("flipud", i(3, 4)),
    exact("fliplr", i(3, 4)),
    smooth("roll", f(3, 4), 2, axis=1),
    exact("roll", i(3, 4), -5),
    exact("roll", i(3, 4), (1, -2), axis=(0, 1)),
    exact("roll", i(7), i(low=-9, high=9), axis=0),
    smooth("tile", f(2, 3), (2, 1, 2)),
    exact("tile", i(2, 3), 2),
    smooth("repeat", f(2, 3), 2, axis=1),
    exact("repeat", i(2, 3), 2),
    exact("repeat", i(2, 3), np.int32([1, 0, 3]), axis=1),
    exact("concatenate", [i(2, 3), i(1, 3)]),
    smooth("concatenate", [f(2, 3), f(2, 1)], axis=1),
    exact("concatenate", [i(2, 3), i(1)], axis=None),
    exact("concat", [i(2, 3), f(1, 3)]),
    smooth("stack", [f(2, 3), f(2, 3)], axis=-1),
    *(exact(name, [i(2, 3), i(2, 3)]) for name in ("hstack", "vstack", "dstack")),
    *(exact(name, [i(3), i(3)]) for name in ("hstack", "vstack", "dstack")),
    exact("column_stack", [i(3), i(3, 2)]),
    exact("append", i(2, 3), i(2)),
    exact("unstack", i(2, 3), axis=1),
    exact("split", i(6, 2), 3),
    exact("split", i(6, 2), (1, 4)),
    exact("split", i(6), (4, 2, -1)),
    exact("array_split", i(7), 3),
    exact("hsplit", i(2, 4), 2),
    exact("vsplit", i(2, 4), 2),
    exact("dsplit", i(2, 1, 4), 2),
    smooth("pad", f(2, 3), ((1, 0), (2, 1))),
    exact("pad", i(2, 3), 1, constant_values=7),
    exact("pad", i(2, 3), 1, constant_values=((1, 2), (3, 4))),
    *(
        exact("pad", i(2, 3), ((1, 2), (5, 7)), mode=mode)
        for mode in ("edge", "reflect", "symmetric", "wrap")
    ),
    smooth("pad", f(2, 3), 2, mode="reflect"),
    smooth("diff", f(2, 5)),
    exact("diff", i(2, 5), n=2, axis=0),
    exact("diff", b(6)),
    exact("diff", i(5), prepend=1, append=2),
)

INDEXING = (
    smooth("take", f(5, 3), np.int32([[0, -1], [4, 2]]), axis=0),
    exact("take", i(3, 4), i(5, low=0, high=12)),
    exact("take", i(5), np.int32([7, -2]), mode="clip"),
    exact("take", i(5), np.int32([7, -2]), mode="wrap"),
    smooth("take_along_axis", f(3, 4), np.int32([[0, 3], [1, 1], [2, 0]]), axis=1),
    smooth("diag", f(4), 1),
    exact("diag", i(4), -2),
    smooth("diag", f(3, 4)),
    exact("diag", i(3, 4), 2),
    exact("diagonal", i(3, 4), -1),
    exact("diagonal", i(3, 4), 9),
    smooth("diagonal", f(2, 3, 4), offset=1, axis1=2, axis2=0),
    smooth("trace", f(3, 4)),
    exact("trace", i(3, 4), offset=1),
    smooth("tril", f(3, 4), 1),
    smooth("triu", f(3, 4), -1),
    exact("triu", i(2, 3, 3)),
    eager("nonzero", i(3, 4, low=0, high=2)),
    eager("flatnonzero", i(3, 4, low=0, high=2)),
    eager("argwhere", i(3, 4, low=0, high=2)),
    eager("unique", i(9)),
    eager("unique", f(9), return_index=True, return_inverse=True, return_counts=True),
    eager("where", i(3, 4, low=0, high=2)),
    eager("bincount", i(9, low=0, high=5), minlength=3),
    eager("bincount", i(9, low=0, high=5), f(9, low=1, high=2)),
    exact("sort", f(3, 5), axis=0),
    smooth("sort", f(3, 5)),
    exact("sort", i(3, 5), axis=None),
    exact("sort", NAN),
    exact("argsort", f(3, 5), axis=0),
    *(
        exact("searchsorted", SORTED, f(3, 4, low=-5, high=5), side=side)
        for side in ("left", "right")
    ),
    *(exact("searchsorted", SORTED, NAN, side=side) for side in ("left", "right")),
    exact("searchsorted", np.int32([1, 1, 2, 5]), i(9), side="right"),
    exact("searchsorted", np.float32([]), f(3)),
)

LINEAR = (
    smooth("matmul", f(3, 4), f(4, 2)),
    smooth("matmul", f(2, 1, 3, 4), f(3, 4, 2)),
    smooth("matmul", f(4), f(4, 2)),
    exact("matmul", i(3, 4), i(4)),
    smooth("dot", f(2, 3, 4), f(4, 2)),
    exact("dot", i(4), i(4)),
    smooth("tensordot", f(2, 3, 4), f(3, 4, 2)),
    smooth("tensordot", f(2, 3, 4), f(4, 3), axes=((1, 2), (1, 0))),
    smooth("einsum", "ijk,kl,l->ij", f(2, 3, 4), f(4, 2), f(2)),
    exact("einsum", "...ij->...ji", i(2, 3, 4)),
    smooth("vdot", f(2, 3), f(6)),
    row("vdot", c(4), c(4)),
    smooth("vecdot", f(3, 4), f(4)),
    row("vecdot", c(3, 4), c(3, 4), axis=0),
    smooth("inner", f(2, 4), f(3, 4)),
    smooth("inner", f(2, 4), f()),
    smooth("outer", f(3), f(2, 2)),
)

CREATION = (
    exact("arange", 7),
    exact("arange", 2, 9, 3),
    exact("arange", 9, 1, -2),
    row("arange", 0.5, 4.0, 0.25),
    exact("arange", 3, dtype=np.float32),
    row("linspace", -1.0, 2.5, 8),
    row("linspace", 0, 10, 5, endpoint=False),
    row("linspace", 0, 10, 1),
    exact("linspace", 0, 10, 6, dtype=np.int32),
    smooth("linspace", f(3), f(2, 1), 4, axis=1),
    exact("eye", 3),
    exact("eye", 3, 4, -1, dtype=np.int32),
    exact("identity", 3),
    exact("tri", 3, 4, 1),
    exact("zeros", (2, 3)),
    exact("ones", 3, dtype=np.uint8),
    exact("full", (2, 2), 7),
    exact("full", (2, 2), i(2)),
    exact("zeros_like", i(2, 3)),
    exact("ones_like", i(2, 3), dtype=np.float32),
    exact("full_like", f(2, 3), 5),
    exact("full_like", f(2, 3), 5, shape=(4,)),
    exact("meshgrid", i(3), i(2)),
    exact("meshgrid", i(3), i(2), i(1), indexing="ij"),
    exact("meshgrid", i(3), i(2), sparse=True),
    exact("asarray", [1, 2, 3]),
    exact("array", [[1.5, 2.0], [3.0, 4.0]]),
    exact("array", i(3), ndmin=2),
    exact("array", [i(), 1, i()]),
    exact("copy", i(3)),
    exact("astype", i(3), np.float32),
    exact("astype", f(3), np.int32),
)

ROWS = (*ELEMENTWISE, *REDUCTIONS, *SHAPES, *INDEXING, *LINEAR, *CREATION)

# Functions that do not answer with arrays of what NumPy answers; tested by name.
ELSEWHERE = frozenset(
    {
        *("broadcast_shapes", "empty", "empty_like", "finfo", "iinfo", "isdtype"),
        *("isscalar", "issubdtype", "ndim", "promote_types", "result_type", "shape"),
        *("size",),
    }
)


def sampled(args: Any, rng: np.random.Generator, double: bool = False) -> Any:
    """Return arguments with every Draw replaced by an array."""
    if isinstance(args, Draw):
        return args.sample(rng, double)
    if isinstance(args, list | tuple):
        return type(args)(sampled(a, rng, double) for a in args)
    return args


def arrays_of(args: Any, drawn: Any) -> list[Any]:
    """Return the arrays that were drawn, in order."""
    if isinstance(args, Draw):
        return [drawn]
    if isinstance(args, list | tuple):
        pairs = zip(args, drawn, strict=True)
        return [x for a, d in pairs for x in arrays_of(a, d)]
    return []


def replaced(args: Any, arrays: list[Any]) -> Any:
    """Return arguments with the Draws replaced, in order, by the arrays (consumed)."""
    if isinstance(args, Draw):
        return arrays.pop(0)
    if isinstance(args, list | tuple):
        return type(args)(replaced(a, arrays) for a in args)
    return args


def call_of(entry: Row, namespace: Any) -> Callable[..., Any]:
    """Return the call as a function of the drawn arrays alone."""
    function = getattr(namespace, entry.name)

    def call(*arrays: Any) -> Any:
        return function(*replaced(entry.args, list(arrays)), **entry.options)

    return call
