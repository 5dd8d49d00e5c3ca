"""The one lazy loader: numba and llvmlite are imported on first use, never before."""

import importlib
import time
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
opencl = LazyModule("pyopencl")
