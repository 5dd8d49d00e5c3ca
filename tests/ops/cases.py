"""Which cases of which ops the laws are tried on."""

import importlib
import os
import pkgutil
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

import rxcore.ops
from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import REGISTRY, Primitive

# The full product of dtypes and cases, in place of a pairwise choice.
EVERYTHING = os.environ.get("RXCORE_TEST_ALL") == "1"

for _module in pkgutil.iter_modules(rxcore.ops.__path__, "rxcore.ops."):
    importlib.import_module(_module.name)

PRIMITIVES: tuple[Primitive, ...] = tuple(
    p for p in REGISTRY.values() if p.family != "compiler"
)

Case = tuple[tuple[Any, ...], dict[str, Any]]


def draw_cases(primitive: Primitive, dtype: DType, seed: int = 0) -> list[Case]:
    """Draw all cases of one op and dtype; equal seeds, equal cases."""
    key = zlib.crc32(f"{primitive.name} {dtype.name} {seed}".encode())
    return list(primitive.samples.cases(dtype, np.random.default_rng(key)))


def cases(primitive: Primitive, only: tuple[DType, ...] = ()) -> Iterator[Case]:
    """Yield cases in which each dtype and each case (shape, params) occurs."""
    types = [d for d in primitive.samples.dtypes if not only or d in only]
    start = zlib.crc32(primitive.name.encode())
    for turn, dtype in enumerate(types):
        drawn = draw_cases(primitive, dtype)
        count = len(drawn)
        if not count:
            continue
        if EVERYTHING or len(types) == 1:
            yield from drawn
            continue
        share = max(2, -(-count // len(types)))
        chosen = {(start + turn * share + k) % count for k in range(share)}
        yield from (drawn[k] for k in sorted(chosen))


def lanes(primitive: Primitive, dtype: DType, size: int = 3) -> list[list[Case]]:
    """Return for each case of one dtype `size` draws of it that differ in values."""
    drawn = [draw_cases(primitive, dtype, seed) for seed in range(size)]
    return [
        list(row)
        for row in zip(*drawn, strict=True)
        if all(alike(row[0], other) for other in row)
    ]


def alike(one: Case, other: Case) -> bool:
    """Say whether two cases have equal params, shapes and dtypes."""
    kinds = [[(np.shape(a), np.asarray(a).dtype) for a in c[0]] for c in (one, other)]
    return kinds[0] == kinds[1] and repr(one[1]) == repr(other[1])


def doubles(primitive: Primitive) -> tuple[DType, ...]:
    """Return the double-precision dtypes that an op takes."""
    both = (dtypes.float64, dtypes.complex128)
    return tuple(d for d in both if d in primitive.samples.dtypes)
