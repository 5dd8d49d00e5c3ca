"""Operators, promotion and the edges of derivatives: what no single record says."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rxcore.base import dtypes, errors
from rxcore.ops import compare, cumulate, elementwise, magnitude, mathematics, power
from rxcore.ops.argreduce import argmax
from rxcore.ops.logsumexp import logsumexp
from rxcore.ops.reduce import max_, prod_, sum_
from rxcore.runtime.array import Array, asarray
from rxcore.trace.capture import capture
from rxcore.transforms.jvp import jvp_flat

BINARY = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
BITS = {
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": operator.lshift,
    ">>": operator.rshift,
}


def test_operators_mean_numpys() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0.5, 4, 9).astype(np.float32)
    y = rng.uniform(0.5, 4, 9).astype(np.float32)
    for sign, apply in BINARY.items():
        expected = apply(x, y)
        for a, b in ((asarray(x), asarray(y)), (asarray(x), y), (x, asarray(y))):
            found = apply(a, b)
            assert isinstance(found, Array), sign
            assert np.array_equal(np.asarray(found), expected), sign
    i, j = rng.integers(-9, 9, 9).astype(np.int32), np.arange(9, dtype=np.int32)
    for sign, apply in (*BINARY.items(), *BITS.items()):
        if sign in ("/", "**", "//", "%"):
            continue
        found = np.asarray(apply(asarray(i), asarray(j)))
        assert np.array_equal(found, apply(i, j)), sign
    assert np.array_equal(np.asarray(~asarray(i)), ~i)
    assert np.array_equal(np.asarray(-asarray(i)), -i)
    assert np.array_equal(np.asarray(+asarray(i)), i)
    assert np.array_equal(np.asarray(abs(asarray(i))), abs(i))
    assert np.array_equal(np.asarray(round(asarray(x))), np.rint(x))
    quotient, rest = divmod(asarray(x), asarray(y))
    assert np.array_equal(np.asarray(quotient), x // y)
    assert np.array_equal(np.asarray(rest), x % y)


def test_operators_swap_for_numbers_on_the_left() -> None:
    x = asarray(np.float32([1.0, 2.0, 4.0]))
    for apply in (operator.sub, operator.truediv, operator.floordiv, operator.mod):
        expected = apply(np.float32(7), x.host)
        assert np.array_equal(np.asarray(apply(7, x)), expected)
    assert np.array_equal(np.asarray(2**x), [2.0, 4.0, 16.0])
    assert np.array_equal(np.asarray(1 << asarray([0, 3])), [1, 8])


def test_python_numbers_take_the_other_dtype_exactly() -> None:
    for dtype in dtypes.FLOATS:
        x = asarray(np.ones(2, dtype))
        made = x * 0.1
        assert made.dtype == dtype
        assert np.asarray(made)[0] == dtype.type(0.1)
        assert (x + 1).dtype == dtype
    for dtype in dtypes.INTEGERS:
        assert (asarray(np.ones(2, dtype)) + 1).dtype == dtype
    assert (asarray(np.ones(2, np.int32)) * 0.5).dtype == np.float32


def test_true_division_of_integers() -> None:
    one = {d: asarray(np.ones(2, d)) for d in (np.int8, np.int32, np.int64)}
    assert (one[np.int8] / 2).dtype == np.float32
    assert (one[np.int32] / one[np.int32]).dtype == np.float32
    assert (one[np.int64] / 2).dtype == np.float64
    assert mathematics.sin(one[np.int64]).dtype == np.float64


def _ops(function: Callable[[Any], Any], dtype: Any) -> list[str]:
    x = asarray(np.ones(3, dtype))
    graph = capture(lambda v: [function(v)], [x.type]).graph
    return [e.primitive.name for e in graph.equations]


def test_powers_by_numbers_known_in_advance() -> None:
    assert _ops(lambda x: x**2, np.int32) == ["integer_pow"]
    assert _ops(lambda x: x**2.0, np.float32) == ["integer_pow"]
    assert _ops(lambda x: x**0.5, np.float32) == ["sqrt"]
    assert _ops(lambda x: x**1, np.float32) == []
    assert _ops(lambda x: x**1.7, np.float32) == ["pow"]
    assert (asarray(np.int8([3])) ** 2).dtype == np.int8
    assert np.asarray(asarray(np.array([True])) ** 2).dtype == np.int32
    with pytest.raises(errors.DTypeError, match=r"power -1 .* convert it"):
        asarray([2]) ** -1


def test_python_integers_must_fit() -> None:
    x = asarray(np.uint8([1, 2]))
    assert np.array_equal(np.asarray(x + 255), [0, 1])
    for wrong in (256, -1):
        with pytest.raises(errors.DTypeError, match=r"does not fit uint8 \(0 to 255\)"):
            x + wrong


def test_wrong_dtypes_are_told() -> None:
    flag, z = asarray(np.array([True])), asarray(np.complex64([1j]))
    with pytest.raises(errors.DTypeError, match=r"sub: dtype bool \(shape \(1,\)\)"):
        elementwise.sub(flag, flag)
    with pytest.raises(errors.DTypeError, match="lt: dtype complex64"):
        compare.lt(z, z)
    with pytest.raises(errors.DTypeError, match="select: the condition is int32"):
        compare.select(asarray([1]), 1, 2)
    with pytest.raises(errors.DTypeError, match="max: dtype complex64"):
        max_(z)
    with pytest.raises(errors.ShapeError, match="argmax or argmin: axis 0"):
        argmax(asarray(np.zeros((0, 2), np.float32)), axis=0)
    with pytest.raises(errors.ShapeError, match=r"add: shapes \(2,\), \(3,\)"):
        elementwise.add(np.zeros(2), np.zeros(3))
    with pytest.raises(errors.ShapeError, match="sum: axis 2 is out of range"):
        sum_(z, axis=2)


def _slope(function: Callable[..., Any], x: Any, t: Any = 1.0) -> Any:
    like = asarray(np.float64(x))
    move = asarray(np.broadcast_to(np.float64(t), like.shape))
    _, (dot,) = jvp_flat(lambda v: [function(v)], [like], [move])
    return np.asarray(0.0 if dot is None else dot)


def test_derivatives_at_edges() -> None:
    assert _slope(mathematics.sqrt, 0.0) == np.inf
    assert _slope(magnitude.abs_, 0.0) == 0
    assert _slope(lambda x: magnitude.maximum(x, 0.0), 0.0) == 0.5
    assert _slope(lambda x: magnitude.minimum(x, 0.0), 0.0) == 0.5
    assert _slope(lambda x: x**0, 0.0) == 0
    assert _slope(lambda x: power.pow_(x, asarray(np.float64(0))), 0.0) == 0
    assert _slope(lambda x: power.pow_(asarray(np.float64(0)), x), 2.0) == 0
    assert _slope(lambda x: magnitude.hypot(x, 0.0), 0.0) == 0
    # The branch that is not chosen adds nothing, not even NaN.
    safe = _slope(lambda x: compare.select(x > 0, x, mathematics.log(x)), 2.0)
    assert safe == 1


def test_equal_extremes_share_the_derivative() -> None:
    found = _slope(max_, [1.0, 3.0, 3.0, 2.0], [0, 1, 3, 0])
    assert found == 2


def test_products_of_zeros_have_right_derivatives() -> None:
    basis = np.eye(4)
    for x in ([2.0, 0.0, 3.0, 5.0], [2.0, 0.0, 0.0, 5.0], [0.0, 1.0, 2.0, 3.0]):
        expected = [np.prod(np.delete(x, k)) for k in range(4)]
        found = [float(_slope(prod_, x, row)) for row in basis]
        assert found == expected
        running = [_slope(cumulate.cumprod, x, row) for row in basis]
        last = [float(r[-1]) for r in running]
        assert last == expected


def test_logsumexp_at_infinities() -> None:
    inf = np.inf
    assert np.asarray(logsumexp(np.float32([-inf, -inf]))) == -inf
    assert np.asarray(logsumexp(np.float32([inf, 1.0]))) == inf
    assert np.isnan(np.asarray(logsumexp(np.float32([np.nan, inf]))))
    assert _slope(logsumexp, [-inf, -inf]) == 0
    assert _slope(logsumexp, [-inf, 1.0], [7.0, 1.0]) == 1


def test_empty_reductions_give_the_identity() -> None:
    x = asarray(np.zeros((2, 0), np.float32))
    assert np.array_equal(np.asarray(sum_(x, 1)), [0, 0])
    assert np.array_equal(np.asarray(prod_(x, 1)), [1, 1])
    assert np.array_equal(np.asarray(max_(x, 1)), [-np.inf, -np.inf])
    assert np.array_equal(np.asarray(logsumexp(x, 1)), [-np.inf, -np.inf])


def test_cumulative_ops_run_along_any_axis() -> None:
    x = np.float32([[1, 2], [3, 4]])
    found = cumulate.cumsum(x, axis=-1, reverse=True)
    assert np.array_equal(np.asarray(found), [[3, 2], [7, 4]])
