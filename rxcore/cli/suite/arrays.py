"""Checks of what moves elements: shapes, joins, places, and numbers out of nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rxcore import numpy as rnp
from rxcore.cli.suite.check import LARGE, Check, whole
from rxcore.ops.dynamic import dynamic_slice, dynamic_update_slice
from rxcore.ops.iota import broadcasted_iota, iota
from rxcore.ops.random_bits import random_bits

__all__ = ["array_checks"]


def array_checks() -> list[Check]:
    """Return the checks of index maps, joins, indexing, creation and random bits."""
    return [*_maps(), *_joins(), *_indexing(), *_creation(), *_random()]


def _maps() -> list[Check]:
    def some(x: Any) -> Sequence[Any]:
        return [
            x.T,
            x[3:31:2, ::-1],
            rnp.broadcast_to(x[5], (3, *x.shape[1:])),
            x.reshape(53, 37),
            rnp.transpose(rnp.broadcast_to(x, (2, *x.shape)), (2, 0, 1)),
        ]

    labels = ("transpose", "slice and reverse", "broadcast", "reshape", "three axes")
    return [
        Check(
            "index map",
            "slices, transposes and broadcasts of 37x53",
            some,
            lambda: [whole(37, 53)],
            labels,
        ),
        Check(
            "index map",
            "transpose of 991x1013",
            lambda x: [x.T],
            lambda: [whole(991, 1013, most=1 << 20)],
        ),
    ]


def _joins() -> list[Check]:
    def some(x: Any, y: Any) -> Sequence[Any]:
        return [
            rnp.concatenate([x, y, x]),
            rnp.concatenate([x, x], axis=1),
            rnp.pad(x, ((2, 1), (0, 3)), constant_values=7),
            *rnp.split(x, [11, 24], axis=1),
        ]

    labels = ("rows", "columns", "pad", *(f"split, part {k}" for k in range(3)))
    return [
        Check(
            "join",
            "concatenate, pad and split 19x37",
            some,
            lambda: [whole(19, 37), whole(5, 37, seed=1)],
            labels,
        ),
        Check(
            "join",
            f"concatenate two of {LARGE}",
            lambda x, y: [rnp.concatenate([x, y])],
            lambda: [whole(LARGE), whole(LARGE, seed=1)],
        ),
    ]


def _indexing() -> list[Check]:
    def reads(x: Any, at: Any, columns: Any, start: Any) -> Sequence[Any]:
        return [
            x[at],
            rnp.take_along_axis(x, columns, axis=1),
            x[at, at],
            dynamic_slice(x, (start, start), (5, 11)),
        ]

    def writes(x: Any, at: Any, rows: Any, start: Any) -> Sequence[Any]:
        return [
            x.at[at].add(rows),
            x.at[at].set(rows),
            x.at[at].max(rows),
            dynamic_update_slice(x, rows[:5, :11], (start, start)),
        ]

    def both(x: Any, at: Any) -> Sequence[Any]:
        return [x[at], rnp.zeros(4099, rnp.float32).at[at % 4099].add(x)]

    def places() -> Any:
        return whole(61, seed=1, most=40, dtype=np.int32)

    start = np.int32(9)
    read = ("rows", "along an axis", "elements", "dynamic slice")
    written = ("add", "set", "max", "dynamic update")
    return [
        Check(
            "indexing",
            "read rows and elements of 41x53, some out of range",
            reads,
            lambda: [
                whole(41, 53),
                places(),
                whole(41, 7, seed=2, most=52, least=0, dtype=np.int32),
                start,
            ],
            read,
        ),
        Check(
            "indexing",
            "write rows of 41x53, several to one place",
            writes,
            lambda: [whole(41, 53), places(), whole(61, 53, seed=3), start],
            written,
        ),
        Check(
            "indexing",
            f"gather and scatter {LARGE}",
            both,
            lambda: [
                whole(LARGE),
                whole(LARGE, seed=1, most=LARGE - 1, least=0, dtype=np.int32),
            ],
            ("gather", "scatter"),
        ),
    ]


def _creation() -> list[Check]:
    def program() -> Sequence[Any]:
        rows = broadcasted_iota(rnp.float32, (37, 29), 0)
        return [rows, iota(rnp.int32, LARGE)]

    labels = ("rows", f"to {LARGE}")
    return [Check("creation", "count", program, lambda: [], labels)]


def _random() -> list[Check]:
    def few(key: Any) -> Sequence[Any]:
        return [random_bits(key, (997,), width) for width in (8, 16, 32)]

    def key() -> list[Any]:
        return [np.array([0x13198A2E, 0x03707344], np.uint32)]

    return [
        Check("random", "8, 16 and 32 bits, 997 times", few, key, ("u8", "u16", "u32")),
        Check(
            "random",
            f"32 bits, {LARGE} times",
            lambda k: [random_bits(k, (LARGE,))],
            key,
        ),
    ]
