// nest_919b35f1c59d7e643f9bc469 on 1 groups with 30

#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#pragma OPENCL FP_CONTRACT OFF
static inline double signed_f64(double size, double x) {
  return as_double((as_ulong(size) & 0x7ffffffffffffffful) | (as_ulong(x) & ~0x7ffffffffffffffful));
}
static inline double round_f64(double x) {
  double size = as_double(as_ulong(x) & 0x7ffffffffffffffful);
  double near = (size + 0x1p52) - 0x1p52;
  return size < 0x1p52 ? signed_f64(near, x) : x;
}
static inline double floor_f64(double x) {
  double near = round_f64(x);
  return signed_f64(near > x ? near - 1 : near, x);
}
static inline double ceil_f64(double x) {
  double near = round_f64(x);
  return signed_f64(near < x ? near + 1 : near, x);
}
static inline double trunc_f64(double x) {
  double size = as_double(as_ulong(x) & 0x7ffffffffffffffful);
  return signed_f64(floor_f64(size), x);
}
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_919b35f1c59d7e643f9bc469(__global const double* restrict b0, long b0_at,
    __global double* restrict b1, long b1_at,
    int w0,
    int base)
{
  b0 += b0_at;
  b1 += b1_at;
  const int lid = get_local_id(0);
  const int g1 = (int)get_group_id(0) + base;
  const int v2 = (g1) * 64 + lid;
  if (v2 < w0) {
    const double v3 = b0[v2];
    const double v4 = v3 * 0x1.0000000000000p-1;
    const double v5 = floor_f64(v4);
    b1[v2] = v5;
  }
}
