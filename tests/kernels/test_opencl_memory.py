"""Bytes on a device: counted, given back, refused in time, and copied exactly."""

import gc
import threading

import attrs
import ml_dtypes
import numpy as np
import pyopencl as cl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxcore_kernels import opencl
from rxcore_kernels.opencl import DeviceFault, inject
from rxcore_kernels.opencl_fault import fault_of
from rxcore_kernels.opencl_memory import DeviceMemory, budget
from tests.kernels.opencl_kernels import affine, fresh_device, groups, run_affine

MEBIBYTE = 1 << 20
DTYPES = (np.int8, np.bool_, np.float16, ml_dtypes.bfloat16, np.float64, np.complex64)


@pytest.fixture(scope="module")
def device():
    made = fresh_device()
    made.open()
    return made


def small(device, limit_bytes):
    """The same device with a pool and a budget of its own."""
    memory = DeviceMemory(device.queue, device.name, limit_bytes)
    return attrs.evolve(device, memory=memory)


# ------------------------------------------------------------------ budget


@given(
    sizes=st.lists(st.integers(0, 3 * MEBIBYTE), max_size=30),
    dropped=st.lists(st.integers(0, 29), max_size=30),
)
@settings(max_examples=40)
def test_what_is_alive_is_counted_and_never_above_the_budget(device, sizes, dropped):
    limit = 16 * MEBIBYTE
    own = small(device, limit)
    alive, freed = [], iter(dropped)
    for size in sizes:
        try:
            alive.append(own.allocate(size))
        except DeviceFault:
            # Blocks are longer than what was asked for, by a sixteenth at most.
            wanted = sum(b.nbytes for b in alive) + size
            assert wanted * 17 / 16 + 64 * (len(alive) + 1) > limit
        found = own.memory.statistics()
        assert sum(b.nbytes for b in alive) <= found.in_use_bytes <= limit
        assert found.in_use_bytes + found.held_bytes <= limit
        assert found.in_use_bytes <= found.peak_bytes <= limit
        at = next(freed, None)
        if at is not None and at < len(alive):
            del alive[at]
    alive.clear()
    found = own.memory.statistics()
    assert found.in_use_bytes == 0
    assert own.memory._pool.managed_bytes == found.held_bytes
    own.memory.trim()
    assert own.memory._pool.managed_bytes == own.memory.statistics().held_bytes == 0


def test_a_freed_block_is_used_again(device):
    own = small(device, 16 * MEBIBYTE)
    first = own.allocate(MEBIBYTE)
    pointer = first.handle.int_ptr
    del first
    assert own.allocate(MEBIBYTE + 100).handle.int_ptr == pointer


def test_one_buffer_is_bounded_by_the_largest_allocation(device):
    facts = attrs.evolve(device.facts, max_alloc=MEBIBYTE)
    own = attrs.evolve(small(device, 16 * MEBIBYTE), facts=facts)
    whole = own.allocate(MEBIBYTE)
    assert whole.nbytes == MEBIBYTE
    with pytest.raises(DeviceFault, match="one buffer may have 1048576") as caught:
        own.allocate(MEBIBYTE + 1)
    assert caught.value.kind == "memory"
    # Larger than any block of the pool's that fits: not pooled, and counted alike.
    odd = own.allocate(MEBIBYTE - 16)
    assert own.memory.statistics().in_use_bytes >= 2 * MEBIBYTE - 16
    del whole, odd
    assert own.memory.statistics().in_use_bytes == 0


def test_blocks_that_are_kept_make_way(device):
    own = small(device, 10 * MEBIBYTE)
    for size in (6, 7, 8, 9):  # each in a bin of its own: none can serve the next
        own.allocate(size * MEBIBYTE)
    assert own.memory.statistics().in_use_bytes == 0


def test_buffers_in_cycles_are_collected_before_memory_is_called_out(device):
    own = small(device, 8 * MEBIBYTE)
    gc.collect()
    gc.disable()
    try:
        cycle = [own.allocate(6 * MEBIBYTE)]
        cycle.append(cycle)
        del cycle
        assert own.allocate(6 * MEBIBYTE).nbytes == 6 * MEBIBYTE
    finally:
        gc.enable()
    kept = own.allocate(6 * MEBIBYTE)
    with pytest.raises(DeviceFault, match="of 8388608 are in use") as caught:
        own.allocate(6 * MEBIBYTE)
    assert caught.value.kind == "memory"
    assert kept.nbytes == 6 * MEBIBYTE


def test_a_driver_that_is_full_for_a_moment_is_asked_again(device, monkeypatch):
    own = small(device, 64 * MEBIBYTE)

    class FullError(cl.Error):
        code = -4

    class FullPool:
        """A pool whose driver has no room while anything is kept."""

        def __init__(self, pool):
            self.pool, self.freed = pool, 0

        def __getattr__(self, name):
            return getattr(self.pool, name)

        def free_held(self):
            self.freed += 1
            self.pool.free_held()

        def allocate(self, size):
            if not self.freed:
                raise FullError("clCreateBuffer failed")
            return self.pool.allocate(size)

    pool = FullPool(own.memory._pool)
    monkeypatch.setattr(own.memory, "_pool", pool)
    assert own.allocate(100).nbytes == 100
    assert pool.freed


def test_a_budget_leaves_room_for_others():
    facts = opencl.devices()[0].facts
    card = attrs.evolve(facts, unified_memory=False, global_bytes=1 << 33)
    assert budget(card) == int(0.8 * (1 << 33))
    assert budget(attrs.evolve(card, unified_memory=True)) < budget(card)


def test_threads_allocate_and_drop(device):
    own = small(device, 64 * MEBIBYTE)
    errors = []

    def work(seed):
        random = np.random.default_rng(seed)
        alive = []
        try:
            for _ in range(300):
                alive.append(own.allocate(int(random.integers(1, 100_000))))
                if len(alive) > 20:
                    alive.pop(int(random.integers(0, 20)))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    found = own.memory.statistics()
    assert (found.in_use_bytes, found.allocations) == (0, 1200)


# ------------------------------------------------------------------ transfers


@given(data=st.data(), dtype=st.sampled_from(DTYPES), n=st.integers(0, 300))
@settings(max_examples=60)
def test_bytes_arrive_as_they_were(device, data, dtype, n):
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    size = np.dtype(dtype).itemsize
    x = random.integers(0, 2, n * size, dtype=np.uint8).view(dtype)
    buffer = device.upload(x)
    found = np.zeros_like(x)
    device.download(buffer, found)
    assert found.tobytes() == x.tobytes()
    # A part of it, through a copy to another place and a write over the middle.
    lo, hi = sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))
    to = data.draw(st.integers(0, 50))
    other = device.allocate(to + n * size)
    device.fill_zeros(other)
    device.copy(buffer, lo * size, other, to, (hi - lo) * size)
    expected = np.zeros(to + n * size, np.uint8)
    expected[to : to + (hi - lo) * size] = x[lo:hi].view(np.uint8)
    at = data.draw(st.integers(0, len(expected)))
    piece = random.integers(0, 255, (len(expected) - at) // 2, dtype=np.uint8)
    device.write(other, at, piece)
    expected[at : at + len(piece)] = piece
    begin = data.draw(st.integers(0, len(expected)))
    count = data.draw(st.integers(0, len(expected) - begin))
    device.fill_zeros(other, begin, count)
    expected[begin : begin + count] = 0
    found = np.ones_like(expected)
    device.download(other, found)
    np.testing.assert_array_equal(found, expected)
    part = np.ones(len(expected) - at, np.uint8)
    device.download(other, part, at)
    np.testing.assert_array_equal(part, expected[at:])


def test_scalars_and_strided_arrays_are_sent_as_they_look(device):
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    for host in (np.array(2.5), x.T, x[::2, ::3], np.asfortranarray(x)):
        found = np.zeros(host.shape, host.dtype)
        device.download(device.upload(host), found)
        np.testing.assert_array_equal(found, host)
    with pytest.raises(ValueError, match="contiguous"):
        device.download(device.upload(x), np.zeros((6, 4), np.float32).T)


def test_an_array_lives_until_it_was_sent(device):
    sent = [np.full(1000, k) for k in range(50)]
    buffers = [device.upload(host.copy()) for host in sent]
    for host, buffer in zip(sent, buffers, strict=True):
        found = np.zeros_like(host)
        device.download(buffer, found)
        np.testing.assert_array_equal(found, host)
    device.finish()
    assert not device._uploads


@pytest.mark.parametrize(("at", "count"), [(-1, 1), (0, 9), (8, 1), (9, 0), (0, -1)])
def test_nothing_outside_of_a_buffer_is_touched(device, at, count):
    buffer, other = device.allocate(8), device.allocate(100)
    message = "not all inside a buffer of"
    with pytest.raises(ValueError, match=message):
        device.fill_zeros(buffer, at, count)
    with pytest.raises(ValueError, match=message):
        device.copy(buffer, at, other, 0, count)
    with pytest.raises(ValueError, match=message):
        device.copy(other, 0, buffer, at, count)
    if count >= 0:
        host = np.zeros(count, np.uint8)
        with pytest.raises(ValueError, match=message):
            device.write(buffer, at, host)
        with pytest.raises(ValueError, match=message):
            device.download(buffer, host, at)


# ------------------------------------------------------------------ faults


@pytest.mark.parametrize(
    ("code", "kind"),
    [(-4, "memory"), (-5, "memory"), (-6, "memory"), (-61, "memory")]
    + [(code, "build") for code in (-11, -15, -43, -46)]
    + [(code, "lost") for code in (-36, -34, -14, -9999)]
    + [(-54, "limit"), (-30, "other"), (-12345, "other"), (None, "other")],
)
def test_errors_are_told_apart_by_code(code, kind):
    error = RuntimeError("clDo failed: WHY\nmore")
    if code is not None:
        error.code = code
    fault = fault_of(error, "doing it")
    assert (fault.kind, str(fault)) == (kind, "doing it: clDo failed: WHY")


def test_the_drivers_own_errors_come_out_as_faults(device):
    buffer = device.allocate(64)
    kernel = device.build(affine())
    with pytest.raises(DeviceFault, match="launch of affine") as caught:
        device.launch(
            attrs.evolve(kernel, source=affine(group=(32, 1, 1))),
            [(buffer, 0), (buffer, 0)],
            (0, 0),
            (1, 1, 1),
        )
    assert caught.value.kind == "limit"
    run_affine(device)


@pytest.mark.parametrize(
    ("kind", "point", "operation"),
    [
        ("memory", None, lambda d: d.allocate(8)),
        ("build", None, lambda d: d.build(affine())),
        ("limit", None, lambda d: d.build(affine())),
        ("lost", None, lambda d: d.launch(d.build(affine(2)), *nothing(d))),
        ("other", None, lambda d: d.launch(d.build(affine(2)), *nothing(d))),
        ("memory", "launch", lambda d: d.launch(d.build(affine(2)), *nothing(d))),
        ("lost", "transfer", lambda d: d.download(d.allocate(8), np.zeros(1))),
        ("lost", "transfer", lambda d: d.upload(np.zeros(1))),
        ("lost", "transfer", lambda d: d.fill_zeros(d.allocate(8))),
    ],
)
@pytest.mark.parametrize(("after", "times"), [(0, 1), (2, 1), (1, 2), (1, None)])
def test_faults_come_when_they_are_asked_for(
    device, kind, point, operation, after, times
):
    last = 6 if times is None else after + times
    with inject(kind, after=after, times=times, at=point) as faults:
        for k in range(6):
            if after <= k < last:
                with pytest.raises(DeviceFault) as caught:
                    operation(device)
                assert caught.value.kind == kind
            else:
                operation(device)
    assert faults.fired == last - after
    operation(device)
    run_affine(device)
    assert device in opencl.devices()


def nothing(device):
    """The arguments of a launch over no elements."""
    buffer = device.allocate(64)
    return [(buffer, 0), (buffer, 0)], (0, 0), groups(1)
