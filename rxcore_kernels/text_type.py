"""Types of LLVM IR text, and constants of them."""

from __future__ import annotations

import struct

from attrs import frozen

Number = int | float


@frozen
class Type:
    """A scalar (`lanes` 0) or vector type; `scalar` is LLVM's name of the element."""

    scalar: str
    lanes: int = 0

    def __str__(self) -> str:
        return f"<{self.lanes} x {self.scalar}>" if self.lanes else self.scalar

    def by(self, lanes: int) -> Type:
        """Return the vector of `lanes` such elements."""
        return Type(self.scalar, lanes)

    @property
    def element(self) -> Type:
        """The scalar type of one lane."""
        return Type(self.scalar)

    @property
    def floating(self) -> bool:
        """Whether arithmetic on it is floating point."""
        return self.scalar in _FLOATS

    @property
    def bytes(self) -> int:
        """Bytes of one element."""
        return _BYTES[self.scalar]

    @property
    def suffix(self) -> str:
        """The name that LLVM's overloaded intrinsics end with."""
        name = _FLOATS.get(self.scalar, self.scalar)
        if self.scalar == "ptr":
            name = "p0"
        return f"v{self.lanes}{name}" if self.lanes else name


_FLOATS = {"half": "f16", "bfloat": "bf16", "float": "f32", "double": "f64"}
_BYTES = {"half": 2, "bfloat": 2, "float": 4, "double": 8, "ptr": 8}
_BYTES |= {"i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8}

F16, BF16, F32, F64 = Type("half"), Type("bfloat"), Type("float"), Type("double")
I1, I8, I16, I32, I64 = Type("i1"), Type("i8"), Type("i16"), Type("i32"), Type("i64")
POINTER = Type("ptr")


def constant(type: Type, value: Number) -> str:
    """Return the text of `value` as a constant of `type` (every lane the same)."""
    element = type.element
    if element.floating:
        bits = struct.unpack("<Q", struct.pack("<d", _rounded(element, float(value))))
        text = f"{element} 0x{bits[0]:016X}"
        if element.scalar in ("half", "bfloat"):
            raise TypeError(f"constant of {element}: cast a float constant instead")
    elif element == I1:
        text = f"i1 {'true' if value else 'false'}"
    else:
        text = f"{element} {int(value)}"
    return f"splat ({text})" if type.lanes else text.split(" ", 1)[1]


def _rounded(element: Type, value: float) -> float:
    if element.scalar != "float":
        return value
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
