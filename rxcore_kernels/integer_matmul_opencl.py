"""Matrix products of 8-bit integers on an OpenCL device, summed exactly in 32 bits.

Tiles of both operands lie in local memory as words of four elements along k; a
work-item multiplies words of some rows with words of some columns. The four products
are plain C, which compilers turn into a dot product where the device has one.
"""

from __future__ import annotations

from functools import cache

from rxcore_kernels.launch import In, LaunchPlan, Out
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_writer import (
    LIMIT,
    Launches,
    Memory,
    TypedSource,
    group_size,
    kernel,
)

__all__ = ["launch_integer_matmul"]

DEPTH = 8
"""Words of k in a tile: between two barriers."""

ITEM_COLUMNS = 4
"""Columns of a work-item."""

ITEM_ROWS = 4
"""Rows of a work-item; one where the product has few."""

_A_TYPES = {"uint8": "uchar", "int8": "char"}
_HELD = {"int8": 1, "int4": 2, "uint4": 2}


def _word(format: str) -> str:
    """Return statements that read a word of B, of column `j` from element `at`."""
    if format == "int8":
        parts = [f"at + {e} < k ? b[(long)(at + {e}) * n + j] : 0" for e in range(4)]
        return f"      const char4 word = (char4)({', '.join(parts)});\n"
    low, high = "{0} & 15", "({0} >> 4) & 15"
    if format == "int4":
        low, high = f"(({low}) ^ 8) - 8", f"(({high}) ^ 8) - 8"
    lines, parts = [], []
    for half in range(2):
        first, byte = f"at + {2 * half}", f"byte{half}"
        place = f"(long)(at / 2 + {half}) * n + j"
        lines.append(f"      const int {byte} = {first} < k ? b[{place}] : 0;\n")
        for e, value in enumerate((low, high)):
            there = f"at + {2 * half + e} < k"
            parts.append(f"{there} ? (char)({value.format(byte)}) : (char)0")
    made = ",\n          ".join(parts)
    return "".join(lines) + f"      const char4 word = (char4)({made});\n"


@cache
def _source(side: int, a_dtype: str, format: str, item_rows: int) -> TypedSource:
    """Return the product by groups of side x side work-items."""
    rows, columns, group = side * item_rows, side * ITEM_COLUMNS, side * side
    a_type = _A_TYPES[a_dtype]
    a_word = ", ".join(f"at + {e} < k ? line[at + {e}] : 0" for e in range(4))
    tile = [(i, j) for i in range(item_rows) for j in range(ITEM_COLUMNS)]
    sums = "".join(f"  uint s{i}_{j} = 0;\n" for i, j in tile)
    reads = "".join(
        f"      const {a_type}4 x{i} = a_tile[q * {rows} + down + {i * side}];\n"
        for i in range(item_rows)
    ) + "".join(
        f"      const char4 y{j} = b_tile[q * {columns} + over + {j * side}];\n"
        for j in range(ITEM_COLUMNS)
    )
    products = "".join(
        f"      s{i}_{j} += (uint)("
        + " + ".join(f"(int)x{i}.s{e} * (int)y{j}.s{e}" for e in range(4))
        + ");\n"
        for i, j in tile
    )
    stores = "".join(
        f"  if (row_0 + down + {i * side} < m && column_0 + over + {j * side} < n)\n"
        f"    c[(long)(row_0 + down + {i * side}) * n + column_0 + over + {j * side}]"
        f" = as_int(s{i}_{j});\n"
        for i, j in tile
    )
    body = f"""\
  __local {a_type}4 a_tile[{DEPTH * rows}];
  __local char4 b_tile[{DEPTH * columns}];
  const int over = lid % {side}, down = lid / {side};
  const int column_0 = group % tiles_n * {columns};
  const int row_0 = group / tiles_n % tiles_m * {rows};
  const int matrix = group / tiles_n / tiles_m;
  a += (long)matrix * m * k;
  b += matrix * b_batch;
  c += (long)matrix * m * n;
{sums}\
  for (int l = 0; l < k; l += {4 * DEPTH}) {{
    for (int i = lid; i < {DEPTH * rows}; i += {group}) {{
      const int q = i % {DEPTH}, p = i / {DEPTH}, at = l + 4 * q;
      const int row = row_0 + p < m ? row_0 + p : m - 1;
      __global const {a_type}* line = a + (long)row * k;
      a_tile[q * {rows} + p] = ({a_type}4)({a_word});
    }}
    for (int i = lid; i < {DEPTH * columns}; i += {group}) {{
      const int q = i / {columns}, p = i % {columns}, at = l + 4 * q;
      const int j = column_0 + p < n ? column_0 + p : n - 1;
{_word(format)}\
      b_tile[q * {columns} + p] = word;
    }}
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int q = 0; q < {DEPTH}; ++q) {{
{reads}{products}\
    }}
    barrier(CLK_LOCAL_MEM_FENCE);
  }}
{stores}"""
    b_type = "char" if format == "int8" else "uchar"
    memories = [Memory("a", a_type), Memory("b", b_type), Memory("c", "int", True)]
    scalars = ["int m", "int n", "int k", "int tiles_m", "int tiles_n", "long b_batch"]
    local = 4 * DEPTH * (rows + columns)
    return kernel("integer_matmul", memories, scalars, group, body, local_bytes=local)


def launch_integer_matmul(
    facts: Facts,
    a_dtype: str,
    b_dtype: str,
    batch: int,
    m: int,
    n: int,
    k: int,
    *,
    shared: bool = False,
) -> LaunchPlan | None:
    """Plan C = A @ B for a batch of dense matrices of small integers.

    **Meaning** (inputs A, B; output C, int32)::

        C = np.matmul(A.astype(np.int32), B.astype(np.int32))

    Args:
        facts: the device.
        a_dtype: "uint8" or "int8", of A (batch, m, k).
        b_dtype: "int8", of B (batch, k, n); or "int4" (-8..7) or "uint4" (0..15), of B
            (batch, ceil(k / 2), n), bytes of which the low half holds even k.
        batch: number of matrices.
        m: rows of A and C.
        n: columns of B and C.
        k: columns of A, rows of B; 0 gives zeros.
        shared: whether there is one B for all A.

    Returns:
        The plan, or None where the device has no room.

    Raises:
        TypeError: a dtype has no kernel.

    Example:
        >>> plan = launch_integer_matmul(Facts(), "uint8", "int8", 1, 100, 40, 70)
        >>> plan.launches[0].groups
        (2, 1, 1)
    """
    if a_dtype not in _A_TYPES or b_dtype not in _HELD:
        raise TypeError(
            f"launch_integer_matmul: expected a_dtype {' or '.join(_A_TYPES)} and"
            f" b_dtype {' or '.join(_HELD)}, got {a_dtype} and {b_dtype}"
        )
    if shared:
        batch, m = 1, batch * m
    made = Launches(facts)
    b_batch = -(-k // _HELD[b_dtype]) * n
    sizes = (batch * m * k, batch * b_batch, batch * m * n * 4)
    if max(m, n, k, batch * m) > LIMIT:
        return None
    if batch * m * n:
        side = 16 if group_size(facts, 256) == 256 else 8
        item_rows = ITEM_ROWS if m > side else 1
        tiles_m, tiles_n = -(-m // (side * item_rows)), -(-n // (side * ITEM_COLUMNS))
        groups = batch * tiles_m * tiles_n
        if groups > LIMIT or group_size(facts, side * side) < side * side:
            return None
        made.add(
            _source(side, a_dtype, b_dtype, item_rows),
            (In(0), In(1), Out(0)),
            (m, n, k, tiles_m, tiles_n, b_batch),
            groups,
            shape="matmul",
            flops=2.0 * batch * m * n * k,
            nbytes=float(sum(sizes)),
        )
    return made.plan(*sizes)
