"""rxcore: pure functions over immutable arrays, compiled for the machine at hand.

Everything travels one straight line: `capture` (trace) a Python function into a
Graph, `optimize` it, `lower` groups of equations to loop Nests, `schedule` those for
a target, `emit` text, `build` kernels, `choose` where to run, `launch`. `rx.inspect`
stops after any step and prints what is there.
"""

from __future__ import annotations

import importlib
from typing import Any

from rxcore import ops as ops
from rxcore.base.config import config
from rxcore.base.errors import (
    DeviceError,
    DTypeError,
    InternalError,
    RxError,
    ShapeError,
    TraceError,
    TreeError,
    UserError,
)
from rxcore.control import debug
from rxcore.control.associative_scan import associative_scan
from rxcore.control.checkpoint import checkpoint
from rxcore.control.cond import cond, switch
from rxcore.control.custom import custom_jvp, custom_vjp
from rxcore.control.effects import ShapeDtypeStruct, pure_callback
from rxcore.control.eval_shape import eval_shape
from rxcore.control.fori_loop import fori_loop
from rxcore.control.fori_loop import map_ as map
from rxcore.control.jit import inspect, jit
from rxcore.control.scan import scan
from rxcore.control.while_loop import while_loop
from rxcore.ir.operators import delegate as _delegate
from rxcore.ops.argreduce import argmax, argmin
from rxcore.ops.compare import (
    is_finite,
    is_inf,
    is_nan,
    population_count,
    select,
    shift_left,
    shift_right,
)
from rxcore.ops.convert import bitcast, convert
from rxcore.ops.convolve import conv
from rxcore.ops.cumulate import (
    cumlogsumexp,
    cummax,
    cummin,
    cumprod,
    cumsum,
    linear_recurrence,
)
from rxcore.ops.dynamic import (
    dynamic_index_in_dim,
    dynamic_slice,
    dynamic_slice_in_dim,
    dynamic_update_index_in_dim,
    dynamic_update_slice,
    dynamic_update_slice_in_dim,
)
from rxcore.ops.einsum import einsum
from rxcore.ops.gather import gather, take_along_axis
from rxcore.ops.iota import broadcasted_iota, iota
from rxcore.ops.join import concatenate, pad, split
from rxcore.ops.logsumexp import logsumexp
from rxcore.ops.magnitude import clamp
from rxcore.ops.mathematics import exp, log, logistic, rsqrt, tanh
from rxcore.ops.matmul import dot, dot_general, matmul, tensordot
from rxcore.ops.power import integer_pow, square
from rxcore.ops.scatter import scatter
from rxcore.ops.shape import (
    broadcast_to,
    expand_dims,
    reshape,
    reverse,
    squeeze,
    transpose,
)
from rxcore.ops.sort import argsort, sort
from rxcore.ops.special import digamma, erf, erfc, erfinv, lgamma, polygamma
from rxcore.ops.stop import stop_gradient
from rxcore.ops.top_k import top_k
from rxcore.ops.window import reduce_window
from rxcore.runtime.array import Array, asarray
from rxcore.runtime.caches import block_until_ready, clear_caches
from rxcore.runtime.devices import default_device, devices
from rxcore.trace.device_put import device_put
from rxcore.transforms import trees as tree
from rxcore.transforms.batching import (
    axis_index,
    axis_size,
    pmax,
    pmean,
    pmin,
    psum,
    vmap,
)
from rxcore.transforms.grad import (
    grad,
    hessian,
    hvp,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    value_and_grad,
    vjp,
)

__all__ = [
    "Array",
    "DTypeError",
    "DeviceError",
    "InternalError",
    "RxError",
    "ShapeDtypeStruct",
    "ShapeError",
    "TraceError",
    "TreeError",
    "UserError",
    "argmax",
    "argmin",
    "argsort",
    "asarray",
    "associative_scan",
    "axis_index",
    "axis_size",
    "bitcast",
    "block_until_ready",
    "broadcast_to",
    "broadcasted_iota",
    "checkpoint",
    "clamp",
    "clear_caches",
    "concatenate",
    "cond",
    "config",
    "conv",
    "convert",
    "csr_matmul",
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "custom_jvp",
    "custom_vjp",
    "debug",
    "default_device",
    "dequantize",
    "device_put",
    "devices",
    "digamma",
    "dot",
    "dot_general",
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice",
    "dynamic_update_slice_in_dim",
    "einsum",
    "erf",
    "erfc",
    "erfinv",
    "eval_shape",
    "exp",
    "expand_dims",
    "explain",
    "fake_quant",
    "fori_loop",
    "gather",
    "grad",
    "hessian",
    "hvp",
    "inspect",
    "integer_pow",
    "iota",
    "is_finite",
    "is_inf",
    "is_nan",
    "jacfwd",
    "jacrev",
    "jit",
    "jvp",
    "lgamma",
    "lif_scan",
    "linear_recurrence",
    "linearize",
    "log",
    "logistic",
    "logsumexp",
    "map",
    "matmul",
    "pad",
    "pmax",
    "pmean",
    "pmin",
    "polygamma",
    "population_count",
    "profile",
    "prune_mask",
    "psum",
    "pure_callback",
    "quantize",
    "reduce_window",
    "reshape",
    "reverse",
    "rigl_step",
    "rsqrt",
    "scan",
    "scatter",
    "select",
    "shift_left",
    "shift_right",
    "sort",
    "split",
    "square",
    "squeeze",
    "stop_gradient",
    "switch",
    "take_along_axis",
    "tanh",
    "tensordot",
    "top_k",
    "transpose",
    "tree",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]

__version__ = "0.1.0"
_LAZY = (
    *("nn", "numpy", "optim", "prune", "quant", "random", "snn", "sparse"),
    "testing",
)
# Methods and properties of arrays: functions of the NumPy face, loaded on first use.
_METHODS = (
    *("all", "any", "argmax", "argmin", "argsort", "astype", "clip", "conj"),
    *("conjugate", "copy", "cumprod", "cumsum", "diagonal", "dot", "flatten", "max"),
    *("mean", "min", "nonzero", "prod", "ravel", "repeat", "reshape", "round"),
    *("searchsorted", "sort", "squeeze", "std", "sum", "swapaxes", "take"),
    *("transpose", "var"),
)
_delegate(_METHODS, "rxcore.numpy.methods", properties=("T", "imag", "mT", "real"))


# Functions that are loaded with what they need when they are first used.
_LATE = {
    "csr_matmul": "rxcore.sparse",
    "dequantize": "rxcore.quant",
    "explain": "rxcore.control.explain",
    "fake_quant": "rxcore.quant",
    "lif_scan": "rxcore.snn",
    "profile": "rxcore.control.profile",
    "prune_mask": "rxcore.prune",
    "quantize": "rxcore.quant",
    "rigl_step": "rxcore.prune",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"rxcore.{name}")
    if name in _LATE:
        found = getattr(importlib.import_module(_LATE[name]), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'rxcore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_LATE})
