"""Small integers for floating numbers: codes, scales, calibration, products, reports.

`quantize` gives a `QTensor`, `dequantize` goes back, `fake_quant` stays in floats and
has a gradient. `minmax`, `moving_average`, `percentile`, `kl` and `mse` choose ranges
from a stream of data; `matmul` multiplies integers.
"""

from __future__ import annotations

from rxcore.quant.fake import fake_quant, lsq_scale
from rxcore.quant.histogram import Histogram, percentile
from rxcore.quant.matmul import matmul
from rxcore.quant.profiles import PROFILES, Profile
from rxcore.quant.qtensor import QTensor
from rxcore.quant.quantize import dequantize, quantize
from rxcore.quant.report import Report, report
from rxcore.quant.search import kl, least_error, mse
from rxcore.quant.spec import QuantSpec
from rxcore.quant.statistics import (
    Calibrator,
    MinMax,
    MovingAverage,
    Statistics,
    minmax,
    moving_average,
)

__all__ = [
    "PROFILES",
    "Calibrator",
    "Histogram",
    "MinMax",
    "MovingAverage",
    "Profile",
    "QTensor",
    "QuantSpec",
    "Report",
    "Statistics",
    "dequantize",
    "fake_quant",
    "kl",
    "least_error",
    "lsq_scale",
    "matmul",
    "minmax",
    "moving_average",
    "mse",
    "percentile",
    "quantize",
    "report",
]
