// nest_15eca873a3d74b6b1605a5bd on 1 groups with 4, 10

#pragma OPENCL FP_CONTRACT OFF
static inline float muladd_f32(float a, float b, float c) {
#pragma OPENCL FP_CONTRACT ON
  return a * b + c;
}
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_15eca873a3d74b6b1605a5bd(__global const float* restrict b0, long b0_at,
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
    float a3 = as_float(0xff800000u);
    for (int i4 = 0; i4 < w1; i4 += 1) {
      const float v5 = b0[v2 * w1 + i4];
      a3 = a3 != a3 ? a3 : (a3 > v5 ? a3 : v5);
    }
    float a6 = 0x0.0p+0f;
    for (int i7 = 0; i7 < w1; i7 += 1) {
      const float v8 = b0[v2 * w1 + i7];
      const float v9 = v8 - a3;
      const bool v10 = v9 < (-0x1.a000000000000p+6f);
      const float v11 = v10 ? (-0x1.a000000000000p+6f) : v9;
      const bool v12 = 0x1.6400000000000p+6f < v11;
      const float v13 = v12 ? 0x1.6400000000000p+6f : v11;
      const float v14 = muladd_f32(v13, 0x1.7154760000000p+0f, 0x1.8000000000000p+23f);
      const float v15 = v14 - 0x1.8000000000000p+23f;
      const float v16 = muladd_f32(v15, (-0x1.62e8000000000p-1f), v13);
      const float v17 = muladd_f32(v15, 0x1.e8082e0000000p-16f, v16);
      const float v18 = v17 * v17;
      const float v19 = muladd_f32(0x1.6a1a600000000p-10f, v17, 0x1.123fc60000000p-7f);
      const float v20 = muladd_f32(v19, v17, 0x1.5559160000000p-5f);
      const float v21 = muladd_f32(v20, v17, 0x1.55548a0000000p-3f);
      const float v22 = muladd_f32(v21, v17, 0x1.fffffc0000000p-2f);
      const float v23 = muladd_f32(v18, v22, v17);
      const float v24 = v23 + 0x1.0000000000000p+0f;
      const bool v25 = v15 < (-0x1.9400000000000p+6f);
      const uint v26 = as_uint(v14);
      const uint v27 = v25 ? 1275068416u : 1056964608u;
      const uint v28 = (uint)((uint)v26 << (23u & 31));
      const uint v29 = (uint)((uint)v27 + (uint)v28);
      const float v30 = as_float(v29);
      const float v31 = v24 * v30;
      const float v32 = v25 ? 0x1.0000000000000p-25f : 0x1.0000000000000p+1f;
      const float v33 = v31 * v32;
      b1[v2 * w1 + i7] = v33;
      a6 = a6 + v33;
    }
    for (int i34 = 0; i34 < w1; i34 += 1) {
      const float v35 = b1[v2 * w1 + i34];
      const float v36 = v35 / a6;
      b1[v2 * w1 + i34] = v36;
    }
  }
}
