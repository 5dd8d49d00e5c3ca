"""Errors: the user's kinds apart from ours.

A message answers: which call, what was expected, what came (shapes and dtypes),
and how to fix it.
"""

from __future__ import annotations

__all__ = [
    "ConcretizationError",
    "DTypeError",
    "DeviceDTypeError",
    "DeviceError",
    "InternalError",
    "OutOfRangeError",
    "RxError",
    "ShapeError",
    "TraceError",
    "TreeError",
    "UserError",
]


class RxError(Exception):
    """Base of everything that rxcore raises on purpose."""


class UserError(RxError):
    """The program or its input is wrong; the text says how to mend it."""


class ShapeError(UserError, ValueError):
    """Shapes, axes, sizes or indices do not fit."""


class OutOfRangeError(ShapeError, IndexError):
    """An index that is known when the program is written lies outside the array."""


class DTypeError(UserError, TypeError):
    """A dtype is not allowed here."""


class TraceError(UserError, TypeError):
    """A traced value was used where Python needs a concrete one, or escaped."""


class ConcretizationError(TraceError):
    """A traced value was asked for its number (`if x:`, `int(x)`, `float(x)`)."""


class TreeError(UserError, ValueError):
    """Pytrees do not match, or a leaf is no array."""


class DeviceError(UserError, RuntimeError):
    """A device is missing, lost, or cannot hold what was asked of it."""


class DeviceDTypeError(DeviceError, DTypeError):
    """A device does not compute with a dtype."""


class InternalError(RxError, RuntimeError):
    """rxcore is at fault: please report it with the text shown."""
