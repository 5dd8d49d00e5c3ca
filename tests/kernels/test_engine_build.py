"""Kernels are built once, from memory, disk or compiler; the disk is not trusted."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels import builder, cache, host
from rxcore_kernels.builder import BuildError, assembly, build
from rxcore_kernels.cache import ObjectCache
from rxcore_kernels.source import Source


def returning(value: int, symbol: str = "kernel") -> Source:
    text = (
        f"define i32 @{symbol}(ptr noalias %w, i64 %lo, i64 %hi) {{ ret i32 {value} }}"
    )
    return Source(text, symbol)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "objects"
    builder.clear()
    cache.set_directory(path)
    yield path
    builder.clear()
    cache.reset()


def delta(before: builder.BuildStatistics) -> tuple[int, int, int]:
    now = builder.build_statistics()
    return (
        now.compiled - before.compiled,
        now.disk_hits - before.disk_hits,
        now.memory_hits - before.memory_hits,
    )


@pytest.mark.usefixtures("folder")
def test_a_kernel_is_compiled_then_remembered_then_read():
    before = builder.build_statistics()
    first, again = build([returning(5), returning(5)])
    assert first is again
    assert first([], 0, 0) == 5
    assert not first.cached
    assert delta(before) == (1, 0, 1)
    assert build([returning(5)])[0] is first
    assert delta(before) == (1, 0, 2)
    builder.clear()
    (read,) = build([returning(5)])
    assert read.cached
    assert read([], 0, 0) == first([], 0, 0) == 5  # the old code stays valid
    assert delta(before) == (1, 1, 2)


@pytest.mark.usefixtures("folder")
def test_equal_symbols_in_different_texts_are_different_kernels():
    kernels = build([returning(value) for value in range(5)])
    assert [kernel([], 0, 0) for kernel in kernels] == list(range(5))
    builder.clear()
    kernels = build([returning(value) for value in range(5)])
    assert [kernel([], 0, 0) for kernel in kernels] == list(range(5))


@pytest.mark.usefixtures("folder")
def test_one_text_may_hold_two_kernels():
    text = returning(1, "one").text + "\n" + returning(2, "two").text
    for _ in range(2):
        one, two = build([Source(text, "one"), Source(text, "two")])
        assert (one([], 0, 0), two([], 0, 0)) == (1, 2)
        builder.clear()


@pytest.mark.usefixtures("folder")
def test_a_kernel_may_call_the_c_library():
    text = """
declare i32 @abs(i32)
define i32 @kernel(ptr noalias %w, i64 %lo, i64 %hi) {
  %n = trunc i64 %lo to i32
  %r = call i32 @abs(i32 %n)
  ret i32 %r
}
"""
    for _ in range(2):
        assert build([Source(text, "kernel")])[0]([], -7, 0) == 7
        builder.clear()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("text", "symbol", "message"),
    [
        ("define i32 @k(ptr %w, i64 %lo, i64 %hi) { ret i64 0 }", "k", "i64"),
        ("not a module", "k", "1 not a module"),
        (
            "define i32 @k(ptr %w, i64 %lo, i64 %hi) {\n"
            "  br label %b\nb:\n  %x = add i64 %y, 1\n"
            "  %y = add i64 %x, 1\n  ret i32 0\n}",
            "k",
            "dominate",
        ),
        (returning(0, "other").text, "k", "'k'"),
        ("declare i32 @k(ptr, i64, i64)", "k", "has no body"),
    ],
)
def test_wrong_texts_are_refused_with_the_text(text, symbol, message):
    with pytest.raises(BuildError, match=message):
        build([Source(text, symbol)])
    assert cache.info().files == 0


@pytest.mark.usefixtures("folder")
def test_an_unknown_symbol_is_refused():
    text = """
declare i32 @rxcore_no_such_function()
define i32 @kernel(ptr noalias %w, i64 %lo, i64 %hi) {
  %r = call i32 @rxcore_no_such_function()
  ret i32 %r
}
"""
    with pytest.raises(BuildError, match="kernel"):
        build([Source(text, "kernel")])


def test_a_plain_loop_becomes_vector_code():
    text = """
define i32 @kernel(ptr noalias %w, i64 %lo, i64 %hi) {
  %x = load ptr, ptr %w
  %p = getelementptr ptr, ptr %w, i64 1
  %y = load ptr, ptr %p
  call void @loop(ptr %x, ptr %y, i64 %lo, i64 %hi)
  ret i32 0
}
define internal void @loop(ptr noalias %x, ptr noalias %y, i64 %lo, i64 %hi)
    noinline WIDTH {
entry:
  br label %loop
loop:
  %i = phi i64 [ %lo, %entry ], [ %n, %loop ]
  %px = getelementptr float, ptr %x, i64 %i
  %v = load float, ptr %px
  %s = fmul float %v, %v
  %py = getelementptr float, ptr %y, i64 %i
  store float %s, ptr %py
  %n = add nuw nsw i64 %i, 1
  %more = icmp slt i64 %n, %hi
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""
    plain = assembly(Source(text.replace("WIDTH", ""), "kernel"))
    wide = '"prefer-vector-width"="512"'
    wider = assembly(Source(text.replace("WIDTH", wide), "kernel"))
    if host.features().avx512:
        assert "mulps" in plain
        assert "zmm" in wider
    assert plain.count("\n") > 10


@pytest.mark.usefixtures("folder")
def test_eight_threads_build_each_kernel_once():
    before = builder.build_statistics()
    results: list[int] = []

    def work() -> None:
        kernels = build([returning(value) for value in range(4)])
        results.extend(kernel([], 0, 0) for kernel in kernels)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted([0, 1, 2, 3] * 8)
    assert delta(before)[0] == 4


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_damage_is_a_miss_and_is_repaired(tmp_path_factory, data):
    objects = ObjectCache.open(tmp_path_factory.mktemp("objects") / "o")
    body = data.draw(st.binary(max_size=200))
    key = cache.object_key(returning(1).text)
    assert objects.load(key) is None
    assert objects.store(key, body)
    assert objects.load(key) == body
    (file,) = objects.path.iterdir()
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip", "more", "empty"]))
    if kind == "flip":
        content[place] ^= data.draw(st.integers(1, 255))
    elif kind == "more":
        content += b"x"
    else:
        del content[place if kind == "cut" else 0 :]
    file.write_bytes(bytes(content))
    assert objects.load(key) is None
    assert objects.store(key, body)
    assert objects.load(key) == body


def test_an_object_of_another_kernel_is_a_miss(folder):
    one, two = (cache.object_key(returning(v).text) for v in (1, 2))
    build([returning(1), returning(2)])
    (folder / f"{one}.rxo").write_bytes((folder / f"{two}.rxo").read_bytes())
    builder.clear()
    assert build([returning(1)])[0]([], 0, 0) == 1


@pytest.mark.usefixtures("folder")
def test_a_whole_file_that_does_not_link_is_compiled_again():
    key = cache.object_key(returning(3).text)
    assert cache.current().store(key, b"not an object")
    before = builder.build_statistics()
    assert build([returning(3)])[0]([], 0, 0) == 3
    assert delta(before) == (1, 0, 0)


def test_the_key_depends_on_the_host(monkeypatch):
    key = cache.object_key("text")
    cache._host_material.cache_clear()
    monkeypatch.setattr(host, "features", lambda: host.Features("other", frozenset()))
    try:
        assert cache.object_key("text") != key
    finally:
        monkeypatch.undo()
        cache._host_material.cache_clear()
    assert cache.object_key("text") == key != cache.object_key("texu")


def test_the_folder_is_private(folder):
    build([returning(1)])
    assert folder.stat().st_mode & 0o777 == 0o700
    info = cache.info()
    assert (info.path, info.usable, info.reason, info.files) == (folder, True, "", 1)
    assert info.bytes == sum(file.stat().st_size for file in folder.iterdir())
    cache.clear()
    assert cache.info().files == 0


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs users")
def test_a_folder_of_another_user_is_refused(folder, monkeypatch):
    folder.mkdir(mode=0o700, exist_ok=True)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    objects = cache.set_directory(folder)
    assert not objects.info().usable
    assert "owned by user" in objects.reason
    assert build([returning(6)])[0]([], 0, 0) == 6
    assert not list(folder.iterdir())


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs users")
def test_a_folder_that_others_may_write_is_refused(folder):
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    objects = cache.set_directory(folder)
    assert "writable by others" in objects.reason
    assert build([returning(6)])[0]([], 0, 0) == 6
    assert folder.stat().st_mode & 0o777 == 0o777


def test_no_folder_can_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    builder.clear()
    try:
        objects = cache.set_directory(tmp_path / "file" / "objects")
        assert "cannot be made" in objects.reason
        assert build([returning(8)])[0]([], 0, 0) == 8
        assert not cache.set_directory(None).info().usable
    finally:
        cache.reset()


def refuse(*_args: object, **_more: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "place", ["tempfile.mkstemp", "os.fdopen", "pathlib.Path.replace"]
)
def test_a_full_or_read_only_disk_is_survived(folder, monkeypatch, place):
    with monkeypatch.context() as patch:
        patch.setattr(place, refuse)
        assert build([returning(9)])[0]([], 0, 0) == 9
    assert cache.info().files == 0
    assert not list(folder.iterdir())


def test_the_environment_is_read_once(tmp_path, monkeypatch):
    monkeypatch.setenv("RXCORE_CACHE_DIR", str(tmp_path / "a"))
    cache.reset()
    try:
        assert cache.current().path == tmp_path / "a"
        monkeypatch.setenv("RXCORE_CACHE_DIR", str(tmp_path / "b"))
        assert cache.current().path == tmp_path / "a"
        cache.reset()
        assert cache.current().path == tmp_path / "b"
        monkeypatch.delenv("RXCORE_CACHE_DIR")
        if sys.platform == "linux":
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
            assert cache.default_directory() == tmp_path / "rxcore"
            monkeypatch.setenv("XDG_CACHE_HOME", "relative")
            assert cache.default_directory() == Path.home() / ".cache" / "rxcore"
    finally:
        cache.reset()


_FILL = """
import sys
from tests.kernels.test_engine_build import returning
from rxcore_kernels.builder import build, build_statistics
kernels = build([returning(value) for value in range(30)])
assert [kernel([], 0, 0) for kernel in kernels] == list(range(30))
"""

_READ = """
import sys
from rxcore_kernels import engine, memory
from rxcore_kernels.builder import build, build_statistics
from rxcore_kernels.source import Source
text = "define i32 @k(ptr noalias %w, i64 %lo, i64 %hi) { ret i32 4 }"
assert build([Source(text, "k")])[0]([], 0, 0) == 4
program = engine.make_program(0, [engine.OutputSpec(8)], [], [], [[]])
assert len(program.run()) == 1
print(build_statistics().compiled, "numba" in sys.modules)
"""


def run_python(code: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "RXCORE_CACHE_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_may_fill_one_cache(tmp_path):
    both = [run_python(_FILL, tmp_path / "c") for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    names = [file.name for file in (tmp_path / "c").iterdir()]
    assert len(names) == 30
    assert all(name.endswith(".rxo") for name in names)


def test_a_full_cache_needs_no_compiler(tmp_path):
    for expected in ("2 True", "0 False"):
        output, errors = run_python(_READ, tmp_path / "c").communicate(timeout=120)
        assert (output.strip(), errors) == (expected, "")


def test_the_host_is_sensible():
    first, second, third = host.cache_sizes()
    assert 4096 <= first <= second <= third
    assert 1 <= host.available_cpus() <= len(host.allowed_cpus())
    assert host.page_size() & (host.page_size() - 1) == 0
    assert host.features().vector_bits in (128, 256, 512)
    assert host.memory_bytes() > 1 << 20


@pytest.mark.parametrize(
    ("limit", "cores"), [("max 100000", None), ("150000 100000", 1.5), ("junk", None)]
)
def test_quotas_of_control_groups(tmp_path, limit, cores):
    (tmp_path / "cpu.max").write_text(limit)
    assert host._quota_v2(tmp_path) == cores
    period = limit.split()
    (tmp_path / "cpu.cfs_quota_us").write_text(period[0])
    (tmp_path / "cpu.cfs_period_us").write_text(period[-1])
    assert host._quota_v1(tmp_path) == cores
    assert host._quotas(tmp_path, "/a/b", host._quota_v2) == [] + (
        [cores] if cores else []
    )
