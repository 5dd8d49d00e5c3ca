"""The libraries that are compared, and what rxcore and JAX call differently."""

import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

from attrs import frozen

from benchmarks.environment import THREADS

OURS = "rxcore"
PEERS = ("jax", "numpy", "torch")
# Peers of a few rows, and other programs of our own to compare with.
SPECIAL = ("scipy", "onnxruntime", "snntorch")
OWN = ("own cold", "own float32", "own dense", "own lif_scan")


@cache
def present() -> tuple[str, ...]:
    """Name the libraries that are installed; an absent peer is an empty column."""
    libraries = (OURS, *PEERS, *SPECIAL)
    found = (name for name in libraries if importlib.util.find_spec(name) is not None)
    return (*found, *OWN)


@cache
def load(name: str) -> ModuleType:
    """Import a library when a row first needs it."""
    module = importlib.import_module(name)
    if name == "torch":
        module.set_num_threads(THREADS)
    return module


@frozen
class Dialect:
    """One program serves rxcore and JAX through this record.

    Args:
        root: The package itself (`jit`, `grad`, `random`, ...).
        np: Its NumPy face.
        lax: Where `scan` and `top_k` live.
        logsumexp: The function of that name.
        gelu: The tanh approximation of gelu.
        conv_same: Convolution of (batch, channel, ...) with (out, in, ...), SAME.
    """

    root: Any
    np: Any
    lax: Any
    logsumexp: Callable[..., Any]
    gelu: Callable[[Any], Any]
    conv_same: Callable[[Any, Any], Any]


@cache
def dialect(name: str) -> Dialect:
    """Make the record for rxcore or JAX.

    rxcore's functions are looked up when called: one that is missing fails its own row.
    """
    root = load(name)
    np = importlib.import_module(f"{name}.numpy")
    if name == OURS:
        return Dialect(
            root=root,
            np=np,
            lax=root,
            logsumexp=lambda x, axis: root.logsumexp(x, axis=axis),
            gelu=lambda x: 0.5 * x * (1 + np.tanh(GELU * (x + 0.044715 * x * x * x))),
            conv_same=lambda x, w: root.conv(x, w, padding="SAME"),
        )
    return Dialect(
        root=root,
        np=np,
        lax=root.lax,
        logsumexp=lambda x, axis: root.nn.logsumexp(x, axis=axis),
        gelu=lambda x: root.nn.gelu(x, approximate=True),
        conv_same=lambda x, w: root.lax.conv_general_dilated(x, w, (1, 1), "SAME"),
    )


GELU = 0.7978845608028654  # sqrt(2 / pi)
