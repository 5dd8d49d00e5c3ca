"""`rx.debug`: look into compiled functions while they run."""

from __future__ import annotations

from rxcore.control.effects import debug_callback as callback
from rxcore.control.effects import debug_print as print

__all__ = ["callback", "print"]
