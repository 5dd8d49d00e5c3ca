// nest_c485f0fdaea58a79e0d25e15 on 8 groups with 131072

// nest_c54c1b1813563eaf5c323368 on 1 groups with 8

#pragma OPENCL FP_CONTRACT OFF
static inline float muladd_f32(float a, float b, float c) {
#pragma OPENCL FP_CONTRACT ON
  return a * b + c;
}
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_c485f0fdaea58a79e0d25e15(__global const float* restrict b0, long b0_at,
    __global float* restrict b1, long b1_at,
    int w0,
    int base)
{
  __local float t0[64];
  b0 += b0_at;
  b1 += b1_at;
  const int lid = get_local_id(0);
  const int g1 = (int)get_group_id(0) + base;
  const int v2 = g1;
  float a3 = 0x0.0p+0f;
  const int e5 = w0 - v2 * 16384;
  for (int i4 = lid; i4 < (e5 < 16384 ? e5 : 16384); i4 += 64) {
    const float v6 = b0[v2 * 16384 + i4];
    a3 = muladd_f32(v6, v6, a3);
  }
  t0[lid] = a3;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int k7 = 32; k7 > 0; k7 >>= 1) {
    if (lid < k7) t0[lid] = t0[lid] + t0[lid + k7];
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  const float v8 = t0[0];
  if (lid == 0) b1[v2] = v8;
}

#pragma OPENCL FP_CONTRACT OFF
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_c54c1b1813563eaf5c323368(__global float* restrict b0, long b0_at,
    __global const float* restrict b1, long b1_at,
    int w0,
    int base)
{
  __local float t0[64];
  b0 += b0_at;
  b1 += b1_at;
  const int lid = get_local_id(0);
  const int g1 = (int)get_group_id(0) + base;
  const int v2 = g1;
  float a3 = 0x0.0p+0f;
  for (int i4 = lid; i4 < w0; i4 += 64) {
    const float v5 = b1[i4];
    a3 = a3 + v5;
  }
  t0[lid] = a3;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int k6 = 32; k6 > 0; k6 >>= 1) {
    if (lid < k6) t0[lid] = t0[lid] + t0[lid + k6];
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  const float v7 = t0[0];
  if (lid == 0) b0[0] = v7;
}
