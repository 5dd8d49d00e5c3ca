"""Elements in OpenCL C: the types of dtypes, how values join, and what changes none.

Halves (float16, bfloat16) are `ushort` in memory and float32 as values. Integers are
added and multiplied unsigned, because they wrap.
"""

from __future__ import annotations

from attrs import frozen

from rxcore_kernels.opencl_facts import Facts

__all__ = [
    "ELEMENTS",
    "HALVES",
    "Element",
    "computes",
    "identity",
    "join_function",
    "unsigned_of",
    "whole_parts",
]


@frozen
class Element:
    """How a dtype is held and computed with.

    Args:
        memory: the C type in memory.
        value: the C type of a value; it differs for halves only.
        bytes: bytes of an element in memory.
        kind: "b" for bool, "i", "u" or "f".
    """

    memory: str
    value: str
    bytes: int
    kind: str

    @property
    def value_bytes(self) -> int:
        """Bytes of a value."""
        return 4 if self.half else self.bytes

    @property
    def half(self) -> bool:
        """Whether values are float32 and memory is not."""
        return self.kind == "f" and self.bytes == 2

    @property
    def double(self) -> bool:
        """Whether computing needs float64."""
        return self.value == "double"


ELEMENTS = {
    "bool": Element("uchar", "uchar", 1, "b"),
    "int8": Element("char", "char", 1, "i"),
    "int16": Element("short", "short", 2, "i"),
    "int32": Element("int", "int", 4, "i"),
    "int64": Element("long", "long", 8, "i"),
    "uint8": Element("uchar", "uchar", 1, "u"),
    "uint16": Element("ushort", "ushort", 2, "u"),
    "uint32": Element("uint", "uint", 4, "u"),
    "uint64": Element("ulong", "ulong", 8, "u"),
    "float16": Element("ushort", "float", 2, "f"),
    "bfloat16": Element("ushort", "float", 2, "f"),
    "float32": Element("float", "float", 4, "f"),
    "float64": Element("double", "double", 8, "f"),
}

_PARTS = {"complex64": "float32", "complex128": "float64"}

_BFLOAT16 = """\
static inline float widen_bf16(ushort h) { return as_float((uint)h << 16); }
static inline ushort narrow_bf16(float x) {
  uint bits = as_uint(x), high = bits >> 16;
  uint near = (bits + 32767u + (high & 1u)) >> 16;
  return (ushort)(x != x ? (high | 64u) : near);
}
"""

# A small float16 is a count of 2**-24; adding 0.5 rounds to one of them.
_FLOAT16 = """\
static inline float widen_f16(ushort h) {
  uint sign = ((uint)h & 0x8000u) << 16, size = (uint)h & 0x7fffu;
  float normal = as_float((size << 13) + 0x38000000u);
  float small = (float)(int)size * 0x1p-24f;
  float special = as_float((size << 13) | 0x7f800000u);
  float found = size >= 0x7c00u ? special : size < 0x400u ? small : normal;
  return as_float(as_uint(found) | sign);
}
static inline ushort narrow_f16(float x) {
  uint bits = as_uint(x), sign = (bits >> 16) & 0x8000u, size = bits & 0x7fffffffu;
  uint normal = (size - 0x38000000u + 0xfffu + ((size >> 13) & 1u)) >> 13;
  uint small = as_uint(as_float(size) + 0.5f) - 0x3f000000u;
  uint finite = size < 0x38800000u ? small : normal;
  uint large = size > 0x7f800000u ? (0x7e00u | ((size >> 13) & 0x3ffu)) : 0x7c00u;
  return (ushort)(sign | (size >= 0x47800000u ? large : finite));
}
"""

HALVES = {"float16": _FLOAT16, "bfloat16": _BFLOAT16}
"""Functions between halves, which are bits in memory, and float32: exact, and to the
nearest with ties to even."""


def whole_parts(dtype: str) -> tuple[str, int]:
    """Return the real dtype that a dtype's elements are made of, and how many."""
    return (_PARTS[dtype], 2) if dtype in _PARTS else (dtype, 1)


def unsigned_of(nbytes: int) -> str:
    """Return the dtype of bare bits."""
    return f"uint{8 * nbytes}"


def computes(facts: Facts, dtype: str) -> bool:
    """Say whether a device computes with a dtype."""
    return dtype in ELEMENTS and (facts.fp64 or not ELEMENTS[dtype].double)


_SYMBOL = {"add": "+", "mul": "*", "min": "<", "max": ">"}


def _joined(combine: str, element: Element) -> str:
    symbol = _SYMBOL[combine]
    if element.kind == "b":
        return "a | b" if combine in ("add", "max") else "a & b"
    if combine in ("min", "max"):
        chosen = f"(a {symbol} b ? a : b)"
        return f"a != a ? a : {chosen}" if element.kind == "f" else chosen
    if element.kind == "f":
        return f"a {symbol} b"
    unsigned = "ulong" if element.bytes == 8 else "uint"
    return f"({element.value})(({unsigned})a {symbol} ({unsigned})b)"


def identity(combine: str, dtype: str) -> str:
    """Return what a value may be joined with and stay as it is: bit for bit."""
    element = ELEMENTS[dtype]
    t, bits = element.value, element.bytes * 8
    if element.kind == "f":
        if combine == "add":
            return f"({t})-0.0f"
        if combine == "mul":
            return f"({t})1.0f"
        infinity = "as_float(0x7f800000u)"
        return f"({t}){infinity}" if combine == "min" else f"-({t}){infinity}"
    if combine in ("add", "mul"):
        return f"({t}){'01'[combine == 'mul']}"
    if element.kind == "b":
        return f"({t}){'01'[combine == 'min']}"
    ones = "(~(ulong)0)" if bits == 64 else f"{(1 << bits) - 1}u"
    if element.kind == "u":
        return f"({t}){ones}" if combine == "min" else f"({t})0"
    highest = f"({t})({ones} >> 1)"
    # Its complement is the lowest.
    return highest if combine == "min" else f"({t})(~{highest})"


def join_function(combine: str, dtype: str) -> str:
    """Return C functions: `join` of two values, and `read` and `kept` of an element.

    `read` makes a value of an element in memory, `kept` the other way round.
    """
    element = ELEMENTS[dtype]
    m, t = element.memory, element.value
    read, kept = "e", "v"
    functions = ""
    if element.half:
        functions, name = HALVES[dtype], "f16" if dtype == "float16" else "bf16"
        read, kept = f"widen_{name}(e)", f"narrow_{name}(v)"
    return f"""{functions}\
static inline {t} join({t} a, {t} b) {{ return {_joined(combine, element)}; }}
static inline {t} read({m} e) {{ return {read}; }}
static inline {m} kept({t} v) {{ return {kept}; }}
"""
