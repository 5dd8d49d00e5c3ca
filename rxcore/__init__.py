"""rxcore: pure functions over immutable arrays, compiled for the machine at hand.

Everything travels one straight line: `capture` (trace) a Python function into a
Graph, `optimize` it, `lower` groups of equations to loop Nests, `schedule` those for
a target, `emit` text, `build` kernels, `choose` where to run, `launch`. `rx.inspect`
stops after any step and prints what is there.
"""

from __future__ import annotations

import importlib
from typing import Any

from rxcore import ops as _ops

from rxcore.base.config import config
from rxcore.control.jit import inspect, jit
from rxcore.ir.operators import delegate as _delegate
from rxcore.ops.convert import bitcast, convert
from rxcore.ops.einsum import einsum
from rxcore.ops.logsumexp import logsumexp
from rxcore.ops.shape import broadcast_to, reshape, transpose
from rxcore.ops.special import digamma, erf, erfc, erfinv, lgamma
from rxcore.ops.stop import stop_gradient
from rxcore.runtime.array import Array, asarray
from rxcore.runtime.caches import block_until_ready, clear_caches
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

__version__ = "0.1.0"
_LAZY = ("nn", "numpy", "optim", "random", "testing")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"rxcore.{name}")
    raise AttributeError(f"module 'rxcore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
