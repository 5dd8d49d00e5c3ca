"""OpenCL C of matrix products: tiles in local memory, and what stands around them."""

from __future__ import annotations

import functools
from collections.abc import Callable

from attrs import frozen

from rxcore_kernels.launch import OpenCLSource, ScalarKind

__all__ = ["ELEMENT_BYTES", "GROUP", "Blocks", "Panels", "tile_source"]

ELEMENT_BYTES = {"float32": 4, "float64": 8}
ELEMENT_NAMES = {"float32": "float", "float64": "double"}
SHORT = {"float32": "f32", "float64": "f64"}

GROUP = 64
"""Work-items of the kernels that have no tile: one wavefront of an AMD card."""

_LANES = "0123456789abcdef"


@frozen
class Blocks:
    """How a work-group shares a tile of C.

    A work-item holds `item_rows` x `item_columns` sums, as vectors of `width` columns.
    Its rows come in runs as long as a vector too, so that every read of local memory
    is a vector and neighbours read neighbouring vectors.

    Args:
        rows: rows of the tile.
        columns: columns of the tile.
        depth: steps of k between two barriers.
        item_rows: rows of one work-item.
        item_columns: columns of one work-item.
        width: columns of one vector.
        pad: elements between two lines of local memory. A whole vector keeps the
            alignment, and spreads a column over the banks as well as one element.
    """

    rows: int
    columns: int
    depth: int
    item_rows: int
    item_columns: int
    width: int
    pad: int

    @property
    def across(self) -> int:
        """Work-items along the columns."""
        return self.columns // self.item_columns

    @property
    def down(self) -> int:
        """Work-items along the rows."""
        return self.rows // self.item_rows

    @property
    def group(self) -> int:
        """Work-items."""
        return self.across * self.down

    @property
    def run(self) -> int:
        """Rows that a work-item reads as one vector."""
        return min(self.item_rows, self.width, 4)

    @property
    def vectors(self) -> int:
        """Vectors of columns of a work-item."""
        return self.item_columns // self.width

    @property
    def a_pitch(self) -> int:
        """Elements from one line of A's tile to the next."""
        return self.rows + self.pad

    @property
    def b_pitch(self) -> int:
        """Elements from one line of B's tile to the next."""
        return self.columns + self.pad

    def local_bytes(self, dtype: str) -> int:
        """Return the local memory of both tiles."""
        return self.depth * (self.a_pitch + self.b_pitch) * ELEMENT_BYTES[dtype]

    @property
    def name(self) -> str:
        """A suffix for symbols."""
        tile = f"{self.rows}x{self.columns}x{self.depth}"
        return f"{tile}_{self.item_rows}x{self.item_columns}v{self.width}"


@frozen
class Panels:
    """A product for a device that is a CPU: one work-item, packed operands.

    Args:
        rows: rows of a register tile, and of a packed panel of A.
        vectors: vectors of a register tile's row; a panel of B has so many.
        width: columns of one vector.
        depth: steps of k between two visits of C.
    """

    rows: int
    vectors: int
    width: int
    depth: int

    @property
    def columns(self) -> int:
        """Columns of a register tile."""
        return self.vectors * self.width


# pieces of text ----------------------------------------------------------------------


def head(dtype: str, widths: tuple[int, ...] = (1,)) -> str:
    """Return the pragmas and `muladd` for vectors of some widths.

    A product and a sum may round once or twice, as the device likes best; `fma()`
    would be slow where it is no instruction.
    """
    lines = ["#pragma OPENCL FP_CONTRACT OFF"]
    if dtype == "float64":
        lines.insert(0, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable")
    for width in widths:
        name = vector(dtype, width)
        lines += [
            f"static inline {name} muladd({name} a, {name} b, {name} c) {{",
            "#pragma OPENCL FP_CONTRACT ON",
            "  return a * b + c;",
            "}",
        ]
    return "\n".join(lines)


def vector(dtype: str, width: int) -> str:
    """Return the OpenCL name of a vector type."""
    return ELEMENT_NAMES[dtype] + (str(width) if width > 1 else "")


def memories(dtype: str, given: str, made: str) -> str:
    """Return the parameters of some memories of one dtype, read and written."""
    t = ELEMENT_NAMES[dtype]
    read = [f"__global const {t}* restrict {p}, long {p}_at" for p in given.split()]
    wrote = [f"__global {t}* restrict {p}, long {p}_at" for p in made.split()]
    return ",\n    ".join([*read, *wrote])


def scalars(**names: str) -> tuple[str, tuple[ScalarKind, ...]]:
    """Return parameters and their kinds; each keyword is a C type's names.

    Example:
        >>> scalars(int="m n", long="row")
        ('int m, int n, long row', ('i32', 'i32', 'i64'))
    """
    kinds: dict[str, ScalarKind] = {"int": "i32", "long": "i64"}
    pairs = [(c, name) for c, each in names.items() for name in each.split()]
    text = ", ".join(f"{c} {name}" for c, name in pairs)
    return text, tuple(kinds[c] for c, _ in pairs)


def begin(symbol: str, group: int, *parameters: str) -> str:
    """Return a kernel's first lines."""
    lines = ",\n    ".join([*parameters, "int base"])
    return (
        f"__kernel __attribute__((reqd_work_group_size({group}, 1, 1)))\n"
        f"void {symbol}(\n    {lines}) {{"
    )


def tiles(t: Blocks, dtype: str) -> str:
    """Declare the tiles in local memory, the sums, and who a work-item is."""
    a_size = t.depth * t.a_pitch // t.run
    b_size = t.depth * t.b_pitch // t.width
    name = ELEMENT_NAMES[dtype]
    lines = [
        f"  __local {vector(dtype, t.run)} a_lines[{a_size}];",
        f"  __local {vector(dtype, t.width)} b_lines[{b_size}];",
        f"  __local {name}* a_tile = (__local {name}*)a_lines;",
        f"  __local {name}* b_tile = (__local {name}*)b_lines;",
        "  const int item = get_local_id(0);",
        f"  const int over = item % {t.across}, down = item / {t.across};",
    ]
    for i in range(t.item_rows):
        sums = ", ".join(f"s{i}_{v} = 0" for v in range(t.vectors))
        lines.append(f"  {vector(dtype, t.width)} {sums};")
    return "\n".join(lines)


def multiply(t: Blocks, dtype: str) -> str:
    """Multiply the two tiles into the sums, between two barriers."""
    wide = vector(dtype, t.width)
    lines = [
        "    barrier(CLK_LOCAL_MEM_FENCE);",
        f"    for (int q = 0; q < {t.depth}; ++q) {{",
    ]
    for u in range(t.item_rows // t.run):
        place = f"q * {t.a_pitch // t.run} + down + {u * t.down}"
        lines.append(f"      const {vector(dtype, t.run)} x{u} = a_lines[{place}];")
    for v in range(t.vectors):
        place = f"q * {t.b_pitch // t.width} + over + {v * t.across}"
        lines.append(f"      const {wide} y{v} = b_lines[{place}];")
    for i in range(t.item_rows):
        x = f"x{i // t.run}" + (f".s{i % t.run}" if t.run > 1 else "")
        lines += [
            f"      s{i}_{v} = muladd(({wide})({x}), y{v}, s{i}_{v});"
            for v in range(t.vectors)
        ]
    return "\n".join([*lines, "    }", "    barrier(CLK_LOCAL_MEM_FENCE);"])


def store(t: Blocks, index: str, place: Callable[[str], str]) -> str:
    """Write the sums to `c`, where `row < m` and the column is below `n`.

    Args:
        t: the tile.
        index: the C type of places.
        place: gives the place of a column, an expression of its name, in a row of C.
    """
    lines = []
    columns = [(v, e) for v in range(t.vectors) for e in range(t.width)]
    for j, (v, e) in enumerate(columns):
        first = f"(over + {v * t.across}) * {t.width} + {e}"
        lines += [
            f"  const int j{j} = column_0 + {first};",
            f"  const {index} at{j} = {place(f'j{j}')};",
        ]
    for i in range(t.item_rows):
        first = f"(down + {i // t.run * t.down}) * {t.run} + {i % t.run}"
        lines += [
            f"  if (row_0 + {first} < m) {{",
            f"    const {index} line = ({index})(row_0 + {first}) * c_row;",
        ]
        lines += [
            f"    if (j{j} < n) c[line + at{j}] = s{i}_{v}.s{_LANES[e]};"
            for j, (v, e) in enumerate(columns)
        ]
        lines.append("  }")
    return "\n".join(lines)


# the tiled product -------------------------------------------------------------------


def _load(t: Blocks, name: str, by_k: bool, index: str) -> str:
    """Copy a tile of an operand: rows of A or columns of B, along k.

    Neighbouring work-items read along the axis that is contiguous. A place beyond the
    end is read from the last line, for sums that nobody stores; steps beyond the end
    of k are zeros in both tiles.
    """
    rows = name == "a"
    size, pitch = (t.rows, t.a_pitch) if rows else (t.columns, t.b_pitch)
    first, last, step = ("row_0", "m", "a_row") if rows else ("column_0", "n", "b_col")
    fast, slow = (t.depth, size) if by_k else (size, t.depth)
    lines = t.group // fast
    quick, late = ("q", "p") if by_k else ("p", "q")
    body = [
        f"    for (int i = 0; i < {slow // lines}; ++i) {{",
        f"      const int {quick} = item % {fast};",
        f"      const int {late} = item / {fast} + i * {lines};",
        f"      const int line = {first} + p < {last} ? {first} + p : {last} - 1;",
        "      const int inside = l + q < stop;",
        "      const int step = inside ? l + q : l;",
        f"      const {index} at = ({index})line * {step} + ({index})step * {name}_k;",
        f"      {name}_tile[q * {pitch} + p] = inside ? {name}[at] : 0;",
        "    }",
    ]
    return "\n".join(body)


@functools.cache
def tile_source(
    t: Blocks, dtype: str, a_by_k: bool, b_by_k: bool, wide: bool
) -> OpenCLSource:
    """Return the tiled product of (a, b) -> c, split along k where `splits` says so.

    A group is a tile of one matrix in one part of k; tiles of a row are neighbours.

    Args:
        t: the tile.
        dtype: "float32" or "float64".
        a_by_k: whether A is contiguous along k, else along its rows.
        b_by_k: whether B is contiguous along k, else along its columns.
        wide: whether places in a matrix need 64 bits.
    """
    layout = ("k" if a_by_k else "m") + ("k" if b_by_k else "n")
    symbol = f"matmul_{SHORT[dtype]}_{t.name}_{layout}" + ("_wide" if wide else "")
    index = "long" if wide else "int"
    near, near_kinds = scalars(**{index: "a_row a_k b_k b_col c_row"})
    sizes, kinds = scalars(
        int="m n k tiles_m tiles_n batch depth", long="a_batch b_batch c_batch c_split"
    )
    text = [
        head(dtype, (t.width,)),
        begin(symbol, t.group, memories(dtype, "a b", "c"), sizes, near),
        tiles(t, dtype),
        "  int group = get_group_id(0) + base;",
        f"  const int column_0 = group % tiles_n * {t.columns};",
        "  group /= tiles_n;",
        f"  const int row_0 = group % tiles_m * {t.rows};",
        "  group /= tiles_m;",
        "  const int part = group / batch;",
        "  const int start = part * depth;",
        "  const int stop = k - start < depth ? k : start + depth;",
        "  a += a_at + (group % batch) * a_batch;",
        "  b += b_at + (group % batch) * b_batch;",
        "  c += c_at + (group % batch) * c_batch + part * c_split;",
        f"  for (int l = start; l < stop; l += {t.depth}) {{",
        _load(t, "a", a_by_k, index),
        _load(t, "b", b_by_k, index),
        multiply(t, dtype),
        "  }",
        store(t, index, lambda column: column),
        "}",
    ]
    return OpenCLSource(
        "\n".join(text) + "\n",
        symbol,
        3,
        kinds + near_kinds,
        (t.group, 1, 1),
        t.local_bytes(dtype),
        dtype == "float64",
    )


# products without tiles --------------------------------------------------------------


@functools.cache
def direct_source(dtype: str) -> OpenCLSource:
    """Return the product in which each work-item sums one element of C (or part)."""
    symbol = f"matmul_direct_{SHORT[dtype]}"
    name = ELEMENT_NAMES[dtype]
    sizes, kinds = scalars(
        int="m n k batch depth groups",
        long="a_batch a_row a_k b_batch b_k b_col c_batch c_row c_split",
    )
    text = f"""{head(dtype)}
{begin(symbol, GROUP, memories(dtype, "a b", "c"), sizes)}
  const int group = get_group_id(0) + base;
  const int part = group / groups;
  const long item = (long)(group % groups) * {GROUP} + get_local_id(0);
  const long lines = item / n;
  const int column = item - lines * n;
  const int s = lines / m;
  const int row = lines - (long)s * m;
  if (s < batch) {{
    const int start = part * depth;
    const int stop = k - start < depth ? k : start + depth;
    a += a_at + s * a_batch + row * a_row + start * a_k;
    b += b_at + s * b_batch + column * b_col + start * b_k;
    c += c_at + s * c_batch + row * c_row + part * c_split;
    {name} sum = 0;
    for (int l = start; l < stop; ++l) {{
      sum = muladd(*a, *b, sum);
      a += a_k;
      b += b_k;
    }}
    c[column] = sum;
  }}
}}
"""
    return OpenCLSource(text, symbol, 3, kinds, (GROUP, 1, 1), 0, dtype == "float64")


def tree(name: str) -> str:
    """Add a group's elements in local memory by halves; every work-item comes here."""
    return f"""  for (int by = {GROUP} / 2; by > 0; by /= 2) {{
    barrier(CLK_LOCAL_MEM_FENCE);
    if (item < by) {name}[item] += {name}[item + by];
  }}"""


@functools.cache
def dots_source(dtype: str) -> OpenCLSource:
    """Return the product in which a work-group sums one element of C (or part)."""
    symbol = f"matmul_dots_{SHORT[dtype]}"
    name = ELEMENT_NAMES[dtype]
    sizes, kinds = scalars(
        int="m n k batch depth",
        long="a_batch a_row a_k b_batch b_k b_col c_batch c_row c_split",
    )
    text = f"""{head(dtype)}
{begin(symbol, GROUP, memories(dtype, "a b", "c"), sizes)}
  __local {name} sums[{GROUP}];
  const int item = get_local_id(0);
  int group = get_group_id(0) + base;
  const int column = group % n;
  group /= n;
  const int row = group % m;
  group /= m;
  const int s = group % batch, part = group / batch;
  const int start = part * depth;
  const int stop = k - start < depth ? k : start + depth;
  a += a_at + s * a_batch + row * a_row;
  b += b_at + s * b_batch + column * b_col;
  c += c_at + s * c_batch + row * c_row + part * c_split;
  {name} sum = 0;
  for (int l = start + item; l < stop; l += {GROUP})
    sum = muladd(a[l * a_k], b[l * b_k], sum);
  sums[item] = sum;
{tree("sums")}
  if (item == 0) c[column] = sums[0];
}}
"""
    local = GROUP * ELEMENT_BYTES[dtype]
    wide = dtype == "float64"
    return OpenCLSource(text, symbol, 3, kinds, (GROUP, 1, 1), local, wide)


@functools.cache
def sum_source(dtype: str) -> OpenCLSource:
    """Return the sum of the parts of k, in their order: (parts) -> c."""
    symbol = f"matmul_sum_{SHORT[dtype]}"
    name = ELEMENT_NAMES[dtype]
    sizes, kinds = scalars(int="parts m n", long="size c_batch c_row")
    text = f"""{head(dtype)}
{begin(symbol, GROUP, memories(dtype, "p", "c"), sizes)}
  const long item = (long)(get_group_id(0) + base) * {GROUP} + get_local_id(0);
  if (item < size) {{
    const long lines = item / n, s = lines / m;
    p += p_at + item;
    {name} sum = 0;
    for (int part = 0; part < parts; ++part) sum += p[part * size];
    c[c_at + s * c_batch + (lines - s * m) * c_row + (item - lines * n)] = sum;
  }}
}}
"""
    return OpenCLSource(text, symbol, 2, kinds, (GROUP, 1, 1), 0, dtype == "float64")


# products on a CPU -------------------------------------------------------------------


@functools.cache
def pack_source(dtype: str, lines: int) -> OpenCLSource:
    """Return the copy of an operand into panels of `lines` rows or columns.

    Element (line, step) of panel p lands at (p * k + step) * lines + line; a line
    beyond the end repeats the last. A group copies `depth` steps of one panel.
    """
    symbol = f"matmul_pack_{SHORT[dtype]}x{lines}"
    sizes, kinds = scalars(
        int="size k panels depth pieces", long="x_batch x_line x_k y_batch"
    )
    text = f"""{head(dtype)}
{begin(symbol, 1, memories(dtype, "x", "y"), sizes)}
  int group = get_group_id(0) + base;
  const int start = group % pieces * depth;
  const int stop = k - start < depth ? k : start + depth;
  group /= pieces;
  const int panel = group % panels;
  x += x_at + (group / panels) * x_batch;
  y += y_at + (group / panels) * y_batch + (long)panel * k * {lines};
  const int first = panel * {lines};
  const int whole = first + {lines} <= size;
  if (x_line == 1 && whole) {{
    for (int l = start; l < stop; ++l)
      for (int i = 0; i < {lines}; ++i)
        y[(long)l * {lines} + i] = x[first + i + l * x_k];
  }} else {{
    for (int i = 0; i < {lines}; ++i) {{
      const long line = first + i < size ? first + i : size - 1;
      for (int l = start; l < stop; ++l)
        y[(long)l * {lines} + i] = x[line * x_line + l * x_k];
    }}
  }}
}}
"""
    return OpenCLSource(text, symbol, 2, kinds, (1, 1, 1), 0, dtype == "float64")


@functools.cache
def panel_source(t: Panels, dtype: str) -> OpenCLSource:
    """Return the product of packed operands: one work-item for a block of C.

    The register tile is written out; a panel of B stays in the first-level cache while
    the block's panels of A, in the second, pass by.
    """
    symbol = f"matmul_panel_{SHORT[dtype]}_{t.rows}x{t.columns}"
    wide, name = vector(dtype, t.width), ELEMENT_NAMES[dtype]
    sizes, kinds = scalars(
        int="m n k blocks_m blocks_n block_m block_n",
        long="a_batch b_batch c_batch c_row",
    )
    tile = [(i, v) for i in range(t.rows) for v in range(t.vectors)]
    zeros = "\n".join(f"      {wide} s{i}_{v} = 0;" for i, v in tile)
    ys = "\n".join(f"        const {wide} y{v} = y[{v}];" for v in range(t.vectors))
    sums = "\n".join(
        f"        s{i}_{v} = muladd(({wide})(x[{i}]), y{v}, s{i}_{v});" for i, v in tile
    )
    kept = "\n".join(f"      kept[{i * t.vectors + v}] = s{i}_{v};" for i, v in tile)
    text = f"""{head(dtype, (t.width,))}
{begin(symbol, 1, memories(dtype, "a b", "c"), sizes)}
  int group = get_group_id(0) + base;
  const int column_0 = group % blocks_n * block_n;
  group /= blocks_n;
  const int row_0 = group % blocks_m * block_m;
  group /= blocks_m;
  a += a_at + group * a_batch;
  b += b_at + group * b_batch;
  c += c_at + group * c_batch;
  const int row_1 = m - row_0 < block_m ? m : row_0 + block_m;
  const int column_1 = n - column_0 < block_n ? n : column_0 + block_n;
  for (int l = 0; l < k; l += {t.depth}) {{
    const int steps = k - l < {t.depth} ? k - l : {t.depth};
    for (int j = column_0; j < column_1; j += {t.columns})
    for (int i = row_0; i < row_1; i += {t.rows}) {{
      __global const {name}* x = a + (long)i * k + (long)l * {t.rows};
      __global const {wide}* y =
          (__global const {wide}*)(b + (long)j * k + (long)l * {t.columns});
{zeros}
      for (int q = 0; q < steps; ++q) {{
{ys}
{sums}
        x += {t.rows};
        y += {t.vectors};
      }}
      {wide} kept[{t.rows * t.vectors}];
{kept}
      const {name}* sums = (const {name}*)kept;
      const int rows = row_1 - i < {t.rows} ? row_1 - i : {t.rows};
      const int columns = column_1 - j < {t.columns} ? column_1 - j : {t.columns};
      for (int r = 0; r < rows; ++r) {{
        __global {name}* to = c + (i + r) * c_row + j;
        if (l == 0)
          for (int e = 0; e < columns; ++e) to[e] = sums[r * {t.columns} + e];
        else
          for (int e = 0; e < columns; ++e) to[e] += sums[r * {t.columns} + e];
      }}
    }}
  }}
}}
"""
    return OpenCLSource(text, symbol, 3, kinds, (1, 1, 1), 0, dtype == "float64")
