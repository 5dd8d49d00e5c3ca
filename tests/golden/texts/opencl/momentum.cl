// nest_3b89a1789c88d689edc1ad3e on 1 groups with 10, 0.8999999761581421, 0.10000000149011612

#pragma OPENCL FP_CONTRACT OFF
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_3b89a1789c88d689edc1ad3e(__global const float* restrict b0, long b0_at,
    __global const float* restrict b1, long b1_at,
    __global const float* restrict b2, long b2_at,
    __global float* restrict b3, long b3_at,
    __global float* restrict b4, long b4_at,
    int w0,
    float n0,
    float n1,
    int base)
{
  b0 += b0_at;
  b1 += b1_at;
  b2 += b2_at;
  b3 += b3_at;
  b4 += b4_at;
  const int lid = get_local_id(0);
  const int g1 = (int)get_group_id(0) + base;
  const int v2 = (g1) * 64 + lid;
  if (v2 < w0) {
    const float v3 = b2[v2];
    const float v4 = v3 * n0;
    const float v5 = b1[v2];
    const float v6 = v4 + v5;
    b3[v2] = v6;
    const float v7 = b0[v2];
    const float v8 = v6 * n1;
    const float v9 = v7 - v8;
    b4[v2] = v9;
  }
}
