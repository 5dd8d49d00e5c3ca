// nest_7a71713a77158c5d721720ba on 16 groups with 1000, 5

#pragma OPENCL FP_CONTRACT OFF
static inline float muladd_f32(float a, float b, float c) {
#pragma OPENCL FP_CONTRACT ON
  return a * b + c;
}
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_7a71713a77158c5d721720ba(__global const float* restrict b0, long b0_at,
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
      const float v5 = b0[v2 * w1 + i4];
      const bool v6 = v5 < (-0x1.a000000000000p+6f);
      const float v7 = v6 ? (-0x1.a000000000000p+6f) : v5;
      const bool v8 = 0x1.6400000000000p+6f < v7;
      const float v9 = v8 ? 0x1.6400000000000p+6f : v7;
      const float v10 = muladd_f32(v9, 0x1.7154760000000p+0f, 0x1.8000000000000p+23f);
      const float v11 = v10 - 0x1.8000000000000p+23f;
      const float v12 = muladd_f32(v11, (-0x1.62e8000000000p-1f), v9);
      const float v13 = muladd_f32(v11, 0x1.e8082e0000000p-16f, v12);
      const float v14 = v13 * v13;
      const float v15 = muladd_f32(0x1.6a1a600000000p-10f, v13, 0x1.123fc60000000p-7f);
      const float v16 = muladd_f32(v15, v13, 0x1.5559160000000p-5f);
      const float v17 = muladd_f32(v16, v13, 0x1.55548a0000000p-3f);
      const float v18 = muladd_f32(v17, v13, 0x1.fffffc0000000p-2f);
      const float v19 = muladd_f32(v14, v18, v13);
      const float v20 = v19 + 0x1.0000000000000p+0f;
      const bool v21 = v11 < (-0x1.9400000000000p+6f);
      const uint v22 = as_uint(v10);
      const uint v23 = v21 ? 1275068416u : 1056964608u;
      const uint v24 = (uint)((uint)v22 << (23u & 31));
      const uint v25 = (uint)((uint)v23 + (uint)v24);
      const float v26 = as_float(v25);
      const float v27 = v20 * v26;
      const float v28 = v21 ? 0x1.0000000000000p-25f : 0x1.0000000000000p+1f;
      a3 = muladd_f32(v27, v28, a3);
    }
    b1[v2] = a3;
  }
}
