"""Functions as methods of arrays and tracers, and NumPy beside our arrays."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp

CALLS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(
        (
            *("all", "any", "argmax", "argmin", "argsort", "conj", "conjugate", "copy"),
            *("cumprod", "cumsum", "diagonal", "flatten", "max", "mean", "min"),
            *("prod", "ravel", "round", "sort", "squeeze", "std", "sum"),
            *("transpose", "var"),
        ),
        (),
    ),
    "astype": (np.int32,),
    "clip": (-1.0, 1.0),
    "dot": (np.arange(4, dtype=np.float32),),
    "repeat": (2,),
    "reshape": (4, 3),
    "swapaxes": (0, 1),
    "take": (np.int32([1, 2]),),
}


@pytest.fixture
def host() -> Any:
    return np.random.default_rng(3).standard_normal((3, 4)).astype(np.float32)


@pytest.mark.parametrize("name", CALLS)
def test_methods_are_numpys(name: str, host: Any) -> None:
    # NumPy's method sorts in place.
    expected = np.sort(host) if name == "sort" else getattr(host, name)(*CALLS[name])
    for compute in (lambda f: f, rx.jit):
        got = compute(lambda x: getattr(x, name)(*CALLS[name]))(rx.asarray(host))
        np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["T", "mT", "real", "imag"])
def test_properties_are_numpys(name: str, host: Any) -> None:
    got = rx.jit(lambda x: getattr(x, name))(host)
    np.testing.assert_array_equal(np.asarray(got), getattr(host, name))


def test_axes_of_transpose_in_every_form(host: Any) -> None:
    x = rx.asarray(host[None])
    for axes in ((2, 0, 1), ((2, 0, 1),), ([2, 0, 1],)):
        assert x.transpose(*axes).shape == (4, 1, 3)
    assert x.transpose().shape == x.transpose(None).shape == (4, 3, 1)


def test_places_in_a_line() -> None:
    line = rx.asarray([1, 3, 5])
    assert line.searchsorted(4).item() == 2
    assert line.nonzero()[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("left", [np.ones(3), np.float32(2), np.int64(2), 2.0])
def test_numpy_beside_an_array_gives_an_array(left: Any) -> None:
    x = rx.asarray([1.0, 2.0, 3.0])
    for result in (left * x, left + x, left - x, left / x, left < x, x * left):
        assert isinstance(result, rnp.ndarray)
    np.testing.assert_allclose(np.asarray(left - x), left - np.asarray(x))
    assert isinstance(np.ones((3, 3)) @ x, rnp.ndarray)


def test_numpy_functions_read_arrays() -> None:
    x = rx.asarray([1.0, 2.0])
    assert np.asarray(x).tolist() == [1.0, 2.0]
    assert not np.asarray(x).flags.writeable
    assert np.add(np.ones(2), x).tolist() == [2.0, 3.0]


def test_numpy_functions_of_traced_values_tell_the_way() -> None:
    with pytest.raises(rx.TraceError, match=r"Use rxcore\.numpy in place of NumPy"):
        rx.jit(lambda x: np.sin(x))(1.0)


def test_the_face_loads_on_first_use() -> None:
    code = (
        "import sys, rxcore as rx\n"
        "assert 'rxcore.numpy' not in sys.modules\n"
        "assert 'rxcore.random' not in sys.modules\n"
        "print(rx.asarray([1, 2]).sum().item(), 'rxcore.numpy' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["3", "True"]
