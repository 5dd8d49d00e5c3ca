"""The engine as loaded into this process: its functions and its state.

Building it (or linking it from the disk cache) happens on first use, never at import.
"""

import ctypes
import importlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from attrs import frozen

from rxcore_kernels import builder
from rxcore_kernels.engine_text import EXPORTS, IMPORTS, engine_source

__all__ = ["ExecutionError", "Native", "keep_exception", "native", "on_start"]


class ExecutionError(RuntimeError):
    """A step of a program returned a status other than 0."""

    def __init__(self, status: int) -> None:
        """Keep the status of the step that stopped the program."""
        super().__init__(
            f"run: expected every step to return 0, one returned status {status}"
        )
        self.status = status


# NumPy's table of C functions; the places are part of its binary interface.
_NUMPY_PLACES = {
    "PyArray_Type": 2,
    "PyArrayDescr_Type": 3,
    "PyArray_NewFromDescr": 94,
    "PyArray_SetBaseObject": 282,
}
_PYTHON_OBJECTS: dict[str, object] = {
    "TypeError": TypeError,
    "ValueError": ValueError,
    "tuple": tuple,
}
_FASTCALL = 0x0080
_METH_O = 0x0008


class _MethodDef(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@frozen(eq=False)
class Native:
    """The engine's entry points.

    Args:
        run: ``run(handle, capsule, ...) -> tuple[capsule, ...]``.
        allocate: ``allocate(nbytes) -> capsule``.
        address: ``address(capsule) -> int``.
        borrow: ``borrow(address[, owner]) -> capsule``.
        handle: ``handle(address[, owner]) -> capsule`` over a program.
        view: ``view(capsule, dtype, shape[, writable]) -> ndarray``.
        addresses: Addresses of all exports by name.
        library: The C library's symbols, as ctypes sees them.
    """

    run: Callable[..., tuple[object, ...]]
    allocate: Callable[[int], object]
    address: Callable[[object], int]
    borrow: Callable[..., object]
    handle: Callable[..., object]
    view: Callable[..., Any]
    addresses: dict[str, int]
    library: ctypes.CDLL

    def step(self, name: str, *words: int) -> list[int]:
        """Call one of the exported steps; return the words afterwards."""
        block = (ctypes.c_int64 * max(1, len(words)))(*words)
        _STEP(self.addresses[name])(ctypes.addressof(block), 0, 0)
        return list(block)

    def word(self, name: str, index: int = 0) -> ctypes.c_int64:
        """Return a 64-bit word of the engine's state, to be read or set."""
        return ctypes.c_int64.from_address(self.addresses[name] + 8 * index)


_STEP = ctypes.PYFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)
_lock = threading.RLock()
_native: Native | None = None
_start_workers: Callable[[], None] | None = None
# What must live as long as the process: method definitions and builtin functions.
_kept: list[object] = []
_exceptions: dict[int, tuple[int, BaseException]] = {}  # by thread
_next_status = 0
_FIRST_STATUS = 0x4000_0000
_STATUSES = 0x3000_0000


def native() -> Native:
    """Return the engine, loaded on the first call."""
    if _native is None:
        with _lock:
            if _native is None:
                _load()
    assert _native is not None
    return _native


def on_start(start: Callable[[], None]) -> None:
    """Register what starts the workers, called by the first parallel program."""
    global _start_workers
    _start_workers = start


def keep_exception(error: BaseException) -> int:
    """Keep an exception until its program ends; return the status that names it.

    The status says which one to raise: a callback may run on a worker while the call
    it belongs to waits in another thread. One is kept per thread, because of two
    pieces of a row that fail at once only one is told.
    """
    global _next_status
    with _lock:
        status = _FIRST_STATUS + _next_status
        _next_status = (_next_status + 1) % _STATUSES
        _exceptions[threading.get_ident()] = status, error
    return status


def _raise_status(status: int) -> None:
    """Raise what this status stands for; called by the entry when a step failed."""
    with _lock:
        here = threading.get_ident()
        owners = [k for k, (kept, _) in _exceptions.items() if kept == status]
        kept = [_exceptions.pop(k)[1] for k in owners]
        # This thread's call is over: what it failed with besides was not told.
        _exceptions.pop(here, None)
    raise kept[0] if kept else ExecutionError(status)


def _workers_wanted() -> None:
    if _start_workers is not None:
        _start_workers()


def _load() -> None:
    """Build the engine and hand it the functions it calls."""
    global _native
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        raise RuntimeError("rxcore_kernels needs a 64-bit Python")
    (kernel,) = builder.build([engine_source()])
    library = _c_library()
    words = (ctypes.c_int64 * (len(IMPORTS) + len(EXPORTS)))()
    for k, name in enumerate(IMPORTS):
        words[k] = _find(library, name)
    _STEP(kernel.address)(ctypes.addressof(words), 0, 0)
    addresses = dict(zip(EXPORTS, words[len(IMPORTS) :], strict=True))
    _native = Native(
        run=_builtin("run", addresses["py.run"], _FASTCALL),
        allocate=_builtin("allocate", addresses["py.allocate"], _FASTCALL),
        address=_builtin("address", addresses["py.address"], _METH_O),
        borrow=_builtin("borrow", addresses["py.borrow"], _FASTCALL),
        handle=_builtin("handle", addresses["py.handle"], _FASTCALL),
        view=_builtin("view", addresses["py.view"], _FASTCALL),
        addresses=addresses,
        library=library,
    )


def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)


def _find(library: ctypes.CDLL, name: str) -> int:
    """Address of one import; 0 for a C function that this system lacks."""
    if name == "raise_status":
        return _object_address(_raise_status)
    if name == "start_workers":
        return _object_address(_workers_wanted)
    if name in _PYTHON_OBJECTS:
        return _object_address(_PYTHON_OBJECTS[name])
    if name in _NUMPY_PLACES:
        return _numpy_function(_NUMPY_PLACES[name])
    source = ctypes.pythonapi if name.startswith("Py") else library
    try:
        function = getattr(source, name)
    except AttributeError:
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _object_address(value: object) -> int:
    """Address of a Python object, kept for ever: machine code holds it."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
    return id(value)


def _numpy_function(place: int) -> int:
    read = ctypes.pythonapi.PyCapsule_GetPointer
    read.restype = ctypes.c_void_p
    read.argtypes = (ctypes.py_object, ctypes.c_char_p)
    module: Any = importlib.import_module("numpy._core._multiarray_umath")
    table = read(module._ARRAY_API, None)
    return (ctypes.c_void_p * (place + 1)).from_address(table)[place] or 0


def _builtin(name: str, address: int, flags: int) -> Any:
    """Make a Python builtin from machine code."""
    definition = _MethodDef(name.encode(), address, flags, None)
    make = ctypes.pythonapi.PyCMethod_New
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_void_p,) * 4
    function = make(ctypes.addressof(definition), None, None, None)
    _kept.extend((definition, function))
    # CPython reads the definition whenever the function is called.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(definition))
    return function


def _renew_lock() -> None:
    """A thread that held the lock is not there in a forked child."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
