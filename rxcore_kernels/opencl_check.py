"""A first kernel on each device: some drivers compute wrong numbers and say nothing."""

from typing import Any

import numpy as np

from rxcore_kernels.launch import OpenCLSource
from rxcore_kernels.lazy import opencl as cl
from rxcore_kernels.opencl_build import Builder
from rxcore_kernels.opencl_facts import Facts

__all__ = ["wrong_results"]

_GROUPS = 3
_OFFSET = 4
_TEXT = """
#pragma OPENCL FP_CONTRACT OFF
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void self_check(__global const int* restrict x, long x_at,
                __global const float* restrict u, long u_at,
                __global int* restrict y, long y_at,
                __global float* restrict v, long v_at, int base) {
    __local int tile[GROUP];
    x += x_at;
    u += u_at;
    y += y_at;
    v += v_at;
    int item = (int)get_local_id(0);
    int i = ((int)get_group_id(0) + base) * GROUP + item;
    tile[item] = x[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    int other = tile[GROUP - 1 - item];
    long wide = (long)x[i] * (long)other;
    uint bits = (uint)x[i] * 2654435761u;
    bits = (bits ^ (bits >> 15)) % 1000003u;
    y[i] = (int)(wide >> 9) + (int)bits;
    float square = u[i] * u[i];
    v[i] = (square - 3.5f) * 0.125f + (u[i] < 0.0f ? (float)item : 0.5f);
}
"""


def wrong_results(queue: Any, builder: Builder, facts: Facts) -> str:
    """Run integers, floats, local memory and a barrier; say in one line what is wrong.

    The numbers are such that any device must return them exactly.
    """
    group = max(1, min(64, facts.max_group, facts.max_item[0]))
    text = _TEXT.replace("GROUP", str(group))
    local = 4 * group
    source = OpenCLSource(text, "self_check", 4, (), (group, 1, 1), local)
    count = _GROUPS * group
    x = (np.arange(count, dtype=np.uint32) * np.uint32(2246822519)).view(np.int32)
    u = (np.arange(count, dtype=np.float32) - count // 2) * np.float32(0.25)
    given = [np.concatenate([np.zeros(_OFFSET, a.dtype), a]) for a in (x, u)]
    made = [np.zeros(count, np.int32), np.zeros(count, np.float32)]
    flags = cl.mem_flags
    buffers = [
        cl.Buffer(builder.context, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=a)
        for a in (*given, *made)
    ]
    offsets = (_OFFSET, _OFFSET, 0, 0)
    handle = builder.build(source, facts).handle
    flat = [w for pair in zip(buffers, offsets, strict=True) for w in pair]
    handle.set_args(*flat, 0)
    cl.enqueue_nd_range_kernel(queue, handle, (count,), (group,))
    for host, buffer in zip(made, buffers[2:], strict=True):
        cl.enqueue_copy(queue, host, buffer, is_blocking=True)
    right = zip(made, _expected(x, u, group), ("integers", "floats"), strict=True)
    wrong = [name for found, known, name in right if not (found == known).all()]
    if not wrong:
        return ""
    return f"its driver computes wrong {' and '.join(wrong)} in a first check"


def _expected(x: Any, u: Any, group: int) -> tuple[Any, Any]:
    other = x.reshape(-1, group)[:, ::-1].reshape(-1)
    wide = x.astype(np.int64) * other
    bits = x.view(np.uint32) * np.uint32(2654435761)
    bits = (bits ^ (bits >> np.uint32(15))) % np.uint32(1000003)
    y = (wide >> 9).astype(np.int32) + bits.view(np.int32)
    item = np.tile(np.arange(group, dtype=np.float32), _GROUPS)
    v = (u * u - np.float32(3.5)) * np.float32(0.125)
    return y, v + np.where(u < 0, item, np.float32(0.5))
