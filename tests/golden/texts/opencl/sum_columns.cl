// nest_6fce9bc28d932d366e96a037 on 5 groups with 300, 9

#pragma OPENCL FP_CONTRACT OFF
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_6fce9bc28d932d366e96a037(__global const float* restrict b0, long b0_at,
    __global float* restrict b1, long b1_at,
    int w0,
    int w1,
    int base)
{
  b0 += b0_at;
  b1 += b1_at;
  const int lid = get_local_id(0);
  const int g1 = (int)get_group_id(0) + base;
  const int v2 = (g1) * 64 + lid;
  if (v2 < w0) {
    float a3 = 0x0.0p+0f;
    for (int i4 = 0; i4 < w1; i4 += 1) {
      const float v5 = b0[v2 + i4 * w0];
      a3 = a3 + v5;
    }
    b1[v2] = a3;
  }
}
