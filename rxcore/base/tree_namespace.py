"""`rx.tree`: pytrees under their short names."""

from __future__ import annotations

from rxcore.base.tree import all_ as all
from rxcore.base.tree import flatten, leaves, register, structure, unflatten
from rxcore.base.tree import map_ as map

__all__ = ["all", "flatten", "leaves", "map", "register", "structure", "unflatten"]
