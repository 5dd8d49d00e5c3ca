// nest_fc8dc492c369c779ab3a3c29 on 64 groups with 8, 256, 8192

#pragma OPENCL FP_CONTRACT OFF
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_fc8dc492c369c779ab3a3c29(__global const float* restrict b0, long b0_at,
    __global float* restrict b1, long b1_at,
    int w0,
    int w1,
    int w2,
    int base)
{
  __local float s0[1056];
  b0 += b0_at;
  b1 += b1_at;
  const int lid = get_local_id(0);
  const int g1 = (int)get_group_id(0) + base;
  const int g2 = g1 / w0;
  const int v3 = g1 % w0;
  const int v4 = g2;
  const int e6 = w1 - v3 * 32;
  for (int i5 = 0; i5 < (e6 < 32 ? e6 : 32); i5 += 1) {
    const int e8 = w1 - v4 * 32;
    for (int i7 = lid; i7 < (e8 < 32 ? e8 : 32); i7 += 64) {
      const float v9 = b0[i7 + i5 * w1 + v4 * 32 + v3 * w2];
      s0[i7 + i5 * 33] = v9;
    }
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  const int e11 = w1 - v4 * 32;
  for (int i10 = 0; i10 < (e11 < 32 ? e11 : 32); i10 += 1) {
    const int e13 = w1 - v3 * 32;
    for (int i12 = lid; i12 < (e13 < 32 ? e13 : 32); i12 += 64) {
      const float v14 = b0[v4 * w2 + v3 * 32 + i12 + i10 * w1];
      const float v15 = s0[i12 * 33 + i10];
      const float v16 = v14 + v15;
      b1[v4 * w2 + v3 * 32 + i12 + i10 * w1] = v16;
    }
  }
}
