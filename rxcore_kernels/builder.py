"""From LLVM IR text to callable machine code: memory, then disk, then the compiler.

The compiler is Numba's code generator below its Python front end; machine code is
always linked by llvmlite's own JIT, so that what comes from disk and what was just
compiled take one path and Numba is not even imported for the former.
"""

import contextlib
import ctypes
import functools
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from rxcore_kernels import cache
from rxcore_kernels.lazy import llvm, numba_compiler_lock, numba_registry
from rxcore_kernels.source import DIRECT, QUICK, Source

__all__ = [
    "BuildError",
    "BuildStatistics",
    "Kernel",
    "assembly",
    "build",
    "build_statistics",
    "clear",
]


class BuildError(RuntimeError):
    """LLVM refused a text; the message holds its reason and the numbered text."""


@frozen(eq=False)
class Kernel:
    """One built kernel.

    Args:
        symbol: Name of the step function.
        key: SHA-256 of the text.
        address: Address of ``i32 step(i64* words, i64 lo, i64 hi)``; valid for ever.
        cached: Whether the object came from disk.
        compile_seconds: Time in the compiler, 0 where the object came from disk.
        text: The LLVM IR it was built from.
    """

    symbol: str
    key: str
    address: int
    cached: bool
    compile_seconds: float
    text: str = field(repr=False)

    def __call__(self, words: Sequence[int], lo: int, hi: int) -> int:
        """Run the step on these words and return its status (slow: for tests)."""
        block = (ctypes.c_int64 * max(1, len(words)))(*words)
        return int(_STEP(self.address)(ctypes.addressof(block), lo, hi))


_STEP = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)


@frozen
class BuildStatistics:
    """What the builder did since the process began.

    Args:
        compiled: Kernels compiled.
        disk_hits: Kernels whose object came from disk.
        memory_hits: Requests for a kernel that was there already.
        seconds: Time spent compiling and linking, Numba's import included.
        numba_import_seconds: Time of importing Numba; 0 while it was not needed.
    """

    compiled: int
    disk_hits: int
    memory_hits: int
    seconds: float
    numba_import_seconds: float


_lock = threading.RLock()
_kernels: dict[tuple[str, str], Kernel] = {}
_counts = {"compiled": 0, "disk_hits": 0, "memory_hits": 0}
_seconds = 0.0
_links = 0
_jit: Any = None


def build(sources: Sequence[Source]) -> list[Kernel]:
    """Build kernels, one per source, each at most once per process.

    Args:
        sources: The texts; equal ones give the same Kernel.

    Returns:
        The kernels in the order of ``sources``.

    Raises:
        BuildError: LLVM cannot read or verify a text, or does not find its symbol.

    Example:
        >>> text = "define i32 @two(ptr %w, i64 %lo, i64 %hi) { ret i32 2 }"
        >>> kernel = build([Source(text, "two")])[0]
        >>> kernel([], 0, 0)
        2
    """
    global _seconds
    keys = [(source.key, source.symbol) for source in sources]
    found = [_kernels.get(key) for key in keys]
    if all(kernel is not None for kernel in found):
        _counts["memory_hits"] += len(sources)
        return [kernel for kernel in found if kernel is not None]
    with _lock:
        start = time.perf_counter()
        try:
            _build_missing(keys, sources)
        finally:
            _seconds += time.perf_counter() - start
        return [_kernels[key] for key in keys]


def build_statistics() -> BuildStatistics:
    """Return the counts and times so far."""
    return BuildStatistics(
        **_counts, seconds=_seconds, numba_import_seconds=numba_registry.seconds
    )


def clear() -> None:
    """Forget the kernels of this process, so that the next build reads the disk.

    Machine code is never freed: programs, arrays and waiting workers hold bare
    addresses into it, and a leak of a few kilobytes is better than a call into
    memory that is gone.
    """
    with _lock:
        _kernels.clear()


def assembly(source: Source) -> str:
    """Return the assembly text of a kernel: to see whether its loops are vectors."""
    codegen = numba_registry.cpu_target.target_context.codegen()
    with numba_compiler_lock.global_compiler_lock:
        return str(codegen._tm.emit_assembly(_optimized(codegen, source)))


def _build_missing(keys: list[tuple[str, str]], sources: Sequence[Source]) -> None:
    """Build what is not there yet; all compilation under one compiler lock."""
    missing: dict[tuple[str, str], Source] = {}
    for key, source in zip(keys, sources, strict=True):
        if key in _kernels or key in missing:
            _counts["memory_hits"] += 1
        else:
            missing[key] = source
    disk = cache.current()
    uncached: list[tuple[tuple[str, str], Source, str]] = []
    for key, source in missing.items():
        name = cache.object_key(source.text)
        body = disk.load(name)
        kernel = None if body is None else _link_cached(source, body)
        if kernel is None:
            uncached.append((key, source, name))
        else:
            _counts["disk_hits"] += 1
            _kernels[key] = kernel
    if not uncached:
        return
    quick = all(QUICK in source.text for _, source, _ in uncached)
    with contextlib.nullcontext() if quick else _compiler_lock():
        for key, source, name in uncached:
            start = time.perf_counter()
            body = _compile(source)
            seconds = time.perf_counter() - start
            _kernels[key] = _link(source, body, cached=False, seconds=seconds)
            _counts["compiled"] += 1
            disk.store(name, body)


def _compiler_lock() -> Any:
    """Import Numba, and return the lock under which it compiles."""
    numba_registry.load()
    return numba_compiler_lock.global_compiler_lock


def _compile(source: Source) -> bytes:
    """Emit the object of one text: with Numba's target machine, but for glue."""
    if QUICK in source.text:
        return bytes(_quick_machine().emit_object(_parse(source)))
    codegen = numba_registry.cpu_target.target_context.codegen()
    return bytes(codegen._tm.emit_object(_optimized(codegen, source)))


@functools.cache
def _quick_machine() -> Any:
    """Return a target machine that takes a fifth of the time: it optimises nothing."""
    _start_llvm()
    return llvm.Target.from_default_triple().create_target_machine(opt=0, jit=True)


# What a text needs that is printed as the machine should run it. The full pipeline
# takes ten times as long on such a text and makes it no faster.
_DIRECT_PASSES = ("sroa", "instruction_combine", "simplify_cfg", "loop_rotate")


def _optimized(codegen: Any, source: Source) -> Any:
    """Optimise one module for Numba's target machine.

    A ``CodeLibrary`` is not made. It would run two more rounds of cheap passes, which
    prune reference counts that there are none of, and its last step would add the
    module to the engine of the user's own functions, where equal symbols collide and
    nothing is ever freed. Numba's own pipeline (level 3, trees of scalars made
    vectors, loops unrolled) takes 20 to 30 % longer than level 2; loops here are
    vectors already or become so at level 2.
    """
    module = _parse(source)
    module.data_layout = str(codegen.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = True
    builder = llvm.create_pass_builder(codegen._tm, options)
    if DIRECT in source.text:
        passes = llvm.create_new_module_pass_manager()
        for name in _DIRECT_PASSES:
            getattr(passes, f"add_{name}_pass")()
    else:
        passes = builder.getModulePassManager()
    passes.run(module, builder)
    return module


def _parse(source: Source) -> Any:
    """Read and verify a text: this LLVM aborts the process on what is not verified."""
    _start_llvm()
    try:
        module = llvm.parse_assembly(source.text)
        module.triple = llvm.get_process_triple()
        module.verify()
        function = module.get_function(source.symbol)
    except (RuntimeError, NameError) as error:
        raise BuildError(_refusal(source, error)) from None
    if function.is_declaration:
        raise BuildError(_refusal(source, f"@{source.symbol} has no body"))
    return module


def _refusal(source: Source, reason: object) -> str:
    lines = source.text.splitlines()
    numbered = "\n".join(f"{k:4} {line}" for k, line in enumerate(lines, 1))
    return (
        f"build of kernel {source.symbol!r} failed: {str(reason).strip()}\n"
        f"expected a valid LLVM module that defines i32 @{source.symbol}"
        f"(ptr, i64, i64); it was:\n{numbered}"
    )


def _start_llvm() -> Any:
    """Make the JIT that links all objects of this process."""
    global _jit
    if _jit is None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
        jit = llvm.create_lljit_compiler(machine, suppress_errors=True)
        _keep_for_ever(jit)
        _jit = jit
    return _jit


def _keep_for_ever(value: object) -> None:
    """Leak one reference: at exit destructors still run code that this owns."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


def _link_cached(source: Source, body: bytes) -> Kernel | None:
    """Link an object from disk; None where it does not link: then it is compiled."""
    with contextlib.suppress(BuildError):
        return _link(source, body, cached=True, seconds=0.0)
    return None


def _link(source: Source, body: bytes, *, cached: bool, seconds: float) -> Kernel:
    """Give one object its own library in the JIT, so that symbols never collide."""
    global _links
    jit = _start_llvm()
    _links += 1
    library = llvm.JITLibraryBuilder().add_object_img(body).add_current_process()
    library.export_symbol(source.symbol)
    try:
        tracker = library.link(jit, f"{source.key}.{_links}")
    except RuntimeError as error:
        raise BuildError(_refusal(source, error)) from None
    _keep_for_ever(tracker)
    address = int(tracker[source.symbol])
    if address == 0:
        raise BuildError(_refusal(source, f"@{source.symbol} has no address"))
    return Kernel(source.symbol, source.key, address, cached, seconds, source.text)


def _renew_lock() -> None:
    """A thread that held the lock is not there in a forked child."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
