"""Find the line of the user's code that is running."""

from __future__ import annotations

import os
import sys
from types import CodeType

from rxcore.ir.graph import Source

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_inside: dict[CodeType, bool] = {}


def _is_inside(code: CodeType) -> bool:
    found = _inside.get(code)
    if found is None:
        name = code.co_filename
        found = name.startswith(_PACKAGE) or name.startswith("<attrs generated")
        _inside[code] = found
    return found


def call_site() -> tuple[int, int] | None:
    """Tell one call in the user's code from others, as long as it runs."""
    frame = sys._getframe(1)
    while frame is not None and _is_inside(frame.f_code):
        frame = frame.f_back  # type: ignore[assignment]
    return None if frame is None else (id(frame), frame.f_lasti)


def here() -> Source | None:
    """Return the innermost frame that is not rxcore's own: cheap, resolved late."""
    frame = sys._getframe(1)
    known = _inside.get
    while frame is not None:
        code = frame.f_code
        inside = known(code)
        if not (_is_inside(code) if inside is None else inside):
            break
        frame = frame.f_back  # type: ignore[assignment]
    return None if frame is None else Source(frame.f_code, frame.f_lasti)
