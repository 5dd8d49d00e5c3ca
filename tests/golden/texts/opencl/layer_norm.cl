// nest_42275b37aca19eabfa91ba7a on 1 groups with 4, 10, 10.0, 9.999999747378752e-06

#pragma OPENCL FP_CONTRACT OFF
static inline float muladd_f32(float a, float b, float c) {
#pragma OPENCL FP_CONTRACT ON
  return a * b + c;
}
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_42275b37aca19eabfa91ba7a(__global const float* restrict b0, long b0_at,
    __global const float* restrict b1, long b1_at,
    __global float* restrict b2, long b2_at,
    int w0,
    int w1,
    float n0,
    float n1,
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
      const float v5 = b1[v2 * w1 + i4];
      a3 = a3 + v5;
    }
    const float v6 = a3 / n0;
    float a7 = 0x0.0p+0f;
    for (int i8 = 0; i8 < w1; i8 += 1) {
      const float v9 = b1[v2 * w1 + i8];
      const float v10 = v9 - v6;
      a7 = muladd_f32(v10, v10, a7);
    }
    const float v11 = a7 / n0;
    const float v12 = v11 + n1;
    const float v13 = sqrt(v12);
    for (int i14 = 0; i14 < w1; i14 += 1) {
      const float v15 = b1[v2 * w1 + i14];
      const float v16 = v15 - v6;
      const float v17 = v16 / v13;
      const float v18 = b0[i14];
      const float v19 = v17 * v18;
      b2[v2 * w1 + i14] = v19;
    }
  }
}
