"""What quantization costs, and what it saves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from attrs import frozen

from rxcore.base import errors, tree
from rxcore.quant.qtensor import QTensor
from rxcore.quant.quantize import dequantize
from rxcore.trace.bind import as_numeric

__all__ = ["Report", "report"]


@frozen
class Report:
    """How close a quantized array is to the original, and how large.

    Args:
        sqnr: signal to quantization noise, in decibels; infinite without error, minus
            infinite without a signal.
        cosine: cosine of the angle between both; where one of them is all zeros, 1 if
            they are equal, else 0.
        max_error: the largest difference.
        bytes_before: of the original.
        bytes_after: of all that is stored: codes with their padding, scales, zero
            points, and what is not quantized.
        bits_per_weight: bits stored for each number.
    """

    sqnr: float
    cosine: float
    max_error: float
    bytes_before: int
    bytes_after: int
    bits_per_weight: float

    @property
    def ratio(self) -> float:
        """How many times smaller it is."""
        return self.bytes_before / self.bytes_after if self.bytes_after else 1.0

    def __str__(self) -> str:
        return (
            f"SQNR {self.sqnr:.2f} dB, cosine {self.cosine:.6f}, largest error"
            f" {self.max_error:.3g}; {self.bytes_before} -> {self.bytes_after} bytes"
            f" ({self.ratio:.2f}x smaller, {self.bits_per_weight:.3g} bits per weight)"
        )


def _decibels(signal: float, noise: float) -> float:
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def report(x: Any, q: Any) -> Report:
    """Compare an array, or a pytree of them, with its quantized form.

    **Meaning**, with `y` the dequantized numbers::

        sqnr = 10 * np.log10((x**2).sum() / ((x - y) ** 2).sum())
        cosine = (x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum())

    Args:
        x: the original: an array or a pytree.
        q: a `QTensor`, or a pytree with a QTensor or an array in place of each array.

    Returns:
        A `Report` of all arrays together.

    Raises:
        TreeError: when the structures differ.
        ShapeError: when shapes differ.

    Example:
        >>> import rxcore as rx
        >>> from rxcore import quant
        >>> w = rx.random.normal(rx.random.key(0), (64, 64))
        >>> print(quant.report(w, quant.quantize(w, quant.QuantSpec(bits=4, axis=1))))
        SQNR 19... dB, cosine 0.99..., largest error 0.2...; 16384 -> 2304 bytes
        (7.11x smaller, 4.5 bits per weight)
    """
    before, treedef = tree.flatten(x)
    try:
        after = treedef.flatten_up_to(q)
    except (ValueError, TypeError) as error:
        raise errors.TreeError(
            f"quant.report: q does not have the structure of x, {treedef}"
        ) from error
    squares = noise = products = others = worst = 0.0
    sizes = [0, 0, 0]
    for a, b in zip(before, after, strict=True):
        given = as_numeric(a, "quant.report")
        stored = b if isinstance(b, QTensor) else as_numeric(b, "quant.report")
        if stored.shape != given.shape:
            raise errors.ShapeError(
                f"quant.report: x has shape {given.shape}, its quantized form"
                f" {stored.shape}"
            )
        quantized = isinstance(stored, QTensor)
        u = np.asarray(given).astype(np.float64).ravel()
        shown = dequantize(stored) if quantized else stored
        v = np.asarray(shown).astype(np.float64).ravel()
        squares += float(u @ u)
        others += float(v @ v)
        products += float(u @ v)
        noise += float((u - v) @ (u - v))
        worst = max(worst, float(np.abs(u - v).max(initial=0.0)))
        nbytes = given.size * given.dtype.itemsize
        sizes[0] += nbytes
        sizes[1] += stored.nbytes if quantized else stored.size * stored.dtype.itemsize
        sizes[2] += given.size
    norms = math.sqrt(squares * others)
    return Report(
        _decibels(squares, noise),
        products / norms if norms else float(not noise),
        worst,
        sizes[0],
        sizes[1],
        8 * sizes[1] / max(sizes[2], 1),
    )
