"""The ways to keep a trained network small, and to predict with what is kept.

Each one is a pair: `pack` makes a pytree of what is stored, `predict(packed, x)` runs
it. Nothing dense is kept beside.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rxcore import nn, quant, sparse
from rxcore.base import dtypes
from rxcore.demo.network import Params
from rxcore.ops.convert import convert
from rxcore.ops.shape import transpose
from rxcore.quant import QuantSpec
from rxcore.runtime.array import asarray
from rxcore.sparse import CSR

__all__ = [
    "pack_integers",
    "pack_rows",
    "pack_small_rows",
    "predict_integers",
    "predict_rows",
    "predict_small_rows",
]

INPUTS = QuantSpec(signed=False, symmetric=False)


def pack_integers(params: Params, images: Any, bits: int = 8) -> Params:
    """Quantize the weights of each output, and calibrate what goes into each layer.

    Args:
        params: of a trained network.
        images: calibration data (count, features).
        bits: of weights; inputs have 8.
    """
    spec = QuantSpec(bits=bits, axis=1)
    calibrator = quant.minmax(INPUTS)
    packed, x = [], asarray(images)
    for k, layer in enumerate(params):
        seen = calibrator.update(calibrator.init(x.shape), x)
        weight = quant.quantize(layer["weight"], spec)
        packed.append({"weight": weight, "bias": layer["bias"], "input": seen})
        x = x @ layer["weight"] + layer["bias"]
        x = nn.relu(x) if k + 1 < len(params) else x
    return tuple(packed)


def predict_integers(packed: Params, x: Any) -> Any:
    """Return logits by products of integers."""
    last = len(packed) - 1
    for k, layer in enumerate(packed):
        x = quant.matmul(
            x,
            layer["weight"],
            x_spec=layer["input"],
            bias=layer["bias"],
            activation=None if k == last else nn.relu,
        )
    return x


def pack_rows(params: Params) -> Params:
    """Keep the weights that are not 0, by rows of outputs."""
    return tuple(
        {"weight": CSR.from_dense(transpose(p["weight"])), "bias": p["bias"]}
        for p in params
    )


def predict_rows(packed: Params, x: Any) -> Any:
    """Return logits by products of sparse matrices."""
    last, x = len(packed) - 1, transpose(x)
    for k, layer in enumerate(packed):
        x = sparse.csr_matmul(layer["weight"], x) + layer["bias"][:, None]
        x = x if k == last else nn.relu(x)
    return transpose(x)


def pack_small_rows(params: Params, bits: int = 8) -> Params:
    """Keep the weights that are not 0 as integers, with the narrowest indices."""
    packed = []
    for p in params:
        rows = CSR.from_dense(transpose(p["weight"]))
        data, starts = np.asarray(rows.data), np.asarray(rows.indptr)
        most = 2 ** (bits - 1) - 1
        largest = np.zeros(rows.shape[0], np.float32)
        np.maximum.at(
            largest, np.repeat(np.arange(len(largest)), np.diff(starts)), abs(data)
        )
        scale = np.where(largest > 0, largest / most, 1).astype(np.float32)
        codes = np.rint(data / np.repeat(scale, np.diff(starts))).astype(np.int8)
        packed.append(
            {
                "codes": asarray(codes),
                "indices": asarray(_narrow(rows.indices, rows.shape[1])),
                "indptr": asarray(_narrow(starts, len(data) + 1)),
                "scale": asarray(scale),
                "bias": p["bias"],
            }
        )
    return tuple(packed)


def _narrow(indices: Any, count: int) -> Any:
    """Return indices below a count in the narrowest unsigned dtype."""
    return np.asarray(indices).astype(np.min_scalar_type(max(count - 1, 0)))


def predict_small_rows(packed: Params, x: Any) -> Any:
    """Return logits; codes are widened on their way into the product."""
    last, x = len(packed) - 1, transpose(x)
    for k, layer in enumerate(packed):
        rows = CSR(
            convert(layer["codes"], dtypes.float32),
            convert(layer["indices"], dtypes.int32),
            convert(layer["indptr"], dtypes.int32),
            (len(layer["bias"]), x.shape[0]),
        )
        x = sparse.csr_matmul(rows, x) * layer["scale"][:, None]
        x = x + layer["bias"][:, None]
        x = x if k == last else nn.relu(x)
    return transpose(x)
