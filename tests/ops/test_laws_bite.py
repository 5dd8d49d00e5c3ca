"""The laws refuse what is wrong: each is tried on an op with one wrong slot."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from rxcore.base import dtypes
from rxcore.ir.primitive import REGISTRY, Primitive, Scalar
from rxcore.ir.types import Type
from rxcore.ops.elementwise import mul
from rxcore.ops.samples import elements
from rxcore.ops.stop import stop_gradient
from rxcore.testing import laws

X = np.float64([[0.5, 2.0, -3.0], [1.0, 1.5, 4.0]])


@pytest.fixture
def doubling() -> Iterator[Primitive]:
    """Yield a right op, 2 x, to be spoilt."""
    made = Primitive(
        name="doubling",
        family="test",
        infer=lambda x: x,
        lower=Scalar(lambda x: x + x),
        reference=lambda x: x + x,
        jvp=lambda primals, tangents: (made.bind(*primals), made.bind(*tangents)),
        transpose=lambda ct, _: [made.bind(ct)],
        batch=lambda args, dims: (made.bind(*args), dims[0]),
        samples=elements(1, (dtypes.float64,), -1, 1, 0),
        document="Return 2 x.",
    )
    yield made
    del REGISTRY["doubling"]


def all_laws(op: Primitive) -> None:
    laws.check_types(op.bind, (X,))
    laws.check_reference(op, (X,), {})
    laws.check_lowering(op, (X,), {})
    laws.check_jvp(op.bind, (X,))
    laws.check_transpose(op.bind, (X,))
    laws.check_second_order(lambda x: mul(op.bind(x), x), (X,))
    laws.check_batch(op.bind, [(X,), (X + 1,)])


def test_the_laws_hold_for_a_right_op(doubling: Primitive) -> None:
    all_laws(doubling)


def trebled(op: Primitive) -> Callable[..., Any]:
    return lambda primals, tangents: (op.bind(*primals), mul(tangents[0], 3))


WRONG: dict[str, tuple[str, Callable[[Primitive], Any]]] = {
    "type": ("infer", lambda _: lambda x: Type(dtypes.float32, x.shape)),
    "shape": ("infer", lambda _: lambda x: Type(x.dtype, (*x.shape, 1))),
    "lowering": ("lower", lambda _: Scalar(lambda x: x)),
    "lowering's dtype": ("lower", lambda _: Scalar(lambda x: x < x)),
    "jvp": ("jvp", trebled),
    "jvp of zero": ("jvp", lambda op: lambda p, _: (op.bind(*p), None)),
    "transpose": ("transpose", lambda _: lambda ct, _x: [ct]),
    "no transpose": ("transpose", lambda _: lambda _ct, _x: [None]),
    "batch": ("batch", lambda op: lambda args, dims: (op.bind(args[0] + 1), dims[0])),
    "batch axis": ("batch", lambda op: lambda args, _: (op.bind(*args), 0)),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_slot_is_found(doubling: Primitive, what: str) -> None:
    slot, spoil = WRONG[what]
    setattr(doubling, slot, spoil(doubling))
    with pytest.raises((AssertionError, TypeError, ValueError)):
        all_laws(doubling)


def test_a_stopped_derivative_is_found() -> None:
    with pytest.raises(AssertionError, match="jvp at"):
        laws.check_jvp(lambda x: mul(stop_gradient(x), x), (X,))
    with pytest.raises(AssertionError, match="a derivative at"):
        laws.check_no_derivative(lambda x: mul(x, x), (X,))


def test_errors_are_counted_in_the_last_place() -> None:
    one = np.float32([1.0])
    after = np.nextafter(one, np.float32(2))
    assert laws.ulps_between(after, one) == 1
    assert laws.ulps_between(np.float32([np.nan]), np.float32([np.nan])) == 0
    assert laws.ulps_between(np.float32([np.inf]), one) == np.inf
    assert laws.ulps_between(one, np.float32([np.nan])) == np.inf
    assert laws.ulps_between(np.int8([1]), np.int8([2])) == np.inf
    tiny = np.float32([1e-45])
    assert laws.ulps_between(np.float32([0]), tiny) == 1
    two = np.float32([1e-6, 1.0])
    wrong = np.float32([2e-6, 1.0])
    assert laws.ulps_between(wrong, two) > 1e6
    assert laws.ulps_between(wrong, two, whole=True) < 16
    for half, gap in ((dtypes.float16, 2.0**-10), (dtypes.bfloat16, 2.0**-7)):
        near = np.asarray([1 + gap]).astype(half)
        assert laws.ulps_between(near, one.astype(half)) == 1
