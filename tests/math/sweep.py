"""Maximum errors of the math functions; `python -m tests.math.sweep` writes ulp.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mpmath
import numpy as np
from attrs import frozen

from tests.math.reference import BAR, CASES, Case, compute

TABLE = Path(__file__).with_name("ulp.md")
SINGLES = 200_000
DOUBLES = 2_000
PRECISION = 100
"""Bits of the mpmath references."""

Array = Any


@frozen
class Error:
    """The largest error found, in units in the last place, and where."""

    ulps: float
    where: tuple[float, ...]


def _points(dtype: np.dtype[Any], case: Case, count: int, seed: int) -> Array:
    """Draw bit patterns stratified over all exponents, then the function's spans."""
    rng = np.random.default_rng(seed)
    width = dtype.itemsize * 8
    word = np.dtype(f"u{dtype.itemsize}")
    patterns = count // 2
    step = 2**width // patterns
    base = np.arange(patterns, dtype=np.uint64) * np.uint64(step)
    bits = base + rng.integers(0, step, patterns, dtype=np.uint64)
    parts = [bits.astype(word).view(dtype)]
    share = (count - patterns) // len(case.spans)
    parts += [rng.uniform(low, high, share).astype(dtype) for low, high in case.spans]
    points = np.concatenate(parts)
    return points[np.isfinite(points)]


def points(dtype: Any, case: Case) -> tuple[Array, ...]:
    """Return the arguments at which a function is measured."""
    dtype = np.dtype(dtype)
    count = SINGLES if dtype == np.float32 else DOUBLES
    x = _points(dtype, case, count, 1)
    if case.arity == 1:
        return (x,)
    y = np.random.default_rng(3).permutation(_points(dtype, case, count, 2))
    size = min(len(x), len(y))
    # Wild second arguments on one half, tame ones on the other.
    x, y = x[:size], y[:size]
    tame = np.random.default_rng(4).uniform(-40, 40, size).astype(dtype)
    return x, np.where(np.arange(size) % 2 == 0, y, tame)


def single_errors(case: Case, arguments: tuple[Array, ...], got: Array) -> Array:
    """Return the errors in ULPs of float32 results."""
    info = np.finfo(np.float32)
    with np.errstate(all="ignore"):
        wide = [a.astype(np.float64) for a in arguments]
        want = np.asarray(case.wide(*wide))
        floor = case.floor(np, wide[0]) if case.floor else 0.0
        top = 2.0**info.maxexp
        size = np.clip(np.maximum(np.abs(want), floor), 0.0, top)
        _, exponent = np.frexp(np.where(np.isnan(size), 1.0, size))
        unit = np.ldexp(1.0, np.maximum(exponent - 1, info.minexp) - info.nmant)
        error = np.clip(got.astype(np.float64), -top, top) - np.clip(want, -top, top)
        both = np.isnan(want) & np.isnan(got)
        error = np.where(both, 0.0, np.abs(error) / unit)
    return np.where(np.isnan(error), np.inf, error)


def exact_values(case: Case, arguments: tuple[Array, ...]) -> list[tuple[Any, Any]]:
    """Return (value, floor) per point from mpmath."""
    with mpmath.workprec(PRECISION):
        found = []
        for point in zip(*(a.tolist() for a in arguments), strict=True):
            x = [mpmath.mpf(p) for p in point]
            floor = case.floor(mpmath, x[0]) if case.floor else 0
            found.append((case.exact(*x), floor))
        return found


def double_errors(exact: list[tuple[Any, Any]], got: Array) -> Array:
    """Return the errors in ULPs of float64 results."""
    info = np.finfo(np.float64)
    errors = []
    with mpmath.workprec(PRECISION):
        top = mpmath.mpf(2) ** info.maxexp
        for (want, floor), value in zip(exact, got.tolist(), strict=True):
            if mpmath.isnan(want) or value != value:
                agree = mpmath.isnan(want) and value != value
                errors.append(0.0 if agree else np.inf)
                continue
            limited = max(min(want, top), -top)
            size = max(abs(limited), floor)
            exponent = mpmath.frexp(size)[1] if size else info.minexp
            unit = mpmath.ldexp(1, max(exponent - 1, info.minexp) - info.nmant)
            error = max(min(mpmath.mpf(value), top), -top) - limited
            errors.append(float(abs(error) / unit))
    return np.asarray(errors)


def measure(case: Case, dtype: Any) -> dict[bool, Error]:
    """Return the largest error with unfused (False) and fused (True) `muladd`."""
    arguments = points(dtype, case)
    exact = None if dtype == np.float32 else exact_values(case, arguments)
    found = {}
    for fused in (False, True):
        got = compute(case.function, fused, *arguments)
        if exact is None:
            errors = single_errors(case, arguments, got)
        else:
            errors = double_errors(exact, got)
        worst = int(np.argmax(errors))
        where = tuple(float(a[worst]) for a in arguments)
        found[fused] = Error(float(errors[worst]), where)
    return found


def recorded() -> dict[str, tuple[float, ...]]:
    """Read the committed table: f32 unfused, f32 fused, f64 unfused, f64 fused."""
    rows = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[1][:1].isdigit():
            rows[cells[0].strip("`")] = tuple(float(cell) for cell in cells[1:])
    return rows


HEADER = f"""# Maximum errors of the math functions

In units in the last place (ULP) of the result, over {SINGLES:,} float32 and {DOUBLES:,}
float64 arguments per function: half of them bit patterns stratified over all
exponents (subnormal and huge ones too), half where the function is interesting.
`muladd` may round once or twice, so both are measured. The bar is {BAR:g}.

- `lgamma` and `digamma` of negative arguments: errors are relative to the larger of
  the result, 1, and the terms of the reflection (near the zeros, absolute).
- `erfinv_rounded` in float32 is XLA's formula, rounding of x * x included, so that
  random normals agree with JAX's; that costs digits where x * x rounds close to 1.

Written by `python -m tests.math.sweep`; the tests fail where an error grows.

| function | f32, two roundings | f32, fused | f64, two roundings | f64, fused |
|---|---|---|---|---|
"""


def main() -> None:
    """Measure every function and write the table."""
    lines = []
    for case in CASES:
        found = [measure(case, dtype) for dtype in (np.float32, np.float64)]
        errors = [by[fused] for by in found for fused in (False, True)]
        cells = [f"{error.ulps:.2f}" for error in errors]
        lines.append(f"| `{case.name}` | " + " | ".join(cells) + " |")
        print(lines[-1], [e.where for e in errors if e.ulps > BAR], flush=True)
    TABLE.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
