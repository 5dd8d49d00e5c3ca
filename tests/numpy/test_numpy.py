"""The face against NumPy: values, dtypes, compiled, mapped and differentiated."""

import doctest
import types
import zlib
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from tests.numpy.table import ELSEWHERE, ROWS, Row, arrays_of, call_of, sampled

NARROW = {
    "float64": "float32",
    "int64": "int32",
    "uint64": "uint32",
    "complex128": "complex64",
}
COMPILED = tuple(r for r in ROWS if not r.eager)
MAPPED = tuple(r for r in COMPILED if arrays_of(r.args, r.args))
SMOOTH = tuple(r for r in ROWS if r.smooth)


def arrays(entry: Row, seed: int = 0, double: bool = False) -> list[Any]:
    rng = np.random.default_rng(zlib.crc32(f"{entry} {seed}".encode()))
    return arrays_of(entry.args, sampled(entry.args, rng, double))


def parts(result: Any) -> list[Any]:
    return list(result) if isinstance(result, list | tuple) else [result]


def agree(ours: Any, theirs: Any, exact: bool) -> None:
    first, second = parts(ours), parts(theirs)
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        x, y = np.asarray(a), np.asarray(b)
        assert x.shape == y.shape
        if exact:
            np.testing.assert_array_equal(x, y)
        else:
            np.testing.assert_allclose(x, y, rtol=3e-5, atol=3e-5)


@pytest.mark.parametrize("entry", ROWS, ids=str)
def test_meaning_and_dtype_are_numpys(entry: Row) -> None:
    given = arrays(entry)
    with np.errstate(all="ignore"):
        theirs = call_of(entry, np)(*given)
    ours = call_of(entry, rnp)(*given)
    agree(ours, theirs, entry.exact)
    for a, b in zip(parts(ours), parts(theirs), strict=True):
        assert isinstance(a, rnp.ndarray)
        name = np.asarray(b).dtype.name
        assert a.dtype.name == NARROW.get(name, name)


@pytest.mark.parametrize("entry", COMPILED, ids=str)
def test_compiled_is_eager(entry: Row) -> None:
    given = arrays(entry)
    call = call_of(entry, rnp)
    agree(rx.jit(call)(*given), call(*given), entry.exact)


@pytest.mark.parametrize("entry", MAPPED, ids=str)
def test_mapped_is_a_loop(entry: Row) -> None:
    rows = [arrays(entry, seed) for seed in range(2)]
    call = call_of(entry, rnp)
    looped = [parts(call(*given)) for given in rows]
    mapped = rx.vmap(call)(*(np.stack(xs) for xs in zip(*rows, strict=True)))
    agree(parts(mapped), [np.stack(p) for p in zip(*looped, strict=True)], entry.exact)


@pytest.mark.parametrize("entry", SMOOTH, ids=str)
def test_derivative_is_that_of_differences(entry: Row) -> None:
    given = arrays(entry, double=True)
    call = call_of(entry, rnp)
    rng = np.random.default_rng(7)
    steps = [rng.standard_normal(x.shape) * (x.dtype == np.float64) for x in given]
    weights = [rng.standard_normal(y.shape) for y in parts(call(*given))]

    def total(*xs: Any) -> Any:
        ys = parts(call(*xs))
        return sum((y * w).sum() for y, w in zip(ys, weights, strict=True))

    def moved(size: float) -> float:
        xs = (
            x + s * size if x.dtype == np.float64 else x
            for x, s in zip(given, steps, strict=True)
        )
        return float(total(*xs))

    floating = tuple(k for k, x in enumerate(given) if x.dtype == np.float64)
    slopes = rx.grad(total, argnums=floating)(*given)
    ours = sum(
        float((g * steps[k]).sum()) for k, g in zip(floating, slopes, strict=True)
    )
    theirs = (moved(1e-6) - moved(-1e-6)) / 2e-6
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def functions() -> list[str]:
    found = [(name, getattr(rnp, name)) for name in rnp.__all__]
    return [name for name, x in found if isinstance(x, types.FunctionType)]


def test_every_function_is_tried() -> None:
    assert set(functions()) - ELSEWHERE == {entry.name for entry in ROWS}


@pytest.mark.parametrize("name", functions())
def test_documents_tell_and_their_examples_hold(name: str) -> None:
    text = getattr(rnp, name).__doc__
    for part in ("**Meaning**", "Args:", "Returns:", "Example"):
        assert part in text
    flags = doctest.NORMALIZE_WHITESPACE
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    assert example.examples
    assert doctest.DocTestRunner(optionflags=flags).run(example).failed == 0


def test_lists_are_operands() -> None:
    assert rnp.add([1, 2], [3.5, 4]).tolist() == [4.5, 6.0]
    assert rnp.matmul([[1, 2]], [[3], [4]]).tolist() == [[11]]

    @rx.jit
    def pair(x: Any) -> Any:
        return rnp.array([[x, 1.0], [2.0, x * x]])

    assert pair(3.0).tolist() == [[3.0, 1.0], [2.0, 9.0]]
    slope = rx.grad(lambda x: rnp.sum(rnp.stack([x, x * x])))(3.0)
    assert float(slope) == 7.0


def test_total_repeat_length_lets_repeats_be_traced() -> None:
    repeat = rx.jit(lambda x, n: rnp.repeat(x, n, total_repeat_length=6))
    x = np.int32([5, 6, 7])
    assert repeat(x, np.int32([1, 2, 3])).tolist() == [5, 6, 6, 7, 7, 7]
    assert repeat(x, np.int32([1, 1, 1])).tolist() == [5, 6, 7, 7, 7, 7]
    assert repeat(x, np.int32([4, 4, 0])).tolist() == [5, 5, 5, 5, 6, 6]


def test_bincount_of_known_length_is_compiled() -> None:
    count = rx.jit(lambda x: rnp.bincount(x, length=4))
    assert count(np.int32([1, 3, 1, 9])).tolist() == [0, 2, 0, 1]


def test_empty_arrays_have_shape_and_dtype() -> None:
    assert rnp.empty((2, 3)).type == rnp.zeros((2, 3)).type
    like = rnp.empty_like(np.int8([1, 2]))
    assert (like.shape, like.dtype) == ((2,), np.int8)


def test_questions_about_shapes() -> None:
    x = np.zeros((2, 3))
    assert (rnp.ndim(x), rnp.shape(x), rnp.size(x), rnp.size(x, 1)) == (2, (2, 3), 6, 3)
    assert rnp.broadcast_shapes((2, 1), 3) == (2, 3)
    assert rnp.isscalar(rnp.asarray(1))
    assert rnp.isscalar(2.0)
    assert not rnp.isscalar(x)


def test_searching_is_one_kernel() -> None:
    shown = rx.inspect(rnp.searchsorted)(
        np.arange(1000, dtype=np.float32), np.zeros(5000, np.float32)
    )
    assert shown.launches == 1
    assert shown.fallbacks == ()
