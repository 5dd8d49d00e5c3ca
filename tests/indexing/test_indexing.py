"""Indexing and updates mean what they mean in NumPy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxcore as rx
from rxcore.base import errors

EXAMPLES = settings(max_examples=150, deadline=None, derandomize=True)
COMPILED = settings(max_examples=40, deadline=None, derandomize=True)


class Dynamic:
    """An index array that reaches rxcore as an Array, NumPy as an ndarray."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __repr__(self) -> str:
        return f"Dynamic({self.array!r})"


@st.composite
def items(draw: Any, n: int) -> Any:
    """Draw what may stand in an index for an axis of length n."""
    integer = st.integers(-n, n - 1)
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return draw(integer)
    if kind <= 2:
        bound = st.none() | st.integers(-n - 1, n + 1)
        step = st.sampled_from([None, 1, 2, 3, -1, -2])
        return slice(draw(bound), draw(bound), draw(step))
    if kind == 3:
        return np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)
    # The shapes broadcast together.
    shape = draw(st.sampled_from([(2,), (1,), (3, 2), (3, 1)]))
    size = int(np.prod(shape))
    values = draw(st.lists(integer, min_size=size, max_size=size))
    if kind == 4:
        return np.array(values, np.int64).reshape(shape)
    if kind == 5:
        return Dynamic(np.int32(draw(integer)))
    dtype = draw(st.sampled_from([np.int8, np.int32, np.int64]))
    return Dynamic(np.array(values, dtype).reshape(shape))


@st.composite
def indexings(draw: Any) -> tuple[Any, tuple[Any, ...]]:
    """Draw an array of distinct numbers and an index into it."""
    shape = tuple(draw(st.lists(st.integers(1, 4), max_size=4)))
    x = np.arange(float(np.prod(shape, dtype=int))).reshape(shape)
    front = draw(st.integers(0, len(shape)))
    key = [draw(items(n)) for n in shape[:front]]
    if draw(st.booleans()):
        back = draw(st.integers(0, len(shape) - front))
        key.append(Ellipsis)
        key += [draw(items(n)) for n in shape[len(shape) - back :]]
    for _ in range(draw(st.integers(0, 2))):
        key.insert(draw(st.integers(0, len(key))), None)
    return x, tuple(key)


def for_numpy(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(k.array if isinstance(k, Dynamic) else k for k in key)


def for_us(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(rx.asarray(k.array) if isinstance(k, Dynamic) else k for k in key)


def numpy_reads(x: Any, key: tuple[Any, ...]) -> Any:
    """Return what NumPy selects, or None where the index arrays do not fit."""
    try:
        return x[for_numpy(key)]
    except IndexError:
        return None


@EXAMPLES
@given(indexings())
def test_reading_is_numpys(case: Any) -> None:
    x, key = case
    expected = numpy_reads(x, key)
    if expected is None:
        with pytest.raises(errors.ShapeError):
            rx.asarray(x)[for_us(key)]
        return
    found = rx.asarray(x)[for_us(key)]
    assert found.dtype == x.dtype
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)


UPDATES: dict[str, Any] = {
    "add": np.add,
    "multiply": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "divide": np.divide,
    "subtract": np.subtract,
}


def numpy_updates(x: Any, key: tuple[Any, ...], name: str, values: Any) -> Any:
    out = x.copy()
    if name == "set":
        out[for_numpy(key)] = values
    else:
        UPDATES[name].at(out, for_numpy(key), values)
    return out


@EXAMPLES
@given(indexings(), st.sampled_from(["set", *UPDATES]), st.booleans())
def test_an_update_is_numpys(case: Any, name: str, whole: bool) -> None:
    x, key = case
    selected = numpy_reads(x, key)
    if selected is None:
        return
    shape = selected.shape if whole else ()
    values = np.arange(1.0, 1.0 + np.prod(shape, dtype=int)).reshape(shape)
    found = getattr(rx.asarray(x).at[for_us(key)], name)(values)
    assert found.dtype == x.dtype
    assert np.allclose(found, numpy_updates(x, key, name, values), rtol=1e-14)


@COMPILED
@given(indexings(), st.sampled_from(["set", "add", "max"]))
def test_compiled_is_eager(case: Any, name: str) -> None:
    x, key = case
    if numpy_reads(x, key) is None:
        return
    arrays = [k.array for k in key if isinstance(k, Dynamic)]

    def both(v: Any, *given: Any) -> Any:
        rest = iter(given)
        index = tuple(next(rest) if isinstance(k, Dynamic) else k for k in key)
        return v[index], getattr(v.at[index], name)(7.0)

    eager = both(rx.asarray(x), *map(rx.asarray, arrays))
    compiled = rx.jit(both)(x, *arrays)
    for a, b in zip(eager, compiled, strict=True):
        assert np.array_equal(a, b)


@COMPILED
@given(indexings(), st.sampled_from(["set", "add"]))
def test_the_gradient_of_an_update(case: Any, name: str) -> None:
    """Linear in array and values: the inner products of both ways agree."""
    x, key = case
    selected = numpy_reads(x, key)
    if selected is None:
        return
    rng = np.random.default_rng(0)
    values, ct = rng.normal(size=selected.shape), rng.normal(size=x.shape)
    index = for_us(key)

    def function(v: Any, u: Any) -> Any:
        return getattr(v.at[index], name)(u)

    out, back = rx.vjp(function, rx.asarray(x), rx.asarray(values))
    dx, du = back(rx.asarray(ct))
    forward = np.vdot(ct, out)
    assert np.isclose(forward, np.vdot(dx, x) + np.vdot(du, values))


def test_the_last_of_several_updates_wins_and_owns_the_gradient() -> None:
    where = rx.asarray([1, 1, 0])
    x, u = rx.asarray([0.0, 0.0, 0.0]), rx.asarray([5.0, 6.0, 7.0])
    assert np.array_equal(x.at[where].set(u), [7, 6, 0])
    du = rx.grad(lambda v: x.at[where].set(v) @ np.float32([1, 2, 4]))(u)
    assert np.array_equal(du, [0, 2, 1])


@pytest.mark.parametrize("name", ["multiply", "min", "max"])
def test_the_derivative_of_updates_that_meet(name: str) -> None:
    where = rx.asarray([1, 1, 2, 9])
    x = rx.asarray([2.0, 3.0, 5.0], "float64")
    u = rx.asarray([0.5, 4.0, 0.0, 6.0], "float64")

    def function(v: Any, w: Any) -> Any:
        return getattr(v.at[where], name)(w)

    step = 1e-6
    rng = np.random.default_rng(1)
    dx, du = rng.normal(size=3), rng.normal(size=4)
    _, tangent = rx.jvp(function, (x, u), (rx.asarray(dx), rx.asarray(du)))
    up = np.asarray(function(x + step * dx, u + step * du))
    down = np.asarray(function(x - step * dx, u - step * du))
    assert np.allclose(tangent, (up - down) / (2 * step), atol=1e-6)


def test_out_of_range_at_run_time() -> None:
    x, far = rx.asarray([1.0, 2.0, 3.0]), rx.asarray([7, -9, -1])
    assert np.array_equal(x[far], [3, 1, 3])
    read = x.at[far].get(mode="fill", fill_value=0)
    assert np.array_equal(read, [0, 0, 3])
    assert np.array_equal(x.at[far].set(9.0), [1, 2, 9])
    assert np.array_equal(x.at[far].set(9.0, mode="clip"), [9, 2, 9])
    assert np.array_equal(x.at[far].add(1.0), [1, 2, 4])


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "too far": (7, IndexError, "index 7 is out of range for axis 0 of length 3"),
    "array too far": (np.array([0, -5]), IndexError, "an index array holds -5"),
    "list too far": ([0, 5], IndexError, "an index array holds 5"),
    "too many": ((0, 0, 0), IndexError, "3 indices for an array of rank 2"),
    "a float": (1.5, TypeError, "1.5 .float. is no index"),
    "floats": (np.array([1.0]), TypeError, "must hold integers or bools, got dtype"),
    "text": ("a", TypeError, "'a' .str. is no index"),
    "two dots": ((..., ...), ValueError, "only one '...'"),
    "a mask that does not fit": (np.ones(2, bool), IndexError, "mask of shape .2,."),
    "shapes": (
        (np.zeros(2, int), np.zeros(3, int)),
        ValueError,
        "shapes .2,., .3,. do not broadcast",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_index_is_told(name: str) -> None:
    key, kind, text = BAD[name]
    x = rx.asarray(np.zeros((3, 4)))
    with pytest.raises(kind, match=text):
        x[key]
    with pytest.raises(kind, match=text):
        x.at[key].set(0.0)


def test_a_traced_mask_is_told() -> None:
    with pytest.raises(TypeError, match=r"boolean mask of shape .3,. is traced by"):
        rx.jit(lambda x: x[x > 0])(np.ones(3, np.float32))


def test_a_known_mask_works_under_grad() -> None:
    x = rx.asarray([1.0, -2.0, 3.0])
    assert np.array_equal(rx.grad(lambda v: v[v > 0] @ v[v > 0])(x), [2, 0, 6])


def test_values_that_do_not_fit_are_told() -> None:
    x = rx.asarray(np.zeros((3, 4)))
    with pytest.raises(errors.ShapeError, match=r"values of shape .* selects"):
        x.at[0].set(np.zeros((2, 4)))
    with pytest.raises(errors.ShapeError, match=r"shapes .3,., .4,. do not broadcast"):
        x.at[0].set(np.zeros(3))
    with pytest.raises(errors.DTypeError, match=r"take their real part"):
        x.at[0].set(1j)
    with pytest.raises(errors.UserError, match=r"mode 'wrong' is not one of"):
        x.at[0].set(1, mode="wrong")


def test_arrays_are_immutable() -> None:
    def assign(x: Any) -> Any:
        x[0] = 1
        return x

    for run in (assign, rx.jit(assign)):
        with pytest.raises(TypeError, match=r"x\.at\[index\]\.set\(value\)"):
            run(rx.asarray([1, 2]))


def test_tracers_iterate() -> None:
    found = rx.jit(lambda x: sum(row * k for k, row in enumerate(x)))(np.eye(3))
    assert np.array_equal(found, [0, 1, 2])
    with pytest.raises(TypeError, match="rank 0"):
        rx.jit(lambda x: list(x))(1.0)


def launches(function: Any, *args: Any) -> int:
    seen = rx.jit(function).inspect(*args)
    assert seen.fallbacks == ()
    return int(seen.launches)


def test_indexing_fuses() -> None:
    x = np.ones((40, 50), np.float32)
    rows = np.arange(30, dtype=np.int32)
    assert launches(lambda v: v[1:-1, ::-2] * 2 + 1, x) == 1
    assert launches(lambda v, i: (v * 2)[i] + 1, x, rows) == 1
    assert launches(lambda v: (v * 2).at[1:9, ::3].set(v[1:9, ::3] + 1), x) == 1
