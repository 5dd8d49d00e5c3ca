"""Small kernels, and devices that nothing was built on yet."""

import numpy as np

from rxcore_kernels import opencl
from rxcore_kernels.launch import OpenCLSource

GROUP = 64


def fresh_device():
    """A device as a new process would open it."""
    opencl.reset()
    return opencl.devices()[0]


def affine(factor=3, symbol="affine", **changes):
    """A kernel y = factor * x + shift over n int32."""
    text = f"""
__kernel __attribute__((reqd_work_group_size({GROUP}, 1, 1)))
void {symbol}(__global const int* restrict x, long x_at,
              __global int* restrict y, long y_at, int shift, int n, int base) {{
    x += x_at;
    y += y_at;
    int i = ((int)get_group_id(0) + base) * {GROUP} + (int)get_local_id(0);
    if (i < n) y[i] = x[i] * {factor} + shift;
}}
"""
    made = {"memories": 2, "scalars": ("i32", "i32"), "group": (GROUP, 1, 1)}
    return OpenCLSource(text, symbol, **{**made, **changes})


def groups(n):
    return (-(-n // GROUP), 1, 1)


def run_affine(device, n=1000, factor=3, shift=5, **options):
    """Run the kernel on 0 ... n - 1 and compare with NumPy."""
    x = np.arange(n, dtype=np.int32)
    kernel = device.build(affine(factor))
    given, made = device.upload(x), device.allocate(x.nbytes)
    device.launch(kernel, [(given, 0), (made, 0)], (shift, n), groups(n), **options)
    found = np.full(n, -1, np.int32)
    device.download(made, found)
    np.testing.assert_array_equal(found, x * factor + shift)
