"""What a traced value cannot do: the error names the user's line and the fix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.base import errors

X = rx.asarray(np.arange(3, dtype="f"))


def line_of(function: Callable[..., Any], text: str) -> str:
    """Return `file:line` of the line of a function that holds a text."""
    code = function.__code__
    with open(code.co_filename, encoding="utf-8") as file:
        lines = file.read().splitlines()
    for number in range(code.co_firstlineno, len(lines) + 1):
        if text in lines[number - 1]:
            return f"{code.co_filename}:{number} ({code.co_qualname})"
    raise AssertionError(text)


def branches(x: Any) -> Any:
    total = x.sum()
    positive = total > 0
    return x if positive else -x


def counts(x: Any) -> Any:
    first = x[0]
    return int(first)


def measures(x: Any) -> Any:
    first = x[0]
    return float(first)


def ranges(x: Any) -> Any:
    first = x.astype("int32").sum()
    return list(range(first))


def uses_numpy(x: Any) -> Any:
    twice = x * 2
    return np.sin(twice)


def takes_item(x: Any) -> Any:
    total = x.sum()
    return total.item()


REFUSED = {
    branches: (
        "positive =",
        "bool() needs the number of a traced value of type bool[]",
        "Use rx.cond, rx.while_loop or rnp.where, or a static argument.",
    ),
    counts: (
        "first =",
        "int() needs the number of a traced value of type f32[]",
        "Pass it as a static argument of rx.jit.",
    ),
    measures: (
        "first =",
        "float() needs the number of a traced value of type f32[]",
        "Keep it an array, or pass it as a static argument of rx.jit.",
    ),
    ranges: (
        "first =",
        "indexing with __index__ needs the number of a traced value of type i32[]",
        "Use x[i] with an array index, rx.dynamic_slice, or a static argument.",
    ),
    uses_numpy: (
        "twice =",
        "a NumPy function needs the number of a traced value of type f32[3]",
        "Use rxcore.numpy in place of NumPy, or rx.pure_callback.",
    ),
    takes_item: (
        "total =",
        "item() needs the number of a traced value of type f32[]",
        "Keep it an array.",
    ),
}


@pytest.mark.parametrize("function", REFUSED, ids=lambda f: f.__name__)
def test_a_number_that_does_not_exist(function: Callable[..., Any]) -> None:
    text, what, fix = REFUSED[function]
    with pytest.raises(errors.ConcretizationError) as caught:
        rx.jit(function)(X)
    assert str(caught.value) == (
        f"{what}, which does not exist while rx.jit({function.__name__}) runs;"
        f" it was made at {line_of(function, text)}. {fix}"
    )


def test_a_branch_in_vmap() -> None:
    with pytest.raises(errors.ConcretizationError) as caught:
        rx.vmap(branches)(X[:, None])
    assert "does not exist while vmap runs" in str(caught.value)


def test_a_branch_in_grad_has_its_number() -> None:
    np.testing.assert_array_equal(rx.grad(lambda x: branches(x).sum())(X), [1, 1, 1])


KEPT: list[Any] = []


def leaks(x: Any) -> Any:
    KEPT.append(x * 2)
    return x


@pytest.mark.parametrize("use", [lambda t: t + 1, lambda t: rx.jit(lambda x: x * t)(X)])
@pytest.mark.parametrize(
    ("transform", "name", "type"),
    [
        (lambda: rx.jit(leaks)(X), "rx.jit(leaks)", "f32[3]"),
        (lambda: rx.vmap(leaks)(X), "vmap", "f32[]"),
        (lambda: rx.grad(lambda x: leaks(x).sum())(X), "differentiation", "f32[3]"),
    ],
    ids=["jit", "vmap", "grad"],
)
def test_a_value_that_escaped(use: Any, transform: Any, name: str, type: str) -> None:
    KEPT.clear()
    transform()
    with pytest.raises(errors.TraceError) as caught:
        use(KEPT[0])
    assert str(caught.value) == (
        f"A traced value of type {type} escaped from {name}: it was kept in a list, a"
        " global or an object by a side effect and used after the function had"
        f" returned. It was made at {line_of(leaks, 'KEPT.append')}. Return it from"
        " the function instead."
    )


def test_a_mask_that_is_traced() -> None:
    with pytest.raises(errors.TraceError) as caught:
        rx.jit(lambda x: x[x > 0])(X)
    assert "a boolean mask of shape (3,) is traced by rx.jit(<lambda>)" in str(
        caught.value
    )
    assert "rxcore.numpy.where(mask, x, 0)" in str(caught.value)


def test_assignment() -> None:
    y: Any = rnp.ones(3)
    text = (
        "rxcore arrays are immutable: write x = x.at[index].set(value) instead of"
        " x[index] = value"
    )
    with pytest.raises(TypeError) as caught:
        y[0] = 1

    def assigns(x: Any) -> Any:
        x[0] = 1
        return x

    with pytest.raises(TypeError) as traced:
        rx.jit(assigns)(X)
    assert str(caught.value) == str(traced.value) == text


def test_a_donated_array() -> None:
    y = rnp.ones(3)
    rx.jit(lambda x: x + 1, donate_argnums=0)(y)
    assert y.is_deleted
    for use in (lambda: y + 1, lambda: np.asarray(y), lambda: rx.jit(lambda x: x)(y)):
        with pytest.raises(errors.UserError) as caught:
            use()
        assert str(caught.value) == (
            "this array of type f32[3] was donated to a jitted call and no longer"
            " exists; copy it before the call, or do not donate it"
        )


def test_an_error_leaves_no_trace_behind() -> None:
    with pytest.raises(errors.ShapeError):
        rx.jit(lambda x: x + rnp.ones(4))(X)
    with pytest.raises(ZeroDivisionError):
        rx.grad(lambda x: x.sum() / 0 if 1 // 0 else x)(X)
    with pytest.raises(errors.ShapeError):
        rx.vmap(lambda x: x.reshape(7))(X)
    np.testing.assert_array_equal(X + 1, [1, 2, 3])
