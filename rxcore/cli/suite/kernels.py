"""Checks of what joins elements: reductions, products, convolutions, sorts, sums.

Sparse products too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rxcore import numpy as rnp
from rxcore.cli.suite.check import LARGE, Check, reals, whole
from rxcore.ops.convolve import conv
from rxcore.ops.csr import csr_matmul
from rxcore.ops.cumulate import cummax, cumprod, cumsum, linear_recurrence
from rxcore.ops.logsumexp import logsumexp
from rxcore.ops.sort import argsort, sort
from rxcore.ops.top_k import top_k
from rxcore.ops.window import reduce_window
from rxcore.transforms.grad import vjp

__all__ = ["kernel_checks"]


def kernel_checks() -> list[Check]:
    """Return the checks of all families that join elements."""
    return [
        *_reductions(),
        *_contractions(),
        *_convolutions(),
        *_windows(),
        *_sorts(),
        *_cumulatives(),
        *_sparse(),
    ]


def _reductions() -> list[Check]:
    def some(x: Any) -> Sequence[Any]:
        return [
            rnp.sum(x, axis=1),
            rnp.max(x, axis=1),
            rnp.argmax(x, axis=1),
            rnp.sum(x, axis=0),
            rnp.min(x, axis=0),
            rnp.argmin(x, axis=0),
        ]

    labels = tuple(
        f"{op} of {along}"
        for along in ("rows", "columns")
        for op in ("sum", "extreme", "place of the extreme")
    )
    return [
        Check(
            "reduction",
            "sums and extremes of 37x1009",
            some,
            lambda: [whole(37, 1009)],
            labels,
        ),
        Check(
            "reduction",
            "product, any, all, log of a sum of exponentials, of 37x1009",
            lambda x, y: [
                rnp.prod(x, axis=1),
                rnp.any(x > 1, axis=1),
                rnp.all(x > -2, axis=1),
                logsumexp(y, axis=1),
            ],
            lambda: [whole(37, 1009, most=1), reals(37, 1009, seed=1)],
            ("product", "any", "all", "logsumexp"),
            ulps=16,
        ),
        Check(
            "reduction",
            f"sum and maximum of {LARGE}",
            lambda x: [rnp.sum(x), rnp.max(x)],
            lambda: [whole(LARGE)],
            ("sum", "max"),
        ),
    ]


def _contractions() -> list[Check]:
    def some(a: Any, b: Any, c: Any) -> Sequence[Any]:
        return [
            a @ b,
            rnp.einsum("ji,jk->ik", a, a),
            c @ rnp.transpose(c, (0, 2, 1)),
            a @ b[:, 0],
            a[0] @ a[1],
        ]

    labels = ("matrices", "transposed", "a batch", "a vector", "two vectors")
    return [
        Check(
            "contraction",
            "products of 37x53 matrices, batches and vectors",
            some,
            lambda: [whole(37, 53), whole(53, 29, seed=1), whole(3, 17, 19, seed=2)],
            labels,
        ),
        Check(
            "contraction",
            "product of 1009x257 and 257x1021 matrices",
            lambda a, b: [a @ b],
            lambda: [whole(1009, 257), whole(257, 1021, seed=1)],
        ),
    ]


def _convolutions() -> list[Check]:
    def some(x: Any, w: Any, line: Any, taps: Any) -> Sequence[Any]:
        y, pullback = vjp(lambda a, b: conv(a, b, stride=2, padding=1), x, w)
        dx, dw = pullback(y)
        return [y, dx, dw, conv(line, taps, dilation=2, groups=2)]

    labels = ("images", "gradient to images", "gradient to weights", "a line in groups")
    return [
        Check(
            "convolution",
            "images of 17x19 and lines, with gradients",
            some,
            lambda: [
                whole(2, 3, 17, 19, most=2),
                whole(5, 3, 3, 3, seed=1, most=2),
                whole(3, 4, 101, seed=2),
                whole(6, 2, 5, seed=3),
            ],
            labels,
        ),
        Check(
            "convolution",
            "images of 251x499 with 8 channels",
            lambda x, w: [conv(x, w, padding="SAME")],
            lambda: [whole(1, 8, 251, 499), whole(8, 8, 3, 3, seed=1)],
        ),
    ]


def _windows() -> list[Check]:
    def program(x: Any) -> Sequence[Any]:
        return [
            reduce_window(x, None, "max", (3, 3), (2, 2), "SAME"),
            reduce_window(x, None, "add", (2, 2)),
        ]

    labels = ("maximum", "sum")
    return [
        Check("window", "of 37x53", program, lambda: [whole(37, 53)], labels),
        Check("window", "of 997x1009", program, lambda: [whole(997, 1009)], labels),
    ]


def _sorts() -> list[Check]:
    def some(x: Any, n: Any) -> Sequence[Any]:
        return [sort(x), argsort(n, axis=0), *top_k(x, 5)]

    def operands() -> Sequence[Any]:
        x = reals(7, 1009)
        x[:, ::97] = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1, 1][: x.shape[0]])[
            :, None
        ]
        return [x, whole(513, 3, seed=1, dtype=np.int32)]

    labels = ("rows", "order of columns", "the largest", "their places")
    return [
        Check("sort", "rows of 1009 with NaN and equals", some, operands, labels),
        Check("sort", f"of {LARGE}", lambda x: [sort(x)], lambda: [reals(LARGE)]),
    ]


def _cumulatives() -> list[Check]:
    def some(x: Any, signs: Any) -> Sequence[Any]:
        return [
            cumsum(x, axis=1),
            cumsum(x, axis=0),
            cumprod(signs, axis=1),
            cummax(x, axis=1),
            linear_recurrence(signs, x, axis=1),
        ]

    labels = ("sum of rows", "of columns", "product", "maximum", "linear recurrence")
    return [
        Check(
            "cumulative",
            "sums, products and extremes of 29x1009",
            some,
            lambda: [whole(29, 1009), whole(29, 1009, seed=1, most=1)],
            labels,
        ),
        Check(
            "cumulative",
            f"sum of {LARGE}",
            lambda x: [cumsum(x)],
            lambda: [whole(LARGE)],
        ),
    ]


def _sparse() -> list[Check]:
    shape = (509, 307)

    def some(data: Any, indices: Any, indptr: Any, x: Any, y: Any) -> Sequence[Any]:
        def product(data: Any, x: Any) -> Any:
            return csr_matmul.bind(data, indices, indptr, x, shape=shape)

        out, pullback = vjp(product, data, x)
        return [product(data, y), out, *pullback(out)]

    def operands() -> Sequence[Any]:
        rng = np.random.default_rng(0)
        # Empty rows, long ones and short ones.
        counts = rng.permutation(np.arange(shape[0]) % 7 * (np.arange(shape[0]) % 11))
        names = [np.sort(rng.permutation(shape[1])[:n]) for n in counts]
        ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return [
            whole(int(ends[-1]), most=2),
            np.concatenate(names).astype(np.int32),
            ends,
            whole(shape[1], 13, seed=1, most=2),
            whole(shape[1], seed=2),
        ]

    labels = ("a vector", "a matrix", "gradient to values", "gradient to the matrix")
    large = (16_381, 4_093)

    def million() -> Sequence[Any]:
        rng = np.random.default_rng(0)
        ends = np.arange(large[0] + 1, dtype=np.int32) * 61
        names = rng.integers(0, large[1], int(ends[-1])).astype(np.int32)
        return [whole(len(names), most=2), names, ends, whole(large[1], most=2)]

    title = "products of 509x307 with a vector and 13 columns, with gradients"
    return [
        Check("sparse", title, some, operands, labels),
        Check(
            "sparse",
            "product of 16,381 rows of 61 with a vector",
            lambda *given: [csr_matmul.bind(*given, shape=large)],
            million,
        ),
    ]
