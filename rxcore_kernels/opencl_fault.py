"""What can go wrong on an OpenCL device, told apart by OpenCL's error codes."""

from typing import Any, Literal

__all__ = ["DeviceFault", "FaultKind", "fault_of", "first_line"]

FaultKind = Literal["memory", "build", "lost", "limit", "other"]


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
