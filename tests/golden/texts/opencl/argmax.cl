// nest_44c3aa848c8728d9ddea5921 on 1 groups with 3, 4

#pragma OPENCL FP_CONTRACT OFF
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_44c3aa848c8728d9ddea5921(__global const float* restrict b0, long b0_at,
    __global int* restrict b1, long b1_at,
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
    int a6 = 2147483647;
    for (int i7 = 0; i7 < w1; i7 += 1) {
      const float v8 = b0[v2 * w1 + i7];
      const bool v9 = a3 == v8;
      const bool v10 = v8 != v8;
      const bool v11 = v9 || v10;
      const int v12 = (int)(long)i7;
      const int v13 = v11 ? v12 : 3;
      a6 = (a6 < v13 ? a6 : v13);
    }
    b1[v2] = a6;
  }
}
