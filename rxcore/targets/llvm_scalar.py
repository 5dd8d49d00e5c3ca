"""Scalar operations of the loop language as lines of LLVM IR.

Halves (float16, bfloat16) are 16-bit integers between `Load` and `cast`: x86 computes
with neither, and an `i16` is selected and stored without a conversion. A bool is an
`i1` between statements and a byte of 0 or 1 in memory.
"""

from __future__ import annotations

import math

import numpy as np
from attrs import define, field

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.loops.nest import Constant

__all__ = ["Lines", "constant", "memory_type", "scalar_type"]


def scalar_type(dtype: DType) -> str:
    """Return the LLVM type of a value of this dtype between statements."""
    if dtype in dtypes.HALVES:
        return "i16"
    if dtypes.is_float(dtype):
        return "float" if dtype == dtypes.float32 else "double"
    return "i1" if dtypes.is_bool(dtype) else f"i{dtype.itemsize * 8}"


def memory_type(dtype: DType) -> str:
    """Return the LLVM type of an element of this dtype in memory."""
    return "i8" if dtypes.is_bool(dtype) else scalar_type(dtype)


def constant(value: Constant) -> str:
    """Return the literal of a constant; floats as the bits of a double, exactly."""
    with np.errstate(over="ignore"):
        number = np.asarray(value.value).astype(value.dtype)
    if dtypes.is_bool(value.dtype):
        return "true" if number else "false"
    if value.dtype in dtypes.HALVES:
        return str(int(number.view(np.uint16)))
    if dtypes.is_float(value.dtype):
        return f"0x{int(number.astype(np.float64).view(np.uint64)):016X}"
    return str(int(number))


def _suffix(dtype: DType) -> str:
    kind = "f" if dtypes.is_float(dtype) else "i"
    return f"{kind}{1 if dtypes.is_bool(dtype) else dtype.itemsize * 8}"


_FLOAT_BINARY = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_FLOAT_UNARY = {
    "abs": "fabs",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "round": "roundeven",
    "sqrt": "sqrt",
}
# On one bit: a sum is an `or`, a product an `and`, as NumPy has it.
_BOOL_BINARY = {
    "add": "or",
    "or": "or",
    "max": "or",
    "mul": "and",
    "and": "and",
    "min": "and",
    "xor": "xor",
}
_FLOAT_COMPARE = {"lt": "olt", "le": "ole", "eq": "oeq", "ne": "une"}
# What NaN-propagating reductions may assume: any order of joining. In a sum, with `nsz`
# as well, LLVM would take x - x for 0, which is NaN where x is not finite.
REASSOCIATE = "reassoc "


@define
class Lines:
    """Lines of one LLVM function, values numbered as they come."""

    text: list[str] = field(factory=list)
    declared: dict[str, str] = field(factory=dict)
    _count: int = 0

    def fresh(self, prefix: str = "%v") -> str:
        """Return a name not used before."""
        self._count += 1
        return f"{prefix}{self._count}"

    def line(self, text: str) -> str:
        """Add `name = text`; return the name."""
        name = self.fresh()
        self.text.append(f"  {name} = {text}")
        return name

    def intrinsic(
        self, name: str, result: str, *operands: tuple[str, str], flags: str = ""
    ) -> str:
        """Add a call of an intrinsic with (type, value) operands."""
        types = ", ".join(kind for kind, _ in operands)
        self.declared[name] = f"declare {result} @{name}({types})"
        passed = ", ".join(f"{kind} {value}" for kind, value in operands)
        return self.line(f"call {flags}{result} @{name}({passed})")

    def operation(
        self, op: str, dtype: DType, kind: DType, operands: tuple[str, ...]
    ) -> str:
        """Add one scalar operation; return its value.

        Args:
            op: the operation's name in `scalar.OPERATIONS`.
            dtype: the dtype of the result.
            kind: the dtype of the first operand (of the second for `select`).
            operands: the values.
        """
        if op == "cast":
            return self.cast(operands[0], kind, dtype)
        if op == "bitcast":
            return self._bitcast(operands[0], kind, dtype)
        if op == "select":
            t = scalar_type(dtype)
            yes, no = operands[1:]
            return self.line(f"select i1 {operands[0]}, {t} {yes}, {t} {no}")
        if op in _FLOAT_COMPARE:
            return self._compare(op, kind, *operands)
        if op in ("add", "mul", "min", "max", "and", "or", "xor"):
            return self.join(op, dtype, *operands)
        if dtypes.is_float(dtype):
            return self._float(op, dtype, operands)
        return self._integer(op, dtype, operands)

    def join(self, op: str, dtype: DType, a: str, b: str, flags: str = "") -> str:
        """Add an operation that an accumulator may combine with."""
        t = scalar_type(dtype)
        if dtypes.is_bool(dtype):
            return self.line(f"{_BOOL_BINARY[op]} i1 {a}, {b}")
        if op in ("min", "max"):
            if dtypes.is_float(dtype):
                return self._extreme(op, dtype, a, b, flags)
            sign = "s" if dtypes.is_signed(dtype) else "u"
            return self.intrinsic(f"llvm.{sign}{op}.{t}", t, (t, a), (t, b))
        if dtypes.is_float(dtype):
            return self.line(f"{_FLOAT_BINARY[op]} {flags}{t} {a}, {b}")
        return self.line(f"{op} {t} {a}, {b}")

    def _extreme(self, op: str, dtype: DType, a: str, b: str, flags: str) -> str:
        t = scalar_type(dtype)
        if flags:
            # The vectorizer knows this one as a reduction. The accumulator goes
            # last: its chain is then one `vmaxps` long, half the time of the other
            # order.
            name = f"llvm.{op}imum.{_suffix(dtype)}"
            # Either zero will do.
            return self.intrinsic(name, t, (t, b), (t, a), flags=f"{flags}nsz ")
        # Both zeros give b: a form that any target can print with the same bits.
        # The intrinsic orders zeros, which doubles its cost.
        less = self.line(f"fcmp {'olt' if op == 'min' else 'ogt'} {t} {a}, {b}")
        chosen = self.line(f"select i1 {less}, {t} {a}, {t} {b}")
        nan = self.line(f"fcmp uno {t} {a}, {a}")
        return self.line(f"select i1 {nan}, {t} {a}, {t} {chosen}")

    def muladd(self, dtype: DType, a: str, b: str, c: str, flags: str = "") -> str:
        """Add a * b + c."""
        t = scalar_type(dtype)
        if not dtypes.is_float(dtype):
            return self.line(f"add {t} {self.line(f'mul {t} {a}, {b}')}, {c}")
        name = f"llvm.fmuladd.{_suffix(dtype)}"
        return self.intrinsic(name, t, (t, a), (t, b), (t, c), flags=flags)

    def load(self, dtype: DType, place: str, tail: str) -> str:
        """Add a load of one element."""
        value = self.line(
            f"load {memory_type(dtype)}, ptr {place}, align {dtype.itemsize}{tail}"
        )
        return self.line(f"icmp ne i8 {value}, 0") if dtypes.is_bool(dtype) else value

    def store(self, dtype: DType, value: str, place: str, tail: str) -> None:
        """Add a store of one element."""
        if dtypes.is_bool(dtype):
            value = self.line(f"zext i1 {value} to i8")
        t = memory_type(dtype)
        self.text.append(
            f"  store {t} {value}, ptr {place}, align {dtype.itemsize}{tail}"
        )

    def _compare(self, op: str, kind: DType, a: str, b: str) -> str:
        t = scalar_type(kind)
        if dtypes.is_float(kind):
            return self.line(f"fcmp {_FLOAT_COMPARE[op]} {t} {a}, {b}")
        sign = "s" if dtypes.is_signed(kind) else "u"
        how = op if op in ("eq", "ne") else sign + op
        return self.line(f"icmp {how} {t} {a}, {b}")

    def _float(self, op: str, dtype: DType, operands: tuple[str, ...]) -> str:
        t = scalar_type(dtype)
        if op in _FLOAT_UNARY:
            name = f"llvm.{_FLOAT_UNARY[op]}.{_suffix(dtype)}"
            return self.intrinsic(name, t, (t, operands[0]))
        if op == "muladd":
            return self.muladd(dtype, *operands)
        if op == "neg":
            return self.line(f"fneg {t} {operands[0]}")
        instruction = "frem" if op == "rem" else _FLOAT_BINARY[op]
        return self.line(f"{instruction} {t} {operands[0]}, {operands[1]}")

    def _integer(self, op: str, dtype: DType, operands: tuple[str, ...]) -> str:
        t = scalar_type(dtype)
        a = operands[0]
        match op:
            case "neg":
                return self.line(f"sub {t} 0, {a}")
            case "abs":
                if not dtypes.is_signed(dtype):
                    return a
                return self.intrinsic(f"llvm.abs.{t}", t, (t, a), ("i1", "false"))
            case "sub":
                return self.line(f"sub {t} {a}, {operands[1]}")
            case "muladd":
                return self.muladd(dtype, *operands)
            case "not":
                return self.line(f"xor {t} {a}, {'true' if t == 'i1' else -1}")
            case "shl" | "shr":
                by = self.line(f"and {t} {operands[1]}, {dtype.itemsize * 8 - 1}")
                right = "ashr" if dtypes.is_signed(dtype) else "lshr"
                return self.line(f"{'shl' if op == 'shl' else right} {t} {a}, {by}")
        return self._divide(op, dtype, a, operands[1])

    def _divide(self, op: str, dtype: DType, a: str, b: str) -> str:
        # The hardware traps on a zero divisor and on min / -1: divide by 1 there.
        t = scalar_type(dtype)
        signed = dtypes.is_signed(dtype)
        zero = self.line(f"icmp eq {t} {b}, 0")
        bad = zero
        if signed:
            minus = self.line(f"icmp eq {t} {b}, -1")
            bad = self.line(f"or i1 {zero}, {minus}")
        safe = self.line(f"select i1 {bad}, {t} 1, {t} {b}")
        sign = "s" if signed else "u"
        if op == "rem":
            rest = self.line(f"{sign}rem {t} {a}, {safe}")
            return self.line(f"select i1 {zero}, {t} {a}, {t} {rest}")
        made = self.line(f"{sign}div {t} {a}, {safe}")
        if signed:
            negated = self.line(f"sub {t} 0, {a}")
            made = self.line(f"select i1 {minus}, {t} {negated}, {t} {made}")
        return self.line(f"select i1 {zero}, {t} 0, {t} {made}")

    def divide_by_size(self, op: str, dividend: str, size: str) -> str:
        """Add an int64 `quo` or `rem` by a lifted Size: never 0 and never -1."""
        return self.line(f"{'sdiv' if op == 'quo' else 'srem'} i64 {dividend}, {size}")

    def _bitcast(self, value: str, source: DType, target: DType) -> str:
        a, b = scalar_type(source), scalar_type(target)
        return value if a == b else self.line(f"bitcast {a} {value} to {b}")

    def cast(self, value: str, source: DType, target: DType) -> str:
        """Add a conversion; float to integer saturates and NaN gives 0."""
        if source == target:
            return value
        if source in dtypes.HALVES:
            return self.cast(self._widen(value, source), dtypes.float32, target)
        if target in dtypes.HALVES:
            return self._narrow(value, source, target)
        a, b = scalar_type(source), scalar_type(target)
        if dtypes.is_bool(target):
            if dtypes.is_float(source):
                return self.line(f"fcmp une {a} {value}, 0.0")
            return self.line(f"icmp ne {a} {value}, 0")
        if dtypes.is_float(source):
            if dtypes.is_float(target):
                how = "fpext" if target == dtypes.float64 else "fptrunc"
                return self.line(f"{how} {a} {value} to {b}")
            return self._saturated(value, source, target)
        if dtypes.is_float(target):
            sign = "si" if dtypes.is_signed(source) else "ui"
            return self.line(f"{sign}tofp {a} {value} to {b}")
        if a == b:
            return value
        if not dtypes.is_bool(source) and target.itemsize < source.itemsize:
            return self.line(f"trunc {a} {value} to {b}")
        how = "sext" if dtypes.is_signed(source) else "zext"
        return self.line(f"{how} {a} {value} to {b}")

    def _saturated(self, value: str, source: DType, target: DType) -> str:
        """Convert a float to an integer, to its limits where it is beyond them.

        LLVM makes vectors of this, and not of its own saturating conversions.
        """
        a, b, limits = scalar_type(source), scalar_type(target), np.iinfo(target)
        known = self.line(f"fcmp ord {a} {value}, 0.0")
        value = self.line(f"select i1 {known}, {a} {value}, {a} 0.0")
        low, high = float(limits.min), float(limits.max)
        below = self.line(f"fcmp olt {a} {value}, {low}")
        value = self.line(f"select i1 {below}, {a} {low}, {a} {value}")
        # The largest integer need not be a float, the power of two above it is one.
        above = self.line(f"fcmp oge {a} {value}, {2.0 ** math.ceil(math.log2(high))}")
        value = self.line(f"select i1 {above}, {a} 0.0, {a} {value}")
        sign = "si" if target.itemsize < 4 or dtypes.is_signed(target) else "ui"
        wide = b if target.itemsize > 4 else "i32"
        whole = self.line(f"fpto{sign} {a} {value} to {wide}")
        limit = f"{wide} {int(limits.max)}"
        whole = self.line(f"select i1 {above}, {limit}, {wide} {whole}")
        return whole if b == wide else self.line(f"trunc {wide} {whole} to {b}")

    def _widen(self, value: str, source: DType) -> str:
        if source == dtypes.float16:
            half = self.line(f"bitcast i16 {value} to half")
            return self.line(f"fpext half {half} to float")
        wide = self.line(f"zext i16 {value} to i32")
        return self.line(f"bitcast i32 {self.line(f'shl i32 {wide}, 16')} to float")

    def _narrow(self, value: str, source: DType, target: DType) -> str:
        if target == dtypes.float16:
            if source == dtypes.float64:
                value = self._round_to_odd(value)
            else:
                value = self.cast(value, source, dtypes.float32)
            half = self.line(f"fptrunc float {value} to half")
            return self.line(f"bitcast half {half} to i16")
        value = self.cast(value, source, dtypes.float32)
        bits = self.line(f"bitcast float {value} to i32")
        high = self.line(f"lshr i32 {bits}, 16")
        even = self.line(f"and i32 {high}, 1")
        near = self.line(f"add i32 {self.line(f'add i32 {bits}, 32767')}, {even}")
        rounded = self.line(f"lshr i32 {near}, 16")
        quiet = self.line(f"or i32 {high}, 64")
        nan = self.line(f"fcmp uno float {value}, {value}")
        chosen = self.line(f"select i1 {nan}, i32 {quiet}, i32 {rounded}")
        return self.line(f"trunc i32 {chosen} to i16")

    def _round_to_odd(self, value: str) -> str:
        # Rounding twice (f64 to f32 to f16) errs on ties unless the first rounding is
        # to odd: truncate, then set the last bit if anything was cut off (Boldo and
        # Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
        near = self.line(f"fptrunc double {value} to float")
        back = self.line(f"fpext float {near} to double")
        inexact = self.line(f"fcmp one double {back}, {value}")
        size_back = self.intrinsic("llvm.fabs.f64", "double", ("double", back))
        size_value = self.intrinsic("llvm.fabs.f64", "double", ("double", value))
        above = self.line(f"fcmp ogt double {size_back}, {size_value}")
        bits = self.line(f"bitcast float {near} to i32")
        step = self.line(f"zext i1 {above} to i32")
        odd = self.line(f"or i32 {self.line(f'sub i32 {bits}, {step}')}, 1")
        chosen = self.line(f"select i1 {inexact}, i32 {odd}, i32 {bits}")
        return self.line(f"bitcast i32 {chosen} to float")
