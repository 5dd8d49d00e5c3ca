"""Products of sparse matrices (CSR) with dense vectors and matrices, on OpenCL devices.

Work is shared along the merge path (Merrill and Garland, "Merge-based parallel sparse
matrix-vector multiplication", SC 2016): the ends of the rows and the nonzero elements
are merged in order, and each chunk gets equally many of both. So no row is too long, no
number of empty rows too large, and the host need not look at the matrix. A row that
ends in a later chunk than it began in leaves its sums behind; a last launch adds them
in order.
"""

from __future__ import annotations

import functools

from attrs import frozen

from rxcore_kernels.launch import In, Launch, LaunchPlan, OpenCLSource, Out, Scratch
from rxcore_kernels.matmul_opencl import has_kernel
from rxcore_kernels.matmul_opencl_text import (
    ELEMENT_BYTES,
    ELEMENT_NAMES,
    GROUP,
    SHORT,
    begin,
    head,
    memories,
    scalars,
    tree,
)
from rxcore_kernels.opencl_facts import Facts

__all__ = ["plan_opencl"]

VECTOR_CHUNK = 512
"""Row ends and elements of a work-group when X is a vector, in local memory."""

MATRIX_CHUNKS = (512, 256, 128, 64, 32)
"""Row ends and elements of a work-item when X is a matrix: the most that keep busy."""


@frozen
class _Product:
    """The sizes of one product, in chunks along the merge path."""

    dtype: str
    rows: int
    columns: int
    nnz: int
    width: int
    chunk: int
    index: str

    @property
    def index_bytes(self) -> int:
        """Bytes of an index."""
        return 2 if self.index == "uint16" else 4

    @property
    def chunks(self) -> int:
        """Chunks in all."""
        return -(-(self.rows + self.nnz) // self.chunk)

    @property
    def carry_bytes(self) -> int:
        """Bytes of what rows leave behind."""
        return self.chunks * self.width * ELEMENT_BYTES[self.dtype]

    @property
    def wide(self) -> bool:
        """Whether places in X or Y need 64 bits."""
        return max(self.rows, self.columns) * self.width >= 1 << 31

    @property
    def nbytes(self) -> int:
        """Bytes of the matrix, the rows of X that it can name, and Y."""
        each = ELEMENT_BYTES[self.dtype]
        dense = (min(self.nnz, self.columns) + self.rows) * self.width * each
        return self.nnz * (each + self.index_bytes) + (self.rows + 1) * 4 + dense


def plan_opencl(
    facts: Facts,
    dtype: str,
    rows: int,
    columns: int,
    nnz: int,
    width: int = 1,
    index: str = "int32",
) -> LaunchPlan | None:
    """Plan Y = A @ X for a sparse A on an OpenCL device.

    **Meaning** (inputs data, indices, indptr, X; output Y)::

        Y[i, j] = sum(
            data[p] * X[indices[p], j]
            for p in range(indptr[i], indptr[i + 1])
            if 0 <= indices[p] < columns
        )

    The sum is taken in one fixed order for given sizes, facts and indptr. Elements
    beyond indptr[rows] are never read.

    Args:
        facts: the device to plan for.
        dtype: "float32" or "float64", of data, X and Y.
        rows: rows of A and Y; indptr holds one more, int32.
        columns: columns of A, rows of X.
        nnz: elements of data and of indices, at least indptr[rows].
        width: columns of X and Y, both dense and row-major; 1 is a vector.
        index: "int32" or "uint16", of indices.

    Returns:
        The launches, or None where the device has no kernel for the dtypes or the
        sizes.

    Raises:
        ValueError: a size is negative.

    Example:
        >>> plan = plan_opencl(Facts(), "float32", 1000, 1000, 5000)
        >>> [launch.shape for launch in plan.launches]
        ['elementwise', 'csr', 'row']
    """
    if min(rows, columns, nnz, width) < 0:
        raise ValueError(
            f"plan_opencl: expected sizes >= 0, got rows={rows} columns={columns} "
            f"nnz={nnz} width={width}"
        )
    if index not in INDEX_NAMES:
        return None
    if not has_kernel(facts, dtype) or rows + nnz >= 1 << 31:
        return None
    if rows * width == 0:
        return LaunchPlan(())
    if width == 1:
        product = _Product(dtype, rows, columns, nnz, width, VECTOR_CHUNK, index)
        main, finish = _vector(product), _vector_finish(product)
    else:
        product = _in_chunks(facts, dtype, rows, columns, nnz, width, index)
        main, finish = _matrix(product), _matrix_finish(product)
    scratch = ((product.chunks + 1) * 4, product.carry_bytes)
    if max(scratch) > facts.max_alloc:
        return None
    launches = (_starts(product), main, finish)
    return LaunchPlan(launches[: 2 if product.chunks == 1 else 3], scratch)


def _in_chunks(
    facts: Facts,
    dtype: str,
    rows: int,
    columns: int,
    nnz: int,
    width: int,
    index: str,
) -> _Product:
    """Return a product with X a matrix, in the largest chunks that keep all busy."""
    product = _Product(dtype, rows, columns, nnz, width, MATRIX_CHUNKS[0], index)
    for chunk in MATRIX_CHUNKS[1:]:
        smaller = _Product(dtype, rows, columns, nnz, width, chunk, index)
        busy = _matrix_groups(product) >= 8 * facts.units
        if busy or smaller.carry_bytes > facts.max_alloc:
            break
        product = smaller
    return product


def _lanes(width: int) -> int:
    """Return the work-items that lie along the columns of X: a power of two."""
    return min(GROUP, 1 << (width - 1).bit_length())


def _matrix_groups(p: _Product) -> int:
    lanes = _lanes(p.width)
    return -(-p.chunks // (GROUP // lanes)) * -(-p.width // lanes)


# launches ----------------------------------------------------------------------------

_POINTERS = "__global const int* restrict starts, long starts_at"
_INDPTR = "__global const int* restrict indptr, long indptr_at"
INDEX_NAMES = {"int32": "int", "uint16": "ushort"}


def _indices(index: str) -> str:
    return f"__global const {INDEX_NAMES[index]}* restrict indices, long indices_at"


def _suffix(index: str) -> str:
    return "" if index == "int32" else "_short"


def _starts(p: _Product) -> Launch:
    return Launch(
        starts_source(),
        (In(2), Scratch(0)),
        (4, 4),
        (p.rows, p.chunks, p.chunk),
        (-(-(p.chunks + 1) // GROUP), 1, 1),
        "elementwise",
        0.0,
        8.0 * (p.chunks + 1) * p.rows.bit_length(),
    )


def _vector(p: _Product) -> Launch:
    each = ELEMENT_BYTES[p.dtype]
    return Launch(
        vector_source(p.dtype, p.index),
        (In(0), In(1), In(2), In(3), Scratch(0), Out(0), Scratch(1)),
        (each, p.index_bytes, 4, each, 4, each, each),
        (p.rows, p.columns),
        (p.chunks, 1, 1),
        "csr",
        2.0 * p.nnz,
        p.nbytes + p.chunks * (each + 8.0),
    )


def _vector_finish(p: _Product) -> Launch:
    each = ELEMENT_BYTES[p.dtype]
    return Launch(
        vector_finish_source(p.dtype),
        (In(2), Scratch(0), Scratch(1), Out(0)),
        (4, 4, each, each),
        (),
        (p.chunks, 1, 1),
        "row",
        2.0 * p.chunks,
        p.chunks * (3.0 * each + 12.0),
    )


def _matrix(p: _Product) -> Launch:
    each = ELEMENT_BYTES[p.dtype]
    lanes = _lanes(p.width)
    return Launch(
        matrix_source(p.dtype, p.wide, p.index),
        (In(0), In(1), In(2), In(3), Scratch(0), Out(0), Scratch(1)),
        (each, p.index_bytes, 4, each, 4, each, each),
        (p.rows, p.columns, p.chunks, p.chunk, p.width, lanes, -(-p.width // lanes)),
        (_matrix_groups(p), 1, 1),
        "csr",
        2.0 * p.nnz * p.width,
        p.nbytes + p.chunks * (p.width * each + 8.0),
    )


def _matrix_finish(p: _Product) -> Launch:
    each = ELEMENT_BYTES[p.dtype]
    size = p.chunks * p.width
    return Launch(
        matrix_finish_source(p.dtype),
        (In(2), Scratch(0), Scratch(1), Out(0)),
        (4, 4, each, each),
        (p.chunks, p.chunk, p.width),
        (-(-size // GROUP), 1, 1),
        "row",
        2.0 * size,
        3.0 * size * each + 12.0 * p.chunks,
    )


# texts -------------------------------------------------------------------------------


@functools.cache
def starts_source() -> OpenCLSource:
    """Return the search for the row in which each chunk begins: (indptr) -> starts.

    A chunk begins at the place (row, element) of the merge path whose sum is `chunk`
    times its number; the end of a row comes before the first element behind it.
    """
    sizes, kinds = scalars(int="rows chunks chunk")
    text = f"""#pragma OPENCL FP_CONTRACT OFF
{begin("csr_starts", GROUP, _INDPTR, _POINTERS.replace("const ", ""), sizes)}
  const int item = (get_group_id(0) + base) * {GROUP} + get_local_id(0);
  if (item <= chunks) {{
    indptr += indptr_at;
    const int nnz = indptr[rows];
    const long far = (long)item * chunk;
    const int place = far < rows + nnz ? far : rows + nnz;
    int low = place > nnz ? place - nnz : 0;
    int high = place < rows ? place : rows;
    while (low < high) {{
      const int middle = low + (high - low) / 2;
      if (indptr[middle + 1] < place - middle) low = middle + 1;
      else high = middle;
    }}
    starts[starts_at + item] = low;
  }}
}}
"""
    return OpenCLSource(text, "csr_starts", 2, kinds, (GROUP, 1, 1))


def _chunk_text(chunk: str, size: str) -> str:
    """Declare the rows [i, i_end) that end in a chunk and its elements [j, j_end)."""
    return f"""const int total = rows + indptr[rows];
  const long from = (long){chunk} * {size}, to = from + {size};
  const int i = starts[{chunk}], i_end = starts[{chunk} + 1];
  const int j = (from < total ? (int)from : total) - i;
  const int j_end = (to < total ? (int)to : total) - i_end;"""


@functools.cache
def vector_source(dtype: str, index: str = "int32") -> OpenCLSource:
    """Return the product with a vector: a work-group for each chunk.

    The group multiplies its elements side by side into local memory. Then it adds the
    rows: many rows by a work-item each, few by as many work-items as there are.
    """
    symbol = f"csr_vector_{SHORT[dtype]}{_suffix(index)}"
    name = ELEMENT_NAMES[dtype]
    memory = (
        *(memories(dtype, "data", ""), _indices(index), _INDPTR),
        *(memories(dtype, "x", ""), _POINTERS, memories(dtype, "", "y carry")),
    )
    sizes, kinds = scalars(int="rows columns")
    text = f"""{head(dtype)}
{begin(symbol, GROUP, *memory, sizes)}
  __local {name} products[{VECTOR_CHUNK}];
  __local {name} sums[{GROUP}];
  const int item = get_local_id(0);
  const int chunk = get_group_id(0) + base;
  data += data_at; indices += indices_at; indptr += indptr_at; x += x_at;
  starts += starts_at; y += y_at; carry += carry_at;
  {_chunk_text("chunk", str(VECTOR_CHUNK))}
  for (int p = j + item; p < j_end; p += {GROUP}) {{
    const uint name = indices[p];
    products[p - j] = name < (uint)columns ? data[p] * x[name] : 0;
  }}
  const int count = i_end - i + 1;
  int share = {GROUP};
  while (share > 1 && share * count > {GROUP}) share /= 2;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int row = i + item; share == 1 && row <= i_end; row += {GROUP}) {{
    const int first = row == i ? j : indptr[row];
    const int last = row == i_end ? j_end : indptr[row + 1];
    {name} sum = 0;
    for (int p = first; p < last; ++p) sum += products[p - j];
    if (row < i_end) y[row] = sum;
    else carry[chunk] = sum;
  }}
  const int row = i + item / share, lane = item % share;
  const int shared = share > 1 && row <= i_end;
  {name} sum = 0;
  if (shared) {{
    const int first = row == i ? j : indptr[row];
    const int last = row == i_end ? j_end : indptr[row + 1];
    for (int p = first + lane; p < last; p += share) sum += products[p - j];
  }}
  sums[item] = sum;
  for (int by = {GROUP} / 2; by > 0; by /= 2) {{
    barrier(CLK_LOCAL_MEM_FENCE);
    if (by < share && lane < by) sums[item] += sums[item + by];
  }}
  if (shared && lane == 0) {{
    if (row < i_end) y[row] = sums[item];
    else carry[chunk] = sums[item];
  }}
}}
"""
    local = (VECTOR_CHUNK + GROUP) * ELEMENT_BYTES[dtype]
    wide = dtype == "float64"
    return OpenCLSource(text, symbol, 7, kinds, (GROUP, 1, 1), local, wide)


@functools.cache
def vector_finish_source(dtype: str) -> OpenCLSource:
    """Return the addition of what rows left behind: a work-group for each chunk.

    The first row that ends in a chunk may have begun before it; the chunks between
    hold parts of that row alone.
    """
    symbol = f"csr_vector_finish_{SHORT[dtype]}"
    name = ELEMENT_NAMES[dtype]
    memory = (
        *(_INDPTR, _POINTERS, memories(dtype, "carry", "")),
        memories(dtype, "", "y"),
    )
    text = f"""{head(dtype)}
{begin(symbol, GROUP, *memory)}
  __local {name} sums[{GROUP}];
  const int item = get_local_id(0);
  const int chunk = get_group_id(0) + base;
  starts += starts_at;
  const int row = starts[chunk], ends = starts[chunk + 1] > row;
  const int first = ends ? (row + indptr[indptr_at + row]) / {VECTOR_CHUNK} : chunk;
  {name} sum = 0;
  for (int p = first + item; p < chunk; p += {GROUP}) sum += carry[carry_at + p];
  sums[item] = sum;
{tree("sums")}
  if (item == 0 && first < chunk) y[y_at + row] += sums[0];
}}
"""
    local = GROUP * ELEMENT_BYTES[dtype]
    wide = dtype == "float64"
    return OpenCLSource(text, symbol, 4, (), (GROUP, 1, 1), local, wide)


@functools.cache
def matrix_source(dtype: str, wide: bool, index: str = "int32") -> OpenCLSource:
    """Return the product with a matrix: a work-item for each chunk and column.

    Neighbours have neighbouring columns, so that they read a row of X side by side.
    """
    symbol = f"csr_matrix_{SHORT[dtype]}{_suffix(index)}" + ("_wide" if wide else "")
    name, place = ELEMENT_NAMES[dtype], "long" if wide else "int"
    memory = (
        *(memories(dtype, "data", ""), _indices(index), _INDPTR),
        *(memories(dtype, "x", ""), _POINTERS, memories(dtype, "", "y carry")),
    )
    sizes, kinds = scalars(int="rows columns chunks size width lanes panels")
    step = f"""{{
      const uint name = indices[p];
      if (name < (uint)columns)
        sum = muladd(data[p], x[({place})name * width], sum);
    }}"""
    text = f"""{head(dtype)}
{begin(symbol, GROUP, *memory, sizes)}
  const int item = get_local_id(0);
  const int group = get_group_id(0) + base;
  const int chunk = group / panels * ({GROUP} / lanes) + item / lanes;
  const int column = group % panels * lanes + item % lanes;
  if (chunk >= chunks || column >= width) return;
  data += data_at; indices += indices_at; indptr += indptr_at; x += x_at + column;
  starts += starts_at; y += y_at + column; carry += carry_at + column;
  {_chunk_text("chunk", "size")}
  int p = j;
  for (int row = i; row < i_end; ++row) {{
    const int last = indptr[row + 1];
    {name} sum = 0;
    for (; p < last; ++p) {step}
    y[({place})row * width] = sum;
  }}
  {name} sum = 0;
  for (; p < j_end; ++p) {step}
  carry[(long)chunk * width] = sum;
}}
"""
    return OpenCLSource(text, symbol, 7, kinds, (GROUP, 1, 1), 0, dtype == "float64")


@functools.cache
def matrix_finish_source(dtype: str) -> OpenCLSource:
    """Return the addition of what rows left behind: an item for a chunk and column."""
    symbol = f"csr_matrix_finish_{SHORT[dtype]}"
    name = ELEMENT_NAMES[dtype]
    memory = (
        *(_INDPTR, _POINTERS, memories(dtype, "carry", "")),
        memories(dtype, "", "y"),
    )
    sizes, kinds = scalars(int="chunks size width")
    text = f"""{head(dtype)}
{begin(symbol, GROUP, *memory, sizes)}
  const long item = (long)(get_group_id(0) + base) * {GROUP} + get_local_id(0);
  const int chunk = item / width;
  const int column = item - (long)chunk * width;
  if (chunk < chunks) {{
    starts += starts_at;
    const int row = starts[chunk];
    if (starts[chunk + 1] > row) {{
      const int first = (row + indptr[indptr_at + row]) / size;
      if (first < chunk) {{
        {name} sum = 0;
        for (int p = first; p < chunk; ++p)
          sum += carry[carry_at + (long)p * width + column];
        y[y_at + (long)row * width + column] += sum;
      }}
    }}
  }}
}}
"""
    return OpenCLSource(text, symbol, 4, kinds, (GROUP, 1, 1), 0, dtype == "float64")
