// nest_dd90a7a3eda3aae01c19622c on 5 groups with 300

#pragma OPENCL FP_CONTRACT OFF
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void nest_dd90a7a3eda3aae01c19622c(__global const int* restrict b0, long b0_at,
    __global int* restrict b1, long b1_at,
    int w0,
    int base)
{
  b0 += b0_at;
  b1 += b1_at;
  const int lid = get_local_id(0);
  const bool v1 = 3 < 0;
  const bool v2 = 0 != 3;
  const bool v3 = 7 < 0;
  const bool v4 = 0 == 7;
  const int g5 = (int)get_group_id(0) + base;
  const int v6 = (g5) * 64 + lid;
  if (v6 < w0) {
    const int v7 = b0[v6];
    const int v8 = 3 == 0 ? (int)0 : (3 == -1 ? (int)(0 - (uint)v7) : (int)(v7 / ((3 == 0 || 3 == -1) ? (int)1 : 3)));
    const int v9 = (int)((uint)v8 * (uint)3);
    const int v10 = (int)((uint)v7 - (uint)v9);
    const bool v11 = v10 != 0;
    const bool v12 = v10 < 0;
    const bool v13 = v12 != v1;
    const bool v14 = v11 && v13;
    const bool v15 = v14 && v2;
    const int v16 = v15 ? 1 : 0;
    const int v17 = (int)((uint)v8 - (uint)v16);
    const int v18 = 7 == 0 ? v7 : (int)(v7 % ((7 == 0 || 7 == -1) ? (int)1 : 7));
    const bool v19 = v18 != 0;
    const bool v20 = v18 < 0;
    const bool v21 = v20 != v3;
    const bool v22 = v19 && v21;
    const int v23 = (int)((uint)v18 + (uint)7);
    const int v24 = v22 ? v23 : v18;
    const int v25 = v4 ? 0 : v24;
    const int v26 = (int)((uint)v17 + (uint)v25);
    b1[v6] = v26;
  }
}
