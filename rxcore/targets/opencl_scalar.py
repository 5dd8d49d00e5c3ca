"""Scalar operations of the loop language as OpenCL C expressions.

No builtin is printed but `sqrt` and `as_*`: others are slow where they are emulated
and differ between vendors. What C lacks stands in `FUNCTIONS`, of which a text takes
those that it calls. Integers wrap, so they are added and multiplied unsigned. Halves
(float16, bfloat16) are `ushort` between `Load` and `cast`. A bool is a `bool` between
statements and a byte of 0 or 1 in memory.
"""

from __future__ import annotations

import math

import numpy as np

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.loops.nest import Constant
from rxcore_kernels.opencl_elements import HALVES

__all__ = [
    "FUNCTIONS",
    "combine",
    "constant",
    "memory_type",
    "needed_functions",
    "operation",
    "scalar_type",
]

_INTEGERS = {1: "char", 2: "short", 4: "int", 8: "long"}


def scalar_type(dtype: DType) -> str:
    """Return the C type of a value of this dtype between statements."""
    if dtype in dtypes.HALVES:
        return "ushort"
    if dtypes.is_float(dtype):
        return "float" if dtype == dtypes.float32 else "double"
    if dtypes.is_bool(dtype):
        return "bool"
    name = _INTEGERS[dtype.itemsize]
    return name if dtypes.is_signed(dtype) else f"u{name}"


def memory_type(dtype: DType) -> str:
    """Return the C type of an element of this dtype in memory."""
    return "uchar" if dtypes.is_bool(dtype) else scalar_type(dtype)


def _unsigned(dtype: DType) -> str:
    # At least an int: what is shorter would be promoted to a signed one.
    return "ulong" if dtype.itemsize == 8 else "uint"


def constant(value: Constant) -> str:
    """Return the literal of a constant, exactly."""
    dtype = value.dtype
    with np.errstate(over="ignore"):
        number = np.asarray(value.value).astype(dtype)
    if dtypes.is_bool(dtype):
        return "true" if number else "false"
    if dtype in dtypes.HALVES:
        return f"((ushort){int(number.view(np.uint16))})"
    if dtypes.is_float(dtype):
        return _float_literal(number, dtype)
    return _integer_literal(int(number), dtype)


def _float_literal(number: np.ndarray, dtype: DType) -> str:
    single = dtype == dtypes.float32
    if not math.isfinite(float(number)):
        bits = int(number.view(np.uint32 if single else np.uint64))
        kind = "as_float" if single else "as_double"
        return f"{kind}(0x{bits:x}{'u' if single else 'ul'})"
    text = float(number).hex() + ("f" if single else "")
    return f"({text})" if text.startswith("-") else text


def _integer_literal(number: int, dtype: DType) -> str:
    suffix = ("" if dtypes.is_signed(dtype) else "u") + (
        "L" if dtype.itemsize == 8 else ""
    )
    if number == -(1 << (8 * max(dtype.itemsize, 4) - 1)):
        return f"(-{-(number + 1)}{suffix} - 1)"  # its absolute value is no literal
    text = f"{abs(number)}{suffix}"
    text = f"(-{text})" if number < 0 else text
    return text if dtype.itemsize >= 4 else f"(({scalar_type(dtype)}){text})"


def operation(op: str, dtype: DType, kind: DType, operands: tuple[str, ...]) -> str:
    """Return the expression of one scalar operation.

    Args:
        op: the operation's name in `scalar.OPERATIONS`.
        dtype: the dtype of the result.
        kind: the dtype of the first operand (of the second for `select`).
        operands: names or literals.
    """
    a, b = operands[0], operands[-1]
    if op == "cast":
        return _cast(a, kind, dtype)
    if op == "bitcast":
        same = scalar_type(kind) == scalar_type(dtype)
        return a if same else f"as_{scalar_type(dtype)}({a})"
    if op == "select":
        return f"{a} ? {operands[1]} : {b}"
    if op in _COMPARE:
        return f"{a} {_COMPARE[op]} {b}"
    if op in _COMBINE:
        return combine(op, dtype, a, b)
    if dtypes.is_float(dtype):
        return _float(op, dtype, operands)
    return _integer(op, dtype, operands)


_COMPARE = {"lt": "<", "le": "<=", "eq": "==", "ne": "!="}
_COMBINE = ("add", "mul", "min", "max", "and", "or", "xor")
_SYMBOL = {
    **{"add": "+", "sub": "-", "mul": "*", "div": "/"},
    **{"and": "&", "or": "|", "xor": "^"},
}
# On one bit: a sum is an `or`, a product an `and`, as NumPy has it.
_ON_BOOLS = {
    **{"add": "||", "or": "||", "max": "||"},
    **{"mul": "&&", "and": "&&", "min": "&&", "xor": "!="},
}


def combine(op: str, dtype: DType, a: str, b: str) -> str:
    """Return the expression that an accumulator may combine with."""
    if dtypes.is_bool(dtype):
        return f"{a} {_ON_BOOLS[op]} {b}"
    if op in ("min", "max"):
        sign = "<" if op == "min" else ">"
        chosen = f"({a} {sign} {b} ? {a} : {b})"
        # Both zeros give b, NaN either way gives NaN: the CPU's own form.
        return f"{a} != {a} ? {a} : {chosen}" if dtypes.is_float(dtype) else chosen
    if dtypes.is_float(dtype):
        return f"{a} {_SYMBOL[op]} {b}"
    return _wrapped(_SYMBOL[op], dtype, a, b)


def _wrapped(symbol: str, dtype: DType, a: str, b: str) -> str:
    """Return integer arithmetic that wraps: signed overflow is undefined in C."""
    t, u = scalar_type(dtype), _unsigned(dtype)
    if symbol in "&|^":
        return f"({t})({a} {symbol} {b})"
    return f"({t})(({u}){a} {symbol} ({u}){b})"


def _float(op: str, dtype: DType, operands: tuple[str, ...]) -> str:
    single = dtype == dtypes.float32
    a = operands[0]
    if op == "muladd":
        return f"muladd{_suffix(dtype)}({', '.join(operands)})"
    if op == "neg":
        return f"-{a}"
    if op == "sqrt":
        return f"sqrt({a})"
    if op == "abs":
        if single:
            return f"as_float(as_uint({a}) & 0x7fffffffu)"
        return f"as_double(as_ulong({a}) & 0x7ffffffffffffffful)"
    if op in ("floor", "ceil", "trunc", "round"):
        return f"{op}{_suffix(dtype)}({a})"
    if op == "rem":
        return f"remainder{_suffix(dtype)}({a}, {operands[1]})"
    return f"{a} {_SYMBOL[op]} {operands[1]}"


def _suffix(dtype: DType) -> str:
    return f"_f{dtype.itemsize * 8}"


def _integer(op: str, dtype: DType, operands: tuple[str, ...]) -> str:
    t, a = scalar_type(dtype), operands[0]
    match op:
        case "neg":
            return f"({t})(0 - ({_unsigned(dtype)}){a})"
        case "abs":
            negated = f"({t})(0 - ({_unsigned(dtype)}){a})"
            return f"{a} < 0 ? {negated} : {a}" if dtypes.is_signed(dtype) else a
        case "sub":
            return _wrapped("-", dtype, a, operands[1])
        case "muladd":
            product = _wrapped("*", dtype, a, operands[1])
            return _wrapped("+", dtype, product, operands[2])
        case "not":
            return f"!{a}" if t == "bool" else f"({t})~{a}"
        case "shl":
            by = f"({operands[1]} & {dtype.itemsize * 8 - 1})"
            return f"({t})(({_unsigned(dtype)}){a} << {by})"
        case "shr":
            return f"({t})({a} >> ({operands[1]} & {dtype.itemsize * 8 - 1}))"
    return _divide(op, dtype, a, operands[1])


def _divide(op: str, dtype: DType, a: str, b: str) -> str:
    # A zero divisor gives 0, min / -1 wraps: divide by 1 there.
    t = scalar_type(dtype)
    signed = dtypes.is_signed(dtype)
    bad = f"({b} == 0 || {b} == -1)" if signed else f"{b} == 0"
    safe = f"({bad} ? ({t})1 : {b})"
    if op == "rem":
        return f"{b} == 0 ? {a} : ({t})({a} % {safe})"
    made = f"({t})({a} / {safe})"
    if signed:
        made = f"({b} == -1 ? ({t})(0 - ({_unsigned(dtype)}){a}) : {made})"
    return f"{b} == 0 ? ({t})0 : {made}"


def _cast(value: str, source: DType, target: DType) -> str:
    """Return a conversion; float to integer saturates and NaN gives 0."""
    if source == target:
        return value
    if source in dtypes.HALVES:
        wide = f"widen_{'f16' if source == dtypes.float16 else 'bf16'}({value})"
        return _cast(wide, dtypes.float32, target)
    if target in dtypes.HALVES:
        return _narrow(value, source, target)
    t = scalar_type(target)
    if dtypes.is_bool(target):
        return f"{value} != 0"
    if dtypes.is_float(source) and not dtypes.is_float(target):
        return _saturated(value, source, target)
    return f"({t}){value}"


def _narrow(value: str, source: DType, target: DType) -> str:
    if target == dtypes.float16:
        if source == dtypes.float64:
            return f"narrow_f16(round_to_odd({value}))"
        return f"narrow_f16({_cast(value, source, dtypes.float32)})"
    return f"narrow_bf16({_cast(value, source, dtypes.float32)})"


def _saturated(value: str, source: DType, target: DType) -> str:
    limits = np.iinfo(target)
    t = scalar_type(target)
    suffix = "f" if source == dtypes.float32 else ""
    # The first numbers that do not fit are powers of two: exact in any float.
    above = float(2 ** int(limits.max).bit_length()).hex() + suffix
    below = float(limits.min).hex() + suffix
    low = _integer_literal(int(limits.min), target)
    high = _integer_literal(int(limits.max), target)
    inside = f"{value} <= {below} ? {low} : ({t}){value}"
    return f"{value} != {value} ? ({t})0 : {value} >= {above} ? {high} : {inside}"


# Functions ----------------------------------------------------------------------------

_MULADD = """\
static inline {t} muladd{s}({t} a, {t} b, {t} c) {{
#pragma OPENCL FP_CONTRACT ON
  return a * b + c;
}}
"""

# To the nearest integer by adding a number so large that no fraction is left; the
# sign is the operand's, for zeros too.
_ROUND = """\
static inline {t} signed{s}({t} size, {t} x) {{
  return as_{t}((as_{u}(size) & {rest}) | (as_{u}(x) & ~{rest}));
}}
static inline {t} round{s}({t} x) {{
  {t} size = as_{t}(as_{u}(x) & {rest});
  {t} near = (size + {magic}) - {magic};
  return size < {magic} ? signed{s}(near, x) : x;
}}
static inline {t} floor{s}({t} x) {{
  {t} near = round{s}(x);
  return signed{s}(near > x ? near - 1 : near, x);
}}
static inline {t} ceil{s}({t} x) {{
  {t} near = round{s}(x);
  return signed{s}(near < x ? near + 1 : near, x);
}}
static inline {t} trunc{s}({t} x) {{
  {t} size = as_{t}(as_{u}(x) & {rest});
  return signed{s}(floor{s}(size), x);
}}
"""

# C's fmod: a long division of the significands, bit by bit; it is exact.
_REMAINDER = """\
static inline {t} remainder{s}({t} x, {t} y) {{
  {u} a = as_{u}(x) & {rest}, b = as_{u}(y) & {rest};
  const {u} sign = as_{u}(x) & ~{rest};
  if (b == 0 || a >= {inf} || b > {inf}) return (x * y) / (x * y);
  if (a < b) return x;
  int ea = (int)(a >> {bits}), eb = (int)(b >> {bits});
  if (ea == 0) {{ for (ea = 1; (a >> {bits}) == 0; ea--) a <<= 1; }}
  else a = (a & {mask}) | ({one} << {bits});
  if (eb == 0) {{ for (eb = 1; (b >> {bits}) == 0; eb--) b <<= 1; }}
  else b = (b & {mask}) | ({one} << {bits});
  for (; ea > eb; ea--) {{ a = a >= b ? a - b : a; a <<= 1; }}
  a = a >= b ? a - b : a;
  if (a == 0) return as_{t}(sign);
  for (; (a >> {bits}) == 0; ea--) a <<= 1;
  a = ea > 0 ? ((a & {mask}) | (({u})ea << {bits})) : a >> (1 - ea);
  return as_{t}(a | sign);
}}
"""

# Rounding twice (f64 to f32 to f16) errs on ties unless the first rounding is to odd:
# truncate, then set the last bit if anything was cut off (Boldo and Melquiond,
# "Emulation of FMA and correctly rounded sums", 2008).
_TO_ODD = """\
static inline float round_to_odd(double x) {
  float near = (float)x;
  double back = (double)near;
  double size = x < 0 ? -x : x, other = back < 0 ? -back : back;
  uint odd = (as_uint(near) - (other > size ? 1u : 0u)) | 1u;
  return back != x && x == x ? as_float(odd) : near;
}
"""

_SINGLE = {
    **{"t": "float", "u": "uint", "s": "_f32", "rest": "0x7fffffffu"},
    **{"magic": "0x1p23f", "inf": "0x7f800000u", "bits": "23"},
    **{"mask": "0x7fffffu", "one": "1u"},
}
_DOUBLE = {
    **{"t": "double", "u": "ulong", "s": "_f64", "rest": "0x7ffffffffffffffful"},
    **{"magic": "0x1p52", "inf": "0x7ff0000000000000ul", "bits": "52"},
    **{"mask": "0xffffffffffffful", "one": "1ul"},
}

# What a text may call: names, and the functions that define them.
FUNCTIONS: tuple[tuple[tuple[str, ...], str], ...] = (
    *(
        (tuple(name + width["s"] for name in names), text.format(**width))
        for names, text in (
            (("muladd",), _MULADD),
            (("round", "floor", "ceil", "trunc"), _ROUND),
            (("remainder",), _REMAINDER),
        )
        for width in (_SINGLE, _DOUBLE)
    ),
    (("widen_bf16", "narrow_bf16"), HALVES["bfloat16"]),
    (("widen_f16", "narrow_f16"), HALVES["float16"]),
    (("round_to_odd",), _TO_ODD),
)


def needed_functions(text: str) -> str:
    """Return the definitions of those functions that a text calls."""
    return "".join(
        definition
        for names, definition in FUNCTIONS
        if any(f"{name}(" in text for name in names)
    )
