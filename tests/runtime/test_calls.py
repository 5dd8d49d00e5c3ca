"""Calls of jitted functions: threads, forks, donation, captured values, caches."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore_kernels import workers

RNG = np.random.default_rng(0)
BIG = RNG.standard_normal((512, 300)).astype("f")


def normalized(x: Any) -> Any:
    centred = x - x.mean(1, keepdims=True)
    return centred / rnp.sqrt((centred * centred).mean(1, keepdims=True) + 1e-5)


def in_threads(count: int, work: Any) -> list[Any]:
    results: list[Any] = [None] * count
    start = threading.Barrier(count)

    def run(k: int) -> None:
        start.wait()
        try:
            results[k] = work(k)
        except BaseException as error:
            results[k] = error

    threads = [threading.Thread(target=run, args=(k,)) for k in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for r in results:
        if isinstance(r, BaseException):
            raise r
    return results


def test_threads_call_one_function_at_once() -> None:
    f = rx.jit(lambda x, k: normalized(x) * k + (x @ x.T).sum(1, keepdims=True))
    inputs = [rx.asarray(BIG[:200] + k) for k in range(4)]
    expected = [np.asarray(f(x, float(k))) for k, x in enumerate(inputs)]

    def work(k: int) -> bool:
        return all(
            np.array_equal(np.asarray(f(inputs[k], float(k))), expected[k])
            for _ in range(25)
        )

    assert all(in_threads(4, work))


def test_threads_compile_at_once() -> None:
    f = rx.jit(lambda x: rnp.tanh(x) * 3 + x.sum())
    x = rx.asarray(BIG[0, :17])

    def work(k: int) -> Any:
        return np.asarray(f(x)), np.asarray(rx.jit(lambda x: x * (k + 2.5))(x))

    first, *others = in_threads(4, work)
    for k, (same, own) in enumerate([first, *others]):
        np.testing.assert_array_equal(same, first[0])
        np.testing.assert_array_equal(own, np.asarray(x) * np.float32(k + 2.5))


def test_threads_trace_apart() -> None:
    def work(k: int) -> Any:
        return rx.vmap(rx.grad(lambda x: (x**3).sum()))(rnp.ones((2, 3)) * k)

    for k, g in enumerate(in_threads(4, work)):
        np.testing.assert_array_equal(g, np.full((2, 3), 3.0 * k * k))


@pytest.fixture
def threads() -> Any:
    yield
    rx.config.num_threads = None


@pytest.mark.usefixtures("threads")
def test_results_do_not_depend_on_the_number_of_threads() -> None:
    def work(x: Any) -> Any:
        y = normalized(x)
        return y, y.sum(), y.sum(0), x @ x.T, rnp.cumsum(y, 0), y.max(), (y + x).mean()

    f, x = rx.jit(work), rx.asarray(np.tile(BIG, (4, 2)))
    every = []
    for count in (1, 2, 3, 4):
        rx.config.num_threads = count
        every.append([np.asarray(o).tobytes() for o in f(x)])
    assert all(e == every[0] for e in every)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
# A peer library that another test has loaded warns of any fork.
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_a_forked_child_computes() -> None:
    f, x = rx.jit(normalized), rx.asarray(np.tile(BIG, (8, 1)))
    expected = np.asarray(f(x))
    child = os.fork()
    if child == 0:
        fresh = rx.jit(lambda x: normalized(x) + 1)
        good = np.array_equal(np.asarray(f(x)), expected)
        good &= np.array_equal(np.asarray(fresh(x)), expected + 1)
        os._exit(0 if good else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    np.testing.assert_array_equal(np.asarray(f(x)), expected)


def test_an_ndarray_is_read_in_place() -> None:
    host = np.arange(6, dtype="f")
    f = rx.jit(lambda x: x * 2)
    np.testing.assert_array_equal(f(host), host * 2)
    host[:] = 7
    np.testing.assert_array_equal(f(host), np.full(6, 14))
    result = rx.jit(lambda x: x)(host)
    before = np.array(result)
    host[:] = 9
    np.testing.assert_array_equal(result, before)


@pytest.mark.parametrize(
    "host",
    [
        np.arange(12, dtype="f").reshape(3, 4).T,
        np.arange(12, dtype="f")[::-2],
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(5, dtype=">f4"),
        np.broadcast_to(np.float32(3), (2, 3)),
        np.zeros((0, 3), "f"),
        np.frombuffer(b"\0" + np.arange(4, dtype="f").tobytes(), np.uint8)[1:].view(
            "f"
        ),
    ],
)
def test_any_layout_of_an_ndarray(host: Any) -> None:
    np.testing.assert_array_equal(rx.jit(lambda x: x + 1)(host), host + 1)
    np.testing.assert_array_equal(rx.asarray(host) + 1, host + 1)


def test_closures_over_arrays() -> None:
    w, host = rx.asarray([1.0, 2.0, 3.0]), np.array([1, 2, 3], "f")
    f = rx.jit(lambda x: x * w + host)
    np.testing.assert_array_equal(f(w), [2, 6, 12])
    host[:] = 0
    np.testing.assert_array_equal(f(w), [2, 6, 12])
    np.testing.assert_array_equal(rx.grad(lambda x: f(x).sum())(w), [1, 2, 3])

    def outer(x: Any) -> Any:
        return rx.jit(lambda y: y * x + w)(x) + rx.vmap(lambda y: y * x.sum())(w)

    np.testing.assert_array_equal(rx.jit(outer)(w), [8, 18, 30])


def test_outputs_that_are_inputs_constants_or_equal() -> None:
    x = rx.asarray([1.0, 2.0])
    out = rx.jit(lambda x: (x, x, x.reshape(2, 1), 3.0, rnp.zeros(2), x + 0, None))(x)
    np.testing.assert_array_equal(out[0], x)
    np.testing.assert_array_equal(out[2], [[1], [2]])
    assert float(out[3]) == 3.0
    assert out[6] is None
    np.testing.assert_array_equal(out[4], [0, 0])
    assert rx.jit(lambda *_: ())(x) == ()
    assert rx.jit(lambda: {"a": 1})()["a"].dtype == np.int32


def test_donation() -> None:
    f = rx.jit(lambda s, g: {"w": s["w"] - g, "n": s["n"] + 1}, donate_argnums=0)
    state = {"w": rnp.ones(4), "n": rx.asarray(0)}
    first = state
    for _ in range(3):
        state = f(state, 0.5)
    np.testing.assert_array_equal(state["w"], np.full(4, -0.5))
    assert int(state["n"]) == 3
    assert first["w"].is_deleted
    assert first["n"].is_deleted
    assert not state["w"].is_deleted


def test_keywords_defaults_and_static_arguments() -> None:
    calls = []

    def f(x: Any, n: int = 2, *, scale: float = 1.0, name: str = "a") -> Any:
        calls.append(name)
        return x * n * scale

    g = rx.jit(f, static_argnums=1, static_argnames="name")
    assert float(g(1.0)) == 2
    assert float(g(1.0, 3)) == 3
    assert float(g(1.0, 3, scale=2.0, name="b")) == 6
    assert float(g(5.0, 3, scale=2.0, name="b")) == 30
    assert float(g(1.0, n=4)) == 4
    assert calls == ["a", "a", "b", "a"]


def test_equal_static_values_of_other_types_are_other_programs() -> None:
    f = rx.jit(lambda n, x: x.astype("int32") // 2 * n, static_argnums=0)
    found = [f(n, rx.asarray(5)).dtype.kind for n in (1, 1.0, True)]
    assert found == ["i", "f", "i"]


def test_an_inner_call_keeps_what_it_was_given() -> None:
    host = np.ones(3, "f")
    inner = rx.jit(lambda x, y: x * y)
    outer = rx.jit(lambda x: inner(x, host))
    np.testing.assert_array_equal(outer(host), [1, 1, 1])
    _, pull = rx.vjp(lambda x: inner(x, host), rnp.ones(3))
    host[:] = 5
    np.testing.assert_array_equal(pull(rnp.ones(3))[0], [1, 1, 1])
    np.testing.assert_array_equal(outer(rnp.ones(3)), [1, 1, 1])


def test_clear_caches() -> None:
    count = []

    def f(x: Any) -> Any:
        count.append(1)
        return x + 1

    g, x = rx.jit(f), rx.asarray(1.0)
    g(x), g(x)
    assert len(count) == 1
    rx.clear_caches()
    assert float(g(x)) == 2
    assert float(g(x)) == 2
    assert len(count) == 2


def test_default_dtypes_belong_to_a_scope() -> None:
    f = rx.jit(lambda: rnp.zeros(2) + 1.5)
    assert f().dtype == np.float32
    with rx.config(default_float="float64", default_int="int64"):
        assert rx.asarray([1.0]).dtype == np.float64
        assert rx.asarray(1).dtype == np.int64
        assert f().dtype == np.float64
        with rx.config(default_float="float32"):
            assert rx.asarray(1.0).dtype == np.float32
            assert rx.asarray(1).dtype == np.int64
    assert f().dtype == np.float32
    assert rx.asarray(1).dtype == np.int32

    def seen(k: int) -> Any:
        if k:
            return rx.asarray(1.0).dtype
        with rx.config(default_float="float64"):
            return rx.asarray(1.0).dtype

    assert in_threads(2, seen) == [np.float64, np.float32]


def test_debug_nans_names_op_and_line() -> None:
    def f(x: Any) -> Any:
        y = x - 1
        z = rnp.log(y)
        return z * 2

    line = f.__code__.co_firstlineno + 2
    with rx.config(debug_nans=True):
        rx.jit(f)(rx.asarray(3.0))
        with pytest.raises(FloatingPointError) as caught:
            rx.jit(f)(rx.asarray(0.5))
    assert "log" in str(caught.value)
    assert f"{__file__}:{line}" in str(caught.value)
    assert np.isnan(float(rx.jit(f)(rx.asarray(0.5))))


def test_disable_jit_runs_op_by_op() -> None:
    with rx.config(disable_jit=True):
        assert float(rx.jit(lambda x: x if x > 0 else -x)(rx.asarray(-2.0))) == 2


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("graph", "graph a:f32[3]"),
        ("nests", "nest map"),
        ("source", "define i32"),
        ("cache", "1 kernels"),
    ],
)
def test_the_log(what: str, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    x = rx.asarray([1.0, 2.0, 3.0])
    with rx.config(log={what}):
        rx.clear_caches()
        rx.jit(lambda x: x * 2 + 1)(x)
    assert text in capfd.readouterr().err
    rx.clear_caches()
    rx.jit(lambda x: x * 2 + 1)(x)
    assert capfd.readouterr().err == ""


def test_intermediates_share_memory() -> None:
    def chain(count: int) -> Any:
        def f(x: Any) -> Any:
            for _ in range(count):
                x = rnp.cumsum(x, 0) * 0.5
            return x

        return rx.inspect(f)(rnp.zeros((64, 64))).peak_bytes

    size = 64 * 64 * 4
    assert chain(3) == chain(12)
    assert size <= chain(12) <= 4 * size
    assert rx.inspect(lambda x: x * 2 + 1)(rnp.zeros((64, 64))).peak_bytes == size


SCRIPT = """
    import numpy as np, rxcore as rx, rxcore.numpy as rnp
    f = rx.jit(lambda x: (rnp.tanh(x) * 2, x.sum(0), rnp.exp(x - x.max(1)[:, None])))
    x = np.linspace(-1, 1, 12, dtype="f").reshape(3, 4)
    print([np.asarray(o).tobytes().hex() for o in f(x)])
    made = rx.inspect(f)(x).program
    print(made.compiled, len(made.kernels))
"""


def start(path: Path, **more: str) -> subprocess.Popen[str]:
    env = {**os.environ, "RXCORE_CACHE_DIR": str(path), **more}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(SCRIPT)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, int]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    values, counts = out.splitlines()
    return values, int(counts.split()[0])


def test_two_processes_fill_one_cache(tmp_path: Path) -> None:
    both = [start(tmp_path / "cache"), start(tmp_path / "cache")]
    (first, made), (second, more) = [finish(p) for p in both]
    assert first == second
    assert made + more > 0
    again, compiled = finish(start(tmp_path / "cache"))
    assert again == first
    assert compiled == 0


def test_a_damaged_cache_is_rebuilt(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first, _ = finish(start(cache))
    files = [f for f in cache.rglob("*") if f.is_file()]
    assert files
    for k, f in enumerate(files):
        data = f.read_bytes()
        f.write_bytes([b"", data[: len(data) // 2], b"\xff" * len(data)][k % 3])
    again, compiled = finish(start(cache))
    assert again == first
    assert compiled > 0
    assert finish(start(cache)) == (first, 0)


@pytest.mark.usefixtures("threads")
def test_the_number_of_threads_is_set_by_the_environment(tmp_path: Path) -> None:
    values, _ = finish(start(tmp_path / "cache", RXCORE_NUM_THREADS="1"))
    assert values == finish(start(tmp_path / "cache", RXCORE_NUM_THREADS="3"))[0]
    rx.config.num_threads = 1
    assert workers.count() == 1
