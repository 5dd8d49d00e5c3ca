// nest_3f7aed92eb63bfb686015a04 on 1 groups with 4, 6, 2

#pragma OPENCL FP_CONTRACT OFF
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_3f7aed92eb63bfb686015a04(__global const float* restrict b0, long b0_at,
    __global const int* restrict b1, long b1_at,
    __global float* restrict b2, long b2_at,
    int w0,
    int w1,
    int w2,
    int base)
{
  b0 += b0_at;
  b1 += b1_at;
  b2 += b2_at;
  const int lid = get_local_id(0);
  const int v1 = (int)(long)w0;
  const int g2 = (int)get_group_id(0) + base;
  const int v3 = (g2) * 64 + lid;
  if (v3 < w1) {
    const int v4 = v3 % w2;
    const int v5 = v3 / w2;
    const int v6 = b1[v5];
    const bool v7 = v6 < 0;
    const int v8 = (int)((uint)v6 + (uint)5);
    const int v9 = v7 ? v8 : v6;
    const bool v10 = 0 <= v9;
    const bool v11 = v9 <= v1;
    const bool v12 = v10 && v11;
    const int v13 = (v9 > 0 ? v9 : 0);
    const int v14 = (v13 < v1 ? v13 : v1);
    const long v15 = (long)v14;
    const float v16 = b0[v4 + (int)v15 * w2];
    const float v17 = v16 + 0x1.0000000000000p+0f;
    b2[v5 * w2 + v4] = v17;
  }
}
