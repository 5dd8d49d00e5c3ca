"""What can go wrong on an OpenCL device, told apart by OpenCL's error codes.

Real devices fail rarely and at their own will; `inject` makes any device fail at will.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from attrs import define

__all__ = [
    "DeviceFault",
    "FaultKind",
    "Injection",
    "Point",
    "fault_of",
    "first_line",
    "inject",
    "injections",
    "strike",
]

FaultKind = Literal["memory", "build", "lost", "limit", "other"]
Point = Literal["allocate", "build", "launch", "transfer"]


class DeviceFault(Exception):  # noqa: N818 - OpenCL's own word for what is no bug
    """Something a device could not do.

    Args:
        kind: `memory` (none left, or one buffer too large), `build` (the text does not
            compile), `limit` (a kernel asks for more than the device has), `lost` (the
            device answers no more), or `other`.
        text: one line that says what and why.
    """

    def __init__(self, kind: FaultKind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


# The classes of PyOpenCL's errors tell little (a buffer too large is a LogicError), so
# the codes decide. -9999 is NVIDIA's code for a kernel that broke the context.
_MEMORY = frozenset({-4, -5, -6, -61})
_BUILD = frozenset({-3, -11, -15, -16, -17, -43, -44, -45, -46, -47, -66, -67})
_LOST = frozenset({-2, -14, -33, -34, -36, -9999})
_LIMIT = frozenset({-53, -54, -55, -63, -72})
# In the order in which a code is looked up; the sets are disjoint.
_KINDS: tuple[tuple[FaultKind, frozenset[int]], ...] = (
    ("memory", _MEMORY),
    ("build", _BUILD),
    ("lost", _LOST),
    ("limit", _LIMIT),
)


def fault_of(error: BaseException, doing: str) -> DeviceFault:
    """Return the fault that an error of PyOpenCL stands for.

    Args:
        error: what was raised; anything without a `code` is of kind `other`.
        doing: what was tried and on which device, for the text.
    """
    code = _code(error)
    kinds: list[FaultKind] = [kind for kind, codes in _KINDS if code in codes]
    return DeviceFault(kinds[0] if kinds else "other", f"{doing}: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its class if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def _code(error: BaseException) -> Any:
    try:
        return error.code  # type: ignore[attr-defined]
    except Exception:  # PyOpenCL computes it, and not every error has one
        return None


# ------------------------------------------------------------------ faults at will

# Where a fault of a kind shows up most often.
_USUAL: dict[FaultKind, Point] = {
    "memory": "allocate",
    "build": "build",
    "limit": "build",
    "lost": "launch",
    "other": "launch",
}


@define(eq=False)
class Injection:
    """Faults to come.

    Args:
        kind: of the faults.
        at: which operation fails.
        after: how many operations pass before.
        times: how many fail, None for all that follow.
        fired: how many have failed.
    """

    kind: FaultKind
    at: Point
    after: int = 0
    times: int | None = 1
    fired: int = 0

    def due(self, at: Point) -> bool:
        """Count an operation; return whether it fails."""
        if at != self.at or (self.times is not None and self.fired >= self.times):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.fired += 1
        return True


# Those in force: devices look whether there are any before each operation.
injections: list[Injection] = []
_lock = threading.Lock()


@contextmanager
def inject(
    kind: FaultKind,
    *,
    after: int = 0,
    times: int | None = 1,
    at: Point | None = None,
) -> Iterator[Injection]:
    """Make operations of any device fail while this is open, for tests.

    **Meaning.** Once `after` operations of the sort `at` have passed, the next `times`
    raise a `DeviceFault` of this kind before the driver is asked; later ones pass
    again. The device itself stays as it was.

    Args:
        kind: of the faults.
        after: how many operations pass before.
        times: how many fail, None for all that follow.
        at: `allocate`, `build`, `launch` or `transfer`; by default where such a fault
            shows up most often.

    Yields:
        The injection; its `fired` says how many operations have failed.

    Example:
        >>> with inject("lost", after=1) as faults:
        ...     strike("launch", "a card")
        ...     try:
        ...         strike("launch", "a card")
        ...     except DeviceFault as fault:
        ...         print(fault.kind, faults.fired)
        lost 1
    """
    made = Injection(kind, at or _USUAL[kind], after, times)
    injections.append(made)
    try:
        yield made
    finally:
        injections.remove(made)


def strike(at: Point, where: str) -> None:
    """Raise the fault that is due at this operation, if any."""
    with _lock:
        due = [one for one in injections if one.due(at)]
    if due:
        raise DeviceFault(due[0].kind, f"{at} on {where}: a fault that was asked for")
