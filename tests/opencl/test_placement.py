"""Where arrays are and where calls run: names, moves, messages, threads, forks."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from attrs import evolve

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.runtime.devices import find

X = np.float32([1.0, -2.0, 3.0])
NAMES = ("opencl", "opencl:1")


def put(x: Any = X, name: str = "opencl") -> rx.Array:
    made = rx.device_put(x, name)
    assert made.device == name
    assert made.tolist() == np.asarray(x).tolist()
    return made


def card(name: str = "opencl") -> str:
    target = find(name)
    assert target is not None
    return target.device.name


# names --------------------------------------------------------------------------------


def test_devices_have_names_descriptions_and_kinds() -> None:
    found = rx.devices()
    assert found == ["cpu", *NAMES]
    assert [d.kind for d in found] == ["cpu"] * 3
    assert all(card(d) in d.description for d in found[1:])
    assert "driver" in found[1].description


def asks() -> dict[str, Callable[[Any], Any]]:
    def scoped(name: Any) -> None:
        with rx.default_device(name):
            pass

    return {
        "device_put": lambda name: rx.device_put(X, name),
        "jit": lambda name: rx.jit(abs, device=name),
        "default_device": scoped,
    }


WRONG = ("x", "-1", "0.5", "00")


@pytest.mark.parametrize("call", asks())
@pytest.mark.parametrize(
    ("name", "message"),
    [
        *(
            (n, f"there is no device {n!r}; there are 'cpu', 'opencl', 'opencl:1'")
            for n in (
                "gpu",
                "CPU",
                "",
                "opencl:x",
                "opencl:-1",
                "cuda:0",
                "opencl:0.5",
                "opencl:00",
            )
        ),
        (
            "opencl:2",
            "'opencl:2' is out of range, there are 2 OpenCL devices; use one of"
            " 'cpu', 'opencl', 'opencl:1'",
        ),
    ],
)
def test_unknown_names(call: str, name: str, message: str) -> None:
    with pytest.raises(rx.DeviceError) as caught:
        asks()[call](name)
    assert str(caught.value).splitlines()[0] == f"{call}: {message}"


def test_one_device_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    first = find("opencl")
    assert first is not None
    monkeypatch.setattr(
        "rxcore_kernels.opencl.devices", lambda device=first.device: (device,)
    )
    message = "jit: 'opencl:1' is out of range, there is 1 OpenCL device; use one of"
    with pytest.raises(rx.DeviceError, match=message):
        rx.jit(abs, device="opencl:1")


def test_no_device_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rxcore_kernels.opencl.devices", lambda: ())
    monkeypatch.setattr("rxcore_kernels.opencl.why_none", lambda: "No driver.")
    assert rx.devices() == ["cpu"]
    with pytest.raises(rx.DeviceError) as caught:
        rx.device_put(X, "opencl")
    assert str(caught.value).splitlines()[0] == (
        "device_put: there is no OpenCL device, so 'opencl' cannot be used; there is"
        " only 'cpu'. No driver."
    )


def test_a_number_may_be_left_out() -> None:
    assert put(name="opencl").device == rx.device_put(X, "opencl:0").device
    assert rx.jit(lambda x: x + 1, device="opencl:0")(X).device == "opencl"


# moving -------------------------------------------------------------------------------


def test_device_put_moves_leaves_and_keeps_what_is_there() -> None:
    there = put()
    assert rx.device_put(there, "opencl") is there
    tree = rx.device_put({"a": 1, "b": [X, there], "c": None}, "opencl")
    assert [leaf.device for leaf in rx.tree.leaves(tree)] == ["opencl"] * 3
    assert tree["b"][1] is there
    assert rx.device_put(there, "cpu").device == "cpu"
    other = rx.device_put(there, "opencl:1")
    assert (other.device, other.tolist()) == ("opencl:1", X.tolist())


def test_device_put_copies_what_may_change() -> None:
    x = X.copy()
    there = rx.device_put(x, "opencl")
    x[:] = 0
    assert there.tolist() == X.tolist()


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 1, 3)])
def test_every_dtype_and_shape_comes_back(dtype: str, shape: tuple[int, ...]) -> None:
    x = rnp.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    there = rx.device_put(x, "opencl")
    back = rx.device_put(there, "cpu")
    assert (there.dtype, there.shape, back.device) == (x.dtype, x.shape, "cpu")
    np.testing.assert_array_equal(np.asarray(back), np.asarray(x))


def test_a_dtype_that_a_device_lacks() -> None:
    with pytest.raises(rx.DTypeError) as caught:
        rx.device_put(np.zeros(3), "opencl:1")
    assert isinstance(caught.value, rx.DeviceError)
    assert str(caught.value).splitlines()[0] == (
        f"device_put: 'opencl:1' ({card('opencl:1')}) cannot hold an array of type"
        " f64[3]: it does not compute with float64; convert it with"
        " .astype(rnp.float32), or keep it on 'cpu'"
    )


def test_programs_with_a_dtype_that_a_device_lacks_run_on_the_cpu() -> None:
    @rx.jit(device="opencl:1")
    def double(x: Any) -> Any:
        return x * 2

    target = find("opencl:1")
    assert target is not None
    target.warned.clear()
    with pytest.warns(RuntimeWarning) as caught:
        first = double(np.float64([1, 2]))
    assert [str(w.message) for w in caught] == [
        f"opencl:1 ({card('opencl:1')}): it does not compute with float64; the CPU"
        " runs this call instead (said once)"
    ]
    again = double(np.float64([1, 2]))
    assert first.tolist() == again.tolist() == [2, 4]
    assert (first.device, first.dtype) == ("cpu", np.float64)
    # Where it is was not the user's choice: it goes where it is needed.
    assert (put(np.float64([1, 2])) + first).device == "opencl"


# mixing -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "said", "away"),
    [
        ("cpu", "f32[3] on 'opencl', f32[3] on 'cpu'", "opencl"),
        ("opencl:1", "f32[3] on 'opencl', f32[3] on 'opencl:1'", "opencl"),
    ],
)
def test_eager_ops_do_not_mix_devices(other: str, said: str, away: str) -> None:
    a, b = put(), rx.device_put(rx.asarray(X), other)
    with pytest.raises(rx.DeviceError) as caught:
        a + b
    assert str(caught.value).splitlines()[0] == (
        f"add: its operands lie on different devices: {said}. Move one of them first,"
        f" as in rx.device_put(x, {away!r}), or call the function through rx.jit,"
        " which moves arguments by itself"
    )
    for function in (rnp.minimum, rnp.dot, lambda x, y: rnp.concatenate([x, y])):
        with pytest.raises(rx.DeviceError, match="different devices"):
            function(a, b)


def test_numbers_and_ndarrays_go_along() -> None:
    x = put()
    for made in (
        x + 1,
        2.5 * x,
        x + rx.asarray(X)[0],
        x + X,
        rnp.maximum(X, x),
        rnp.where(x > 0, x, 0.0),
    ):
        assert made.device == "opencl"
    assert (x * X).tolist() == (X * X).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_jit_moves_its_arguments(name: str) -> None:
    here = rx.asarray(X)

    @rx.jit(device=name)
    def f(*xs: Any) -> Any:
        return sum(xs) + here

    arguments = [here, put(), put(name="opencl:1"), X, 1.0]
    for _ in range(2):  # the second call takes the short path
        out = f(*arguments)
        assert (out.device, out.tolist()) == (name, (X * 5 + 1).tolist())
    plain = [here, put(), put(name="opencl:1")]
    for _ in range(3):
        assert f(*plain).tolist() == (X * 4).tolist()
        assert f(*plain).device == name
    assert [a.device for a in plain] == ["cpu", *NAMES]


def test_jit_follows_arguments_on_a_device() -> None:
    f = rx.jit(lambda x, y: x * y)
    for x, y in ((put(), rx.asarray(X)), (rx.asarray(X), put()), (put(), X)):
        assert f(x, y).device == "opencl"
    assert f(rx.asarray(X), X).device == "cpu"
    assert rx.jit(lambda x: x + 1, device="cpu")(put()).device == "cpu"


def test_transforms_follow_arguments() -> None:
    x = put()
    assert rx.grad(lambda v: (v * v).sum())(x).tolist() == (2 * X).tolist()
    assert rx.vmap(lambda v: v * 2)(x).device == "opencl"
    assert rx.jvp(lambda v: v * v, (x,), (x,))[1].device == "opencl"
    _, ys = rx.scan(lambda c, v: (c + v, c), 0.0, x)
    assert ys.device == "opencl"
    out = rx.cond(x.sum() > 0, lambda v: v, lambda v: -v, x)
    assert (out.device, out.tolist()) == ("opencl", X.tolist())


def test_a_cpu_device_that_is_wanted_runs_as_one() -> None:
    target = find("opencl")
    assert target is not None
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(260, 260)).astype("f") for _ in range(2))
    assert target.facts.kind == "gpu"
    with rx.config(allow_opencl_cpu=True):
        assert target.facts.kind == "cpu"
        found = rx.jit(lambda x, y: x @ y + x.sum(1), device="opencl")(a, b)
    assert found.device == "opencl"
    np.testing.assert_allclose(np.asarray(found), a @ b + a.sum(1), 1e-3, 1e-3)


# where new arrays are made ------------------------------------------------------------

CREATED: dict[str, Callable[[], Any]] = {
    "asarray": lambda: rx.asarray([1.0, 2.0]),
    "ndarray": lambda: rx.asarray(np.int8([1, 2])),
    "array": lambda: rnp.array([[1, 2]]),
    "zeros": lambda: rnp.zeros((2, 3)),
    "ones": lambda: rnp.ones(3),
    "full": lambda: rnp.full((2,), 7),
    "eye": lambda: rnp.eye(3),
    "arange": lambda: rnp.arange(5),
    "linspace": lambda: rnp.linspace(0, 1, 5),
    "iota": lambda: rx.iota("int32", 4),
    "normal": lambda: rx.random.normal(rx.random.key(3), (4,)),
    "uniform": lambda: rx.random.uniform(rx.random.key(3), (4,)),
    "randint": lambda: rx.random.randint(rx.random.key(3), (4,), 0, 9),
    "permutation": lambda: rx.random.permutation(rx.random.key(3), 6),
    "split": lambda: rx.random.split(rx.random.key(3)),
    "jit": lambda: rx.jit(lambda: rnp.ones(3) * 2)(),
    "vmap": lambda: rx.vmap(lambda x: x + 1)(np.arange(3)),
    "sum": lambda: rnp.sum(np.arange(4)),
}


@pytest.mark.parametrize("name", CREATED)
def test_the_default_device(name: str) -> None:
    make = CREATED[name]
    expected = make()
    assert expected.device == "cpu"
    with rx.default_device("opencl"):
        found = make()
        with rx.default_device("cpu"):
            assert make().device == "cpu"
    assert found.device == "opencl"
    assert found.type == expected.type
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), 1e-6)


def test_the_default_device_takes_what_lies_on_the_cpu() -> None:
    here = rx.asarray(X)
    with rx.default_device("opencl"):
        assert (here + 1).device == "opencl"
        assert rx.jit(lambda x: x + here)(here).device == "opencl"
        assert (put(name="opencl:1") + 1).device == "opencl:1"
    assert here.device == "cpu"


def test_the_default_device_leaves_dtypes_that_it_lacks() -> None:
    with rx.default_device("opencl:1"):
        made = rx.asarray(np.float64([1, 2]))
        assert made.device == "cpu"
        assert rx.asarray(X).device == "opencl:1"


def test_the_default_device_is_a_threads_own() -> None:
    found: list[str] = []
    with rx.default_device("opencl"):
        thread = threading.Thread(target=lambda: found.append(rnp.ones(2).device))
        thread.start()
        thread.join()
    assert found == ["cpu"]


# what arrays do -----------------------------------------------------------------------


def test_python_protocols() -> None:
    x = put()
    assert [float(v) for v in x] == X.tolist()
    assert (bool(x[0] > 0), float(x[1]), int(x[2])) == (True, -2.0, 3)
    assert [10, 20, 30][put(np.int32(1))] == 20
    assert (len(x), x.shape, x.dtype, x.item(2)) == (3, (3,), np.float32, 3.0)
    assert repr(x) == "Array([ 1., -2.,  3.], dtype=float32)"
    assert (str(x), f"{x[0]:.2f}") == ("[ 1. -2.  3.]", "1.00")
    assert np.asarray(x).flags.writeable is False
    assert np.from_dlpack(x).tolist() == X.tolist()
    assert (x == X).all()
    with pytest.raises(TypeError, match="immutable"):
        x[0] = 1.0
    with pytest.raises(rx.ShapeError, match="one element"):
        bool(x)


def test_rows_lie_where_the_whole_does() -> None:
    x = put(np.float32([[1, 2], [3, 4]]))
    rows = list(x)
    assert [r.device for r in rows] == ["opencl"] * 2
    assert sum(rows).tolist() == [4, 6]
    assert (rows[1] * x[0]).tolist() == [3, 8]
    first, second = rx.jit(lambda v: v)(rows)
    assert (first + second).device == "opencl"


def test_copies() -> None:
    x = put()
    assert copy.copy(x) is x
    twin = copy.deepcopy({"x": x})["x"]
    assert (twin.device, twin.tolist()) == ("opencl", X.tolist())
    assert (twin + x).tolist() == (X + X).tolist()
    back = pickle.loads(pickle.dumps(x))
    assert (back.device, back.tolist(), back.type) == ("cpu", X.tolist(), x.type)
    assert x.copy().device == "opencl"


def test_updates() -> None:
    x = put()
    assert x.at[1].set(5.0).tolist() == [1, 5, 3]
    assert x.at[::2].add(x[:2]).tolist() == [2, -2, 1]
    assert x.at[np.array([0, 0])].add(1).tolist() == [3, -2, 3]
    assert x.at[x > 0].set(0).tolist() == [0, -2, 0]
    assert x.at[1].set(5.0).device == "opencl"
    assert x.tolist() == X.tolist()


def test_indices() -> None:
    x = put()
    for index in (1, slice(0, 2), [0, 2], np.array([2, 0]), None, ..., X > 0):
        found = x[index]
        assert found.device == "opencl"
        np.testing.assert_array_equal(np.asarray(found), X[index])
    assert x[put(np.int32([2, 1]))].tolist() == [3, -2]
    assert x[x > 0].tolist() == [1, 3]


def test_donation() -> None:
    f = rx.jit(lambda x: x * 2, donate_argnums=0)
    for _ in range(3):
        x = put()
        x = f(x)
        y = f(x)
        assert y.tolist() == (X * 4).tolist()
        assert y.device == "opencl"
        assert repr(x) == "Array(donated, f32[3])"
        with pytest.raises(rx.UserError, match="donated to a jitted call"):
            x + 1
        with pytest.raises(rx.UserError, match="donated to a jitted call"):
            f(x)


def test_results_that_are_arguments() -> None:
    f = rx.jit(lambda x, y: (x, y * 2, x), device="opencl")
    x = put()
    for a, b, c in (f(x, X), f(rx.asarray(X), x)):
        assert [v.device for v in (a, b, c)] == ["opencl"] * 3
        assert a.tolist() == c.tolist() == X.tolist()
        assert b.tolist() == (X * 2).tolist()


def test_waiting() -> None:
    x = put() * 2
    assert x.block_until_ready() is x
    tree = {"a": x, "b": [X, 1.0]}
    assert rx.block_until_ready(tree) is tree


def test_an_unknown_default_names_the_setting() -> None:
    with (
        rx.config(default_device="gtx"),
        pytest.raises(rx.DeviceError, match=r"^default_device: there is"),
    ):
        rx.asarray([1.0])


# threads and forks --------------------------------------------------------------------


def test_threads_share_a_device() -> None:
    f = rx.jit(lambda x, k: (rnp.sort(x * k).cumsum(), x.sum() + k), device="opencl")
    x = np.arange(700, dtype=np.float32)[::-1].copy()
    errors: list[BaseException] = []

    def work(k: int) -> None:
        try:
            for turn in range(8):
                given = rx.device_put(x + turn, "opencl") if turn % 2 else x + turn
                sums, total = f(given, float(k))
                expected = np.cumsum(np.sort(x + turn) * k, dtype=np.float64)
                np.testing.assert_allclose(np.asarray(sums), expected, 1e-5)
                np.testing.assert_allclose(float(total), (x + turn).sum() + k, 1e-6)
        except BaseException as error:  # shown by the main thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert errors == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_computes_on_the_cpu() -> None:
    f = rx.jit(lambda x: x * 2, device="opencl")
    plain = rx.jit(lambda x: x + 1)
    x, seen = rx.device_put(X, "opencl"), rx.device_put(X, "opencl")
    expected = f(x).tolist()
    assert seen.tolist() == X.tolist()  # fetched, so the child has it
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:  # pragma: no cover - another process
        try:
            os.write(writer, repr(_in_child(f, plain, x, seen)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        found = pipe.read().decode()
    os.waitpid(child, 0)
    assert found == repr(
        {
            "devices": ["cpu"],
            "jit": (expected, "cpu", 1),
            "plain": ((X + 1).tolist(), "cpu"),
            "fetched": (X + 1).tolist(),
            "lost": True,
        }
    )
    assert f(x).tolist() == expected  # the parent goes on


def _in_child(f: Any, plain: Any, x: Any, seen: Any) -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = f(X)
        again = f(X)
    assert again.tolist() == out.tolist()
    said = [w for w in caught if "was forked" in str(w.message)]
    one = plain(X)
    with warnings.catch_warnings(record=True):
        fetched = (seen + 1).tolist()
    try:
        x.tolist()
        lost = False
    except rx.DeviceError as error:
        lost = "cannot be fetched" in str(error)
    return {
        "devices": rx.devices(),
        "jit": (out.tolist(), out.device, len(said)),
        "plain": (one.tolist(), one.device),
        "fetched": fetched,
        "lost": lost,
    }


# what a device can hold ---------------------------------------------------------------


def test_values_larger_than_a_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    target = find("opencl:1")
    assert target is not None
    rx.clear_caches()
    monkeypatch.setattr(
        target.device, "facts", evolve(target.device.facts, max_alloc=4096)
    )
    target.warned.clear()
    x = np.ones((40, 40), np.float32)
    with pytest.raises(rx.DeviceError, match="the largest buffer of"):
        rx.device_put(x, "opencl:1")
    with pytest.warns(RuntimeWarning) as caught:
        found = rx.jit(lambda a: a[:1] @ a, device="opencl:1")(x)
    assert [str(w.message) for w in caught] == [
        f"opencl:1 ({card('opencl:1')}): a value of type f32[40,40] takes 6400 bytes,"
        " its largest buffer holds 4096; the CPU runs this call instead (said once)"
    ]
    assert (found.device, found.tolist()) == ("cpu", [[40.0] * 40])
    # What is never stored may be larger.
    outer = rx.jit(lambda a: (a[:, None] * a).sum(0), device="opencl:1")(x[0])
    assert (outer.device, outer.tolist()) == ("opencl:1", [40.0] * 40)
    rx.clear_caches()


def test_memory_comes_back() -> None:
    target = find("opencl")
    assert target is not None
    f = rx.jit(lambda x: rnp.sort(x) * 2 + rnp.cumsum(x), device="opencl")
    x = np.arange(50_000, dtype=np.float32)
    f(x).block_until_ready()
    gc.collect()
    before = target.device.memory.statistics().in_use_bytes
    for _ in range(20):
        f(rx.device_put(x, "opencl")).block_until_ready()
    gc.collect()
    assert target.device.memory.statistics().in_use_bytes <= before
