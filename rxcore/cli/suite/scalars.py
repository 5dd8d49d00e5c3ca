"""Checks of elementwise ops and comparisons, drawn from the registry.

Operands that are equal share one input, so that ops of equal domains are fused: few
kernels are built.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from attrs import frozen

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.cli.suite.check import LARGE, Check
from rxcore.ir.primitive import REGISTRY, Primitive, Scalar
from rxcore.ops.samples import Samples

__all__ = ["scalar_check", "scalar_checks"]

# No multiple of any work-group's size.
_SIZE = 997
_DRAWS = 4
# What the families themselves are checked with: other dtypes are checked by themselves.
_PLAIN = (dtypes.float32, dtypes.int32)
_NAMED = (*_PLAIN, dtypes.bool_)


def scalar_checks() -> list[Check]:
    """Return the checks of the families `elementwise` and `compare`."""
    large = {
        "elementwise": ("add", "mul", "div", "exp", "tanh"),
        "compare": ("lt", "ge", "eq"),
    }
    made = []
    for family, names in large.items():
        every = [p for p in REGISTRY.values() if p.family == family]
        made.append(scalar_check(family, every))
        few = map(REGISTRY.__getitem__, names)
        made.append(scalar_check(family, few, size=LARGE))
    return made


def scalar_check(
    family: str,
    primitives: Iterable[Primitive],
    dtype: DType | None = None,
    size: int = _SIZE,
) -> Check:
    """Return a check that applies each op to operands of its own domain.

    Args:
        family: the family of the check.
        primitives: ops; those with no loop of their own are left out.
        dtype: of the operands; without it, float32, or int32 where that is not taken.
        size: how many elements they have.
    """
    uses = []
    for p in primitives:
        if isinstance(p.lower, Scalar) and isinstance(p.samples, Samples):
            wanted = _PLAIN if dtype is None else (dtype,)
            taken = next((d for d in wanted if d in p.samples.dtypes), None)
            if taken is not None:
                uses.append(_use(p, taken, size))
    operands, places = _shared(uses)

    def program(*xs: Any) -> list[Any]:
        return [
            u.primitive.bind(*[xs[k] for k in at], **u.params)
            for u, at in zip(uses, places, strict=True)
        ]

    what = "every op" if len(uses) > 12 else ", ".join(u.label for u in uses)
    return Check(
        family,
        f"{what} of {size} elements" + (f", {dtype.name}" if dtype else ""),
        program,
        lambda: operands,
        tuple(u.label for u in uses),
        tuple(u.primitive.samples.tolerance for u in uses),
        bits=True,
        dtype=dtype.name if dtype else "",
    )


@frozen(eq=False)
class Use:
    """An op with its params and its operands."""

    primitive: Primitive
    params: dict[str, Any]
    operands: tuple[Any, ...]

    @property
    def label(self) -> str:
        """The op's name, with its params."""
        given = ", ".join(f"{k}={v}" for k, v in self.params.items())
        return f"{self.primitive.name}({given})" if given else self.primitive.name


def _use(primitive: Primitive, dtype: DType, size: int) -> Use:
    """Draw operands of an op as its tests do, all to the same params."""
    params: dict[str, Any] | None = None
    rows: list[list[Any]] = []
    for seed in range(_DRAWS):
        # Ops of equal domains draw equal operands from equal seeds.
        drawn = list(primitive.samples.cases(dtype, np.random.default_rng(seed)))
        if params is None:
            params = next(p for _, p in reversed(drawn) if _is_plain(p))
        rows += [_line(xs) for xs, given in drawn if given == params]
    if _has_special_values(primitive, dtype):
        values = special_values(dtype)
        grid = np.meshgrid(*[values] * len(rows[0]), indexing="ij")
        rows.append([g.reshape(-1) for g in grid])
    columns = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
    return Use(primitive, params or {}, tuple(np.resize(c, size) for c in columns))


def _is_plain(params: dict[str, Any]) -> bool:
    """Say whether params name no dtype that is checked by itself."""
    return all(p in _NAMED for p in params.values() if isinstance(p, np.dtype))


def _line(operands: Sequence[Any]) -> list[Any]:
    shape = np.broadcast_shapes(*map(np.shape, operands))
    return [np.broadcast_to(o, shape).reshape(-1) for o in operands]


def _has_special_values(primitive: Primitive, dtype: DType) -> bool:
    """Say whether an op is exact, so that it must be so at all values."""
    exact = not primitive.samples.tolerance and dtype in primitive.slots.get(
        "types", ()
    )
    return exact and primitive.infer.__name__ != "<lambda>"


def special_values(dtype: DType) -> Any:
    """Return values at which a scalar op may go wrong by itself."""
    if dtypes.is_bool(dtype):
        return np.array([False, True])
    if dtypes.is_integer(dtype):
        info = np.iinfo(dtype)
        small = [0, 1, 2, 3, 7] + ([-1, -2, -3, -7] if info.min else [])
        return np.array([*small, info.min, info.max, info.max - 1], dtype)
    tiny = {dtypes.float64: 2.0**-1074, dtypes.float32: 2.0**-149}.get(dtype, 2.0**-24)
    most = 60000.0 if dtype in dtypes.HALVES else float(np.finfo(dtype).max)
    some = [0.0, 0.5, 1.0, 1.5, 2.5, 3.0, tiny, 1000.0, most, np.inf]
    with np.errstate(all="ignore"):
        return np.array([*some, *(-s for s in some), np.nan]).astype(dtype)


def _shared(uses: Sequence[Use]) -> tuple[list[Any], list[tuple[int, ...]]]:
    """Return the different operands, and which of them each use takes."""
    numbers: dict[Any, int] = {}
    operands: list[Any] = []
    places = []
    for u in uses:
        at = []
        for x in u.operands:
            key = (x.dtype, x.tobytes())
            if key not in numbers:
                numbers[key] = len(operands)
                operands.append(x)
            at.append(numbers[key])
        places.append(tuple(at))
    return operands, places
