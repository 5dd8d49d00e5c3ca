// nest_457d8dd7821f467e7f4ab17b on 1 groups with 64, 10, 0.8999999761581421

#pragma OPENCL FP_CONTRACT OFF
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_457d8dd7821f467e7f4ab17b(__global const float* restrict b0, long b0_at,
    __global float* restrict b1, long b1_at,
    __global float* restrict b2, long b2_at,
    int w0,
    int w1,
    float n0,
    int base)
{
  b0 += b0_at;
  b1 += b1_at;
  b2 += b2_at;
  const int lid = get_local_id(0);
  const int g1 = (int)get_group_id(0) + base;
  const int v2 = (g1) * 64 + lid;
  if (v2 < w0) {
    float a3 = 0x0.0p+0f;
    for (int i4 = 0; i4 < w1; i4 += 1) {
      const float v5 = a3;
      const float v6 = v5 * n0;
      const float v7 = b0[v2 + i4 * w0];
      const float v8 = v6 + v7;
      const bool v9 = 0x1.0000000000000p+0f < v8;
      const float v10 = (float)v9;
      const float v11 = v8 - v10;
      b2[v2 + i4 * w0] = v10;
      a3 = v11;
    }
    b1[v2] = a3;
  }
}
