// nest_59bd5234195600f94a549932 on 1 groups with 8

#pragma OPENCL FP_CONTRACT OFF
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_59bd5234195600f94a549932(__global const float* restrict b0, long b0_at,
    __global const float* restrict b1, long b1_at,
    __global float* restrict b2, long b2_at,
    int w0,
    int base)
{
  b0 += b0_at;
  b1 += b1_at;
  b2 += b2_at;
  const int lid = get_local_id(0);
  const int g1 = (int)get_group_id(0) + base;
  const int v2 = (g1) * 64 + lid;
  if (v2 < w0) {
    const float v3 = b1[v2];
    const float v4 = v3 * 0x1.0000000000000p+1f;
    const float v5 = b0[v2];
    const float v6 = v4 + v5;
    b2[v2] = v6;
  }
}
