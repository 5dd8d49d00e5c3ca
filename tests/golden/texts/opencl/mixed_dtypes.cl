// nest_01a6ad0e74a3d4831ce50e88 on 1 groups with 12, 4

#pragma OPENCL FP_CONTRACT OFF
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_01a6ad0e74a3d4831ce50e88(__global const float* restrict b0, long b0_at,
    __global const int* restrict b1, long b1_at,
    __global float* restrict b2, long b2_at,
    int w0,
    int w1,
    int base)
{
  b0 += b0_at;
  b1 += b1_at;
  b2 += b2_at;
  const int lid = get_local_id(0);
  const int g1 = (int)get_group_id(0) + base;
  const int v2 = (g1) * 64 + lid;
  if (v2 < w0) {
    const int v3 = v2 % w1;
    const int v4 = v2 / w1;
    const float v5 = b0[v4 * w1 + v3];
    const int v6 = b1[v3];
    const float v7 = (float)v6;
    const float v8 = v7 * v5;
    const bool v9 = 0x0.0p+0f < v5;
    const float v10 = (float)v9;
    const float v11 = v8 + v10;
    b2[v4 * w1 + v3] = v11;
  }
}
