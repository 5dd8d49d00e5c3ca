"""Products of arrays mean what they mean in NumPy, and find one matrix product."""

from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore.base import errors
from rxcore.ops.einsum import einsum
from rxcore.ops.matmul import dot, dot_general, matmul, tensordot

RNG = np.random.default_rng(3)


def draw(*shapes: tuple[int, ...]) -> list[Any]:
    return [RNG.normal(size=s) for s in shapes]


def close(found: Any, expected: Any) -> bool:
    same = np.shape(found) == np.shape(expected)
    return bool(same and np.allclose(found, expected, rtol=1e-12, atol=1e-12))


EQUATIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "ij,jk": ((2, 3), (3, 4)),
    "ij,jk->ki": ((2, 3), (3, 4)),
    "ii": ((3, 3),),
    "ii->i": ((3, 3),),
    "iij->j": ((3, 3, 2),),
    "ba": ((2, 3),),
    "i,j,k->kij": ((2,), (3,), (4,)),
    "...ij,...jk": ((5, 2, 3), (5, 3, 4)),
    "...ij,jk->...ik": ((6, 5, 2, 3), (3, 4)),
    "...ij,...jk ": ((1, 5, 2, 3), (6, 1, 3, 4)),
    "i...->...": ((2, 3, 4),),
    "ij,kj->": ((2, 3), (4, 3)),
    "bhqd,bhkd->bhqk": ((2, 3, 4, 5), (2, 3, 6, 5)),
    "bqhd,bkhd->bhqk": ((2, 4, 3, 5), (2, 6, 3, 5)),
    "ij,jk,kl,lm->im": ((2, 3), (3, 4), (4, 5), (5, 6)),
    "abc,abd,acd->bcd": ((2, 3, 4), (2, 3, 5), (2, 4, 5)),
    "aab,bcc->ac": ((3, 3, 2), (2, 4, 4)),
    ",i->i": ((), (3,)),
    "i,ij,j": ((3,), (3, 4), (4,)),
    "ij,jk->ik": ((0, 3), (3, 4)),
    "ij,jk->ik ": ((2, 0), (0, 4)),
}


@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize("optimize", [False, "auto"])
def test_einsum_is_numpys(equation: str, optimize: Any) -> None:
    xs = draw(*EQUATIONS[equation])
    expected = np.einsum(equation, *xs)
    assert close(einsum(equation, *xs, optimize=optimize), expected)
    assert close(rx.jit(lambda *v: einsum(equation, *v))(*xs), expected)


def test_einsum_with_lists_of_labels() -> None:
    x, y = draw((2, 3), (3, 4))
    assert close(einsum(x, [0, 1], y, [1, 2], [2, 0]), (x @ y).T)


MATRICES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 4)),
    ((3,), (5, 3, 4)),
    ((7, 1, 3), (7, 3, 1)),
    ((0, 2, 3), (1, 3, 4)),
    ((2, 0), (0, 4)),
]


@pytest.mark.parametrize(("a", "b"), MATRICES, ids=str)
def test_matmul_is_numpys(a: Any, b: Any) -> None:
    x, y = draw(a, b)
    assert close(matmul(x, y), np.matmul(x, y))
    assert close(rx.asarray(x) @ y, x @ y)
    assert close(x @ rx.asarray(y), x @ y)
    if x.ndim == 1 or y.ndim <= 2:
        assert close(dot(x, y), np.dot(x, y))


@pytest.mark.parametrize("axes", [0, 2, ((1, 2), (0, 1)), ((2,), (1,))], ids=str)
def test_tensordot_is_numpys(axes: Any) -> None:
    x, y = draw((2, 3, 4), (3, 4, 4))
    assert close(tensordot(x, y, axes), np.tensordot(x, y, axes))


def test_dot_general_puts_the_batch_in_front() -> None:
    x, y = draw((2, 3, 4), (4, 2, 5))
    found = dot_general(x, y, (((2,), (0,)), ((0,), (1,))))
    assert close(found, np.einsum("bik,kbj->bij", x, y))


def test_halves_are_summed_in_float32() -> None:
    x = rx.asarray(np.ones((2, 4096)), "bfloat16")
    for run in (matmul, rx.jit(matmul)):
        assert np.array_equal(run(x, rx.transpose(x)), np.full((2, 2), 4096))
    wide = matmul(x, rx.transpose(x), preferred_element_type="float32")
    assert wide.dtype == np.float32


def test_integers_wrap() -> None:
    x = np.full((1, 3), 100, np.int8)
    assert np.array_equal(rx.jit(matmul)(x, x.T), x @ x.T)


BAD: dict[str, tuple[Any, str]] = {
    "inner": (lambda a: matmul(a, a), r"matmul: shapes .2, 3. and .2, 3. do not fit"),
    "rank 0": (lambda a: matmul(a, 1.0), "matmul: shapes"),
    "outer": (
        lambda a: matmul(np.ones((2, *a.shape)), np.ones((3, 3, 2))),
        "do not broadcast together",
    ),
    "pairs": (lambda a: tensordot(a, a, ((0,), (1,))), "have lengths 2 and 3"),
    "count": (lambda a: tensordot(a, a, ((0, 1), (1,))), "as many axes"),
    "lengths": (lambda a: einsum("ij,jk", a, a), "label 'j' .* has lengths 3 and 2"),
    "unknown": (lambda a: einsum("ij->iz", a), "must name labels of the operands"),
    "operands": (lambda a: einsum("ij,k", a), "names 2 operands, got 1"),
    "rank": (lambda a: einsum("i", a), "names 1 axes, its operand has 2"),
    "diagonal": (lambda a: einsum("ii", a), "label 'i' names axes of lengths 2 and 3"),
    "a dot": (lambda a: einsum(".ij", a), "a dot outside"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_told(name: str) -> None:
    call, text = BAD[name]
    with pytest.raises(errors.ShapeError, match=text):
        call(np.ones((2, 3)))


def launches(function: Any, *args: Any) -> int:
    seen = rx.jit(function).inspect(*args)
    assert seen.fallbacks == ()
    return int(seen.launches)


def test_transposed_operands_are_read_in_place() -> None:
    x, y = np.ones((64, 48), np.float32), np.ones((64, 32), np.float32)
    assert launches(lambda a, b: rx.transpose(a) @ b, x, y) == 1
    assert launches(lambda a, b: rx.transpose(b) @ a, x, y) == 1
    assert launches(lambda a, b: einsum("ij,ik->jk", a, b), x, y) == 1
    assert launches(lambda a: a @ rx.transpose(a), x) == 1


def test_heads_are_read_in_place() -> None:
    q, k = np.ones((2, 16, 4, 8), np.float32), np.ones((2, 24, 4, 8), np.float32)
    scores = np.ones((2, 4, 16, 24), np.float32)
    assert launches(lambda a, b: einsum("bqhd,bkhd->bhqk", a, b), q, k) <= 2
    assert launches(lambda a, b: einsum("bhqk,bkhd->bqhd", a, b), scores, k) <= 2


def test_a_batch_that_shares_its_weights_is_one_product() -> None:
    x, w = np.ones((4, 8, 16), np.float32), np.ones((16, 32), np.float32)
    assert launches(lambda a, b: a @ b, x, w) == 1
    assert launches(rx.vmap(lambda a, b: a @ b, in_axes=(0, None)), x, w) == 1


def test_an_epilogue_joins_the_product() -> None:
    x, w, b = (np.ones(s, np.float32) for s in ((32, 48), (48, 64), (64,)))
    assert launches(lambda x, w, b: (x @ w + b) * 2, x, w, b) == 1
