"""Laws of integer products: NumPy's int32 sums, on every path that this host has."""

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels.host import Features
from rxcore_kernels.integer_matmul import (
    A_DTYPES,
    B_DTYPES,
    available_paths,
    plan_integer_matmul,
)
from rxcore_kernels.plan import run_plan

AVX2 = Features("haswell", frozenset({"avx", "avx2", "fma"}))
PLAIN = Features("plain", frozenset())
SIZES = st.one_of(st.integers(0, 20), st.sampled_from([31, 32, 33, 48, 65, 97, 130]))
DEPTHS = st.one_of(st.integers(0, 9), st.sampled_from([16, 31, 64, 100, 257, 300]))

every_path = pytest.mark.parametrize("path", available_paths())


def draw(rng, dtype, shape):
    """Bytes of which many are extreme."""
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max + 1, shape).astype(dtype)
    extreme = rng.choice(np.array([info.min, info.max], dtype), shape)
    return np.where(rng.random(shape) < 0.4, extreme, x)


def unpack(b, k, b_dtype):
    """The elements of B, by their definition."""
    if b_dtype == "int8":
        return b.astype(np.int32)
    codes = b.view(np.uint8).astype(np.int32)
    full = np.empty((b.shape[0], 2 * b.shape[1], b.shape[2]), np.int32)
    full[:, ::2], full[:, 1::2] = codes % 16, codes // 16
    full = full[:, :k]
    return np.where(full >= 8, full - 16, full) if b_dtype == "int4" else full


def matrices(seed, a_dtype, b_dtype, batch, m, n, k, *, shared=False):
    """Two stacks of matrices."""
    rng = np.random.default_rng(seed)
    rows = k if b_dtype == "int8" else -(-k // 2)
    a = draw(rng, a_dtype, (batch, m, k))
    return a, draw(rng, "int8", (1 if shared else batch, rows, n))


def multiply(a, b, b_dtype, *, chunk=None, backwards=False, **options):
    """Run a plan; what stands behind C must not change."""
    (batch, m, k), n = a.shape, b.shape[2]
    full = np.full(batch * m * n + 64, 7, np.int32)
    plan = plan_integer_matmul(a.dtype.name, b_dtype, batch, m, n, k, **options)
    if chunk is not None:
        steps = tuple(evolve(step, chunk=chunk) for step in plan.steps)
        plan = evolve(plan, steps=steps)
    run_plan(plan, [a, b], [full], backwards=backwards)
    assert (full[batch * m * n :] == 7).all()
    return full[: batch * m * n].reshape(batch, m, n), plan


def product(a, b, b_dtype):
    """NumPy's product in int32."""
    return np.matmul(a.astype(np.int32), unpack(b, a.shape[2], b_dtype))


@every_path
@settings(max_examples=100)
@given(
    a_dtype=st.sampled_from(A_DTYPES),
    b_dtype=st.sampled_from(B_DTYPES),
    batch=st.integers(1, 3),
    shared=st.booleans(),
    m=SIZES,
    n=SIZES,
    k=DEPTHS,
    seed=st.integers(0, 99),
)
def test_equals_numpys_sums(path, a_dtype, b_dtype, batch, shared, m, n, k, seed):
    a, b = matrices(seed, a_dtype, b_dtype, batch, m, n, k, shared=shared)
    c, plan = multiply(a, b, b_dtype, path=path, shared=shared)
    assert np.array_equal(c, product(a, b, b_dtype))
    if plan.by_rows and plan.steps:
        assert (plan.steps[-1].lo, plan.steps[-1].hi) == (0, batch * m)


@pytest.mark.parametrize("host", [AVX2, PLAIN], ids=["avx2", "generic"])
@settings(max_examples=10)
@given(
    a_dtype=st.sampled_from(A_DTYPES),
    b_dtype=st.sampled_from(B_DTYPES),
    m=SIZES,
    n=SIZES,
    k=DEPTHS,
)
def test_other_processors_agree(host, a_dtype, b_dtype, m, n, k):
    a, b = matrices(5, a_dtype, b_dtype, 2, m, n, k)
    c, _ = multiply(a, b, b_dtype, features=host)
    assert np.array_equal(c, product(a, b, b_dtype))


@every_path
@settings(max_examples=40)
@given(
    a_dtype=st.sampled_from(A_DTYPES),
    b_dtype=st.sampled_from(B_DTYPES),
    batch=st.integers(1, 2),
    m=st.sampled_from([1, 5, 50, 130]),
    n=st.sampled_from([1, 33, 300]),
    k=st.sampled_from([1, 66, 300]),
    chunk=st.integers(1, 40),
)
def test_pieces_do_not_matter(path, a_dtype, b_dtype, batch, m, n, k, chunk):
    a, b = matrices(1, a_dtype, b_dtype, batch, m, n, k)
    c, _ = multiply(a, b, b_dtype, path=path, chunk=chunk, backwards=True)
    assert np.array_equal(c, product(a, b, b_dtype))


@every_path
@pytest.mark.parametrize("b_dtype", B_DTYPES)
@pytest.mark.parametrize("a_dtype", A_DTYPES)
@pytest.mark.parametrize(
    "sizes",
    [
        *((300, 90, 310), (1, 700, 900), (5, 900, 901), (33, 70, 5003), (900, 1, 900)),
        *((3, 2500, 130), (40, 1300, 700), (130, 40, 2500)),
    ],
    ids=str,
)
def test_large_shapes(path, a_dtype, b_dtype, sizes):
    a, b = matrices(2, a_dtype, b_dtype, 1, *sizes)
    c, _ = multiply(a, b, b_dtype, path=path, backwards=True)
    assert np.array_equal(c, product(a, b, b_dtype))


@every_path
@pytest.mark.parametrize(("left", "right"), [(255, -128), (255, 127), (-128, -128)])
def test_extremes_never_saturate(path, left, right):
    dtype = np.uint8 if left > 127 else np.int8
    a, b = np.full((1, 20, 4099), left, dtype), np.full((1, 4099, 40), right, np.int8)
    c, _ = multiply(a, b, "int8", path=path)
    assert (c == 4099 * left * right).all()


@every_path
@pytest.mark.parametrize("m", [2, 20, 140])
def test_sums_past_32_bits_wrap_around(path, m):
    a, b = np.full((1, m, 70_001), 255, np.uint8), np.full((1, 70_001, 3), 127, np.int8)
    c, _ = multiply(a, b, "int8", path=path)
    assert (c == 70_001 * 255 * 127 - 2**32).all()


@every_path
def test_a_new_size_needs_no_new_text(path):
    keys = set()
    for m in (64, 100, 256):
        plan = plan_integer_matmul("int8", "int8", 1, m, 64, 80, path=path)
        keys |= {step.source.key for step in plan.steps}
    assert len(keys) <= 4


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="got float32 and int8"):
        plan_integer_matmul("float32", "int8", 1, 2, 2, 2)
    with pytest.raises(ValueError, match="expected sizes >= 0, got batch=1 m=-2"):
        plan_integer_matmul("uint8", "int8", 1, -2, 2, 2)
    with pytest.raises(ValueError, match="a path of this processor, generic, avx2; g"):
        plan_integer_matmul("uint8", "int8", 1, 2, 2, 2, path="amx", features=AVX2)
