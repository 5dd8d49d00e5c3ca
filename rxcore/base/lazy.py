"""Heavy optional parts, imported on first use."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from rxcore.base import errors


class LazyModule:
    """A module that is imported when its first attribute is read.

    Args:
        name: the module's full name.
        extra: the rxcore extra that installs it, for the error's text.
    """

    __slots__ = ("_extra", "_module", "_name")

    def __init__(self, name: str, extra: str = "") -> None:
        self._name = name
        self._extra = extra
        self._module: ModuleType | None = None

    def __getattr__(self, attribute: str) -> Any:
        if self._module is None:
            try:
                self._module = importlib.import_module(self._name)
            except ImportError as error:
                if not self._extra:
                    raise
                text = f"{self._name} is missing: pip install 'rxcore[{self._extra}]'"
                raise errors.UserError(text) from error
        return getattr(self._module, attribute)
