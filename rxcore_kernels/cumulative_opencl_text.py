"""OpenCL C of running combinations: rows by work-groups, columns by work-items.

Long axes are cut in chunks: totals of chunks, what comes before each, then the chunks
themselves. The order of joining depends on sizes alone, so floats are the same in every
run.
"""

from __future__ import annotations

from functools import cache

from attrs import frozen

from rxcore_kernels.opencl_elements import ELEMENTS, Element, identity, join_function
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_writer import Memory, TypedSource, group_size, kernel

__all__ = [
    "EACH",
    "Scan",
    "column_bases_source",
    "column_source",
    "column_totals_source",
    "row_bases_source",
    "row_source",
    "row_totals_source",
]

EACH = 8
"""Elements of a row that a work-item scans by itself."""

_ROW_GROUP = 128
_COLUMN_GROUP = 64


@frozen
class Scan:
    """What is scanned, and how.

    Args:
        combine: "add", "mul", "min" or "max"; the last two keep NaN.
        dtype: NumPy's name of the dtype.
        reverse: whether it goes from the last element to the first.
        exclusive: whether an element's own value is left out.
    """

    combine: str
    dtype: str
    reverse: bool = False
    exclusive: bool = False

    @property
    def element(self) -> Element:
        """The C types."""
        return ELEMENTS[self.dtype]

    @property
    def functions(self) -> str:
        """C functions, and `start`: what the first element is joined to."""
        start = identity(self.combine, self.dtype)
        if self.exclusive and self.combine == "add" and self.element.kind == "f":
            start = f"({self.element.value})0.0f"  # it is seen: no -0.0
        joins = join_function(self.combine, self.dtype)
        return f"{joins}#define start ({start})\n"

    @property
    def at(self) -> str:
        """The expression of where the element `i` of the scan lies on the axis."""
        return "n - 1 - i" if self.reverse else "i"

    def row_group(self, facts: Facts) -> int:
        """Return the work-items that scan a part of a row together."""
        return group_size(facts, _ROW_GROUP, (EACH + 1) * self.element.value_bytes)


def _x(s: Scan) -> Memory:
    return Memory("x", s.element.memory)


def _out(s: Scan) -> Memory:
    return Memory("out", s.element.memory, True)


def _held(s: Scan, name: str, written: bool) -> Memory:
    return Memory(name, s.element.value, written)


def _scan_sums(s: Scan, group: int) -> str:
    """Return statements that scan `sums`, one of each work-item."""
    return f"""\
  for (int d = 1; d < {group}; d *= 2) {{
    barrier(CLK_LOCAL_MEM_FENCE);
    {s.element.value} t = sums[lid];
    if (lid >= d) t = join(sums[lid - d], t);
    barrier(CLK_LOCAL_MEM_FENCE);
    sums[lid] = t;
  }}
  barrier(CLK_LOCAL_MEM_FENCE);
"""


@cache
def row_source(facts: Facts, s: Scan, *, based: bool) -> TypedSource:
    """Scan a part of a row: each work-item its own elements, then their sums.

    Memories: x, out, what comes before each part (if based). Scalars: elements of a
    row, parts of a row.
    """
    group = s.row_group(facts)
    size, t = group * EACH, s.element.value
    value = "before" if s.exclusive else f"tile[lid * {EACH} + e]"
    first = f"tile[lid * {EACH} + e]"
    if s.exclusive:
        spread = f"""\
  for (int e = 0; e < {EACH}; e++) {{
    const {t} v = {first};
    {first} = before;
    before = join(before, v);
  }}
"""
    else:
        spread = f"""\
  for (int e = 0; e < {EACH}; e++) {{
    before = join(before, {value});
    {first} = before;
  }}
"""
    carried = "before = join(bases[group], before);" if based else ""
    body = f"""\
  __local {t} tile[{size}];
  __local {t} sums[{group}];
  const int row = group / parts, begin = (group - row * parts) * {size};
  for (int e = 0; e < {EACH}; e++) {{
    const int s = e * {group} + lid, i = begin + s;
    tile[s] = i < n ? read(x[row * n + {s.at}]) : start;
  }}
  barrier(CLK_LOCAL_MEM_FENCE);
  {t} sum = tile[lid * {EACH}];
  for (int e = 1; e < {EACH}; e++) sum = join(sum, tile[lid * {EACH} + e]);
  sums[lid] = sum;
{_scan_sums(s, group)}\
  {t} before = lid > 0 ? join(start, sums[lid - 1]) : start;
  {carried}
{spread}\
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int e = 0; e < {EACH}; e++) {{
    const int s = e * {group} + lid, i = begin + s;
    if (i < n) out[row * n + {s.at}] = kept(tile[s]);
  }}
"""
    memories = [_x(s), _out(s), *([_held(s, "bases", False)] if based else [])]
    return kernel(
        "scan_rows",
        memories,
        ["int n", "int parts"],
        group,
        body,
        functions=s.functions,
        local_bytes=(size + group) * s.element.value_bytes,
    )


@cache
def row_totals_source(facts: Facts, s: Scan) -> TypedSource:
    """Join all elements of each part of a row.

    Memories: x, totals. Scalars: elements of a row, parts of a row.
    """
    group = s.row_group(facts)
    size, t = group * EACH, s.element.value
    body = f"""\
  __local {t} sums[{group}];
  const int row = group / parts, begin = (group - row * parts) * {size};
  {t} sum = start;
  for (int e = 0; e < {EACH}; e++) {{
    const int i = begin + e * {group} + lid;
    if (i < n) sum = join(sum, read(x[row * n + {s.at}]));
  }}
  sums[lid] = sum;
  for (int d = {group // 2}; d > 0; d /= 2) {{
    barrier(CLK_LOCAL_MEM_FENCE);
    if (lid < d) sums[lid] = join(sums[lid], sums[lid + d]);
  }}
  if (lid == 0) totals[group] = sums[0];
"""
    return kernel(
        "scan_totals",
        [_x(s), _held(s, "totals", True)],
        ["int n", "int parts"],
        group,
        body,
        functions=s.functions,
        local_bytes=group * s.element.value_bytes,
    )


@cache
def row_bases_source(facts: Facts, s: Scan) -> TypedSource:
    """Replace the totals of each row's parts by what comes before them.

    Memories: totals. Scalars: parts of a row.
    """
    group, t = s.row_group(facts), s.element.value
    body = f"""\
  __local {t} sums[{group}];
  {t} carry = start;
  for (int begin = 0; begin < parts; begin += {group}) {{
    const int i = begin + lid;
    sums[lid] = i < parts ? totals[group * parts + i] : start;
{_scan_sums(s, group)}\
    const {t} before = lid > 0 ? join(carry, sums[lid - 1]) : carry;
    if (i < parts) totals[group * parts + i] = before;
    carry = join(carry, sums[{group - 1}]);
    barrier(CLK_LOCAL_MEM_FENCE);
  }}
"""
    return kernel(
        "scan_bases",
        [_held(s, "totals", True)],
        ["int parts"],
        group,
        body,
        functions=s.functions,
        local_bytes=group * s.element.value_bytes,
    )


def _column(group: int) -> str:
    """Return statements that find a work-item's column and part of the axis."""
    return f"""\
  const int item = group * {group} + lid;
  if (item < items) {{
    const int line = item / inner, column = item - line * inner;
    const int slab = line / parts, begin = (line - slab * parts) * each;
    const int end = begin + each < n ? begin + each : n;
"""


_COLUMN_SCALARS = tuple(f"int {s}" for s in ("items", "n", "inner", "parts", "each"))


@cache
def column_source(facts: Facts, s: Scan, *, based: bool) -> TypedSource:
    """Scan a part of a column.

    Memories: x, out, what comes before each part (if based). Scalars: work-items,
    length of the axis, columns, parts of the axis, elements of a part.
    """
    group, t = group_size(facts, _COLUMN_GROUP), s.element.value
    stored = "out[at] = kept(value);"
    joined = "value = join(value, read(x[at]));"
    steps = f"{joined} {stored}"
    if s.exclusive:
        steps = f"const {t} v = read(x[at]); {stored} value = join(value, v);"
    body = f"""\
{_column(group)}\
    {t} value = {"bases[item]" if based else "start"};
    for (int i = begin; i < end; i++) {{
      const int at = (slab * n + {s.at}) * inner + column;
      {steps}
    }}
  }}
"""
    memories = [_x(s), _out(s), *([_held(s, "bases", False)] if based else [])]
    return kernel(
        "scan_columns", memories, _COLUMN_SCALARS, group, body, functions=s.functions
    )


@cache
def column_totals_source(facts: Facts, s: Scan) -> TypedSource:
    """Join all elements of each part of a column. Memories: x, totals."""
    group, t = group_size(facts, _COLUMN_GROUP), s.element.value
    body = f"""\
{_column(group)}\
    {t} value = start;
    for (int i = begin; i < end; i++)
      value = join(value, read(x[(slab * n + {s.at}) * inner + column]));
    totals[item] = value;
  }}
"""
    return kernel(
        "scan_column_totals",
        [_x(s), _held(s, "totals", True)],
        _COLUMN_SCALARS,
        group,
        body,
        functions=s.functions,
    )


@cache
def column_bases_source(facts: Facts, s: Scan) -> TypedSource:
    """Replace the totals of each column's parts by what comes before them.

    Memories: totals. Scalars: work-items, columns, parts of the axis.
    """
    group, t = group_size(facts, _COLUMN_GROUP), s.element.value
    body = f"""\
  const int item = group * {group} + lid;
  if (item < items) {{
    const int slab = item / inner, column = item - slab * inner;
    {t} value = start;
    for (int part = 0; part < parts; part++) {{
      const int at = (slab * parts + part) * inner + column;
      const {t} total = totals[at];
      totals[at] = value;
      value = join(value, total);
    }}
  }}
"""
    return kernel(
        "scan_column_bases",
        [_held(s, "totals", True)],
        ["int items", "int inner", "int parts"],
        group,
        body,
        functions=s.functions,
    )
