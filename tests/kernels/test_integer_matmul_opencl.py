"""Laws of integer products on an OpenCL device: NumPy's int32 sums, bit for bit."""

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels.integer_matmul import A_DTYPES, B_DTYPES
from rxcore_kernels.integer_matmul_opencl import launch_integer_matmul
from tests.kernels.opencl_devices import DEVICE, FACTS, SMALL, run
from tests.kernels.test_integer_matmul import DEPTHS, SIZES, matrices, product


def multiply(facts, a, b, b_dtype, *, shared=False):
    (batch, m, k), n = a.shape, b.shape[2]
    full = np.full(batch * m * n + 64, 7, np.int32)
    sizes = (batch, m, n, k)
    plan = launch_integer_matmul(facts, a.dtype.name, b_dtype, *sizes, shared=shared)
    b = b.view(np.uint8) if b_dtype != "int8" else b
    run(facts, plan, [a, b], [full])
    assert (full[batch * m * n :] == 7).all()
    return full[: batch * m * n].reshape(batch, m, n)


@settings(max_examples=60)
@given(
    facts=st.sampled_from(FACTS),
    a_dtype=st.sampled_from(A_DTYPES),
    b_dtype=st.sampled_from(B_DTYPES),
    batch=st.integers(1, 3),
    shared=st.booleans(),
    m=SIZES,
    n=SIZES,
    k=DEPTHS,
    seed=st.integers(0, 99),
)
def test_equals_numpys_sums(facts, a_dtype, b_dtype, batch, shared, m, n, k, seed):
    a, b = matrices(seed, a_dtype, b_dtype, batch, m, n, k, shared=shared)
    c = multiply(facts, a, b, b_dtype, shared=shared)
    assert np.array_equal(c, product(a, b, b_dtype))


@pytest.mark.parametrize("facts", FACTS, ids=["whole", "small"])
@pytest.mark.parametrize(("left", "right"), [(255, -128), (255, 127), (-128, -128)])
def test_extremes_never_saturate(facts, left, right):
    dtype = np.uint8 if left > 127 else np.int8
    a, b = np.full((1, 20, 4099), left, dtype), np.full((1, 4099, 40), right, np.int8)
    assert (multiply(facts, a, b, "int8") == 4099 * left * right).all()


def test_equal_kernels_for_all_sizes():
    plans = [
        launch_integer_matmul(SMALL, "uint8", "int8", 1, m, n, 70)
        for m, n in ((100, 40), (200, 33), (64, 1))
    ]
    assert len({plan.launches[0].source.key for plan in plans}) == 1


def test_no_plan_beyond_the_device():
    tiny = evolve(DEVICE.facts, max_alloc=4000)
    assert launch_integer_matmul(tiny, "int8", "int8", 1, 100, 100, 1) is None
    narrow = evolve(DEVICE.facts, max_group=32)
    assert launch_integer_matmul(narrow, "int8", "int8", 1, 10, 10, 1) is None
    with pytest.raises(TypeError, match="got float32 and int8"):
        launch_integer_matmul(SMALL, "float32", "int8", 1, 1, 1, 1)
