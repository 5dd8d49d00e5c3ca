"""Laws of random bits on an OpenCL device: the published blocks, the CPU's streams."""

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore.ir.primitive import REGISTRY
from rxcore_kernels.threefry_opencl import launch_random_bits, launch_threefry
from tests.kernels.opencl_devices import SMALL, run

WIDTHS = (8, 16, 32, 64)
words = st.integers(0, 2**32 - 1)


def hashed(facts, operands, width):
    size = max(o.size for o in operands)
    single = [o.ndim == 0 for o in operands]
    out = np.zeros(size, f"u{width // 8}")
    run(facts, launch_threefry(facts, size, single, width), operands, [out])
    return out


@pytest.mark.parametrize(
    ("key", "counter", "block"),
    [
        ((0, 0), (0, 0), 0x6B20015999BA4EFE),
        ((2**32 - 1,) * 2, (2**32 - 1,) * 2, 0x1CB996FCBB002BE7),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), 0xC4923A9C483DF7A0),
    ],
)
def test_published_blocks(key, counter, block):
    operands = [np.array(w, np.uint32) for w in (*key, *counter)]
    assert hashed(SMALL, operands, 64).tolist() == [block]


@settings(deadline=None, max_examples=30)
@given(
    size=st.integers(1, 200),
    single=st.lists(st.booleans(), min_size=4, max_size=4),
    width=st.sampled_from(WIDTHS),
    seed=st.integers(0, 99),
)
def test_equals_the_reference(size, single, width, seed):
    rng = np.random.default_rng(seed)
    operands = [
        rng.integers(0, 1 << 32, () if one else size, dtype=np.uint32)
        if not one
        else np.array(rng.integers(0, 1 << 32), np.uint32)
        for one in single
    ]
    want = REGISTRY["threefry2x32"].reference(*operands, width=width)
    assert np.array_equal(hashed(SMALL, operands, width), np.ravel(want))


@settings(deadline=None, max_examples=20)
@given(
    keys=st.lists(st.tuples(words, words), min_size=1, max_size=4),
    size=st.integers(0, 300),
    width=st.sampled_from(WIDTHS),
)
def test_streams_count_elements(keys, size, width):
    keys = np.array(keys, np.uint32)
    out = np.zeros((len(keys), size), f"u{width // 8}")
    run(SMALL, launch_random_bits(SMALL, len(keys), size, width), [keys], [out])
    counter = np.arange(size, dtype=np.uint32)
    want = REGISTRY["threefry2x32"].reference(
        keys[:, :1], keys[:, 1:], np.uint32(0), counter, width=width
    )
    assert np.array_equal(out, want)


def test_limits_and_costs():
    assert launch_random_bits(evolve(SMALL, max_alloc=99), 1, 25) is None
    plan = launch_random_bits(SMALL, 2, 1000, 16)
    assert plan.launches[0].nbytes == 2 * 1000 * 2 + 16
    for launch in (launch_random_bits, launch_threefry):
        with pytest.raises(ValueError, match="width 12 is not one of"):
            launch(SMALL, 1, (True,) * 4 if launch is launch_threefry else 1, 12)
