"""Specs and arrays that laws of quantization are tried on."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from rxcore.quant import PROFILES, QuantSpec

PROFILE_NAMES = sorted(PROFILES)


@st.composite
def specs(draw: Any, ndim: int = 2, blocks: bool = True) -> QuantSpec:
    """Draw a spec for arrays of a rank."""
    symmetric = draw(st.booleans())
    spec = QuantSpec(
        bits=draw(st.integers(2, 8)),
        signed=draw(st.booleans()),
        symmetric=symmetric,
        profile=draw(st.sampled_from(PROFILE_NAMES)),
        zero_point="int" if symmetric else draw(st.sampled_from(["int", "float"])),
    )
    kind = draw(st.sampled_from(["tensor", "channel", "block"][: 2 + blocks]))
    if kind == "channel":
        return spec.with_(axis=draw(st.integers(-ndim, ndim - 1)))
    if kind == "block":
        sizes = st.sampled_from([-1, 1, 2, 3, 5, 8])
        return spec.with_(block_size=tuple(draw(sizes) for _ in range(ndim)))
    return spec


def numbers(seed: int, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    """Normal numbers with ties, zeros and a shift."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * rng.choice([0.01, 1, 30]) + rng.choice([0, 2])
    flat = x.reshape(-1)
    flat[::7] = np.rint(flat[::7] * 2) / 2
    flat[::11] = 0
    return x.astype(dtype)


def shapes(ndim: int = 2) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw shapes without an empty axis."""
    return st.tuples(*[st.integers(1, 13)] * ndim)
