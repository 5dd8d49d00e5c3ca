"""Laws of scatters on an OpenCL device: one update after the other, in order."""

import math

import ml_dtypes
import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels.scatter_opencl import PIECE, launch_scatter, launch_spread
from rxcore_kernels.scatter_opencl_text import FEW
from tests.kernels.opencl_devices import DEVICE, SMALL, run

INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *INTS, "float32", "float16", "bfloat16", "complex64")
JOINS = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}


def dtype_of(name):
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def drawn(rng, dtype, shape):
    """Any values of a dtype; floats of few bits, so that most sums are exact."""
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    if dtype.kind == "c":
        return (rng.integers(-9, 9, shape) + 1j * rng.integers(-9, 9, shape)).astype(
            dtype
        )
    return (rng.integers(-64, 64, shape) / 8).astype(dtype)


def serial(x, updates, indices, axes, place, combine, mode):
    """The meaning: one update after the other."""
    out = x.copy()
    kept = [a for a in range(x.ndim) if a not in axes]
    front = np.transpose(out, (*axes, *kept))
    batch = indices[0].ndim
    where = range(place, place + batch)
    rest = [a for a in range(updates.ndim) if a not in where]
    values = np.transpose(updates, (*where, *rest))
    for b in np.ndindex(indices[0].shape):
        at = [int(i[b]) for i in indices]
        sizes = [x.shape[a] for a in axes]
        if mode == "clip":
            at = [min(max(i, 0), n - 1) for i, n in zip(at, sizes, strict=True)]
        if 0 in sizes or any(not 0 <= i < n for i, n in zip(at, sizes, strict=True)):
            continue
        if combine == "set":
            front[tuple(at)] = values[b]
        else:
            with np.errstate(all="ignore"):
                front[tuple(at)] = JOINS[combine](front[tuple(at)], values[b])
    return out


def scatter(facts, x, updates, indices, axes, place, combine, mode, unique=False):
    out = np.full(x.size + 8, 1, x.dtype)
    plan = launch_scatter(
        facts,
        x.dtype.name,
        x.shape,
        [i.dtype.name for i in indices],
        indices[0].shape,
        axes=axes,
        place=place,
        combine=combine,
        mode=mode,
        unique=unique,
    )
    run(facts, plan, [x, updates, *indices], [out])
    assert (out[x.size :] == np.ones(1, x.dtype)).all()
    return out[: x.size].reshape(x.shape)


def kernelled(dtype, combine):
    """Whether a dtype has a kernel for a way to join."""
    if dtype == "complex64":
        return combine in ("set", "add")
    return dtype not in ("float16", "bfloat16") or combine not in ("add", "mul")


@st.composite
def cases(draw):
    shape = draw(st.lists(st.integers(0, 6), min_size=1, max_size=4))
    axes = draw(st.permutations(range(len(shape))))
    axes = axes[: draw(st.integers(1, len(shape)))]
    place = draw(st.integers(0, len(shape) - len(axes)))
    batch = draw(st.sampled_from([(), (1,), (5,), (0,), (3, 4), (40,), (FEW,)]))
    if draw(st.integers(0, 3)) == 0:
        batch = draw(st.sampled_from([(FEW + 1,), (31, 33), (2000,)]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    dtype = draw(st.sampled_from(DTYPES))
    combine = draw(st.sampled_from(["set", *JOINS]))
    if not kernelled(dtype, combine):
        combine = "set"
    kinds = [draw(st.sampled_from(INTS)) for _ in axes]
    indices = []
    for kind, axis in zip(kinds, axes, strict=True):
        found = rng.integers(-1, shape[axis] + 2, batch)
        if kind[0] == "u":
            found = np.where(found < 0, np.iinfo(kind).max, found)
        indices.append(np.asarray(found).astype(kind))
    kept = [shape[a] for a in range(len(shape)) if a not in axes]
    x = drawn(rng, dtype_of(dtype), tuple(shape))
    updates = drawn(rng, x.dtype, (*kept[:place], *batch, *kept[place:]))
    mode = draw(st.sampled_from(["drop", "clip"]))
    return x, updates, indices, tuple(axes), place, combine, mode


@settings(deadline=None, max_examples=80)
@given(case=cases())
def test_updates_follow_each_other(case):
    got, want = scatter(SMALL, *case), serial(*case)
    if case[5] == "mul" and got.dtype.kind == "f":
        finite = np.isfinite(want) & (np.abs(want) > 1e-30)
        assert np.allclose(got[finite], want[finite], rtol=1e-4)
    else:
        assert np.array_equal(got, want)


@pytest.mark.parametrize("combine", JOINS)
@pytest.mark.parametrize("dtype", ["int32", "float32", "bool", "int16"])
@pytest.mark.parametrize("places", [1, 3, 700])
def test_many_updates_of_one_place(combine, dtype, places):
    rng = np.random.default_rng(places)
    count = PIECE**2 * 3 + 5
    x = drawn(rng, dtype_of(dtype), (700, 3))
    updates = drawn(rng, x.dtype, (count, 3))
    if combine == "mul" and dtype == "float32":
        updates = np.sign(updates + np.float32(1 / 16))
    where = [rng.integers(0, places, count).astype(np.int32)]
    got = scatter(SMALL, x, updates, where, (0,), 0, combine, "drop")
    assert np.array_equal(got, serial(x, updates, where, (0,), 0, combine, "drop"))


def test_float_sums_are_close_and_the_same_in_every_run():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 4)).astype(np.float32)
    updates = rng.standard_normal((20_000, 4)).astype(np.float32)
    where = [rng.integers(0, 50, 20_000)]
    got = scatter(SMALL, x, updates, where, (0,), 0, "add", "drop")
    want = x.astype(np.float64)
    np.add.at(want, where[0], updates)
    assert np.allclose(got, want, atol=1e-3)
    again = scatter(SMALL, x, updates, where, (0,), 0, "add", "drop")
    assert np.array_equal(got, again)


@pytest.mark.parametrize("count", [3, FEW + 1, 5000])
def test_nan_stays_and_minus_zero_is_added(count):
    x = np.array([-0.0, -0.0, 1.0, np.nan, 2.0], np.float32)
    updates = np.full(count, -0.0, np.float32)
    updates[1] = np.nan
    where = [np.zeros(count, np.int32)]
    where[0][1] = 2
    for combine in ("add", "min", "max"):
        got = scatter(SMALL, x, updates, where, (0,), 0, combine, "drop")
        assert np.signbit(got[:2]).all()
        assert np.isnan(got[2:4]).all()
        assert got[4] == 2


@pytest.mark.parametrize("combine", ["set", *JOINS])
def test_as_large_as_the_device(combine):
    rng = np.random.default_rng(1)
    dtype = np.dtype("float64" if DEVICE.facts.fp64 else "float32")
    x = drawn(rng, dtype, (40, 2))
    updates = np.sign(drawn(rng, dtype, (3000, 2)) + dtype.type(1 / 16))
    case = (x, updates, [rng.integers(0, 40, 3000)], (0,), 0, combine, "clip")
    assert np.array_equal(scatter(DEVICE.facts, *case), serial(*case))


@pytest.mark.parametrize("combine", ["set", "add"])
@pytest.mark.parametrize("count", [200, 5000])
def test_unique_places_take_one_launch(combine, count):
    rng = np.random.default_rng(count)
    x = drawn(rng, np.dtype("int32"), (6000, 2))
    updates = drawn(rng, x.dtype, (2, count))
    where = [rng.permutation(6000)[:count].astype(np.int64)]
    case = (x, updates, where, (0,), 1, combine, "drop")
    assert np.array_equal(scatter(SMALL, *case, unique=True), serial(*case))


@settings(deadline=None, max_examples=25)
@given(case=cases())
def test_spread_adds_to_zeros(case):
    x, updates, indices, axes, place, _, mode = case
    if not kernelled(x.dtype.name, "add"):
        assert launch_spread(
            SMALL, x.dtype.name, x.shape, [i.dtype.name for i in indices],
            indices[0].shape, axes=axes, place=place, mode=mode,
        ) is None  # fmt: skip
        return
    out = np.full(x.size, 7, x.dtype)
    plan = launch_spread(
        SMALL,
        x.dtype.name,
        x.shape,
        [i.dtype.name for i in indices],
        indices[0].shape,
        axes=axes,
        place=place,
        mode=mode,
    )
    run(SMALL, plan, [updates, *indices], [out])
    want = serial(np.zeros_like(x), updates, indices, axes, place, "add", mode)
    assert np.array_equal(out.reshape(x.shape), want)


def test_text_depends_on_no_size():
    def sources(n, count):
        plan = launch_scatter(
            SMALL, "float32", (n, 7), ["int32"], (count,),
            axes=(0,), place=0, combine="add", mode="drop",
        )  # fmt: skip
        return {each.source.text for each in plan.launches}

    assert sources(9, 10) == sources(90, 200)
    assert sources(9, 3000) == sources(900, 60_000)


def test_no_plan_beyond_the_device():
    def plan(facts, dtype, combine, n=100, count=1000):
        return launch_scatter(
            facts, dtype, (n,), ["int32"], (count,),
            axes=(0,), place=0, combine=combine, mode="drop",
        )  # fmt: skip

    assert plan(SMALL, "float64", "add") is None
    assert plan(SMALL, "float64", "set") is not None
    assert plan(SMALL, "complex64", "mul") is None
    assert plan(SMALL, "float16", "add") is None
    assert plan(SMALL, "float32", "add", n=1 << 27) is None
    assert plan(evolve(SMALL, max_alloc=2000), "int8", "add") is None
    assert math.isclose(
        sum(e.flops for e in plan(SMALL, "int32", "add", count=20).launches), 400
    )
