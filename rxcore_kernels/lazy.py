"""The one lazy loader: numba, llvmlite and pyopencl are imported on first use."""

import importlib
import os
import time
import warnings
from types import ModuleType
from typing import Any

__all__ = ["LazyModule", "llvm", "numba_compiler_lock", "numba_registry", "opencl"]


class LazyModule:
    """A module that is imported when one of its attributes is first read."""

    __slots__ = ("_module", "_name", "seconds")

    def __init__(self, name: str) -> None:
        """Remember the module's dotted name; import nothing yet."""
        self._name = name
        self._module: ModuleType | None = None
        self.seconds = 0.0

    def __getattr__(self, attribute: str) -> Any:
        """Import the module if needed and return one of its attributes."""
        return getattr(self.load(), attribute)

    def load(self) -> ModuleType:
        """Import the module if needed and return it."""
        module = self._module
        if module is None:
            start = time.perf_counter()
            module = importlib.import_module(self._name)
            self.seconds = time.perf_counter() - start
            self._module = module
        return module


llvm = LazyModule("llvmlite.binding")
# The registry first: importing any part of Numba imports nearly all of it, and this
# entry's ``seconds`` is then the whole price.
numba_registry = LazyModule("numba.core.registry")
numba_compiler_lock = LazyModule("numba.core.compiler_lock")


class _QuietModule(LazyModule):
    """PyOpenCL, without its own cache and without what it says while it is imported.

    Its cache has one lock for the whole machine and fetches each binary at once, which
    costs as much as compiling. A PyOpenCL that was imported before keeps its own way.
    """

    __slots__ = ()

    def load(self) -> ModuleType:
        """Import the module if needed and return it."""
        if self._module is not None:
            return self._module
        before = os.environ.get(_NO_CACHE)
        os.environ[_NO_CACHE] = before or "1"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return super().load()
        finally:
            if before is None:
                del os.environ[_NO_CACHE]


_NO_CACHE = "PYOPENCL_NO_CACHE"
opencl = _QuietModule("pyopencl")
