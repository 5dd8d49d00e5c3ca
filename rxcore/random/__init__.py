"""Random numbers by explicit keys: threefry2x32, bit for bit as JAX draws them.

A key is a uint32 array of shape (2,). A function draws the same numbers for the same
key; `split` and `fold_in` make new keys.
"""

from __future__ import annotations

from rxcore.random.distributions import (
    bernoulli,
    categorical,
    exponential,
    gumbel,
    laplace,
    logistic,
    normal,
    truncated_normal,
    uniform,
)
from rxcore.random.keys import bits, fold_in, key, key_data, split, wrap_key_data
from rxcore.random.selection import choice, permutation, rademacher, randint

# The name by which JAX's raw keys are made.
PRNGKey = key

__all__ = [
    "PRNGKey",
    "bernoulli",
    "bits",
    "categorical",
    "choice",
    "exponential",
    "fold_in",
    "gumbel",
    "key",
    "key_data",
    "laplace",
    "logistic",
    "normal",
    "permutation",
    "rademacher",
    "randint",
    "split",
    "truncated_normal",
    "uniform",
    "wrap_key_data",
]
