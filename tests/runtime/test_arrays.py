"""Arrays as Python objects: immutable, exchanged without a copy, never hashed."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import rxcore as rx
from rxcore.testing import arrays, pytrees
from tests.examples import examples


def computed() -> Any:
    """Return an Array that a kernel wrote."""
    return rx.jit(lambda x: x * 2)(np.arange(6, dtype="f").reshape(2, 3))


def address(x: Any) -> int:
    return int(np.asarray(x).__array_interface__["data"][0])


@examples(60)
@given(arrays())
def test_pickle_and_copies_are_equal(x: Any) -> None:
    for made in (
        pickle.loads(pickle.dumps(x)),
        copy.copy(x),
        copy.deepcopy(x),
        rx.asarray(np.asarray(x)),
        rx.jit(lambda v: v)(x),
    ):
        assert made.type is x.type
        np.testing.assert_array_equal(np.asarray(made), np.asarray(x))
    assert copy.copy(x) is x


@examples(60)
@given(pytrees())
def test_pytrees_go_through_jit(value: Any) -> None:
    out = rx.jit(lambda v: v)(value)
    assert rx.tree.structure(out) == rx.tree.structure(value)
    for a, b in zip(rx.tree.leaves(out), rx.tree.leaves(value), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_numpy_sees_the_memory_and_cannot_write() -> None:
    x = computed()
    host = np.asarray(x)
    assert address(x) == address(host) == address(np.asarray(x))
    assert not host.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        host[0, 0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        host.flags.writeable = True
    own = np.array(x)
    own[0, 0] = 9
    assert float(x[0, 0]) == 0
    assert np.asarray(x, dtype="f8").dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        np.asarray(x, dtype="f8", copy=False)


def test_memory_lives_as_long_as_a_view() -> None:
    host = np.asarray(computed())
    for _ in range(20):
        computed()
    np.testing.assert_array_equal(host, [[0, 2, 4], [6, 8, 10]])


def test_a_writable_ndarray_is_copied() -> None:
    host = np.zeros(3, "f")
    x = rx.asarray(host)
    host[:] = 1
    np.testing.assert_array_equal(x, [0, 0, 0])


@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "i4", "u8", "c8", "?", "f2"])
def test_dlpack_both_ways(dtype: str) -> None:
    x = rx.jit(lambda v: v)(np.ones((2, 3)).astype(dtype))
    out = np.from_dlpack(x)
    np.testing.assert_array_equal(out, np.asarray(x))
    assert out.dtype == x.dtype
    assert x.__dlpack_device__() == (1, 0)


def test_dlpack_with_torch() -> None:
    torch = pytest.importorskip("torch")
    x = computed()
    t = torch.from_dlpack(x)
    np.testing.assert_array_equal(t.numpy(), np.asarray(x))
    assert t.data_ptr() == address(x)
    np.testing.assert_array_equal(rx.asarray(torch.arange(3)), [0, 1, 2])


def test_length_iteration_and_index() -> None:
    x = computed()
    assert len(x) == 2
    rows = list(x)
    np.testing.assert_array_equal(rows[1], [6, 8, 10])
    assert [float(v) for v in rows[0]] == [0, 2, 4]
    assert [10, 20, 30][rx.asarray(2)] == 30
    assert list(range(rx.asarray(3))) == [0, 1, 2]
    assert x.tolist() == [[0, 2, 4], [6, 8, 10]]
    assert x[1, 2].item() == 10
    a, b = x
    assert 10.0 in b
    assert a.shape == (3,)


def test_unhashable_and_truthy_by_one_element_only() -> None:
    x = computed()
    with pytest.raises(TypeError, match="unhashable"):
        hash(x)
    assert bool(rx.asarray([1.0]))
    assert not rx.asarray(0)
    with pytest.raises(ValueError, match="one element"):
        bool(x)


def test_an_ndarray_or_number_on_the_left() -> None:
    x = rx.asarray(np.arange(3, dtype="f"))
    for left in (np.ones(3, "f"), np.float32(1), 1, 1.0, True):
        for made in (left + x, left * x, left - x, left < x, left**x):
            assert type(made) is type(x)
    np.testing.assert_array_equal(np.ones(3, "f") - x, [1, 0, -1])


def test_numpy_scalars_keep_their_dtype_and_python_numbers_do_not() -> None:
    half = rx.asarray(np.ones(2, "f2"))
    assert (half + 1.5).dtype == np.float16
    assert (half + np.float32(1.5)).dtype == np.float32
    assert (half + 1).dtype == np.float16
    assert rx.jit(lambda x, y: x + y)(half, 2.0).dtype == np.float16
    assert rx.jit(lambda x, y: x + y)(half, np.float64(2)).dtype == np.float64
    byte = rx.asarray(np.ones(2, "u1"))
    assert (byte * 2).dtype == np.uint8
    assert (byte * 2.0).dtype == np.float32


def test_repr_and_format() -> None:
    assert repr(rx.asarray([1.0, 2.5])) == "Array([1. , 2.5], dtype=float32)"
    assert f"{rx.asarray(2.5):.2f}" == "2.50"
    assert str(rx.asarray([1, 2])) == "[1 2]"
    assert "donated" in repr(gone())


def gone() -> Any:
    x = rx.asarray([1.0])
    rx.jit(lambda v: v + 1, donate_argnums=0)(x)
    return x


@pytest.mark.skipif(
    not hasattr(memoryview, "__buffer__"), reason="Python 3.12 lets classes export"
)
def test_the_buffer_protocol() -> None:
    view = memoryview(computed())
    assert view.readonly
    assert view.shape == (2, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
def test_large_copies_begin_on_cache_lines(dtype: Any) -> None:
    for shape in ((9000,), (140, 90), (90, 140)):
        x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
        for found in (x, x.T, x[::2]):
            made = np.asarray(rx.asarray(found))
            assert made.ctypes.data % 64 == 0
            assert not made.flags.writeable
            np.testing.assert_array_equal(made, found)
